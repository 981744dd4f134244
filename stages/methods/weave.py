"""weave: our own method, the default.

It starts as TASTR does, inside the cameras. Then, where TASTR keeps the nearest third of the mutual neighbours of
each camera pair, it asks the same question as `identify`: looks and times are weighed into log-odds of "same person",
calibrated without labels (people seen at once are certainly different, halves of a tracklet the same), all tracklets
are clustered under certain negatives, and the members that clearly belong become labels for the whole site. So one
batch holds people of all cameras, and a person seen in four of them is one label, not six.

Why: on market-site TASTR's pairs were right but few (precision 0.86 to 0.89 at recall 0.26 to 0.33 from ImageNet weights) and its
narrow batches went nowhere; confident clusters have about that precision at twice the recall.

Sources of its parts: within-camera start, Xie et al. (TASTR, 2019), IV-B; batch-hard triplets, Hermans et al., 2017;
evidence and clustering, `stages.association.evidence` and `stages.association.grouping`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipeline.manifests import ASSOCIATIONS
from pipeline.stage import Settings
from stages.association.grouping import GroupingConfig, identify, score_tracklet_pairs
from stages.methods import ColorJitter, Footage
from stages.training.within_camera import crop_rows, within_camera_epoch, within_camera_labels

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from stages.training.samplers import Batch

VERSION = 3
ROUNDS = 3


class AssociateConfig(GroupingConfig):
    """How tracklets become pseudo-identities."""

    # A network soon agrees with whatever it was taught, so a wrong link of round 1 is there in round 3 too: on
    # market-site no threshold of a later round took it out again. Hence stricter than `identify`, from the first on.
    min_log_odds: float = Field(
        2.0,
        description="mean log-odds of 'same person' at which two groups of tracklets are joined; higher is stricter",
    )
    min_confidence: float = Field(
        0.8, ge=0, le=1, description="members that belong less clearly to their cluster get no label"
    )


class TrainConfig(Settings):
    """Batch-hard triplets of unit features."""

    margin: float = Field(0.3, ge=0, description="margin of the batch-hard triplet loss")
    batch_tracklets: int = Field(16, ge=2, description="labels in a batch")
    batch_images: int = Field(4, ge=2, description="images of each label in a batch")
    images_per_tracklet: int = Field(60, ge=2, description="at most so many images of a tracklet are used")
    gap_s: float | None = Field(
        None,
        ge=0,
        description="time between tracklets of one camera in a batch of round 0, s; default: the usual dwell",
    )
    epochs: int = Field(10, ge=0, description="epochs of round 0, within cameras")
    round_steps: int = Field(120, ge=0, description="optimiser steps of every later round")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's start rate of round 0")
    round_learning_rate: float = Field(5e-4, gt=0, description="Adam's start rate of every later round")
    weight_decay: float = Field(5e-4, ge=0, description="Adam's weight decay")
    color_jitter: ColorJitter = 0.0


def associate(
    footage: Footage, features: Callable[[], np.ndarray], round_: int, settings: AssociateConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Round 0 labels every tracklet inside its camera; later rounds label confident members of clusters site-wide."""
    import numpy as np

    from stages.association.link_tables import site_labels

    if round_ == 0:
        return ASSOCIATIONS.empty(), within_camera_labels(footage.tracklets)
    tracklets = footage.tracklets
    prior = footage.time_prior(settings.sigma_fraction)
    means, evidence = score_tracklet_pairs(
        features(), footage.crops, tracklets, prior, settings, footage.annotated
    )
    groups = identify(tracklets, evidence.log_odds, settings.min_log_odds).set_index("tracklet_id")
    groups = groups.loc[tracklets.tracklet_id]
    sure = groups.confidence.to_numpy() >= settings.min_confidence
    links = cross_camera_links(tracklets, means, prior.log_prior, groups.identity.to_numpy(), sure)
    return links, site_labels(tracklets, sure, groups.identity.to_numpy(np.int32)[sure])


def cross_camera_links(
    tracklets: pd.DataFrame, means: np.ndarray, log_prior: np.ndarray, identity: np.ndarray, sure: np.ndarray
) -> pd.DataFrame:
    """ASSOCIATIONS: every cross-camera pair inside a cluster, kept where both members are sure."""
    import numpy as np

    from stages.association.link_tables import link_table, pairs_across

    i, j = pairs_across(identity, tracklets.camera_id.to_numpy(str))
    distance = np.linalg.norm(means[i] - means[j], axis=1)
    return link_table(tracklets, i, j, distance, sure[i] & sure[j], distance / np.exp(log_prior[i, j]))


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
    """Batch-hard triplets inside the camera (round 0) or over the whole site (later)."""
    import numpy as np
    import torch
    from torch.nn import functional

    from stages.network.images import Augmentation
    from stages.training.loop import cosine, fit
    from stages.training.losses import batch_hard_triplet

    def loss(features: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.as_tensor(batch.labels, device=features.device)
        return batch_hard_triplet(functional.normalize(features), labels, margin=settings.margin)

    random = np.random.default_rng([seed, round_])
    epochs: list[Iterable[Batch]]
    if round_ == 0:
        epochs = [within_camera_batches(footage, settings, random) for _ in range(settings.epochs)]
    else:
        epochs = list(site_batches(footage, pseudo_labels, settings, random))
    yield from fit(
        network, images, epochs, loss, schedule=cosine(len(epochs)), augmentation=Augmentation(color_jitter=settings.color_jitter),
        learning_rate=settings.learning_rate if round_ == 0 else settings.round_learning_rate,
        weight_decay=settings.weight_decay, seed=seed + 1000 * round_, device=device, saved=saved,
    )  # fmt: skip


def within_camera_batches(
    footage: Footage, settings: TrainConfig, random: np.random.Generator
) -> Iterator[Batch]:
    """One epoch inside the cameras."""
    return within_camera_epoch(
        footage, random, tracklets=settings.batch_tracklets, images=settings.batch_images,
        gap_s=settings.gap_s, images_per_tracklet=settings.images_per_tracklet,
    )  # fmt: skip


def site_batches(
    footage: Footage, pseudo_labels: pd.DataFrame, settings: TrainConfig, random: np.random.Generator
) -> Iterator[Iterable[Batch]]:
    """`round_steps` batches over the whole site, in tenths.

    Nothing where fewer than two people are told apart, or nobody is known in two cameras: round 0 has learned all that
    one camera teaches.
    """
    import pandas as pd

    from stages.training.samplers import identity_batches, in_tenths

    tracklets = footage.tracklets
    camera = pseudo_labels.tracklet_id.map(tracklets.set_index("tracklet_id").camera_id)
    if (
        pseudo_labels.pseudo_label.nunique() < 2
        or camera.groupby(pseudo_labels.pseudo_label).nunique().max() < 2
    ):
        return
    row = pd.Series(range(len(tracklets)), index=tracklets.tracklet_id)
    drawn: list[Batch] = []
    while len(drawn) < settings.round_steps:
        drawn += identity_batches(
            crop_rows(footage), row[pseudo_labels.tracklet_id].to_numpy(), pseudo_labels.pseudo_label.to_numpy(),
            pseudo_labels.group.to_numpy(), tracklets.camera_id.to_numpy(),
            labels_per_batch=settings.batch_tracklets, crops_per_label=settings.batch_images,
            max_crops_per_tracklet=settings.images_per_tracklet, rng=random,
        )  # fmt: skip
    yield from in_tenths(drawn[: settings.round_steps])
