import tracemalloc
from collections.abc import Iterator
from functools import partial
from itertools import combinations
from math import hypot, inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import camera_topology.nearest as nearest
from camera_topology.candidates import (
    Pairs,
    linked_pairs,
    nearest_in_window,
    neighbour_pairs,
    reachable_camera_pairs,
    reachable_links,
    reachable_pairs,
    reentry_pairs,
)
from camera_topology.prior import pair_prior
from camera_topology.site import Site, without_file
from camera_topology.site_schema import SiteFile
from camera_topology.transit import LOG_FLOOR, WEAK_LOG_PRIOR

S = 1_000_000
DAY_S = 86400
T0 = (20_000 * DAY_S + 4 * 3600 - 900) * S  # a quarter to four: a day ends within the hour
IDS = ["A", "B", "C", "D", "E"]


class World(NamedTuple):
    site: Site
    camera: np.ndarray
    start: np.ndarray
    end: np.ndarray
    clocks: dict[str, float] | None
    sigma_fraction: float | None = 0.7

    @property
    def options(self) -> Any:
        return {"clock_std_s": self.clocks, "sigma_fraction": self.sigma_fraction}

    def columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return self.camera, self.start, self.end


def link(rng: np.random.Generator, a: str, b: str) -> dict[str, Any]:
    if rng.random() < 0.5:
        a, b = b, a
    forms: list[dict[str, Any]] = [
        {"distance_m": float(rng.uniform(3, 300))},
        {"relation": "overlap"},
        {"relation": "forbidden"},
        {"relation": "reachable"},
        {"relation": "reachable", "distance_m": 60.0},
        {"transit_s": {"mean": float(rng.uniform(0, 200)), "std": float(rng.uniform(1, 30))}},
        {"transit_s": {"min": 10, "typical": 20, "max": float(rng.uniform(30, 90))}, "distance_m": 30},
    ]
    way = {"from": a, "to": b, "bidirectional": bool(rng.random() < 0.6), **forms[rng.integers(len(forms))]}
    return way | ({"weight": float(rng.choice([0.001, 1, 20]))} if rng.random() < 0.5 else {})


def world(seed: int, tracklets: int = 60) -> World:
    """A small site with every kind of link, and tracklets over the end of a day: short, long, of no length, at one instant."""
    rng = np.random.default_rng(seed)
    ids = IDS[: rng.integers(2, 6)]
    links = [link(rng, a, b) for a, b in combinations(ids, 2) if rng.random() < 0.7]
    cameras = [
        {
            "id": c,
            "clock": {"offset_std_s": float(rng.choice([0.0, 2.0, 30.0]))} if rng.random() < 0.5 else {},
        }
        for c in ids
    ]
    defaults = {
        "unlisted_pairs": str(rng.choice(["weak", "allow", "forbid"])),
        "max_transit_s": float(rng.choice([8, 50, 900])),
        "across_days": bool(rng.random() < 0.2),
    }
    site = Site(SiteFile.model_validate({"cameras": cameras, "links": links, "defaults": defaults}))
    start = T0 + rng.integers(0, 1800, tracklets) * S
    length = rng.choice([0, 1, 15, 40, 700], tracklets) * S + rng.integers(0, 2, tracklets) * 333_333
    clocks = None if rng.random() < 0.5 else dict.fromkeys(ids, float(rng.choice([0.0, 0.5, 20.0])))
    number = rng.integers(0, len(ids), tracklets)
    start += 777 * number  # so that no time between two cameras is an edge of a window
    return World(site, np.array(ids, object)[number], start, start + length, clocks)


def every_pair(w: World) -> tuple[np.ndarray, np.ndarray, Any]:
    """All pairs of two cameras the naive way: from the one seen first, by the middle, then by the camera's name."""
    pairs = []
    for a, b in combinations(range(len(w.camera)), 2):
        if w.camera[a] != w.camera[b]:
            first, second = sorted((a, b), key=lambda x: (w.start[x] + w.end[x], w.camera[x]))
            pairs.append((first, second))
    i, j = np.array(pairs, int).reshape(-1, 2).T
    return i, j, prior_of(w, i, j)


def prior_of(w: World, i: np.ndarray, j: np.ndarray) -> Any:
    return pair_prior(
        w.site, w.camera[i], w.start[i], w.end[i], w.camera[j], w.start[j], w.end[j], **w.options
    )


