"""CMC and mean average precision from a distance matrix.

Protocol of Market-1501 (Zheng et al., ICCV 2015): entries of the query's own person in the query's own camera are
removed for that query, junk is removed for all, distractors stay. Fractions throughout.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

_CHUNK = 64  # queries that a thread takes at a time


@dataclass(frozen=True)
class Ranking:
    """One entry per query.

    first_match_rank: (Q,) zero-based rank of the first true match; -1 where the gallery holds none.
    average_precision: (Q,) mean over the true matches of the precision at their rank; 0 where there is none.
    n_matches: (Q,) true matches in the gallery after removal.
    inverse_negative_penalty: (Q,) n_matches over the rank, from one, of the last match; 0 where there is none. Its mean is
        mINP (Ye et al.: Deep Learning for Person Re-identification: A Survey and Outlook, 2021, Eq. 3).
    """

    first_match_rank: npt.NDArray[np.int64]
    average_precision: npt.NDArray[np.float64]
    n_matches: npt.NDArray[np.int64]
    inverse_negative_penalty: npt.NDArray[np.float64]


def rank(
    distance: npt.NDArray[np.floating],
    query_pid: npt.NDArray[np.integer],
    gallery_pid: npt.NDArray[np.integer],
    query_camera: npt.NDArray[np.generic],
    gallery_camera: npt.NDArray[np.generic],
    *,
    remove: Literal["same_pid_and_camera", "same_camera", "nothing"] = "same_pid_and_camera",
    junk_pid: int | None = -1,
) -> Ranking:
    """Rank the gallery for every query.

    Args:
        distance: (Q, G), small is near; NaN counts as farthest.
        query_pid, gallery_pid: (Q,), (G,) true persons. A distractor is a pid that no query has.
        query_camera, gallery_camera: (Q,), (G,) of one type, numbers or strings.
        remove: what is taken out of each query's gallery: its own person in its own camera, its whole camera, or
            nothing.
        junk_pid: gallery entries of this pid are removed for every query; None keeps all.

    Equal distances are ranked to the query's disadvantage (wrong before right), so the result neither depends on the
    order of the gallery nor rewards a network that maps everybody to one point.

    Raises:
        ValueError: shapes do not fit.
    """
    d = np.asarray(distance)
    if (
        d.shape != (len(query_pid), len(gallery_pid))
        or len(query_camera) != len(query_pid)
        or len(gallery_camera) != len(gallery_pid)
    ):
        raise ValueError(
            f"distance is {d.shape} for {len(query_pid)} queries and {len(gallery_pid)} gallery entries"
        )
    gallery_pid, gallery_camera = np.asarray(gallery_pid), np.asarray(gallery_camera)
    order = np.argsort(gallery_pid, kind="stable")
    begin, end = (np.searchsorted(gallery_pid[order], query_pid, side=side) for side in ("left", "right"))
    kept = np.ones(len(gallery_pid), bool) if junk_pid is None else gallery_pid != junk_pid
    columns = {None: np.flatnonzero(kept)}  # of the gallery, for queries of a camera
    if remove == "same_camera":
        columns = {camera: np.flatnonzero(kept & (gallery_camera != camera)) for camera in set(query_camera)}

    def one(q: int) -> tuple[int, float, int, float]:
        # A match stands behind every wrong entry that is as near: counting those needs values in order, not an order.
        own = order[begin[q] : end[q]]
        own = own[kept[own]]
        same_camera = gallery_camera[own] == query_camera[q]
        if remove == "same_camera":
            own, same_camera = own[~same_camera], np.zeros((~same_camera).sum(), bool)
        of_own = _no_nan(d[q, own])
        matches = np.sort(of_own if remove == "nothing" else of_own[~same_camera])
        if not len(matches):
            return -1, 0.0, 0, 0.0
        everybody = np.sort(_no_nan(d[q, columns[query_camera[q] if remove == "same_camera" else None]]))
        wrong = np.searchsorted(everybody, matches, side="right") - np.searchsorted(
            np.sort(of_own), matches, side="right"
        )
        found = np.arange(1, len(matches) + 1)
        n = len(matches)
        return int(wrong[0]), float((found / (found + wrong)).mean()), n, n / (n + int(wrong[-1]))

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # sorting lets go of the interpreter
        blocks = pool.map(lambda rows: [one(q) for q in rows], _blocks(len(d)))
        found = [row for block in blocks for row in block]
    first, precision, count, inp = zip(*found, strict=True) if found else ((), (), (), ())
    return Ranking(
        np.array(first, np.int64),
        np.array(precision, np.float64),
        np.array(count, np.int64),
        np.array(inp, np.float64),
    )


def _no_nan(distance: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """NaN as the farthest."""
    return np.where(np.isnan(distance), np.inf, distance)


def _blocks(count: int) -> list[range]:
    return [range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]


def cmc(
    first_match_rank: npt.NDArray[np.integer],
    ranks: tuple[int, ...] = (1, 5, 10),
    *,
    missed_are_wrong: bool = False,
) -> dict[int, float]:
    """Fraction of queries whose first true match is among the nearest r, for each r; NaN where there is no query.

    Args:
        first_match_rank: (Q,) zero-based, -1 for a query without match.
        missed_are_wrong: count queries without match as wrong; else they are left out.
    """
    first = np.asarray(first_match_rank)
    kept = first if missed_are_wrong else first[first >= 0]
    if not len(kept):
        return {r: float("nan") for r in ranks}
    return {r: float(((kept >= 0) & (kept < r)).mean()) for r in ranks}


def mean_average_precision(ranking: Ranking, *, missed_are_wrong: bool = False) -> float:
    """Mean of the queries' average precision; NaN where there is no query. ``missed_are_wrong`` as in `cmc`."""
    kept = ranking.average_precision if missed_are_wrong else ranking.average_precision[ranking.n_matches > 0]
    return float(kept.mean()) if len(kept) else float("nan")
