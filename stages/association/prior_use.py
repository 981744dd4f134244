"""How a method without a time model can use the prior, as functions of arrays.

off            no time or place except what the paper itself uses (the number of people is still estimated with times)
cannot_links   two tracklets that are certainly two people (certain negatives, and the gate) are never joined
joint          that, and D / R in place of each distance D by which tracklets, anchors or clusters are associated (TASTR, Eq. 4)
jaccard        that, and similarity times R where a method clusters by Jaccard similarities

All of it rests on one table R of pairs of tracklets, see `ratios`, which is 0 where a pair is impossible: D / 0 is infinite, and
a similarity times 0 is 0. Where R is 1 everywhere, each mode gives exactly the result of `off`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy import sparse

    from stages.methods import Footage

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]
Matrix = npt.NDArray[np.float64]

FLOOR = 1e-4  # of TASTR's R, as in the authors' code
_SWEEPS = 20
_BETTER = 1e-6  # smallest relative improvement for which a tracklet changes its cluster


def time_ratios(footage: Footage, way: str) -> Matrix | None:
    """`ratios` of the footage's tracklets (T, T); None where ``way`` is 'off': then time is not used."""
    if way == "off":
        return None
    prior = footage.time_prior()
    return ratios(prior.log_prior, prior.possible, footage.tracklets.camera_id.to_numpy(str), way)


def ratios(
    log_prior: Floats, possible: npt.NDArray[np.bool_], camera: npt.NDArray[np.generic], way: str
) -> Matrix:
    """(T, T) R of every two tracklets, symmetric, 0 where they are certainly two people, else in [1e-4, 1]; 1 on the diagonal.

    Two tracklets of one camera have no link, so they get the mean R of all possible pairs of two cameras,
    the expected R of an unknown pair. At 1 they would be nearer than most pairs that fit, whose R is 0.7 on average.

    Args:
        log_prior, possible: (T, T), see `stages.association.time_prior`; camera: (T,).
        way: 'cannot_links' (R is 0 or 1), 'joint' or 'jaccard'.
    """
    camera, found = np.asarray(camera), np.ones(possible.shape)
    if way != "cannot_links":
        across = camera[:, None] != camera[None, :]
        found[across] = np.maximum(np.exp(log_prior[across]), FLOOR)
        known = across & possible
        found[~across] = found[known].mean() if known.any() else 1.0
    found[~possible] = 0.0
    np.fill_diagonal(found, 1.0)
    return found


def joint_distances(distance: Floats, ratio: Floats) -> Matrix:
    """D / R elementwise, infinite where R is 0. TASTR Eq. 4."""
    d, r = np.asarray(distance, np.float64), np.asarray(ratio, np.float64)
    return np.divide(d, r, out=np.full(np.broadcast_shapes(d.shape, r.shape), np.inf), where=r > 0)


def weighted_distances(distance: Floats, ratio: Floats) -> Matrix:
    """1 - (1 - d) R elementwise: the distance whose similarity is R times that of ``distance``, which is in [0, 1]."""
    d, r = np.asarray(distance, np.float64), np.asarray(ratio, np.float64)
    return np.asarray(d + (1 - d) * (1 - r))  # which is d itself at R = 1, and not only nearly


def under_prior(distances: sparse.csr_matrix, ratio: Floats, way: str, below: float) -> sparse.csr_matrix:
    """A sparse table of Jaccard distances (N, N) after the prior is applied; pairs that are impossible or not ``below`` are removed.

    'joint': d / R, which keeps a distance of 0; 'jaccard': `weighted_distances`; 'cannot_links': d.
    """
    from scipy import sparse

    table = distances.tocoo()
    r = ratio[table.row, table.col]
    found = (weighted_distances if way == "jaccard" else joint_distances)(table.data, r)
    kept = found < below  # removes impossible pairs too: their distance is infinite
    values = found[kept].astype(table.data.dtype)
    return sparse.csr_matrix((values, (table.row[kept], table.col[kept])), shape=table.shape)


def impossible_pairs(label: Ints, ratio: Floats) -> npt.NDArray[np.int64]:
    """(P, 2) rows i < j that have one label, other than -1, and cannot be one person; label (N,), ratio (N, N)."""
    label = np.asarray(label)
    i, j = np.nonzero(np.triu(np.asarray(ratio) == 0, 1) & (label[:, None] == label[None, :]))
    labelled = label[i] >= 0
    return np.stack([i[labelled], j[labelled]], axis=1).astype(np.int64)


def keep_apart(label: Ints, cost: Floats, ratio: Floats) -> npt.NDArray[np.int64]:
    """(N,) the labels, with -1 for each row that cannot be one person with a better fitting member of its label.

    Args:
        label: (N,), -1 for none; cost: (N,) the smaller, the better it fits its label; ratio: (N, N).
    """
    found = np.array(label, np.int64)
    others: dict[int, list[int]] = {}
    for i, j in impossible_pairs(found, ratio).tolist():
        others.setdefault(i, []).append(j)
        others.setdefault(j, []).append(i)
    settled: set[int] = set()
    for i in np.argsort(cost, kind="stable").tolist():
        if any(j in settled for j in others.get(i, ())):
            found[i] = -1
        elif i in others:
            settled.add(i)
    return found


