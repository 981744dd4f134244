"""iLIDS-VID (Wang et al., ECCV 2014): 300 persons, each once in both cameras of an airport hall.

Ten random halves come with it: the first 150 of a row are the persons to test. Camera one asks, camera two answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from data.datasets.benchmark import Seen, across_two, matlab, need, number, pictures
from pipeline.errors import UserError

CAMERAS = ("cam1", "cam2")


def read(root: Path, trial: int) -> Iterator[Seen]:
    """Half of the persons to train, half to test; sequences where they are there, else the single images."""
    train, test = split(root, trial)
    for person in sorted(train | test):
        for camera in CAMERAS:
            yield one(root, camera, person, "train" if person in train else "test")


def read_wild(root: Path, trial: int) -> Iterator[Seen]:
    """RACE's wild setting: of the 150 persons to train 50 are in both cameras, 50 in either alone.

    The paper says 300 sequences, 100 in each of two cameras, 50 persons in both. 100 in each with 50 in both are exactly
    the 150 persons of a half and their 100 certain strangers; 300 is what both cameras have of them without the loss.
    """
    train, _ = split(root, trial)
    order = np.random.default_rng(trial).permutation(sorted(train)).tolist()
    third = len(order) // 3
    only = {p: "cam1" for p in order[third : 2 * third]} | {p: "cam2" for p in order[2 * third :]}
    for row in read(root, trial):
        person = row.tracklet_id.rpartition("/")[2]
        if row.part == "test" or only.get(person, row.camera_id) == row.camera_id:
            yield row


def split(root: Path, trial: int) -> tuple[set[str], set[str]]:
    """Those to train and those to test."""
    found = sorted(root.rglob("train_test_splits_ilidsvid.mat")) + sorted(
        root.rglob("train-test people splits/*ilids*.mat")
    )
    file = found[0] if found else root / "train_test_splits_ilidsvid.mat"
    splits = matlab(file, "ls_set", "the ten splits come with iLIDS-VID")
    if trial >= len(splits):
        raise UserError(f"{file}: holds {len(splits)} splits, so there is no TRIAL={trial}; copy it again.")
    persons = sorted(
        p.name
        for p in need(_home(root) / "images" / "cam1", "iLIDS-VID has images/cam1").iterdir()
        if p.is_dir()
    )
    called = [persons[i - 1] for i in splits[trial].tolist() if 0 < i <= len(persons)]
    return set(called[len(called) // 2 :]), set(called[: len(called) // 2])


def one(root: Path, camera: str, person: str, part: str) -> Seen:
    """A person's sequence in one camera, or its image."""
    home = _home(root)
    sequence = home / "sequences" / camera / person
    paths = pictures(
        sequence if sequence.is_dir() else home / "images" / camera / person,
        "iLIDS-VID has images and sequences",
    )
    return across_two(CAMERAS, camera, person, number(person[-3:], sequence), part, paths)


def _home(root: Path) -> Path:
    return root / "i-LIDS-VID" if (root / "i-LIDS-VID").is_dir() else root
