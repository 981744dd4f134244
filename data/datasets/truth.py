"""True boxes of a site in whichever form its owner has them, as rows of `data.datasets.mot.read_mot`.

A folder of MOT text or CVAT XML, one file per video; one such file for one video; or AI City's one file for all cameras.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from data.datasets.mot import FARTHEST_PX, LARGEST, find_mot, read_mot, true_rows
from pipeline.errors import UserError, shown

# An attribute of a CVAT track that says who it is on the whole site; its own number counts anew in every video.
PERSON = ("pid", "person_id", "person", "global_id", "identity", "id")
_AI_CITY = "camera id frame x y w h, separated by blanks"


def read_truth(
    source: Path, videos: pd.DataFrame, word: str = "GROUND_TRUTH"
) -> dict[str, tuple[Path, pd.DataFrame]]:
    """video_id → its file, and its rows of `read_mot`; videos without truth are left out.

    Args:
        videos: VIDEOS rows. word: of the command line, for messages.

    Raises:
        UserError: nothing is found, or a file cannot be read; names file and line.
    """
    if source.is_file() and source.suffix.lower() == ".txt" and is_ai_city(source):
        return read_ai_city(source, videos, word)
    files = find_mot(source, videos, word)
    several = len(videos) > 1
    return {
        video: (path, read_cvat(path, several) if path.suffix.lower() == ".xml" else read_mot(path))
        for video, path in files.items()
    }


def is_ai_city(path: Path) -> bool:
    """Whether the first line that is not empty has seven or more fields between blanks, and no comma."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            line = next((line for line in file if line.strip()), "")
    except (OSError, UnicodeDecodeError):
        return False
    return "," not in line and len(line.split()) >= 7


