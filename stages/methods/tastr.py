"""TASTR: Tracklet Association with Spatio-Temporal Regularization.

Xie, Zhou, Qi, Tian, Li: Progressive Unsupervised Person Re-identification by Tracklet Association with
Spatio-Temporal Regularization, 2019. Sections and equations below are that paper's.

A tracker already says which boxes are one person, so a network can learn inside each camera without labels (IV-B).
With its features, tracklets of two cameras are matched where each is the other's nearest under a joint distance of
appearance and walking time, and only the nearest cluster of the matches is kept (IV-C). The network learns from
those pairs (IV-D), sees better, and matches again: five rounds.

Deviations from the paper (the paper's own value in brackets):
  - R's Gaussian has sigma squared, and R a floor of 1e-4, as in the released code [Eq. 3 prints 2 sigma].
  - Pairs whose walking time is impossible are never matched [R at its floor makes them unlikely].
  - The learning rate restarts every round and falls as a cosine [released: divided by ten at epochs 10, 20, 30, 40
    and never raised again, so rounds 3 to 5 hardly move].
  - Triplets are of L2-normalised features, as they are compared at test [raw features: their distances start at 5,
    so a margin of 0.3 says little].
  - Batches are smaller than 64 x 4, for footage and machines smaller than the paper's [batch_tracklets: 64].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from pipeline.manifests import ASSOCIATIONS
from pipeline.stage import Settings
from stages.methods import ColorJitter, Footage, Way, prior_setting
from stages.training.within_camera import crop_rows, within_camera_epoch, within_camera_labels

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from stages.training.samplers import Batch

VERSION = 1
ROUNDS = 5


class AssociateConfig(Settings):
    """Section IV-C."""

    spatio_temporal: bool = Field(
        True, description="use STR, the walking-time term of the joint distance (Eq. 3, 4); false: prior=off"
    )
    prior: Way = prior_setting(
        "joint",
        "'joint' as in the paper: D / R (Eq. 3, 4), and nobody who cannot be; 'cannot_links': D, but certainly two people are never "
        "matched, nor joined by labels=site",
    )
    sigma_fraction: float = Field(
        0.7, gt=0, description="lambda: deviation of the walking time as a share of its mean"
    )
    sigma_floor_s: float = Field(5.0, ge=0, description="smallest deviation of the walking time, s")
    kmeans: bool = Field(True, description="keep only the nearest cluster of the matches of a camera pair")
    k: int = Field(3, ge=1, description="number of clusters in that 1-D k-means")
    labels: Literal["camera_pair", "site"] = Field(
        "camera_pair",
        description="'camera_pair' as in the paper: A-B and B-C of one person are two labels; 'site' joins them by union-find",
    )

    @field_validator("prior")
    @classmethod
    def _one_word_for_it(cls, prior: str, info: ValidationInfo) -> str:
        if not info.data.get("spatio_temporal", True) and prior == "cannot_links":
            raise ValueError("spatio_temporal=false already says prior=off; set one of the two")
        return prior

    @property
    def way(self) -> str:
        """In which of the ways of `stages.association.prior_use` time is used."""
        return self.prior if self.spatio_temporal else "off"


class TrainConfig(Settings):
    """Sections IV-B, IV-D and V-A."""

    margin: float = Field(0.3, ge=0, description="m of the batch-hard triplet loss (Eq. 1)")
    normalise: bool = Field(
        True, description="triplets of unit features, the ones compared at test; the paper: false"
    )
    batch_tracklets: int = Field(16, ge=2, description="P, labels in a batch")
    batch_images: int = Field(4, ge=2, description="K, images of each label in a batch")
    images_per_tracklet: int = Field(60, ge=2, description="at most so many images of a tracklet are used")
    gap_s: float | None = Field(
        None,
        ge=0,
        description="T, time between tracklets of one camera in a batch, s; default: the longest usual dwell",
    )
    constrained: bool = Field(
        True,
        description="batches of round 0 hold tracklets of one camera, T apart (TSCCC); false: any of the site, the paper's "
        "largest ablation",
    )
    epochs: int = Field(12, ge=0, description="epochs of round 0, within cameras; the paper: 50")
    round_epochs: int = Field(10, ge=0, description="epochs of every later round, across cameras")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's start rate of round 0; the paper: 3e-4")
    round_learning_rate: float = Field(5e-4, gt=0, description="Adam's start rate of every later round")
    weight_decay: float = Field(5e-4, ge=0, description="Adam's weight decay")
    color_jitter: ColorJitter = 0.0


def associate(
    footage: Footage, features: Callable[[], np.ndarray], round_: int, settings: AssociateConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Round 0 labels every tracklet inside its camera; later rounds match tracklets across each pair of cameras."""
    if round_ == 0:
        return ASSOCIATIONS.empty(), within_camera_labels(footage.tracklets)
    matches = cross_camera_matches(footage, features(), settings)
    if settings.labels == "site":
        return matches, joined_labels(footage, matches, settings.way)
    return matches, camera_pair_labels(footage.tracklets, matches)


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
    """Batch-hard triplets inside the camera (round 0) or the camera pair (later)."""
    import numpy as np
    import torch
    from torch.nn import functional

    from stages.network.images import Augmentation
    from stages.training.loop import cosine, fit
    from stages.training.losses import batch_hard_triplet

    def loss(features: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.as_tensor(batch.labels, device=features.device)
        features = functional.normalize(features) if settings.normalise else features
        return batch_hard_triplet(features, labels, margin=settings.margin)  # Eq. 1

    random = np.random.default_rng([seed, round_])
    epochs = settings.epochs if round_ == 0 else settings.round_epochs
    yield from fit(
        network,
        images,
        (epoch_batches(footage, pseudo_labels, round_, settings, random) for _ in range(epochs)),
        loss,
        schedule=cosine(epochs),
        augmentation=Augmentation(color_jitter=settings.color_jitter),
        learning_rate=settings.learning_rate if round_ == 0 else settings.round_learning_rate,
        weight_decay=settings.weight_decay,
        seed=seed + 1000 * round_,
        device=device,
        saved=saved,
    )


def epoch_batches(
    footage: Footage,
    pseudo_labels: pd.DataFrame,
    round_: int,
    settings: TrainConfig,
    random: np.random.Generator,
) -> Iterator[Batch]:
    """One epoch: batches of one camera with the gap T (TSCCC, IV-B), or of one camera pair (TCCPC, IV-D)."""
    import numpy as np
    import pandas as pd

    from stages.training.samplers import identity_batches

    if round_ == 0 and settings.constrained:
        return within_camera_epoch(
            footage, random, tracklets=settings.batch_tracklets, images=settings.batch_images,
            gap_s=settings.gap_s, images_per_tracklet=settings.images_per_tracklet,
        )  # fmt: skip
    tracklets = footage.tracklets
    row = pd.Series(range(len(tracklets)), index=tracklets.tracklet_id)
    labels, group = pseudo_labels.pseudo_label.to_numpy(), pseudo_labels.group.to_numpy()
    if round_ == 0:  # every tracklet is somebody else, wherever and whenever it was seen
        labels, group = np.arange(len(labels)), np.full(len(labels), "site")
    return identity_batches(
        crop_rows(footage), row[pseudo_labels.tracklet_id].to_numpy(), labels, group, tracklets.camera_id.to_numpy(),
        labels_per_batch=settings.batch_tracklets, crops_per_label=settings.batch_images,
        max_crops_per_tracklet=settings.images_per_tracklet, rng=random,
    )  # fmt: skip


def cross_camera_matches(footage: Footage, features: np.ndarray, settings: AssociateConfig) -> pd.DataFrame:
    """IV-C: NN-CCTA, the mutually nearest pairs of each camera pair, with those that k-means keeps marked."""
    import numpy as np
    import pandas as pd

    from camera_topology.prior import pair_prior
    from stages.association.link_tables import link_table
    from stages.association.pairing import (
        euclidean_distances,
        joint_distance,
        keep_nearest_cluster,
        mutual_nearest,
    )
    from stages.network.embedding import tracklet_features

    tracklets = footage.tracklets
    x = tracklet_features(features, list(footage.crops.tracklet_id), list(tracklets.tracklet_id))
    of_camera = tracklets.groupby("camera_id").indices
    found = []
    possible = footage.time_prior().possible if settings.way == "cannot_links" else None
    for camera_a, camera_b in combinations(sorted(map(str, of_camera)), 2):
        a, b = of_camera[camera_a], of_camera[camera_b]
        d = euclidean_distances(x[a], x[b])  # Eq. 2
        joint: np.ndarray = d
        gate = None if possible is None else possible[a][:, b]
        if settings.way == "joint":
            prior = pair_prior(
                footage.site, *_when(tracklets, np.repeat(a, len(b))), *_when(tracklets, np.tile(b, len(a))),
                sigma_fraction=settings.sigma_fraction, sigma_floor_s=settings.sigma_floor_s,
                clock_std_s=footage.clock_std_s,
            )  # fmt: skip
            joint = joint_distance(d, prior.log_prior.reshape(d.shape))  # Eq. 3 and 4
            gate = prior.gate.reshape(d.shape)
        i, j = mutual_nearest(joint, gate).T
        kept = keep_nearest_cluster(d[i, j], settings.k) if settings.kmeans else np.ones(len(i), bool)
        found.append(link_table(tracklets, a[i], b[j], d[i, j], kept, joint[i, j]))
    return pd.concat(found, ignore_index=True) if found else ASSOCIATIONS.empty()


def camera_pair_labels(tracklets: pd.DataFrame, matches: pd.DataFrame) -> pd.DataFrame:
    """IV-D (TCCPC): the two tracklets of a kept match share a label that is local to their camera pair."""
    import numpy as np
    import pandas as pd

    kept = matches[matches.kept].reset_index(drop=True)
    camera = tracklets.set_index("tracklet_id").camera_id
    cameras = np.sort(np.stack([camera[kept.tracklet_a], camera[kept.tracklet_b]]).astype(str), axis=0)
    group = pd.Series([f"{a}|{b}" for a, b in cameras.T], dtype=str)
    label = group.groupby(group).cumcount()
    both = [
        pd.DataFrame({"tracklet_id": kept[side], "group": group, "pseudo_label": label, "weight": 1.0})
        for side in ("tracklet_a", "tracklet_b")
    ]
    return pd.concat(both, ignore_index=True)


def joined_labels(footage: Footage, matches: pd.DataFrame, way: str = "joint") -> pd.DataFrame:
    """Not in the paper: the kept matches of all camera pairs joined by union-find that respects certain negatives.

    way: 'cannot_links' respects the gate, too.
    """
    import numpy as np
    import pandas as pd

    from stages.association.link_tables import site_labels
    from stages.association.pairing import union_find

    tracklets = footage.tracklets
    kept = matches[matches.kept]
    row = pd.Series(np.arange(len(tracklets)), index=tracklets.tracklet_id)
    pairs = np.stack([row[kept.tracklet_a], row[kept.tracklet_b]], axis=1)
    apart = footage.certain_negatives()
    if way == "cannot_links":
        apart = np.argwhere(np.triu(~footage.time_prior().possible, 1))
    labels = union_find(len(tracklets), pairs, kept.distance.to_numpy(), apart)
    matched = np.isin(np.arange(len(tracklets)), pairs)
    return site_labels(tracklets, matched, labels[matched])


def _when(tracklets: pd.DataFrame, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Camera, start and end of the given rows, as `pair_prior` wants them."""
    return (
        tracklets.camera_id.to_numpy()[rows],
        tracklets.t_start_us.to_numpy()[rows],
        tracklets.t_end_us.to_numpy()[rows],
    )