def whole(blocks: Iterator[Pairs]) -> Pairs:
    parts = list(blocks)
    if not parts:
        return Pairs(*(np.zeros(0, kind) for kind in (np.int32, np.int32, bool, np.float32)))
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def as_set(pairs: Pairs) -> set[tuple[int, int]]:
    return set(zip(pairs.i.tolist(), pairs.j.tolist(), strict=True))


def values(pairs: Pairs) -> dict[tuple[int, int], tuple[bool, float]]:
    return {
        (int(i), int(j)): (bool(g), float(p))
        for i, j, g, p in zip(*(column.tolist() for column in pairs), strict=True)
    }


def clock_s(w: World, a: str, b: str) -> float:
    def own(c: str) -> float:
        return (w.clocks or {}).get(c, w.site.camera(c).clock.offset_std_s or 0.0)

    return hypot(own(a), own(b))


def expected(w: World, listed_only: bool) -> set[tuple[int, int]]:
    """What the docstring promises, of all pairs: on a way, not too fast, not at the floor, not beyond the limit."""
    i, j, prior = every_pair(w)
    found = set()
    for a, b, time_s, log_prior in zip(i, j, prior.transit_time_s, prior.log_prior, strict=True):
        from_, to = w.camera[a], w.camera[b]
        relation, joint = w.site.relation(from_, to), clock_s(w, from_, to)
        metres = w.site.distance_m(from_, to)
        timeless = relation in ("adjacent", "reachable") and not metres and not w.site.transit_s(from_, to)
        if relation == "forbidden" or (relation == "unlisted" and listed_only):
            continue
        if relation == "unlisted" and w.site.facts.defaults.unlisted_pairs == "forbid":
            continue
        if relation != "overlap" and metres and time_s < metres / w.site.walking_speed.max - 3 * joint:
            continue
        searched = time_s <= w.site.facts.defaults.max_transit_s + 3 * joint
        if relation == "unlisted" or timeless:
            keep = searched and log_prior > LOG_FLOOR
        else:
            keep = searched or log_prior > WEAK_LOG_PRIOR if relation == "overlap" else log_prior > LOG_FLOOR
        if keep:
            found.add((int(a), int(b)))
    return found


@pytest.mark.parametrize("seed", range(60))
def test_as_all_pairs_one_by_one(seed: int) -> None:
    w = world(seed)
    for blocks, listed_only in ((linked_pairs, True), (reachable_pairs, False)):
        found = whole(blocks(w.site, *w.columns(), **w.options))
        assert as_set(found) == expected(w, listed_only)
        check_values(w, found)


def check_values(w: World, found: Pairs) -> None:
    assert len({frozenset(p) for p in as_set(found)}) == len(found.i), "no pair twice"
    if not len(found.i):
        return
    prior = prior_of(w, found.i, found.j)
    assert (found.gate == prior.gate).all()
    assert (found.log_prior == prior.log_prior.astype(np.float32)).all()


@pytest.mark.parametrize("seed", range(20))
def test_log_normal_windows_are_wide_enough(seed: int) -> None:
    w = world(seed)._replace(sigma_fraction=None)
    found = whole(linked_pairs(w.site, *w.columns(), **w.options))
    check_values(w, found)
    wanted = expected(w, True)
    assert wanted <= as_set(found)
    ways = {(way.from_, way.to): way for way in reachable_links(w.site, IDS, **w.options)}
    times_s = prior_of(w, found.i, found.j).transit_time_s
    for i, j, time_s, log_prior in zip(found.i, found.j, times_s, found.log_prior, strict=True):
        way = ways[w.camera[i], w.camera[j]]
        assert way.low_s <= time_s <= way.high_s
        assert (i, j) in wanted or log_prior == np.float32(LOG_FLOOR)


def test_the_random_sites_hold_what_the_test_needs() -> None:
    found = [whole(linked_pairs(w.site, *w.columns(), **w.options)) for w in map(world, range(60))]
    assert sum(len(f.i) for f in found) > 5000 and sum((~f.gate).sum() for f in found) > 500
    relations = {link.relation for w in map(world, range(60)) for link in w.site.facts.links}
    assert relations == {"adjacent", "overlap", "forbidden", "reachable"}


