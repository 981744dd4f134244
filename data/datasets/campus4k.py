"""Campus-4K (Xie et al., 2019, the TASTR paper): six static, synchronous cameras, given out by its authors on request.

``train``, ``query`` and ``gallery`` hold a folder per person and in it one per tracklet, of frames whose names carry person,
camera and frame number (30/s): characters 1 to 4, 7 and 10 to 14. Those training tracklets were drawn by people, so that what is
learned here compares with the paper's weakly supervised rows; its unsupervised ones used a tracker's own. The layout is
known to us from public code that reads it; we had no copy to try.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data.datasets.benchmark import Seen, by_person_and_tracklet

_US_PER_FRAME = 1_000_000 / 30


def read(root: Path) -> Iterator[Seen]:
    """1,843 tracklets to train (695 persons), 695 queries, 1,311 in the gallery."""
    yield from by_person_and_tracklet(root, "Campus-4K", named)


def named(path: Path) -> tuple[str, int] | None:
    """Camera and time, µs, of a frame; None for another file."""
    if not path.name[9:14].isdecimal():
        return None
    return f"c{path.name[6]}", round(int(path.name[9:14]) * _US_PER_FRAME)
