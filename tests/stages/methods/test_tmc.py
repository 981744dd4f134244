"""TMC's own pieces: the four losses by hand, clusters, clips, and the mean network."""

import numpy as np
import pandas as pd
import pytest
import torch

from camera_topology.site import without_file
from stages.methods import Footage, tmc
from stages.methods.tmc import AssociateConfig, TrainConfig
from stages.training.loop import MeanNetwork, forward_in_groups
from stages.training.samplers import clip_batches


def soft_triplet_by_hand(f, f_mean, labels):
    total = []
    for a in range(len(f)):
        d = [float((f[a] - f[j]).norm()) for j in range(len(f))]
        positives = [j for j in range(len(f)) if labels[j] == labels[a] and j != a]
        negatives = [j for j in range(len(f)) if labels[j] != labels[a]]
        if not positives or not negatives:
            continue
        p, n = max(positives, key=lambda j: d[j]), min(negatives, key=lambda j: d[j])
        past = [float((f_mean[a] - f_mean[j]).norm()) for j in (p, n)]
        soft = np.exp(past) / np.exp(past).sum()
        own = np.log(np.exp([d[p], d[n]]) / np.exp([d[p], d[n]]).sum())
        total.append(-(soft * own).sum())
    return np.mean(total)


@pytest.mark.parametrize("seed", range(4))
def test_soft_triplets_by_hand(seed):
    g = torch.Generator().manual_seed(seed)
    f, f_mean = torch.randn(9, 5, generator=g), torch.randn(9, 5, generator=g)
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 3])
    found = tmc.soft_triplet(f.requires_grad_(), f_mean, labels)
    assert found.item() == pytest.approx(soft_triplet_by_hand(f.detach(), f_mean, labels.tolist()), rel=1e-5)
    found.backward()
    assert f.grad.abs().sum() > 0
    assert tmc.soft_triplet(f, f_mean, torch.arange(9)).item() == 0  # nobody has a positive


def test_the_loss_is_equation_6():
    g = torch.Generator().manual_seed(0)
    f, f_mean = torch.randn(6, 4, generator=g), torch.randn(6, 4, generator=g)
    scores, past = torch.randn(6, 3, generator=g), torch.randn(6, 3, generator=g)
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    p, q = scores.softmax(1).numpy(), past.softmax(1).numpy()
    l_id = -np.log(p[np.arange(6), labels]).mean()
    l_sid = -(q * np.log(p)).sum(1).mean()
    d = torch.cdist(f, f).numpy()
    same = labels.numpy()[:, None] == labels.numpy()
    hinge = [max(0, d[i][same[i] & (np.arange(6) != i)].max() + 0.5 - d[i][~same[i]].min()) for i in range(6)]
    wanted = (
        0.5 * l_id
        + 0.5 * l_sid
        + 0.2 * np.mean(hinge)
        + 0.8 * soft_triplet_by_hand(f, f_mean, labels.tolist())
    )
    found, active = tmc.tmc_loss(f, scores, f_mean, past, labels, TrainConfig())
    assert found.item() == pytest.approx(wanted, rel=1e-5)
    assert active.item() == pytest.approx(np.mean(np.array(hinge) > 0))


def footage(n_people=6, cameras=4, frames=5):
    rows = [
        (f"t{c}{p}", f"c{c}", p * 10**7, p * 10**7 + 10**6) for c in range(cameras) for p in range(n_people)
    ]
    tracklets = pd.DataFrame(rows, columns=["tracklet_id", "camera_id", "t_start_us", "t_end_us"])
    crops = pd.DataFrame({"tracklet_id": np.repeat(tracklets.tracklet_id.to_numpy(), frames)})
    crops["t_utc_us"] = np.tile(np.arange(frames), len(tracklets))
    return Footage(tracklets, crops, without_file([]), {}), np.tile(np.arange(n_people), cameras)


def test_clear_people_are_clusters_and_strangers_are_noise():
    world, who = footage(cameras=5)
    rng = np.random.default_rng(0)
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    f = unit(rng.normal(size=(6, 32)))[who]
    f[who == 5] = unit(rng.normal(size=(5, 32)))  # five who are nobody twice
    features = np.repeat(unit(f + 0.03 * rng.normal(size=f.shape)), 5, axis=0).astype(np.float32)
    links, labels = tmc.associate(world, lambda: features, 0, AssociateConfig(k1=4, k2=2, eps=0.4))
    found = labels.merge(world.tracklets.assign(who=who), on="tracklet_id")
    assert set(found.who) == {0, 1, 2, 3, 4} and len(found) == 25
    assert (found.groupby("pseudo_label").who.nunique() == 1).all() and found.pseudo_label.nunique() == 5
    assert len(links) == 5 * 10 and links.kept.all() and (links.distance < 0.5).all()
    alone = Footage(world.tracklets.iloc[:1], world.crops.iloc[:5], world.site, {})
    assert tmc.associate(alone, lambda: features[:5], 0, AssociateConfig())[1].empty


