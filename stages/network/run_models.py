"""Checkpoints as the chain hands them on: the start network, a round's model, and the MODEL table beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.schema import Manifest
from pipeline.stage import Context

if TYPE_CHECKING:
    from stages.network.backbone import ReidNetwork

CHECKPOINT = "model.pt"


def start_network(ctx: Context) -> ReidNetwork:
    """The network every method starts from: sources 'backbone', 'weights', 'image_size' and 'seed'."""
    from stages.network import backbone

    weights = ctx.source("weights")
    return backbone.build(
        ctx.source("backbone"), None if weights == "random" else weights, ctx.seed, ctx.source("image_size")
    )


def start_checkpoint(ctx: Context) -> Path:
    """The start network as one of our checkpoints, written once per run and start."""
    from pipeline.digest import text_digest
    from stages.network import backbone

    weights = ctx.source("weights")
    content = {name: ctx.digest_of(name) for name in ("backbone", "weights", "image_size")}
    if weights == "random":
        content["seed"] = ctx.seed
    folder = ctx.run_dir / "start" / text_digest(content)
    if not (folder / CHECKPOINT).is_file():
        folder.mkdir(parents=True, exist_ok=True)
        backbone.save(start_network(ctx), folder / f"{CHECKPOINT}.part")
        (folder / f"{CHECKPOINT}.part").rename(folder / CHECKPOINT)
    return folder / CHECKPOINT


def checkpoint_beside(table: Path) -> Path:
    """The checkpoint that a MODEL table describes."""
    return table.parent / CHECKPOINT


def read_network(table: Path) -> ReidNetwork:
    from stages.network import backbone

    return backbone.load(checkpoint_beside(table))


def write_model(ctx: Context, manifest: Manifest, network: ReidNetwork, steps: int, before: int = 0) -> None:
    """Save ``network`` in the stage's folder and write the one-row table beside it; ``before`` steps came earlier."""
    import hashlib

    import pandas as pd

    from stages.network import backbone

    path = ctx.out / CHECKPOINT
    backbone.save(network, path)
    row = {
        "weights": CHECKPOINT,
        "digest": hashlib.sha256(path.read_bytes()).hexdigest(),
        "backbone": network.name,
        "dim": network.dim,
        "steps": before + steps,
    }
    ctx.write(manifest, pd.DataFrame([row]))
