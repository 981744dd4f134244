"""RACE: Robust AnChor Embedding for unsupervised video person re-identification in the wild.

Ye, Lan, Yuen, ECCV 2018. Sections and equations below are that paper's.

Some tracklets that are certainly different people are the anchors; a classifier learns to tell them apart (3.2).
Every other tracklet, as one robust vector, is rebuilt from its nearest anchors by weights that sum to one (3.3). Where
the anchor of the largest weight is also the nearest, the tracklet gets that anchor's label, else none: most people on
a site are no anchor, and a forced label would be wrong. The classifier learns again with the new ones (3.4).

Deviations from the paper (the paper's own value in brackets):
  - Anchors are grown so that any two are certainly different people, by time and place, as far as that goes; the rest is
    drawn at random [one random sequence per true person, which nobody has; its Fig. 5b shows that chance costs little].
  - The smoothing term has d = exp(+dist² / sigma) [Eq. 4: exp(-dist² / sigma), which punishes the near anchors, against
    the sentence below it; smoothing="printed"].
  - sigma of Eq. 4 is the mean of the squared distances to the k anchors [the average distance, unsquared].
  - The hull of Eq. 2 is a set; taken is its point nearest to the coordinate-wise median of the unit frames
    [unsaid; hull_target="mean" gives mean pooling, "minimum_norm" lets a single outlier frame weigh most].
  - A round's layer of 512 units falls away with its classifier; features are the backbone's, before and after [unsaid].
  - Of a tracklet at most 60 frames are trained on [all; images_per_tracklet].
  - Adam at 3.5e-4 and fewer steps [SGD 0.003 or 0.01, 30 epochs, a tenth after 20], for short trainings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.manifests import ASSOCIATIONS
from pipeline.stage import Settings
from stages.methods import ColorJitter, Footage, Way, prior_setting
from stages.training.within_camera import crop_rows

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import torch

    from stages.training.samplers import Batch

VERSION = 2
ROUNDS = 2
_LEFT_OUT = 1e12  # squared distance, far beyond any D / R


class AssociateConfig(Settings):
    """Sections 3.2 and 3.3."""

    anchors: int | None = Field(
        None, ge=2, description="m; null: as many as there are people, by the label-free estimate"
    )
    anchor_seed: int = Field(0, ge=0, description="seed of the choice of anchors")
    k: int = Field(15, ge=1, description="nearest anchors that a tracklet is rebuilt from (Eq. 3)")
    top_k: int = Field(1, ge=1, description="k' of the top-k counts (Eq. 6); larger labels more and worse")
    smoothing_weight: float = Field(0.1, ge=0, description="lambda (Eq. 3); 0: without the smoothing term")
    smoothing: Literal["far", "printed"] = Field(
        "far",
        description="which anchors the smoothing term punishes: the far ones, or the near ones as Eq. 4 prints",
    )
    hull: bool = Field(True, description="regularised affine hull; false: mean of the frames")
    hull_target: Literal["median", "mean", "minimum_norm"] = Field(
        "median", description="which point of the hull stands for a tracklet"
    )
    hull_delta: float = Field(0.1, gt=0, description="delta, the hull's regularisation (Eq. 2)")
    prediction: Literal["top_k_counts", "weight", "nearest", "agr"] = Field(
        "top_k_counts",
        description="Eq. 6, or what labels everything: the largest weight (without top-k counts), 1-NN or anchor graph "
        "regularisation",
    )
    agr_weight: float = Field(0.01, ge=0, description="gamma of anchor graph regularisation")
    prior: Way = prior_setting(
        "off",
        "walking times beyond the choice of anchors, not in the paper. 'cannot_links': nobody gets the label of an anchor, or "
        "of a nearer tracklet, that is certainly somebody else; 'joint': that, and D / R for the distances to the anchors",
    )


class TrainConfig(Settings):
    """Sections 3.2, 3.4 and 4.1."""

    batch_images: int = Field(64, ge=2, description="frames in a batch, drawn at random; on MARS 256")
    images_per_tracklet: int = Field(60, ge=2, description="at most so many frames of a tracklet are used")
    embedding: int = Field(512, ge=8, description="units of the layer between features and classifier")
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout after that layer")
    steps: int = Field(200, ge=0, description="optimiser steps of round 0, on the anchors")
    round_steps: int = Field(150, ge=0, description="optimiser steps of every later round")
    learning_rate: float = Field(3.5e-4, gt=0, description="Adam's start rate")
    weight_decay: float = Field(5e-4, ge=0, description="Adam's weight decay")
    color_jitter: ColorJitter = 0.0


def associate(
    footage: Footage, features: Callable[[], np.ndarray], round_: int, settings: AssociateConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Round 0 labels the anchors; later rounds what the anchors explain well enough."""
    import numpy as np

    from stages.association.link_tables import link_table, pairs_across, site_labels
    from stages.association.prior_use import joint_distances, keep_apart, time_ratios

    tracklets = footage.tracklets
    anchors = choose_anchors(footage, settings.anchors, np.random.default_rng(settings.anchor_seed))
    if round_ == 0 or len(anchors) < 2:
        return ASSOCIATIONS.empty(), site_labels(tracklets, anchors, np.arange(len(anchors)))
    x = hulls(features(), crop_rows(footage), len(tracklets), settings)
    others = np.setdiff1d(np.arange(len(tracklets)), anchors)
    camera = tracklets.camera_id.to_numpy(str)
    ratio = time_ratios(footage, settings.prior)
    to_anchors = None if ratio is None else ratio[np.ix_(others, anchors)]
    of_all = np.full(len(tracklets), -1)
    of_all[anchors] = np.arange(len(anchors))
    of_all[others] = estimate_labels(x[others], x[anchors], settings, to_anchors)
    if ratio is not None:
        own = anchors[of_all]
        cost = joint_distances(np.linalg.norm(x - x[own], axis=1), ratio[np.arange(len(x)), own])
        of_all = keep_apart(of_all, cost, ratio)
    i, j = pairs_across(of_all, camera)
    distance = np.linalg.norm(x[i] - x[j], axis=1)
    joint = None if ratio is None else joint_distances(distance, ratio[i, j])
    links = link_table(tracklets, i, j, distance, True, joint)
    return links, site_labels(tracklets, of_all >= 0, of_all[of_all >= 0])


