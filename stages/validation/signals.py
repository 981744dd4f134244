"""How good is a network? Signals that need no truth, read on tracklets of a time that training did not see.

Each is large when good. The first ones are a value per tracklet, so that two networks can be compared with an interval;
those of groups speak of the clusters that `identify` would make of these tracklets with the network in question.
Which of them follow the true rank-1, and how closely: `make bench NAME=signals`, with its table in the README.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from data.tracklet_rows import evenly
from stages.association.evidence import camera_centres, centred
from stages.association.pairing import euclidean_distances
from stages.evaluation.bootstrap import interval
from stages.validation.label_free import split_hits

if TYPE_CHECKING:
    import pandas as pd

    from camera_topology.site import Site
    from stages.association.time_prior import TimePrior

_TELLING = 0.02  # a prior that varies by less tells nobody apart

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]
Halves = tuple[Floats, Floats, Ints]

PER_TRACKLET = {
    "time_lift": "whom it resembles in other cameras fits the walking times: 0 as anybody would, 1 as the best fitting would",
    "split_halves": "the first half of a tracklet finds its own second half among those of its camera",
    "split_crops": "a single first crop finds a single last crop of its own tracklet among everybody's",
    "possible_neighbour": "the nearest other tracklet is not certainly somebody else, of those where that can be known",
    "cycle": "the nearest tracklet in another camera has this one as its nearest in turn",
}
OF_GROUPS = {
    "grouped": "share of tracklets that are in a group with another",
    "camera_entropy": "how evenly a group's tracklets are spread over the cameras; 1 is evenly",
    "stability": "agreement (adjusted Rand index) of the groups with those of the state before",
}


@dataclass(frozen=True)
class Unseen:
    """Tracklets of the held-out time: T rows of TRACKLETS sorted by id, their N crops sorted by tracklet and time.

    index: (N,) tracklet of each crop; prior: of all pairs of tracklets.
    """

    tracklets: pd.DataFrame
    crops: pd.DataFrame
    index: Ints
    prior: TimePrior

    @property
    def camera(self) -> npt.NDArray[np.str_]:
        """(T,)"""
        return self.tracklets.camera_id.to_numpy(str)


def unseen(
    tracklets: pd.DataFrame,
    crops: pd.DataFrame,
    boxes: pd.DataFrame,
    max_items: int,
    site: Site,
    clock_std_s: Mapping[str, float],
) -> Unseen:
    """At most ``max_items`` of the tracklets that have crops, evenly spread in time, with the prior of their pairs."""
    import pandas as pd

    from stages.association.foot_points import feet_of
    from stages.association.time_prior import dense_prior

    own = tracklets[tracklets.tracklet_id.isin(crops.tracklet_id)].sort_values(["t_start_us", "tracklet_id"])
    own = own[evenly(pd.Series(0, own.index), max_items)].sort_values("tracklet_id", ignore_index=True)
    crops = crops[crops.tracklet_id.isin(own.tracklet_id)].reset_index(drop=True)
    index = np.searchsorted(own.tracklet_id.to_numpy(str), crops.tracklet_id.to_numpy(str))
    return Unseen(own, crops, index, dense_prior(site, own, clock_std_s, feet_of(site, own, boxes)))


def describe(world: Unseen, features: Floats) -> tuple[Floats, Halves]:
    """(T, D) mean features of the tracklets, and the means of their halves, from (N, D) L2-normalised of the crops."""
    from stages.association.grouping import halves
    from stages.network.embedding import tracklet_features

    means = tracklet_features(features, list(world.crops.tracklet_id), list(world.tracklets.tracklet_id))
    return means, halves(features, world.crops, world.tracklets)


def tracklet_values(
    world: Unseen, features: Floats, means: Floats, parts: Halves
) -> tuple[dict[str, Values], dict[str, float]]:
    """(T,) per signal of `PER_TRACKLET`, NaN where a tracklet gives no value; and the time lift per pair of cameras ('a – b').

    Args:
        features: (N, D) L2-normalised, one per crop; means, parts: what `describe` makes of them.
    """
    camera, t_us = world.camera, world.crops.t_utc_us.to_numpy()
    distance = euclidean_distances(means, means).astype(np.float64)
    lift, links = time_lift(means, camera, world.prior.log_prior, world.prior.possible)
    values = {
        "time_lift": lift,
        "split_halves": half_hits(*parts, camera),
        "split_crops": split_hits(features, world.index, t_us, len(camera)),
        "possible_neighbour": possible_neighbours(distance, world.prior.possible),
        "cycle": cycles(distance, camera),
    }
    return values, links


def time_lift(
    means: Floats, camera: npt.NDArray[np.generic], log_prior: Floats, possible: Bools, sharpness: float = 4.0
) -> tuple[Values, dict[str, float]]:
    """(T,) how well those whom each tracklet resembles fit the walking times, and the same per pair of cameras.

    In every other camera the possible tracklets are weighted by a softmax of their distances (scale: the deviation of all of
    these over ``sharpness``), after subtracting the mean of each camera. The mean prior R under these weights, less that
    of any tracklet there, over what the best fitting one would have more than any: 0 for a network that knows nothing,
    since appearance and times are independent given the person. NaN where time separates no candidates.
    """
    x = centred(means, camera_centres(means, camera))
    distance = np.where(possible, euclidean_distances(x, x).astype(np.float64), np.inf)
    prior = np.exp(np.minimum(np.asarray(log_prior, np.float64), 0))
    gained, gainable = np.zeros(len(camera)), np.zeros(len(camera))
    links: dict[str, list[float]] = {}
    names = np.unique(camera)
    for a in names:
        for b in names[names != a]:
            block = np.ix_(camera == a, camera == b)
            d, r = distance[block], prior[block]
            asked = np.isfinite(d).any(1)
            rows = np.flatnonzero(camera == a)[asked]
            if not len(rows):
                continue
            d, r = d[asked], r[asked]
            scale = float(d[np.isfinite(d)].std()) / sharpness
            weight = np.exp(-(d - d.min(1, keepdims=True)) / max(scale, 1e-9))
            chosen = (weight * r).sum(1) / weight.sum(1)
            gain, max_items = chosen - r.mean(1), r.max(1) - r.mean(1)
            gained[rows] += gain
            gainable[rows] += max_items
            sums = links.setdefault(" – ".join(sorted((str(a), str(b)))), [0.0, 0.0, 0.0])
            sums[:] = [sums[0] + gain.sum(), sums[1] + max_items.sum(), sums[2] + len(rows)]
    told = gainable > _TELLING
    of_links = {link: g / m for link, (g, m, n) in sorted(links.items()) if n >= 10 and m > _TELLING * n}
    return np.where(told, gained / np.maximum(gainable, 1e-9), np.nan), of_links


def half_hits(first: Floats, last: Floats, which: Ints, camera: npt.NDArray[np.generic]) -> Values:
    """(T,) 1 where the mean of the first 40 % of a tracklet's crops is nearest to that of its own last 40 %, in its camera.

    NaN for tracklets of fewer than five crops, and for the only one of its camera. Frames that are nearly the same make it err
    on the high side, two tracklets of one person on the low side: other cameras, where everybody has more, are left out, or
    the network that knows people across cameras best would look worst.

    Args:
        first, last, which: from `stages.association.grouping.halves`; camera: (T,).
    """
    values = np.full(len(camera), np.nan)
    for name in np.unique(camera):
        here = np.flatnonzero(camera[which] == name)
        if len(here) < 2:
            continue
        similarity = first[here].astype(np.float64) @ last[here].T
        own = similarity.diagonal().copy()
        np.fill_diagonal(similarity, -np.inf)
        values[which[here]] = own > similarity.max(
            1
        )  # a tie is wrong, or a collapsed network would look good
    return values


def possible_neighbours(distance: Floats, possible: Bools) -> Values:
    """(T,) 1 where the nearest other tracklet, before any constraint, is not certainly another person.

    NaN where nobody is certainly another person.
    """
    others = ~np.eye(len(distance), dtype=bool)
    if len(distance) < 2:
        return np.full(len(distance), np.nan)
    nearest = np.where(others, distance, np.inf).argmin(1)
    told = (~possible & others).any(1)
    return np.where(told, possible[np.arange(len(distance)), nearest], np.nan)


def cycles(distance: Floats, camera: npt.NDArray[np.generic]) -> Values:
    """(T,) share of the other cameras from whose nearest tracklet the way back leads to this one; NaN with one camera."""
    names = np.unique(camera)
    hits, asked = np.zeros(len(camera)), np.zeros(len(camera))
    for a in names:
        mine = np.flatnonzero(camera == a)
        for b in names[names != a]:
            theirs = np.flatnonzero(camera == b)
            block = distance[np.ix_(mine, theirs)]
            hits[mine] += block.argmin(0)[block.argmin(1)] == np.arange(len(mine))
            asked[mine] += 1
    return np.where(asked > 0, hits / np.maximum(asked, 1), np.nan)


def group_values(label: Ints, camera: npt.NDArray[np.generic], before: Ints | None) -> dict[str, float]:
    """The signals of `OF_GROUPS`, NaN where there is nothing to say.

    Args:
        label, before: (T,) group of each tracklet, and in the state before; camera: (T,).
    """
    from sklearn.metrics import adjusted_rand_score

    names = np.unique(camera)
    counts = np.zeros((int(label.max(initial=-1)) + 1, len(names)))
    np.add.at(counts, (label, np.searchsorted(names, camera)), 1)
    size = counts.sum(1)
    joined = size > 1
    shares = counts[joined] / size[joined, None]
    entropy = -(shares * np.log(np.maximum(shares, 1e-12))).sum(1) / np.log(max(len(names), 2))
    return {
        "grouped": float(size[joined].sum() / len(label)) if len(label) else float("nan"),
        "camera_entropy": float(np.average(entropy, weights=size[joined])) if joined.any() and len(names) > 1 else float("nan"),
        "stability": float("nan") if before is None or len(label) < 2 else float(adjusted_rand_score(before, label)),
    }  # fmt: skip


def mean(values: Values) -> float | None:
    """Mean of what is known; None where nothing is."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else None


