import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camera_topology.prior import PairPrior, certain_negatives, pair_prior, same_day
from camera_topology.site import Site, load
from camera_topology.site_schema import SiteFile, WalkingSpeed
from camera_topology.transit import (
    LOG_FLOOR,
    WEAK_LOG_PRIOR,
    histogram_density,
    histogram_log_ratio,
    log_normal_density,
    log_normal_log_ratio,
    walking_time,
)

S = 1_000_000


def site(**defaults: str) -> Site:
    cameras = [{"id": c} for c in "ABCDEF"]
    cameras[4] = {"id": "E", "clock": {"offset_std_s": 12.0}}
    links = [
        {"from": "A", "to": "B", "distance_m": 50},
        {"from": "A", "to": "C", "relation": "overlap"},
        {"from": "A", "to": "D", "relation": "forbidden"},
        {"from": "A", "to": "E", "distance_m": 10},
        {"from": "B", "to": "C", "transit_s": {"mean": 30, "std": 4}, "bidirectional": False},
        {"from": "B", "to": "D", "transit_s": {"min": 10, "typical": 20, "max": 60}, "distance_m": 30},
    ]
    values = {"cameras": cameras, "links": links, "defaults": defaults}
    values["site"] = {"walking_speed_m_per_s": {"mean": 1.25, "max": 2.5}}
    return Site(SiteFile.model_validate(values))


def one(
    where: Site, a: str, a_s: tuple[float, float], b: str, b_s: tuple[float, float], **options: object
) -> PairPrior:
    def us(t: float) -> np.ndarray:
        return np.array([round(t * S)])

    return pair_prior(where, [a], us(a_s[0]), us(a_s[1]), [b], us(b_s[0]), us(b_s[1]), **options)  # type: ignore[arg-type]


def naive(dt: float, mean: float, std: float) -> float:
    return math.log(max(1e-4, math.exp(-((dt - mean) ** 2) / (2 * std**2))))


@settings(deadline=None)
@given(st.floats(-100, 400))
def test_tastr_written_a_second_time(dt: float) -> None:
    found = one(site(), "A", (0, 100), "B", (100 + dt, 700))
    dt = found.transit_time_s[0]
    mean = 50 / 1.25
    assert found.log_prior[0] == pytest.approx(naive(dt, mean, max(0.7 * mean, 5)), abs=1e-9)
    assert found.gate[0] == (dt >= 50 / 2.5)


def test_limits_of_the_gaussian() -> None:
    assert one(site(), "A", (0, 100), "B", (140, 200)).log_prior[0] == 0
    assert one(site(), "A", (0, 100), "B", (9000, 9001)).log_prior[0] == LOG_FLOOR == math.log(1e-4)
    near = one(site(), "A", (0, 1), "E", (9, 10), clock_std_s={"A": 0.0, "E": 0.0})
    assert near.log_prior[0] == pytest.approx(naive(8, 8, 5.6))
    tight = one(site(), "A", (0, 100), "B", (150, 200), sigma_fraction=0.01, sigma_floor_s=5.0)
    assert tight.log_prior[0] == pytest.approx(naive(50, 40, 5)), "the floor holds"


def test_explicit_transit_wins_over_distance_and_has_a_direction() -> None:
    assert one(site(), "B", (0, 10), "C", (44, 50)).log_prior[0] == pytest.approx(naive(34, 30, 4))
    assert one(site(), "C", (0, 10), "B", (44, 50)).log_prior[0] == WEAK_LOG_PRIOR, "no way back is listed"
    three = one(site(), "B", (0, 10), "D", (40, 50))
    assert three.log_prior[0] == pytest.approx(naive(30, 20, 20))
    assert not one(site(), "B", (0, 10), "D", (20, 50)).gate[0], "30 m in 10 s"


HISTOGRAMS = st.lists(st.tuples(st.floats(0.5, 60), st.floats(0, 50)), min_size=1, max_size=12).filter(
    lambda bins: sum(count for _, count in bins) > 0.1
)