def take_apart(
    label: Ints, distances: sparse.csr_matrix, ratio: Floats, min_size: int, far: float
) -> npt.NDArray[np.int64]:
    """Clusters that hold no impossible pair: those that do are clustered again, by average linkage under cannot-links.

    Args:
        label: (N,) clusters, -1 for none; ratio: (N, N).
        distances: (N, N), what is not stored is at distance 1; parts farther apart than ``far`` on average are not joined.
        min_size: a part of fewer tracklets is none.

    Returns:
        (N,) labels 0, 1, … in order of first member, -1 for none; ``label`` itself where no pair is impossible.
    """
    from stages.association.clustering import cluster_tracklets
    from stages.association.pairing import first_member_labels

    found = np.array(label, np.int64)
    pairs = impossible_pairs(found, ratio)
    if not len(pairs):
        return found
    for cluster in np.unique(found[pairs[:, 0]]):
        rows = np.flatnonzero(label == cluster)
        near = distances[rows][:, rows].tocoo()
        dense = np.ones((len(rows), len(rows)))
        dense[near.row, near.col] = near.data
        own = np.searchsorted(rows, pairs[label[pairs[:, 0]] == cluster])
        part = cluster_tracklets(dense, own, far)
        found[rows] = np.where(np.bincount(part)[part] >= min_size, found.max() + 1 + part, -1)
    some = found >= 0
    found[some] = first_member_labels(found[some])
    return found


def cluster_ratios(ratio: Floats, label: Ints, clusters: int) -> Matrix:
    """(N, M) R of N tracklets and M clusters: the mean of R to the members, 0 where one of them is impossible, or there is none.

    Args:
        ratio: (N, K) R of the N tracklets and the K that are clustered; label: (K,) -1 for none.
    """
    label = np.asarray(label)
    member = (label[:, None] == np.arange(clusters)).astype(np.float64)
    count = member.sum(0)
    mean = np.asarray(ratio, np.float64) @ member / np.maximum(count, 1)
    return np.where((ratio == 0).astype(np.float64) @ member > 0, 0.0, mean)


def regroup(
    x: Floats, label: Ints, centre: Floats, ratio: Floats
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """k-means continued under the prior: (N,) labels, -1 for whom no cluster is possible, and (M, D) means.

    Every tracklet in turn, the worst fitting first, goes to the cluster of smallest D / R, with D to the cluster's mean and R
    the mean over its members, the tracklet itself left out (for a cluster without members the mean of the tracklet's own row
    over whom it could be). Then the means move, as in k-means, until no tracklet moves, or twenty times. An empty cluster
    keeps its mean. No impossible pair shares a cluster: each tracklet is checked against all members.

    Args:
        x: (N, D); label: (N,) of k-means; centre: (M, D) its means; ratio: (N, N).
    """
    from stages.association.pairing import euclidean_distances

    group, mean = np.array(label, np.int64), np.array(centre, np.float64)
    ratio, n, m = np.asarray(ratio, np.float64), len(group), len(mean)
    barred = (ratio == 0).astype(np.float64)
    unknown = (ratio.sum(1) - 1) / np.maximum((ratio > 0).sum(1) - 1, 1)  # without the tracklet itself
    unknown[(ratio > 0).sum(1) < 2] = 1.0
    for _ in range(_SWEEPS):
        distance = euclidean_distances(x, mean).astype(np.float64)
        member = (group[:, None] == np.arange(m)).astype(np.float64)
        sums, bars, count = ratio @ member, barred @ member, member.sum(0)
        own = np.where(group >= 0, distance[np.arange(n), group], 0.0)
        moved = False
        for i in np.argsort(-own, kind="stable"):
            was = int(group[i])
            if was >= 0:
                sums[:, was] -= ratio[:, i]
                bars[:, was] -= barred[:, i]
                count[was] -= 1
            fit = np.maximum(np.where(count > 0, sums[i] / np.maximum(count, 1), unknown[i]), FLOOR)
            cost = joint_distances(distance[i], np.where(bars[i] > 0, 0.0, fit))
            to = int(cost.argmin())
            if was >= 0 and np.isfinite(cost[was]) and cost[was] <= cost[to] * (1 + _BETTER):
                to = was
            to = to if np.isfinite(cost[to]) else -1
            if to >= 0:
                sums[:, to] += ratio[:, i]
                bars[:, to] += barred[:, i]
                count[to] += 1
            group[i], moved = to, moved or to != was
        if not moved:
            break
        for c in np.unique(group[group >= 0]):
            mean[c] = x[group == c].mean(0)
    return group, mean
