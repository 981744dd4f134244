"""A start that saw other, labelled people: what PUL and reliable+soft labels assume. Learns from a benchmark's labels."""

from __future__ import annotations

from pydantic import Field

from pipeline.errors import UserError
from pipeline.manifests import CROPS, MODEL, PROTOCOL, TRACKLETS, TRAIN_LOG, VIDEOS
from pipeline.stage import Context, Stage
from stages.supervised import SupervisedConfig


class PretrainConfig(SupervisedConfig):
    """The settings of the supervised reference, for longer trainings."""

    steps: int = Field(10_000, ge=1, description="optimiser steps")
    learning_rate: float = Field(3.5e-4, gt=0, description="Adam's start rate")


def run(ctx: Context) -> None:
    import numpy as np

    from stages.network.run_models import start_network, write_model
    from stages.supervised import train_with_labels
    from stages.train import write_log
    from stages.training.training_part import training_footage

    footage = training_footage(ctx)
    person = ctx.read(PROTOCOL).set_index("tracklet_id").pid
    pid = person.reindex(footage.tracklets.tracklet_id).to_numpy(np.int64)
    if len(np.unique(pid[pid >= 0])) < 2:
        raise UserError("pretrain: fewer than two people to learn from; check ROOT, the folder of SOURCE.")
    network = start_network(ctx)
    log = list(ctx.progress(train_with_labels(ctx, network, footage, pid), "pretrain"))
    write_model(ctx, MODEL, network, steps=len(log))
    write_log(ctx, log)


STAGE = Stage(
    name="pretrain",
    inputs=(VIDEOS, TRACKLETS, CROPS, PROTOCOL),
    outputs=(MODEL, TRAIN_LOG),
    config=PretrainConfig,
    version=1,
    run=run,
    sources=("cut", "weights", "backbone", "image_size", "seed", "device"),
)
