"""LS-VID (Li et al., ICCV 2019): fifteen cameras, 3,772 persons.

``list_sequence/list_seq_{train,test}.txt`` name the beginning of each tracklet's file names and its person; the camera is
the third field of a name; ``test/data/info_test.mat`` (HDF5) holds the numbers of the queries. As in MARS the queries
stay in the gallery.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

from data.datasets.benchmark import Seen, inside, lines, need, number
from pipeline.errors import UserError

_WHAT = "LS-VID has list_sequence/list_seq_train.txt, list_seq_test.txt and test/data/info_test.mat"


def read(root: Path) -> Iterator[Seen]:
    """2,831 tracklets to train (842 persons), 11,333 to test, 3,504 of them queries."""
    asked = queries(root)
    for part in ("train", "test"):
        file = root / "list_sequence" / f"list_seq_{part}.txt"
        for row, line in enumerate(lines(file, _WHAT)):
            start, person = ["", *line.rsplit(maxsplit=1)][-2:]
            begin = inside(root, start.strip(), file)
            paths = sorted(begin.parent.glob(glob.escape(begin.name) + "*"))
            if not paths:
                continue
            camera = [*paths[0].name.split("_"), "", ""][2]
            test, pid = part == "test", number(person, file)
            yield Seen(
                f"{part}/{row:05d}",
                f"c{number(camera, paths[0])}",
                pid,
                part,
                test and row in asked,
                test,
                paths,
            )


def queries(root: Path) -> set[int]:
    """Rows of the test list that ask, from zero.

    Raises:
        UserError: the file needs h5py, which is not installed, or is not as its authors made it.
    """
    path = need(root / "test" / "data" / "info_test.mat", _WHAT)
    try:
        import h5py
    except ImportError:
        raise UserError(
            f"{path}: is HDF5; `pip install trackweave[benchmarks]` brings h5py, which reads it."
        ) from None
    try:
        with h5py.File(path, "r") as file:
            return {int(i) - 1 for i in file["query"][0, :]}
    except (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise UserError(
            f"{path}: cannot be read as HDF5 with the row 'query' ({error}); copy it again."
        ) from None
