import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN

from pipeline import schema
from pipeline.manifests import BOXES, CROPS, TRACKLETS
from stages.association.pairing import euclidean_distances
from stages.isolate import apart, contacts, cut_tracklets
from stages.isolation.crop_clusters import (
    calibrate_eps,
    co_occurring,
    dbscan,
    joining_eps,
    nearest_in_time,
    pieces,
)


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def appearance(rng, person, n, spread=0.05):
    """n crops of one person: points near the person's axis."""
    return unit(np.eye(16)[person][None] + spread * rng.normal(size=(n, 16)))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 1.2), st.integers(2, 5))
def test_dbscan_agrees_with_scikit_learn_on_cores_and_noise(seed, eps, min_samples):
    rng = np.random.default_rng(seed)
    d = euclidean_distances(*[unit(rng.normal(size=(25, 3)))] * 2).astype(float)
    np.fill_diagonal(d, 0)
    ours, theirs = (
        dbscan(d, eps, min_samples),
        DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit(d),
    )
    assert ((ours == -1) == (theirs.labels_ == -1)).all()
    core = theirs.core_sample_indices_
    same = ours[core][:, None] == ours[core][None]
    assert (same == (theirs.labels_[core][:, None] == theirs.labels_[core][None])).all()
    new = rng.permutation(25)
    again = dbscan(d[np.ix_(new, new)], eps, min_samples)
    assert ((again[:, None] == again[None]) == (ours[new][:, None] == ours[new][None])).all()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_joining_eps_is_where_dbscan_first_joins_core_points_of_both(seed):
    rng = np.random.default_rng(seed)
    a, b = unit(rng.normal(size=(8, 3))), unit(rng.normal(size=(6, 3)))
    eps = joining_eps(a, b, 4)
    d = euclidean_distances(np.concatenate([a, b]), np.concatenate([a, b]))
    np.fill_diagonal(d, 0)

    def joined(at):
        core = (d <= at).sum(1) >= 4
        labels = dbscan(d, at, 4)
        return bool(set(labels[:8][core[:8]]) & set(labels[8:][core[8:]]))

    assert joined(eps * (1 + 1e-6)) and not joined(eps * (1 - 1e-6))


def test_joining_eps_of_too_few_crops():
    assert joining_eps(np.eye(3)[:1], np.eye(3)[1:2], 4) == float("inf")


def test_two_persons_in_one_tracklet_are_cut_in_time_order():
    rng = np.random.default_rng(0)
    features = np.concatenate([appearance(rng, 3, 10), appearance(rng, 1, 12)])
    t = np.arange(22) * 200_000
    assert pieces(features, t, eps=0.5).tolist() == [0] * 10 + [1] * 12
    order = rng.permutation(22)
    assert pieces(features[order], t[order], eps=0.5).tolist() == (order >= 10).astype(int).tolist()


def test_alternating_persons_are_two_pieces_and_not_three():
    rng = np.random.default_rng(0)
    features = np.concatenate([appearance(rng, 0, 6), appearance(rng, 1, 6), appearance(rng, 0, 6)])
    assert pieces(features, np.arange(18), eps=0.5).tolist() == [0] * 6 + [1] * 6 + [0] * 6


def test_noise_is_attached_or_dropped():
    rng = np.random.default_rng(0)
    features = np.concatenate([appearance(rng, 0, 6), appearance(rng, 5, 1), appearance(rng, 1, 6)])
    t = np.array([*range(6), 6, *range(10, 16)])
    assert pieces(features, t, eps=0.5).tolist() == [0] * 7 + [1] * 6
    assert pieces(features, t, eps=0.5, noise="drop").tolist() == [0] * 6 + [-1] + [1] * 6


def test_tracklets_without_density_stay_whole():
    assert pieces(np.eye(8), np.arange(8), eps=0.5).tolist() == [0] * 8
    assert pieces(np.eye(8)[:2], np.arange(2), eps=0.5, noise="drop").tolist() == [0, 0]
    assert pieces(np.zeros((0, 8)), np.arange(0), eps=0.5).tolist() == []


def test_nearest_in_time():
    assert nearest_in_time(np.array([0, 4, 5, 6, 99]), np.array([10, 0])).tolist() == [1, 1, 1, 0, 0]
    assert nearest_in_time(np.array([3, 4]), np.array([7])).tolist() == [0, 0]


@given(st.integers(0, 2**32 - 1))
def test_co_occurring_equals_the_double_loop(seed):
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 50, 15)
    end, camera = start + rng.integers(0, 20, 15), rng.integers(0, 3, 15)
    naive = [
        [i, j]
        for i in range(15)
        for j in range(i + 1, 15)
        if camera[i] == camera[j] and start[i] <= end[j] and start[j] <= end[i]
    ]
    assert co_occurring(camera, start, end).tolist() == naive


def crowd(rng, people=12, n=12, spread=0.05):
    features = np.concatenate([appearance(rng, p, n, spread) for p in range(people)])
    rows = [np.arange(p * n, (p + 1) * n) for p in range(people)]
    return features, rows, np.array([(i, j) for i in range(people) for j in range(i + 1, people)])


