"""Train the re-ID network on the round's pseudo-labels, from where the last round ended."""

from __future__ import annotations

from pathlib import Path

from pipeline.manifests import CAMERA_LABELS, CROPS, MODEL, PSEUDO_LABELS, TRACKLETS, TRAIN_LOG, VIDEOS
from pipeline.stage import Context, Settings, Stage
from stages import methods


def run(ctx: Context) -> None:
    from stages.network.run_models import read_network, start_network, write_model
    from stages.training.training_part import training_footage, training_images

    footage = training_footage(ctx)
    labels = ctx.read(PSEUDO_LABELS)
    # A method whose settings have a restart may begin every round from the run's first weights.
    first = not ctx.has(MODEL) or getattr(ctx.settings, "restart", "last") == "first"
    network = start_network(ctx) if first else read_network(ctx.paths(MODEL)[-1])
    log = list(
        ctx.progress(
            methods.load(ctx.method).train(
                network,
                training_images(ctx, footage, network),
                footage,
                labels,
                ctx.round,
                ctx.settings,
                seed=ctx.seed,
                device=ctx.device,
                saved=saved_state(ctx),
            ),
            f"train@{ctx.round}",
        )
    )
    before = int(ctx.read(MODEL).steps.iloc[0]) if ctx.has(MODEL) else 0
    write_model(ctx, MODEL, network, steps=len(log), before=before)
    write_log(ctx, log)


def saved_state(ctx: Context) -> Path:
    """Where a training that may be killed keeps its state: a name for these very inputs, settings and sources."""
    from pipeline.digest import text_digest
    from pipeline.schema import content_digest

    inputs = {name: [content_digest(path) for path in paths[-1:]] for name, paths in ctx.inputs.items()}
    parts = {
        **ctx.shard_key_parts,
        "inputs": inputs,
        "method": ctx.method,
        "round": ctx.round,
        "seed": ctx.seed,
    }
    return ctx.run_dir / "shard_cache" / "training" / f"{text_digest(parts)}.pt"


def write_log(ctx: Context, log: list[dict[str, float]]) -> None:
    """The training curve; a round that had nothing to train on has none."""
    import pandas as pd

    frame = pd.DataFrame(log) if log else TRAIN_LOG.empty()
    ctx.write(TRAIN_LOG, frame)
    if log:
        head, tail = frame.loss.head(10).mean(), frame.loss.tail(10).mean()
        ctx.log(f"{len(log)} steps, loss {head:.3f} → {tail:.3f}")
        ctx.add_metadata(steps=len(log), loss_first=float(head), loss_last=float(tail))
    else:
        ctx.log("nothing to train on; the model stays as it was")


STAGE = Stage(
    name="train",
    inputs=(VIDEOS, TRACKLETS, CROPS, PSEUDO_LABELS),
    extra_inputs=(MODEL, CAMERA_LABELS),
    outputs=(MODEL, TRAIN_LOG),
    config=Settings,  # the method's own, see pipeline.graph
    version=1,
    run=run,
    sources=("cut", "weights", "backbone", "image_size", "seed", "device"),
)