def test_a_tracklets_feature_is_the_mean_of_consecutive_frames():
    rng = np.random.default_rng(1)
    features, row = rng.normal(size=(12, 3)), np.repeat([0, 1, 3], [7, 3, 2])
    found = tmc.clip_means(features, row, 4, 4, np.random.default_rng(0))
    unit = lambda x: x / np.linalg.norm(x)  # noqa: E731
    assert any(np.allclose(found[0], unit(features[s : s + 4].mean(0)), atol=1e-6) for s in range(4))
    np.testing.assert_allclose(found[1], unit(features[7:10].mean(0)), atol=1e-6)  # shorter than a clip
    assert (found[2] == 0).all()


def test_batches_are_clips_of_consecutive_frames_from_different_cameras():
    world, who = footage(frames=5)
    rows = np.repeat(np.arange(24), 5)
    label = np.where(who < 5, who, -1)
    camera = world.tracklets.camera_id.to_numpy(str)
    batches = list(clip_batches(rows, world.crops.t_utc_us.to_numpy(), label, camera, people=3, clips=4, frames=3, steps=7,
                                rng=np.random.default_rng(0)))  # fmt: skip
    assert len(batches) == 7
    for batch in batches:
        crops = batch.crops.reshape(3, 4, 3)
        assert (np.diff(crops, axis=2) == 1).all() and (rows[crops] == rows[crops[:, :, :1]]).all()
        assert (label[rows[crops]].reshape(3, -1) == batch.labels.reshape(3, -1)[:, :1]).all()
        assert all(len(set(camera[rows[person[:, 0]]])) == 4 for person in crops)
        assert len(set(batch.labels)) == 3 and -1 not in batch.labels
    short = clip_batches(np.arange(24), np.zeros(24), label, camera, people=3, clips=2, frames=3, steps=1,
                         rng=np.random.default_rng(0))  # fmt: skip
    crops = next(short).crops.reshape(-1, 3)
    assert (crops == crops[:, :1]).all()  # one frame, three times
    nobody = clip_batches(rows, np.zeros(120), np.full(24, -1), camera, people=3, clips=2, frames=3, steps=1,
                          rng=np.random.default_rng(0))  # fmt: skip
    assert not list(nobody)


class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4), torch.nn.BatchNorm1d(4))

    def forward(self, x):
        pooled = self.body(x)
        return pooled, pooled


def test_the_mean_network_averages_parameters_and_keeps_its_own_statistics():
    torch.manual_seed(0)
    network, head = Tiny(), torch.nn.Linear(4, 3)
    mean = MeanNetwork(network, head, 0.999)
    images = torch.randn(8, 3, 2, 2)
    before = mean.network.body[1].weight.clone()
    past = []
    for step in range(3):
        with torch.no_grad():
            for weight in network.parameters():
                weight += 1
        past.append(network.body[1].weight.clone())
        mean.see(images, None)
        mean.update(network, head)
        # alpha = min(1 - 1 / (t + 1), 0.999): the plain mean of all steps so far, the start counting as none.
        torch.testing.assert_close(mean.network.body[1].weight, sum(past) / (step + 1))
    assert not torch.equal(before, mean.network.body[1].weight)
    assert not torch.equal(mean.network.body[2].running_mean, network.body[2].running_mean)
    assert mean.features.shape == (8, 4) and mean.scores.shape == (8, 3) and not mean.features.requires_grad
    mean.into(network)
    torch.testing.assert_close(network.body[1].weight, mean.network.body[1].weight)


def test_a_mean_network_that_goes_on_is_moved_by_a_thousandth():
    network, head = Tiny(), torch.nn.Linear(4, 3)
    mean = MeanNetwork(network, head, 0.999, steps=400)
    before = network.body[1].weight.clone()
    with torch.no_grad():
        network.body[1].weight += 1
    mean.update(network, head)
    alpha = 1 - 1 / 401  # still below 0.999
    torch.testing.assert_close(mean.network.body[1].weight, before + (1 - alpha))
    assert int(mean.memory()["mean.steps"]) == 401


def test_batch_norm_sees_groups():
    torch.manual_seed(0)
    network, images = Tiny().train(), torch.randn(8, 3, 2, 2)
    grouped = forward_in_groups(network, images, 4)
    even, odd = network(images[::2])[0], network(images[1::2])[0]  # so that both hold everybody
    torch.testing.assert_close(grouped[::2], even)
    torch.testing.assert_close(grouped[1::2], odd)
    assert not torch.allclose(grouped, forward_in_groups(network, images, None))


def test_neighbourhoods_follow_the_tracklets_a_person_has():
    def sizes(tracklets, estimate, **settings):
        made = Footage(
            pd.DataFrame({"tracklet_id": range(tracklets)}),
            pd.DataFrame(),
            without_file([]),
            {},
            lambda: estimate,
        )
        return tmc.sizes(made, AssociateConfig(**settings))

    assert sizes(8298, 8298 // 13) == pytest.approx((30, 6, 4, 13), rel=1e-3)  # MARS
    assert sizes(300, 100) == (7, 1, 2, 3)
    assert sizes(300, 3) == (30, 6, 4, 100)  # never wider than the paper's
    assert sizes(300, 0) == (30, 6, 4, 13)  # nobody knows how many
    assert sizes(300, 3, people=100) == sizes(300, 100)
    assert sizes(300, 100, k1=20, k2=3, min_samples=5, pairs_per_tracklet=2) == (20, 3, 5, 2)
