"""MARS (Zheng et al., ECCV 2016): six cameras, tracklets by a detector and a tracker, so junk and distractors are many.

``info/`` holds the names of all boxes in order, and tables of tracklets: first and last box (counted from one), person,
camera. Traps: the queries are tracklets of the test set and stay in the gallery, or 140 of them have no match; person
-1 is junk and is left out, person 0 is a distractor and stays. Frames are numbered inside their tracklet: no times.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.datasets.benchmark import Seen, inside, lines, matlab, need
from pipeline.errors import UserError

_WHAT = "MARS has bbox_train, bbox_test and its info folder (github: MARS-evaluation)"


def read(root: Path) -> Iterator[Seen]:
    """8,298 tracklets to train (625 persons), 12,180 to test, 1,980 of them queries."""
    info = need(root / "info", _WHAT)
    train, test, queries = tracks(info)
    for part, folder, table in (("train", "bbox_train", train), ("test", "bbox_test", test)):
        need(root / folder, _WHAT)
        names = [name for line in lines(info / f"{part}_name.txt", _WHAT) for name in line.split()]
        if len(names) < table[:, 1].max(initial=0):
            raise UserError(
                f"{info / f'{part}_name.txt'}: {len(names)} names, and the tables speak of {table[:, 1].max()}; copy it again."
            )
        yield from seen(
            part, root / folder, names, table, queries if part == "test" else np.zeros(0, np.int64)
        )


def tracks(
    info: Path, prefix: str = ""
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(T, 4) tracklets to train and to test as first box, last box, person, camera; (Q,) rows of the queries, from zero."""

    def table(name: str, key: str, columns: int | None = None) -> npt.NDArray[np.int64]:
        return matlab(info / f"{prefix}{name}.mat", key, _WHAT, columns)

    return (
        table("tracks_train_info", "track_train_info", 4),
        table("tracks_test_info", "track_test_info", 4),
        table("query_IDX", "query_IDX").ravel() - 1,
    )


def seen(
    part: str,
    folder: Path,
    names: Sequence[str],
    table: npt.NDArray[np.int64],
    queries: npt.NDArray[np.int64],
) -> Iterator[Seen]:
    """The tracklets of a table; those of persons from -1 on have a folder of four digits, or ``00-1``."""
    asked = set(queries.tolist())
    for row, (first, last, pid, camera) in enumerate(table.tolist()):
        wanted = names[max(first - 1, 0) : max(last, 0)]
        file = folder.parent / "info" / f"{part}_name.txt"
        paths = [inside(folder, f"{name[:4]}/{name}", file) for name in wanted]
        test = part == "test"
        yield Seen(f"{part}/{row:05d}", f"c{camera}", pid, part, row in asked, test, paths)
