"""Intra-tracklet isolation: cut a tracklet where the tracker switched persons, by density clustering of its crops.

Source: Teng et al., *Learning from Noisy Tracklets: Tracklet-based Multi-level Clustering* (TMC), 2022, intra-tracklet
isolation. The metric, min_samples and the fate of noise are not in the paper; here: Euclidean on L2-normalised
features, 4 at five crops a second, and noise joins the piece nearest in time. The paper tunes eps on labels; here it is
read from tracklets that certainly show different persons, because they are in one camera at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from stages.association.pairing import euclidean_distances

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]

MIN_PAIRS = 30  # fewer certainly different pairs cannot estimate a fraction below one per cent


def dbscan(distance: Floats, eps: float, min_samples: int) -> npt.NDArray[np.int64]:
    """DBSCAN (Ester et al., 1996) on an (N, N) distance matrix: (N,) cluster by first member, -1 for noise.

    A border point goes to the cluster of its nearest core point, not to the one that happens to be visited first, so
    the result does not depend on the order of the points.
    """
    from scipy.sparse.csgraph import connected_components

    near = np.asarray(distance) <= eps
    core = near.sum(1) >= min_samples
    labels = np.full(len(near), -1, np.int64)
    if not core.any():
        return labels
    _, labels[core] = connected_components(near[np.ix_(core, core)], directed=False)
    border = np.flatnonzero(~core)
    to_core = np.asarray(distance)[np.ix_(border, core)]
    reached = to_core.min(1) <= eps if len(border) else np.zeros(0, bool)
    labels[border[reached]] = labels[core][to_core[reached].argmin(1)]
    clustered = labels >= 0
    _, first, inverse = np.unique(labels[clustered], return_index=True, return_inverse=True)
    labels[clustered] = np.argsort(np.argsort(first))[inverse.reshape(-1)]
    return labels


def joining_eps(a: Floats, b: Floats, min_samples: int) -> float:
    """The smallest eps at which DBSCAN on the crops of two tracklets together joins crops of both in one cluster.

    Two core points are in one cluster when a path of steps no longer than eps leads over core points; any path from one
    tracklet to the other crosses over somewhere, so the cheapest crossing decides:
    min over p in a, q in b of max(core(p), core(q), d(p, q)), where core(x) is the distance to the min_samples-th crop
    of both together (itself counted). inf where both together have fewer than min_samples crops.

    Args:
        a, b: (N, D) and (M, D) features.
    """
    both = np.concatenate([a, b])
    if len(both) < min_samples or not len(a) or not len(b):
        return float("inf")
    d = euclidean_distances(both, both)
    np.fill_diagonal(d, 0)
    core = np.partition(d, min_samples - 1, axis=1)[:, min_samples - 1]
    across = np.maximum(np.maximum(core[: len(a), None], core[None, len(a) :]), d[: len(a), len(a) :])
    return float(across.min())


def co_occurring(camera: npt.NDArray[np.generic], t_start_us: Ints, t_end_us: Ints) -> npt.NDArray[np.int64]:
    """(M, 2) pairs i < j of tracklets that are in one camera at one instant, so certainly of different persons.

    Needs no site file: two tracklets in one view need neither map nor clock.
    """
    camera, start, end = np.asarray(camera), np.asarray(t_start_us), np.asarray(t_end_us)
    pairs: list[tuple[int, int]] = []
    for c in np.unique(camera):
        alive: list[int] = []
        here = np.flatnonzero(camera == c)
        for i in here[np.argsort(start[here], kind="stable")]:
            alive = [j for j in alive if end[j] >= start[i]]
            pairs += [(min(int(i), j), max(int(i), j)) for j in alive]
            alive.append(int(i))
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


@dataclass(frozen=True)
class EpsCalibration:
    """eps and the evidence for it, as fractions 0..1; ``reason`` is a sentence for the log."""

    eps: float
    separated_fraction: float  # of made-up switches, those that eps takes apart; NaN without pairs
    violated_fraction: float  # of certainly different pairs, those that eps would join; NaN without pairs
    cut_fraction: float  # of the tracklets looked at, those that eps would cut
    pairs: int
    reason: str


def calibrate_eps(
    features: Floats,
    crops_of: list[npt.NDArray[np.int64]],
    different: Ints,
    *,
    t_us: Ints,
    contact_us: list[npt.NDArray[np.int64]] | None = None,
    rule: Literal["separation", "violation"] = "separation",
    min_samples: int = 4,
    switch_fraction: float = 0.1,
    max_violated_fraction: float = 0.005,
    max_cut_fraction: float = 0.2,
    fallback_eps: float = 0.5,
    max_pairs: int = 200,
    max_tracklets: int = 300,
    rng: np.random.Generator,
) -> EpsCalibration:
    """The eps that separates persons and leaves tracklets whole, read from tracklets that certainly are two persons.

    separation: switches are made up from the first half of one and the second half of the other of a certain pair. With
        ``switch_fraction`` the expected fraction of switched tracklets, eps maximises switch_fraction * (made-up switches
        taken apart) - (1 - switch_fraction) * (tracklets cut); where nothing is gained, nothing is cut.
    violation: the largest eps that joins fewer than ``max_violated_fraction`` of the certain pairs, raised until at most
        ``max_cut_fraction`` of the tracklets would be cut.

    With fewer than 30 pairs eps starts from ``fallback_eps`` (the paper's 0.5), raised in the same way. On market-site
    (ImageNet weights, true tracklets) violation chose 0.28, where most crops are noise: it takes 55 % of made-up switches
    apart and cuts 14 % of the tracklets; separation takes 67 % apart and cuts 1 %.

    Args:
        features: (N, D) L2-normalised; t_us: (N,) times; crops_of: for each tracklet its rows, in order of time.
        different: (M, 2) tracklets that certainly show different persons.
        contact_us: for each tracklet the instants at which it may have switched, see `pieces`.
        max_pairs, max_tracklets: size of the random samples that are used.
    """
    different = np.asarray(different, np.int64).reshape(-1, 2)
    enough = np.array([len(rows) >= min_samples for rows in crops_of], bool)
    pairs = different[enough[different].all(1)] if len(different) else different
    if len(pairs) > max_pairs:
        pairs = pairs[np.sort(rng.choice(len(pairs), max_pairs, replace=False))]
    looked_at = np.flatnonzero(enough)
    if len(looked_at) > max_tracklets:
        looked_at = np.sort(rng.choice(looked_at, max_tracklets, replace=False))
    grid = _grid(features, crops_of, pairs, fallback_eps)

    joins, separated = np.zeros(len(pairs)), np.zeros(len(grid))
    for k, pair in enumerate(pairs):
        a, b = (features[crops_of[t]] for t in pair)
        joins[k] = joining_eps(a, b, min_samples)
        separated += [_takes_apart(a, b, float(eps), min_samples) for eps in grid]
    separated = separated / len(pairs) if len(pairs) else np.full(len(grid), np.nan)
    violated = (joins[:, None] <= grid[None, :]).mean(0) if len(pairs) else np.full(len(grid), np.nan)
    cut = np.zeros(len(grid))
    for t in looked_at:
        rows, contact = crops_of[t], None if contact_us is None else contact_us[t]
        cut += [
            pieces(
                features[rows], t_us[rows], eps=float(e), min_samples=min_samples, contact_us=contact
            ).max()
            > 0
            for e in grid
        ]
    cut = cut / max(len(looked_at), 1)

    reason = f"{len(pairs)} pairs that are in one camera at once"
    if len(pairs) < MIN_PAIRS:
        at = int(np.abs(grid - fallback_eps).argmin())
        reason = f"only {len(pairs)} pairs in one camera at once (wanted {MIN_PAIRS}), so the preset eps {fallback_eps:g}"
    elif rule == "separation":
        gain = switch_fraction * separated - (1 - switch_fraction) * cut
        at = int(gain.argmax()) if gain.max() > 0 else len(grid) - 1
    else:
        at = int(np.flatnonzero(np.append(True, violated[1:] < max_violated_fraction))[-1])
    if cut[at] > max_cut_fraction and (rule == "violation" or len(pairs) < MIN_PAIRS):
        start = at
        # Past its peak the fraction falls with eps; the first value past ``at`` that keeps the cap is the mildest change.
        at += int(np.argmax(cut[at:] <= max_cut_fraction))
        reason += f"; raised from {grid[start]:.3g} that would cut {cut[start]:.0%} of the tracklets"
    return EpsCalibration(
        float(grid[at]), float(separated[at]), float(violated[at]), float(cut[at]), len(pairs), reason
    )


def _grid(
    features: Floats, crops_of: list[npt.NDArray[np.int64]], pairs: Ints, fallback_eps: float
) -> npt.NDArray[np.float64]:
    """Forty eps values up to where even different persons are mostly near, and 2, which cuts nothing.

    Networks differ by a factor of ten in how far apart they place crops, so the scale comes from the features.
    """
    apart = [
        np.median(euclidean_distances(features[crops_of[i]], features[crops_of[j]])) for i, j in pairs[:50]
    ]
    top = min(1.2 * float(np.median(apart)), 1.95) if apart else 1.2
    # No unit vectors are farther apart than 2.
    return np.unique(np.append(np.linspace(top / 40, top, 40), [min(fallback_eps, 1.95), 2.0]))


def _takes_apart(a: Floats, b: Floats, eps: float, min_samples: int, purity: float = 0.95) -> bool:
    """Whether eps cuts a switch made up from the first half of ``a`` and the second half of ``b`` into pure pieces."""
    first, second = a[: (len(a) + 1) // 2], b[len(b) // 2 :]
    person = np.repeat([0, 1], [len(first), len(second)])
    found = pieces(np.concatenate([first, second]), np.arange(len(person)), eps=eps, min_samples=min_samples)
    counts = np.zeros((found.max() + 1, 2))
    np.add.at(counts, (found, person), 1)
    return bool(counts.max(1).sum() >= purity * len(person))


def pieces(
    features: Floats,
    t_us: Ints,
    *,
    eps: float,
    min_samples: int = 4,
    noise: Literal["attach", "drop"] = "attach",
    contact_us: Ints | None = None,
    contact_window_us: int = 1_000_000,
) -> npt.NDArray[np.int64]:
    """Which piece of its tracklet each crop belongs to: (N,) 0, 1, … in order of the pieces' first crops.

    Persons that alternate A-B-A make two pieces, as in the paper. A tracklet without any dense part stays whole.

    Args:
        features: (N, D) of one tracklet's crops; t_us: (N,) their times.
        noise: crops in no cluster are attached to that of the nearest clustered crop in time, or dropped (-1).
        contact_us: instants at which a switch is possible at all, because somebody else was near or the tracklet was
            lost. Clusters that follow one another farther than ``contact_window_us`` from every such instant are one
            person who turned, and are joined again. None: a switch is possible at any time (the paper).
    """
    t = np.asarray(t_us, np.int64)
    whole = np.zeros(len(t), np.int64)
    if len(t) < min_samples:
        return whole
    labels = dbscan(euclidean_distances(features, features), eps, min_samples)
    if labels.max() < 0:
        return whole
    clustered = labels >= 0
    if contact_us is not None and labels.max() > 0:
        labels[clustered] = _joined_without_contact(
            labels[clustered], t[clustered], contact_us, contact_window_us
        )
    if noise == "attach":
        labels = labels[clustered][nearest_in_time(t, t[clustered])]
        clustered = labels >= 0
    first = np.array([t[labels == k].min() for k in range(labels.max() + 1)])
    order = np.argsort(np.argsort(first, kind="stable"), kind="stable")
    return np.where(clustered, order[labels], -1)


def _joined_without_contact(
    labels: npt.NDArray[np.int64], t_us: Ints, contact_us: Ints, window_us: int
) -> npt.NDArray[np.int64]:
    """(N,) labels 0, 1, … after joining any two that follow one another in time with no contact near the change."""
    from scipy.sparse.csgraph import connected_components

    order = np.argsort(t_us, kind="stable")
    contact = np.sort(np.asarray(contact_us, np.int64))
    change = np.flatnonzero(np.diff(labels[order]))
    before, after = order[change], order[change + 1]
    seen = np.searchsorted(contact, t_us[before] - window_us) < np.searchsorted(
        contact, t_us[after] + window_us, side="right"
    )
    joins = np.zeros((labels.max() + 1,) * 2, bool)
    joins[labels[before[~seen]], labels[after[~seen]]] = True
    return np.asarray(connected_components(joins, directed=False)[1][labels], np.int64)


def nearest_in_time(t_us: Ints, of_us: Ints) -> npt.NDArray[np.int64]:
    """For each of (N,) times the index of the nearest of (M,) times, the earlier of two as near. M > 0."""
    of = np.asarray(of_us, np.int64)
    order = np.argsort(of, kind="stable")
    after = np.clip(np.searchsorted(of[order], t_us), 1, max(len(of) - 1, 1))
    if len(of) == 1:
        return np.zeros(len(t_us), np.int64)
    left, right = of[order[after - 1]], of[order[after]]
    return order[np.where(np.asarray(t_us) - left <= right - np.asarray(t_us), after - 1, after)]
