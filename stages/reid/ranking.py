"""CMC and mean average precision from a distance matrix.

Protocol of Market-1501 (Zheng et al., ICCV 2015): entries of the query's own person in the query's own camera are
removed for that query, junk is removed for all, distractors stay. Fractions throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

_CHUNK = 512  # queries sorted at once, so that the matrix of a large gallery is never held several times


@dataclass(frozen=True)
class Ranking:
    """One entry per query.

    first_match_rank: (Q,) zero-based rank of the first true match; -1 where the gallery holds none.
    average_precision: (Q,) mean over the true matches of the precision at their rank; 0 where there is none.
    n_matches: (Q,) true matches in the gallery after removal.
    """

    first_match_rank: npt.NDArray[np.int64]
    average_precision: npt.NDArray[np.float64]
    n_matches: npt.NDArray[np.int64]


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
    if not d.shape[1]:
        none = np.zeros(len(d))
        return Ranking(np.full(len(d), -1), none, none.astype(np.int64))
    first, precision, count = [], [], []
    for start in range(0, len(d), _CHUNK):
        rows = slice(start, start + _CHUNK)
        same_pid = query_pid[rows, None] == gallery_pid[None, :]
        same_camera = query_camera[rows, None] == gallery_camera[None, :]
        removed = np.zeros_like(same_pid)
        if remove == "same_pid_and_camera":
            removed = same_pid & same_camera
        elif remove == "same_camera":
            removed = same_camera
        if junk_pid is not None:
            removed = removed | (gallery_pid == junk_pid)[None, :]
        match = same_pid & ~removed
        block = np.where(np.isnan(d[rows]), np.inf, d[rows])
        order = np.lexsort((match, block, removed), axis=1)
        hits = np.take_along_axis(match, order, axis=1)
        found = hits.sum(1)
        places = np.arange(1, hits.shape[1] + 1)
        at_hits = np.where(hits, np.cumsum(hits, axis=1) / places, 0.0).sum(1)
        precision.append(at_hits / np.maximum(found, 1))
        first.append(np.where(found > 0, hits.argmax(1), -1))
        count.append(found)
    if not first:
        return Ranking(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))
    return Ranking(np.concatenate(first), np.concatenate(precision), np.concatenate(count))


def cmc(
    first_match_rank: npt.NDArray[np.integer],
    ranks: tuple[int, ...] = (1, 5, 10),
    *,
    missed_are_wrong: bool = False,
) -> dict[int, float]:
    """Share of queries whose first true match is among the nearest r, for each r; NaN where there is no query.

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
