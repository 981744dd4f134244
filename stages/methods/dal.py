"""DAL: Deep Association Learning for unsupervised video person re-identification.

Chen, Zhu, Gong, BMVC 2018. Sections and equations below are that paper's.

Every tracklet has an anchor in its own camera, a running mean of its frames' features (3.1). A frame should lie
nearer to its own tracklet's anchor than to any other of that camera (L_I). Where two anchors of different cameras are
each other's nearest, their mean is the cross-camera anchor, and the frame should lie near that one too (3.2, L_C).
There are no labels, no classifier and no clustering; anchors and network improve each other batch by batch.

Deviations from the paper (the paper's own value in brackets):
  - The training is cut in rounds, so that it can be measured, resumed and stopped: round 0 is the warm-up, in which the
    cross-camera anchor is the normalised own one (released code; the text omits it), the others associate. Anchors
    begin each round as the tracklets' means [once, as means; released code: zeros].
  - The nearest anchor is looked for among all other cameras together, as in the released code [camera k → camera l → k;
    train.cycle=camera_pair, and associate.cycle for what is measured].
  - Frames of one tracklet in one batch are averaged before its anchor moves: one after the other they would make the
    step of Eq. 1 as many times as long.
  - Adam at 3.5e-4, flips and shifts [RMSProp 0.045 or Nesterov 0.01, no augmentation, 224x112]: for short trainings.
  - Of a tracklet at most 60 frames are used [all; images_per_tracklet].
  - The running mean of the weights is ramped, so that a short training does not end on its start.
Margin and distance are the text's: 0.2, Euclidean of unit vectors [released scripts: 0.5, squared].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.errors import UserError
from pipeline.manifests import ASSOCIATIONS
from pipeline.stage import Settings
from stages.methods import ColorJitter, Footage, Way, prior_setting
from stages.training.within_camera import crop_rows, within_camera_labels

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd
    import torch

    from stages.training.samplers import Batch

VERSION = 1
ROUNDS = 3
# So its training may ask for time and place, as other methods' `associate` does.
ASSOCIATES_IN_TRAINING = True


class AssociateConfig(Settings):
    """Section 3.2 (1)."""

    cycle: Literal["pooled", "camera_pair"] = Field(
        "pooled", description="the same as train.cycle, for the links that are measured after a round"
    )
    prior: Way = prior_setting(
        "off", "the same as train.prior, for the links that are measured after a round"
    )


class TrainConfig(Settings):
    """Sections 3.1 to 3.3 and 4.1."""

    margin: float = Field(0.2, ge=0, description="m of the hinge losses (Eq. 3, 6)")
    update_rate: float = Field(0.5, gt=0, le=1, description="eta of the anchors (Eq. 1)")
    intra: bool = Field(True, description="use L_I (Eq. 3)")
    cross_weight: float = Field(1.0, ge=0, description="lambda of L_C (Eq. 7); 0: L_I only")
    cycle: Literal["pooled", "camera_pair"] = Field(
        "pooled",
        description="where the nearest anchor is looked for (Eq. 4): all other cameras at once, or each camera on its own (the text)",
        exclude_if=lambda cycle: cycle == "pooled",
    )
    batch_images: int = Field(64, ge=2, description="frames in a batch, drawn at random")
    images_per_tracklet: int = Field(60, ge=2, description="at most so many frames of a tracklet are used")
    steps: int = Field(150, ge=0, description="optimiser steps of round 0, the warm-up")
    round_steps: int = Field(120, ge=0, description="optimiser steps of every later round")
    learning_rate: float = Field(3.5e-4, gt=0, description="Adam's rate")
    weight_decay: float = Field(4e-5, ge=0, description="Adam's weight decay")
    average_decay: float | None = Field(
        0.9999,
        gt=0,
        lt=1,
        description="of the running mean of the weights, which is used in the end; null: none",
    )
    color_jitter: ColorJitter = 0.0
    prior: Way = prior_setting(
        "off",
        "walking times in the cyclic ranking (Eq. 4) of every batch, not in the paper. 'cannot_links': anchors that are "
        "certainly two people are not ranked; 'joint': nor those, and the others by D / R",
    )


def associate(
    footage: Footage, features: Callable[[], np.ndarray], round_: int, settings: AssociateConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The cyclic ranking of the last model's tracklet means: what Fig. 4 follows through the training.

    DAL trains on tracklets and not on pairs: the labels are each tracklet's own, in its camera.
    """
    import numpy as np
    import pandas as pd
    import torch

    from stages.association.link_tables import link_table
    from stages.association.prior_use import joint_distances
    from stages.network.embedding import tracklet_features

    tracklets = footage.tracklets
    labels = within_camera_labels(tracklets)
    if round_ == 0 or tracklets.camera_id.nunique() < 2:
        return ASSOCIATIONS.empty(), labels
    ids = tracklets.tracklet_id.to_numpy(str)
    x = torch.from_numpy(tracklet_features(features(), list(footage.crops.tracklet_id), list(ids)))
    camera = torch.from_numpy(pd.factorize(tracklets.camera_id)[0])
    ratio = anchor_ratios(footage, settings.prior)
    nearest, consistent = cyclic_ranking(torch.arange(len(ids)), x, camera, settings.cycle, ratio)
    distance = (x - x[nearest]).norm(dim=1).numpy()
    i, j = np.arange(len(ids)), nearest.numpy()
    joint = None if ratio is None else joint_distances(distance, ratio.numpy()[i, j])
    links = link_table(tracklets, i, j, distance, consistent.numpy(), joint)[j >= 0]
    links = links.sort_values("kept", ascending=False).drop_duplicates(["tracklet_a", "tracklet_b"])
    return links.reset_index(drop=True), labels


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
    """Algorithm 1: forward, both losses against the anchors, anchors moved, network moved."""
    import numpy as np
    import pandas as pd
    import torch
    from torch.nn import functional

    from stages.network.images import Augmentation
    from stages.training.loop import fit
    from stages.training.samplers import frame_batches

    if settings.prior != "off" and not footage.site.cameras:
        raise UserError(
            f"train.prior={settings.prior}: the stage `train` was given no site file, so it knows no walking times; "
            "leave train.prior=off, or name a site file with TOPOLOGY."
        )
    steps = settings.steps if round_ == 0 else settings.round_steps
    if not steps or len(footage.tracklets) < 2:
        return
    camera = torch.from_numpy(pd.factorize(footage.tracklets.camera_id)[0]).to(device)
    x = tracklet_means(network, images, footage, settings.images_per_tracklet, device)
    a = functional.normalize(x)
    ratio = anchor_ratios(footage, settings.prior, device)
    memory = {"intra-camera anchors": x, "cross-camera anchors": a}
    rows = crop_rows(footage)
    batches = frame_batches(
        rows, rows, settings.batch_images, steps, np.random.default_rng([seed, round_]),
        max_crops_per_tracklet=settings.images_per_tracklet,
    )  # fmt: skip

    def loss(features: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        own = torch.as_tensor(batch.tracklets, device=features.device)
        f = functional.normalize(features)
        intra, cross, active = association_losses(f, own, x, a, camera, settings.margin)
        with torch.no_grad():
            update_intra_anchors(x, f, own, settings.update_rate)
            update_cross_anchors(
                a, x, own.unique(), camera, settings.cycle, associated=round_ > 0, ratio=ratio
            )
        return intra * float(settings.intra) + settings.cross_weight * cross, active

    yield from fit(
        network, images, [batches], loss, learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay, average_decay=settings.average_decay, seed=seed + 1000 * round_,
        augmentation=Augmentation(color_jitter=settings.color_jitter), device=device, saved=saved, memory=memory,
    )  # fmt: skip


def association_losses(
    f: torch.Tensor, own: torch.Tensor, x: torch.Tensor, a: torch.Tensor, camera: torch.Tensor, margin: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """L_I of Eq. 3, L_C of Eq. 6, both averaged over the batch, and the share of frames whose L_I is above zero.

    Args:
        f: (B, D) unit features of the frames; own: (B,) their tracklets.
        x, a: (T, D) anchors of the tracklets, constants here; camera: (T,).
    """
    import torch
    from torch.nn import functional

    x, a = functional.normalize(x), functional.normalize(a)
    d = torch.cdist(f, x, compute_mode="donot_use_mm_for_euclid_dist")  # Eq. 2
    same_camera = camera[own][:, None] == camera[None, :]
    rank1, t = d.masked_fill(~same_camera, torch.inf).min(1)
    d_pp = d.gather(1, own[:, None]).squeeze(1)
    of_camera = (camera[own][:, None] == camera[own][None, :]).to(d)
    mean_rank1 = (of_camera * rank1[None, :]).sum(1) / of_camera.sum(1)
    negative = torch.where(t == own, mean_rank1, rank1)
    intra = torch.relu(d_pp - negative + margin)
    cross = torch.relu((f - a[own]).norm(dim=1) - negative + margin)
    return intra.mean(), cross.mean(), (intra > 0).float().mean()


def update_intra_anchors(x: torch.Tensor, f: torch.Tensor, own: torch.Tensor, rate: float) -> None:
    """Eq. 1, in place: x ← x - rate * (l2(x) - l2(f)), f the mean over the tracklet's frames in the batch."""
    import torch
    from torch.nn import functional

    seen, index = own.unique(return_inverse=True)
    mean = torch.zeros(len(seen), f.shape[1], dtype=x.dtype, device=x.device).index_add_(
        0, index, f.to(x.dtype)
    )
    x[seen] -= rate * (functional.normalize(x[seen]) - functional.normalize(mean))


def update_cross_anchors(
    a: torch.Tensor,
    x: torch.Tensor,
    rows: torch.Tensor,
    camera: torch.Tensor,
    cycle: str = "pooled",
    *,
    associated: bool,
    ratio: torch.Tensor | None = None,
) -> None:
    """Eq. 5, in place, for the tracklets ``rows``: the mean of two anchors that are each other's nearest."""
    import torch
    from torch.nn import functional

    own = functional.normalize(x[rows])
    if not associated or len(camera.unique()) < 2:
        a[rows] = own
        return
    nearest, consistent = cyclic_ranking(rows, x, camera, cycle, ratio)
    merged = (own + functional.normalize(x[nearest])) / 2
    a[rows] = torch.where(consistent[:, None], merged, own)


def cyclic_ranking(
    rows: torch.Tensor,
    x: torch.Tensor,
    camera: torch.Tensor,
    cycle: str = "pooled",
    ratio: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Eq. 4: the nearest anchor of other cameras for each of ``rows`` (R,), and whether ranking back leads home (R,).

    cycle: 'pooled' ranks all other cameras at once; 'camera_pair' each on its own, and the nearest of those that lead
        home is taken, or the nearest at all.
    ratio: (T, T) R, see `stages.association.prior_use`: ranked is by D / R, there and back. An anchor that can be nobody
        elsewhere has no nearest, which is -1.
    """
    import torch
    from torch.nn import functional

    x = functional.normalize(x)

    def distances(of: torch.Tensor) -> torch.Tensor:
        d = torch.cdist(x[of], x, compute_mode="donot_use_mm_for_euclid_dist")
        return d if ratio is None else (d / ratio[of]).masked_fill(ratio[of] == 0, torch.inf)

    home = camera[rows][:, None] == camera[None, :]
    d = distances(rows).masked_fill(home, torch.inf)
    nearest = d.argmin(1)
    somebody = torch.isfinite(d.gather(1, nearest[:, None]).squeeze(1))

    def back(there: torch.Tensor) -> torch.Tensor:
        return distances(there).masked_fill(~home, torch.inf).argmin(1) == rows

    if cycle == "pooled":
        return torch.where(somebody, nearest, -1), back(nearest) & somebody
    best = torch.full((len(rows),), torch.inf, device=x.device)
    nearest, found = torch.where(somebody, nearest, -1), torch.zeros_like(somebody)
    for other in camera.unique():
        here = d.masked_fill((camera != other)[None, :], torch.inf)
        distance, there = here.min(1)
        closes = torch.isfinite(distance) & back(there) & (distance < best)
        best, nearest, found = (
            torch.where(closes, distance, best), torch.where(closes, there, nearest), found | closes,
        )  # fmt: skip
    return nearest, found


def anchor_ratios(footage: Footage, way: str, device: str = "cpu") -> torch.Tensor | None:
    """(T, T) R of the tracklets that the anchors stand for; None where the way is 'off'."""
    import torch

    from stages.association.prior_use import time_ratios

    found = time_ratios(footage, way)
    return None if found is None else torch.from_numpy(found).float().to(device)


def tracklet_means(
    network: Any, images: Any, footage: Footage, images_per_tracklet: int, device: str
) -> torch.Tensor:
    """(T, D) the mean of each tracklet's normalised frame features: what an anchor begins as."""
    import torch

    from stages.network.embedding import store_features

    rows = crop_rows(footage)
    f = torch.from_numpy(store_features(network, images, device)).to(device)
    index = torch.from_numpy(rows).to(device)
    sums = torch.zeros(len(footage.tracklets), f.shape[1], device=device).index_add_(0, index, f)
    return sums / index.bincount(minlength=len(sums)).clamp(min=1)[:, None]