@pytest.mark.parametrize("seed", range(12))
def test_what_is_left_out_is_at_the_floor_or_the_ways_constant_or_impossible(seed: int) -> None:
    w = world(seed)
    i, j, prior = every_pair(w)
    kept = as_set(whole(reachable_pairs(w.site, *w.columns(), **w.options)))
    beyond = {(way.from_, way.to): way.log_prior_beyond for way in reachable_camera_pairs(w.site, IDS, **w.options)}  # fmt: skip
    for a, b, gate, log_prior in zip(i, j, prior.gate, prior.log_prior, strict=True):
        if gate and (a, b) not in kept:
            assert log_prior in (LOG_FLOOR, beyond.get((w.camera[a], w.camera[b])))


def test_a_way_of_unknown_time_has_its_constant_beyond() -> None:
    links = [{"from": "A", "to": b, "relation": "reachable", "weight": w} for b, w in (("B", 5), ("C", 20))]
    site = Site(SiteFile.model_validate({"cameras": [{"id": c} for c in IDS], "links": links}))
    ways = {(way.from_, way.to): way for way in reachable_links(site, IDS)}
    start = T0 - 3600 * S + np.array([0, 950, 850]) * S
    found = values(whole(linked_pairs(site, list("ABB"), start, start)))
    assert found == {(0, 2): (True, pytest.approx(np.log(1 / 4)))}
    late = pair_prior(site, ["A"], start[:1], start[:1], ["B"], start[1:2], start[1:2])
    assert ways["A", "B"].log_prior_beyond == pytest.approx(late.log_prior[0]) and late.gate[0]


HISTOGRAMS = [
    {"edges": [0, 10, 20, 60], "counts": [1, 5, 2]},
    {"edges": [-20, -5, 30], "counts": [3, 1]},
    {"edges": [100, 101, 400, 401], "counts": [1, 0, 1]},
    {"edges": [-30, -10], "counts": [1]},
    {"edges": [0, 50, 100, 150], "counts": [0, 1, 0]},
]


@pytest.mark.parametrize("times", HISTOGRAMS)
@pytest.mark.parametrize("std_s", [0.0, 15.0])
def test_histograms(times: dict[str, list[float]], std_s: float) -> None:
    cameras, links = (
        [{"id": "A"}, {"id": "B"}],
        [{"from": "A", "to": "B", "transit_s": times, "bidirectional": False}],
    )
    site = Site(SiteFile.model_validate({"cameras": cameras, "links": links}))
    rng = np.random.default_rng(0)
    start = T0 - 20_000 * S + rng.integers(0, 1500 * S, 120)
    w = World(
        site, rng.choice(["A", "B"], 120).astype(object), start, start + rng.integers(0, 99 * S, 120),
        dict.fromkeys("AB", std_s),
    )  # fmt: skip
    i, j, prior = every_pair(w)
    there = w.camera[i] == "A"
    wanted = {
        (int(a), int(b))
        for a, b in zip(*(x[there & (prior.log_prior > LOG_FLOOR)] for x in (i, j)), strict=True)
    }
    found = whole(linked_pairs(site, *w.columns(), **w.options))
    assert len(wanted) > 10 and wanted <= as_set(found)
    (way,) = reachable_links(site, IDS, **w.options)
    time_s = prior_of(w, found.i, found.j).transit_time_s
    assert (time_s >= way.low_s).all() and (time_s <= way.high_s).all()
    assert (found.log_prior == prior_of(w, found.i, found.j).log_prior.astype(np.float32)).all()


