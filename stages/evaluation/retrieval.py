"""Rank-1 and mAP: the headline on true boxes, and end to end on our own tracklets.

Both ask the same queries: one per (test person, camera) whose person was seen by another camera too. The query's own
camera is removed from the gallery.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stages.evaluation.ranking import Ranking, rank

ROWS = ("query_id", "pid", "camera_id", "first_match_rank", "average_precision", "inverse_negative_penalty")

RANKS = (1, 5, 10)


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
    found = _rank(features[queries], pid[queries], camera[queries], features, pid, camera)
    rows = gallery[queries].assign(
        first_match_rank=found.first_match_rank, average_precision=found.average_precision,
        inverse_negative_penalty=found.inverse_negative_penalty,
    )  # fmt: skip
    return rows[list(ROWS)].reset_index(drop=True)


def confusions(features: np.ndarray, gallery: pd.DataFrame, max_items: int) -> pd.DataFrame:
    """The queries whose first answer is wrong and whose true match ranks lowest, the worst first.

    Arguments as in :func:`headline`; ``most``: how many of them.

    Returns:
        place, role ('query', 'answer', 'match'), rank, query_id (of the appearance meant), pid, camera_id.
    """
    pid, camera = gallery.pid.to_numpy(), gallery.camera_id.to_numpy(object)
    found = []
    for i in np.flatnonzero(gallery.is_query.to_numpy()):
        others = np.flatnonzero(camera != camera[i])
        order = others[np.argsort(-(features[others] @ features[i]), kind="stable")]
        rank = int(np.flatnonzero(pid[order] == pid[i])[0])
        if rank:
            found.append((rank, i, order[0], order[rank]))
    found.sort(key=lambda f: (-f[0], f[1]))
    rows = [
        (place, role, place_of, *gallery.loc[row, ["query_id", "pid", "camera_id"]])
        for place, (rank, query, answer, match) in enumerate(found[:max_items])
        for role, place_of, row in (("query", -1, query), ("answer", 0, answer), ("match", rank, match))
    ]
    return pd.DataFrame(rows, columns=["place", "role", "rank", "query_id", "pid", "camera_id"])


def camera_pairs(features: np.ndarray, gallery: pd.DataFrame) -> dict[str, dict[str, float]]:
    """'a → b': rank-1 and the number of queries, of the queries of camera a in the gallery of camera b alone.

    Asked are those whose person b saw. Arguments as in :func:`headline`.
    """
    pid, camera = gallery.pid.to_numpy(), gallery.camera_id.to_numpy(object)
    queries = gallery.is_query.to_numpy()
    found = {}
    for a in sorted(set(camera)):
        for b in sorted(set(camera) - {a}):
            asks, among = np.flatnonzero(queries & (camera == a)), np.flatnonzero(camera == b)
            asks = asks[np.isin(pid[asks], pid[among])]
            if len(asks):
                ranking = _rank(
                    features[asks], pid[asks], camera[asks], features[among], pid[among], camera[among]
                )
                rank1 = float((ranking.first_match_rank == 0).mean())
                found[f"{a} → {b}"] = {"rank1": rank1, "queries": len(asks)}
    return found


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
    ap, inp = np.zeros(len(asked)), np.zeros(len(asked))
    if found.any():
        ranking = _rank(features[rows], pid[rows], camera[rows], features, pid, camera)
        first[found], ap[found] = ranking.first_match_rank, ranking.average_precision
        inp[found] = ranking.inverse_negative_penalty
    reachable = _reachable_fraction(asked, tracklets, gallery)
    table = asked.assign(
        first_match_rank=first,
        average_precision=ap * reachable,
        inverse_negative_penalty=inp * (reachable == 1),
    )
    return table[list(ROWS)]


def _reachable_fraction(asked: pd.DataFrame, tracklets: pd.DataFrame, gallery: pd.DataFrame) -> np.ndarray:
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
) -> Ranking:  # fmt: skip
    # Tracklets of nobody (-1) stand in the gallery like any other: a user's gallery has them too.
    return rank(
        1 - query @ features.T, query_pid, pid, query_camera, camera, remove="same_camera", junk_pid=None
    )


def summary(rows: pd.DataFrame, ranks: Sequence[int] = RANKS) -> dict[str, float | None]:
    """rank1, rank5 …, mean_ap, mean_inp of RANKINGS rows of one state; None without queries.

    A missed query is a wrong one.
    """
    if rows.empty:
        return dict.fromkeys([*(f"rank{r}" for r in ranks), "mean_ap", "mean_inp"])
    first = rows.first_match_rank
    return {
        **{f"rank{r}": float(((first >= 0) & (first < r)).mean()) for r in ranks},
        "mean_ap": float(rows.average_precision.mean()),
        "mean_inp": float(rows.inverse_negative_penalty.mean()),
    }
