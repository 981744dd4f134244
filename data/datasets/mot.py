"""MOTChallenge text: ``frame, id, x, y, w, h, flag, class, visibility`` per line (Milan et al., 2016, §3.3).

Frames count from one in these files and from zero everywhere else here; this module is where that changes.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errors import UserError, shown

COLUMNS = ("frame", "id", "x1", "y1", "x2", "y2", "flag", "visibility")
_EXPECTED = "frame,id,x,y,w,h[,flag[,class[,visibility]]]"
LARGEST = 2**31 - 1  # frames and ids are int32 in tables
FARTHEST_PX = 1e6  # no picture is so large that a box may lie farther out


def read_mot(path: Path) -> pd.DataFrame:
    """True boxes of one video, one row per line, in the order of the file.

    Returns:
        frame (int32, zero-based), id (int32), x1, y1, x2, y2 (float32, px), flag (bool, False = to be ignored),
        visibility (float32, 0 to 1; 1 where the file does not say).

    Raises:
        UserError: the file cannot be read, a line is malformed, or an (frame, id) pair occurs twice; names file, line and
            what was expected.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: cannot be read as MOT text ({error}); expected lines of {_EXPECTED}."
        ) from error
    rows: list[tuple[float, ...]] = []
    first_line: dict[tuple[float, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        row = _parse(path, number, line)
        if first := first_line.get(row[:2]):
            raise UserError(
                f"{path}: line {number}: frame {row[0]:.0f} has id {row[1]:.0f} already in line {first}; "
                "expected every id at most once per frame."
            )
        first_line[row[:2]] = number
        rows.append(row)
    values = np.array(rows, float).reshape(-1, 8)
    x, y, w, h = values[:, 2:6].T
    return true_rows(values[:, 0] - 1, values[:, 1], x, y, x + w, y + h, values[:, 6] != 0, values[:, 7])


def true_rows(*columns: np.ndarray) -> pd.DataFrame:
    """The columns of `read_mot`, (N,) each and in its order, as its table."""
    types = ("int32", "int32", "float32", "float32", "float32", "float32", "bool", "float32")
    return pd.DataFrame({c: v.astype(t) for c, v, t in zip(COLUMNS, columns, types, strict=True)})


def _parse(path: Path, number: int, line: str) -> tuple[float, ...]:
    """frame (one-based), id, x, y, w, h, flag, visibility of one line."""

    def wrong(what: str) -> UserError:
        return UserError(
            f"{path}: line {number}: {what}; expected {_EXPECTED} with frames from 1, found {shown(line.strip())}."
        )

    fields = line.rstrip().rstrip(",").split(",")
    if len(fields) < 6:
        raise wrong(
            f"{len(fields)} field{'s' * (len(fields) != 1)} separated by commas, at least 6 are needed"
        )
    try:
        values = [float(f) for f in fields]
    except ValueError:
        raise wrong("a field is not a number") from None
    if not all(math.isfinite(v) for v in values):
        raise wrong("a field is not a finite number")
    frame, identity, x, y, w, h = values[:6]
    if not 1 <= frame <= LARGEST or frame != int(frame):
        raise wrong(f"the frame is not a whole number from 1 to {LARGEST}")
    if not -1 <= identity <= LARGEST or identity != int(identity):
        raise wrong(f"the id is not a whole number up to {LARGEST}")
    flag = values[6] if len(values) > 6 else 1.0
    if flag and identity < 0:
        raise wrong("a box that counts has a negative id")
    if max(abs(x), abs(y), abs(x + w), abs(y + h)) > FARTHEST_PX:
        raise wrong("the box lies more than a million pixels away")
    # A float32 corner must stay apart from its opposite: manifests forbid empty boxes.
    if flag and not (np.float32(x) < np.float32(x + w) and np.float32(y) < np.float32(y + h)):
        raise wrong("width and height are not above 0")
    # MOT15 files have ten fields, the last three of them world coordinates.
    visibility = values[8] if len(values) == 9 else 1.0
    if not 0 <= visibility <= 1:
        if len(values) == 9 and visibility != -1:
            raise wrong("the visibility is not between 0 and 1")
        visibility = 1.0
    return frame, identity, x, y, w, h, flag, visibility


def find_mot(source: Path, videos: pd.DataFrame, word: str = "GROUND_TRUTH") -> dict[str, Path]:
    """The truth file of each video: ``video_id`` → path; videos without one are left out.

    Args:
        source: one file (where there is one video), or a folder that holds ``<video_id>.txt``, ``<file stem>.txt``,
            ``<file stem>/gt/gt.txt`` or, where there is one video, ``gt.txt``; or CVAT's XML in place of such a text.
        videos: columns video_id, path.
        word: of the command line, for the messages.

    Raises:
        UserError: no video has a file, a single file was given for several videos, or one file serves two videos.
    """
    if source.is_file():
        if len(videos) != 1:
            raise UserError(
                f"{word}={source}: one file, but there are {len(videos)} videos; "
                "name a folder with one <video_id>.txt or <file stem>.txt per video."
            )
        return {str(videos.video_id.iloc[0]): source}
    found: dict[str, Path] = {}
    owner: dict[Path, str] = {}
    for video_id, video in sorted(zip(videos.video_id, videos.path, strict=True)):
        stem = Path(video).stem if not os.path.isdir(video) else Path(video).name
        names = [f"{video_id}.txt", f"{stem}.txt", f"{stem}/gt/gt.txt", f"{video_id}.xml", f"{stem}.xml"]
        if len(videos) == 1:
            names += ["gt.txt", "gt/gt.txt", "annotations.xml"]
        # os.path, since a name longer than any there is just is not there.
        path = next((source / n for n in names if os.path.isfile(source / n)), None)
        if path is None:
            continue
        if path in owner:
            raise UserError(
                f"{path}: two videos, '{owner[path]}' and '{video_id}', would share this one file; "
                f"name the files after the videos: {video_id}.txt."
            )
        found[video_id], owner[path] = path, video_id
    if not found and len(videos):
        example = sorted(videos.video_id)[0]
        raise UserError(
            f"{word}={source}: nothing for any video; expected MOT text files such as {example}.txt, or CVAT's XML."
        )
    return found


def write_mot(path: Path, rows: pd.DataFrame) -> None:
    """Write tracking results: ``frame,id,x,y,w,h,score,-1,-1,-1``, sorted by frame and id, frames from one.

    Args:
        rows: frame (zero-based), id, x1, y1, x2, y2 (px), score (optional, 1 where absent).
    """
    rows = rows.sort_values(["frame", "id"], kind="stable")
    score = rows.score if "score" in rows else pd.Series(1.0, index=rows.index)
    with path.open("w", encoding="ascii", newline="\n") as file:
        for f, i, x1, y1, x2, y2, s in zip(
            rows.frame, rows.id, rows.x1, rows.y1, rows.x2, rows.y2, score, strict=True
        ):
            file.write(
                f"{int(f) + 1},{int(i)},{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},{s:.4f},-1,-1,-1\n"
            )
