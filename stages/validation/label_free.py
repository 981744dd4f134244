"""How good is a network? Signals that need no label, all of them large when good.

Across cameras, time is the independent check: a network that matches by appearance alone does not see times, so
the better it is, the more of its matches fit the walking times. Within a camera, the tracker is the check.
A signal is NaN where the footage does not allow it (one camera, one tracklet).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stages.association.evidence import Matches, appearance_matches, background, z_score
from stages.association.pairing import euclidean_distances

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


def time_fitting_matches(
    features: Floats, camera: npt.NDArray[np.generic], log_prior: Floats, possible: npt.NDArray[np.bool_]
) -> Matches:
    """Mutual nearest neighbours across cameras by appearance alone, and the estimated fraction of true ones.

    Args:
        features: (T, D) L2-normalised, one per tracklet; camera: (T,).
        log_prior: (T, T) with peak 0; possible: (T, T) False for pairs that certainly are two persons.
    """
    s = z_score(log_prior)
    distance = np.where(possible, euclidean_distances(features, features), np.inf)
    return appearance_matches(distance, s, background(s, camera), camera)


def true_matches_per_tracklet(
    features: Floats, camera: npt.NDArray[np.generic], log_prior: Floats, possible: npt.NDArray[np.bool_]
) -> float:
    """Estimated number of true mutual matches by appearance alone, per tracklet: precision and recall in one figure."""
    matches = time_fitting_matches(features, camera, log_prior, possible)
    return (
        float(matches.precision * len(matches.pairs) / len(features)) if len(matches.pairs) else float("nan")
    )


def prior_lift(
    features: Floats, camera: npt.NDArray[np.generic], log_prior: Floats, possible: npt.NDArray[np.bool_]
) -> float:
    """How far the matches' mean prior R stands above what it would be if times were shuffled, in standard errors.

    The null is exact, not drawn: shuffling the times inside each camera makes every match a random pair of the same
    two cameras.
    """
    matches = time_fitting_matches(features, camera, log_prior, possible)
    if not len(matches.pairs):
        return float("nan")
    prior, camera = np.exp(np.minimum(np.asarray(log_prior, np.float64), 0)), np.asarray(camera)
    seen, expected, variance = 0.0, 0.0, 0.0
    names = camera[matches.pairs]
    for a, b in sorted({(str(x), str(y)) for x, y in names}):
        here = matches.pairs[(names[:, 0].astype(str) == a) & (names[:, 1].astype(str) == b)]
        block = prior[np.ix_(camera.astype(str) == a, camera.astype(str) == b)]
        seen += float(prior[here[:, 0], here[:, 1]].sum())
        expected += len(here) * float(block.mean())
        variance += len(here) * float(block.var())
    return (seen - expected) / float(np.sqrt(variance)) if variance > 1e-12 else float("nan")


def split_hits(
    features: Floats, crop_tracklet: Ints, t_us: Ints, n: int, draws: int = 4, min_crops: int = 8
) -> npt.NDArray[np.float64]:
    """(n,) how often a single first crop finds a single last crop of its own tracklet; NaN where there are few crops.

    One crop against one crop, the middle half of the tracklet between them, and everybody of all cameras in the gallery:
    any network separates the means of halves. Averaged over ``draws`` pairs from the first and last quarter.

    Args:
        features: (N, D) L2-normalised per crop; crop_tracklet: (N,) tracklet index, -1 for none; t_us: (N,).
    """
    crop_tracklet, t_us = np.asarray(crop_tracklet), np.asarray(t_us)
    order = np.lexsort((t_us, crop_tracklet))
    order = order[crop_tracklet[order] >= 0]
    who, starts, counts = np.unique(crop_tracklet[order], return_index=True, return_counts=True)
    long_enough = counts >= max(min_crops, 4)
    who, starts, counts = who[long_enough], starts[long_enough], counts[long_enough]
    values = np.full(n, np.nan)
    if len(who) < 2:
        return values
    hits = np.zeros(len(who))
    for k in range(draws):
        step = np.floor(k * (counts // 4) / draws).astype(np.int64)
        queries, gallery = features[order[starts + step]], features[order[starts + counts - 1 - step]]
        d = euclidean_distances(queries, gallery)
        own = d.diagonal().copy()
        np.fill_diagonal(d, np.inf)
        hits += own < d.min(1)  # a tie is wrong, or a collapsed network would look good
    values[who] = hits / draws
    return values


def split_rank1_hard(features: Floats, crop_tracklet: Ints, t_us: Ints) -> float:
    """Mean of `split_hits` over the tracklets long enough; NaN where fewer than two are."""
    values = split_hits(features, crop_tracklet, t_us, int(np.max(crop_tracklet, initial=-1)) + 1)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def select_rounds(rounds: Sequence[int], signals: Sequence[float], tolerance: float = 0.8) -> list[int]:
    """Positions of the checkpoints to average: the best alone if it is the start or round 0, else the rounds near the best.

    The start (-1) and round 0 never saw a link between cameras, so they are no stops on the rounds' path. Of the rounds
    from 1 on, those with a signal of at least ``tolerance`` times the best are taken: what training lost again is left
    out. NaN is no candidate; where all are NaN, the last checkpoint is taken.

    Raises:
        ValueError: there is nothing to select from.
    """
    values = np.asarray(signals, np.float64)
    if not len(values):
        raise ValueError("select_rounds wants at least one state")
    if np.isnan(values).all():
        return [len(values) - 1]
    best = int(np.nanargmax(values))
    if rounds[best] < 1:
        return [best]
    near = values >= tolerance * values[best]
    return [i for i, r in enumerate(rounds) if i == best or (r >= 1 and near[i])]
