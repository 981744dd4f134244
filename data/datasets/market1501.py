"""Market-1501 (Zheng et al., ICCV 2015): six cameras, one image a tracklet.

Names are ``PPPP_cCsS_FFFFFF_NN.jpg``: person (-1 junk, 0000 distractor), camera, recording and frame at 25 frames/s. Frames
are counted from the start of each recording; whether recordings of two cameras began together nobody says, so the times
of two cameras must not be compared. Protocol: single query, the query's own person in its own camera out of the gallery.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.datasets.benchmark import DAY_US, Seen, bounding_boxes, pictures, single_frames

_NAME = re.compile(r"(-1|\d{4})_c(\d)s(\d{1,3})_(\d{1,9})_\d+\.jpe?g(\.jpg)?")


def read(root: Path) -> Iterator[Seen]:
    """12,936 images to train, 3,368 queries, 19,732 in the gallery, 3,819 of them junk."""
    yield from bounding_boxes(root, "Market-1501", named)


def read_half(root: Path, trial: int) -> Iterator[Seen]:
    """One folder of such images without a split: a random half of the persons to train, every image of the rest asks."""
    files = [p for p in pictures(root, "a folder of images named as Market-1501's") if named(p.name)]
    persons = np.array(sorted({pid for p in files if (pid := _of(p)) > 0}))
    train = set(np.random.default_rng(trial).permutation(persons)[: len(persons) // 2].tolist())
    yield from single_frames([p for p in files if _of(p) in train], named, "train")
    yield from single_frames(
        [p for p in files if _of(p) not in train], named, "test", query=True, gallery=True
    )


def named(name: str) -> tuple[int, str, int] | None:
    """pid, camera and time, µs, of a file name; None for another file."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    pid, camera, recording, frame = (int(found[i]) for i in range(1, 5))
    return pid, f"c{camera}", recording * DAY_US + frame * 40_000


def _of(path: Path) -> int:
    return (named(path.name) or (-1,))[0]
