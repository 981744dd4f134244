"""Reliable and soft labels, and PUL: each equation a second time, its limits, and the guards."""

import numpy as np
import pandas as pd
import pytest

from camera_topology.site import without_file
from stages.methods import Footage, pul, reliable_soft
from stages.methods.reliable_soft import AssociateConfig


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def people(n=5, cameras=3, noise=0.05, seed=0, dim=24):
    """(T, D) one tracklet of each person in each camera; camera and person of each."""
    rng = np.random.default_rng(seed)
    who = np.tile(np.arange(n), cameras)
    camera = np.repeat([f"c{k}" for k in range(cameras)], n)
    return unit(unit(rng.normal(size=(n, dim)))[who] + noise * rng.normal(size=(len(who), dim))), camera, who


def footage(camera, count=0):
    n = len(camera)
    tracklets = pd.DataFrame(
        {
            "tracklet_id": [f"t{i:03}" for i in range(n)],
            "camera_id": camera,
            "t_start_us": np.arange(n) * 10**7,
        }
    ).assign(t_end_us=lambda t: t.t_start_us + 10**6)
    return Footage(
        tracklets, pd.DataFrame({"tracklet_id": tracklets.tracklet_id}), without_file([]), {}, lambda: count
    )


def test_clear_people_become_their_own_labels_across_cameras():
    f, camera, who = people()
    hard, c = reliable_soft.reliable_labels(f, camera, {}, 5, AssociateConfig(reliable_fraction=1))
    assert (hard >= 0).all() and len(set(zip(hard, who, strict=True))) == 5
    np.testing.assert_allclose(np.linalg.norm(c, axis=1), 1)
    # Eq. 6: a centre is the mean of its members.
    for j in range(5):
        np.testing.assert_allclose(c[j], unit(f[hard == j].mean(0)), atol=1e-9)


def test_reliable_is_who_lies_near_a_centre_of_the_own_camera():
    f, camera, _ = people(noise=0.3)
    settings = AssociateConfig(min_cosine=0.8)
    hard, _ = reliable_soft.reliable_labels(f, camera, {}, 5, settings)
    for k in np.unique(camera):
        here = np.flatnonzero(camera == k)
        labels, centres = reliable_soft.clusters(f[here], 3, settings)  # half of the five tracklets
        wanted = [float(f[i] @ centres[label]) > 0.8 for i, label in zip(here, labels, strict=True)]
        assert ((hard[here] >= 0) == wanted).all()
    share = AssociateConfig(reliable_fraction=0.4)
    hard, _ = reliable_soft.reliable_labels(f, camera, {}, 3, share)
    assert (hard >= 0).sum() == round(0.4 * len(f))
    # A camera in which so many were seen at once has at least so many clusters: here each its own, and all reliable.
    hard, _ = reliable_soft.reliable_labels(f, camera, {"c0": 5, "c1": 5, "c2": 5}, 2, settings)
    assert (hard >= 0).all()


def test_soft_labels_are_the_softmax_of_equation_8_and_sharpen_with_t():
    rng = np.random.default_rng(1)
    f, c = unit(rng.normal(size=(4, 6))), unit(rng.normal(size=(3, 6)))
    found = reliable_soft.soft_labels(f, c, 0.02)
    for i in range(4):
        e = [np.exp(float(f[i] @ c[j]) / 0.02) for j in range(3)]
        np.testing.assert_allclose(found[i], np.array(e) / sum(e), rtol=1e-9)
    assert (reliable_soft.soft_labels(f, c, 1e-4).max(1) > 0.999).all()
    np.testing.assert_allclose(reliable_soft.soft_labels(f, c, 1e6), 1 / 3, atol=1e-4)


def test_under_the_prior_soft_labels_are_those_of_distances_over_r():
    rng = np.random.default_rng(2)
    f, c = unit(rng.normal(size=(5, 6))), unit(rng.normal(size=(3, 6)))
    r = rng.uniform(0.3, 1, (5, 3))
    r[1, 2], r[4] = 0, 0
    found = reliable_soft.soft_labels(f, c, 0.1, r)
    for i in range(4):
        far = [np.linalg.norm(f[i] - c[j]) / r[i, j] if r[i, j] else np.inf for j in range(3)]
        e = np.exp((1 - np.square(far) / 2) / 0.1)  # the cosine of unit vectors that far apart
        np.testing.assert_allclose(found[i], e / e.sum(), rtol=1e-8)
    assert found[1, 2] == 0 and (found[4] == 0).all()
    assert (
        reliable_soft.soft_labels(f, c, 0.1, np.ones((5, 3))) == reliable_soft.soft_labels(f, c, 0.1)
    ).all()
    only = np.where(np.arange(3) == 1, 1.0, 1e-4) + np.zeros((5, 1))
    assert (reliable_soft.soft_labels(f, c, 0.02, only).argmax(1) == 1).all()
    assert reliable_soft.soft_labels(f[:0], c, 0.02, only[:0]).shape == (0, 3)


