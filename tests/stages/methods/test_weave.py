"""weave's own pieces: confident clusters become labels for the whole site, links are what the clusters say."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from camera_topology.site import without_file
from pipeline.manifests import ASSOCIATIONS, PSEUDO_LABELS
from pipeline.schema import validate
from stages.methods import Footage, weave
from stages.training.samplers import Batch


def tracklets_of(times):
    """(camera, start s, end s) per tracklet."""
    rows = [
        {"tracklet_id": f"{c}_{i:02d}", "camera_id": c, "t_start_us": int(s * 1e6), "t_end_us": int(e * 1e6)}
        for i, (c, s, e) in enumerate(times)
    ]
    return pd.DataFrame(rows).sort_values("tracklet_id").reset_index(drop=True)


def crowd(people=12, seed=0, noise=0.03):
    """Everybody walks past three cameras, some at the same time; looks differ, views of one person hardly."""
    random = np.random.default_rng(seed)
    appearance = random.normal(size=(people, 32))
    tracklets = tracklets_of(
        [(c, 3 * k + 40 * n, 3 * k + 40 * n + 5) for k in range(people) for n, c in enumerate("abc")]
    )
    person = {t: int(t.split("_")[1]) // 3 for t in tracklets.tracklet_id}
    crops = pd.DataFrame(
        [
            {"tracklet_id": r.tracklet_id, "t_utc_us": int(t), "video_id": r.camera_id, "frame": n}
            for r in tracklets.itertuples()
            for n, t in enumerate(np.linspace(r.t_start_us, r.t_end_us, 8))
        ]
    )
    x = np.array([appearance[person[t]] + noise * random.normal(size=32) for t in crops.tracklet_id])
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return Footage(tracklets, crops, without_file(list("abc")), {}), x.astype(np.float32), person


def test_clear_looks_become_one_label_per_person(tmp_path):
    footage, x, person = crowd()
    links, labels = weave.associate(footage, lambda: x, 1, weave.AssociateConfig())
    validate(ASSOCIATIONS, links, tmp_path)
    validate(PSEUDO_LABELS, labels, tmp_path)
    truth = labels.tracklet_id.map(person)
    assert len(labels) > 0.8 * len(footage.tracklets) and (labels.group == "site").all()
    assert (labels.groupby(truth).pseudo_label.nunique() == 1).all()
    assert (truth.groupby(labels.pseudo_label).nunique() == 1).all()


def test_links_are_the_cross_camera_pairs_of_each_cluster():
    tracklets = tracklets_of([("a", 0, 4), ("b", 9, 12), ("b", 20, 22), ("c", 30, 33)])
    identity, sure = np.array([1, 1, 1, 2]), np.array([True, True, False, True])
    means = np.eye(4, dtype=np.float32)
    log_prior = np.full((4, 4), np.log(0.5))
    found = weave.cross_camera_links(tracklets, means, log_prior, identity, sure)
    wanted = {
        (tracklets.tracklet_id[i], tracklets.tracklet_id[j])
        for i, j in combinations(range(4), 2)
        if identity[i] == identity[j] and tracklets.camera_id[i] != tracklets.camera_id[j]
    }
    assert {(r.tracklet_a, r.tracklet_b) for r in found.itertuples()} == wanted
    assert found.distance.tolist() == pytest.approx([2**0.5] * 2)
    assert found.joint_distance.tolist() == pytest.approx([2 * 2**0.5] * 2)
    assert found.transit_time_s.tolist() == [5.0, 16.0] and found.kept.tolist() == [True, False]


@pytest.mark.parametrize("times", [[("a", 0, 4)], [("a", 0, 4), ("a", 9, 12)], [("a", 0, 4), ("b", 30, 33)]])
def test_little_to_associate_is_no_crash(times, tmp_path):
    tracklets = tracklets_of(times)
    crops = pd.DataFrame(
        {
            "tracklet_id": np.repeat(tracklets.tracklet_id, 3),
            "t_utc_us": 0,
            "video_id": "v",
            "frame": range(3 * len(times)),
        }
    )
    footage = Footage(tracklets, crops, without_file(["a", "b"]), {})
    x = np.tile(np.eye(8, dtype=np.float32)[0], (len(crops), 1))
    links, labels = weave.associate(footage, lambda: x, 1, weave.AssociateConfig())
    validate(ASSOCIATIONS, links, tmp_path)
    validate(PSEUDO_LABELS, labels, tmp_path)
    batches = list(
        weave.site_batches(footage, labels, weave.TrainConfig(round_steps=3), np.random.default_rng(0))
    )
    assert labels.pseudo_label.nunique() >= 2 or batches == []


def test_a_round_has_as_many_steps_as_asked_for_and_labels_mean_people():
    footage, x, person = crowd()
    _, labels = weave.associate(footage, lambda: x, 1, weave.AssociateConfig())
    settings = weave.TrainConfig(round_steps=23, batch_tracklets=4, batch_images=3)
    epochs = list(weave.site_batches(footage, labels, settings, np.random.default_rng(0)))
    batches: list[Batch] = [b for epoch in epochs for b in epoch]
    assert len(batches) == 23 and len(epochs) <= 10
    of = footage.tracklets.tracklet_id.map(person).to_numpy()
    for batch in batches:
        assert len(batch.crops) == 12
        crop_person = footage.crops.tracklet_id.map(person).to_numpy()[batch.crops]
        assert (crop_person == of[batch.tracklets]).all()
        assert all(len(set(crop_person[batch.labels == v])) == 1 for v in set(batch.labels))