@settings(deadline=None, max_examples=40)
@given(HISTOGRAMS, st.floats(0, 20), st.floats(-50, 50))
def test_a_histogram_integrates_to_one_and_shifts_with_its_edges(
    bins: list[tuple[float, float]], clock_s: float, shift: float
) -> None:
    edges = tuple(np.cumsum([0.0, *(width for width, _ in bins)]))
    counts = tuple(count for _, count in bins)
    reach = 6 * math.hypot(max(np.diff(edges)), clock_s)
    t = np.linspace(edges[0] - reach, edges[-1] + reach, 40_001)
    density = histogram_density(t, edges, counts, clock_s)
    assert np.trapezoid(density, t) == pytest.approx(1, abs=2e-3) and (density >= 0).all()
    moved = histogram_density(t + shift, tuple(e + shift for e in edges), counts, clock_s)
    np.testing.assert_allclose(moved, density, atol=1e-9)
    again = histogram_density(t, edges, tuple(7 * c for c in counts), clock_s)
    np.testing.assert_allclose(again, density, rtol=1e-9)
    ratio = histogram_log_ratio(t, edges, counts, clock_s)
    assert ratio.min() >= LOG_FLOOR and ratio.max() <= 0


def test_a_histogram_of_a_bell_is_the_bell() -> None:
    """Counted finely, it is the Gaussian it was counted from; a clock's uncertainty widens it as it widens the Gaussian."""
    mean, std = 30.0, 4.0
    edges = tuple(np.arange(0, 60.01, 0.5))
    counts = tuple(naive_bell((a + b) / 2, mean, std) for a, b in pairwise(edges))
    cameras = [{"id": "A"}, {"id": "B"}, {"id": "C"}]
    links = [{"from": "A", "to": "B", "transit_s": {"edges": edges, "counts": counts}},
             {"from": "A", "to": "C", "transit_s": {"mean": mean, "std": std}}]  # fmt: skip
    where = Site(SiteFile.model_validate({"cameras": cameras, "links": links}))
    for clocks in ({"A": 0.0, "B": 0.0, "C": 0.0}, {"A": 3.0, "B": 4.0, "C": 4.0}):
        for dt in (10.0, 22.0, 30.0, 35.0, 41.0):
            ours, bell = (one(where, "A", (0, 100), c, (100 + dt, 200), clock_std_s=clocks) for c in "BC")
            assert ours.log_prior[0] == pytest.approx(bell.log_prior[0], abs=0.05)
            assert ours.gate[0]


def naive_bell(t: float, mean: float, std: float) -> float:
    return math.exp(-((t - mean) ** 2) / (2 * std**2))


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(st.floats(3, 300), st.floats(0.05, 0.8), st.floats(0, 60))
def test_log_normal_times_integrate_to_one(median_s: float, log_std: float, clock_s: float) -> None:
    far = median_s * math.exp(6 * log_std) + 8 * clock_s
    low = median_s * math.exp(-6 * log_std) - 8 * clock_s
    # Fine about 0 and the median, where a narrow density lies, coarse in the tail.
    t = np.unique(np.concatenate([np.linspace(low, far, 8001), np.linspace(low, 3 * median_s, 8001)]))
    density = log_normal_density(t, median_s, log_std, clock_s)
    assert np.trapezoid(density, t) == pytest.approx(1, abs=2e-3)
    ratio = log_normal_log_ratio(t, median_s, log_std, clock_s)
    again = np.clip(np.log(np.maximum(density, 1e-300) / density.max()), LOG_FLOOR, 0)
    assert np.abs(ratio - again)[again > LOG_FLOOR + 2].max() < 0.15


def test_walking_times_are_those_of_people_who_walk() -> None:
    """Median and spread against the times of many walkers, and against Monte Carlo with two clocks that are off."""
    rng = np.random.default_rng(0)
    speed = WalkingSpeed(mean=1.3, std=0.35)
    log_variance = math.log1p((0.35 / 1.3) ** 2)
    speeds = np.exp(rng.normal(math.log(1.3) - log_variance / 2, math.sqrt(log_variance), 200_000))
    assert speeds.mean() == pytest.approx(1.3, rel=0.01) and speeds.std() == pytest.approx(0.35, rel=0.02)
    median_s, log_std = walking_time(40, speed)
    assert np.median(40 / speeds) == pytest.approx(median_s, rel=0.01)
    assert np.log(40 / speeds).std() == pytest.approx(log_std, rel=0.01)
    seen = 40 / speeds + rng.normal(0, 6, len(speeds))
    counts, edges = np.histogram(seen, np.arange(0, 80, 4.0), density=False)
    expected = log_normal_density((edges[1:] + edges[:-1]) / 2, median_s, log_std, 6.0) * 4 * len(seen)
    assert np.abs(counts - expected).max() < 0.03 * counts.max()
    assert walking_time(40, WalkingSpeed(mean=1.3, std=0))[1] > 0


