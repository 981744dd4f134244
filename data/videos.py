"""Which recordings VIDEOS means: a folder, a glob, a list file, a site file, or one recording."""

from __future__ import annotations

import glob
import os
import re
import warnings
from pathlib import Path

from data.file_digest import files_below
from pipeline import yaml_text
from pipeline.errors import UserError, shown

EXTENSIONS = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".mkv",
        ".avi",
        ".webm",
        ".ts",
        ".mts",
        ".m2ts",
        ".mpg",
        ".mpeg",
        ".flv",
        ".wmv",
        ".asf",
        ".3gp",
        ".ogv",
        ".h264",
        ".264",
        ".h265",
        ".265",
        ".hevc",
        ".dav",
    ]
)


# Folders in which storage and systems keep what is no recording, or none any more; hidden ones are left out anyway.
_SERVICE = frozenset(
    [
        "@eadir",
        "#recycle",
        "#snapshot",
        "@recycle",
        "@recently-snapshot",
        "@tmp",
        "@sharebin",
        "$recycle.bin",
        "recycler",
        "lost+found",
        "system volume information",
        "__macosx",
        "found.000",
        "network trash folder",
        "temporary items",
    ]
)


def in_service_folder(path: Path, root: Path) -> bool:
    """Whether a folder of a NAS or a system lies between ``root`` and the file."""
    return any(part.lower() in _SERVICE or part.startswith(".") for part in path.relative_to(root).parts[:-1])


def expand_videos(spec: str) -> list[Path]:
    """Absolute paths of the recordings, in natural order, each once.

    Args:
        spec: a folder (searched in depth for video files; a loop of links is walked once), a glob, a list file
            (.txt, one path a line, relative to the list; '#' starts a comment line), a site file (.yaml, .yml: its
            cameras' globs, or its folder where no camera has any), or one video file.

    Raises:
        UserError: there is no such file, nothing in it is a recording, or a recording has a name that no table can hold.
    """
    if re.match(r"\w+://", spec):
        raise UserError(
            f"VIDEOS={spec}: live streams are not read; record them first, for example with ffmpeg -i {spec} -c copy -f segment "
            "-segment_time 600 -strftime 1 gate_%Y%m%dT%H%M%S.mp4, and name the folder."
        )
    # os.path says False, where Path raises, of a user nobody is and of a name longer than any there is.
    path = Path(_expanded(spec))
    if os.path.isdir(path):
        found = _recordings_below(path)
        wanted = "a video file"
    elif os.path.isfile(path):
        suffix = path.suffix.lower()
        if suffix == ".txt":
            found, wanted = _listed(path), "a line that names a video"
        elif suffix in {".yaml", ".yml"}:
            found, wanted = _of_site(path), "a camera whose videos exist"
        else:
            found, wanted = [path], ""
    elif glob.has_magic(spec):
        found = [p for p in globbed(str(path)) if p.suffix.lower() in EXTENSIONS]
        if not found:
            raise UserError(f"VIDEOS={spec}: the glob matches no video file.")
        wanted = ""
    else:
        raise UserError(f"VIDEOS={spec}: no such file or folder.")
    if not found:
        raise UserError(f"VIDEOS={spec}: holds no recording; {wanted} is wanted there.")
    paths = sorted({p.absolute() for p in found}, key=natural_key)
    named = [p for p in paths if _is_utf8(str(p))]
    for p in sorted(set(paths) - set(named)):
        sentence = f"VIDEOS: {str(p)!a}: its name is no UTF-8, so no table can hold it; rename the file or its folder"
        if not named:
            raise UserError(f"{sentence}.")
        warnings.warn(f"{sentence}; left out.", stacklevel=2)
    return named


def _is_utf8(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def globbed(pattern: str, folder: Path = Path()) -> list[Path]:
    """Files that match, hidden ones left out; ``**`` goes into folders but not into links to folders, which may be a loop.

    Args:
        folder: from which a pattern that is not absolute is meant.
    """
    if "**" not in pattern:
        return [path for name in glob.glob(pattern, root_dir=folder) if os.path.isfile(path := folder / name)]
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    root = folder.joinpath(*parts[:fixed])
    parts = (*parts, "*") if parts[-1] == "**" else parts  # which alone means folders
    try:
        found = [path for path in root.glob(str(Path(*parts[fixed:]))) if path.is_file()]
    except (ValueError, OSError):  # '**x' is no pattern
        return []
    return [p for p in found if not in_service_folder(p, root) and not p.name.startswith(".")]


def _recordings_below(folder: Path) -> list[Path]:
    files = (p for p in files_below(folder) if p.suffix.lower() in EXTENSIONS)
    return [p for p in files if not in_service_folder(p, folder)]


def natural_key(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Sorts clip2 before clip10, and the same way everywhere."""
    parts = re.split(r"(\d+)", path.as_posix())
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)


def _expanded(name: str) -> str:
    """With the home of a leading ``~``; a NUL, of which asking for a home fails, is in no name of a file anyway."""
    return name if "\0" in name else os.path.expanduser(name)


def _listed(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"VIDEOS={path}: cannot be read as a list of videos ({error}); save it as UTF-8 text, one path a line."
        ) from None
    found = []
    for number, line in enumerate(lines, 1):
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        video = path.parent / _expanded(name)
        if not os.path.isfile(video):
            raise UserError(f"{path}:{number}: {shown(name)}: no such file; mend or delete that line.")
        found.append(video)
    return found


def _of_site(path: Path) -> list[Path]:
    """The files a site file's globs find; its keys are checked elsewhere, by whom they concern."""
    root = yaml_text.compose(path, "site file")
    values = None if root is None else yaml_text.value(root, str(path))
    cameras = values.get("cameras") if isinstance(values, dict) else None
    globs: list[str] = []
    for camera in cameras if isinstance(cameras, list) else []:
        named = camera.get("videos") if isinstance(camera, dict) else None
        listed = named if isinstance(named, list) else [named]
        globs += [g for g in listed if isinstance(g, str)]
    if not globs:
        return _recordings_below(path.parent)
    return [p for g in globs for p in globbed(g, path.parent)]
