"""Cross-camera association of tracklets: joint distance, mutual nearest neighbours, 1-D k-means, union-find.

Source: Xie et al., *Progressive Unsupervised Person Re-Identification by Tracklet Association with Spatio-Temporal
Regularization* (TASTR), 2019, §IV-C. Pure numpy; nothing here knows a camera or a clock.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]


def euclidean_distances(a: Floats, b: Floats) -> npt.NDArray[np.float32]:
    """(N, M) Euclidean distances between the rows of ``a`` (N, D) and ``b`` (M, D). TASTR Eq. 2."""
    a64, b64 = np.asarray(a, np.float64), np.asarray(b, np.float64)
    squared = (a64**2).sum(1)[:, None] + (b64**2).sum(1)[None, :] - 2 * a64 @ b64.T
    return np.sqrt(np.maximum(squared, 0)).astype(np.float32)


def joint_distance(distance: Floats, log_prior: Floats, floor: float = 1e-4) -> npt.NDArray[np.float64]:
    """D / R with R = max(floor, exp(log_prior)), same shape as ``distance``. TASTR Eq. 3 and 4.

    The floor keeps a pair at an unlikely time far instead of infinitely far, as the authors' code does.
    """
    return np.asarray(distance, np.float64) / np.maximum(np.exp(np.asarray(log_prior, np.float64)), floor)


def mutual_nearest(distance: Floats, gate: Bools | None = None) -> npt.NDArray[np.int64]:
    """Pairs (row, column) that are each other's nearest, as (K, 2) sorted by row; every row and column at most once.

    Args:
        distance: (N, M); inf and NaN are never near.
        gate: (N, M), False where the pair is impossible. A row or column that is gated as a whole has no pair.

    Ties are settled one to one in index order, so that duplicates find partners instead of all pointing at the first.
    """
    d = np.array(distance, np.float64)
    if gate is not None:
        d[~np.asarray(gate, bool)] = np.inf
    d[np.isnan(d)] = np.inf
    if not d.size:
        return np.zeros((0, 2), np.int64)
    both = np.isfinite(d) & (d == d.min(1, keepdims=True)) & (d == d.min(0, keepdims=True))
    pairs: list[tuple[int, int]] = []
    taken_rows: set[int] = set()
    taken_columns: set[int] = set()
    for i, j in zip(*np.nonzero(both), strict=True):
        if int(i) not in taken_rows and int(j) not in taken_columns:
            pairs.append((int(i), int(j)))
            taken_rows.add(int(i))
            taken_columns.add(int(j))
    return np.array(pairs, np.int64).reshape(-1, 2)


def kmeans_1d(values: Floats, k: int = 3, max_steps: int = 300) -> npt.NDArray[np.int64]:
    """Cluster number of each of (N,) values by Lloyd's k-means; 0 is the cluster of the smallest values. TASTR §IV-C.

    The k centres start evenly spaced from the smallest to the largest value, so there is no randomness. A cluster that
    runs empty keeps its centre. With fewer than k distinct values k is lowered to their number: every distinct value
    is then a cluster of its own.

    Raises:
        ValueError: a value is not finite, or k < 1.
    """
    v = np.asarray(values, np.float64)
    if k < 1 or not np.isfinite(v).all():
        raise ValueError("kmeans_1d wants finite values and k >= 1")
    k = min(k, len(np.unique(v)))
    if k <= 1:
        return np.zeros(len(v), np.int64)
    centres = np.linspace(v.min(), v.max(), k)
    labels = np.full(len(v), -1)
    for _ in range(max_steps):
        moved = np.abs(v[:, None] - centres).argmin(1)
        if (moved == labels).all():
            break
        labels = moved
        counts = np.bincount(labels, minlength=k)
        sums = np.bincount(labels, weights=v, minlength=k)
        centres = np.where(counts > 0, sums / np.maximum(counts, 1), centres)
    return labels.astype(np.int64)


def keep_nearest_cluster(distances: Floats, k: int = 3) -> Bools:
    """(N,) True for the candidates in the 1-D k-means cluster of smallest mean distance. TASTR §IV-C.

    Candidates whose distance is equal are kept or dropped together; with fewer than k distinct distances only the
    smallest is kept, with one candidate that one, with none the answer is empty.
    """
    return np.asarray(kmeans_1d(distances, k) == 0)


def union_find(
    n: int, pairs: Ints, distances: Floats, cannot_link: Ints | None = None
) -> npt.NDArray[np.int64]:
    """Transitive closure of kept pairs that never joins a cannot-link: (n,) labels 0, 1, … by first member.

    Args:
        n: number of tracklets.
        pairs: (M, 2) indices; distances: (M,) their distances. Pairs are joined from near to far.
        cannot_link: (C, 2) pairs that must end in different sets; a pair whose union would hold one is refused.
    """
    parent = np.arange(n)
    enemies: list[set[int]] = [set() for _ in range(n)]
    for i, j in np.asarray(cannot_link if cannot_link is not None else [], np.int64).reshape(-1, 2):
        enemies[i].add(int(j))
        enemies[j].add(int(i))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    pairs = np.sort(np.asarray(pairs, np.int64).reshape(-1, 2), axis=1)
    order = np.lexsort((pairs[:, 1], pairs[:, 0], np.asarray(distances, np.float64)))
    for i, j in pairs[order]:
        a, b = root(int(i)), root(int(j))
        if a == b or b in enemies[a]:
            continue
        if len(enemies[a]) < len(enemies[b]):
            a, b = b, a
        parent[b] = a
        # Enemies are roots, so whoever knew b must know a from now on.
        for enemy in enemies[b]:
            enemies[enemy].discard(b)
            enemies[enemy].add(a)
        enemies[a] |= enemies[b]
    roots = np.array([root(i) for i in range(n)], np.int64)
    return first_member_labels(roots)


def first_member_labels(labels: Ints) -> npt.NDArray[np.int64]:
    """The same partition with labels 0, 1, … in order of first appearance."""
    _, first, inverse = np.unique(np.asarray(labels), return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse.reshape(-1)]
