"""Campus-4K (Xie et al., 2019, the TASTR paper): six static, synchronous cameras, given out by its authors on request.

``train``, ``query`` and ``gallery`` hold a folder per person and in it one per tracklet, of frames whose names carry person,
camera and frame number (30/s): characters 1 to 4, 7 and 10 to 14. Those training tracklets were drawn by people, so that what is
learned here compares with the paper's weakly supervised rows; its unsupervised ones used a tracker's own. The layout is
known to us from public code that reads it; we had no copy to try.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data.datasets.benchmark import Seen, need, pictures

_US_PER_FRAME = 1_000_000 / 30


def read(root: Path) -> Iterator[Seen]:
    """1,843 tracklets to train (695 persons), 695 queries, 1,311 in the gallery."""
    for folder, part in (("train", "train"), ("query", "test"), ("gallery", "test")):
        home = need(root / folder, "Campus-4K has train, query and gallery, by person and tracklet")
        for person in sorted(p for p in home.iterdir() if p.is_dir()):
            for tracklet in sorted(p for p in person.iterdir() if p.is_dir()):
                paths = [p for p in pictures(tracklet, "a folder of frames") if p.name[9:14].isdecimal()]
                if paths:
                    yield Seen(
                        f"{part}/{folder}/{person.name}/{tracklet.name}", f"c{paths[0].name[6]}", int(person.name), part,
                        folder == "query", folder == "gallery", paths,
                        [round(int(p.name[9:14]) * _US_PER_FRAME) for p in paths],
                    )  # fmt: skip
