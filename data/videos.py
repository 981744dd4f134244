"""Which recordings VIDEOS means: a folder, a glob, a list file, a site file, or one recording."""

from __future__ import annotations

import glob
import re
from pathlib import Path

import yaml

from data.digest import files_below
from pipeline.errors import UserError

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


def expand_videos(spec: str) -> list[Path]:
    """Absolute paths of the recordings, in natural order, each once.

    Args:
        spec: a folder (searched in depth for video files; a loop of links is walked once), a glob, a list file
            (.txt, one path a line, relative to the list; '#' starts a comment line), a site file (.yaml, .yml: its
            cameras' globs, or its folder where no camera has any), or one video file.

    Raises:
        UserError: there is no such file, or nothing in it is a recording.
    """
    path = Path(spec).expanduser()
    if path.is_dir():
        found = [p for p in files_below(path) if p.suffix.lower() in EXTENSIONS]
        wanted = "a video file"
    elif path.is_file():
        suffix = path.suffix.lower()
        if suffix == ".txt":
            found, wanted = _listed(path), "a line that names a video"
        elif suffix in {".yaml", ".yml"}:
            found, wanted = _of_site(path), "a camera whose videos exist"
        else:
            found, wanted = [path], ""
    elif glob.has_magic(spec):
        found = [Path(p) for p in glob.glob(str(path), recursive=True)]
        found = [p for p in found if p.is_file() and p.suffix.lower() in EXTENSIONS]
        if not found:
            raise UserError(f"VIDEOS={spec}: the glob matches no video file.")
        wanted = ""
    else:
        raise UserError(f"VIDEOS={spec}: no such file or folder.")
    if not found:
        raise UserError(f"VIDEOS={spec}: holds no recording; {wanted} is wanted there.")
    return sorted({p.absolute() for p in found}, key=natural_key)


def natural_key(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Sorts clip2 before clip10, and the same way everywhere."""
    parts = re.split(r"(\d+)", path.as_posix())
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)


def _listed(path: Path) -> list[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"VIDEOS={path}: cannot be read as a list of videos: {error}.") from None
    found = []
    for number, line in enumerate(lines, 1):
        name = line.strip()
        if not name or name.startswith("#"):
            continue
        video = path.parent / Path(name).expanduser()
        if not video.is_file():
            raise UserError(f"{path}:{number}: {name}: no such file.")
        found.append(video)
    return found


def _of_site(path: Path) -> list[Path]:
    """The files a site file's globs find; its keys are checked elsewhere, by whom they concern."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        place = getattr(error, "problem_mark", None)
        where = f":{place.line + 1}:{place.column + 1}" if place else ""
        reason = getattr(error, "problem", None) or error
        raise UserError(f"{path}{where}: cannot be read as a site file: {reason}.") from None
    cameras = values.get("cameras") if isinstance(values, dict) else None
    globs: list[str] = []
    for camera in cameras if isinstance(cameras, list) else []:
        named = camera.get("videos") if isinstance(camera, dict) else None
        globs += [named] if isinstance(named, str) else [g for g in named or [] if isinstance(g, str)]
    if not globs:
        return [p for p in files_below(path.parent) if p.suffix.lower() in EXTENSIONS]
    root = glob.escape(str(path.parent))
    matches = (Path(m) for g in globs for m in glob.glob(str(Path(root) / g), recursive=True))
    return [p for p in matches if p.is_file()]
