"""The sparse k-reciprocal Jaccard distance against its dense definition."""

import numpy as np
import pytest

from stages.association.jaccard import data_dependent_eps, jaccard_distances


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def dense(x, k1, k2):
    """Step by step, with a matrix of all pairs."""
    n = len(x)
    similarity = x.astype(np.float64) @ x.T.astype(np.float64)
    similarity[np.arange(n), np.arange(n)] = 9
    ranks = np.argsort(-similarity, axis=1, kind="stable")

    def mutual(i, k):
        return {j for j in ranks[i, : k + 1] if i in ranks[j, : k + 1]}

    v = np.zeros((n, n))
    for i in range(n):
        whole = mutual(i, k1)
        members = set(whole)
        for j in whole:
            half = mutual(j, round(k1 / 2))
            if len(half & whole) > 2 / 3 * len(half):
                members |= half
        members = sorted(members)
        weight = np.exp(-(2 - 2 * x[members].astype(np.float64) @ x[i]))
        v[i, members] = weight / weight.sum()
    if k2 > 1:
        v = np.stack([v[ranks[i, :k2]].mean(0) for i in range(n)])
    shared = np.minimum(v[:, None, :], v[None, :, :]).sum(2)
    found = 1 - shared / (2 - shared)
    np.fill_diagonal(found, 0)
    return found


@pytest.mark.parametrize(("n", "k1", "k2"), [(60, 8, 3), (60, 30, 6), (40, 7, 1), (5, 30, 6), (1, 30, 6)])
def test_sparse_is_dense(n, k1, k2):
    rng = np.random.default_rng(n)
    x = unit(rng.normal(size=(n, 16)) + 2 * rng.normal(size=(6, 16))[rng.integers(0, 6, n)])
    found = jaccard_distances(x, k1, k2)
    stored = np.ones((n, n))
    entries = found.tocoo()
    stored[entries.row, entries.col] = entries.data
    np.fill_diagonal(stored, 0)
    np.testing.assert_allclose(stored, dense(x, k1, min(k2, n)), atol=2e-6)
    assert (found.diagonal() == 0).all() and found.has_sorted_indices


def test_only_pairs_below_are_stored():
    rng = np.random.default_rng(2)
    x = unit(rng.normal(size=(50, 16)) + 2 * rng.normal(size=(6, 16))[rng.integers(0, 6, 50)])
    every, near = (jaccard_distances(x, 8, 3, below).toarray() for below in (1.0, 0.8))
    stored = jaccard_distances(x, 8, 3, 0.8).tocoo()
    assert 50 < stored.nnz < (every > 0).sum() and stored.data.max() < 0.8
    far = (every >= 0.8) | (every == 0)
    np.testing.assert_array_equal(near, np.where(far, 0, every))


def test_points_that_share_no_neighbour_are_not_stored():
    rng = np.random.default_rng(0)
    x = unit(np.repeat(20 * np.eye(2, 4), 30, axis=0) + rng.normal(size=(60, 4)))
    found = jaccard_distances(x, 10, 3)
    assert found[:30, 30:].nnz == 0 and found[:30, :30].nnz > 100
    assert jaccard_distances(x[:0]).shape == (0, 0)


def test_equal_points_are_at_distance_nought():
    x = unit(np.repeat(np.eye(4), 6, axis=0))
    found = jaccard_distances(x, 5, 3).toarray()
    assert found[0, 1:6].max() < 1e-6


def test_eps_is_the_mean_of_the_nearest_pairs_of_all():
    rng = np.random.default_rng(1)
    x = unit(rng.normal(size=(80, 8)))
    found = jaccard_distances(x, 10, 3)
    whole = dense(x, 10, 3)
    pairs = whole[np.triu_indices(80, 1)]
    pairs = np.sort(pairs[pairs > 1e-6])
    for share in (0.001, 0.01, 0.9):
        n = round(share * len(pairs))
        assert data_dependent_eps(found, share) == pytest.approx(np.mean(pairs[:n]), rel=1e-4)
    assert data_dependent_eps(jaccard_distances(unit(np.eye(1, 4)), 1, 1), 0.1) == 0.5
    assert data_dependent_eps(jaccard_distances(unit(np.eye(2, 4)), 1, 1), 0.1) <= 1