def test_log_normal_prior_leans_to_the_slow_side_and_the_file_may_ask_for_it() -> None:
    def at(dt: float, **options: object) -> float:
        return float(one(site(), "A", (0, 100), "B", (100 + dt, 700), **options).log_prior[0])

    assert at(40 - 15) == at(40 + 15), "TASTR's is symmetric"
    assert at(40 + 15, sigma_fraction=None) > at(40 - 15, sigma_fraction=None) + 0.5
    assert at(500, sigma_fraction=None) == LOG_FLOOR
    explicit = one(site(), "B", (0, 10), "C", (44, 50), sigma_fraction=None)
    assert explicit.log_prior[0] == pytest.approx(naive(34, 30, 4)), "what is declared stays"


def test_weights_say_how_many_people_take_a_link() -> None:
    links = [
        {"from": "A", "to": "B", "distance_m": 50, "weight": 4},
        {"from": "A", "to": "C", "distance_m": 50, "weight": 1},
        {"from": "A", "to": "D", "distance_m": 50},
    ]
    where = Site(SiteFile.model_validate({"cameras": [{"id": c} for c in "ABCD"], "links": links}))
    best = {to: one(where, "A", (0, 100), to, (140, 200)).log_prior[0] for to in "BCD"}
    assert best == {"B": 0.0, "C": pytest.approx(math.log(1 / 4)), "D": 0.0}
    assert one(where, "A", (0, 100), "C", (9000, 9001)).log_prior[0] == LOG_FLOOR


def test_overlap_forbidden_unlisted_and_same_camera() -> None:
    for start in (0, 50, 104):
        both = one(site(), "A", (0, 100), "C", (start, 200))
        assert both.gate[0] and both.log_prior[0] == 0
    late = one(site(), "A", (0, 100), "C", (112, 200))
    assert late.gate[0] and late.log_prior[0] == pytest.approx(naive(12, 5, 5))
    assert not one(site(), "A", (0, 100), "D", (200, 300)).gate[0]
    for word, log_prior, gate in (
        ("weak", WEAK_LOG_PRIOR, True),
        ("allow", 0.0, True),
        ("forbid", LOG_FLOOR, False),
    ):
        pair = one(site(unlisted_pairs=word), "A", (0, 100), "F", (50, 60))
        assert (pair.log_prior[0], pair.gate[0]) == (log_prior, gate)
    assert one(site(), "A", (0, 100), "A", (101, 110)).gate[0]
    assert not one(site(), "A", (0, 100), "A", (90, 110)).gate[0]


def test_clock_uncertainty_widens_and_opens_the_gate() -> None:
    own = one(site(), "A", (0, 100), "E", (95, 200))
    assert own.gate[0] and own.log_prior[0] == pytest.approx(naive(-5, 8, math.hypot(5.6, 12)))
    sure = one(site(), "A", (0, 100), "E", (95, 200), clock_std_s={"A": 0.5, "E": 0.5})
    assert not sure.gate[0]
    unknown = one(site(), "A", (0, 100), "B", (40, 200), clock_std_s={"A": 86400.0, "B": 86400.0})
    assert unknown.gate[0] and unknown.log_prior[0] == pytest.approx(0, abs=1e-6)


times = st.tuples(st.integers(0, 300), st.integers(0, 100))
tracklet = st.tuples(st.sampled_from("ABCDEF"), times)


