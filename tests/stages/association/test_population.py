"""The number of people, without labels: an interval that contains the truth of a clear world."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.association.population import certain_group, count_people


def world(who, camera):
    n = len(who)
    who = np.array(who)
    tracklets = pd.DataFrame(
        {"tracklet_id": [f"t{i:02}" for i in range(n)], "camera_id": list(camera), "t_start_us": np.arange(n)}
    )
    return tracklets, np.where(who[:, None] == who[None, :], 6.0, -6.0)


NOTHING = np.zeros((0, 2), np.int64)


def test_a_clear_world_of_one_camera_is_counted():
    tracklets, log_odds = world([0, 1, 2, 0, 1, 2, 3], "aaaaaaa")
    assert count_people(tracklets, log_odds, NOTHING) == (1, 4, 4, 4)


def test_the_busiest_camera_bounds_from_below_and_strict_groups_from_above():
    # Camera a saw four people, b two of them and two more; nobody's links across cameras were found.
    tracklets, log_odds = world([0, 1, 2, 3, 0, 1, 4, 5], "aaaabbbb")
    across = tracklets.camera_id.to_numpy()[:, None] != tracklets.camera_id.to_numpy()[None, :]
    assert count_people(tracklets, log_odds, NOTHING) == (1, 4, 5, 6)
    assert count_people(tracklets, np.where(across, -6.0, log_odds), NOTHING) == (1, 4, 6, 8)


def test_doubt_opens_the_interval_and_certainty_bounds_it():
    tracklets, log_odds = world([0, 1, 2, 3, 4, 5], "aaaaaa")
    log_odds[:2, :2], log_odds[2:4, 2:4] = -1.0, 1.0  # perhaps one, perhaps two
    assert count_people(tracklets, log_odds, NOTHING) == (1, 4, 5, 6)
    everyone = np.stack(np.triu_indices(6, 1), axis=1)
    assert count_people(tracklets, np.full((6, 6), 9.0), everyone) == (6, 6, 6, 6)
    assert count_people(tracklets.iloc[:0], log_odds[:0, :0], everyone[:0]) == (0, 0, 0, 0)


@given(st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_a_certain_group_is_one(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 12))
    i, j = np.triu_indices(n, 1)
    pairs = np.stack([i, j], axis=1)[rng.random(len(i)) < 0.5]
    have = {tuple(p) for p in pairs.tolist()}
    group = certain_group(n, pairs, rng.permutation(n))
    assert all((min(a, b), max(a, b)) in have for a in group for b in group if a != b)
    assert all(
        any((min(a, b), max(a, b)) not in have for b in group) for a in set(range(n)) - set(group)
    )  # none fits in
    assert certain_group(n, pairs, rng.permutation(n), max_items=1).__len__() == 1
