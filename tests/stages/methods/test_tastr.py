"""TASTR's own pieces against second, naive writings of its equations, and its limit cases."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from camera_topology.site import load, without_file
from pipeline.manifests import ASSOCIATIONS, PSEUDO_LABELS
from pipeline.schema import validate
from stages.methods import Footage, tastr
from stages.training.training_part import before

SITE = """
version: 1
site: {walking_speed_m_per_s: {mean: 1.25, max: 50}}
cameras: [{id: a}, {id: b}, {id: c}]
links:
  - {from: a, to: b, distance_m: 25}
  - {from: b, to: c, distance_m: 40}
"""
DISTANCE_M = {("a", "b"): 25, ("b", "c"): 40}


@pytest.fixture
def site(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(SITE, encoding="utf-8")
    return load(path)


def footage(site, times, crops=3):
    """times: (camera, start s, end s) per tracklet; crops evenly inside."""
    rows = [
        {"tracklet_id": f"{c}_{i:02d}", "parent_id": f"{c}_{i:02d}", "camera_id": c, "t_start_us": int(s * 1e6),
         "t_end_us": int(e * 1e6), "n_boxes": 5, "mean_score": 0.9}
        for i, (c, s, e) in enumerate(times)
    ]  # fmt: skip
    tracklets = pd.DataFrame(rows).sort_values("tracklet_id").reset_index(drop=True)
    cut = pd.DataFrame(
        [
            {"tracklet_id": r.tracklet_id, "t_utc_us": int(t)}
            for r in tracklets.itertuples()
            for t in np.linspace(r.t_start_us, r.t_end_us, crops)
        ]
    )
    return Footage(tracklets, cut, site, {})


def world(site, people=5, seed=0):
    """People who walk a → b → c at 1.25 m/s; one feature each, plus a little noise per tracklet."""
    random = np.random.default_rng(seed)
    appearance = random.normal(size=(people, 16))
    times, features = [], []
    for k in range(people):
        t = 40 * k
        for camera, gap in (("a", 0), ("b", 25 / 1.25), ("c", 40 / 1.25)):
            t += gap
            times.append((camera, t, t + 4))
            features.append(appearance[k] + 0.1 * random.normal(size=16))
            t += 4
    made = footage(site, times)
    order = [f"{c}_{i:02d}" for i, (c, _, _) in enumerate(times)]
    by_id = dict(zip(order, features, strict=True))
    x = np.array([by_id[t] for t in made.crops.tracklet_id])
    return made, (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def naive_matches(made, features):
    """Eq. 2 to 4 and NN-CCTA written out for one pair of tracklets at a time."""
    rows = list(made.tracklets.itertuples())
    mean = {}
    for r in rows:
        total = np.sum(
            [f for t, f in zip(made.crops.tracklet_id, features, strict=True) if t == r.tracklet_id], axis=0
        )
        mean[r.tracklet_id] = total / np.linalg.norm(total)
    pairs = {}
    for camera_a, camera_b in combinations(sorted({r.camera_id for r in rows}), 2):
        joint = {}
        for p in (r for r in rows if r.camera_id == camera_a):
            for q in (r for r in rows if r.camera_id == camera_b):
                d = math.dist(mean[p.tracklet_id], mean[q.tracklet_id])
                dt = max(q.t_start_us - p.t_end_us, p.t_start_us - q.t_end_us) / 1e6
                metres = DISTANCE_M.get((camera_a, camera_b))
                if metres is None:
                    r = math.exp(-2.0)
                else:
                    t, sigma = metres / 1.25, max(0.7 * metres / 1.25, 5)
                    r = max(1e-4, math.exp(-((dt - t) ** 2) / (2 * sigma**2)))
                joint[p.tracklet_id, q.tracklet_id] = (d / r, d, dt)
        for (p, q), (j, d, dt) in joint.items():
            best_q = min((v[0], k[1]) for k, v in joint.items() if k[0] == p)[1]
            best_p = min((v[0], k[0]) for k, v in joint.items() if k[1] == q)[1]
            if best_q == q and best_p == p:
                pairs[tuple(sorted((p, q)))] = (d, j, dt)
    return pairs


def test_matches_equal_the_equations_written_out(site):
    made, features = world(site)
    found = tastr.cross_camera_matches(made, features, tastr.AssociateConfig())
    wanted = naive_matches(made, features)
    assert {(r.tracklet_a, r.tracklet_b) for r in found.itertuples()} == set(wanted)
    for r in found.itertuples():
        got = (r.distance, r.joint_distance, r.transit_time_s)
        assert got == pytest.approx(wanted[r.tracklet_a, r.tracklet_b], rel=1e-4)


def test_right_people_are_matched_and_the_table_keeps_its_contract(site, tmp_path):
    made, features = world(site)
    found = tastr.cross_camera_matches(made, features, tastr.AssociateConfig(kmeans=False))
    person = {t: int(t.split("_")[1]) // 3 for t in made.tracklets.tracklet_id}
    assert len(found) == 15 and all(person[r.tracklet_a] == person[r.tracklet_b] for r in found.itertuples())
    validate(ASSOCIATIONS, found, tmp_path)


def test_time_decides_between_equal_looks(site):
    made = footage(site, [("a", 0, 4), ("b", 24, 28), ("b", 400, 404)])
    same = np.ones((len(made.crops), 4), np.float32) / 2
    found = tastr.cross_camera_matches(made, same, tastr.AssociateConfig())
    assert [(r.tracklet_a, r.tracklet_b) for r in found.itertuples()] == [("a_00", "b_01")]


def test_without_walking_times_is_one_thing_by_two_names(site):
    made, features = world(site, people=6, seed=2)
    paper = tastr.cross_camera_matches(made, features, tastr.AssociateConfig(spatio_temporal=False))
    off = tastr.cross_camera_matches(made, features, tastr.AssociateConfig(prior="off"))
    pd.testing.assert_frame_equal(paper, off)
    assert (off.joint_distance == off.distance).all()
    with pytest.raises(ValueError, match="set one of the two"):
        tastr.AssociateConfig(spatio_temporal=False, prior="cannot_links")


def test_cannot_links_match_by_looks_those_who_could_have_walked(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text(SITE.replace("max: 50", "max: 2"), encoding="utf-8")
    made = footage(load(path), [("a", 0, 4), ("b", 10, 14), ("b", 400, 404)])
    x = np.eye(3, dtype=np.float32)[[0, 0, 0]] + 0.1 * np.eye(3, dtype=np.float32)[[1, 1, 2]]
    x = np.repeat(x / np.linalg.norm(x, axis=1, keepdims=True), 3, axis=0)

    def matched(way):
        found = tastr.cross_camera_matches(made, x, tastr.AssociateConfig(prior=way, kmeans=False))
        return [(r.tracklet_a, r.tracklet_b) for r in found.itertuples()]

    assert matched("off") == [("a_00", "b_01")]  # who would have had to run
    assert matched("cannot_links") == [("a_00", "b_02")]


def test_kmeans_keeps_the_nearest_cluster_of_each_camera_pair(site):
    made, features = world(site, people=8, seed=1)
    kept = tastr.cross_camera_matches(made, features, tastr.AssociateConfig())
    everything = tastr.cross_camera_matches(made, features, tastr.AssociateConfig(k=1))
    assert everything.kept.all() and 0 < kept.kept.sum() < len(kept)
    pair = kept.tracklet_a.str[0] + kept.tracklet_b.str[0]
    for _, group in kept.groupby(pair):
        assert group.distance[group.kept].max() <= group.distance[~group.kept].min()


@pytest.mark.parametrize("times", [[("a", 0, 4)], [("a", 0, 4), ("a", 9, 12)], [("a", 0, 4), ("b", 30, 33)]])
def test_nothing_or_little_to_associate_is_no_crash(site, times, tmp_path):
    made = footage(site, times)
    features = np.eye(4, dtype=np.float32)[np.zeros(len(made.crops), int)]
    for settings in (tastr.AssociateConfig(), tastr.AssociateConfig(labels="site")):
        matches, labels = tastr.associate(made, lambda: features, 1, settings)
        validate(ASSOCIATIONS, matches, tmp_path)
        validate(PSEUDO_LABELS, labels, tmp_path)
        assert len(matches) == (1 if len({c for c, _, _ in times}) > 1 else 0)


def test_round_zero_labels_each_tracklet_inside_its_camera(site, tmp_path):
    made, _ = world(site, people=3)
    matches, labels = tastr.associate(
        made, lambda: pytest.fail("no features are needed"), 0, tastr.AssociateConfig()
    )
    assert matches.empty and len(labels) == 9
    assert labels.groupby("group").pseudo_label.agg(sorted).tolist() == [[0, 1, 2]] * 3
    validate(PSEUDO_LABELS, labels, tmp_path)


def test_batches_of_round_zero_hold_one_camera_unless_the_constraint_is_off(site):
    made, _ = world(site, people=4)
    _, labels = tastr.associate(made, lambda: None, 0, tastr.AssociateConfig())
    camera = made.tracklets.camera_id.to_numpy()

    def cameras_of_batches(constrained):
        settings = tastr.TrainConfig(batch_tracklets=4, batch_images=2, constrained=constrained)
        batches = list(tastr.epoch_batches(made, labels, 0, settings, np.random.default_rng(0)))
        assert batches and all(
            len(set(zip(b.labels, b.tracklets, strict=True))) == len(set(b.labels)) for b in batches
        )
        return [len(set(camera[b.tracklets])) for b in batches]

    assert set(cameras_of_batches(True)) == {1}
    assert max(cameras_of_batches(False)) > 1


def test_camera_pair_labels_are_local_and_site_labels_are_joined(site):
    made, features = world(site, people=2)
    matches = tastr.cross_camera_matches(made, features, tastr.AssociateConfig(kmeans=False))
    local = tastr.camera_pair_labels(made.tracklets, matches)
    assert sorted(local.group.unique()) == ["a|b", "a|c", "b|c"]
    assert (local.groupby(["group", "pseudo_label"]).size() == 2).all()
    joined = tastr.joined_labels(made, matches)
    person = joined.tracklet_id.str.split("_").str[1].astype(int) // 3
    assert (
        joined.groupby(person).pseudo_label.nunique().tolist() == [1, 1]
        and joined.pseudo_label.nunique() == 2
    )


def test_association_does_not_depend_on_names(site):
    made, features = world(site, people=6, seed=3)
    found = tastr.cross_camera_matches(made, features, tastr.AssociateConfig())
    new = {t: f"{t[0]}_{97 - int(t[2:]):02d}" for t in made.tracklets.tracklet_id}
    order = np.argsort([new[t] for t in made.crops.tracklet_id], kind="stable")
    crops = made.crops.assign(tracklet_id=made.crops.tracklet_id.map(new)).iloc[order].reset_index(drop=True)
    tracklets = made.tracklets.assign(tracklet_id=made.tracklets.tracklet_id.map(new)).sort_values(
        "tracklet_id"
    )
    renamed = Footage(tracklets.reset_index(drop=True), crops, site, {})
    again = tastr.cross_camera_matches(renamed, features[order], tastr.AssociateConfig())
    as_set = {frozenset((new[r.tracklet_a], new[r.tracklet_b])): r.kept for r in found.itertuples()}
    assert as_set == {frozenset((r.tracklet_a, r.tracklet_b)): r.kept for r in again.itertuples()}


def test_training_part_ends_at_the_cut():
    made = footage(without_file([]), [("a", 0, 10), ("a", 8, 20), ("b", 30, 40)], crops=5)
    tracklets, crops = before(made.tracklets, made.crops, 12_000_000)
    assert tracklets.tracklet_id.tolist() == ["a_00", "a_01"]
    assert crops.t_utc_us.max() <= 12_000_000 and tracklets.t_end_us.tolist() == [10_000_000, 12_000_000]