def calibrate(features, rows, different, **settings):
    t = np.arange(len(features)) * 200_000
    return calibrate_eps(features, rows, different, t_us=t, rng=np.random.default_rng(0), **settings)


def test_violation_takes_the_largest_eps_that_keeps_certain_pairs_apart():
    features, rows, different = crowd(np.random.default_rng(0))
    found = calibrate(features, rows, different, rule="violation")
    smallest = min(joining_eps(features[rows[i]], features[rows[j]], 4) for i, j in different)
    assert smallest - 0.05 <= found.eps < smallest
    assert found.violated_fraction == 0 and found.cut_fraction == 0 and found.pairs == len(different)


def test_separation_takes_made_up_switches_apart_and_leaves_tracklets_whole():
    for spread in (0.02, 0.1):
        features, rows, different = crowd(np.random.default_rng(0), spread=spread)
        found = calibrate(features, rows, different)
        assert found.separated_fraction == 1 and found.cut_fraction == 0


def test_separation_does_not_depend_on_the_scale_of_a_network():
    # All features crowd in a corner of the sphere, as those of an untrained network do.
    features, rows, different = crowd(np.random.default_rng(0))
    narrow = unit(0.05 * features + np.eye(16)[15])
    found = calibrate(narrow, rows, different)
    assert found.separated_fraction == 1 and found.cut_fraction == 0 and found.eps < 0.1


def test_where_persons_cannot_be_told_apart_nothing_is_cut():
    rng = np.random.default_rng(0)
    features = unit(rng.normal(size=(144, 16)))
    rows = [np.arange(p * 12, (p + 1) * 12) for p in range(12)]
    different = np.array([(i, j) for i in range(12) for j in range(i + 1, 12)])
    found = calibrate(features, rows, different)
    assert all(pieces(features[r], r, eps=found.eps).max() == 0 for r in rows)


def test_few_certain_pairs_fall_back_and_say_so():
    features, rows, different = crowd(np.random.default_rng(0))
    for pairs in (different[:10], different[:0]):
        found = calibrate(features, rows, pairs)
        assert found.eps == pytest.approx(0.5) and f"only {len(pairs)} pairs" in found.reason


