"""DAL's own pieces against a second, naive writing of its equations, and its limit cases."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from camera_topology.site import Site, without_file
from camera_topology.site_schema import SiteFile
from pipeline.errors import UserError
from stages.methods import Footage, dal
from stages.training.samplers import Batch

unit = torch.nn.functional.normalize


def world(seed=0, tracklets=9, cameras=3, frames=7, dim=6):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(tracklets, dim, generator=generator)
    camera = torch.arange(tracklets) % cameras
    own = torch.randint(0, tracklets, (frames,), generator=generator)
    f = unit(torch.randn(frames, dim, generator=generator))
    return f, own, x, camera


def naive_losses(f, own, x, a, camera, m):
    """Eq. 2, 3 and 6, frame by frame."""
    rank1, which = [], []
    for p in range(len(f)):
        found = {
            i: float((f[p] - unit(x[i], dim=0)).norm()) for i in range(len(x)) if camera[i] == camera[own[p]]
        }
        t = min(found, key=found.get)
        rank1.append(found[t])
        which.append(t)
    intra, cross = [], []
    for p in range(len(f)):
        same = [rank1[j] for j in range(len(f)) if camera[own[j]] == camera[own[p]]]
        negative = rank1[p] if which[p] != own[p] else sum(same) / len(same)
        d_pp = float((f[p] - unit(x[own[p]], dim=0)).norm())
        da_pp = float((f[p] - unit(a[own[p]], dim=0)).norm())
        intra.append(max(0.0, d_pp - negative + m))
        cross.append(max(0.0, da_pp - negative + m))
    return np.mean(intra), np.mean(cross), np.mean(np.array(intra) > 0)


@pytest.mark.parametrize("seed", range(5))
def test_both_losses_are_equations_3_and_6(seed):
    f, own, x, camera = world(seed)
    a = torch.randn_like(x)
    found = dal.association_losses(f, own, x, a, camera, 0.2)
    np.testing.assert_allclose([float(v) for v in found], naive_losses(f, own, x, a, camera, 0.2), atol=1e-5)


def test_gradient_flows_through_both_terms_and_not_into_the_anchors():
    f, own, x, camera = world(1)
    f.requires_grad_()
    x.requires_grad_(False)
    intra, cross, _ = dal.association_losses(f, own, x, unit(x), camera, 2.0)
    np.testing.assert_allclose(
        intra.item(), cross.item(), atol=1e-6
    )  # before any association the two are one
    intra.backward()
    assert (f.grad.norm(dim=1) > 0).all()


def test_an_anchor_moves_once_however_many_frames_it_has_in_the_batch():
    f, _, x, _ = world(2)
    own = torch.tensor([3, 3, 3, 5, 5, 0, 0])
    moved = x.clone()
    dal.update_intra_anchors(moved, f, own, 0.5)
    for i in range(len(x)):
        frames = f[own == i]
        wanted = x[i] - 0.5 * (unit(x[i], dim=0) - unit(frames.mean(0), dim=0)) if len(frames) else x[i]
        torch.testing.assert_close(moved[i], wanted)
    same = x.clone()
    dal.update_intra_anchors(same, unit(x[[4, 4]]), torch.tensor([4, 4]), 0.5)
    torch.testing.assert_close(same, x)  # a frame that is its anchor moves nothing


def naive_cycle(p, x, camera, among):
    """Eq. 4: there among the cameras ``among``, and back."""
    d = lambda i, j: float((unit(x[i], dim=0) - unit(x[j], dim=0)).norm())  # noqa: E731
    there = min(
        (i for i in range(len(x)) if int(camera[i]) in among and camera[i] != camera[p]),
        key=lambda i: d(p, i),
    )
    back = min((i for i in range(len(x)) if camera[i] == camera[p]), key=lambda i: d(there, i))
    return there, back == p, d(p, there)


@pytest.mark.parametrize("seed", range(4))
def test_cyclic_ranking_is_equation_4_pooled_and_camera_by_camera(seed):
    _, _, x, camera = world(seed, tracklets=12)
    rows = torch.tensor([0, 5, 7, 11])
    nearest, consistent = dal.cyclic_ranking(rows, x, camera)
    for k, p in enumerate(rows.tolist()):
        assert naive_cycle(p, x, camera, {0, 1, 2})[:2] == (int(nearest[k]), bool(consistent[k]))
    nearest, consistent = dal.cyclic_ranking(rows, x, camera, "camera_pair")
    for k, p in enumerate(rows.tolist()):
        tried = [naive_cycle(p, x, camera, {c}) for c in range(3) if c != camera[p]]
        home = [t for t in tried if t[1]]
        there, closes, _ = min(home or tried, key=lambda t: t[2])
        assert (there, closes) == (int(nearest[k]), bool(consistent[k]))


@pytest.mark.parametrize("cycle", ["pooled", "camera_pair"])
@pytest.mark.parametrize("seed", range(4))
def test_under_the_prior_ranked_is_by_distance_over_r_there_and_back(cycle, seed):
    _, _, x, camera = world(seed, tracklets=12)
    generator = torch.Generator().manual_seed(seed)
    r = torch.rand(12, 12, generator=generator).clamp(min=0.05) * (
        torch.rand(12, 12, generator=generator) > 0.3
    )
    r = torch.minimum(r, r.T).fill_diagonal_(1)
    r[0, camera != camera[0]] = r[camera != camera[0], 0] = 0  # who can be nobody elsewhere
    nearest, consistent = dal.cyclic_ranking(torch.arange(12), x, camera, cycle, r)

    def d(i, j):
        return float((unit(x[i], dim=0) - unit(x[j], dim=0)).norm()) / float(r[i, j]) if r[i, j] else np.inf

    for p in range(12):
        tried = []
        for among in [{0, 1, 2}] if cycle == "pooled" else [{c} for c in range(3) if c != camera[p]]:
            others = [i for i in range(12) if int(camera[i]) in among and camera[i] != camera[p]]
            there = min(others, key=lambda i, p=p: d(p, i))
            if np.isfinite(d(p, there)):
                back = min((i for i in range(12) if camera[i] == camera[p]), key=lambda i, t=there: d(t, i))
                tried.append((there, back == p, d(p, there)))
        home = [t for t in tried if t[1]]
        there, closes, _ = min(home or tried, key=lambda t: t[2]) if tried else (-1, False, 0)
        assert (there, closes) == (int(nearest[p]), bool(consistent[p]))
    assert nearest[0] == -1 and not consistent[0]
    one = dal.cyclic_ranking(torch.arange(12), x, camera, cycle, torch.ones(12, 12))
    assert all(map(torch.equal, one, dal.cyclic_ranking(torch.arange(12), x, camera, cycle)))
    # Where but one of the others fits by its time, it is the nearest.
    only = torch.full((12, 12), 1e-4).fill_diagonal_(1)
    only[0, 7] = only[7, 0] = 1
    assert dal.cyclic_ranking(torch.tensor([0]), x, camera, cycle, only)[0].tolist() == [7]


def test_cross_camera_anchors_merge_mutual_neighbours_only_once_associated():
    _, _, x, camera = world(3, tracklets=8, cameras=2)
    rows, a = torch.arange(8), torch.zeros_like(x)
    dal.update_cross_anchors(a, x, rows, camera, associated=False)
    torch.testing.assert_close(a, unit(x))
    dal.update_cross_anchors(a, x, rows, camera, associated=True)
    nearest, consistent = dal.cyclic_ranking(rows, x, camera)
    assert consistent.any() and not consistent.all()
    for p in range(8):
        merged = (unit(x[p], dim=0) + unit(x[nearest[p]], dim=0)) / 2
        torch.testing.assert_close(a[p], merged if consistent[p] else unit(x[p], dim=0))
    dal.update_cross_anchors(a, x, rows, torch.zeros(8, dtype=torch.long), associated=True)
    torch.testing.assert_close(a, unit(x))  # one camera: there is nothing to associate


def test_the_cycle_that_is_asked_for_moves_the_anchors():
    _, _, x, camera = world(3, tracklets=30, cameras=3)
    rows, moved = torch.arange(30), {}
    for cycle in ("pooled", "camera_pair"):
        moved[cycle] = torch.zeros_like(x)
        dal.update_cross_anchors(moved[cycle], x, rows, camera, cycle, associated=True)
        _, consistent = dal.cyclic_ranking(rows, x, camera, cycle)
        merged = [not torch.allclose(m, own) for m, own in zip(moved[cycle], unit(x), strict=True)]
        assert merged == consistent.tolist()
    assert not torch.equal(moved["pooled"], moved["camera_pair"])


def footage(counts, cameras):
    ids = [f"t{i}" for i in range(len(counts))]
    tracklets = pd.DataFrame(
        {"tracklet_id": ids, "camera_id": cameras, "t_start_us": np.arange(len(ids)) * 10_000_000}
    ).assign(t_end_us=lambda t: t.t_start_us + 4_000_000)
    crops = pd.DataFrame({"tracklet_id": np.repeat(ids, counts)})
    return Footage(tracklets, crops, without_file([]), {})


def test_association_keeps_what_leads_home_and_labels_stay_inside_the_camera():
    world = footage([2] * 6, ["a", "b"] * 3)
    rng = np.random.default_rng(1)
    x = unit(torch.from_numpy(rng.normal(size=(6, 8)))).numpy()
    features = np.repeat(x, 2, axis=0).astype(np.float32)
    links, labels = dal.associate(world, lambda: features, 1, dal.AssociateConfig())
    assert (links.tracklet_a < links.tracklet_b).all() and not links.duplicated(
        ["tracklet_a", "tracklet_b"]
    ).any()
    camera = pd.factorize(world.tracklets.camera_id)[0]
    wanted = set()
    for p in range(6):
        there, closes, _ = naive_cycle(p, torch.from_numpy(x), camera, {0, 1})
        if closes:
            wanted.add((f"t{min(p, there)}", f"t{max(p, there)}"))
    kept = links[links.kept]
    assert set(zip(kept.tracklet_a, kept.tracklet_b, strict=True)) == wanted
    assert labels.group.tolist() == world.tracklets.camera_id.tolist()
    assert dal.associate(world, lambda: features, 0, dal.AssociateConfig())[0].empty
    alone = footage([2] * 3, ["a"] * 3)
    assert dal.associate(alone, lambda: features, 1, dal.AssociateConfig())[0].empty


@pytest.mark.parametrize(("way", "partner"), [("off", 2), ("joint", 1)])
def test_a_batch_associates_by_the_way_of_its_setting(monkeypatch, way, partner):
    """Of two in camera b the first fits the walking time, the second looks nearer."""
    site = Site(
        SiteFile.model_validate(
            {
                "version": 1,
                "cameras": [{"id": "a"}, {"id": "b"}],
                "links": [{"from": "a", "to": "b", "distance_m": 25}],
            }
        )
    )
    made = footage([1] * 3, ["a", "b", "b"])
    made.tracklets["t_start_us"] = [0, 20_000_000, 300_000_000]
    made.tracklets["t_end_us"] = made.tracklets.t_start_us + 1_000_000
    made = replace(made, site=site)
    x = unit(torch.tensor([[1.0, 0.2, 0.0], [1.0, -0.3, 0.0], [1.0, 0.1, 0.0]]))
    monkeypatch.setattr(dal, "tracklet_means", lambda *_: x.clone())
    monkeypatch.setattr("stages.training.samplers.frame_batches", lambda *_, **__: [])
    memory = {}

    def fit(network, images, epochs, loss, **more):
        memory.update(more["memory"])
        loss(x[:1], Batch(np.array([0]), np.array([0]), np.array([0])))
        yield {}

    monkeypatch.setattr("stages.training.loop.fit", fit)
    list(dal.train(None, None, made, None, 1, dal.TrainConfig(prior=way), seed=0, device="cpu"))
    torch.testing.assert_close(memory["cross-camera anchors"][0], (x[0] + x[partner]) / 2)


def test_training_without_a_site_file_knows_no_times_and_says_so():
    made = footage([1] * 3, ["a", "b", "b"])
    with pytest.raises(UserError, match=r"train\.prior=joint: .* no site file"):
        list(dal.train(None, None, made, None, 1, dal.TrainConfig(prior="joint"), seed=0, device="cpu"))
