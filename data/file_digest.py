"""SHA-256 of files by content, remembered by size, modification time and inode.

A hundred gigabytes of video then cost one read ever, and a `stat` per run after that; a touched or copied file costs
one more read and changes nothing.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import time
from pathlib import Path

_BLOCK = 1 << 20
_SAVE_EVERY_S = 5.0
_Known = dict[str, list[int | str]]
_open_memories: dict[Path, tuple[int, _Known]] = {}
_unsaved: dict[Path, _Known] = {}
_next_save: dict[Path, float] = {}


def file_digest(path: Path, memory: Path) -> str:
    """SHA-256 (hex) of the file's content.

    Args:
        memory: JSON file of known digests; created where absent, ignored where damaged, left alone where it cannot
            be written.

    Raises:
        OSError: the file cannot be read.
    """
    path = path.resolve()
    stat = path.stat()
    seen = [stat.st_size, stat.st_mtime_ns, stat.st_ino]
    known = _load(memory).get(str(path))
    if known and known[:3] == seen:
        return str(known[3])
    digest = content_digest(path)
    entries = _load(memory)
    entries[str(path)] = [*seen, digest]
    # Ten thousand files would write it ten thousand times, each time longer.
    if time.monotonic() >= _next_save.get(memory, 0.0):
        _save(memory, entries)
        _next_save[memory] = time.monotonic() + _SAVE_EVERY_S
    else:
        _open_memories[memory] = (_open_memories.get(memory, (0, {}))[0], entries)
        _unsaved[memory] = entries
    return digest


@atexit.register
def save_digests() -> None:
    """Write what is remembered and not written yet; at the end of the process, if nobody does before."""
    for memory, entries in _unsaved.items():
        if memory.parent.is_dir():
            _save(memory, entries)
    _unsaved.clear()


def folder_digest(folder: Path, memory: Path) -> str:
    """SHA-256 (hex) over the relative names and contents of all files below ``folder``, links followed once."""
    whole = hashlib.sha256()
    for path in files_below(folder):
        name = path.relative_to(folder).as_posix()
        whole.update(f"{name}\0{file_digest(path, memory)}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def content_digest(path: Path) -> str:
    """SHA-256 (hex) of the file's content, read now."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def files_below(folder: Path) -> list[Path]:
    """All regular files below ``folder``, sorted; hidden ones left out, a loop of links is walked once."""
    found: list[Path] = []
    visited: set[tuple[int, int]] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        stat = os.stat(parent)
        if (stat.st_dev, stat.st_ino) in visited:
            folders.clear()
            continue
        visited.add((stat.st_dev, stat.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.is_file())


def _load(memory: Path) -> _Known:
    """The known digests; parsed once per process for each state of the file."""
    try:
        state = memory.stat().st_mtime_ns
        if memory not in _open_memories or _open_memories[memory][0] != state:
            entries = json.loads(memory.read_text(encoding="utf-8"))
            entries = entries.items() if isinstance(entries, dict) else ()
            _open_memories[memory] = (
                state,
                {k: v for k, v in entries if isinstance(v, list) and len(v) == 4},
            )
        return _open_memories[memory][1]
    except (OSError, ValueError, RecursionError):
        return {}


def _save(memory: Path, entries: _Known) -> None:
    scratch = memory.with_name(f"{memory.name}.{os.getpid()}.part")
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(entries), encoding="utf-8", errors="surrogateescape")
        scratch.replace(memory)
        _open_memories[memory] = (memory.stat().st_mtime_ns, entries)
    except OSError:
        scratch.unlink(missing_ok=True)