def test_windows_are_as_narrow_as_the_prior_allows() -> None:
    """A hundredth of a second inside the window a pair has more than the least, a hundredth outside it has not."""
    times = {"B": {"mean": 100, "std": 7}, "C": {"min": 50, "typical": 70, "max": 90}, "D": HISTOGRAMS[0]}
    links: list[dict[str, Any]] = [{"from": "A", "to": b, "transit_s": t} for b, t in times.items()]
    links += [{"from": "A", "to": "E", "distance_m": 50}, {"from": "B", "to": "C", "relation": "overlap"}]
    site = Site(SiteFile.model_validate({"cameras": [{"id": c} for c in IDS], "links": links}))
    ways = {(w.from_, w.to): w for w in reachable_camera_pairs(site, IDS, clock_std_s={"A": 3.0, "B": 4.0})}

    def at(a: str, b: str, time_s: float) -> Any:
        start = np.array([T0 - 7200 * S])
        second = start + round((1000 + time_s) * S)
        clocks = {"A": 3.0, "B": 4.0}
        return pair_prior(
            site, [a], start, start + 1000 * S, [b], second, second + 2000 * S, clock_std_s=clocks
        )

    for (a, b), way in ways.items():
        assert way.log_prior_beyond == (LOG_FLOOR if site.relation(a, b) == "adjacent" else WEAK_LOG_PRIOR)
        for edge_s, inside in ((way.low_s, 0.01), (way.high_s, -0.01)):
            if edge_s == -inf:
                continue
            within, beyond = at(a, b, edge_s + inside), at(a, b, edge_s - inside)
            assert within.gate[0] and within.log_prior[0] > LOG_FLOOR
            assert not beyond.gate[0] or beyond.log_prior[0] in (LOG_FLOOR, WEAK_LOG_PRIOR)
    assert ways["A", "E"].low_s == ways["E", "A"].low_s == pytest.approx(50 / 3 - 9)
    assert ways["D", "E"].high_s == 900 and ways["B", "D"].high_s == 912
    assert ways["B", "C"].low_s == -inf and ways["B", "C"].high_s == 912


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("blocks", [linked_pairs, reachable_pairs, partial(reentry_pairs, within_s=100)])
def test_blocks_are_small_and_change_nothing(blocks: Any, seed: int) -> None:
    w = world(seed)
    one = whole(blocks(w.site, *w.columns(), **w.options))
    for size in (1, 7, 100):
        parts = list(blocks(w.site, *w.columns(), **w.options, block_pairs=size))
        assert all(0 < len(part.i) <= size for part in parts)
        again = whole(iter(parts))
        assert all((a == b).all() for a, b in zip(one, again, strict=True))
    assert [x.dtype for x in one] == [np.int32, np.int32, bool, np.float32]


@pytest.mark.parametrize("seed", range(8))
def test_order_of_rows_and_whole_days_change_nothing(seed: int) -> None:
    w = world(seed)
    one = values(whole(linked_pairs(w.site, *w.columns(), **w.options)))
    new = np.random.default_rng(seed).permutation(len(w.camera))
    mixed = linked_pairs(w.site, w.camera[new], w.start[new], w.end[new], **w.options)
    assert {(new[i], new[j]): v for (i, j), v in values(whole(mixed)).items()} == one
    later = [t + 37 * DAY_S * S for t in (w.start, w.end)]
    assert values(whole(linked_pairs(w.site, w.camera, *later, **w.options))) == one
    fields = w.site.facts.defaults.model_copy(update={"across_days": True})
    free = Site(w.site.facts.model_copy(update={"defaults": fields}))
    shifted = (
        values(whole(linked_pairs(free, w.camera, w.start + t, w.end + t, **w.options)))
        for t in (0, -98_765_432_101)
    )
    assert next(shifted) == next(shifted)


def test_nobody_one_one_camera_and_all_at_one_instant() -> None:
    site = world(3).site
    everywhere = (linked_pairs, reachable_pairs, partial(reentry_pairs, within_s=5))
    for count in (0, 1):
        columns = ["A"] * count, np.full(count, T0), np.full(count, T0)
        assert all(not list(blocks(site, *columns)) for blocks in everywhere)
    same = ["A"] * 5, np.full(5, T0), np.full(5, T0)
    assert all(not list(blocks(site, *same)) for blocks in everywhere)
    links = [{"from": "B", "to": "A", "relation": "overlap", "bidirectional": False}]
    one_way = Site(SiteFile.model_validate({"cameras": [{"id": c} for c in "AB"], "links": links}))
    instant = np.array(list("ABAB"), object), np.full(4, T0), np.full(4, T0)
    found = values(whole(reachable_pairs(one_way, *instant)))
    assert found == {(a, b): (True, WEAK_LOG_PRIOR) for a in (0, 2) for b in (1, 3)}, "ties go by the name"
    assert not list(linked_pairs(one_way, *instant))
    inside = np.array(list("BA"), object), np.array([T0, T0 + 10]), np.array([T0 + 30, T0 + 20])
    assert values(whole(reachable_pairs(one_way, *inside))) == {(1, 0): (True, WEAK_LOG_PRIOR)}
    near = neighbour_pairs(one_way, np.ones((2, 1)), *inside, k=1)
    assert values(whole(near)) == {(1, 0): (True, WEAK_LOG_PRIOR)}
    after = whole(linked_pairs(one_way, list("AB"), np.array([T0 + 2, T0]), np.array([T0 + 2, T0 + 1])))
    assert values(after) == {(1, 0): (True, 0.0)}


