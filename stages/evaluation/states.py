"""The networks a run went through: start, after each round, supervised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline import schema
from pipeline.manifests import MODEL, SELECTION, SUPERVISED_MODEL
from pipeline.schema import Manifest
from pipeline.stage import Context
from stages.reid.model import start_checkpoint


@dataclass(frozen=True)
class ModelState:
    """name: 'start', 'round-0' …, 'supervised'; round: -1 for the start and the supervised one."""

    name: str
    round: int
    checkpoint: Path


def model_states(ctx: Context) -> list[ModelState]:
    """Start, rounds in order, and the supervised reference where this run has one."""
    states = [ModelState("start", -1, start_checkpoint(ctx))]
    for path in ctx.paths(MODEL):
        states.append(
            ModelState(path.parent.name, int(path.parent.name.rpartition("-")[2]), _weights(MODEL, path))
        )
    if ctx.has(SUPERVISED_MODEL):
        states.append(
            ModelState("supervised", -1, _weights(SUPERVISED_MODEL, ctx.paths(SUPERVISED_MODEL)[-1]))
        )
    return states


def final_state(ctx: Context, states: list[ModelState]) -> ModelState:
    """The state the run ends on, as SELECTION chose it without truth."""
    selection = ctx.read(SELECTION)
    chosen = int(selection["round"][selection.chosen].iloc[0])
    return next(s for s in states if s.round == chosen and s.name != "supervised")


def _weights(manifest: Manifest, table: Path) -> Path:
    return table.parent / str(schema.read(manifest, table).weights.iloc[0])