def test_eps_is_raised_where_it_would_shatter_tracklets():
    rng = np.random.default_rng(0)

    # Three persons on a circle who turn round once: their two looks are farther apart (chord 0.96) than one's back
    # from the next one's front (0.59), so no eps keeps persons apart and tracklets whole.
    def circle(angle):
        return np.stack([np.cos(angle), np.sin(angle)], 1) + 0.01 * rng.normal(size=(len(angle), 2))

    turning = [np.repeat([1.6 * p, 1.6 * p + 1.0], 6) for p in range(3)]
    features = unit(np.concatenate([circle(turning[p]) for p in range(3) for _ in range(5)]))
    rows = [np.arange(k * 12, (k + 1) * 12) for k in range(15)]
    different = np.array([(i, j) for i in range(15) for j in range(i + 1, 15) if i // 5 != j // 5])
    found = calibrate(features, rows, different, rule="violation", max_cut_fraction=0.2)
    assert found.cut_fraction <= 0.2 and 0.9 < found.eps < 1.05 and "raised" in found.reason
    kept = calibrate(features, rows, different, rule="violation", max_cut_fraction=1.0)
    assert kept.cut_fraction == 1.0 and 0.5 < kept.eps < 0.6
    assert calibrate(features, rows, different).cut_fraction == 0  # cutting gains less than it costs


def test_calibration_of_nothing():
    found = calibrate(np.zeros((0, 4), np.float32), [], np.zeros((0, 2), int))
    assert found.eps == pytest.approx(0.5) and np.isnan(found.violated_fraction)


def test_a_cut_needs_a_contact_nearby():
    rng = np.random.default_rng(0)
    features = np.concatenate([appearance(rng, 3, 10), appearance(rng, 1, 10), appearance(rng, 2, 10)])
    t = np.arange(30) * 200_000

    def cut(*contact_s):
        contact = (np.array(contact_s) * 1e6).astype(np.int64)
        return pieces(features, t, eps=0.5, contact_us=contact, contact_window_us=500_000).tolist()

    assert cut() == [0] * 30  # somebody alone who turns is one person
    assert cut(1.9) == [0] * 10 + [1] * 20
    assert cut(1.4) == [0] * 10 + [1] * 20 and cut(1.2) == [0] * 30
    assert cut(2.4, 4.0) == [0] * 10 + [1] * 10 + [2] * 10
    assert pieces(features, t, eps=0.5).max() == 2


def tables(people_of):
    """One tracklet per entry: its persons frame by frame (10 a second), every second box cropped."""
    rng = np.random.default_rng(0)
    tracklets, boxes, crops, features = [], [], [], []
    for k, people in enumerate(people_of):
        name, n = f"gate_2026_{k}", len(people)
        tracklets.append((name, name, "gate", 0, (n - 1) * 100_000, n, 0.8))
        for frame, person in enumerate(people):
            left = 100.0 * k
            row = (name, "gate_v", frame, frame * 100_000)
            boxes.append((*row, left, 0.0, left + 20, 50.0, 0.9 if person else 0.7, 1.0, 1.0))
            if frame % 2 == 0:
                crops.append((*row, "crops/gate.tar", 512 * len(crops), 400, 20, 50, False, 0.5))
                features.append(appearance(rng, person, 1)[0])
    frames = []
    for manifest, rows in ((TRACKLETS, tracklets), (BOXES, boxes), (CROPS, crops)):
        empty = manifest.empty()
        frames.append(pd.DataFrame(rows, columns=list(empty.columns)).astype(empty.dtypes.to_dict()))
    return *frames, np.array(features, np.float32).reshape(-1, 16)


def test_cut_tables_keep_every_box_and_their_contract(tmp_path):
    tracklets, boxes, crops, features = tables([[1] * 20, [0] * 15 + [1] * 17])
    new_tracklets, new_boxes, new_crops = cut_tracklets(tracklets, boxes, crops, features, eps=0.5)
    for manifest, frame in ((TRACKLETS, new_tracklets), (BOXES, new_boxes), (CROPS, new_crops)):
        schema.write(manifest, frame, tmp_path / manifest.file)
    assert sorted(new_tracklets.tracklet_id) == ["gate_2026_0", "gate_2026_1.0", "gate_2026_1.1"]
    assert len(new_boxes) == len(boxes) and len(new_crops) == len(crops)
    by_id = new_tracklets.set_index("tracklet_id")
    assert by_id.parent_id.to_dict() == {
        "gate_2026_0": "gate_2026_0", "gate_2026_1.0": "gate_2026_1", "gate_2026_1.1": "gate_2026_1",
    }  # fmt: skip
    # Crops are of even frames: 14 is the last of person 0, 16 the first of person 1; box 15 is as near to either.
    assert by_id.n_boxes.to_dict() == {"gate_2026_0": 20, "gate_2026_1.0": 16, "gate_2026_1.1": 16}
    assert by_id.t_start_us["gate_2026_1.1"] == 1_600_000 and by_id.t_end_us["gate_2026_1.0"] == 1_500_000
    assert by_id.mean_score["gate_2026_1.1"] == pytest.approx(0.9)
    for name, rows in new_boxes.groupby("tracklet_id"):
        assert len(rows) == by_id.n_boxes[name] and rows.t_utc_us.min() == by_id.t_start_us[name]


def test_dropped_noise_takes_its_boxes_along_and_keeps_the_id():
    people = [0] * 10 + [5] * 2 + [0] * 10
    tracklets, boxes, crops, features = tables([people])
    new_tracklets, new_boxes, new_crops = cut_tracklets(
        tracklets, boxes, crops, features, eps=0.5, noise="drop"
    )
    assert new_tracklets.tracklet_id.tolist() == new_tracklets.parent_id.tolist() == ["gate_2026_0"]
    assert len(new_crops) == len(crops) - 1 and len(new_boxes) == new_tracklets.n_boxes[0] < len(boxes)


def test_tables_without_crops_pass_through():
    tracklets, boxes, crops, features = tables([[0] * 8])
    again = cut_tracklets(tracklets, boxes, crops.iloc[:0], features[:0], eps=0.5)
    assert again[0].equals(tracklets) and again[1].equals(boxes)
    empty = [m.empty() for m in (TRACKLETS, BOXES, CROPS)]
    assert [len(t) for t in cut_tracklets(*empty, features[:0], eps=0.5)] == [0, 0, 0]


def test_contacts_and_pairs_that_never_touch():
    tracklets, boxes, *_ = tables([[0] * 4] * 10)
    pairs = co_occurring(tracklets.camera_id, tracklets.t_start_us, tracklets.t_end_us)
    touching, contact = contacts(tracklets, boxes)
    assert not touching and all(len(c) == 0 for c in contact)
    assert len(apart(pairs, touching)) == len(pairs) == 45
    # In frame 2 the second tracklet reaches over to the first.
    near = (boxes.tracklet_id == "gate_2026_1") & (boxes.frame == 2)
    touching, contact = contacts(tracklets, boxes.assign(x1=np.where(near, boxes.x1 - 90, boxes.x1)))
    assert touching == {(0, 1)}
    assert [c.tolist() for c in contact[:3]] == [[200_000], [200_000], []]
    assert len(apart(pairs, touching)) == 44 and [0, 1] not in apart(pairs, touching).tolist()
    assert len(apart(pairs[:5], touching)) == 5
    # A second without a box: lost before and after.
    late = boxes.assign(t_utc_us=boxes.t_utc_us + np.where(boxes.frame >= 2, 1_000_000, 0))
    assert contacts(tracklets, late)[1][0].tolist() == [100_000, 1_200_000]
    assert contacts(tracklets.iloc[:0], boxes.iloc[:0]) == (set(), [])
