"""The list of people taken out of a run for good (`make purge IDENTITY=`): where they stood, so that no picture is made of
them again; see `data.redaction`.

It goes by the content of a recording and by place, not by tracklets or identities, whose numbers change when a stage is
run anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

PLACE = Path("purged.json")  # in a run's folder


class Piece(NamedTuple):
    """One tracklet in one recording.

    video: SHA-256 of the recording; tracklet: as it was called, for people who read the list; frames: rising; boxes:
    x1, y1, x2, y2 in px at each of these frames. Between two frames a box moves evenly.
    """

    video: str
    tracklet: str
    frames: list[int]
    boxes: list[list[int]]


def read(path: Path) -> list[Piece]:
    """The list, in the order in which it was written; empty where nobody was purged.

    Raises:
        UserError: the file is damaged.
    """
    if not path.is_file():
        return []
    try:
        pieces = [Piece(**piece) for piece in json.loads(path.read_text(encoding="utf-8"))]
        if any(
            not p.frames or len(p.boxes) != len(p.frames) or {len(b) for b in p.boxes} != {4} for p in pieces
        ):
            raise ValueError
        return pieces
    except (ValueError, TypeError):
        raise UserError(
            f"{path}: damaged, and it says of whom no picture may be made; bring it back from a backup, or delete it "
            "to let everybody in again."
        ) from None


def add(path: Path, pieces: Iterable[Piece]) -> None:
    """Put pieces on the list, each once; it is on the disk, whole, when this returns."""
    lines = dict.fromkeys(json.dumps(piece._asdict()) for piece in [*read(path), *pieces])
    scratch = path.with_name(path.name + ".part")
    with scratch.open("w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(lines) + "\n]\n")
        file.flush()
        os.fsync(file.fileno())
    scratch.rename(path)


def of_videos(pieces: Iterable[Piece], videos: pd.DataFrame) -> dict[str, list[Piece]]:
    """video_id → its pieces; videos of which there are none are missing.

    Args:
        videos: VIDEOS.
    """
    of_content: dict[str, list[Piece]] = {}
    for piece in pieces:
        of_content.setdefault(piece.video, []).append(piece)
    named = zip(videos.video_id, videos.digest, strict=True)
    return {str(name): of_content[digest] for name, digest in named if digest in of_content}
