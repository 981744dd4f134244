import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from stages.association.link_tables import pairs_across
from stages.association.pairing import (
    euclidean_distances,
    first_member_labels,
    joint_distance,
    keep_nearest_cluster,
    kmeans_1d,
    mutual_nearest,
    union_find,
)


def test_euclidean_distances_equal_the_definition():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(5, 7)), rng.normal(size=(4, 7))
    naive = [[np.sqrt(sum((x - y) ** 2 for x, y in zip(p, q, strict=True))) for q in b] for p in a]
    assert np.allclose(euclidean_distances(a, b), naive, atol=1e-6)
    assert euclidean_distances(a[:0], b).shape == (0, 4)


def test_joint_distance_is_the_paper_s_quotient_and_has_a_floor():
    delta_t, mean, std = 20.0, 16.0, 11.2
    r = np.exp(-((delta_t - mean) ** 2) / (2 * std**2))
    assert joint_distance(np.array([0.8]), np.array([np.log(r)]))[0] == pytest.approx(0.8 / r)
    assert joint_distance(np.array([0.8]), np.array([-1e9]))[0] == pytest.approx(0.8 / 1e-4)
    assert joint_distance(np.array([0.8]), np.array([-np.inf]))[0] == pytest.approx(0.8 / 1e-4)


def test_mutual_nearest_on_a_rectangle():
    d = np.array([[1.0, 5.0, 9.0], [0.5, 4.0, 9.0]])
    # Row 0 prefers column 0, but column 0 prefers row 1.
    assert mutual_nearest(d).tolist() == [[1, 0]]


def test_mutual_nearest_respects_the_gate_and_survives_gated_rows():
    d = np.array([[1.0, 5.0], [0.5, 4.0]])
    assert mutual_nearest(d, np.array([[True, True], [False, True]])).tolist() == [[0, 0], [1, 1]]
    assert mutual_nearest(d, np.array([[False, False], [True, True]])).tolist() == [[1, 0]]
    assert mutual_nearest(d, np.zeros((2, 2), bool)).shape == (0, 2)


def test_mutual_nearest_of_duplicates_is_one_to_one():
    assert mutual_nearest(np.zeros((3, 2))).tolist() == [[0, 0], [1, 1]]


@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0)])
def test_mutual_nearest_of_nothing(shape):
    assert mutual_nearest(np.zeros(shape)).shape == (0, 2)


def test_mutual_nearest_ignores_nan():
    assert mutual_nearest(np.array([[np.nan, 2.0]])).tolist() == [[0, 1]]
    assert len(mutual_nearest(np.array([[np.nan]]))) == 0


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_mutual_nearest_equals_a_naive_search_and_does_not_depend_on_numbering(n, m, seed):
    rng = np.random.default_rng(seed)
    d = rng.permutation(n * m).reshape(n, m).astype(float)
    naive = [(i, j) for i in range(n) for j in range(m) if d[i, j] == min(d[i]) and d[i, j] == min(d[:, j])]
    assert [tuple(p) for p in mutual_nearest(d)] == naive
    rows, columns = rng.permutation(n), rng.permutation(m)
    renumbered = {(rows[i], columns[j]) for i, j in mutual_nearest(d[np.ix_(rows, columns)])}
    assert renumbered == set(naive)


def test_kmeans_starts_evenly_and_finds_three_heaps():
    values = np.array([0.1, 5.1, 0.2, 9.9, 5.0, 10.0, 0.15])
    assert kmeans_1d(values, 3).tolist() == [0, 1, 0, 2, 1, 2, 0]


def naive_kmeans(values, k):
    centres = [min(values) + i * (max(values) - min(values)) / (k - 1) for i in range(k)]
    labels = None
    while True:
        new = [min(range(k), key=lambda c: (abs(v - centres[c]), c)) for v in values]
        if new == labels:
            return labels
        labels = new
        for c in range(k):
            mine = [v for v, label in zip(values, labels, strict=True) if label == c]
            if mine:
                centres[c] = sum(mine) / len(mine)


