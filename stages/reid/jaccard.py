"""k-reciprocal Jaccard distance, sparse throughout: only pairs that share a neighbour are ever stored.

Zhong et al.: Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017, without the mixing in of the
original distance, as clustering uses it (Ge et al., MMT, 2020). The public writings differ by one neighbour and in the
weights; pinned here as: a neighbourhood of k holds the point itself and its k nearest; the half neighbourhood has
round(k1 / 2); a half neighbourhood joins where more than two thirds of it lie in the whole one; weights are the softmax of
minus the squared distance; local query expansion averages the rows of the k2 nearest, the point itself among them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

_EQUAL = 1e-6  # what float32 leaves of two rows that are the same

Floats = npt.NDArray[np.floating]


def jaccard_distances(features: Floats, k1: int = 30, k2: int = 6) -> sparse.csr_matrix:
    """(N, N) CSR of the distances below one; what is not stored is one, and the diagonal is stored as nought.

    Memory and time grow with N · k1², not with N².

    Args:
        features: (N, D) L2-normalised.
    """
    x = np.ascontiguousarray(features, np.float32)
    n = len(x)
    if n == 0:
        return sparse.csr_matrix((0, 0))
    ranks = nearest(x, min(k1 + 1, n))
    v = _encoding(x, ranks, k1)
    if k2 > 1:
        v = _expanded(v, ranks[:, :k2])
    return _distances(v)


def nearest(features: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """(N, k) each row's nearest rows by inner product, itself first."""
    import faiss

    index = faiss.IndexFlatIP(features.shape[1])
    index.add(features)
    _, found = index.search(features, k)
    # Among equals faiss may put another first.
    for i in np.flatnonzero(found[:, 0] != np.arange(len(found))):
        others = found[i][found[i] != i]
        found[i] = np.concatenate([[i], others[: k - 1]])
    return np.asarray(found, np.int64)


def reciprocal(ranks: npt.NDArray[np.int64], k: int) -> sparse.csr_matrix:
    """(N, N) boolean CSR: j in row i where each is among the other's ``k`` nearest, or the same."""
    n = len(ranks)
    near = ranks[:, : k + 1]
    rows = np.repeat(np.arange(n), near.shape[1])
    forward = sparse.csr_matrix((np.ones(near.size, np.float32), (rows, near.ravel())), shape=(n, n))
    return forward.multiply(forward.T).tocsr()


def _encoding(x: npt.NDArray[np.float32], ranks: npt.NDArray[np.int64], k1: int) -> sparse.csr_matrix:
    """(N, N) CSR V: softmax over each point's expanded k-reciprocal neighbours of minus their squared distance."""
    whole, half = reciprocal(ranks, k1), reciprocal(ranks, round(k1 / 2))
    # Common members of i's whole and j's half neighbourhood, for each j in the whole one of i.
    common = (whole @ half.T).multiply(whole).tocoo()
    size = np.diff(half.indptr)
    joins = common.data > 2 / 3 * size[common.col]
    chosen = sparse.csr_matrix(
        (np.ones(joins.sum(), np.float32), (common.row[joins], common.col[joins])), whole.shape
    )
    members = (whole + chosen @ half).tocsr()
    members.sum_duplicates()
    rows = np.repeat(np.arange(len(x)), np.diff(members.indptr))
    # Rows in pieces: pairs of features side by side would be far larger than the result.
    squared = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), 1 << 20):
        part = slice(start, start + (1 << 20))
        squared[part] = 2 - 2 * np.einsum("nd,nd->n", x[rows[part]], x[members.indices[part]])
    weight = np.exp(-squared).astype(np.float32)
    sums = np.add.reduceat(weight, members.indptr[:-1])
    members.data = weight / np.repeat(sums, np.diff(members.indptr))
    return members


def _expanded(v: sparse.csr_matrix, ranks: npt.NDArray[np.int64]) -> sparse.csr_matrix:
    n, k = ranks.shape
    mean = sparse.csr_matrix(
        (np.full(ranks.size, 1 / k, np.float32), (np.repeat(np.arange(n), k), ranks.ravel())), shape=(n, n)
    )
    return (mean @ v).tocsr()


def _distances(v: sparse.csr_matrix) -> sparse.csr_matrix:
    """1 - shared / (2 - shared), shared the sum of minima of two rows that each sum to one."""
    n = v.shape[0]
    by_column = v.tocsc()
    columns, values = [], []
    counts = np.zeros(n + 1, np.int64)
    shared = np.zeros(n, np.float32)
    for i in range(n):
        own = slice(v.indptr[i], v.indptr[i + 1])
        spans = [slice(by_column.indptr[c], by_column.indptr[c + 1]) for c in v.indices[own]]
        rows = np.concatenate([by_column.indices[s] for s in spans])
        lengths = [s.stop - s.start for s in spans]
        least = np.minimum(
            np.repeat(v.data[own], lengths), np.concatenate([by_column.data[s] for s in spans])
        )
        np.add.at(shared, rows, least)
        touched = np.unique(rows)
        columns.append(touched.astype(np.int32))
        distance = 1 - shared[touched] / (2 - shared[touched])
        values.append(np.where(distance < _EQUAL, 0, distance).astype(np.float32))
        counts[i + 1] = len(touched)
        shared[touched] = 0
    return sparse.csr_matrix(
        (np.concatenate(values), np.concatenate(columns), np.cumsum(counts)), shape=(n, n)
    )


def data_dependent_eps(distances: sparse.csr_matrix, share: float) -> float:
    """TMC's eps: the mean of the smallest distances above nought, ``share`` of all pairs that are apart at all.

    Pairs that are not stored count as pairs, at distance one.
    """
    n = distances.shape[0]
    upper = sparse.triu(distances, k=1).data
    apart = np.sort(upper[upper > 0])
    wanted = round(share * (n * (n - 1) // 2 - int((upper == 0).sum())))
    if n < 2:
        return 0.5
    chosen = apart[: max(wanted, 1)]
    missing = max(wanted, 1) - len(chosen)
    return float((chosen.sum() + missing) / max(wanted, 1))
