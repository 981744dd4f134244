"""Signals without truth: each against a loop that follows its sentence, and worlds known by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from stages.evaluation import signals
from stages.evaluation.verdict import WITNESSES, values, verdict
from stages.reid.association import euclidean_distances
from stages.reid.evidence import Matches


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@given(st.integers(0, 14), st.integers(1, 3), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_neighbours_and_cycles_as_they_are_told(n: int, cameras: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, camera = unit(rng.normal(size=(n, 3))), rng.integers(0, cameras, n).astype(str)
    possible = rng.random((n, n)) < 0.8
    possible &= possible.T
    d = euclidean_distances(x, x).astype(float)
    found, cycle = signals.possible_neighbours(d, possible), signals.cycles(d, camera)
    for i in range(n):
        others = [j for j in range(n) if j != i]
        if n < 2 or all(possible[i, j] for j in others):
            assert np.isnan(found[i])
        else:
            assert found[i] == possible[i, min(others, key=lambda j, i=i: d[i, j])]
        back = []
        for b in set(camera) - {camera[i]}:
            there = min((j for j in range(n) if camera[j] == b), key=lambda j, i=i: d[i, j])
            back.append(
                i == min((k for k in range(n) if camera[k] == camera[i]), key=lambda k, t=there: d[k, t])
            )
        assert cycle[i] == pytest.approx(np.mean(back)) if back else np.isnan(cycle[i])


def test_halves_of_a_known_world() -> None:
    # Directions of the first and the second half. c ends as d began, d ends like nothing else; e is alone in its camera.
    means = [(0, 0), (1, 1), (2, 3), (3, 4), (5, 5)]
    camera = np.array(list("xxyyzx"))
    who, t = np.repeat(np.arange(5), 5), np.tile(np.arange(5), 5)
    features = np.eye(6)[[means[w][int(k > 2)] for w, k in zip(who, t, strict=True)]]
    found = signals.half_hits(features, who, t, camera)
    assert found[:4].tolist() == [1, 1, 0, 0]
    assert np.isnan(found[4]) and np.isnan(found[5])  # nobody to be told from; no crops
    assert np.nanmax(signals.half_hits(np.ones((25, 1)), who, t, camera)) == 0  # a collapsed network


def test_knowing_people_across_cameras_does_not_look_bad() -> None:
    """Six cameras that all saw the same people: a network that cannot tell the cameras apart is perfect."""
    rng = np.random.default_rng(0)
    person, camera = np.tile(np.arange(8), 6), np.repeat(np.arange(6), 8).astype(str)
    who, t = np.repeat(np.arange(48), 8), np.tile(np.arange(8), 48)
    features = unit(np.eye(8)[person[who]] + 0.01 * rng.normal(size=(len(who), 8)))
    assert signals.half_hits(features, who, t, camera).mean() == 1


def test_expected_matches_are_a_share_of_the_other_cameras() -> None:
    pairs, camera = np.array([[0, 3], [1, 3], [2, 4]]), np.array(list("aabbcc"))
    found = signals.expected_matches(Matches(pairs, 0.6, 1.0, np.array([0.9, 0.5, 0.2])), camera)
    assert found.tolist() == pytest.approx([0.45, 0.25, 0.1, 0.7, 0.1, 0])
    unknown = signals.expected_matches(Matches(pairs, float("nan"), 1.0, np.full(3, 0.5)), camera)
    assert np.isnan(unknown).all() and signals.mean(unknown) is None
    everybody = np.array([[i, j] for i in range(3) for j in range(i + 1, 3)])
    perfect = signals.expected_matches(Matches(everybody, 1.0, 1.0, np.ones(3)), np.array(list("abc")))
    assert perfect.tolist() == [1, 1, 1]


def test_groups_as_they_are_told() -> None:
    camera, label = np.array(list("aabbab")), np.array([0, 1, 0, 1, 2, 3])
    found = signals.group_values(label, camera, label)
    assert found == {"grouped": pytest.approx(4 / 6), "camera_entropy": pytest.approx(1), "stability": 1}
    one_camera = signals.group_values(np.array([0, 0, 1, 2]), np.array(list("aabb")), np.array([0, 1, 2, 2]))
    assert one_camera["camera_entropy"] == 0 and one_camera["grouped"] == 0.5
    assert one_camera["stability"] == pytest.approx(adjusted_rand_score([0, 1, 2, 2], [0, 0, 1, 2]))
    nobody = signals.group_values(np.zeros(0, int), np.zeros(0, str), None)
    assert all(np.isnan(v) for v in nobody.values())
    alone = signals.group_values(np.arange(3), np.array(list("abc")), None)
    assert alone["grouped"] == 0 and np.isnan(alone["camera_entropy"]) and np.isnan(alone["stability"])


def test_differences_are_paired_and_cover_the_truth() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(60):
        start = (rng.random(150) < 0.4).astype(float)
        final = np.where(rng.random(150) < 0.2, 1.0, start)  # true difference 0.2 * 0.6
        low, high = signals.difference(final, start, seed, 400) or (0, 0)
        hits += low <= 0.12 <= high
    assert 50 <= hits <= 60
    assert signals.difference(np.full(3, np.nan), np.ones(3), 0, 100) is None
    some = signals.difference(np.array([1, np.nan, 1]), np.array([0, 1, np.nan]), 0, 100)
    assert some == [1, 1]  # only what both know


def test_the_weak_link_is_the_one_whose_matches_do_not_fit() -> None:
    camera = np.array(["a"] * 6 + ["b"] * 6 + ["c"] * 6)
    pairs = np.array([*((i, 6 + i) for i in range(6)), *((i, 12 + i) for i in range(5)), (6, 12)])
    weight = np.array([0.9] * 6 + [0.2] * 5 + [0.1])
    found = signals.link_values(Matches(pairs, 0.5, 1.0, weight), camera)
    assert found == pytest.approx({"a – b": 0.9, "a – c": 0.2})  # b – c has one match: too few to speak of
    assert signals.camera_values(np.array([1, 0, 1, 1, 0, np.nan] * 3), camera) == pytest.approx(
        {"a": 0.6, "b": 0.6, "c": 0.6}
    )


def label_free(start: float, final: float, interval: list[float] | None, **more: object) -> dict[str, object]:
    states = [
        {"state": "start", **dict.fromkeys(WITNESSES, start)},
        {"state": "round-1", **dict.fromkeys(WITNESSES, final)},
    ]
    return {
        "tracklets": 40, "states": states, "final_state": "round-1", "cameras": {}, "links": {},
        "final_minus_start": dict.fromkeys(WITNESSES, interval), **more,
    }  # fmt: skip


def test_the_sentence_says_better_worse_or_unsure() -> None:
    assert verdict(label_free(0.3, 0.5, [0.1, 0.3])).startswith("Better than the start: ")
    assert "rose from 30.0 to 50.0 % (95 % interval of the difference: +10.0 to +30.0 points)" in verdict(
        label_free(0.3, 0.5, [0.1, 0.3])
    )
    assert verdict(label_free(0.5, 0.3, [-0.3, -0.1])).startswith("Worse than the start: ")
    assert verdict(label_free(0.3, 0.31, [-0.1, 0.1])).startswith("Not surely better than the start: ")
    assert verdict(label_free(0.3, 0.5, None)).startswith("Whether the model got better cannot be said")
    same = verdict(label_free(0.3, 0.3004, [-0.1, 0.1]))
    assert "stayed at 30.0 %" in same
    kept = label_free(0.3, 0.3, [0.0, 0.0]) | {"final_state": "start"}
    assert verdict(kept).startswith("The model is the start itself")
    assert verdict({}).startswith("Whether the model got better cannot be said")


def test_the_sentence_names_the_weakest() -> None:
    said = verdict(
        label_free(0.3, 0.5, [0.1, 0.3], cameras={"hall": 0.6, "gate": 0.4}, links={"gate – hall": 0.3})
    )
    assert said.endswith(" Weakest: camera gate (40 % of its tracklets find themselves again).")
    alike = label_free(0.3, 0.5, [0.1, 0.3], cameras={"hall": 1.0, "gate": 1.0})
    assert "Weakest" not in verdict(alike)


@pytest.mark.skipif(len(WITNESSES) < 2, reason="one witness cannot disagree with itself")
def test_the_sentence_owns_up_to_disagreement() -> None:
    first, second = itertools.islice(WITNESSES, 2)
    mixed = label_free(0.3, 0.5, [0.1, 0.3]) | {
        "final_minus_start": {first: [0.1, 0.3], second: [-0.3, -0.1]}
    }
    assert verdict(mixed).startswith("Signs disagree")
    assert values(mixed, first) == (0.3, 0.5)
