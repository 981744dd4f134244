"""Signals without truth: each against a loop that follows its sentence, and worlds known by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from stages.association.grouping import halves
from stages.association.pairing import euclidean_distances
from stages.validation import signals
from stages.validation.verdict import WITNESSES, values, verdict


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


def halved(
    x: np.ndarray, who: np.ndarray, t: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means of the halves of n tracklets."""
    crops = pd.DataFrame({"tracklet_id": [f"t{w:02d}" for w in who], "t_utc_us": t})
    return halves(x, crops, pd.DataFrame({"tracklet_id": [f"t{w:02d}" for w in range(n)]}))


def test_halves_of_a_known_world() -> None:
    # Directions of the first and the second half. c ends as d began, d ends like nothing else; e is alone in its camera.
    means = [(0, 0), (1, 1), (2, 3), (3, 4), (5, 5)]
    camera = np.array(list("xxyyzx"))
    who, t = np.repeat(np.arange(5), 5), np.tile(np.arange(5), 5)
    features = np.eye(6)[[means[w][int(k > 2)] for w, k in zip(who, t, strict=True)]]
    found = signals.half_hits(*halved(features, who, t, len(camera)), camera)
    assert found[:4].tolist() == [1, 1, 0, 0]
    assert np.isnan(found[4]) and np.isnan(found[5])  # nobody to be told from; no crops
    assert (
        np.nanmax(signals.half_hits(*halved(np.ones((25, 1)), who, t, 6), camera)) == 0
    )  # a collapsed network


def test_knowing_people_across_cameras_does_not_look_bad() -> None:
    """Six cameras that all saw the same people: a network that cannot tell the cameras apart is perfect."""
    rng = np.random.default_rng(0)
    person, camera = np.tile(np.arange(8), 6), np.repeat(np.arange(6), 8).astype(str)
    who, t = np.repeat(np.arange(48), 8), np.tile(np.arange(8), 48)
    features = unit(np.eye(8)[person[who]] + 0.01 * rng.normal(size=(len(who), 8)))
    assert signals.half_hits(*halved(features, who, t, len(camera)), camera).mean() == 1


def walkers(n: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """n people through two cameras: features as noisy as wanted, and a Gaussian prior of their walking time."""
    rng = np.random.default_rng(seed)
    person, camera = np.tile(np.arange(n), 2), np.repeat(["a", "b"], n)
    x = unit(rng.normal(size=(n, 32))[person] + noise * rng.normal(size=(2 * n, 32)))
    start = rng.uniform(0, 3000, n)
    t = np.concatenate([start, start + rng.normal(30, 5, n)])
    log_prior = np.where(camera[:, None] == camera, 0, -(((np.abs(t[:, None] - t) - 30) / 10) ** 2) / 2)
    possible = camera[:, None] != camera
    return x, camera, np.maximum(log_prior, np.log(1e-4)), possible


def test_time_lift_grows_with_what_the_network_knows() -> None:
    means = []
    for noise in (0.2, 1.0, 2.0, 50.0):
        x, camera, log_prior, possible = walkers(150, noise, 1)
        values, links = signals.time_lift(x, camera, log_prior, possible)
        assert links["a – b"] == pytest.approx(np.nanmean(values), abs=0.15)
        means.append(float(np.nanmean(values)))
    assert means == sorted(means, reverse=True)
    assert means[0] > 0.6 and abs(means[-1]) < 0.05  # a network that knows nothing gains nothing


def test_time_lift_as_it_is_told() -> None:
    x, camera, log_prior, possible = walkers(6, 1.0, 2)
    possible[0, 7] = possible[7, 0] = False
    found, _ = signals.time_lift(x, camera, log_prior, possible)
    # With fewer than eight tracklets in a camera nothing is taken out but the mean of all.
    centre = x - x.mean(0)
    c = unit(centre)
    d = euclidean_distances(c, c).astype(float)
    scale = np.std([d[i, j] for i in range(6) for j in range(6, 12) if possible[i, j]]) / 4
    for i in range(6):
        there = [j for j in range(6, 12) if possible[i, j]]
        weight = np.array([np.exp(-d[i, j] / scale) for j in there])
        r = np.exp(log_prior[i, 6:])
        gain = (
            sum(w * np.exp(log_prior[i, j]) for w, j in zip(weight / weight.sum(), there, strict=True))
            - r.mean()
        )
        assert found[i] == pytest.approx(gain / (r.max() - r.mean()), rel=1e-4)


def test_where_time_tells_nothing_nothing_is_said() -> None:
    x, camera, log_prior, possible = walkers(20, 1.0, 3)
    flat, links = signals.time_lift(x, camera, np.full_like(log_prior, -2.0), possible)
    assert np.isnan(flat).all() and links == {}
    alone, links = signals.time_lift(x, np.repeat("a", 40), log_prior, possible)
    assert np.isnan(alone).all() and links == {}
    nobody, _ = signals.time_lift(x, camera, log_prior, np.zeros_like(possible))
    assert np.isnan(nobody).all()


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


def test_cameras_of_few_tracklets_are_not_spoken_of() -> None:
    camera = np.array(["a"] * 6 + ["b"] * 6 + ["c"] * 3)
    values = np.array([1, 0, 1, 1, 0, np.nan] * 2 + [1, 1, 1])
    assert signals.camera_values(values, camera) == pytest.approx({"a": 0.6, "b": 0.6})


def label_free(start: float, final: float, interval: list[float] | None, **more: object) -> dict[str, object]:
    states = [
        {"checkpoint": "start", **dict.fromkeys(WITNESSES, start)},
        {"checkpoint": "round-1", **dict.fromkeys(WITNESSES, final)},
    ]
    return {
        "tracklets": 40, "checkpoints": states, "final_checkpoint": "round-1", "cameras": {}, "links": {},
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
    kept = label_free(0.3, 0.3, [0.0, 0.0]) | {"final_checkpoint": "start"}
    assert verdict(kept).startswith("The model is the start itself")
    assert verdict({}).startswith("Whether the model got better cannot be said")


def test_the_sentence_names_the_weakest() -> None:
    said = verdict(
        label_free(0.3, 0.5, [0.1, 0.3], cameras={"hall": 0.6, "gate": 0.4}, links={"gate – hall": 0.3})
    )
    assert said.endswith(" Weakest: camera gate (40 % of its tracklets find themselves again).")
    alike = label_free(0.3, 0.5, [0.1, 0.3], cameras={"hall": 1.0, "gate": 1.0})
    assert "Weakest" not in verdict(alike)


def test_the_first_witness_that_can_be_read_speaks() -> None:
    first, second = WITNESSES
    mixed = label_free(0.3, 0.5, [0.1, 0.3]) | {
        "final_minus_start": {first: [0.1, 0.3], second: [-0.3, -0.1]}
    }
    assert verdict(mixed).startswith(f"Better than the start: {WITNESSES[first]}")
    assert values(mixed, first) == (0.3, 0.5)
    unsure = label_free(0.3, 0.5, None) | {"final_minus_start": {first: [-0.1, 0.3], second: [0.1, 0.3]}}
    assert verdict(unsure).startswith("Probably better than the start") and WITNESSES[second] in verdict(
        unsure
    )
    against = label_free(0.5, 0.3, None) | {"final_minus_start": {first: [-0.1, 0.3], second: [-0.3, -0.1]}}
    assert verdict(against).startswith("Not surely better than the start")
    untimed = label_free(0.3, 0.5, [0.1, 0.3]) | {"final_minus_start": {first: None, second: [-0.3, -0.1]}}
    assert verdict(untimed).startswith(f"Worse than the start: {WITNESSES[second]}")