def train(
    network: Any,
    images: Any,
    footage: Footage,
    pseudo_labels: pd.DataFrame,
    round_: int,
    settings: TrainConfig,
    *,
    seed: int,
    device: str,
    saved: Path | None = None,
) -> Iterator[dict[str, Any]]:
    """IDE: a classifier over the anchors' labels, on frames."""
    import numpy as np
    import torch
    from torch import nn
    from torch.nn import functional

    from stages.association.link_tables import label_of_tracklets
    from stages.network.images import Augmentation
    from stages.training.loop import cosine, fit
    from stages.training.samplers import frame_batches, in_tenths

    steps = settings.steps if round_ == 0 else settings.round_steps
    people = int(pseudo_labels.pseudo_label.nunique())
    if not steps or people < 2:
        return
    label = label_of_tracklets(footage.tracklets, pseudo_labels)
    rows = crop_rows(footage)
    labelled = np.where(label[rows] >= 0, rows, -1)
    torch.manual_seed(seed + 1000 * round_)
    classifier = nn.Sequential(
        nn.Linear(network.dim, settings.embedding), nn.BatchNorm1d(settings.embedding), nn.ReLU(),
        nn.Dropout(settings.dropout), nn.Linear(settings.embedding, people),
    )  # fmt: skip

    def loss(features: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        scores = classifier(features)
        wanted = torch.as_tensor(batch.labels, device=features.device)
        return functional.cross_entropy(scores, wanted), (scores.argmax(1) != wanted).float().mean()

    batches = frame_batches(
        labelled, label[rows], settings.batch_images, steps, np.random.default_rng([seed, round_]),
        max_crops_per_tracklet=settings.images_per_tracklet,
    )  # fmt: skip
    yield from fit(
        network, images, in_tenths(list(batches)), loss, schedule=cosine(10),
        learning_rate=settings.learning_rate, weight_decay=settings.weight_decay, seed=seed + 1000 * round_,
        augmentation=Augmentation(color_jitter=settings.color_jitter), device=device, saved=saved, head=classifier,
    )  # fmt: skip


def choose_anchors(
    footage: Footage, wanted: int | None, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """3.2: rows of the anchors, ascending. First a set in which any two are certainly different people, then any.

    ``wanted`` None: as many as there are people, by the estimate; without one, as the camera with most tracklets has.
    """
    import numpy as np

    from stages.association.population import certain_group

    tracklets = footage.tracklets
    n = len(tracklets)
    if n == 0:
        return np.zeros(0, np.int64)
    m = min(n, wanted or footage.people() or int(tracklets.camera_id.value_counts().iloc[0]))
    pairs = footage.certain_negatives()
    order = random.permutation(n)
    grown = certain_group(n, pairs, order, max_items=m)
    rest = order[~np.isin(order, grown)][: m - len(grown)]
    return np.sort(np.concatenate([np.array(grown, np.int64), rest]))


def hulls(
    features: npt.NDArray[np.floating], crop_row: npt.NDArray[np.integer], n: int, settings: AssociateConfig
) -> npt.NDArray[np.float64]:
    """(n, D) one vector per tracklet: its point of the hull, or the mean of its frames; zeros without any frame.

    Args:
        features: (N, D) unit vectors of the frames; crop_row: (N,) the tracklet of each.
    """
    import numpy as np

    from data.tracklet_rows import rows_by_tracklet

    found = np.zeros((n, features.shape[1]))
    for i, rows in enumerate(rows_by_tracklet(crop_row, n)):
        frames = features[rows].astype(np.float64)
        if len(frames):
            found[i] = (
                affine_hull(frames, settings.hull_target, settings.hull_delta)
                if settings.hull
                else frames.mean(0)
            )
    return found


def affine_hull(frames: npt.NDArray[np.floating], target: str, delta: float) -> npt.NDArray[np.float64]:
    """Eq. 2: the point X' alpha of the regularised affine hull of ``frames`` X (n, D) that is nearest to the target.

    min |X' alpha - x|² + delta |alpha|² with sum alpha = 1: A = X X' + delta I, mu = (1 - 1' A^-1 X x) / (1' A^-1 1),
    alpha = A^-1 (X x + mu 1).
    """
    import numpy as np

    x = {
        "median": np.median(frames, axis=0),
        "mean": frames.mean(0),
        "minimum_norm": np.zeros(frames.shape[1]),
    }[target]
    a = frames @ frames.T + delta * np.eye(len(frames))
    solved = np.linalg.solve(a, np.stack([frames @ x, np.ones(len(frames))], axis=1))
    mu = (1 - solved[:, 0].sum()) / solved[:, 1].sum()
    return np.asarray((solved[:, 0] + mu * solved[:, 1]) @ frames)


def estimate_labels(
    x: npt.NDArray[np.floating],
    anchors: npt.NDArray[np.floating],
    settings: AssociateConfig,
    ratio: npt.NDArray[np.floating] | None = None,
) -> npt.NDArray[np.int64]:
    """3.3: (n,) the anchor, among ``anchors`` (m, D), of each of ``x`` (n, D), or -1.

    ratio: (n, m) R, see `stages.association.prior_use`; D / R then stands for each distance, and where R is 0 for no anchor.
    """
    import numpy as np

    from stages.association.pairing import euclidean_distances
    from stages.association.prior_use import joint_distances

    distance = euclidean_distances(x, anchors).astype(np.float64)
    joint = distance if ratio is None else joint_distances(distance, ratio)
    if settings.prediction == "nearest":
        label = joint.argmin(1).reshape(len(x))
    else:
        weight = embed(x, anchors, distance, settings, joint)
        if settings.prediction == "agr":
            label = anchor_graph_labels(weight, settings.agr_weight)
        elif settings.prediction == "weight":
            label = weight.argmax(1).reshape(len(x))
        else:
            label = top_k_counts(weight, joint, settings.top_k)
    return np.where(np.isfinite(joint[np.arange(len(x)), label]), label, -1)


def embed(
    x: npt.NDArray[np.floating],
    anchors: npt.NDArray[np.floating],
    distance: npt.NDArray[np.floating],
    settings: AssociateConfig,
    joint: npt.NDArray[np.floating] | None = None,
) -> npt.NDArray[np.float64]:
    """Eq. 3: (n, m) weights of the anchors that rebuild each tracklet, nought beyond its k nearest.

    joint: (n, m) distances under the prior, infinite for an anchor that is left out. On the simplex |x - Σ w a|² is
    Σ w D² less what the anchors' own distances say, so they take the place of D there, in Eq. 4 and in who is near.
    """
    import numpy as np

    from stages.association.simplex import simplex_least_squares

    n, m = distance.shape
    k = min(settings.k, m)
    joint = distance if joint is None else joint
    near = np.argsort(joint, axis=1, kind="stable")[:, :k]
    gram = (anchors @ anchors.T)[near[:, :, None], near[:, None, :]]
    own, timed = (np.take_along_axis(table, near, axis=1) for table in (distance, joint))
    far = np.where(np.isfinite(timed), (timed**2 - own**2) / 2, _LEFT_OUT)
    linear = np.take_along_axis(np.asarray(x, np.float64) @ anchors.T, near, axis=1) - far
    d = smoothing(timed, settings.smoothing)
    weight = np.zeros((n, m))
    np.put_along_axis(
        weight, near, simplex_least_squares(gram, linear, np.sqrt(settings.smoothing_weight) * d), axis=1
    )
    return weight


def smoothing(distance: npt.NDArray[np.floating], which: str) -> npt.NDArray[np.float64]:
    """Eq. 4: (n, k) what a weight on each anchor costs, from the distances (n, k); sigma is their mean square.

    Infinite distances are those of no anchor, which cost nothing.
    """
    import numpy as np

    there = np.isfinite(distance)
    squared = np.where(there, distance, 0.0).astype(np.float64) ** 2
    sigma = squared.sum(1, keepdims=True) / np.maximum(there.sum(1, keepdims=True), 1)
    ratio = squared / np.maximum(sigma, 1e-12)
    return np.where(there, np.exp(ratio if which == "far" else -ratio), 0.0)


def top_k_counts(
    weight: npt.NDArray[np.floating], distance: npt.NDArray[np.floating], top_k: int
) -> npt.NDArray[np.int64]:
    """Eq. 6: (n,) the anchor among both the k' of largest weight and the k' nearest, by weight over rank; else -1."""
    import numpy as np

    n, m = weight.shape
    top_k = min(top_k, m)
    rank = np.argsort(np.argsort(distance, axis=1, kind="stable"), axis=1, kind="stable") + 1
    heavy = np.argsort(np.argsort(-weight, axis=1, kind="stable"), axis=1, kind="stable") < top_k
    both = heavy & (rank <= top_k) & (weight > 0)
    score = np.where(both, weight / rank, -1.0)
    return np.where(both.any(1), score.argmax(1), -1).astype(np.int64) if n else np.zeros(0, np.int64)


def anchor_graph_labels(weight: npt.NDArray[np.floating], gamma: float) -> npt.NDArray[np.int64]:
    """The baseline of Table 1: Anchor Graph Regularization (Liu, He, Chang, ICML 2010), the anchors being the labelled.

    Z (n, m) are the embedding weights, the reduced Laplacian is L = Z'Z - Z'Z diag(1'Z)^-1 Z'Z, the anchors' labels
    become A = (I + gamma L)^-1, and a tracklet gets argmax_j z A_j / (1' Z A_j).
    """
    import numpy as np

    z = np.asarray(weight, np.float64)
    if not len(z):
        return np.zeros(0, np.int64)
    gram = z.T @ z
    laplacian = gram - gram @ (gram / np.maximum(z.sum(0), 1e-12)[:, None])
    soft = np.linalg.solve(np.eye(len(gram)) + gamma * laplacian, np.eye(len(gram)))
    scores = z @ soft
    return np.asarray((scores / np.maximum(scores.sum(0), 1e-12)).argmax(1), np.int64)