def difference(final: Values, start: Values, seed: int, draws: int) -> list[float] | None:
    """95 % interval of the mean of ``final - start``, tracklets drawn with replacement; None where nothing is known."""
    known = np.isfinite(final) & np.isfinite(start)
    if not known.any():
        return None
    n = int(known.sum())
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=draws)
    return interval((final - start)[known], weights)


def camera_values(
    values: Values, camera: npt.NDArray[np.generic], min_tracklets: int = 5
) -> dict[str, float]:
    """Mean per camera, of cameras with enough tracklets to speak of."""
    found = {}
    for name in np.unique(camera):
        here = values[(camera == name) & np.isfinite(values)]
        if len(here) >= min_tracklets:
            found[str(name)] = float(here.mean())
    return found


def groups(world: Unseen, means: Floats, parts: Halves) -> npt.NDArray[np.int64]:
    """(T,) group of each tracklet, as `identify` makes them at its defaults; means, parts: from `describe`."""
    from stages.association.grouping import GroupingConfig, identify, score_pairs

    config = GroupingConfig.model_validate({})
    evidence = score_pairs(means, parts, world.tracklets, world.prior, config)
    label = identify(world.tracklets, evidence.log_odds).set_index("tracklet_id").identity
    return label[world.tracklets.tracklet_id].to_numpy(np.int64) - 1
