"""A run's folder opened: its chain of steps, its settings and its sources, ready to plan or to run."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline import config, graph
from pipeline.errors import UserError
from pipeline.request import Asked, Request, requested
from pipeline.run_folder import refuse_earlier_version
from pipeline.runner import Runner, published_output
from pipeline.sources import Sources
from pipeline.stage import Settings

_NOTHING_NEW = Asked()


def open_run(run_dir: Path, asked: Asked = _NOTHING_NEW) -> tuple[Runner, Request]:
    """The runner of a run's folder, and what is asked of it together with what it remembers.

    Args:
        asked: what this command changes; by default the run is opened as its last command left it.

    Raises:
        UserError: the run, a setting or an input cannot be used.
    """
    refuse_earlier_version(run_dir)
    request = requested(run_dir, asked)
    file = config.named(request["config"]) if request["config"] else None
    run_settings = config.load_run(file, request.sets)
    method = run_settings.method
    if request["dataset"] and file is None and (file := config.published(request["dataset"], method)):
        run_settings = config.load_run(file, request.sets)
    sections: dict[str, type[Settings]] = {"run": config.RunSettings, **graph.sections(method)}
    settings = config.load(sections, file, request.sets)
    if asked.keep_going:  # of this command alone, so not remembered
        settings["run"] = settings["run"].model_copy(update={"keep_going": True})
    # An old model is used as it is: a chain without rounds.
    own = graph.method_module(method).ROUNDS if run_settings.rounds is None else run_settings.rounds
    rounds = -1 if request["model"] or request["source"] else own
    optional = _optional_stages(run_dir, request, asked.supervised)
    nodes = graph.build(method, rounds, optional=optional, ends=_ends(request))
    sources = Sources(
        request,
        run_dir,
        seed=run_settings.seed,
        device=device_named(run_settings.device),
        holdout_fraction=run_settings.holdout_fraction,
        image_size=run_settings.image_size,
    )
    return Runner(run_dir, nodes, settings, sources), request


def _ends(request: Request) -> graph.Ends:
    """What stands before and after the rounds of the chain."""
    if request["dataset"]:
        return graph.PUBLISHED
    return graph.PRETRAINING if request["source"] else graph.FOOTAGE


def _optional_stages(run_dir: Path, request: Request, supervised: bool) -> set[str]:
    """The optional stages that were asked for, now or by an earlier command.

    Raises:
        UserError: any of them with a published benchmark.
    """
    done = (published_output(run_dir / "supervised") / "receipt.json").is_file()
    wanted = {"supervised"} if supervised or done else set()
    wanted |= {"camera_labels"} if request["camera_labels"] else set()
    if request.published and wanted:
        raise UserError(
            f"{' and '.join(sorted(wanted)).upper()}: not with a published benchmark; `make pretrain SOURCE=` learns from its labels."
        )
    return wanted


def device_named(name: str) -> str:
    """'auto' is the first GPU the driver lists; asked without importing torch, which a cached run must not pay for.

    Raises:
        UserError: a name torch does not know.
    """
    if name != "auto":
        if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
            raise UserError(f"DEVICE={name}: choose one of auto, cpu, cuda, cuda:1 … or mps.")
        return name
    return "cuda" if Path("/dev/nvidia0").exists() else "cpu"


def check_device(device: str) -> None:
    """Raise UserError where torch cannot use the device."""
    if device == "cpu":
        return
    import torch

    found = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    found += ["mps"] if torch.backends.mps.is_available() else []
    if device not in found and not (device == "cuda" and "cuda:0" in found):
        raise UserError(
            f"DEVICE={device}: torch finds no such device here; it can use {', '.join([*found, 'cpu'])}."
        )


def usable_device(name: str) -> str:
    """The device of that name, once torch was seen to have it."""
    found = device_named(name)
    check_device(found)
    return found


def check_start(sources: Sources) -> None:
    """Raise UserError for a backbone nobody has or weights of another network, before hours go into detection."""
    from stages.network.backbone import build

    build(sources.value("backbone"), sources.value("weights"), sources.seed, sources.image_size)
