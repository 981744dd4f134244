"""DukeMTMC-reID (Zheng et al., ICCV 2017) and DukeMTMC-VideoReID (Wu et al., CVPR 2018): eight cameras of a campus.

Withdrawn by its authors in 2019: the people in it never agreed to be. Nothing of it is shipped, needed or fetched here;
the readers are for whoever holds a copy and wants to compare with the papers of that time.

Names: ``0001_c2_f0046182.jpg`` and ``0001_C5_F0001_X207687.jpg``. Frames count from each camera's own start at 60/s (59.94).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from data.datasets.benchmark import Seen, bounding_boxes, by_person_and_tracklet
from pipeline.errors import UserError

# First frame of each camera on the common clock (DukeMTMC's own readme); times of two cameras compare after adding it.
START_FRAMES = (5543, 3607, 27244, 31182, 1, 22402, 18968, 46766)
_US_PER_FRAME = 1_000_000 / 59.94
_IMAGE = re.compile(r"(-1|\d{4})_c([1-8])_f(\d{1,9})\.jpg")


def read_images(root: Path) -> Iterator[Seen]:
    """16,522 images to train (702 persons), 2,228 queries, 17,661 in the gallery."""
    yield from bounding_boxes(root, "DukeMTMC-reID", named)


def read_tracklets(root: Path) -> Iterator[Seen]:
    """DukeMTMC-reID as TASTR trains on it: all images of a person in one camera are one tracklet, in order of time.

    That uses the labels inside each camera, as its paper does on this set for want of a tracker's own tracklets.
    """
    images: dict[tuple[str, int], list[Seen]] = {}
    for row in read_images(root):
        if row.part == "test":
            yield row
        else:
            images.setdefault((row.camera_id, row.pid), []).append(row)
    for (camera, pid), rows in sorted(images.items()):
        times = [t for row in rows for t in row.t_us or ()]
        yield Seen(
            f"train/{camera}/{pid:04d}",
            camera,
            pid,
            "train",
            False,
            False,
            [row.paths[0] for row in rows],
            times,
        )


def read_video(root: Path) -> Iterator[Seen]:
    """2,196 tracklets to train (702 persons), 702 queries, 2,636 in the gallery, where they are found."""
    yield from by_person_and_tracklet(root, "DukeMTMC-VideoReID", _frame)


def _frame(path: Path) -> tuple[str, None]:
    camera = re.search(r"\d_?C(\d)_?F", path.name)
    if camera is None:
        raise UserError(
            f"{path}: no camera in its name; wanted is 0001_C5_F0001_X207687.jpg or 0001C5F0001X207687.jpg."
        )
    return f"c{camera[1]}", None


def named(name: str) -> tuple[int, str, int] | None:
    """pid, camera and time on the common clock, µs, of a file name; None for another file."""
    found = _IMAGE.fullmatch(name)
    if found is None:
        return None
    camera = int(found[2])
    return int(found[1]), f"c{camera}", round((START_FRAMES[camera - 1] + int(found[3])) * _US_PER_FRAME)