def test_who_is_in_no_cluster_is_not_reliable():
    f, camera, _ = people(n=2, cameras=2)
    r = np.where(np.eye(4) > 0, 1.0, 0.0)  # four who are certainly four people, and two clusters
    for settings in (AssociateConfig(reliable_fraction=1), pul.AssociateConfig(reliable_fraction=1)):
        hard, _ = reliable_soft.reliable_labels(f, camera, {}, 2, settings, r)
        assert sorted(hard) == [-1, -1, 0, 1]


def at(degrees):
    """(N, 3) unit vectors in one plane."""
    turned = np.radians(degrees)
    return np.stack([np.cos(turned), np.sin(turned), np.zeros(len(turned))], axis=1)


@pytest.mark.parametrize("cluster_seed", [0, 5])  # the two number the clusters differently
@pytest.mark.parametrize("by_camera", [False, True])
def test_who_is_in_no_cluster_takes_nobodys_place_among_the_reliable(cluster_seed, by_camera):
    f = at(
        [-30, 30, 118, 122, 128]
    )  # two clusters, one of them loose; the last tracklet is none of the other four
    r = np.ones((5, 5))
    r[4, :4] = r[:4, 4] = 0
    settings = AssociateConfig(by_camera=by_camera, reliable_fraction=0.8, cluster_seed=cluster_seed)
    hard, _ = reliable_soft.reliable_labels(f, np.array(["a"] * 5), {}, 2, settings, r)
    assert hard[4] == -1 and hard[0] == hard[1] != hard[2] == hard[3] and (hard[:4] >= 0).all()


def test_two_seen_at_once_are_not_reliable_by_looking_alike():
    f = at([0, 0, 85, 95])
    r = np.ones((4, 4))
    r[0, 1] = r[1, 0] = 0
    camera, settings = np.array(["a"] * 4), AssociateConfig(reliable_fraction=0.75)
    hard, _ = reliable_soft.reliable_labels(f, camera, {"a": 2}, 2, settings, r)
    assert (hard[2:] >= 0).all() and sorted(hard[:2])[0] == -1
    hard, _ = reliable_soft.reliable_labels(f, camera, {"a": 2}, 2, settings)
    assert hard[0] == hard[1] >= 0  # as the paper has it


def test_a_round_gives_hard_and_soft_labels_that_sum_to_one():
    f, camera, who = people(noise=0.12)
    links, labels = reliable_soft.associate(
        footage(camera, 5), lambda: f.astype(np.float32), 0, AssociateConfig()
    )
    sums = labels.groupby("tracklet_id").weight.sum()
    assert len(sums) == 15 and np.allclose(sums, 1, atol=1e-3)
    assert (labels.groupby("tracklet_id").size() == 1).sum() >= 9  # the reliable 60 %
    wanted, soft = reliable_soft.label_matrix(footage(camera).tracklets, labels)
    np.testing.assert_allclose(wanted.sum(1), 1)
    assert (soft == (np.count_nonzero(wanted, axis=1) > 1)).all()
    person = dict(zip(footage(camera).tracklets.tracklet_id, who, strict=True))
    right = [person[a] == person[b] for a, b in zip(links.tracklet_a, links.tracklet_b, strict=True)]
    assert np.mean(right) > 0.8 and (links.tracklet_a < links.tracklet_b).all()


def test_pul_is_one_clustering_of_all_with_medoids_and_no_soft_labels():
    f, camera, _ = people(noise=0.3)
    settings = pul.AssociateConfig(min_cosine=0.7)
    assert (settings.by_camera, settings.soft, settings.centres) == (False, False, "medoid")
    _, labels = pul.associate(footage(camera, 5), lambda: f.astype(np.float32), 0, settings)
    assert labels.weight.eq(1).all() and not labels.tracklet_id.duplicated().any() and len(labels) < 15
    found, centres = reliable_soft.clusters(f, 5, settings)
    for j in range(5):
        assert any(
            np.allclose(centres[j], m) for m in f[found == j]
        )  # a member, and the one nearest to the mean
        mean = f[found == j].mean(0)
        assert np.linalg.norm(f[found == j] - mean, axis=1).min() == pytest.approx(
            np.linalg.norm(centres[j] - mean)
        )


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_people_are_nothing_to_learn(count):
    f, camera, _ = people()
    links, labels = reliable_soft.associate(
        footage(camera, count), lambda: f.astype(np.float32), 0, AssociateConfig()
    )
    assert links.empty and labels.empty
    one = footage(["c0"], 7)
    assert reliable_soft.associate(one, lambda: f[:1].astype(np.float32), 0, AssociateConfig())[1].empty


def test_more_people_than_reliable_tracklets_are_as_many_as_there_are():
    f, camera, _ = people()
    settings = AssociateConfig(people=15, reliable_fraction=0.2)
    _, labels = reliable_soft.associate(footage(camera), lambda: f.astype(np.float32), 0, settings)
    assert labels.pseudo_label.nunique() <= 3


def test_seen_at_once_counts_who_stands_there_at_one_instant():
    world = footage(["a"] * 4 + ["b"])
    world.tracklets["t_start_us"] = [0, 5, 8, 30, 0]
    world.tracklets["t_end_us"] = [10, 7, 20, 40, 99]
    assert reliable_soft.seen_at_once(world) == {"a": 2, "b": 1}
