"""Which rows of a table of crops or boxes are a tracklet's own."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt


def rows_by_tracklet(tracklet: npt.NDArray[np.integer], n: int) -> list[npt.NDArray[np.int64]]:
    """For each of n tracklets the rows that are its own, in their order; rows of -1 are nobody's."""
    order = np.argsort(tracklet, kind="stable")
    ends = np.searchsorted(tracklet[order], np.arange(n + 1))
    return [order[a:b].astype(np.int64) for a, b in pairwise(ends)]
