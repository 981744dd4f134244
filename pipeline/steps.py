"""Which steps of a chain a command means: up to which one, and which of them again."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline import graph
from pipeline.errors import UserError, closest
from pipeline.graph import Node
from pipeline.runner import Runner


@dataclass(frozen=True)
class Steps:
    """As text, as a person names them; empty: the whole chain, and nothing again.

    until: the last stage. round: its round, where it is `associate` or `train`; else the last round.
    force: stages to run again. from_stage: the first of those to run again, with all after it.
    """

    until: str = ""
    round: str = ""
    force: str = ""
    from_stage: str = ""


def up_to(runner: Runner, steps: Steps) -> list[Node]:
    """The steps up to the last one that is meant.

    Raises:
        UserError: this run has no such stage or round.
    """
    names = [node.id for node in runner.nodes]
    wanted = steps.until or names[-1]
    if wanted in graph.ROUND:
        wanted = _of_round(runner, wanted, steps.round)
    if wanted not in names:
        raise UserError(f"there is no stage '{wanted}' in this run. {closest(wanted, names)}")
    return runner.nodes[: names.index(wanted) + 1]


def _of_round(runner: Runner, stage: str, round_: str) -> str:
    """The node of `associate` or `train` in a round, such as train@2."""
    if not any(node.stage.name == stage for node in runner.nodes):
        if runner.sources.request["source"]:
            raise UserError("with SOURCE there are no rounds; its stage is pretrain.")
        raise UserError(
            f"with MODEL there is nothing to {stage}: its network is used as it is; MODEL=none trains one."
        )
    rounds = sum(node.stage.name == "train" for node in runner.nodes) - 1
    wanted = f"{stage}@{round_ or rounds}"
    if not any(node.id == wanted for node in runner.nodes):
        raise UserError(f"ROUND={round_}: this run has the rounds 0 to {rounds}; run.rounds sets how many.")
    return wanted


def forced_steps(steps: Steps, until: list[Node]) -> set[str]:
    """Stages and nodes to run again.

    Raises:
        UserError: one that does not exist, or that comes after the last stage asked for.
    """
    forced = {name for name in steps.force.replace(",", " ").split() if name}
    for name in forced:
        if name.partition("@")[0] not in graph.STAGES:
            raise UserError(f"FORCE={name}: no such stage. {closest(name, list(graph.STAGES))}")
        if not any(name in (node.id, node.stage.name) for node in until):
            raise UserError(f"FORCE={name}: not among the steps up to {until[-1].id}, which are to run.")
    return forced | _from_on(steps.from_stage, until)


def _from_on(name: str, until: list[Node]) -> set[str]:
    """The nodes from a stage, or a node such as train@2, on; none for no name."""
    if not name:
        return set()
    for i, node in enumerate(until):
        if name in (node.id, node.stage.name):
            return {later.id for later in until[i:]}
    known = list(dict.fromkeys(node.stage.name for node in until))
    raise UserError(f"FROM={name}: not among the steps that are to run. {closest(name, known)}")
