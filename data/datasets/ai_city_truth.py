"""AI City's multi-camera truth: one text file for all cameras of a site."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd

from data.datasets.mot import as_mot, sound_numbers
from pipeline.errors import UserError, shown

_AI_CITY = "camera id frame x y w h, separated by blanks"


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
    table = parse_ai_city(path)
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


def parse_ai_city(path: Path) -> pd.DataFrame:
    """The lines of such a file: camera, id, frame, x, y, w, h."""
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
            or not sound_numbers(values[:3], values[3:])
        ):
            raise UserError(f"{path}: line {number}: expected {_AI_CITY}, found {shown(line.strip())}.")
        rows.append(values)
    table = pd.DataFrame(rows, columns=["camera", "id", "frame", "x", "y", "w", "h"])
    if table.duplicated(["camera", "id", "frame"]).any():
        first = table[table.duplicated(["camera", "id", "frame"])].iloc[0]
        raise UserError(
            f"{path}: camera {first.camera:.0f} has id {first.id:.0f} twice in frame {first.frame:.0f}; expected it at most once."
        )
    return table
