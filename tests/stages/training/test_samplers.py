import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.training.samplers import frame_batches, identity_batches, may_share_batch, single_camera_batches


def street(seed, n=40, cameras=3, crops=(1, 9), length_s=200.0):
    """Tracklets at random times in random cameras, and the crops of each."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, length_s, n)
    end = start + rng.uniform(1, 10, n)
    counts = rng.integers(*crops, n)
    return rng.permutation(np.repeat(np.arange(n), counts)), rng.integers(0, cameras, n), start, end


@pytest.mark.filterwarnings("ignore")
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 8), st.floats(0, 60))
def test_single_camera_batches_keep_camera_and_gap(seed, p, gap):
    crop_tracklet, camera, start, end = street(seed)
    rng = np.random.default_rng(seed)
    drawn: Counter[int] = Counter()
    for crops, labels, tracklets in single_camera_batches(
        crop_tracklet, camera, start, end, tracklets_per_batch=p, crops_per_tracklet=4, min_gap_s=gap, rng=rng
    ):
        members = np.unique(tracklets)
        assert len(crops) == 4 * len(members) and 2 <= len(members) <= p
        assert (crop_tracklet[crops] == tracklets).all() and (labels == tracklets).all()
        assert len(set(camera[members])) == 1
        for i in members:
            for j in members:
                between = max(start[i], start[j]) - min(end[i], end[j])
                assert i == j or between <= 0 or between > gap
        drawn.update(members.tolist())
    # Whoever has somebody to stand against is drawn; who has not cannot be.
    for t in range(len(camera)):
        others = np.flatnonzero((camera == camera[t]) & (np.arange(len(camera)) != t))
        assert (drawn[t] > 0) == may_share_batch(start, end, t, others, gap).any()


def test_without_crowding_every_tracklet_is_drawn_once():
    n = 24
    start = np.arange(n) * 100.0
    crop_tracklet = np.repeat(np.arange(n), 6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        batches = list(
            single_camera_batches(
                crop_tracklet, np.zeros(n), start, start + 5, tracklets_per_batch=8, crops_per_tracklet=4,
                min_gap_s=20, rng=np.random.default_rng(0),
            )
        )  # fmt: skip
    assert len(batches) == 3
    assert sorted(np.concatenate([np.unique(b.tracklets) for b in batches])) == list(range(n))
    for batch in batches:
        for t in np.unique(batch.tracklets):
            assert len(set(batch.crops[batch.tracklets == t])) == 4  # enough crops: none twice


def test_a_camera_with_few_tracklets_is_capped_with_a_warning_and_still_trained():
    start = np.array([0.0, 100, 200, 0, 100])
    camera = np.array(["hall", "hall", "hall", "gate", "gate"])
    with pytest.warns(UserWarning, match=r"2 cameras offer fewer than 8 .*gate, hall"):
        batches = list(
            single_camera_batches(
                np.repeat(np.arange(5), 2), camera, start, start + 5, tracklets_per_batch=8, crops_per_tracklet=4,
                min_gap_s=20, rng=np.random.default_rng(0),
            )
        )  # fmt: skip
    assert sorted(len(b.crops) for b in batches) == [8, 12]


def test_tracklets_without_any_negative_are_said_and_not_dropped_in_silence():
    with pytest.warns(UserWarning, match="no part in training .*gate: 2"):
        batches = list(
            single_camera_batches(
                np.arange(2), np.array(["gate", "gate"]), np.array([0.0, 6]), np.array([5.0, 9]),
                tracklets_per_batch=4, crops_per_tracklet=2, min_gap_s=20, rng=np.random.default_rng(0),
            )
        )  # fmt: skip
    assert batches == []


def test_tracklets_at_one_instant_may_always_share_a_batch():
    start, end = np.array([0.0, 3, 12, 40]), np.array([5.0, 8, 14, 41])
    assert may_share_batch(start, end, 0, [1, 2, 3], 20).tolist() == [True, False, True]


def test_no_more_than_so_many_crops_of_a_tracklet_take_part():
    crop_tracklet = np.repeat(np.arange(2), 100)
    (batch,) = single_camera_batches(
        crop_tracklet, np.zeros(2), np.array([0.0, 0]), np.array([9.0, 9]), tracklets_per_batch=2,
        crops_per_tracklet=80, min_gap_s=20, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert all(len(set(batch.crops[batch.tracklets == t])) <= 60 for t in (0, 1))


def test_no_tracklets_no_batches():
    none = np.zeros(0, int)
    arguments = dict(tracklets_per_batch=4, crops_per_tracklet=4, min_gap_s=1.0, rng=np.random.default_rng(0))
    assert list(single_camera_batches(none, none, none, none, **arguments)) == []


def test_the_same_generator_gives_the_same_batches():
    world = street(1)

    def once():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [
                b.crops.tolist()
                for b in single_camera_batches(
                    *world,
                    tracklets_per_batch=6,
                    crops_per_tracklet=4,
                    min_gap_s=5,
                    rng=np.random.default_rng(3),
                )
            ]

    assert once() == once()


@pytest.mark.filterwarnings("ignore")
@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_pair_batches_stay_in_one_group_and_show_both_tracklets(seed):
    rng = np.random.default_rng(seed)
    crop_tracklet, camera, _, _ = street(seed, n=30, cameras=3)
    pairs = [(i, i + 1) for i in range(0, 30, 2) if camera[i] != camera[i + 1]]
    group_of = {
        t: f"{min(camera[i], camera[j])}|{max(camera[i], camera[j])}" for i, j in pairs for t in (i, j)
    }
    row_tracklet = np.array([t for pair in pairs for t in pair], int)
    row_label = np.repeat(np.arange(len(pairs)), 2)
    row_group = np.array([group_of[t] for t in row_tracklet], str)
    drawn: Counter[int] = Counter()
    for crops, labels, tracklets in identity_batches(
        crop_tracklet,
        row_tracklet,
        row_label,
        row_group,
        camera,
        labels_per_batch=4,
        crops_per_label=4,
        rng=rng,
    ):
        assert len({group_of[t] for t in tracklets}) == 1
        assert (crop_tracklet[crops] == tracklets).all()
        for label in np.unique(labels):
            assert Counter(tracklets[labels == label].tolist()) == dict.fromkeys(pairs[label], 2)
        drawn.update(np.unique(labels).tolist())
    sizes = Counter(group_of[i] for i, _ in pairs)
    for label, (i, _) in enumerate(pairs):
        assert (drawn[label] > 0) == (sizes[group_of[i]] > 1)


def test_site_identities_spread_over_cameras():
    # Person 0 has four tracklets in camera 0 and one in camera 1.
    camera = np.array([0, 0, 0, 0, 1, 0, 1])
    label = np.array([0, 0, 0, 0, 0, 1, 1])
    (batch,) = identity_batches(
        np.repeat(np.arange(7), 5), np.arange(7), label, np.array(["site"] * 7), camera, labels_per_batch=2,
        crops_per_label=4, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert Counter(camera[batch.tracklets[batch.labels == 0]].tolist()) == {0: 2, 1: 2}


def test_unassigned_and_lone_labels():
    arguments = dict(labels_per_batch=4, crops_per_label=4, rng=np.random.default_rng(0))
    crop_tracklet, camera = np.arange(4), np.array([0, 1, 0, 1])
    with pytest.warns(UserWarning, match="one label only.*a"):
        batches = list(
            identity_batches(
                crop_tracklet,
                np.arange(4),
                np.array([5, 5, -1, -1]),
                np.array(["a"] * 4),
                camera,
                **arguments,
            )
        )
    assert batches == []
    none = np.zeros(0, int)
    assert list(identity_batches(crop_tracklet, none, none, none, camera, **arguments)) == []


def test_the_last_batch_is_filled_up():
    n = 10
    batches = list(
        identity_batches(
            np.repeat(np.arange(n), 4), np.arange(n), np.arange(n), np.array(["site"] * n), np.zeros(n, int),
            labels_per_batch=4, crops_per_label=2, rng=np.random.default_rng(0),
        )
    )  # fmt: skip
    assert [len(np.unique(b.labels)) for b in batches] == [4, 4, 4]
    assert set(np.concatenate([b.labels for b in batches])) == set(range(n))


def test_every_frame_comes_once_before_any_comes_again():
    rows = np.repeat([0, 1, 2, -1], [5, 90, 3, 4])
    batches = list(frame_batches(rows, rows + 7, 17, 8, np.random.default_rng(0), max_crops_per_tracklet=60))
    crops = np.concatenate([b.crops for b in batches])
    assert len(batches) == 8 and all(len(b.crops) == 17 for b in batches)
    assert len(set(crops[:68].tolist())) == 68  # 5 + 60 + 3
    np.testing.assert_array_equal(rows[crops], np.concatenate([b.tracklets for b in batches]))
    np.testing.assert_array_equal(rows[crops] + 7, np.concatenate([b.labels for b in batches]))
    assert not list(frame_batches(rows[:0], rows[:0], 17, 8, np.random.default_rng(0)))
