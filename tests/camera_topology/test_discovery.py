"""Ways found in walks: the parts by a second writing, and networks whose ways are known."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import t as student_t

from camera_topology import discovery
from camera_topology.discovery import Link, _Common, _fit, _Sightings, discover_links
from data.synthetic.network import Network, NetworkSettings, build_network
from stages.reporting.transit_links import timed_crossings

COLUMNS = ["person", "camera_id", "enter_s", "leave_s"]


def walks_of(visits: pd.DataFrame) -> pd.DataFrame:
    """From person, camera_id, enter_s, leave_s."""
    table = visits.assign(
        identity=visits.person, tracklet_id=[f"t{i}" for i in range(len(visits))],
        t_start_us=(visits.enter_s * 1e6).astype("int64"), t_end_us=(visits.leave_s * 1e6).astype("int64"),
    )  # fmt: skip
    return timed_crossings(table)


def walks_in(network: Network, **more: object) -> pd.DataFrame:
    return timed_crossings(network.tracklets.assign(**{"identity": network.tracklets.pid, **more}))


def ways(links: list[Link]) -> set[tuple[str, str]]:
    return {(link.from_, link.to) for link in links if link.exists}


def scores(network: Network, found: set[tuple[str, str]]) -> tuple[float, float]:
    both = found & set(network.ways_m)
    return len(both) / max(len(found), 1), len(both) / len(network.ways_m)


def along(
    path: str, people: int, rng: np.random.Generator, seen: dict[str, float] | None = None
) -> pd.DataFrame:
    """People who walk ``path`` from camera to camera, 30 s each; seen: share of visits that a camera sees."""
    rows = []
    for person in range(people):
        time_s, pace = rng.uniform(0, 3600), np.exp(rng.normal(0, 0.15))
        for camera in path:
            if rng.random() < (seen or {}).get(camera, 1.0):
                rows.append((person, camera, time_s, time_s + 6 * pace))
            time_s += 36 * pace
    return pd.DataFrame(rows, columns=COLUMNS)


def test_nobody_no_ways() -> None:
    assert discover_links(walks_of(pd.DataFrame([(1, "a", 0.0, 1.0)], columns=COLUMNS))) == []


def test_two_walks_are_no_way_and_forty_are() -> None:
    rows = [("a", "b", 30.0 + i % 5) for i in range(40)] + [("b", "c", 30.0), ("b", "c", 31.0)]
    walks = pd.DataFrame(rows, columns=["from_", "to", "seconds"]).assign(
        person=range(42), left_us=[i * 10**8 for i in range(42)]
    )
    found = discover_links(walks)
    assert ways(found) == {("a", "b")}
    link = found[0]
    assert (link.from_, link.to, link.walks) == ("a", "b", 40) and link.direct == pytest.approx(40, abs=1)
    assert link.transit_s == pytest.approx((30, 32, 34)) and link.evidence > discovery.SURE


def test_one_person_to_and_fro_is_no_way() -> None:
    rows = [(1, "ab"[i % 2], 40.0 * i, 40.0 * i + 5) for i in range(20)]
    others = along("bc", 30, np.random.default_rng(0)).assign(person=lambda t: t.person + 2)
    visits = pd.concat([pd.DataFrame(rows, columns=COLUMNS), others])
    assert ways(discover_links(walks_of(visits))) == {("b", "c")}


@pytest.mark.parametrize("seen", [0.9, 0.6])
def test_a_camera_that_misses_people_makes_no_way_past_it(seen: float) -> None:
    rng = np.random.default_rng(1)
    found = discover_links(walks_of(along("abc", 150, rng, {"b": seen})))
    past = next(link for link in found if (link.from_, link.to) == ("a", "c"))
    assert past.walks > (15 if seen < 0.8 else 5) and not past.exists
    assert past.by_detour == pytest.approx(past.walks, rel=0.5) and past.by_chance < 3
    assert ways(found) == {("a", "b"), ("b", "c")}


def test_cameras_that_miss_half_of_all_make_no_way_past_them() -> None:
    wrong = 0
    for seed in range(12):
        for seen in (0.6, 0.45):
            found = discover_links(walks_of(along("abc", 150, np.random.default_rng(seed), {"b": seen})))
            wrong += ("a", "c") in ways(found)
    assert wrong <= 1


def test_a_short_cut_beside_the_way_past_is_found() -> None:
    rng = np.random.default_rng(2)
    around, straight = along("abc", 100, rng, {"b": 0.8}), along("ac", 25, rng)
    visits = pd.concat([around, straight.assign(person=straight.person + 1000)])
    found = discover_links(walks_of(visits))
    assert ways(found) == {("a", "b"), ("b", "c"), ("a", "c")}
    cut = next(link for link in found if (link.from_, link.to) == ("a", "c"))
    assert cut.direct == pytest.approx(25, abs=8) and cut.transit_s[1] == pytest.approx(30, abs=4)


def test_people_at_random_walk_no_ways() -> None:
    pairs = 0
    for seed in range(6):
        network = build_network(seed, NetworkSettings(people=80))
        pid = np.random.default_rng(seed).permutation(network.tracklets.pid.to_numpy())
        pairs += len({frozenset(way) for way in ways(discover_links(walks_in(network, identity=pid)))})
    assert pairs <= 2, "of 270"


def test_ways_of_worlds_are_found_from_true_identities() -> None:
    for seed in range(10, 16):
        network = build_network(seed, NetworkSettings(cameras=8 + seed % 3 * 2, one_way=0.5))
        precision, recall = scores(network, ways(discover_links(walks_in(network))))
        assert precision >= 0.95 and recall >= 0.95


def test_ways_are_found_with_a_fifth_of_the_tracklets_in_wrong_people() -> None:
    found = []
    for seed in range(20, 26):
        network = build_network(seed)
        rng, pid = np.random.default_rng(seed), network.tracklets.pid.to_numpy().copy()
        wrong = rng.random(len(pid)) < 0.2
        pid[wrong] = rng.permutation(pid[wrong])
        found.append(scores(network, ways(discover_links(walks_in(network, identity=pid)))))
    precision, recall = np.mean(found, axis=0)
    assert precision >= 0.9 and recall >= 0.95


def test_a_way_that_goes_one_way_is_said_to() -> None:
    rng = np.random.default_rng(3)
    back = along("cb", 40, rng).assign(person=lambda t: t.person + 500)
    found = discover_links(walks_of(pd.concat([along("abc", 60, rng), back])))
    assert ways(found) == {("a", "b"), ("b", "c"), ("c", "b")}


def test_a_way_back_round_about_is_no_way_straight_back() -> None:
    rng = np.random.default_rng(4)
    there, back = along("ac", 60, rng), along("cba", 120, rng, {"b": 0.6})
    found = discover_links(walks_of(pd.concat([there, back.assign(person=back.person + 500)])))
    straight = next(link for link in found if (link.from_, link.to) == ("c", "a"))
    assert straight.walks > 30 and straight.evidence > discovery.SURE and straight.direction < 0
    assert ways(found) == {("a", "c"), ("c", "b"), ("b", "a")}


def test_overlapping_views_are_ways_of_negative_time() -> None:
    network = build_network(4, NetworkSettings(overlap=0.5))
    found = discover_links(walks_in(network))
    precision, recall = scores(network, ways(found))
    assert precision >= 0.9 and recall >= 0.9
    for link in found:
        if link.exists and (link.from_, link.to) in network.ways_m:
            assert (link.transit_s[1] < 0) == (network.ways_m[link.from_, link.to] < 0)


def test_renumbering_and_order_do_not_matter() -> None:
    walks = walks_in(build_network(5))
    found = discover_links(walks)
    shuffled = discover_links(walks.sample(frac=1, random_state=0))
    assert [link.from_ + link.to for link in found] == [link.from_ + link.to for link in shuffled]
    np.testing.assert_allclose([x.evidence for x in found], [x.evidence for x in shuffled], atol=1e-6)
    names = {c: f"z{99 - i}" for i, c in enumerate(sorted({*walks.from_, *walks.to}))}
    people = {p: 5000 - p for p in walks.person.unique()}
    other = discover_links(
        walks.assign(from_=walks.from_.map(names), to=walks.to.map(names), person=walks.person.map(people))
    )
    assert ways(other) == {(names[a], names[b]) for a, b in ways(found)}
    evidence = {(link.from_, link.to): link.evidence for link in other}
    for link in found:
        assert evidence[names[link.from_], names[link.to]] == pytest.approx(link.evidence, abs=1e-4)


def test_detours_are_those_that_loops_find() -> None:
    walks = walks_in(build_network(6, NetworkSettings(cameras=6, people=40, missed=0.2)))
    seen = _Sightings.of(walks, 200.0)
    expected: Counter[tuple[str, ...]] = Counter()
    for _, own in walks.groupby("person"):
        steps = own.sort_values("left_us").to_dict("records")
        for n in (2, 3):
            for i in range(len(steps) - n + 1):
                run = steps[i : i + n]
                joined = all(a["to"] == b["from_"] for a, b in pairwise(run))
                seconds = run[-1]["left_us"] / 1e6 + run[-1]["seconds"] - run[0]["left_us"] / 1e6
                if joined and run[0]["from_"] != run[-1]["to"] and abs(seconds) <= 200:
                    expected[(run[0]["from_"], *(r["to"] for r in run))] += 1
    n = len(seen.cameras)
    found = Counter(
        tuple(seen.cameras[c] for c in (way // n, *(v for v in via if v < n), way % n))
        for way, via in zip(seen.detour, seen.via, strict=True)
    )
    assert found == expected and len(expected) > 20
    walk, which = seen.beside.T
    assert (seen.way[walk] == seen.detour[which]).all()
    assert len(walk) == sum(int((seen.way == way).sum()) for way in seen.detour)


def test_what_is_expected_by_chance_sums_to_the_walks_that_are() -> None:
    seen = _Sightings.of(walks_in(build_network(7, NetworkSettings(people=40))), 900.0)
    by_chance = _Common.beginning(seen, 0.2).by_chance(seen).reshape(len(seen.cameras), -1)
    assert by_chance.sum() == pytest.approx(0.2 * len(seen.seconds)) and not np.diag(by_chance).any()
    out = np.bincount(seen.way // len(seen.cameras))
    assert by_chance[0, 2] / by_chance[1, 2] == pytest.approx(out[0] / out[1])


def test_em_finds_the_maximum_that_an_optimiser_finds() -> None:
    """One pair's posterior by plain loops, its four numbers by Nelder and Mead; times of the way held."""
    walks = walks_in(build_network(8, NetworkSettings(cameras=5, people=60, missed=0.25)))
    seen = _Sightings.of(walks, 900.0)
    every = np.ones(len(seen.pair_of), bool)
    common = _fit(seen, _Common.beginning(seen, 0.2), every, learn=True).common
    held = _fit(seen, common, every)
    n, old = len(seen.cameras), discovery._ROUNDS
    try:
        discovery._ROUNDS = 500
        found = _fit(seen, common, every, held=held)
    finally:
        discovery._ROUNDS = old
    pair, opposite = 0 * n + 2, 2 * n + 0
    by_chance, missed = common.by_chance(seen), common.missed(seen)
    detours = sum(m for m, way in zip(missed, seen.detour, strict=True) if way in (pair, opposite))
    parts = []  # of each walk: whether forth or back, and the density of each part but for its factor
    for i, way in enumerate(seen.way):
        if way in (pair, opposite):
            beside = zip(seen.beside, seen.density, strict=True)
            passed = sum(missed[which] * density for (walk, which), density in beside if walk == i)
            wrong = by_chance[way] * common.shape[seen.bin[i]] / seen.width_s[seen.bin[i]]
            direct = student_t.pdf(seen.seconds[i], 4, held.middle_s[pair], held.spread_s[pair])
            parts.append((int(way == opposite), direct, passed, wrong))

    def less(logs: np.ndarray) -> float:
        *walks_, more_chance, more_detours = np.exp(logs)
        total = -sum(walks_) - more_chance * (by_chance[pair] + by_chance[opposite]) - more_detours * detours
        total += 2 * (logs[2] - more_chance) + 5 * (logs[3] - more_detours)
        for back, direct, passed, wrong in parts:
            total += np.log(walks_[back] * direct + more_detours * passed + more_chance * wrong)
        return -float(total)

    best = minimize(
        less, np.zeros(4), method="Nelder-Mead", options={"maxiter": 4000, "fatol": 1e-8, "xatol": 1e-6}
    )
    assert found.log_likelihood[pair] == pytest.approx(-best.fun, abs=1e-3)
    assert found.walks[[pair, opposite]] == pytest.approx(np.exp(best.x[:2]), abs=0.1)
