"""Clock offsets from walks: exact on exact walks, honest intervals over many worlds, and silence where nothing tells."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.clocks import over_worlds, true_walks
from camera_topology.offsets import clock_offsets
from data.synthetic.network import NetworkSettings, build_network


def walks_of(rows: list[tuple[str, str, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["from_", "to", "seconds"]).assign(person=range(len(rows)))


def test_walks_both_ways_tell_the_clock_exactly() -> None:
    rows = [("a", "b", 30.0 + 5), ("b", "a", 30.0 - 5), ("b", "c", 20.0 - 7), ("c", "b", 20.0 + 7)] * 12
    found = clock_offsets(walks_of(rows), "a")
    assert found.ahead_s == pytest.approx({"a": 0.0, "b": 5.0, "c": -2.0}, abs=1e-3)
    assert found.walk_s == pytest.approx({("a", "b"): 30.0, ("b", "c"): 20.0}, abs=1e-3)
    assert found.wrong() == ["b", "c"] and found.wrong_share < 0.05


def test_one_way_alone_tells_nothing_and_a_known_way_does() -> None:
    rows = [("a", "b", 35.0 + d) for d in np.linspace(-3, 3, 40)] + [("b", "c", 20.0), ("c", "b", 20.0)] * 20
    found = clock_offsets(walks_of(rows), "a")
    assert found.known() == ["a"] and found.std_s["b"] == found.std_s["c"] == np.inf and found.wrong() == []
    declared = clock_offsets(walks_of(rows), "a", declared_s={("b", "a"): 30.0})
    assert declared.known() == ["a", "b", "c"] and declared.ahead_s["b"] == pytest.approx(5, abs=0.5)
    assert clock_offsets(walks_of(rows), "b").known() == ["b", "c"]


def test_a_ring_walked_one_way_round_tells_nothing() -> None:
    rows = [("a", "b", 10.0), ("b", "c", 12.0), ("c", "a", 14.0)] * 20
    assert clock_offsets(walks_of(rows), "a").known() == ["a"]


def test_no_walks_no_clocks() -> None:
    found = clock_offsets(walks_of([]), "a")
    assert found.known() == ["a"] and found.walk_s == {}


def test_renumbering_and_order_do_not_matter() -> None:
    walks = true_walks(build_network(3, NetworkSettings(people=60, clock_offset_s={2: 4.0})))
    found = clock_offsets(walks, "cam01", draws=10)
    again = clock_offsets(walks.sample(frac=1, random_state=0), "cam01", draws=10)
    names = {c: f"z{9 - i}" for i, c in enumerate(sorted({*walks.from_, *walks.to}))}
    renamed = walks.assign(from_=walks.from_.map(names), to=walks.to.map(names))
    other = clock_offsets(renamed, names["cam01"], draws=10)
    for camera, ahead in found.ahead_s.items():
        assert again.ahead_s[camera] == pytest.approx(ahead, abs=1e-6)
        assert other.ahead_s[names[camera]] == pytest.approx(ahead, abs=1e-3)


def test_intervals_cover_over_fifty_worlds_with_a_fifth_of_the_walks_wrong() -> None:
    found = over_worlds(50)
    assert found["offsets"] > 400
    assert 0.90 <= found["covered_by_95_percent"] <= 0.98
    assert found["times_the_bound"] <= 2
    assert found["of_these_called_wrong"] <= 0.01 * found["right_clocks"], (
        "a clock that is right is left alone"
    )
