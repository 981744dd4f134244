"""PRID-2011 (Hirzer et al., SCIA 2011): 385 persons in camera A, 749 in B, the first 200 of each the same.

The usual protocol: 178 of the 200 have 27 frames or more in both cameras; ten random halves; A asks, B answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.datasets.benchmark import Seen, across_two, matlab, need, number, pictures

SHARED = 200
MIN_FRAMES = 27
CAMERAS = ("cam_a", "cam_b")
_WHAT = "PRID-2011 has multi_shot/cam_a and multi_shot/cam_b"


def read(root: Path, trial: int) -> Iterator[Seen]:
    """89 persons to train, 89 to test. The published split file is used where it lies in ``root``, else a random half."""
    found = {camera: sequences(root, camera) for camera in CAMERAS}
    long = [
        p
        for p in range(1, SHARED + 1)
        if all(len(found[camera].get(p, ())) >= MIN_FRAMES for camera in CAMERAS)
    ]
    test = set(_order(root, len(long), trial)[: len(long) // 2])
    for i, person in enumerate(long):
        for camera in CAMERAS:
            yield across_two(
                CAMERAS,
                camera,
                f"{person:04d}",
                person,
                "test" if i in test else "train",
                found[camera][person],
            )


def read_wild(root: Path, trial: int, shared: int = 100, sequences_per_camera: int = 300) -> Iterator[Seen]:
    """RACE's wild setting: 600 sequences to train, only ``shared`` of the persons in both cameras; the other 100 test.

    "300 sequences in each camera" cannot be: camera A has 185 persons that B has not. So A gives all of these, and B
    what is missing from 600; the paper's own imbalance study pools the 734 strangers alike.
    """
    found = {camera: sequences(root, camera) for camera in CAMERAS}
    random = np.random.default_rng(trial)
    both = random.permutation(
        [p for p in range(1, SHARED + 1) if all(p in found[c] for c in CAMERAS)]
    ).tolist()
    for person in both:
        for camera in CAMERAS:
            part = "train" if person in both[:shared] else "test"
            yield across_two(CAMERAS, camera, f"{person:04d}", person, part, found[camera][person])
    strangers = {c: random.permutation([p for p in found[c] if p > SHARED]).tolist() for c in CAMERAS}
    from_a = strangers["cam_a"][: sequences_per_camera - shared]
    from_b = strangers["cam_b"][: 2 * (sequences_per_camera - shared) - len(from_a)]
    for camera, persons in (("cam_a", from_a), ("cam_b", from_b)):
        for person in persons:
            # Person 201 of A is not person 201 of B.
            pid = person if camera == "cam_a" else 1000 + person
            yield across_two(CAMERAS, camera, f"{pid:04d}", pid, "train", found[camera][person])


def sequences(root: Path, camera: str) -> dict[int, list[Path]]:
    """person → frames of a camera."""
    home = root / "multi_shot" if (root / "multi_shot").is_dir() else root
    folder = need(home / camera, _WHAT)
    return {
        number(p.name.rpartition("_")[2], p): pictures(p, _WHAT)
        for p in sorted(folder.glob("person_*"))
        if p.is_dir()
    }


def _order(root: Path, count: int, trial: int) -> list[int]:
    """Rows of the persons, those to test first."""
    files = sorted(root.rglob("train_test_splits_prid.mat"))
    if files:
        table = matlab(files[0], "ls_set", _WHAT)
        if table.shape[1] == count and trial < len(table):
            return [int(i) - 1 for i in table[trial]]
    return [int(i) for i in np.random.default_rng(trial).permutation(count)]
