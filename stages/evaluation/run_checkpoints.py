"""The networks a run went through: start, after each round, supervised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline import schema
from pipeline.manifests import MODEL, SELECTION, SUPERVISED_MODEL
from pipeline.schema import Manifest
from pipeline.stage import Context
from stages.network.run_models import CHECKPOINT, start_checkpoint


@dataclass(frozen=True)
class RunCheckpoint:
    """name: 'start', 'round-0' …, 'supervised'; round: -1 for the start and the supervised one."""

    name: str
    round: int
    checkpoint: Path


def run_checkpoints(ctx: Context) -> list[RunCheckpoint]:
    """Start, rounds in order, and the supervised reference where this run has one."""
    checkpoints = [RunCheckpoint("start", -1, start_checkpoint(ctx))]
    for path in ctx.paths(MODEL):
        name = path.parent.name  # 'round-2', or 'pretrain', which has no rounds
        round_ = int(name.rpartition("-")[2]) if name.startswith("round-") else -1
        checkpoints.append(RunCheckpoint(name, round_, _weights(MODEL, path)))
    if ctx.has(SUPERVISED_MODEL):
        checkpoints.append(
            RunCheckpoint("supervised", -1, _weights(SUPERVISED_MODEL, ctx.paths(SUPERVISED_MODEL)[-1]))
        )
    return checkpoints


def final_checkpoint(ctx: Context, checkpoints: list[RunCheckpoint]) -> RunCheckpoint:
    """The state the run ends on, as SELECTION chose it without truth: one of ``states``, or the mean of several.

    Its round is that of the last one in it.
    """
    selection = ctx.read(SELECTION)
    chosen = [int(r) for r in selection["round"][selection.chosen]]
    if len(chosen) == 1:
        return next(s for s in checkpoints if s.round == chosen[0] and s.name != "supervised")
    name = "mean of rounds " + ", ".join(map(str, chosen))
    return RunCheckpoint(name, chosen[-1], ctx.paths(SELECTION)[-1].parent / CHECKPOINT)


def _weights(manifest: Manifest, table: Path) -> Path:
    return table.parent / str(schema.read(manifest, table).weights.iloc[0])
