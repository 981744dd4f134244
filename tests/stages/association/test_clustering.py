import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from stages.association.clustering import cluster_tracklets
from stages.association.evidence import camera_centres, centred
from stages.association.pairing import first_member_labels

NONE = np.zeros((0, 2), int)


def random_distance(rng, n, cannot_share=0.0):
    d = rng.uniform(-1, 1, (n, n))
    d = (d + d.T) / 2
    every = np.array([(i, j) for i in range(n) for j in range(i + 1, n)], int).reshape(-1, 2)
    return d, every[rng.random(len(every)) < cannot_share]


def naive(d, cannot, threshold):
    """Join the nearest pair of clusters that may be joined, until none is near enough."""
    clusters = [{i} for i in range(len(d))]
    forbidden = {tuple(sorted(p)) for p in cannot.tolist()}
    while True:
        best = None
        for a in range(len(clusters)):
            for b in range(a + 1, len(clusters)):
                pairs = [tuple(sorted((i, j))) for i in clusters[a] for j in clusters[b]]
                if any(p in forbidden for p in pairs):
                    continue
                mean = np.mean([d[p] for p in pairs])
                if mean <= threshold and (best is None or mean < best[0]):
                    best = (mean, a, b)
        if best is None:
            labels = np.empty(len(d), int)
            for k, members in enumerate(clusters):
                labels[list(members)] = k
            return first_member_labels(labels)
        clusters[best[1]] |= clusters.pop(best[2])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from([0.0, 0.1, 0.4]))
def test_equals_the_greedy_definition_and_never_joins_a_cannot_link(seed, n, share):
    rng = np.random.default_rng(seed)
    d, cannot = random_distance(rng, n, share)
    labels = cluster_tracklets(d, cannot, 0.2)
    assert (labels == naive(d, cannot, 0.2)).all()
    assert (labels[cannot[:, 0]] != labels[cannot[:, 1]]).all()
    new = rng.permutation(n)
    place = np.argsort(new)
    again = cluster_tracklets(d[np.ix_(new, new)], place[cannot], 0.2)
    assert (first_member_labels(again[place]) == labels).all()


def test_equals_scipy_without_constraints():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6))
    d = np.linalg.norm(x[:, None] - x[None], axis=2)
    reference = fcluster(linkage(squareform(d, checks=False), "average"), 2.2, "distance")
    assert (cluster_tracklets(d, NONE, 2.2) == first_member_labels(reference)).all()


def test_infinite_distances_are_cannot_links_too():
    d = np.zeros((3, 3))
    d[0, 2] = d[2, 0] = np.inf
    assert len(set(cluster_tracklets(d, NONE, 1.0)[[0, 2]])) == 2


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_tracklets(n):
    assert cluster_tracklets(np.ones((n, n)), NONE, 0.5).tolist() == list(range(n))
    assert cluster_tracklets(np.zeros((n, n)), NONE, 0.5).tolist() == [0] * n


def test_equal_distances_everywhere_end():
    labels = cluster_tracklets(np.zeros((30, 30)), np.array([[0, 1]]), 0.0)
    assert labels[0] != labels[1] and labels.max() == 1


def test_bad_matrices_are_refused():
    with pytest.raises(ValueError):
        cluster_tracklets(np.zeros((2, 3)), NONE, 1.0)
    with pytest.raises(ValueError):
        cluster_tracklets(np.full((2, 2), np.nan), NONE, 1.0)


def test_centring_takes_out_what_a_camera_adds():
    rng = np.random.default_rng(0)
    person, camera = np.tile(np.arange(8), 2), np.repeat([0, 1], 8)
    tint = np.stack([np.zeros(8), 3 * np.eye(8)[0]])
    x = np.eye(8)[person] + tint[camera] + 0.01 * rng.normal(size=(16, 8))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = centred(x, camera_centres(x, camera))
    nearest = np.linalg.norm(y[:8, None] - y[None, 8:], axis=2).argmin(1)
    assert (nearest[1:] == np.arange(1, 8)).all()
    assert np.allclose(np.linalg.norm(y, axis=1), 1, atol=1e-5)


def test_centring_of_few_and_of_equal_tracklets_is_finite():
    assert camera_centres(np.zeros((0, 4)), np.zeros(0)).shape == (0, 4)
    same = np.ones((9, 4)) / 2
    assert np.allclose(centred(same, camera_centres(same, np.zeros(9))), same)
    one = np.eye(4)[:1]
    assert (centred(one, camera_centres(one, np.zeros(1))) == one).all()
    # A small camera among many is centred on the mean of all, not on its own two tracklets.
    x = np.random.default_rng(0).normal(size=(20, 4))
    centres = camera_centres(x, np.array([0] * 18 + [1] * 2))
    assert np.allclose(centres[-1], x.mean(0)) and np.allclose(centres[0], x[:18].mean(0))
