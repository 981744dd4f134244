"""Clocks from walks: exact on exact walks, honest intervals over many worlds, and silence where nothing tells."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.clocks import one_clock_drifts, over_worlds, true_walks, truth, views_overlap
from camera_topology.offsets import Offsets, _Problem, clock_offsets, information
from data.synthetic.network import NetworkSettings, build_network


def walks_of(rows: list[tuple[str, str, float]], **more: object) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["from_", "to", "seconds"]).assign(person=range(len(rows)), **more)


def small(seed: int, one_way: bool = False) -> pd.DataFrame:
    """Walks of a tiny world, some of them wrong."""
    network = build_network(
        seed, NetworkSettings(cameras=5, people=25, clock_offset_s={2: 4.0}, clock_rate={1: 5e-4})
    )
    walks, rng = true_walks(network), np.random.default_rng(seed)
    wrong = rng.random(len(walks)) < 0.15
    walks.loc[wrong, "seconds"] = rng.uniform(-20, 900, wrong.sum())
    return walks[walks.from_ < walks.to].reset_index(drop=True) if one_way else walks


def dense(walks: pd.DataFrame, reference: str, ways: list[tuple[str, str]]) -> np.ndarray:
    """(N, 2 C + W): one row a walk, the first third seconds ahead, the second seconds gained, the last lengths; by loops."""
    cameras = sorted({reference, *walks.from_, *walks.to})
    left = walks.left_us / 1e6
    entered = left + walks.seconds
    middle, half = (left.min() + entered.max()) / 2, (entered.max() - left.min()) / 2
    design = np.zeros((len(walks), 2 * len(cameras) + len(ways)))
    for i, walk in enumerate(walks.itertuples()):
        for sign, camera, t in ((-1, walk.from_, left[i]), (1, walk.to, entered[i])):
            design[i, cameras.index(camera)] += sign
            design[i, len(cameras) + cameras.index(camera)] += sign * (t - middle) / half
        design[i, 2 * len(cameras) + ways.index((min(walk.from_, walk.to), max(walk.from_, walk.to)))] = 1
    return design


def dense_fit(
    walks: pd.DataFrame,
    reference: str,
    ways: list[tuple[str, str]],
    declared_s: dict[tuple[str, str], float],
    rounds: int,
) -> tuple[np.ndarray, np.ndarray, float]:
    """All unknowns, spreads and share by the same EM, written with the whole design and its normal equations."""
    design, seconds = dense(walks, reference, ways), walks.seconds.to_numpy()
    n = (design.shape[1] - len(ways)) // 2
    cameras = sorted({reference, *walks.from_, *walks.to})
    left = walks.left_us / 1e6
    half = ((left + walks.seconds).max() - left.min()) / 2
    way = design[:, 2 * n :].argmax(axis=1)
    known, precision = np.zeros(design.shape[1]), np.zeros(design.shape[1])
    for pair, s in declared_s.items():
        at = 2 * n + ways.index((min(pair), max(pair)))
        known[at], precision[at] = s, 1 / max(0.15 * s, 1.0) ** 2
    x = np.zeros(design.shape[1])
    x[2 * n :] = [np.median(seconds[way == w]) for w in range(len(ways))]
    x = np.where(precision > 0, known, x)
    spread, share = np.full(len(ways), 10.0), 0.8
    for _ in range(rounds):
        z = ((seconds - design @ x) / spread[way]) ** 2
        walked = share * 0.375 * (1 + z / 4) ** -2.5 / spread[way]
        real = walked / (walked + (1 - share) / 900)
        weight = real * 5 / (4 + z) / spread[way] ** 2
        prior = precision.copy()
        prior[n : 2 * n] = 2 / ((150e-6 * half) ** 2 + x[n : 2 * n] ** 2)
        prior[[cameras.index(reference), n + cameras.index(reference)]] = 1e12
        normal = design.T @ (weight[:, None] * design) + np.diag(prior + 1e-9)
        x = np.linalg.solve(normal, design.T @ (weight * seconds) + precision * known)
        pull = weight * spread[way] ** 2
        square = (
            np.array([(pull * (seconds - design @ x) ** 2)[way == w].sum() for w in range(len(ways))]) + 50
        )
        number = np.array([real[way == w].sum() for w in range(len(ways))]) + 2
        spread = np.maximum(np.sqrt(square / number), 0.3)
        share = min(max((real.sum() + 4) / (len(seconds) + 5), 0.05), 0.999)
    return x, spread, share


@pytest.mark.parametrize("declared_s", [{}, {("cam02", "cam01"): 30.0, ("cam01", "cam03"): 60.0}])
def test_sums_over_ways_are_the_dense_normal_equations(declared_s: dict[tuple[str, str], float]) -> None:
    walks = small(0)
    problem = _Problem.of(walks, "cam03", declared_s, 900.0)
    declared_s = {pair: s for pair, s in declared_s.items() if tuple(sorted(pair)) in problem.ways}
    found = problem.fit(np.ones(len(walks)), problem._beginning(10.0), 60)
    x, spread_s, share = dense_fit(walks, "cam03", problem.ways, declared_s, 60)
    np.testing.assert_allclose(found.clocks, x[:10], atol=1e-6)
    np.testing.assert_allclose(found.walk_s, x[10:], atol=1e-6)
    np.testing.assert_allclose(found.spread_s, spread_s, atol=1e-6)
    assert found.share == pytest.approx(share, abs=1e-9) and np.abs(found.clocks).max() > 1


def test_information_is_the_inverse_covariance_of_least_squares() -> None:
    walks = small(1)
    std_s = np.random.default_rng(0).uniform(1, 9, len(walks))
    others, known = information(walks, "cam02", std_s)
    ways = sorted({(min(a, b), max(a, b)) for a, b in zip(walks.from_, walks.to, strict=True)})
    design = dense(walks, "cam02", ways)
    half = ((walks.left_us / 1e6 + walks.seconds).max() - walks.left_us.min() / 1e6) / 2
    design[:, 5:10] *= half  # a rate makes half the recording's seconds of it
    kept = [i for i in range(design.shape[1]) if i not in (1, 6)]
    whole = np.linalg.pinv(design[:, kept].T @ (design[:, kept] / std_s[:, None] ** 2))
    assert others == ["cam01", "cam03", "cam04", "cam05"]
    np.testing.assert_allclose(np.linalg.inv(known), whole[:8, :8], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("one_way", [False, True])
@pytest.mark.parametrize("declared", [[], [("cam01", "cam02")], [("cam01", "cam03"), ("cam04", "cam02")]])
def test_an_offset_is_told_where_it_lies_in_the_row_space(
    one_way: bool, declared: list[tuple[str, str]]
) -> None:
    walks = small(2, one_way)
    problem = _Problem.of(walks, "cam01", dict.fromkeys(declared, 20.0), 900.0)
    design = dense(walks, "cam01", problem.ways)
    lengths = np.eye(len(problem.ways))[
        [problem.ways.index(tuple(sorted(d))) for d in declared if tuple(sorted(d)) in problem.ways]
    ]
    rows = np.block(
        [
            [design[:, :5], design[:, 10:]],
            [np.zeros((len(lengths), 5)), lengths],
            [np.eye(1, 5 + len(problem.ways))],
        ]
    )
    rank = np.linalg.matrix_rank(rows)
    told = [np.linalg.matrix_rank(np.vstack([rows, np.eye(rows.shape[1])[c]])) == rank for c in range(5)]
    assert problem.identifiable().tolist() == told
    assert sum(told) == 5 or one_way


def test_walks_both_ways_tell_the_clock_exactly() -> None:
    rows = [("a", "b", 30.0 + 5), ("b", "a", 30.0 - 5), ("b", "c", 20.0 - 7), ("c", "b", 20.0 + 7)] * 12
    found = clock_offsets(walks_of(rows), "a")
    assert found.ahead_s == pytest.approx({"a": 0.0, "b": 5.0, "c": -2.0}, abs=1e-3)
    assert found.walk_s == pytest.approx({("a", "b"): 30.0, ("b", "c"): 20.0}, abs=1e-3)
    assert found.wrong() == ["b", "c"] and found.wrong_fraction < 0.05
    assert found.drifting() == [] and found.rate == pytest.approx({"a": 0, "b": 0, "c": 0}, abs=1e-9), (
        "no time is given"
    )


def test_one_way_alone_tells_nothing_and_a_known_way_does() -> None:
    rows = [("a", "b", 35.0 + d) for d in np.linspace(-3, 3, 40)] + [("b", "c", 20.0), ("c", "b", 20.0)] * 20
    found = clock_offsets(walks_of(rows), "a")
    assert found.known() == ["a"] and found.std_s["b"] == found.std_s["c"] == np.inf and found.wrong() == []
    declared = clock_offsets(walks_of(rows), "a", declared_s={("b", "a"): 30.0})
    assert declared.known() == ["a", "b", "c"] and declared.ahead_s["b"] == pytest.approx(5, abs=0.5)
    assert declared.std_s["b"] == pytest.approx(0.15 * 30, rel=0.2), (
        "as sure as the declared length, and no surer"
    )
    assert clock_offsets(walks_of(rows), "b").known() == ["b", "c"]


def test_a_ring_walked_one_way_round_tells_nothing() -> None:
    rows = [("a", "b", 10.0), ("b", "c", 12.0), ("c", "a", 14.0)] * 20
    assert clock_offsets(walks_of(rows), "a").known() == ["a"]


def test_no_walks_no_clocks() -> None:
    found = clock_offsets(walks_of([]), "a")
    assert found.known() == ["a"] and found.walk_s == {} and found.off() == []


@pytest.mark.parametrize("rate", [3e-4, -1e-3])
def test_a_way_taken_one_way_tells_the_rate_and_no_offset(rate: float) -> None:
    left_s = np.linspace(0, 8 * 3600, 200)
    rows = [("a", "b", 30.0 + rate * t) for t in left_s]
    found = clock_offsets(walks_of(rows, left_us=(left_s * 1e6).astype(np.int64)), "a", draws=40)
    assert found.rate["b"] == pytest.approx(rate, rel=0.02) and found.drifting() == ["b"]
    assert found.known() == ["a"] and found.off() == ["b"] and found.std_at("b", 0.0) == np.inf
    late = clock_offsets(walks_of(rows, left_us=(left_s * 1e6).astype(np.int64)), "b", draws=40)
    assert late.rate["a"] == pytest.approx(-rate, rel=0.02)


def test_a_short_recording_invents_no_rate() -> None:
    for seed in range(3):
        walks = true_walks(
            build_network(seed, NetworkSettings(people=60, hours=0.3, clock_offset_s={2: 4.0}))
        )
        found = clock_offsets(walks, "cam01", draws=20)
        assert found.drifting() == [] and max(map(abs, found.rate.values())) < 100e-6


def test_a_file_stamped_a_per_cent_too_fast_is_found_within_an_hour() -> None:
    network = build_network(1, NetworkSettings(clock_rate={4: 0.01}))
    found = clock_offsets(true_walks(network), "cam01", draws=30)
    assert found.drifting() == ["cam05"] and found.rate["cam05"] == pytest.approx(0.01, rel=0.1)
    for t in (found.middle_s, found.middle_s + found.half_s):
        assert found.ahead_at("cam05", t) == pytest.approx(truth(network, "cam05", t), abs=3)


def test_the_line_of_a_clock_and_its_uncertainty() -> None:
    found = Offsets(
        "a", {"b": 2.0}, {"b": 0.5}, {}, 0.0, {"b": 1e-3}, {"b": 2e-4}, {"b": -5e-5}, 1000.0, 3600.0
    )
    rng = np.random.default_rng(0)
    drawn = rng.multivariate_normal([2.0, 1e-3], [[0.25, -5e-5], [-5e-5, 4e-8]], 200_000)
    for t in (1000.0, 4600.0, -2600.0):
        line = drawn[:, 0] + drawn[:, 1] * (t - 1000.0)
        assert found.ahead_at("b", t) == pytest.approx(line.mean(), abs=0.01)
        assert found.std_at("b", t) == pytest.approx(line.std(), rel=0.01)


def test_a_clock_is_surest_when_people_walked() -> None:
    rng = np.random.default_rng(0)
    left_s = np.sort(rng.uniform(0, 3600, 60))
    early = [("ab"[i % 2], "ba"[i % 2], rng.normal(30, 4)) for i in range(60)]
    rest = [("ac"[i % 2], "ca"[i % 2], rng.normal(40, 4)) for i in range(200)]
    times = np.concatenate([left_s, np.linspace(0, 8 * 3600, 200)])
    found = clock_offsets(walks_of(early + rest, left_us=(times * 1e6).astype(np.int64)), "a")
    assert (
        found.std_at("b", 1800.0)
        < 0.7 * found.std_at("b", found.middle_s)
        < 0.7 * found.std_at("b", 8 * 3600.0)
    )


def test_renumbering_and_order_do_not_matter() -> None:
    walks = true_walks(build_network(3, NetworkSettings(people=60, clock_offset_s={2: 4.0})))
    found = clock_offsets(walks, "cam01", draws=10)
    again = clock_offsets(walks.sample(frac=1, random_state=0), "cam01", draws=10)
    names = {c: f"z{9 - i}" for i, c in enumerate(sorted({*walks.from_, *walks.to}))}
    renamed = walks.assign(from_=walks.from_.map(names), to=walks.to.map(names))
    other = clock_offsets(renamed, names["cam01"], draws=10)
    for camera, ahead in found.ahead_s.items():
        assert again.ahead_s[camera] == pytest.approx(ahead, abs=1e-6)
        assert again.std_s[camera] == pytest.approx(found.std_s[camera], abs=1e-6)
        assert other.ahead_s[names[camera]] == pytest.approx(ahead, abs=1e-3)
        assert other.rate[names[camera]] == pytest.approx(found.rate[camera], abs=1e-6)


@pytest.mark.slow
def test_intervals_cover_over_fifty_worlds_with_a_fifth_of_the_walks_wrong() -> None:
    found = over_worlds(50)
    assert found["offsets"] > 400
    assert 0.90 <= found["covered_by_95_percent"] <= 0.98
    assert found["times_the_bound"] <= 2
    assert found["of_these_called_wrong"] <= 0.01 * found["right_clocks"], (
        "a clock that is right is left alone"
    )


@pytest.mark.slow
def test_intervals_cover_where_a_clock_drifts() -> None:
    found = over_worlds(12, draws=60, world=one_clock_drifts)
    assert found["covered_by_95_percent"] >= 0.9 and found["covered_at_the_end"] >= 0.9
    assert found["rates_covered"] >= 0.9 and found["rate_rmse_ppm"] < 70
    assert found["of_these_said_to_drift"] >= 3 and found["of_these_called_wrong"] <= 2


def test_overlapping_views_tell_a_tenth_of_a_second() -> None:
    found = over_worlds(10, draws=60, world=views_overlap)
    assert found["rmse_s"] < 0.12 and found["covered_by_95_percent"] >= 0.9
