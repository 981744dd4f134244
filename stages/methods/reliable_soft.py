"""Reliable and soft labels: unsupervised person re-identification using reliable and soft labels.

Sun, Jung. Sections and equations below are that paper's. It builds on PUL (Fan et al.: Unsupervised Person
Re-identification: Clustering and Fine-tuning, 2018), which is METHOD=pul: the same without cameras and soft labels.

Inside each camera the features are clustered; what lies close to a centre of its own camera is reliable (2.1). The
reliable ones of all cameras are clustered again, into people: their hard labels. The others get soft labels, by their
likeness to the people's centres (2.2). A classifier learns from both (2.3), and the features improve.

Deviations from the paper (the paper's own value in brackets):
  - The unit is a tracklet, as the mean of its frames [an image; a benchmark's image is a tracklet of one frame].
  - Reliable is the nearer share [cosine above 0.85: tied to a network that saw labelled people; min_cosine=0.85].
  - M is the label-free estimate [750 and 700, about the truth]. M_k is M too, as long as there
    are two tracklets for a centre, and at least as many as were seen there at once [unsaid; most people pass most cameras].
  - Adam at 3.5e-4, batches of 64, the augmentation of the other methods [SGD 1e-3, momentum 0.9, batches of 16, shifts of
    45 px, rotation by 20 degrees, 224x224].
Soft samples weigh as much as hard ones [unsaid], and every round starts from the first weights [PUL's code].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.manifests import ASSOCIATIONS, PSEUDO_LABELS
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

VERSION = 1
ROUNDS = 3


class AssociateConfig(Settings):
    """Sections 2.1 and 2.2."""

    people: int | None = Field(None, ge=2, description="M; null: the label-free estimate")
    by_camera: bool = Field(
        True, description="reliable by centres of the own camera (Eq. 3 to 5); PUL: false"
    )
    soft: bool = Field(
        True, description="soft labels for the others (Eq. 7, 8); false: they are left out (PUL)"
    )
    reliable_fraction: float = Field(
        0.6, gt=0, le=1, description="share of tracklets that are reliable, the nearest to a centre"
    )
    min_cosine: float | None = Field(
        None,
        ge=-1,
        le=1,
        description="lambda, from which cosine a tracklet is reliable, in place of the share; 0.85",
    )
    temperature: float = Field(0.02, gt=0, description="t of the soft labels (Eq. 8)")
    centres: Literal["centroid", "medoid"] = Field(
        "centroid",
        description="what stands for a cluster: its mean, or the member nearest to it (PUL's code)",
    )
    cluster_seed: int = Field(0, ge=0, description="seed of k-means")
    prior: Way = prior_setting(
        "off",
        "walking times, not in the paper. 'cannot_links': nobody has the hard label of, or a soft one for, who is certainly somebody else; "
        "'joint': that, and D / R for the distances to the centres",
    )


class TrainConfig(Settings):
    """Section 2.3."""

    restart: Literal["first", "last"] = Field(
        "first", description="weights a round starts from: the run's first (PUL), or those of the last round"
    )
    soft_weight: float = Field(1.0, ge=0, description="weight of a soft sample against a hard one")
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout before the classifier")
    batch_images: int = Field(64, ge=2, description="frames in a batch, drawn at random")
    images_per_tracklet: int = Field(60, ge=2, description="at most so many frames of a tracklet are used")
    steps: int = Field(150, ge=0, description="optimiser steps of round 0")
    round_steps: int = Field(150, ge=0, description="optimiser steps of every later round")
    learning_rate: float = Field(3.5e-4, gt=0, description="Adam's start rate")
    weight_decay: float = Field(5e-4, ge=0, description="Adam's weight decay")
    color_jitter: ColorJitter = 0.0


def associate(
    footage: Footage, features: Callable[[], np.ndarray], round_: int, settings: AssociateConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Reliable tracklets get one label, the others one row for each person they may be."""
    import numpy as np
    import pandas as pd

    from stages.association.link_tables import link_table, pairs_across
    from stages.association.prior_use import cluster_ratios, joint_distances, time_ratios
    from stages.network.embedding import tracklet_features

    tracklets = footage.tracklets
    m = min(settings.people or footage.people(), len(tracklets))
    if m < 2:
        return ASSOCIATIONS.empty(), PSEUDO_LABELS.empty()
    ids = tracklets.tracklet_id.to_numpy(str)
    f = tracklet_features(features(), list(footage.crops.tracklet_id), list(ids)).astype(np.float64)
    camera = tracklets.camera_id.to_numpy(str)
    ratio = time_ratios(footage, settings.prior)
    hard, c = reliable_labels(f, camera, seen_at_once(footage), m, settings, ratio)
    labels = [(ids[i], "site", int(hard[i]), 1.0) for i in np.flatnonzero(hard >= 0)]
    if settings.soft:
        unreliable = np.flatnonzero(hard < 0)
        r = None if ratio is None else cluster_ratios(ratio[unreliable], hard, len(c))
        for i, share in zip(unreliable, soft_labels(f[unreliable], c, settings.temperature, r), strict=True):
            labels += [(ids[i], "site", int(j), float(share[j])) for j in np.flatnonzero(share > 1e-4)]
    table = pd.DataFrame(labels, columns=["tracklet_id", "group", "pseudo_label", "weight"])
    a, b = pairs_across(hard, camera)
    distance = np.linalg.norm(f[a] - f[b], axis=1)
    joint = None if ratio is None else joint_distances(distance, ratio[a, b])
    return link_table(tracklets, a, b, distance, True, joint), table


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
    """2.3: cross-entropy against hard and soft labels, on frames."""
    import numpy as np
    import torch
    from torch import nn
    from torch.nn import functional

    from stages.network.images import Augmentation
    from stages.training.loop import cosine, fit
    from stages.training.samplers import frame_batches, in_tenths

    steps = settings.steps if round_ == 0 else settings.round_steps
    if not steps or pseudo_labels.pseudo_label.nunique() < 2:
        return
    wanted, is_soft = label_matrix(footage.tracklets, pseudo_labels)
    rows = crop_rows(footage)
    labelled = np.where(wanted.sum(1)[rows] > 0, rows, -1)
    torch.manual_seed(seed + 1000 * round_)
    layer = nn.Linear(network.dim, wanted.shape[1])
    nn.init.normal_(layer.weight, std=0.001)
    classifier = nn.Sequential(nn.Dropout(settings.dropout), layer)
    target = torch.from_numpy(wanted).float().to(device)
    weight = torch.from_numpy(np.where(is_soft, settings.soft_weight, 1.0)).float().to(device)

    def loss(features: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        at = torch.as_tensor(batch.tracklets, device=features.device)
        scores = classifier(features)
        each = -(target[at] * functional.log_softmax(scores, dim=1)).sum(1)
        wrong = scores.argmax(1) != target[at].argmax(1)
        return (weight[at] * each).sum() / weight[at].sum().clamp(min=1e-6), wrong.float().mean()

    drawn = list(
        frame_batches(
            labelled, rows, settings.batch_images, steps, np.random.default_rng([seed, round_]),
            max_crops_per_tracklet=settings.images_per_tracklet,
        )
    )  # fmt: skip
    yield from fit(
        network, images, in_tenths(drawn), loss, schedule=cosine(10),
        learning_rate=settings.learning_rate, weight_decay=settings.weight_decay, seed=seed + 1000 * round_,
        augmentation=Augmentation(color_jitter=settings.color_jitter), device=device, saved=saved, head=classifier,
    )  # fmt: skip


def reliable_labels(
    f: npt.NDArray[np.floating],
    camera: npt.NDArray[np.str_],
    at_once: dict[str, int],
    m: int,
    settings: AssociateConfig,
    ratio: npt.NDArray[np.floating] | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """2.1 and the first half of 2.2: (T,) hard labels, -1 where unreliable, and (M, D) the people's unit centres.

    Args:
        f: (T, D) unit vectors; camera: (T,); at_once: camera → people seen there at one instant; m: number of people.
        ratio: (T, T) R, see `stages.association.prior_use`; None: time says nothing.
    """
    import numpy as np

    def among(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.floating] | None:
        return None if ratio is None else ratio[np.ix_(rows, rows)]

    if not settings.by_camera:  # PUL: one clustering of all is both the test and the label
        labels, c = clusters(f, m, settings, ratio)
        cosine = np.where(labels >= 0, (f * c[labels]).sum(1), -1.0)
        return np.where(reliable(cosine, settings), labels, -1), c
    cosine = np.zeros(len(f))
    for k in np.unique(camera):
        here = np.flatnonzero(camera == k)
        m_k = max(min(m, -(-len(here) // 2)), at_once.get(str(k), 1))
        labels, centres = clusters(f[here], m_k, settings, among(here))  # Eq. 3, 4
        cosine[here] = np.where(labels >= 0, (f[here] * centres[labels]).sum(1), -1.0)  # Eq. 5
    chosen = np.flatnonzero(reliable(cosine, settings))
    hard = np.full(len(f), -1, np.int64)
    hard[chosen], c = clusters(f[chosen], min(m, len(chosen)), settings, among(chosen))  # Eq. 6
    return hard, c


def reliable(cosine: npt.NDArray[np.floating], settings: AssociateConfig) -> npt.NDArray[np.bool_]:
    """(T,) whether a tracklet is near enough to a centre; at least one always is."""
    import numpy as np

    if settings.min_cosine is not None and (cosine > settings.min_cosine).any():
        return np.asarray(cosine > settings.min_cosine)
    wanted = max(1, round(settings.reliable_fraction * len(cosine))) if settings.min_cosine is None else 1
    return np.asarray(np.argsort(np.argsort(-cosine, kind="stable"), kind="stable") < wanted)


def clusters(
    f: npt.NDArray[np.floating],
    m: int,
    settings: AssociateConfig,
    ratio: npt.NDArray[np.floating] | None = None,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """k-means of (n, D) unit vectors into m <= n clusters: (n,) labels and (m, D) unit centres.

    ratio: (n, n) R, under which k-means is gone on with, see `prior_use.regroup`; some labels may then be -1.
    """
    import numpy as np
    from sklearn.cluster import KMeans
    from sklearn.metrics.pairwise import euclidean_distances

    from stages.association.prior_use import regroup

    found = KMeans(m, n_init=3, random_state=settings.cluster_seed).fit(f)
    labels, centres = found.labels_.astype(np.int64), found.cluster_centers_
    if ratio is not None:
        labels, centres = regroup(f, labels, centres, ratio)
    if settings.centres == "medoid":
        distance = euclidean_distances(f, centres)
        distance[labels[:, None] != np.arange(m)] = np.inf
        centres = f[distance.argmin(0)]
    return labels, np.asarray(centres / np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12))


def soft_labels(
    f: npt.NDArray[np.floating],
    c: npt.NDArray[np.floating],
    temperature: float,
    ratio: npt.NDArray[np.floating] | None = None,
) -> npt.NDArray[np.float64]:
    """Eq. 7 and 8: (n, M) softmax of the cosines of ``f`` (n, D) and the centres ``c`` (M, D), over t.

    ratio: (n, M) R. The cosine of unit vectors is 1 - D² / 2, and D / R takes the place of D; where R is 0 the label is
    0, and a row of noughts where it is 0 throughout.
    """
    import numpy as np
    from scipy.special import softmax

    cosine = f @ c.T
    if ratio is None:
        return softmax(cosine / temperature, axis=1)  # type: ignore[no-any-return]
    r = np.where(ratio > 0, ratio, 1.0)
    timed = np.where(ratio > 0, cosine - (1 - cosine) * (1 / r**2 - 1), -np.inf)
    some = (ratio > 0).any(1)
    share = np.zeros(cosine.shape)
    share[some] = softmax(timed[some] / temperature, axis=1)
    return share


def seen_at_once(footage: Footage) -> dict[str, int]:
    """Camera → the number of people seen there at one instant: fewer than so many clusters it cannot have."""
    tracklets = footage.tracklets
    found = {}
    for camera, own in tracklets.groupby("camera_id"):
        start, end = own.t_start_us.to_numpy(), own.t_end_us.to_numpy()
        found[str(camera)] = int(max(((start <= t) & (end >= t)).sum() for t in start))
    return found


def label_matrix(
    tracklets: pd.DataFrame, pseudo_labels: pd.DataFrame
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """(T, M) what each tracklet is to be taken for, rows that sum to one or to nought; (T,) whether that is soft."""
    import numpy as np
    import pandas as pd

    row = pd.Series(range(len(tracklets)), index=tracklets.tracklet_id)
    wanted = np.zeros((len(tracklets), int(pseudo_labels.pseudo_label.max()) + 1))
    np.add.at(
        wanted, (row[pseudo_labels.tracklet_id].to_numpy(), pseudo_labels.pseudo_label.to_numpy()),
        pseudo_labels.weight.to_numpy(),
    )  # fmt: skip
    sums = wanted.sum(1, keepdims=True)
    return wanted / np.maximum(sums, 1e-12), np.asarray((wanted > 0).sum(1) > 1)
