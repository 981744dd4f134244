"""What the commands do. They take values, so that a test or a benchmark calls them as the command line does."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline import config, graph
from pipeline.errors import UserError
from pipeline.graph import Node
from pipeline.opening import check_device, check_start, open_run
from pipeline.request import Asked, Request, requested
from pipeline.run_folder import refuse_earlier_version
from pipeline.runner import Plan, Runner, settings_that_differ
from pipeline.shards import by_camera, done_of_asked
from pipeline.sources import Sources
from pipeline.steps import Steps, forced_steps, up_to


def run(run_dir: Path, asked: Asked, steps: Steps, strict: bool = False) -> None:
    """Run what is stale, and print where the result is.

    Args:
        strict: stop after `ingest` where a file is not whole.
    """
    runner, request = open_run(run_dir, asked)
    until = up_to(runner, steps)
    for warning in runner.sources.site.unused:
        print(f"warning: {request['topology'] or request['videos']}: {warning}", file=sys.stderr)
    forced = forced_steps(steps, until)
    runner.sources.check(name for node in until for name in node.stage.sources)
    with runner.lock():
        _check_before_hours_are_spent(runner, until, forced)
        request.save(run_dir)
        ran = 0
        if strict:
            ran += runner.run(until[:1], forced)
            _refuse_problems(runner, until[0])
            forced -= {until[0].id, until[0].stage.name}
        ran += runner.run(until, forced)
    if not ran:
        print(f"Nothing to do: all {len(until)} steps of {run_dir} are fresh.")
    _print_result(run_dir, request, until[-1].id)


def _check_before_hours_are_spent(runner: Runner, until: list[Node], forced: set[str]) -> None:
    """Raise UserError for labels, a device or a start that steps which are to run cannot use."""
    needed = _sources_needed(runner.plan(until, forced))
    runner.sources.check_labels(needed)
    if "device" in needed:
        check_device(runner.sources.device)
    if "backbone" in needed:
        check_start(runner.sources)


def _sources_needed(plans: Iterable[Plan]) -> set[str]:
    """The sources of the steps that would run."""
    return {name for item in plans if item.reasons for name in item.node.stage.sources}


def _refuse_problems(runner: Runner, ingest: Node) -> None:
    """Raise UserError where ingest found files that are not whole (`--strict`)."""
    found = (runner.receipt(ingest) or {}).get("metadata", {}).get("problems", [])
    if found:
        more = (
            f" (and {len(found) - 1} more, each with a note in {ingest.folder}/videos.parquet of the run)"
            if len(found) > 1
            else ""
        )
        raise UserError(
            f"STRICT: {found[0]}{more} Mend or take out what is not whole, or run without STRICT: it is left out then."
        )


def _print_result(run_dir: Path, request: Request, last: str) -> None:
    """The measures, and where the report or the trained start lies, once the last step made them."""
    if last in ("report", "rank"):
        print(_formatted(measures(run_dir)))
    if request["source"] and last == "rank":
        print(f"the start for other runs: WEIGHTS={run_dir / 'pretrain' / 'model.pt'}")
    if last == "report":
        print(f"report: {(run_dir / 'report' / 'index.html').resolve()}")


def plan(run_dir: Path, asked: Asked, steps: Steps) -> None:
    """Print what would run, why, and about how long it takes."""
    runner, _ = open_run(run_dir, asked)
    until = up_to(runner, steps)
    runner.sources.check(name for node in until for name in node.stage.sources)
    plans = runner.plan(until, forced_steps(steps, until))
    runner.sources.check_labels(_sources_needed(plans))
    waiting = [p for p in plans if p.reasons]
    for item in waiting:
        print(f"{item.node.id:<14} {'; '.join(item.reasons)}")
    print(f"{len(waiting)} of {len(plans)} steps would run.")
    if waiting:
        from pipeline.estimate import estimates, sentence

        found = estimates(run_dir, [p.node for p in waiting], runner.sources.device)
        print(sentence(found.values()))


def status(run_dir: Path, asked: Asked, steps: Steps) -> None:
    """Print each step as fresh, stale, missing, partial or failed, with the reason."""
    runner, _ = open_run(run_dir, asked)
    until = up_to(runner, steps)
    for item in runner.plan(until, forced_steps(steps, until)):
        receipt = runner.receipt(item.node)
        word = status_word(item.reasons, receipt is not None)
        pieces = done_of_asked(runner.run_dir / "shard_cache" / item.node.stage.name)
        if word in ("missing", "failed") and any(done for done, _ in pieces.values()):
            word = "partial"
        detail = "; ".join(item.reasons) if item.reasons else f"{receipt['seconds']:.1f} s" if receipt else ""
        if pieces and word in ("fresh", "partial"):
            detail += f" ({by_camera(pieces)})"
        if receipt and not item.reasons and receipt["sources_digest"] != runner.source_digest(item.node):
            detail += "  (its source changed under an unchanged STAGE.version)"
        print(f"{item.node.id:<14} {word:<8} {detail}")


def status_word(reasons: list[str], has_output: bool) -> str:
    """fresh, forced, failed, missing or stale, by what `Runner.plan` says of a step."""
    if not reasons:
        return "fresh"
    first = reasons[0].split(" ")[0]
    if first in ("failed", "forced"):
        return first
    return "stale" if has_output else "missing"


def names(run_dir: Path | None, asked: Asked) -> None:
    """Print what each file is taken for."""
    from stages.recording.names import explained

    request = requested(run_dir, asked)
    sources = Sources(
        request, run_dir or Path(), seed=0, device="cpu", holdout_fraction=0.0, image_size=(1, 1)
    )
    for line in explained(sources.videos, sources.site):
        print(line)


def explain(what: str, run_dir: Path | None, asked: Asked) -> None:
    """Print where a table, a tracklet or a person comes from, or why a step is fresh or not.

    Args:
        what: a Parquet file, a tracklet's id, identity:7, a stage, or a node such as train@2.
    """
    from pipeline import lineage

    path = Path(what)
    if path.suffix == ".parquet":
        lineage.printed(lineage.of_table(path))
        return
    if run_dir is None:
        raise UserError(f"explain {what}: name the run too, with --run runs/….")
    runner, _ = open_run(run_dir, asked)
    if (lines := lineage.of_tracklet(run_dir, what)) is not None:
        lineage.printed(lines)
        return
    matching = [node for node in runner.nodes if what in (node.id, node.stage.name)]
    if not matching:
        raise UserError(f"{what}: neither a stage, nor a tracklet or identity:<number> of {run_dir}.")
    for node in matching:
        found = runner.plan_node(node)
        print(f"{node.id}: {'; '.join(found.reasons) or 'fresh'}")
        print(json.dumps(runner.fingerprint(node), indent=1, default=str))


def describe(what: str, method: str) -> None:
    """Print the tables, the settings of a method or the inputs as Markdown."""
    if what == "settings":
        print(config.describe({"run": config.RunSettings, **graph.sections(method)}))
    elif what == "inputs":
        from pipeline.inputs import as_markdown

        print(as_markdown())
    else:
        _describe_tables()


def _describe_tables() -> None:
    from pipeline.manifests import ALL
    from pipeline.schema import columns_as_markdown

    for manifest in ALL:
        print(f"\n### {manifest.name} (version {manifest.version})\n\n{manifest.doc}\n")
        print(columns_as_markdown(manifest))


def measures(run_dir: Path) -> dict[str, Any]:
    """The measures of a run, and the seconds each stage took by its receipts."""
    refuse_earlier_version(run_dir)
    request = Request.load(run_dir)
    path = run_dir / ("rank" if request.published else "evaluate") / "metrics.json"
    if not path.is_file():
        raise UserError(f"{path}: not there; run `make all RUN={run_dir}` first.")
    try:
        values: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
        if not values:
            raise ValueError("nothing in it")
    except (ValueError, TypeError, RecursionError):
        raise UserError(f"{path}: damaged; make it anew with FORCE={path.parent.name}.") from None
    runner, _ = open_run(run_dir)
    seconds: dict[str, float] = {}
    for node in runner.nodes:
        if receipt := runner.receipt(node):
            seconds[node.stage.name] = round(seconds.get(node.stage.name, 0.0) + receipt["seconds"], 3)
    values["seconds"] = seconds
    return values


def metrics(run_dir: Path, as_json: bool) -> None:
    """Print the measures of a finished run."""
    values = measures(run_dir)
    print(json.dumps(values, allow_nan=False) if as_json else _formatted(values))


def _formatted(values: dict[str, Any]) -> str:
    from stages.evaluation.text_table import format_metrics, format_published

    return format_published(values) if "dataset" in values else format_metrics(values)


def compare(a: Path, b: Path, as_json: bool) -> None:
    """Print two finished runs side by side."""
    from stages.evaluation import compare as side_by_side

    for run_dir in (a, b):
        refuse_earlier_version(run_dir)
    rows, differing = side_by_side.compare(a, b), settings_that_differ(a, b)
    if as_json:
        print(json.dumps({"runs": [str(a), str(b)], "rows": rows, "settings": differing}))
        return
    print(side_by_side.formatted(a, b, rows, differing))


def zip_report(run_dir: Path) -> None:
    """Pack the report of a finished run into one file."""
    from stages.reporting.archive import pack

    print(f"report: {pack(run_dir)}")


def annotate(run_dir: Path, port: int, export: Path | None) -> None:
    """Serve the page that asks about pairs of tracklets, or write the answers given so far to ``export``."""
    from stages.annotation import annotate as page

    runner, _ = open_run(run_dir)
    sources = runner.sources
    page.annotate(run_dir, sources.site, runner.settings["identify"], sources.device, port, export)


def topology_of_run(topic: str, run_dir: Path) -> None:
    """Learn times and clocks from a finished run, or show them on a page.

    Args:
        topic: learn or show.
    """
    from stages.topology import site_commands

    runner, _ = open_run(run_dir)
    {"learn": site_commands.learned, "show": site_commands.show}[topic](run_dir, runner.sources.site)


def doctor() -> None:
    """Print what this machine has and what is slow on it."""
    from pipeline.doctor import report

    print(report())
