"""Split-tracklet rank-1: does the first half of a tracklet find its own second half? Needs no truth.

Raw features, no constraint of time or place. Two tracklets of one person make it err on the low side, frames that are
nearly the same on the high side; hence the gap between the halves.
"""

from __future__ import annotations

import numpy as np
import pandas as pd


def split_halves(crops: pd.DataFrame, gap_share: float = 0.2, min_crops: int = 5) -> np.ndarray:
    """(N,) 0 for the first part of a tracklet, 1 for the last, -1 for the gap between them and for short tracklets.

    Args:
        crops: tracklet_id, t_utc_us; any order.
        gap_share: share of the crops dropped in the middle.
        min_crops: tracklets with fewer are left out.
    """
    order = crops.assign(row=np.arange(len(crops))).sort_values(["tracklet_id", "t_utc_us"], kind="stable")
    place = order.groupby("tracklet_id").cumcount().to_numpy()
    n = order.groupby("tracklet_id").row.transform("size").to_numpy()
    part = np.floor(n * (1 - gap_share) / 2 + 1e-9)
    half = np.where(place < part, 0, np.where(place >= n - part, 1, -1))
    half[(n < min_crops) | (part < 1)] = -1
    result = np.empty(len(crops), np.int64)
    result[order.row.to_numpy()] = half
    return result


def split_rank1(
    features: np.ndarray, tracklet_id: np.ndarray, camera_id: np.ndarray, half: np.ndarray
) -> dict[str, object]:
    """Share of first halves whose nearest second half is their own.

    Args:
        features: (N, D) L2-normalised per crop.
        tracklet_id, camera_id: (N,) of each crop.
        half: (N,) from :func:`split_halves`.

    Returns:
        split_tracklet_rank1 (gallery: second halves of all cameras), per_camera (gallery: the own camera's), tracklets;
        None where there are fewer than two tracklets.
    """
    ids, index = np.unique(tracklet_id[half >= 0], return_inverse=True)
    camera = np.empty(len(ids), dtype=object)
    camera[index] = camera_id[half >= 0]

    def means(which: int) -> np.ndarray:
        total = np.zeros((len(ids), features.shape[1]))
        chosen = half[half >= 0] == which
        np.add.at(total, index[chosen], features[half >= 0][chosen])
        return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)

    similarity = means(0) @ means(1).T

    def rank1(rows: np.ndarray) -> float | None:
        if len(rows) < 2:
            return None
        among = similarity[np.ix_(rows, rows)]
        own = among.diagonal().copy()
        np.fill_diagonal(among, -np.inf)
        return float((own > among.max(1)).mean())  # a tie is wrong, or a collapsed network would look good

    cameras = sorted(set(camera))
    return {
        "split_tracklet_rank1": rank1(np.arange(len(ids))),
        "per_camera": {str(c): rank1(np.flatnonzero(camera == c)) for c in cameras},
        "tracklets": len(ids),
    }
