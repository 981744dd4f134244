"""Times between cameras that nobody described, learned from who looks alike."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.topology import put_together
from camera_topology.site import without_file
from data.synthetic.network import Network, NetworkSettings, build_network
from stages.association.learned_times import EDGES_S, learned_times, time_bins


def world(
    seed: int = 0, wrong_fraction: float = 0.3
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray, np.ndarray]:
    """Tracklets, their possible pairs, matches (each one person's next sighting elsewhere, or at random), which are true."""
    rng = np.random.default_rng(seed)
    tracklets = build_network(seed).tracklets
    pid, camera = tracklets.pid.to_numpy(), tracklets.camera_id.to_numpy(str)
    pairs, true = [], []
    for i in range(len(tracklets)):
        later = np.flatnonzero((pid == pid[i]) & (camera != camera[i]) & (np.arange(len(pid)) > i))
        if len(later):
            j = (
                int(later[0])
                if rng.random() >= wrong_fraction
                else int(rng.choice(np.flatnonzero(camera != camera[i])))
            )
            pairs.append((i, j) if camera[i] < camera[j] else (j, i))
            true.append(pid[i] == pid[j])
    return tracklets, np.ones((len(pid), len(pid)), bool), np.array(pairs), np.array(true)


def learn(tracklets: pd.DataFrame, possible: np.ndarray, pairs: np.ndarray, shift_s: float = 0.0):
    start, end = (
        (tracklets[c] - tracklets.t_start_us.min()).to_numpy() / 1e6 + shift_s
        for c in ("t_start_us", "t_end_us")
    )
    return learned_times(pairs, tracklets.camera_id.to_numpy(str), start, end, possible)


@given(st.lists(st.tuples(st.floats(0, 5000), st.floats(0.1, 60)), min_size=2, max_size=8))
@settings(max_examples=50)
def test_bins_mirror_when_two_are_swapped(spans: list[tuple[float, float]]) -> None:
    start = np.array([s for s, _ in spans])
    end = start + np.array([length for _, length in spans])
    bins, one_way = time_bins(start, end), len(EDGES_S) - 1
    for i in range(len(start)):
        for j in range(len(start)):
            forth, back = start[j] - end[i], start[i] - end[j]
            at = bins[i, j] % one_way
            assert EDGES_S[at] <= max(forth, back) < EDGES_S[at + 1]
            assert (bins[i, j] < one_way) == (forth >= back)
            if forth != back:
                assert abs(bins[i, j] - bins[j, i]) == one_way


def test_true_times_are_likelier_and_matches_are_told_apart() -> None:
    tracklets, possible, pairs, true = world()
    found = learn(tracklets, possible, pairs)
    assert found is not None
    ratio = found.log_ratio[pairs[:, 0], pairs[:, 1]]
    assert np.median(ratio[true]) > 1 > 0 > np.median(ratio[~true])
    assert found.weight[true].mean() > 0.8 and found.weight[~true].mean() < 0.35
    assert (found.log_ratio == found.log_ratio.T).all()
    same = tracklets.camera_id.to_numpy()[:, None] == tracklets.camera_id.to_numpy()[None, :]
    assert (found.log_ratio[same] == 0).all()


def test_a_match_does_not_vouch_for_itself() -> None:
    """One wrong match in a bin that no other is in gains nothing by being there."""
    tracklets, possible, pairs, _ = world(wrong_fraction=0.0)
    camera = tracklets.camera_id.to_numpy(str)
    i = 0
    far = np.flatnonzero((camera > camera[i]) & (tracklets.t_start_us > tracklets.t_end_us[i] + 2500 * 10**6))
    lonely = np.vstack([pairs, [i, far[0]]])
    with_it, without = learn(tracklets, possible, lonely), learn(tracklets, possible, pairs)
    assert with_it is not None and without is not None
    assert with_it.log_ratio[i, far[0]] <= without.log_ratio[i, far[0]] + 0.05
    assert with_it.weight[-1] < with_it.weight[:-1].min() + 1e-9


def test_times_of_no_meaning_teach_nothing() -> None:
    tracklets, possible, pairs, _ = world(wrong_fraction=1.0)
    assert learn(tracklets, possible, pairs) is None
    tracklets, possible, pairs, _ = world()
    assert learn(tracklets, possible, pairs[:29]) is None
    assert learn(tracklets, possible, pairs[:0]) is None


def test_shifting_time_and_renaming_cameras_change_nothing() -> None:
    tracklets, possible, pairs, _ = world(3)
    found, later = learn(tracklets, possible, pairs), learn(tracklets, possible, pairs, 12345.0)
    assert found is not None and later is not None
    np.testing.assert_allclose(found.log_ratio, later.log_ratio, atol=1e-9)
    renamed = tracklets.assign(camera_id="x" + tracklets.camera_id)
    again = learn(renamed, possible, pairs)
    assert again is not None
    np.testing.assert_allclose(found.log_ratio, again.log_ratio, atol=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_people_are_put_together_better_with_no_file_at_all(seed: int) -> None:
    network: Network = build_network(seed, NetworkSettings(noise=1.1))
    nothing = without_file(network.cameras)
    with_times, without = put_together(network, nothing), put_together(network, nothing, times=False)
    assert with_times[0] > without[0] + 0.05 and with_times[2] > without[2] + 0.04
