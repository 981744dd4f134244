"""TMC: Learning from Noisy Tracklets: Tracklet-based Multi-level Clustering.

Teng et al., 2022. Sections and equations below are that paper's; it builds on MMT (Ge et al.: Mutual Mean-Teaching, ICLR
2020) with one network and its past average.

Trackers cut people in pieces (fragmentation) and take one for another (switches). The stage `isolate` cuts tracklets
where they changed persons (3.2, intra-tracklet isolation; without it: SET="isolate.enabled=false", the paper's TMC-).
Then, again and again, tracklets are clustered over the whole site (3.2, inter-tracklet association), and a network
learns from those hard labels and from the soft ones of its own past average, the mean network (3.3).

Deviations from the paper (the paper's own value in brackets):
  - Batch norm takes its statistics over 16 images, as many as one of four GPUs held, and these are of all people of the batch
    [in order of the batch: with few clips a person that is one or two people, and normalising those against each other takes
    away who they are; on market-site training then lowered rank-1 from 34 to 30].
  - An epoch is a round, so that it can be measured and resumed. What goes on from round to round is the mean network,
    from which the next round's student starts [both go on], and its alpha is ramped in each round anew, or in some 60 steps a
    round it would hardly move [once; mean_anew=false].
  - rho of the data-dependent eps is `pairs_per_tracklet` over the number of tracklets [1.6e-3: right for MARS, 3.5 times
    too small for PRID; it is really the tracklets per person over N], and k1, k2 and min_samples follow the tracklets a
    person has, by the label-free number of people [30, 6, 4, for MARS's 13: where a person has three, thirty neighbours
    are ten people]. eps is computed anew in every round, for the clusters
    grow with the features [computed once and frozen; eps=0.5 sets it].
  - Smaller batches and fewer steps, for footage and machines smaller than the paper's [16 people x 4 clips x 4 frames, 40
    epochs of 400 steps at a constant 3.5e-4]; random erasing is off [0.5].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.manifests import ASSOCIATIONS, PSEUDO_LABELS
from pipeline.stage import Settings
from stages.methods import ColorJitter, Footage, prior_setting
from stages.training.within_camera import crop_rows

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import torch

    from stages.training.samplers import Batch

VERSION = 4
ROUNDS = 4
MARS_TRACKLETS = 13.0  # of a person
FAR = 0.95  # pairs beyond share a twentieth of their neighbours or less: no clustering asks how far they are, and they are many


class AssociateConfig(Settings):
    """Section 3.2, inter-tracklet association."""

    people: int | None = Field(
        None,
        ge=2,
        description="how many people there are, by which the sizes below go; null: the label-free estimate",
        exclude_if=lambda people: people is None,
    )
    k1: int | None = Field(
        None,
        ge=2,
        description="size of the k-reciprocal neighbourhood; null: 30 at MARS's 13 tracklets a person",
    )
    k2: int | None = Field(
        None,
        ge=1,
        description="neighbours averaged in local query expansion; 1: none; null: 6 at 13 a person",
    )
    min_samples: int | None = Field(
        None, ge=1, description="DBSCAN core size, in tracklets; null: 4 at 13 a person, and at least 2"
    )
    eps: float | None = Field(
        None, gt=0, le=1, description="DBSCAN radius eps_inter on Jaccard distances; null: from the data"
    )
    pairs_per_tracklet: float | None = Field(
        None, gt=0,
        description="rho times the number of tracklets, where eps is taken from the data: 13 on MARS; null: tracklets a "
        "person by the label-free estimate",
    )  # fmt: skip
    frames: int = Field(32, ge=1, description="consecutive frames of a tracklet that are averaged")
    prior: Literal["off", "cannot_links", "joint", "jaccard"] = prior_setting(
        "off",
        "walking times, not in the paper. 'cannot_links': no cluster holds two who are certainly two people; 'joint', 'jaccard': "
        "that, and Jaccard distances over R, or Jaccard similarities times R",
    )


class TrainConfig(Settings):
    """Section 3.3 and 4.2."""

    id_soft_weight: float = Field(0.5, ge=0, le=1, description="lambda_id (Eq. 6)")
    triplet_soft_weight: float = Field(0.8, ge=0, le=1, description="lambda_tri (Eq. 6)")
    margin: float = Field(0.5, ge=0, description="m of the hard triplet loss (Eq. 3)")
    momentum: float = Field(0.999, ge=0, lt=1, description="alpha of the mean network (Eq. 1)")
    mean_anew: bool = Field(
        True,
        description="the mean network begins each round as the student does, so that alpha grows to 1 - 1 / steps at most; "
        "false: it goes on from where it was, as in the paper's long training",
        exclude_if=lambda anew: anew,
    )
    batch_people: int = Field(8, ge=2, description="clusters in a batch")
    batch_clips: int = Field(4, ge=2, description="clips of each cluster in a batch")
    clip_frames: int = Field(2, ge=1, description="consecutive frames of a clip")
    norm_group: int = Field(16, ge=2, description="images over which batch norm takes its statistics")
    round_steps: int = Field(60, ge=0, description="optimiser steps of a round")
    learning_rate: float = Field(3.5e-4, gt=0, description="Adam's rate")
    weight_decay: float = Field(5e-4, ge=0, description="Adam's weight decay")
    erase: float = Field(0.0, ge=0, le=1, description="probability of random erasing")
    color_jitter: ColorJitter = 0.0


def associate(
    footage: Footage, features: Callable[[], np.ndarray], round_: int, settings: AssociateConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Inter-tracklet association: DBSCAN on k-reciprocal Jaccard distances, noise left out."""
    import numpy as np

    from stages.association.jaccard import data_dependent_eps, jaccard_distances
    from stages.association.link_tables import link_table, pairs_across, site_labels
    from stages.association.prior_use import take_apart, time_ratios, under_prior

    tracklets = footage.tracklets
    if len(tracklets) < 2:
        return ASSOCIATIONS.empty(), PSEUDO_LABELS.empty()
    f = clip_means(
        features(), crop_rows(footage), len(tracklets), settings.frames, np.random.default_rng(round_)
    )
    k1, k2, min_samples, pairs = sizes(footage, settings)
    camera = tracklets.camera_id.to_numpy(str)
    appearance = distance = jaccard_distances(f, k1, k2, FAR)
    ratio = time_ratios(footage, settings.prior)
    if ratio is not None:
        distance = under_prior(appearance, ratio, settings.prior, FAR)
    eps = settings.eps or data_dependent_eps(distance, pairs / len(tracklets))
    hard = density_clusters(distance, eps, min_samples)
    if ratio is not None:
        hard = take_apart(hard, distance, ratio, min_samples, FAR)
    i, j = pairs_across(hard, camera)
    joint = None if ratio is None else stored_distances(distance, i, j)
    links = link_table(tracklets, i, j, stored_distances(appearance, i, j), True, joint)
    return links, site_labels(tracklets, hard >= 0, hard[hard >= 0])