@settings(deadline=None)
@given(st.lists(st.tuples(tracklet, tracklet), min_size=1, max_size=20))
def test_symmetric_and_elementwise(pairs: list) -> None:  # type: ignore[type-arg]
    def columns(side: int) -> tuple[list[str], np.ndarray, np.ndarray]:
        start = np.array([p[side][1][0] * S for p in pairs])
        return [p[side][0] for p in pairs], start, start + [p[side][1][1] * S for p in pairs]

    a, b = columns(0), columns(1)
    forth, back = pair_prior(site(), *a, *b), pair_prior(site(), *b, *a)
    for i in range(len(pairs)):
        single = pair_prior(site(), *(c[i : i + 1] for c in a), *(c[i : i + 1] for c in b))
        assert single.log_prior[0] == forth.log_prior[i] and single.gate[0] == forth.gate[i]
        (x, xs, xe), (y, ys, ye) = ((c[i] for c in side) for side in (a, b))
        if ys - xe != xs - ye or site().relation(x, y) == site().relation(y, x):
            assert forth.log_prior[i] == back.log_prior[i] and forth.gate[i] == back.gate[i]
    assert (forth.log_prior >= LOG_FLOOR).all() and (forth.log_prior <= 0).all()


TRUSTED = dict.fromkeys("ABCDEF", 0.5)


@settings(deadline=None)
@given(st.lists(tracklet, max_size=25), st.sampled_from([None, TRUSTED]))
def test_certain_negatives_against_all_pairs(tracklets: list, clocks: dict | None) -> None:  # type: ignore[type-arg]
    where = site()
    camera = [c for c, _ in tracklets]
    start = np.array([s * S for _, (s, _) in tracklets], np.int64)
    end = start + np.array([d * S for _, (_, d) in tracklets], np.int64)
    expected = []
    for i in range(len(camera)):
        for j in range(i + 1, len(camera)):
            shared = min(end[i], end[j]) - max(start[i], start[j])
            if camera[i] == camera[j]:
                certain = shared >= 0
            else:
                links = [where.links.get(p) for p in ((camera[i], camera[j]), (camera[j], camera[i]))]
                apart = any(k and k.relation == "adjacent" for k in links)
                certain = clocks is not None and apart and shared > 3 * math.hypot(0.5, 0.5) * S
            if certain:
                expected.append([i, j])
    found = certain_negatives(where, camera, start, end, clock_std_s=clocks)
    assert found.tolist() == expected


def test_untrusted_and_assumed_clocks_make_no_certain_negative_across_cameras() -> None:
    start, end = np.array([0, 0]), np.array([100 * S, 100 * S])
    assert len(certain_negatives(site(), ["A", "B"], start, end, clock_std_s=TRUSTED)) == 1
    assert len(certain_negatives(site(), ["A", "B"], start, end)) == 0
    assert len(certain_negatives(site(), ["A", "E"], start, end)) == 0, "only E's clock is trusted"
    assumed = {"A": 86400.0, "B": 86400.0}
    assert len(certain_negatives(site(), ["A", "B"], start, end, clock_std_s=assumed)) == 0
    assert len(certain_negatives(site(), ["A", "A"], start, end)) == 1


def test_five_thousand_tracklets() -> None:
    random = np.random.default_rng(0)
    start = np.sort(random.integers(0, 36_000 * S, 5000))
    end = start + random.integers(0, 30 * S, 5000)
    camera = random.choice(list("ABCDEF"), 5000)
    pairs = certain_negatives(site(), camera, start, end, clock_std_s=TRUSTED)
    assert len(pairs) > 100 and (pairs[:, 0] < pairs[:, 1]).all()
    assert len(np.unique(pairs, axis=0)) == len(pairs)
    i, j = pairs.T
    assert (start[j] <= end[i]).all()


