"""RACE's own pieces against general solvers and naive writings of its equations, and their limit cases."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from scipy.optimize import minimize

from camera_topology.site import without_file
from stages.association.pairing import euclidean_distances
from stages.association.simplex import project_simplex, simplex_least_squares
from stages.methods import Footage, race


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def on_simplex(objective, k):
    """The best of a general solver."""
    found = minimize(
        objective, np.full(k, 1 / k), bounds=[(0, 1)] * k, method="SLSQP", options={"maxiter": 500, "ftol": 1e-13},
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
    )  # fmt: skip
    return found.x


@given(st.integers(0, 10**6), st.integers(1, 9))
@examples(max_examples=20, deadline=None)
def test_projection_is_the_nearest_point_of_the_simplex(seed, k):
    rng = np.random.default_rng(seed)
    v = rng.normal(0, 2, (3, k))
    found = project_simplex(v)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-12)
    assert (found >= 0).all()
    for row, w in zip(v, found, strict=True):
        # Optimal exactly where no other point of the simplex lies on the far side: (v - w)'(e_i - w) <= 0 at each corner.
        assert ((row - w) @ (np.eye(k) - w).T <= 1e-9).all()
    np.testing.assert_allclose(project_simplex(found), found, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_the_batched_program_agrees_with_a_general_solver(seed):
    rng = np.random.default_rng(seed)
    a, x = unit(rng.normal(size=(4, 7, 12))), unit(rng.normal(size=(4, 12)))
    penalty = rng.uniform(0, 1.5, (4, 7))
    gram, linear = np.einsum("nid,njd->nij", a, a), np.einsum("nid,nd->ni", a, x)
    found = simplex_least_squares(gram, linear, penalty)
    for i in range(4):

        def objective(w, i=i):
            return ((x[i] - w @ a[i]) ** 2).sum() + ((penalty[i] * w) ** 2).sum()

        assert objective(found[i]) <= objective(on_simplex(objective, 7)) + 1e-8
    assert simplex_least_squares(gram[:0], linear[:0], penalty[:0]).shape == (0, 7)


@pytest.mark.parametrize("target", ["median", "mean", "minimum_norm"])
def test_the_hulls_point_is_the_constrained_least_squares_one(target):
    rng = np.random.default_rng(0)
    frames = unit(rng.normal(size=(6, 20)))
    x = {"median": np.median(frames, 0), "mean": frames.mean(0), "minimum_norm": np.zeros(20)}[target]

    def objective(alpha):
        return ((alpha @ frames - x) ** 2).sum() + 0.1 * (alpha**2).sum()

    alpha = minimize(
        objective, np.full(6, 1 / 6), method="SLSQP", options={"ftol": 1e-14, "maxiter": 500},
        constraints={"type": "eq", "fun": lambda a: a.sum() - 1},
    ).x  # fmt: skip
    np.testing.assert_allclose(race.affine_hull(frames, target, 0.1), alpha @ frames, atol=1e-5)


def weight_of_the_outlier(target, rng):
    person, other = unit(rng.normal(size=(2, 128)))
    frames = unit(np.concatenate([person + 0.05 * rng.normal(size=(11, 128)), other[None]]))
    # The weight is read off by how much of the outlier's own direction the point has.
    own = frames[11] - frames[:11].T @ np.linalg.lstsq(frames[:11].T, frames[11], rcond=None)[0]
    return race.affine_hull(frames, target, 0.1) @ own / (frames[11] @ own)


def test_an_outlier_weighs_least_with_the_median_and_most_with_the_smallest_norm():
    rng = np.random.default_rng(0)
    found = {
        t: np.mean([weight_of_the_outlier(t, rng) for _ in range(10)])
        for t in ("median", "mean", "minimum_norm")
    }
    assert found["mean"] == pytest.approx(1 / 12, abs=1e-9)
    assert found["median"] < 0.07 < 0.2 < found["minimum_norm"]


@pytest.mark.parametrize("seed", range(5))
def test_a_heavy_smoothing_term_leaves_the_nearest_anchor_and_as_printed_it_does_not(seed):
    rng = np.random.default_rng(seed)
    anchors, x = unit(rng.normal(size=(15, 16))), unit(rng.normal(size=(8, 16)))
    distance = euclidean_distances(x, anchors).astype(float)

    def first(which):
        chosen = race.AssociateConfig(smoothing_weight=1e6, smoothing=which)
        return race.embed(x, anchors, distance, chosen).argmax(1)

    assert (first("far") == distance.argmin(1)).all()
    assert (first("printed") != distance.argmin(1)).all()
    # The sentence below Eq. 4: larger weights to nearer anchors, in order.
    weight = race.embed(x, anchors, distance, race.AssociateConfig(smoothing_weight=1e6))
    for w, d in zip(weight, distance, strict=True):
        assert (np.diff(w[np.argsort(d)]) <= 1e-9).all()


def test_weights_are_of_the_nearest_anchors_only_and_rebuild_what_is_a_mixture():
    rng = np.random.default_rng(3)
    anchors = unit(rng.normal(size=(9, 40)))
    x = np.stack([0.6 * anchors[2] + 0.4 * anchors[5], anchors[7]])
    distance = euclidean_distances(x, anchors).astype(float)
    weight = race.embed(x, anchors, distance, race.AssociateConfig(k=4, smoothing_weight=0))
    np.testing.assert_allclose(weight[0, [2, 5]], [0.6, 0.4], atol=1e-6)
    np.testing.assert_allclose(weight[1, 7], 1, atol=1e-6)
    assert ((weight > 0).sum(1) <= 4).all()
    np.testing.assert_allclose(weight.sum(1), 1)


@pytest.mark.parametrize("seed", range(6))
def test_under_the_prior_distances_over_r_take_the_place_of_distances(seed):
    rng = np.random.default_rng(seed)
    anchors, x = unit(rng.normal(size=(6, 12))), unit(rng.normal(size=(5, 12)))
    r = rng.uniform(0.2, 1, (5, 6))
    distance = euclidean_distances(x, anchors).astype(float)
    joint, between = distance / r, euclidean_distances(anchors, anchors).astype(float)
    found = race.embed(x, anchors, distance, race.AssociateConfig(k=6), joint)
    for i in range(5):
        d = np.exp(joint[i] ** 2 / (joint[i] ** 2).mean())

        def objective(w, i=i, d=d):  # Eq. 3 in distances: |x - Σ w a|² = Σ w |x - a|² - Σ w v |a - b|² / 2
            return w @ joint[i] ** 2 - w @ between**2 @ w / 2 + 0.1 * ((d * w) ** 2).sum()

        assert objective(found[i]) <= objective(on_simplex(objective, 6)) + 1e-6
    plain = race.embed(x, anchors, distance, race.AssociateConfig(k=6))
    w = plain[0]
    fit = ((x[0] - w @ anchors) ** 2).sum() - w @ distance[0] ** 2 + w @ between**2 @ w / 2
    assert fit == pytest.approx(0, abs=1e-6)  # the two writings are one
    assert (race.embed(x, anchors, distance, race.AssociateConfig(k=6), distance) == plain).all()


@pytest.mark.parametrize("prediction", ["top_k_counts", "weight", "nearest", "agr"])
@pytest.mark.parametrize("seed", range(5))
def test_the_one_anchor_whose_time_fits_is_taken_and_an_impossible_one_never(prediction, seed):
    rng = np.random.default_rng(seed)
    anchors, x = unit(rng.normal(size=(6, 12))), unit(rng.normal(size=(9, 12)))
    settings = race.AssociateConfig(prediction=prediction, agr_weight=0)
    fits = rng.permutation(np.arange(9) % 6)
    only = np.where(np.arange(6) == fits[:, None], 1.0, 1e-4)
    assert race.estimate_labels(x, anchors, settings, only).tolist() == fits.tolist()
    r = np.where(rng.random((9, 6)) < 0.5, 0.0, 1.0)
    r[0] = 0
    found = race.estimate_labels(x, anchors, settings, r)
    assert found[0] == -1 and all(label < 0 or r[i, label] > 0 for i, label in enumerate(found))
    # Left out is as if it were not there.
    kept = np.arange(6) != 2
    without = race.estimate_labels(x, anchors[kept], settings)
    found = race.estimate_labels(x, anchors, settings, np.broadcast_to(kept.astype(float), (9, 6)))
    assert found.tolist() == [int(np.flatnonzero(kept)[v]) if v >= 0 else -1 for v in without]


def test_without_top_k_counts_the_largest_weight_decides():
    rng = np.random.default_rng(0)
    anchors, x = unit(rng.normal(size=(6, 12))), unit(rng.normal(size=(9, 12)))
    settings = race.AssociateConfig(prediction="weight", k=4)
    distance = np.linalg.norm(x[:, None] - anchors[None], axis=2)
    weight = race.embed(x, anchors, distance, settings)
    assert race.estimate_labels(x, anchors, settings).tolist() == [
        max(range(6), key=lambda j: w[j]) for w in weight
    ]


def naive_top_k(weight, distance, top_k):
    near = sorted(range(len(distance)), key=lambda j: (distance[j], j))[:top_k]
    heavy = sorted(range(len(weight)), key=lambda j: (-weight[j], j))[:top_k]
    both = [j for j in heavy if j in near and weight[j] > 0]
    return max(both, key=lambda j: (weight[j] / (near.index(j) + 1), -j)) if both else -1


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 6))
@examples(max_examples=60, deadline=None)
def test_top_k_counts_are_equation_6(seed, m, top_k):
    rng = np.random.default_rng(seed)
    weight, distance = rng.dirichlet(np.ones(m), 5), rng.integers(0, 4, (5, m)).astype(float)
    weight[rng.random((5, m)) < 0.3] = 0
    found = race.top_k_counts(weight, distance, top_k)
    assert found.tolist() == [naive_top_k(w, d, min(top_k, m)) for w, d in zip(weight, distance, strict=True)]


def test_the_graph_baseline_labels_everything_and_is_its_formula():
    rng = np.random.default_rng(1)
    z = rng.dirichlet(np.ones(4) * 0.3, 30)
    adjacency = z @ np.diag(1 / z.sum(0)) @ z.T  # of all tracklets; its rows sum to one
    np.testing.assert_allclose(adjacency.sum(1), 1)
    laplacian = z.T @ (np.eye(30) - adjacency) @ z
    soft = np.linalg.inv(np.eye(4) + 0.5 * laplacian)
    scores = z @ soft
    wanted = (scores / scores.sum(0)).argmax(1)
    assert race.anchor_graph_labels(z, 0.5).tolist() == wanted.tolist()
    assert race.anchor_graph_labels(np.eye(4), 0.0).tolist() == [0, 1, 2, 3]


def footage(rows, site=None):
    tracklets = pd.DataFrame(rows, columns=["tracklet_id", "camera_id", "t_start_us", "t_end_us"])
    crops = pd.DataFrame({"tracklet_id": np.repeat(tracklets.tracklet_id.to_numpy(), 3)})
    return Footage(tracklets, crops, site or without_file([]), {})


@given(st.integers(0, 10**6))
@examples(max_examples=25, deadline=None)
def test_anchors_are_certainly_different_as_far_as_that_goes(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 25))
    start = rng.integers(0, 60, n) * 1_000_000
    world = footage(
        [
            (f"t{i:02}", f"c{rng.integers(3)}", s, s + int(rng.integers(1, 30)) * 1_000_000)
            for i, s in enumerate(start)
        ]
    )
    t = world.tracklets
    anchors = race.choose_anchors(world, None, np.random.default_rng(0))
    assert len(anchors) == t.camera_id.value_counts().max() and (np.diff(anchors) > 0).all()
    assert race.choose_anchors(world, None, np.random.default_rng(0)).tolist() == anchors.tolist()

    def certain(i, j):
        together = min(t.t_end_us[i], t.t_end_us[j]) >= max(t.t_start_us[i], t.t_start_us[j])
        return t.camera_id[i] == t.camera_id[j] and together

    few = race.choose_anchors(world, 2, np.random.default_rng(0))
    if any(certain(i, j) for i in range(n) for j in range(i)):
        assert certain(*few)
    assert len(race.choose_anchors(footage([]), None, np.random.default_rng(0))) == 0


def test_a_round_labels_anchors_and_what_they_explain():
    rows = [(f"t{i}", f"c{i % 2}", i // 2 * 100, i // 2 * 100 + 90) for i in range(8)]
    world = footage(rows)
    rng = np.random.default_rng(5)
    people = unit(rng.normal(size=(4, 32)))
    x = np.repeat(unit(people[np.arange(8) // 2] + 0.02 * rng.normal(size=(8, 32))), 3, axis=0)
    settings = race.AssociateConfig(anchors=4)
    _, first = race.associate(world, lambda: x, 0, settings)
    assert len(first) == 4 and sorted(first.pseudo_label) == [0, 1, 2, 3]
    links, labels = race.associate(world, lambda: x, 1, settings)
    person = {f"t{i}": i // 2 for i in range(8)}
    anchored = {person[t] for t in first.tracklet_id}
    again = labels[labels.tracklet_id.isin(first.tracklet_id)]
    pd.testing.assert_frame_equal(again.reset_index(drop=True), first.reset_index(drop=True))
    for a, b, kept in zip(links.tracklet_a, links.tracklet_b, links.kept, strict=True):
        assert not kept or person[a] == person[b] or not {person[a], person[b]} <= anchored
    assert (links.tracklet_a < links.tracklet_b).all()
    for which in ("weight", "nearest", "agr"):
        forced, _ = race.associate(world, lambda: x, 1, race.AssociateConfig(anchors=4, prediction=which))
        assert forced.kept.all() and len(forced) == 4
