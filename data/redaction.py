"""Purged people kept out of pictures: boxes that are mostly theirs are left out, and in frames that they share with
others they are painted over.

Rather too much than too little: a box counts with some room around it, and for half a second longer on both ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.redaction_list import Piece
from data.video import Frame

_AROUND = 0.15  # of a box's width and height, on each side
_HELD_S = 0.5
_MOSTLY = 0.5  # a box covered by more than this share shows the purged person, whatever track it is of
_SAME = 0.5  # overlap (IoU) at which a true box is that of the purged person
_GREY = 128
_CORNERS = ["x1", "y1", "x2", "y2"]

Boxes = npt.NDArray[np.float64]


def pieces_of(boxes: pd.DataFrame, videos: pd.DataFrame) -> list[Piece]:
    """The pieces of tracklets.

    Args:
        boxes: BOXES of the people to purge; videos: VIDEOS.
    """
    rate = dict(zip(videos.video_id, videos.fps.tolist(), strict=True))
    digest = dict(zip(videos.video_id, videos.digest, strict=True))
    found = []
    for (tracklet, video_id), rows in boxes.sort_values("frame").groupby(["tracklet_id", "video_id"]):
        held = max(round(_HELD_S * rate[video_id]), 1)
        low, high = np.floor(rows[["x1", "y1"]].to_numpy()), np.ceil(rows[["x2", "y2"]].to_numpy())
        corners = np.hstack([low, high]).astype(int).tolist()
        frames = rows.frame.tolist()
        frames = [max(frames[0] - held, 0), *frames, frames[-1] + held]
        found.append(Piece(digest[video_id], str(tracklet), frames, [corners[0], *corners, corners[-1]]))
    return found


def without(boxes: pd.DataFrame, gone: Mapping[str, list[Piece]]) -> pd.DataFrame:
    """The rows (video_id, frame, x1, y1, x2, y2) that do not show a purged person, in their order."""
    kept = np.ones(len(boxes), bool)
    for video_id, pieces in gone.items():
        rows = np.flatnonzero((boxes.video_id == video_id).to_numpy())
        frame = boxes.frame.to_numpy()[rows]
        corners = boxes[_CORNERS].to_numpy(np.float64)[rows]
        for piece in pieces:
            at = (frame >= piece.frames[0]) & (frame <= piece.frames[-1])
            kept[rows[at]] &= _covered(corners[at], _placed(piece, frame[at])) <= _MOSTLY
    return boxes if kept.all() else boxes[kept].reset_index(drop=True)


def persons(truth: pd.DataFrame, gone: Mapping[str, list[Piece]]) -> set[int]:
    """The true people (pid of GROUND_TRUTH) whom the pieces show, so that their true boxes are left alone too."""
    found = set()
    for video_id, pieces in gone.items():
        own = truth[truth.video_id == video_id]
        for piece in pieces:
            seen = pd.DataFrame(piece.boxes, columns=[f"own_{c}" for c in _CORNERS]).assign(
                frame=piece.frames
            )
            both = own.merge(seen, on="frame")
            true, mine = (
                both[_CORNERS].to_numpy(np.float64),
                both[list(seen.columns[:4])].to_numpy(np.float64),
            )
            hits = both.pid[_overlap(true, mine) >= _SAME]
            if len(hits):
                found.add(int(hits.mode().iloc[0]))
    return found


def painted(frames: Iterable[Frame], pieces: Sequence[Piece]) -> Iterator[Frame]:
    """The same frames of a recording, with grey in place of its purged people."""
    for frame in frames:
        boxes = _boxes_at(pieces, frame.index)
        if not len(boxes):
            yield frame
            continue
        facts: dict[str, Any] = {f.name: getattr(frame, f.name) for f in fields(frame)}
        yield _Painted(**facts, gone=boxes)


@dataclass(frozen=True)
class _Painted(Frame):
    """gone: (N, 4) boxes in px of the picture."""

    gone: Boxes = field(default_factory=lambda: np.zeros((0, 4)))

    def rgb(self) -> npt.NDArray[np.uint8]:
        image = super().rgb().copy()
        for x1, y1, x2, y2 in self.gone:
            image[max(int(y1), 0) : max(int(np.ceil(y2)), 0), max(int(x1), 0) : max(int(np.ceil(x2)), 0)] = (
                _GREY
            )
        return image


def _boxes_at(pieces: Sequence[Piece], frame: int) -> Boxes:
    here = [p for p in pieces if p.frames[0] <= frame <= p.frames[-1]]
    return np.concatenate([np.zeros((0, 4)), *(_placed(p, np.array([frame])) for p in here)])


def _placed(piece: Piece, frame: npt.NDArray[np.integer]) -> Boxes:
    """(N, 4) the box at each frame, with the room around it."""
    boxes = np.asarray(piece.boxes, np.float64)
    at = np.stack([np.interp(frame, piece.frames, boxes[:, i]) for i in range(4)], axis=1)
    around = _AROUND * (at[:, 2:] - at[:, :2])
    return np.hstack([at[:, :2] - around, at[:, 2:] + around])


def _common(a: Boxes, b: Boxes) -> npt.NDArray[np.float64]:
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    return np.asarray(sides.clip(0).prod(axis=1))


def _area(boxes: Boxes) -> npt.NDArray[np.float64]:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


def _covered(boxes: Boxes, by: Boxes) -> npt.NDArray[np.float64]:
    """(N,) share of each box under that of the same row."""
    return np.asarray(_common(boxes, by) / np.maximum(_area(boxes), 1e-9))


def _overlap(a: Boxes, b: Boxes) -> npt.NDArray[np.float64]:
    """(N,) intersection over union, row by row."""
    common = _common(a, b)
    return np.asarray(common / np.maximum(_area(a) + _area(b) - common, 1e-9))
