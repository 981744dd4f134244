"""The tables that a method's `associate` ends in: links between tracklets, and labels that hold on the whole site."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

Ints = npt.NDArray[np.integer]


def pairs_across(label: Ints, camera: npt.NDArray[np.generic]) -> tuple[Ints, Ints]:
    """Rows i < j of every two tracklets of one label in different cameras; label (T,), -1 for none; camera (T,)."""
    found = [np.zeros((2, 0), np.int64)]
    order = np.argsort(label, kind="stable")
    # Label by label: a benchmark of images has too many tracklets for a table of all pairs.
    for rows in np.split(order, np.flatnonzero(np.diff(label[order])) + 1):
        if len(rows) and label[rows[0]] >= 0:
            i, j = rows[np.stack(np.triu_indices(len(rows), 1))]
            found.append(np.stack([i, j])[:, camera[i] != camera[j]])
    i, j = np.concatenate(found, axis=1)
    by_row = np.lexsort((j, i))
    return i[by_row], j[by_row]


def link_table(
    tracklets: pd.DataFrame,
    i: Ints,
    j: Ints,
    distance: npt.NDArray[np.floating],
    kept: npt.NDArray[np.bool_] | bool,
    joint_distance: npt.NDArray[np.floating] | None = None,
) -> pd.DataFrame:
    """ASSOCIATIONS of the pairs of rows ``i``, ``j`` (P,), in their order.

    joint_distance: None where the method knows no prior: the distance itself.
    """
    ids = tracklets.tracklet_id.to_numpy(str)
    start, end = tracklets.t_start_us.to_numpy(), tracklets.t_end_us.to_numpy()
    first, second = np.sort(np.stack([ids[i], ids[j]]), axis=0)
    return pd.DataFrame(
        {
            "tracklet_a": first,
            "tracklet_b": second,
            "distance": distance,
            "joint_distance": distance if joint_distance is None else joint_distance,
            "transit_time_s": np.maximum(start[j] - end[i], start[i] - end[j]) / 1e6,
            "kept": kept,
        }
    )


def site_labels(tracklets: pd.DataFrame, rows: Ints | npt.NDArray[np.bool_], labels: Ints) -> pd.DataFrame:
    """PSEUDO_LABELS: one hard label, comparable on the whole site, for each of the tracklets ``rows``."""
    return pd.DataFrame(
        {
            "tracklet_id": tracklets.tracklet_id.to_numpy()[rows],
            "group": "site",
            "pseudo_label": labels,
            "weight": 1.0,
        }
    )


def label_of_tracklets(tracklets: pd.DataFrame, pseudo_labels: pd.DataFrame) -> npt.NDArray[np.int64]:
    """(T,) the one hard label of each tracklet, -1 where it has none; what `site_labels` was made of."""
    label = tracklets.tracklet_id.map(pseudo_labels.set_index("tracklet_id").pseudo_label)
    return label.fillna(-1).to_numpy(np.int64)