@pytest.mark.footage
def test_no_true_pair_of_the_market_site_is_gated_or_called_different(footage: Path) -> None:
    folder = footage / "market-site"
    where = load(folder / "site.yaml")
    rows = []
    for path in sorted((folder / "gt").glob("*.txt")):
        camera = path.stem[:4]
        named = where.named_start(path.with_suffix(".mp4"), camera)
        assert named is not None
        table = np.loadtxt(path, delimiter=",", usecols=(0, 1)).astype(int)
        for pid in np.unique(table[:, 1]):
            frames = np.sort(table[table[:, 1] == pid, 0]) - 1
            for part in np.split(frames, np.flatnonzero(np.diff(frames) > 20) + 1):
                rows.append(
                    (camera, pid, named.start_us + part[0] * S // 10, named.start_us + part[-1] * S // 10)
                )
    camera, pid, start, end = (np.array(column) for column in zip(*rows, strict=True))
    assert len(rows) > 300
    i, j = np.triu_indices(len(rows), 1)
    found = pair_prior(where, camera[i], start[i], end[i], camera[j], start[j], end[j])
    true = (pid[i] == pid[j]) & (camera[i] != camera[j]) & (abs(start[i] - start[j]) < 3600 * S)
    assert true.sum() > 300 and found.gate[true].all()
    assert np.median(found.log_prior[true]) > -0.1
    negatives = certain_negatives(where, camera, start, end, clock_std_s=dict.fromkeys(where.cameras, 1.0))
    assert len(negatives) > 500 and (pid[negatives[:, 0]] != pid[negatives[:, 1]]).all()


def test_nobody_is_joined_across_days_unless_asked_or_the_day_is_unknown() -> None:
    """A day begins at four: 23:50 and 00:10 are one, 03:50 and 04:10 are two."""
    hours = np.array([23.8, 24.2, 27.8, 28.2, 52.5])
    t_us = (hours * 3600 * S).astype(np.int64)
    here = site()
    known = np.zeros((5, 5))
    found = same_day(here, t_us[:, None], t_us[None, :], known)
    wanted = np.array([[(a - 4) // 24 == (b - 4) // 24 for b in hours] for a in hours])
    assert (found == wanted).all() and not found.all()
    flat = same_day(here, np.repeat(t_us, 5), np.tile(t_us, 5), known.ravel())
    assert (flat.reshape(5, 5) == found).all()
    assert same_day(here, t_us[:, None], t_us[None, :], known + 1e5).all()
    asked = Site(SiteFile.model_validate({"defaults": {"across_days": True}}))
    assert same_day(asked, t_us[:, None], t_us[None, :], known).all()
    assert same_day(here, t_us[:0], t_us[:0], known[:0, 0]).shape == (0,)
    minute = (
        one(here, "A", (0, 10), "B", (60, 70)).gate[0],
        one(here, "A", (0, 10), "B", (90_000, 90_010)).gate[0],
    )
    assert minute == (True, False)


def test_no_pair_at_all() -> None:
    none = np.zeros(0, np.int64)
    found = pair_prior(site(), [], none, none, [], none, none)
    assert len(found.gate) == len(found.log_prior) == len(found.has_prior) == 0


def test_what_the_file_tells_of_a_pair() -> None:
    def has_prior(a: str, b: str, **defaults: str) -> bool:
        return bool(one(site(**defaults), a, (0, 10), b, (60, 70)).has_prior[0])

    assert has_prior("A", "B") and has_prior("A", "D") and has_prior("B", "C")
    assert not has_prior("A", "C"), "of overlapping views the place tells, not the time"
    assert not has_prior("C", "D") and not has_prior("C", "D", unlisted_pairs="allow")
    assert has_prior("C", "D", unlisted_pairs="forbid")


def test_seen_for_the_same_time_a_and_b_are_still_alike() -> None:
    """Two directions that differ, and two tracklets of one middle: which of them is `a` must not matter."""
    links = [
        {"from": "A", "to": "B", "distance_m": 10, "bidirectional": False},
        {"from": "B", "to": "A", "relation": "forbidden", "bidirectional": False},
    ]
    where = Site(SiteFile.model_validate({"cameras": [{"id": "A"}, {"id": "B"}], "links": links}))
    for a, b in (((0, 10), (0, 10)), ((0, 10), (2, 8))):
        there, back = one(where, "A", a, "B", b), one(where, "B", b, "A", a)
        assert (there.log_prior == back.log_prior).all() and (there.gate == back.gate).all()


def test_weights_leave_the_time_alone_and_forbidden_links_have_none() -> None:
    links = [
        {"from": "A", "to": "B", "distance_m": 50, "weight": 1},
        {"from": "A", "to": "C", "distance_m": 50, "weight": 1000},
        {"from": "A", "to": "D", "relation": "forbidden", "weight": 1e9},
    ]
    where = Site(SiteFile.model_validate({"cameras": [{"id": c} for c in "ABCD"], "links": links}))
    rare = one(where, "A", (0, 100), "B", (140, 200))
    assert rare.log_time[0] == 0 and rare.log_prior[0] == pytest.approx(math.log(1e-3))
    assert one(where, "A", (0, 100), "C", (140, 200)).log_prior[0] == 0
