"""Clock offsets from walks: exact on exact walks, honest intervals over many worlds, and silence where nothing tells."""

import numpy as np
import pandas as pd
import pytest

from camera_topology.offsets import _Problem, clock_offsets
from data.synthetic.network import Network, NetworkSettings, build_network


def walks_of(rows: list[tuple[str, str, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["from_", "to", "seconds"]).assign(person=range(len(rows)))


def true_walks(network: Network) -> pd.DataFrame:
    """From each sighting to the person's next one in another camera."""
    seen = network.tracklets.sort_values(["pid", "t_start_us"])
    after = seen.groupby("pid")[["camera_id", "t_start_us"]].shift(-1)
    moved = after.camera_id.notna() & (after.camera_id != seen.camera_id)
    return pd.DataFrame(
        {
            "from_": seen.camera_id[moved], "to": after.camera_id[moved], "person": seen.pid[moved],
            "seconds": (after.t_start_us[moved] - seen.t_end_us[moved]) / 1e6,
        }
    ).reset_index(drop=True)  # fmt: skip


def bound_s(network: Network, walks: pd.DataFrame, reference: str) -> dict[str, float]:
    """Cramér-Rao: the least standard deviation of each offset, knowing which walks were and how they spread about each way."""
    problem = _Problem.of(walks, reference, {}, 900.0)
    # Spread of a walk in the core of its way's times; stops make tails, which a bound for normal errors must not see.
    rest = walks.seconds - walks.groupby(["from_", "to"]).seconds.transform("median")
    spread = 1.4826 * rest.abs().groupby(pd.Series(problem.way)).transform("median")
    weight = 1 / np.maximum(spread.to_numpy(), 0.5) ** 2
    information = (problem.design * weight[:, None]).T @ problem.design + np.diag(problem.precision + 1e-9)
    return dict(zip(problem.cameras, np.sqrt(np.diag(np.linalg.inv(information))), strict=False))


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
    covered, errors, bounds, accused = [], [], [], 0
    for seed in range(50):
        rng = np.random.default_rng(seed)
        late = {int(rng.integers(1, 10)): float(rng.choice([-5, -2, 2, 5]))}
        network = build_network(seed, NetworkSettings(clock_offset_s=late))
        walks = true_walks(network)
        bound = bound_s(network, walks, "cam01")
        wrong = rng.random(len(walks)) < 0.2
        walks.loc[wrong, "seconds"] = rng.uniform(-20, 900, wrong.sum())
        found = clock_offsets(walks, "cam01", seed=seed, draws=100)
        for camera in network.cameras[1:]:
            if np.isfinite(found.std_s[camera]):
                error = found.ahead_s[camera] - network.offsets_s[camera]
                covered.append(abs(error) <= 1.96 * found.std_s[camera])
                errors.append(error)
                bounds.append(bound[camera])
        accused += sum(network.offsets_s[camera] == 0 for camera in found.wrong())
    assert len(covered) > 400
    assert 0.90 <= np.mean(covered) <= 0.98
    assert np.sqrt(np.mean(np.square(errors))) <= 2 * np.sqrt(np.mean(np.square(bounds)))
    assert accused <= 0.01 * len(covered), "a clock that is right is left alone"
