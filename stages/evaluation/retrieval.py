"""Rank-1 and mAP: the headline on true boxes, and end to end on our own tracklets.

Both ask the same queries: one per (test person, camera) whose person was seen by another camera too. The query's own
camera is removed from the gallery.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from stages.reid.ranking import rank

ROWS = ("query_id", "pid", "camera_id", "first_match_rank", "average_precision")


def appearances(crops: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """The gallery of the headline: one row per (test person, camera), people of one camera (distractors) too.

    Args:
        crops: rows of `truth_crops.cut`. People seen on both sides of the cut are left out.
        people: PEOPLE.

    Returns:
        query_id, pid, camera_id, is_query; sorted by query_id.
    """
    test = people.pid[people.role == "test"]
    rows = crops[crops.pid.isin(test)].drop_duplicates("tracklet_id").sort_values("tracklet_id")
    rows = rows.rename(columns={"tracklet_id": "query_id"})[["query_id", "pid", "camera_id"]].reset_index(
        drop=True
    )
    return rows.assign(is_query=rows.groupby("pid").camera_id.transform("size") > 1)


def headline(features: np.ndarray, gallery: pd.DataFrame) -> pd.DataFrame:
    """One row of RANKINGS (without state) per query.

    Args:
        features: (N, D) L2-normalised, one per row of ``gallery``.
        gallery: from :func:`appearances`.
    """
    queries = gallery.is_query.to_numpy()
    pid, camera = gallery.pid.to_numpy(), gallery.camera_id.to_numpy(object)
    first, ap = _rank(features[queries], pid[queries], camera[queries], features, pid, camera)
    rows = gallery[queries].assign(first_match_rank=first, average_precision=ap)
    return rows[list(ROWS)].reset_index(drop=True)


def end_to_end(features: np.ndarray, tracklets: pd.DataFrame, gallery: pd.DataFrame) -> pd.DataFrame:
    """The same queries on our own tracklets.

    The query is the longest tracklet of that person in that camera; without one it is missed: rank -1, precision 0.
    The gallery is every tracklet of the other cameras, also those of nobody. An other camera that has no tracklet of
    the person is a true match never found, and lowers the average precision as such.

    Args:
        features: (T, D) L2-normalised, one per row of ``tracklets``.
        tracklets: tracklet_id, camera_id, n_boxes, pid (majority; -1 for nobody); people who are no test people
            already left out.
        gallery: from :func:`appearances`.
    """
    asked = gallery[gallery.is_query].reset_index(drop=True)
    own = tracklets.assign(row=np.arange(len(tracklets))).sort_values(
        ["n_boxes", "tracklet_id"], ascending=[False, True], kind="stable"
    )
    longest = own[own.pid >= 0].drop_duplicates(["pid", "camera_id"])[["pid", "camera_id", "row"]]
    asked = asked.merge(longest, on=["pid", "camera_id"], how="left")
    found = asked.row.notna().to_numpy()
    rows = asked.row[found].to_numpy(int)
    pid, camera = tracklets.pid.to_numpy(), tracklets.camera_id.to_numpy(object)
    first = np.full(len(asked), -1)
    ap = np.zeros(len(asked))
    if found.any():
        first[found], ap[found] = _rank(features[rows], pid[rows], camera[rows], features, pid, camera)
    ap *= _reachable_share(asked, tracklets, gallery)
    return asked.assign(first_match_rank=first, average_precision=ap)[list(ROWS)]


def _reachable_share(asked: pd.DataFrame, tracklets: pd.DataFrame, gallery: pd.DataFrame) -> np.ndarray:
    """(Q,) true tracklets in other cameras / (those + other cameras of the person without any tracklet)."""
    own = tracklets[tracklets.pid >= 0].groupby(["pid", "camera_id"]).size()
    share = []
    for pid, camera in zip(asked.pid, asked.camera_id, strict=True):
        others = gallery.camera_id[(gallery.pid == pid) & (gallery.camera_id != camera)]
        counts = [int(own.get((pid, c), 0)) for c in others]
        share.append(sum(counts) / max(sum(counts) + counts.count(0), 1))
    return np.array(share)


def _rank(
    query: np.ndarray, query_pid: np.ndarray, query_camera: np.ndarray,
    features: np.ndarray, pid: np.ndarray, camera: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """(Q,) zero-based rank of the first true match (-1 where there is none) and average precision (then 0)."""
    # Tracklets of nobody (-1) stand in the gallery like any other: a user's gallery has them too.
    ranking = rank(
        1 - query @ features.T, query_pid, pid, query_camera, camera, remove="same_camera", junk_pid=None
    )
    return ranking.first_match_rank, ranking.average_precision


def summary(rows: pd.DataFrame) -> dict[str, float | None]:
    """rank1, mean_ap of RANKINGS rows of one state; None without queries. A missed query is a wrong one."""
    if rows.empty:
        return {"rank1": None, "mean_ap": None}
    return {
        "rank1": float((rows.first_match_rank == 0).mean()),
        "mean_ap": float(rows.average_precision.mean()),
    }
