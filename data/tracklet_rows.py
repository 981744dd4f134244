"""Which rows of a table of crops or boxes are a tracklet's own."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd


def rows_by_tracklet(tracklet: npt.NDArray[np.integer], n: int) -> list[npt.NDArray[np.int64]]:
    """For each of n tracklets the rows that are its own, in their order; rows of -1 are nobody's."""
    order = np.argsort(tracklet, kind="stable")
    ends = np.searchsorted(tracklet[order], np.arange(n + 1))
    return [order[a:b].astype(np.int64) for a, b in pairwise(ends)]


def evenly(group: pd.Series, count: int) -> np.ndarray:
    """(N,) True for at most ``count`` rows of each group, spread from its first to its last row as they stand."""
    place = group.groupby(group, sort=False).cumcount().to_numpy()
    n = group.groupby(group, sort=False).transform("size").to_numpy()
    if count == 1:
        return place == n // 2
    # Row p is taken when a multiple of (n - 1) / (count - 1), rounded down, falls on it.
    step = np.maximum((n - 1) / (count - 1), 1e-12)
    slot = np.ceil(place / step - 1e-9)
    return (n <= count) | ((slot < count) & (np.floor(slot * step + 1e-9) == place))


def split_halves(crops: pd.DataFrame, gap_fraction: float = 0.2, min_crops: int = 5) -> np.ndarray:
    """(N,) 0 for the first part of a tracklet, 1 for the last, -1 for the gap between them and for short tracklets.

    Args:
        crops: tracklet_id, t_utc_us; any order.
        gap_fraction: share of the crops dropped in the middle.
        min_crops: tracklets with fewer are left out.
    """
    order = crops.assign(row=np.arange(len(crops))).sort_values(["tracklet_id", "t_utc_us"], kind="stable")
    place = order.groupby("tracklet_id").cumcount().to_numpy()
    n = order.groupby("tracklet_id").row.transform("size").to_numpy()
    part = np.floor(n * (1 - gap_fraction) / 2 + 1e-9)
    half = np.where(place < part, 0, np.where(place >= n - part, 1, -1))
    half[(n < min_crops) | (part < 1)] = -1
    result = np.empty(len(crops), np.int64)
    result[order.row.to_numpy()] = half
    return result
