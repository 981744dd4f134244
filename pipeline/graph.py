"""The ordered stages; the only place that lists them.

`associate` and `train` alternate: round 0 is the method's own start, rounds 1 … R its iterations. Every round is
a node of its own, cached and resumable, and their number is no part of any fingerprint: asking for more continues.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from pipeline.errors import UserError, closest
from pipeline.manifests import BOXES
from pipeline.stage import Settings, Stage

BEFORE_ROUNDS = ("ingest", "detect", "track", "crop", "isolate", "camera_labels")
ROUND = ("associate", "train")
AFTER_ROUNDS = ("identify", "ground_truth", "supervised", "evaluate", "export", "report")
OPTIONAL = ("camera_labels", "supervised")  # run where their input was named, or they were asked for
STAGES = (*BEFORE_ROUNDS, *ROUND, *AFTER_ROUNDS, "dataset", "pretrain", "rank")

# What stands before and after the rounds of a chain.
Ends = tuple[tuple[str, ...], tuple[str, ...]]
FOOTAGE: Ends = (BEFORE_ROUNDS, AFTER_ROUNDS)
PUBLISHED: Ends = (("dataset", "isolate"), ("rank",))  # DATASET: a benchmark's tracklets stand for footage
PRETRAINING: Ends = (
    ("dataset",),
    ("pretrain", "rank"),
)  # SOURCE: a benchmark's labels train a start, without rounds


@dataclass(frozen=True)
class Node:
    """A stage at one place of the chain.

    folder: where its output stands, relative to the run's folder.
    inputs: manifest name → the nodes that provide it, in round order.
    """

    id: str
    stage: Stage
    folder: str
    round: int
    inputs: dict[str, tuple[str, ...]]


def stage(name: str) -> Stage:
    """The stage literal of ``stages/<name>.py``."""
    return importlib.import_module(f"stages.{name}").STAGE


def method_module(method: str) -> Any:
    methods = importlib.import_module("stages.methods")
    if method not in methods.METHODS:
        raise UserError(f"METHOD={method}: no such method. {closest(method, list(methods.METHODS))}")
    return methods.load(method)


def sections(method: str) -> dict[str, type[Settings]]:
    """Settings section → Config class; `associate` and `train` have the chosen method's own."""
    chosen = method_module(method)
    own = {"associate": chosen.AssociateConfig, "train": chosen.TrainConfig}
    return {name: own.get(name) or stage(name).config for name in STAGES}


def build(method: str, rounds: int, *, optional: Collection[str] = (), ends: Ends = FOOTAGE) -> list[Node]:
    """All nodes in order, each wired to the nodes that provide its inputs; ``rounds`` -1 is a chain without training.

    optional: those of `OPTIONAL` that are wanted. ends: what stands before and after the rounds.
    """
    chosen = method_module(method)
    nodes: list[Node] = []

    def add(name: str, round_: int = -1) -> None:
        base = stage(name)
        node_id, folder = name, name
        if round_ >= 0:
            node_id, folder = f"{name}@{round_}", f"{name}/{method}/round-{round_}"
            config = chosen.AssociateConfig if name == "associate" else chosen.TrainConfig
            base = replace(base, config=config, version=1000 * chosen.VERSION + base.version)
        if name == "train" and getattr(chosen, "ASSOCIATES_IN_TRAINING", False):
            base = replace(base, inputs=(*base.inputs, BOXES), sources=(*base.sources, "site.prior"))
        inputs = {}
        for manifest in (*base.inputs, *base.extra_inputs):
            providers = tuple(n.id for n in nodes if manifest in n.stage.outputs)
            every_round = round_ < 0 and all("@" in p for p in providers)
            inputs[manifest.name] = providers if every_round else providers[-1:]
            if not providers and manifest in base.inputs:
                raise KeyError(f"nothing before '{node_id}' writes '{manifest.name}'")
        nodes.append(Node(node_id, base, folder, round_, inputs))

    left_out = set(OPTIONAL) - set(optional)
    if rounds < 0:
        left_out.add("camera_labels")  # which only training reads
    before, after = ends
    for name in before:
        if name not in left_out:
            add(name)
    for round_ in range(rounds + 1):
        for name in ROUND:
            add(name, round_)
    for name in after:
        if name not in left_out:
            add(name)
    return nodes
