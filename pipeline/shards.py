"""Shards: the pieces of a stage's work, each kept once made, and the small executor that makes the missing ones.

A shard is a plain function from paths to a folder, and can be pickled: it runs in this process, in one of several, or
in any engine that calls functions elsewhere, without its stage knowing. Its folder is renamed whole when the function
returns, so a killed run resumes at the last finished shard, and one more video costs one video.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

DONE = ".done"
ASKED = "asked.json"


@dataclass(frozen=True)
class Shard:
    """One piece of work.

    key: what decides the result, beside the stage's settings and version (a video's digest, say).
    make: fills the empty folder it is given, and returns a sentence for the person who watches, or None. A
        `functools.partial` of a function of a module, over paths and plain values.
    label: the camera it is of, for `status`.
    size: how much work it is, in the unit its stage counts (frames, bytes), for an estimate of the time left.
    """

    key: Mapping[str, Any]
    make: Callable[[Path], str | None]
    label: str = ""
    size: float = 1.0


def fill(folder: Path, make: Callable[[Path], str | None]) -> str | None:
    """Make one shard into ``folder``, whole or not at all."""
    scratch = folder.with_name(folder.name + ".part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    sentence = make(scratch)
    (scratch / DONE).touch()
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)
    return sentence


def note_asked(home: Path, folders: Sequence[Path], shards: Sequence[Shard]) -> None:
    """Write down what a stage asks for, so that `done_of_asked` can tell how far an interrupted one came."""
    home.mkdir(parents=True, exist_ok=True)
    asked = [[shard.label, folder.name] for folder, shard in zip(folders, shards, strict=True)]
    part = home / f"{ASKED}.part"
    part.write_text(json.dumps(asked), encoding="utf-8")
    part.replace(home / ASKED)


def done_of_asked(home: Path) -> dict[str, tuple[int, int]]:
    """Label (camera) → shards that are done, and shards asked for, of the last time that the stage ran."""
    try:
        asked = json.loads((home / ASKED).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(asked, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in asked):
        return {}
    found: dict[str, tuple[int, int]] = {}
    for label, name in ((str(label), str(name)) for label, name in asked):
        done, every = found.get(label, (0, 0))
        found[label] = done + (home / name / DONE).exists(), every + 1
    return found


def by_camera(pieces: Mapping[str, tuple[int, int]], max_items: int = 6) -> str:
    """'gate 3 of 3, yard 1 of 3', the unfinished first."""
    order = sorted(pieces.items(), key=lambda item: (item[1][0] == item[1][1], item[0]))
    shown = [f"{label} {done} of {every}".strip() for label, (done, every) in order[:max_items]]
    return ", ".join(shown) + (
        f" and {len(order) - max_items} more cameras" if len(order) > max_items else ""
    )


def fill_all(
    todo: Sequence[tuple[Path, Callable[[Path], str | None]]], workers: int, keep_going: bool = False
) -> Iterator[tuple[Path, str | None]]:
    """`fill` every (folder, make), in order in this process, or as they come from ``workers`` processes.

    Yields each folder and what its shard said. The first error ends it; shards under way are finished and kept. With
    ``keep_going`` all others are made first.

    Raises:
        UserError: a process was killed, as the kernel does when memory runs out; or of several errors, the first.
    """
    failed: list[Exception] = []
    for folder, result in _results(todo, workers):
        try:
            yield folder, result()
        except BrokenProcessPool:
            raise UserError(
                f"one of {workers} processes was killed, perhaps for want of memory; run the same command again with "
                f'fewer, SET="run.workers=1": finished work is kept.'
            ) from None
        except Exception as error:
            if not keep_going:
                raise
            failed.append(error)
    if failed and not isinstance(failed[0], UserError):
        raise failed[0]
    if failed:
        others = (
            f" ({len(failed) - 1} more of {len(todo)} failed, too; the others are done)"
            if len(failed) > 1
            else ""
        )
        raise UserError(f"{failed[0]}{others}") from failed[0]


def _results(
    todo: Sequence[tuple[Path, Callable[[Path], str | None]]], workers: int
) -> Iterator[tuple[Path, Callable[[], str | None]]]:
    """Each folder as its turn comes, and a function that makes it, or waits for its process, and returns what it said."""
    if workers <= 1 or len(todo) <= 1:
        for folder, make in todo:
            yield folder, partial(fill, folder, make)
        return
    with ProcessPoolExecutor(min(workers, len(todo)), _server(), _end_with_parent) as pool:
        folder_of = {pool.submit(fill, *piece): piece[0] for piece in todo}
        try:
            for future in as_completed(folder_of):
                yield folder_of[future], future.result
        finally:
            pool.shutdown(cancel_futures=True)


def _server() -> Any:
    """Workers forked from a clean process: forking this one would copy the locks of its threads."""
    context = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
    context.set_forkserver_preload(["data.crops", "pipeline.schema"])
    return context


def _end_with_parent() -> None:
    """A worker whose run was killed must not go on writing where the next run writes."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