def sizes(footage: Footage, settings: AssociateConfig) -> tuple[int, int, int, float]:
    """k1, k2, min_samples and pairs per tracklet: the settings, or the paper's in proportion to the tracklets a person has."""
    people = settings.people or (
        footage.people()
        if None in (settings.k1, settings.k2, settings.min_samples, settings.pairs_per_tracklet)
        else 0
    )
    each = len(footage.tracklets) / people if people else MARS_TRACKLETS
    share = min(each / MARS_TRACKLETS, 1.0)
    return (
        settings.k1 or max(4, round(30 * share)),
        settings.k2 or max(1, round(6 * share)),
        settings.min_samples or max(2, round(4 * share)),
        settings.pairs_per_tracklet or each,
    )


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
    """3.3, Algorithm 1: hard and soft losses of identity and triplets; the network ends as its past average."""
    import numpy as np
    import torch
    from torch import nn

    from stages.association.link_tables import label_of_tracklets
    from stages.network.embedding import store_features
    from stages.network.images import Augmentation
    from stages.training.loop import MeanNetwork, fit
    from stages.training.samplers import clip_batches

    if not settings.round_steps or pseudo_labels.pseudo_label.nunique() < 2:
        return
    label = label_of_tracklets(footage.tracklets, pseudo_labels)
    rows = crop_rows(footage)
    # The classifier begins each round as the clusters' normalised means.
    centres = cluster_means(store_features(network, images, device), label[rows])
    neck, rows_of_classes = nn.BatchNorm1d(network.dim), nn.Linear(network.dim, len(centres), bias=False)
    neck.bias.requires_grad_(False)
    with torch.no_grad():
        rows_of_classes.weight.copy_(torch.from_numpy(centres))
    classifier = nn.Sequential(neck, rows_of_classes)
    steps_before = 0 if settings.mean_anew else round_ * settings.round_steps
    mean = MeanNetwork(network, classifier, settings.momentum, steps_before)

    def loss(features: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        wanted = torch.as_tensor(batch.labels, device=features.device)[:: settings.clip_frames]
        f, scores = clips(features, settings.clip_frames), classifier(features)
        f_mean, scores_mean = clips(mean.features, settings.clip_frames), mean.scores
        return tmc_loss(f, clips(scores, settings.clip_frames), f_mean, clips(scores_mean, settings.clip_frames),
                        wanted, settings)  # fmt: skip

    batches = clip_batches(
        rows, footage.crops.t_utc_us.to_numpy(), label, footage.tracklets.camera_id.to_numpy(str),
        people=settings.batch_people, clips=settings.batch_clips, frames=settings.clip_frames, steps=settings.round_steps,
        rng=np.random.default_rng([seed, round_]),
    )  # fmt: skip
    yield from fit(
        network, images, [batches], loss, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay,
        augmentation=Augmentation(erase=settings.erase, color_jitter=settings.color_jitter), seed=seed + 1000 * round_, device=device, saved=saved,
        head=classifier, mean=mean, norm_group=settings.norm_group,
    )  # fmt: skip


def tmc_loss(
    f: torch.Tensor,
    scores: torch.Tensor,
    f_mean: torch.Tensor,
    scores_mean: torch.Tensor,
    labels: torch.Tensor,
    settings: TrainConfig,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Eq. 6: (1 - l_id) L_id + l_id L_sid + (1 - l_tri) L_tri + l_tri L_stri, and the share of active hard triplets.

    Args:
        f, scores: (B, D) features and (B, M) class scores of the clips, of the network; f_mean, scores_mean: of the mean
            network. labels: (B,).
    """
    from torch.nn import functional

    from stages.training.losses import batch_hard_triplet

    l_id, l_tri = settings.id_soft_weight, settings.triplet_soft_weight
    hard_id = functional.cross_entropy(scores, labels)  # Eq. 2
    soft_id = -(scores_mean.softmax(1) * functional.log_softmax(scores, 1)).sum(1).mean()  # Eq. 4
    hard_triplet, active = batch_hard_triplet(f, labels, settings.margin)  # Eq. 3
    soft = soft_triplet(f, f_mean, labels)  # Eq. 5
    total = (1 - l_id) * hard_id + l_id * soft_id + (1 - l_tri) * hard_triplet + l_tri * soft
    return total, active


def soft_triplet(f: torch.Tensor, f_mean: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Eq. 5 as MMT defines it: the two networks should agree on which of a triplet's two distances is the larger.

    Hardest positive and negative by ``f`` (B, D); q = softmax(d_ap, d_an) of it, q~ of the same pairs in ``f_mean``,
    a constant; the mean of -sum q~ log q over the anchors that have both.
    """
    import torch

    distance = torch.cdist(f, f, compute_mode="donot_use_mm_for_euclid_dist")
    same = labels[:, None] == labels[None, :]
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    anchors = (positive.any(1) & (~same).any(1)).nonzero().squeeze(1)
    if not len(anchors):
        return f.sum() * 0.0
    farthest = distance.masked_fill(~positive, -torch.inf).argmax(1)[anchors]
    nearest = distance.masked_fill(same, torch.inf).argmin(1)[anchors]
    own = torch.stack([distance[anchors, farthest], distance[anchors, nearest]], 1).log_softmax(1)
    with torch.no_grad():
        past = torch.stack(
            [
                (f_mean[anchors] - f_mean[farthest]).norm(dim=1),
                (f_mean[anchors] - f_mean[nearest]).norm(dim=1),
            ],
            1,
        ).softmax(1)
    return -(past * own).sum(1).mean()


def clips(values: torch.Tensor, frames: int) -> torch.Tensor:
    """(B / frames, D) means of consecutive rows of (B, D): what a clip is."""
    return values.unflatten(0, (-1, frames)).mean(1)


def clip_means(
    features: npt.NDArray[np.floating],
    row: npt.NDArray[np.integer],
    n: int,
    frames: int,
    random: np.random.Generator,
) -> npt.NDArray[np.float32]:
    """(n, D) unit means of ``frames`` consecutive frames from a random start of each tracklet; all where it has fewer.

    Args:
        features: (N, D) in order of tracklet and time; row: (N,) tracklet of each.
    """
    import numpy as np

    from data.tracklet_rows import rows_by_tracklet

    found = np.zeros((n, features.shape[1]), np.float32)
    for i, rows in enumerate(rows_by_tracklet(row, n)):
        begin = int(random.integers(0, max(len(rows) - frames, 0) + 1))
        own = features[rows[begin : begin + frames]]
        found[i] = own.mean(0) if len(own) else 0
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def density_clusters(distance: Any, eps: float, min_samples: int) -> npt.NDArray[np.int64]:
    """(N,) DBSCAN labels 0, 1, …, -1 for noise, of a sparse distance matrix whose missing entries are far."""
    import numpy as np
    from sklearn.cluster import DBSCAN

    found = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit_predict(distance)
    return np.asarray(found, np.int64)


def cluster_means(
    features: npt.NDArray[np.floating], label: npt.NDArray[np.integer]
) -> npt.NDArray[np.float32]:
    """(M, D) unit means of the features (N, D) of each label 0 … M-1; those of -1 are nobody's."""
    import numpy as np

    sums = np.zeros((int(label.max()) + 1, features.shape[1]))
    np.add.at(sums, label[label >= 0], features[label >= 0])
    return (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def stored_distances(
    distance: Any, i: npt.NDArray[np.integer], j: npt.NDArray[np.integer]
) -> npt.NDArray[np.float64]:
    """(P,) entries of a sparse matrix in which what is not stored is far, at distance one."""
    import numpy as np

    if not len(i):  # which scipy answers with a matrix
        return np.zeros(0)
    likeness = distance.copy()
    likeness.data = 1 - likeness.data  # so that what is not stored reads as nought, and is far
    return 1 - np.asarray(likeness[i, j], np.float64).ravel()