@given(hnp.arrays(np.float64, st.integers(3, 30), elements=st.integers(0, 1000).map(float), unique=True))
def test_kmeans_equals_a_naive_writing(values):
    assert kmeans_1d(values, 3).tolist() == naive_kmeans(values.tolist(), 3)


def test_an_empty_cluster_does_no_harm():
    values = np.array([0.0, 0.1, 0.2, 10.0])
    assert kmeans_1d(values, 3).tolist() == [0, 0, 0, 2]
    assert keep_nearest_cluster(values).tolist() == [True, True, True, False]


def test_fewer_candidates_than_clusters():
    assert keep_nearest_cluster(np.array([])).tolist() == []
    assert keep_nearest_cluster(np.array([0.7])).tolist() == [True]
    assert keep_nearest_cluster(np.array([0.7, 0.4])).tolist() == [False, True]
    assert keep_nearest_cluster(np.array([0.7, 0.7, 0.7])).tolist() == [True] * 3


def test_kmeans_refuses_what_is_no_number():
    with pytest.raises(ValueError):
        kmeans_1d(np.array([0.1, np.nan]))


def test_union_find_closes_pairs_transitively():
    pairs = np.array([[0, 1], [3, 4], [1, 2]])
    assert union_find(6, pairs, np.array([0.1, 0.2, 0.3])).tolist() == [0, 0, 0, 1, 1, 2]


def test_union_find_refuses_the_farther_of_two_contradicting_pairs():
    # 0-1-2 would put 0 and 2 together, who stood side by side.
    pairs, cannot = np.array([[0, 1], [1, 2]]), np.array([[2, 0]])
    assert union_find(3, pairs, np.array([0.1, 0.2]), cannot).tolist() == [0, 0, 1]
    assert union_find(3, pairs, np.array([0.2, 0.1]), cannot).tolist() == [0, 1, 1]


def test_union_find_of_nothing():
    assert union_find(0, np.zeros((0, 2), int), np.zeros(0)).tolist() == []
    assert union_find(2, np.zeros((0, 2), int), np.zeros(0)).tolist() == [0, 1]


@given(st.integers(0, 2**32 - 1))
def test_union_find_never_joins_a_cannot_link_and_does_not_depend_on_numbering(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 15))
    every = np.array([(i, j) for i in range(n) for j in range(i + 1, n)])
    pairs = every[rng.random(len(every)) < 0.4]
    cannot = every[rng.random(len(every)) < 0.2]
    distances = rng.permutation(len(pairs)).astype(float)
    labels = union_find(n, pairs, distances, cannot)
    assert (labels[cannot[:, 0]] != labels[cannot[:, 1]]).all()
    # Naive: sets, in order of distance.
    sets = {i: {i} for i in range(n)}
    for p in np.argsort(distances):
        a, b = sets[pairs[p, 0]], sets[pairs[p, 1]]
        if a is not b and not any((i in a and j in b) or (i in b and j in a) for i, j in cannot):
            a |= b
            for i in b:
                sets[i] = a
    assert all((labels[i] == labels[j]) == (sets[i] is sets[j]) for i, j in every)
    new = rng.permutation(n)
    again = union_find(n, new[pairs], distances, new[cannot])
    assert (first_member_labels(again[new]) == labels).all()


@pytest.mark.parametrize("seed", range(5))
def test_pairs_across_are_all_of_one_label_in_two_cameras_in_order(seed):
    rng = np.random.default_rng(seed)
    label, camera = rng.integers(-1, 4, 20), np.array(["a", "b", "c"])[rng.integers(0, 3, 20)]
    i, j = pairs_across(label, camera)
    wanted = [
        (a, b)
        for a in range(20)
        for b in range(a + 1, 20)
        if label[a] == label[b] >= 0 and camera[a] != camera[b]
    ]
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == wanted
    for nothing in (label[:0], np.full(20, -1)):
        assert [len(rows) for rows in pairs_across(nothing, camera[: len(nothing)])] == [0, 0]
