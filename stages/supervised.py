"""The reference: the same network trained with the truth on the same training tracklets. Nothing else uses it.

It says how much of what labels could buy was reached without them, so it gets the same crops, loss and batch size, and
as many steps as made it strongest; only the labels differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count, islice
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipeline.errors import UserError
from pipeline.manifests import (
    BOXES,
    CROPS,
    GROUND_TRUTH,
    LABELLED_FRAMES,
    PEOPLE,
    SUPERVISED_MODEL,
    TRACKLETS,
    VIDEOS,
)  # fmt: skip
from pipeline.stage import Context, Settings, Stage
from stages.methods import ColorJitter

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from stages.methods import Footage
    from stages.network.backbone import ReidNetwork


class SupervisedConfig(Settings):
    steps: int = Field(300, ge=1, description="optimiser steps; on the demo site 500 gave a weaker reference")
    batch_people: int = Field(16, ge=2, description="P, people in a batch")
    batch_images: int = Field(4, ge=2, description="K, images of each person in a batch")
    margin: float = Field(0.3, ge=0, description="m of the batch-hard triplet loss")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's start rate")
    weight_decay: float = Field(5e-4, ge=0, description="Adam's weight decay")
    color_jitter: ColorJitter = 0.0


def run(ctx: Context) -> None:
    import numpy as np

    from stages.network.run_models import start_network, write_model
    from stages.training.training_part import training_footage

    footage = training_footage(ctx)
    pid = true_labels(ctx, footage.tracklets)
    if len(np.unique(pid[pid >= 0])) < 2:
        raise UserError(
            "supervised: fewer than two people of GROUND_TRUTH were tracked before the evaluation cut; "
            "check GROUND_TRUTH, the detections and the topology's evaluation.train_until."
        )
    network = start_network(ctx)
    log = list(ctx.progress(train_with_labels(ctx, network, footage, pid), "supervised"))
    write_model(ctx, SUPERVISED_MODEL, network, steps=len(log))
    ctx.log(
        f"{len(np.unique(pid[pid >= 0]))} true people, {int((pid >= 0).sum())} tracklets, {len(log)} steps"
    )


def train_with_labels(
    ctx: Context, network: ReidNetwork, footage: Footage, pid: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Batch-hard triplets of unit features over true persons; yields TRAIN_LOG rows.

    pid: (T,) the person of each tracklet of the footage, -1 for those to leave out.
    """
    import numpy as np
    import torch
    from torch.nn import functional

    from stages.network.images import Augmentation
    from stages.train import saved_state
    from stages.training.loop import cosine, fit
    from stages.training.losses import batch_hard_triplet
    from stages.training.samplers import Batch, identity_batches
    from stages.training.training_part import training_images
    from stages.training.within_camera import crop_rows

    rows, of_crop = np.flatnonzero(pid >= 0), crop_rows(footage)
    random = np.random.default_rng([ctx.seed, 99])
    settings: SupervisedConfig = ctx.settings

    def loss(features: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.as_tensor(batch.labels, device=features.device)
        return batch_hard_triplet(functional.normalize(features), labels, margin=settings.margin)

    def epoch() -> Iterator[Batch]:
        return identity_batches(
            of_crop, rows, pid[rows], np.full(len(rows), "site"), footage.tracklets.camera_id.to_numpy(),
            labels_per_batch=settings.batch_people, crops_per_label=settings.batch_images, rng=random,
        )  # fmt: skip

    # One epoch of as many steps as wanted: an epoch over few people is a handful, and the rate falls by epochs.
    endless = islice((batch for _ in count() for batch in epoch()), settings.steps)
    epochs = (islice(endless, -(-settings.steps // 10)) for _ in range(10))
    return fit(
        network, training_images(ctx, footage, network), epochs, loss, schedule=cosine(10),
        augmentation=Augmentation(color_jitter=settings.color_jitter), learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay, seed=ctx.seed, device=ctx.device, saved=saved_state(ctx),
    )  # fmt: skip


def true_labels(ctx: Context, tracklets: pd.DataFrame) -> np.ndarray:
    """(T,) the true person of each training tracklet by majority; -1 for nobody and for people seen after the cut too."""
    import numpy as np

    from data.datasets.labelled_frames import that_count
    from stages.evaluation.matching import persons_of

    boxes, truth = ctx.read(BOXES), ctx.read(GROUND_TRUTH)
    boxes = boxes[that_count(boxes, ctx.read(LABELLED_FRAMES))].reset_index(drop=True)
    people = persons_of(boxes, truth)
    roles = ctx.read(PEOPLE).set_index("pid").role
    pid = np.array([people.get(t, -1) for t in tracklets.tracklet_id])
    return np.where(np.isin(pid, roles.index[roles == "train"]), pid, -1)


STAGE = Stage(
    name="supervised",
    inputs=(VIDEOS, TRACKLETS, BOXES, CROPS, GROUND_TRUTH, LABELLED_FRAMES, PEOPLE),
    outputs=(SUPERVISED_MODEL,),
    config=SupervisedConfig,
    version=2,
    run=run,
    sources=("cut", "weights", "backbone", "image_size", "seed", "device"),
)
