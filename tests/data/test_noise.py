"""The noise simulator: the rates that were asked for come out, and MARS's published sizes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.datasets.benchmark import Seen
from data.datasets.noise import noisy_rows, noisy_tracklets


def rates(person, camera, tracklet):
    """r_FM and r_SW by counting sets."""
    of_pair, of_tracklet = {}, {}
    for p, c, t in zip(person.tolist(), camera.tolist(), tracklet.tolist(), strict=True):
        of_pair.setdefault((p, c), set()).add(t)
        of_tracklet.setdefault(t, set()).add(p)
    return np.mean([len(v) for v in of_pair.values()]), np.mean([len(v) for v in of_tracklet.values()])


def world(rng, people=40, cameras=3):
    pairs = [(p, c) for p in range(people) for c in range(cameras) if rng.random() < 0.8]
    frames = [np.repeat([pair], rng.integers(20, 80), axis=0) for pair in pairs]
    return np.concatenate(frames).T, len(pairs)


@given(st.integers(0, 10**6), st.sampled_from([(1.0, 1.0), (1.7, 1.2), (2.5, 1.2), (2.5, 1.5), (1.0, 1.4)]))
@settings(max_examples=15, deadline=None)
def test_both_rates_come_out(seed, wanted):
    rng = np.random.default_rng(seed)
    (person, camera), pairs = world(rng)
    tracklet, place = noisy_tracklets(person, camera, *wanted, rng)
    r_fm, r_sw = rates(person, camera, tracklet)
    assert r_fm == pytest.approx(wanted[0], rel=0.02) and r_sw == pytest.approx(wanted[1], rel=0.04)
    assert len(np.unique(tracklet)) == pytest.approx(pairs * wanted[0] / wanted[1], rel=0.04)
    for t in np.unique(tracklet):
        own = np.flatnonzero(tracklet == t)
        assert len(np.unique(camera[own])) == 1
        assert sorted(place[own]) == list(range(len(own)))
        for p in np.unique(person[own]):  # a segment is one run of frames, at least four, in order of time
            run = own[person[own] == p]
            assert len(run) >= 4 and (np.diff(place[run]) == 1).all() and (np.diff(run) == 1).all()


def test_no_noise_is_no_change():
    (person, camera), pairs = world(np.random.default_rng(0))
    tracklet, _ = noisy_tracklets(person, camera, 1, 1, np.random.default_rng(1))
    assert rates(person, camera, tracklet) == (1, 1) and len(np.unique(tracklet)) == pairs


def test_impossible_rates_are_said():
    with pytest.raises(ValueError, match="at least 1"):
        noisy_tracklets(np.zeros(9, int), np.zeros(9, int), 0.5, 1, np.random.default_rng(0))
    with pytest.raises(ValueError, match="cannot make 3 segments"):
        noisy_tracklets(np.zeros(9, int), np.zeros(9, int), 3, 1, np.random.default_rng(0))


def test_a_benchmarks_training_part_is_made_noisy_and_its_test_part_stays():
    rows = [
        Seen(f"{part}/{person}/{camera}/{n}", camera, person, part, part == "test", part == "test",
             [Path(f"{part}-{person}-{camera}-{n}-{i}.jpg") for i in range(10)], [100 * n + i for i in range(10)])
        for part in ("train", "test") for person in range(20) for camera in ("a", "b") for n in range(2)
    ]  # fmt: skip
    found = list(noisy_rows(rows, 1.5, 1.2))
    train, test = ([row for row in found if row.part == part] for part in ("train", "test"))
    assert test == [row._replace(t_us=None) for row in rows if row.part == "test"]
    assert len(train) == 50  # 20 people of two cameras, times 1.5, over 1.2
    learned = [path for row in train for path in row.paths]
    assert sorted(learned) == sorted(path for row in rows if row.part == "train" for path in row.paths)
    shown = []
    for row in train:
        people = [int(path.name.split("-")[1]) for path in row.paths]
        assert {path.name.split("-")[2] for path in row.paths} == {row.camera_id} and row.t_us is None
        assert people.count(row.pid) == max(map(people.count, people)) and not row.query
        shown.append(len(set(people)))
    assert np.mean(shown) == pytest.approx(1.2, rel=0.03)


@pytest.mark.footage
@pytest.mark.parametrize(
    ("r_fm", "r_sw", "published"), [(1.7, 1.2, 2835), (2.5, 1.2, 4023), (2.5, 1.5, 3272)]
)
def test_mars_comes_out_at_the_papers_sizes(footage, r_fm, r_sw, published):
    from scipy.io import loadmat

    info = loadmat(footage / "reid" / "lists" / "mars_tracks_train_info.mat")["track_train_info"].astype(int)
    person = np.repeat(info[:, 2], info[:, 1] - info[:, 0] + 1)
    camera = np.repeat(info[:, 3], info[:, 1] - info[:, 0] + 1)
    assert len(set(zip(info[:, 2].tolist(), info[:, 3].tolist(), strict=True))) == 1955
    tracklet, _ = noisy_tracklets(person, camera, r_fm, r_sw, np.random.default_rng(0))
    assert len(np.unique(tracklet)) == pytest.approx(published, rel=0.03)