def test_a_camera_the_file_does_not_know_is_unlisted() -> None:
    found = whole(reachable_pairs(without_file(["A"]), ["A", "new"], np.array([T0, T0 + 50 * S]), np.array([T0, T0 + 60 * S])))  # fmt: skip
    assert values(found) == {(0, 1): (True, WEAK_LOG_PRIOR)}


@pytest.mark.parametrize("seed", range(6))
def test_reentries(seed: int) -> None:
    w = world(seed, 200)
    wanted = {
        (a, b)
        for a in range(200)
        for b in range(200)
        if w.camera[a] == w.camera[b] and 0 < w.start[b] - w.end[a] <= 5 * S
    }
    found = whole(reentry_pairs(w.site, *w.columns(), within_s=5))
    assert as_set(found) == wanted and wanted and len(found.i) == len(wanted)
    assert (found.log_prior == 0).all() and (found.gate == prior_of(w, found.i, found.j).gate).all()


def test_a_way_with_millions_of_pairs_takes_the_memory_of_a_block() -> None:
    links = [{"from": "A", "to": "B", "relation": "overlap"}]
    site = Site(SiteFile.model_validate({"cameras": [{"id": "A"}, {"id": "B"}], "links": links}))
    start = np.full(3000, T0)
    camera = np.repeat(np.array(["A", "B"], object), 1500)
    next(linked_pairs(site, camera[1499:1501], start[:2], start[:2]))  # imports are no part of it
    tracemalloc.start()
    count = sum(
        len(block.i) for block in linked_pairs(site, camera, start, start + 9 * S, block_pairs=10_000)
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 1500 * 1500 and peak < 2 * count, "a table of all would take eight bytes a pair and more"


def crowd(seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    start = T0 + rng.integers(0, 3000 * S, n)
    length = rng.choice([0, 1, 20, 20, 20, 400, 2900], n) * S
    return rng.normal(size=(n, 8)), rng.choice(IDS[:3], n).astype(object), start, start + length


def naive_nearest(
    x: np.ndarray, camera: np.ndarray, start: np.ndarray, end: np.ndarray, window_s: float, k: int
) -> tuple[np.ndarray, np.ndarray]:
    rows, similarity = np.full((len(x), k), -1), np.full((len(x), k), -inf)
    x = np.asarray(x, np.float64)
    norm = np.linalg.norm(x, axis=1)
    for i in range(len(x)):
        others = []
        for j in range(len(x)):
            gap = max(start[j] - end[i], start[i] - end[j])
            if camera[i] != camera[j] and gap <= round(window_s * S) and norm[i] and norm[j]:
                others.append((-float(x[i] @ x[j]) / (norm[i] * norm[j]), j))
        for place, (far, j) in enumerate(sorted(others)[:k]):
            rows[i, place], similarity[i, place] = j, -far
    return rows, similarity


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("window_s", "k"), [(0, 3), (60, 5), (900, 1), (1e5, 400)])
def test_nearest_one_by_one(seed: int, window_s: float, k: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, camera, start, end = crowd(seed)
    x[::17] = 0
    wanted, similar = naive_nearest(x, camera, start, end, window_s, k)
    assert (wanted >= 0).sum() > 20
    for block_rows, first, tile in ((512, 128, 2048), (7, 4, 16), (1, 1, 1)):
        monkeypatch.setattr(nearest, "_FIRST_TILE", first)
        monkeypatch.setattr(nearest, "_TILE", tile)
        if block_rows == 1 and (seed or k > 5):
            break
        rows, similarity = nearest_in_window(
            x.astype(np.float32), camera, start, end, window_s=window_s, k=k, block_rows=block_rows
        )
        assert rows.dtype == np.int32 and similarity.dtype == np.float32
        assert ((rows >= 0) == (wanted >= 0)).all()
        np.testing.assert_allclose(similarity, similar, atol=1e-6)
        # Which row it is may differ where two are equal to the last digits of float32.
        other = np.argwhere(rows != wanted)
        assert len(other) < 0.001 * wanted.size + 1
        for i, place in other:
            found = rows[i, place]
            assert found in wanted[i] or similar[i, -1] - similarity[i, place] < 1e-6


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("k", [1, 4, 50])
@pytest.mark.parametrize("first_tile", [5, 128])
def test_of_equals_the_first_rows(
    seed: int, k: int, first_tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks of one coordinate each: similarities are 0 or 1 exactly, so that nothing is left to rounding."""
    monkeypatch.setattr(nearest, "_FIRST_TILE", first_tile)
    _, camera, start, end = crowd(seed, 60)
    rng = np.random.default_rng(seed)
    appearance = np.eye(4)[rng.integers(0, 4, 60)] * rng.choice([0, 1, 2, 0.5], (60, 1))
    rows, similarity = nearest_in_window(appearance, camera, start, end, window_s=300, k=k)
    wanted, similar = naive_nearest(appearance, camera, start, end, 300, k)
    assert (rows == wanted).all() and (similarity == similar).all()
    new = rng.permutation(60)
    _, mixed = nearest_in_window(appearance[new], camera[new], start[new], end[new], window_s=300, k=k)
    assert (mixed == similarity[new]).all()
    later = nearest_in_window(appearance, camera, start + 10**15, end + 10**15, window_s=300, k=k)
    assert (later[0] == rows).all()


def test_nearest_of_a_memory_map_of_halves(tmp_path: Path) -> None:
    x, camera, start, end = crowd(1)
    np.save(tmp_path / "x.npy", 30 * x.astype(np.float16))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    rows, _ = nearest_in_window(mapped, camera, start, end, window_s=100, k=4)
    whole_, _ = nearest_in_window(np.asarray(mapped, np.float32), camera, start, end, window_s=100, k=4)
    assert (rows == whole_).all() and (rows >= 0).any()


def test_nearest_of_nobody_one_and_one_camera() -> None:
    for n in (0, 1, 4):
        now = np.full(n, T0)
        rows, similarity = nearest_in_window(np.ones((n, 3)), ["A"] * n, now, now, window_s=10, k=2)
        assert rows.shape == similarity.shape == (n, 2)
        assert (rows == -1).all() and (similarity == -inf).all()
    now = np.full(4, T0)
    rows, _ = nearest_in_window(np.ones((4, 3)), list("AABB"), now, now, window_s=0, k=3)
    assert rows.tolist() == [[2, 3, -1], [2, 3, -1], [0, 1, -1], [0, 1, -1]]
    with pytest.raises(ValueError, match="row 1"):
        nearest_in_window(np.array([[1.0], [np.nan]]), ["A", "B"], now[:2], now[:2], window_s=1, k=1)


@pytest.mark.parametrize("seed", range(6))
def test_neighbours_are_those_of_either_with_their_prior(seed: int) -> None:
    x, camera, start, end = crowd(seed, 120)
    clocks = {"A": 0.0, "B": 7.0, "C": 30.0}
    w = World(without_file("ABC"), camera, start, end, clocks if seed % 2 else None)
    wider = np.array([3 * clocks[c] * S if w.clocks else 0 for c in camera]).astype(int)
    near, _ = naive_nearest(x, camera, start - wider, end + wider, 120, 3)
    wanted = {frozenset((i, int(j))) for i in range(120) for j in near[i] if j >= 0}
    options: dict[str, Any] = {"k": 3, "window_s": 120, **w.options}
    found = whole(neighbour_pairs(w.site, x, *w.columns(), **options))
    assert {frozenset(p) for p in as_set(found)} == wanted and len(found.i) == len(wanted)
    prior = prior_of(w, found.i, found.j)
    assert (found.gate == prior.gate).all() and (found.log_prior == prior.log_prior.astype(np.float32)).all()
    i, j, _ = every_pair(w)
    assert as_set(found) <= set(zip(i.tolist(), j.tolist(), strict=True)), "from the one seen first"
    parts = list(neighbour_pairs(w.site, x, *w.columns(), **options, block_pairs=10))
    assert max(len(part.i) for part in parts) == 10
    assert values(whole(iter(parts))) == values(found)