def read_ai_city(
    path: Path, videos: pd.DataFrame, word: str = "GROUND_TRUTH"
) -> dict[str, tuple[Path, pd.DataFrame]]:
    """AI City's multi-camera truth: ``camera id frame x y w h [xworld yworld]`` per line, ids the same in all cameras.

    Cameras are matched by their number (``c041``, ``camera_41`` and ``41`` are one); each must have a single video. Frames
    count from nought where a nought occurs, as in 2023, else from one, as before.

    Raises:
        UserError: a line is malformed, a camera has several videos or none of them is in the file.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text ({error}); expected lines of {_AI_CITY}.") from None
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            values = [float(field) for field in fields[:7]]
        except ValueError:
            values = []
        if (
            len(values) < 7
            or not np.isfinite(values).all()
            or min(values[5:7]) <= 0
            or not _sound(values[:3], values[3:])
        ):
            raise UserError(f"{path}: line {number}: expected {_AI_CITY}, found {shown(line.strip())}.")
        rows.append(values)
    table = pd.DataFrame(rows, columns=["camera", "id", "frame", "x", "y", "w", "h"])
    if table.duplicated(["camera", "id", "frame"]).any():
        first = table[table.duplicated(["camera", "id", "frame"])].iloc[0]
        raise UserError(
            f"{path}: camera {first.camera:.0f} has id {first.id:.0f} twice in frame {first.frame:.0f}; expected it at most once."
        )
    begins = 0 if (table.frame == 0).any() else 1
    by_number: dict[int, list[str]] = {}
    for video_id, camera_id in zip(videos.video_id, videos.camera_id, strict=True):
        if digits := re.search(r"(\d+)\D*$", str(camera_id)):
            by_number.setdefault(int(digits[1]), []).append(str(video_id))
    found = {}
    for camera, own in table.groupby("camera", sort=True):
        names = by_number.get(int(str(camera).removesuffix(".0")), [])
        if len(names) > 1:
            raise UserError(
                f"{word}={path}: camera {camera:.0f} has {len(names)} videos ({', '.join(names[:3])}), and its frames are not "
                "told apart; give MOT text per video instead."
            )
        if names:
            found[names[0]] = (
                path,
                as_mot(own.id, own.frame - begins, own.x, own.y, own.x + own.w, own.y + own.h),
            )
    if not found:
        cameras = ", ".join(f"{c:.0f}" for c in sorted(table.camera.unique())[:5])
        ours = ", ".join(sorted(videos.camera_id.astype(str).unique())[:5])
        raise UserError(
            f"{word}={path}: speaks of cameras {cameras}, and the videos are of {ours}; numbers must agree."
        )
    return found


def read_cvat(path: Path, several_videos: bool = False) -> pd.DataFrame:
    """CVAT's XML for video 1.1: tracks of boxes; boxes ``outside`` the picture are left out, occluded ones are half visible.

    Entities of other files are not read, and those that unfold without end are stopped by expat.

    The person is the track's attribute `PERSON`, else, where there is one video only, the track's own number.

    Raises:
        UserError: no such XML, or several videos and no attribute that tells who is who across them.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (
        OSError,
        ElementTree.ParseError,
        ValueError,
        LookupError,
    ) as error:  # the last two: of its encoding
        raise UserError(
            f"{path}: cannot be read as CVAT XML ({error}); export it anew as 'CVAT for video 1.1'."
        ) from None
    if root.tag != "annotations":
        raise UserError(
            f"{path}: holds {shown(root.tag)} where CVAT has 'annotations'; export it as 'CVAT for video 1.1'."
        )
    rows = []
    for track in root.iter("track"):
        for box in track.iter("box"):
            if box.get("outside") == "1":
                continue
            said = {
                a.get("name", "").lower(): (a.text or "").strip()
                for a in [*track.findall("attribute"), *box.findall("attribute")]
            }
            person = next((said[name] for name in PERSON if said.get(name)), None)
            if person is None and several_videos:
                raise UserError(
                    f"{path}: track {str(track.get('id'))[:40]}: no attribute named {' or '.join(PERSON)}, so nobody knows who is who across "
                    "videos; add one in CVAT, the same for a person in all of them."
                )
            try:
                number = int(person if person is not None else str(track.get("id")))
                frame = int(str(box.get("frame")))
                sides = [float(str(box.get(side))) for side in ("xtl", "ytl", "xbr", "ybr")]
                if not _sound([number, frame], sides):
                    raise ValueError
            except ValueError:
                raise UserError(
                    f"{path}: track {str(track.get('id'))[:40]}, frame {str(box.get('frame'))[:40]}: person and frame must be "
                    f"whole numbers and the sides numbers, as pictures and films have them, found "
                    f"{shown(person or track.get('id'))} and {shown(dict(box.attrib))}; mend it in CVAT."
                ) from None
            rows.append((number, frame, *sides, 0.5 if box.get("occluded") == "1" else 1.0))
    values = np.array(rows, float).reshape(-1, 7).T
    table = as_mot(values[0], values[1], *values[2:6], visibility=values[6])
    flat = table[(table.x1 >= table.x2) | (table.y1 >= table.y2)]
    twice = table[table.duplicated(["frame", "id"])]
    for wrong, what in ((flat, "an empty box"), (twice, "a second box")):
        if len(wrong):
            raise UserError(
                f"{path}: person {wrong.id.iloc[0]} has {what} in frame {wrong.frame.iloc[0]}; mend it in CVAT."
            )
    return table


def _sound(whole: Sequence[float], sides: Sequence[float]) -> bool:
    """Whether the numbers that count something can stand in a table, and those of a box can be of a picture."""
    return all(0 <= v <= LARGEST and v == int(v) for v in whole) and all(abs(v) <= FARTHEST_PX for v in sides)


def as_mot(*columns: pd.Series | np.ndarray, visibility: np.ndarray | None = None) -> pd.DataFrame:
    """Rows of `read_mot` from id, frame (from nought), x1, y1, x2, y2, all (N,)."""
    person, frame, x1, y1, x2, y2 = (np.asarray(c, float) for c in columns)
    seen = np.ones(len(frame)) if visibility is None else visibility
    table = true_rows(frame, person, x1, y1, x2, y2, np.ones(len(frame)), seen)
    return table.sort_values(["frame", "id"], kind="stable").reset_index(drop=True)
