import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.evaluation.ranking import cmc, mean_average_precision, rank

REMOVE = ("same_pid_and_camera", "same_camera", "nothing")


def naive_query(distance, pid, camera, gallery_pid, gallery_camera, remove):
    """(first match rank, average precision, precision at the last match) by walking down the list."""
    entries = []
    for d, p, c in zip(distance, gallery_pid, gallery_camera, strict=True):
        if p == -1:
            continue
        if remove == "same_pid_and_camera" and p == pid and c == camera:
            continue
        if remove == "same_camera" and c == camera:
            continue
        entries.append((d, p == pid))
    entries.sort(key=lambda e: (e[0], e[1]))
    first, precisions, hits = -1, [], 0
    for place, (_, match) in enumerate(entries):
        if match:
            hits += 1
            precisions.append(hits / (place + 1))
            first = place if first < 0 else first
    return (
        first,
        sum(precisions) / len(precisions) if precisions else 0.0,
        precisions[-1] if precisions else 0.0,
    )


def world(seed, queries=12, gallery=30):
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, 12, (queries, gallery)) / 10.0,  # coarse, so there are ties
        rng.integers(0, 5, queries),
        rng.integers(-1, 7, gallery),  # junk -1, distractors 5 and 6
        rng.integers(0, 3, queries),
        rng.integers(0, 3, gallery),
    )


@given(st.integers(0, 2**32 - 1), st.sampled_from(REMOVE))
def test_equals_walking_down_the_list(seed, remove):
    d, qp, gp, qc, gc = world(seed)
    found = rank(d, qp, gp, qc, gc, remove=remove)
    for q in range(len(qp)):
        first, precision, last = naive_query(d[q], qp[q], qc[q], gp, gc, remove)
        assert found.first_match_rank[q] == first
        assert found.average_precision[q] == pytest.approx(precision)
        assert found.inverse_negative_penalty[q] == pytest.approx(last)
        assert (found.n_matches[q] == 0) == (first == -1)


@given(st.integers(0, 2**32 - 1))
def test_neither_order_of_the_gallery_nor_a_monotone_map_changes_anything(seed):
    d, qp, gp, qc, gc = world(seed)
    found = rank(d, qp, gp, qc, gc)
    new = np.random.default_rng(seed).permutation(len(gp))
    again = rank(np.exp(3 * d[:, new]), qp, gp[new], qc, gc[new])
    assert (again.first_match_rank == found.first_match_rank).all()
    assert np.allclose(again.average_precision, found.average_precision)


def test_a_perfect_ranking_has_map_one():
    pid = np.array([0, 1, 2])
    gallery = np.array([0, 0, 1, 2, 2, 9])
    d = (pid[:, None] != gallery[None, :]).astype(float)
    found = rank(d, pid, gallery, np.zeros(3), np.ones(6))
    assert mean_average_precision(found) == 1.0
    assert cmc(found.first_match_rank, (1,))[1] == 1.0


def test_all_equal_distances_are_no_success():
    found = rank(np.zeros((1, 4)), np.array([0]), np.array([0, 1, 2, 3]), np.zeros(1), np.ones(4))
    assert found.first_match_rank.tolist() == [3]
    assert found.average_precision[0] == pytest.approx(0.25)


def test_nan_is_farthest():
    found = rank(np.array([[np.nan, 5.0]]), np.array([0]), np.array([0, 1]), np.zeros(1), np.ones(2))
    assert found.first_match_rank.tolist() == [1]


def test_missed_queries_are_left_out_or_wrong():
    d = np.array([[0.1, 0.2], [0.1, 0.2]])
    found = rank(d, np.array([0, 7]), np.array([0, 1]), np.zeros(2), np.ones(2))
    assert found.first_match_rank.tolist() == [0, -1]
    assert cmc(found.first_match_rank, (1,))[1] == 1.0
    assert cmc(found.first_match_rank, (1,), missed_are_wrong=True)[1] == 0.5
    assert mean_average_precision(found) == 1.0
    assert mean_average_precision(found, missed_are_wrong=True) == 0.5


def test_string_cameras_and_many_queries():
    rng = np.random.default_rng(0)
    n = 1100  # more than one chunk
    d, pid = rng.random((n, 40)), rng.integers(0, 4, n)
    gallery, camera = rng.integers(0, 4, 40), np.array(["a", "b"])[rng.integers(0, 2, 40)]
    own = np.array(["a", "b"])[rng.integers(0, 2, n)]
    found = rank(d, pid, gallery, own, camera, remove="same_camera")
    for q in (0, 511, 512, n - 1):
        first, precision, _ = naive_query(d[q], pid[q], own[q], gallery, camera, "same_camera")
        assert (found.first_match_rank[q], found.average_precision[q]) == (first, pytest.approx(precision))


def test_nothing_to_rank():
    empty = np.zeros(0, int)
    found = rank(np.zeros((0, 3)), empty, np.arange(3), empty, np.arange(3))
    assert math.isnan(cmc(found.first_match_rank)[1]) and math.isnan(mean_average_precision(found))
    found = rank(np.zeros((2, 0)), np.arange(2), empty, np.arange(2), empty)
    assert found.first_match_rank.tolist() == [-1, -1]
    assert cmc(found.first_match_rank, missed_are_wrong=True)[1] == 0.0
    with pytest.raises(ValueError):
        rank(np.zeros((2, 2)), np.arange(3), np.arange(2), np.arange(3), np.arange(2))
