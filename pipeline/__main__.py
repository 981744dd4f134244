"""The command line: ``python -m pipeline run | plan | status | names | explain | describe | metrics | compare | zip | purge | judge | embed | search | topology | doctor``.

The Makefile calls this; everything it can do, a person can do without make.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import re
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline import config, graph
from pipeline.errors import UserError, one_line
from pipeline.graph import Node
from pipeline.runner import Runner, published_output, settings_that_differ
from pipeline.schema import ManifestError
from pipeline.shards import by_camera, done_of_asked
from pipeline.sources import Request, Sources
from pipeline.stage import Settings

# What is wrong with the machine or with a name, and not with us: no room, a failing disk, a place that is closed to us.
_OUTSIDE = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP,
    errno.EISDIR, errno.ENOTDIR, errno.EMFILE, errno.ENFILE,
}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 a defect of ours, 2 input the user can mend, 130 interrupted."""
    options = parser().parse_args(arguments)
    # Whatever is written shows or describes people: it is its owner's alone, in workers too.
    os.umask(0o077)
    # Libraries must neither upload nor install behind the user's back.
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # A picture whose header claims more is damaged, or meant to fill the memory.
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 26))
    # Threads that spin while they wait slow a busy machine down three times; sleeping costs an idle one nothing.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    warnings.simplefilter("always")
    warnings.formatwarning = _once()
    try:
        return int(options.command(options) or 0)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ManifestError as error:
        print(
            f"error: {one_line(str(error))}; the step that wrote it makes it anew with FORCE=.",
            file=sys.stderr,
        )
        return 2
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.errno not in _OUTSIDE:
            raise
        where = error.filename or getattr(options, "run", None) or "RUN"
        sentence = (
            f"{where}: {error.strerror}; mend that and run the same command again, finished work is kept."
        )
        print(f"error: {one_line(sentence)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; finished work is kept, the same command resumes.", file=sys.stderr)
        return 130


def _once() -> Callable[..., str]:
    """Each warning as one line, the first time only: Python's own 'once' forgets at every `catch_warnings`."""
    said: set[str] = set()

    def line(message: Warning | str, *_: Any, **__: Any) -> str:
        new = str(message) not in said
        said.add(str(message))
        return f"warning: {message}\n" if new else ""

    return line


def parser() -> argparse.ArgumentParser:
    words = argparse.ArgumentParser(prog="trackweave", description=__doc__)
    commands = words.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Any, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=function)
        return sub

    for name, function, text in (
        ("run", run, "run what is stale, up to a stage"),
        ("plan", plan, "print what would run, and why; run nothing"),
        ("status", status, "print each stage as fresh, stale, missing or failed, with the reason"),
    ):
        sub = command(name, function, text)
        _add_request(sub)
        sub.add_argument("--until", default="", help="last stage to run; default: the whole chain")
        sub.add_argument("--round", default="", help="last round, when --until is associate or train")
        sub.add_argument("--force", default="", help="stages to run anew, separated by commas")
        sub.add_argument("--from", dest="from_", default="", help="run anew from this stage on")
        sub.add_argument("--supervised", action="store_true", help="also train the supervised reference")
        sub.add_argument("--strict", action="store_true", help="stop after ingest where a file is not whole")
    sub = command("names", names, "print what each file is taken for: camera, start, and what told it")
    _add_request(sub, run_required=False)
    sub = command("explain", explain, "walk a table, a tracklet or a person back to video and frame")
    sub.add_argument(
        "what", help="a Parquet file, a tracklet's id, identity:7, a stage, or a node such as train@2"
    )
    _add_request(sub, run_required=False)
    sub = command("describe", describe, "print the tables and settings as Markdown")
    sub.add_argument("what", choices=["tables", "settings"], nargs="?", default="tables")
    sub.add_argument("--method", default="weave")
    sub = command("metrics", metrics, "print the measures of a finished run")
    sub.add_argument("--run", required=True, type=Path)
    sub.add_argument("--json", action="store_true", help="one JSON object with stable keys")
    sub = command("compare", compare, "two finished runs side by side, with differences and intervals")
    sub.add_argument("runs", nargs=2, type=Path, help="the two folders")
    sub.add_argument("--json", action="store_true", help="one JSON object")
    sub = command("zip", zip_report, "pack the report of a finished run into one file, to pass on")
    sub.add_argument("--run", required=True, type=Path)
    sub = command(
        "purge", purge, "remove every picture, feature and clip of a run, or of some people for good"
    )
    sub.add_argument("--run", required=True, type=Path)
    sub.add_argument(
        "--identity", nargs="*", default=[], help="numbers of people, as in the report; none: everybody"
    )
    sub = command(
        "judge",
        judge,
        "a page on this machine that asks which pairs are one person: to measure, and to teach",
    )
    sub.add_argument("--run", required=True, type=Path)
    sub.add_argument("--port", type=int, default=8765, help="0 takes a free one")
    sub.add_argument("--export", type=Path, help="write the answers given so far as CSV, and end")
    sub = command("embed", embed, "write the features of pictures, by a finished run's network")
    sub.add_argument("images", nargs="+", help="pictures of one person each: files, folders, globs")
    sub.add_argument("--run", required=True, type=Path)
    sub.add_argument("--out", type=Path, default=Path("features.parquet"))
    sub.add_argument("--device", default="auto")
    sub = command("search", search, "who is this, where and when: look a person up in a finished run")
    sub.add_argument("query", nargs="+", help="a picture of one person, or several of the same")
    sub.add_argument("--run", required=True, type=Path)
    sub.add_argument("--count", type=int, default=10, help="people shown")
    sub.add_argument("--blur", action="store_true", help="hide heads on the contact sheet")
    sub.add_argument("--device", default="auto")
    sub.add_argument("--json", action="store_true", help="one JSON object")
    group = commands.add_parser(
        "topology", help="a site file begun, checked, and held against what people did"
    )
    topics = group.add_subparsers(required=True, metavar="TOPIC")
    for name, text in (
        ("init", "print a site file to begin with, from folders and names"),
        ("validate", "check a site file: errors with line and column, and what looks wrong"),
        ("schema", "print the JSON Schema of site files, for editors"),
        ("convert", "camera layouts that others publish into a site file (printed), or the other way"),
        ("learn", "clocks and ways by the people of a finished run, and a patch to read"),
        ("show", "a page of it: map, ways with expected and observed times, clocks that look wrong"),
    ):
        topic = topics.add_parser(name, help=text, description=text)
        topic.set_defaults(command=topology, topic=name)
        if name == "init":
            topic.add_argument("--videos", required=True, help="folder, glob or list file")
            topic.add_argument("--timezone", default="UTC", help="IANA name, for times without a zone")
        if name == "validate":
            topic.add_argument("file", type=Path)
        if name == "convert":
            topic.add_argument("path", type=Path, help="file or folder of the format; with --to a site file")
            topic.add_argument(
                "--from",
                dest="from_",
                default="",
                help="vehicle_mtmc, nvidia, aicity or wildtrack; else guessed",
            )
            topic.add_argument("--to", default="", help="one of these formats")
            topic.add_argument("--out", type=Path, help="file or folder that --to writes")
        if name in ("learn", "show"):
            topic.add_argument("--run", required=True, type=Path)
    command("doctor", doctor, "say what this machine has and what is slow on it")
    return words


def _add_request(parser: argparse.ArgumentParser, run_required: bool = True) -> None:
    parser.add_argument("--run", required=run_required, type=Path, help="folder of the run, e.g. runs/market")
    parser.add_argument("--videos", default="", help="folder, glob, list file or topology YAML")
    parser.add_argument("--topology", default="", help="site file; 'none' forgets the remembered one")
    parser.add_argument("--detector", default="", help="YOLO weights, or a folder of precomputed detections")
    parser.add_argument("--backbone", default="", help="osnet_x0_25 … osnet_x1_0, or any timm model")
    parser.add_argument("--weights", default="", help="start weights, or 'random', or 'pretrained' (timm)")
    parser.add_argument(
        "--model",
        default="",
        help="a finished run whose network is used as it is, and whose people are known",
    )
    parser.add_argument(
        "--ground-truth", default="", help="folder of MOT text files, for evaluation only; 'none' forgets it"
    )
    parser.add_argument(
        "--camera-labels",
        default="",
        help="folder of MOT text files that tell people apart inside each camera, for training; 'none' forgets it",
    )
    parser.add_argument(
        "--config", default="", help="YAML file of settings that differ, or the name of one of ours"
    )
    parser.add_argument(
        "--dataset", default="", help="a published benchmark in place of footage; 'none' forgets it"
    )
    parser.add_argument(
        "--source",
        default="",
        help="a published benchmark whose labels train a start for other runs' WEIGHTS",
    )
    parser.add_argument("--root", default="", help="the folder that benchmark was unpacked to")
    parser.add_argument("--trial", default="", help="which of its random halves, from 0")
    parser.add_argument("--method", default="", help="re-ID method")
    parser.add_argument("--device", default="", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument(
        "--camera", default="", help="only these cameras, separated by commas; 'all' for all of them again"
    )
    parser.add_argument(
        "--keep-going", action="store_true", help="when one video fails, finish the others before stopping"
    )
    parser.add_argument("--set", action="append", default=[], help="section.key=value; may be repeated")


def _request(options: argparse.Namespace) -> Request:
    """Words of this command line; what it leaves out comes from the run's last request."""
    request = Request.load(options.run) if options.run else Request()
    if options.model not in ("", "none") and options.weights:
        raise UserError(
            "MODEL uses a finished network as it is and WEIGHTS starts from one: name one of the two."
        )
    given = [word for word in ("videos", "dataset", "source") if getattr(options, word) not in ("", "none")]
    if len(given) > 1:
        raise UserError(
            f"{' and '.join(word.upper() for word in given)}: footage, a benchmark to learn from without labels, or one with: "
            "name one of them."
        )
    for word in ("videos", "dataset", "source") if given else ():
        setattr(request, word, "")  # the one that is named takes the place of what was remembered
    for name in request.words():
        if value := getattr(options, name):
            # An empty word means the remembered one, so forgetting needs a word of its own.
            setattr(request, name, "" if value == "none" else value)
    # A later SET of the same key wins; other keys stay, or a bare `make report` would undo them.
    sets = {s.partition("=")[0]: s for s in request.sets}
    words = [word for text in options.set for word in config.split_sets(text)]
    words += [f"run.{key}={value}" for key in ("method", "device") if (value := getattr(options, key))]
    if options.method:
        for key in _settings_of_another_method(options.method, list(sets)):
            print(
                f"warning: METHOD={options.method} has no setting {key}; {sets.pop(key)} is dropped.",
                file=sys.stderr,
            )
    if options.camera:
        chosen = options.camera if options.camera != "all" else ""
        words.append(f"ingest.cameras={json.dumps(chosen)}")
    sets.update({s.partition("=")[0]: s for s in words})
    request.sets = list(sets.values())
    return request


def _settings_of_another_method(method: str, keys: list[str]) -> list[str]:
    """Remembered settings of `associate` and `train` that belong to the method of an earlier run."""
    sections = graph.sections(method)
    parts = [(key, *key.split(".")[:2]) for key in keys if key.startswith(("associate.", "train."))]
    return [key for key, section, name in parts if name not in sections[section].model_fields]


def open_run(options: argparse.Namespace) -> tuple[Runner, Request]:
    """The runner of a run folder under the words of a command line, and those words with the remembered ones."""
    request = _request(options)
    file = config.named(request.config) if request.config else None
    run_settings = config.load_run(file, request.sets)
    method = run_settings.method
    if request.dataset and file is None and (file := config.published(request.dataset, method)):
        run_settings = config.load_run(file, request.sets)
    sections: dict[str, type[Settings]] = {"run": config.RunSettings, **graph.sections(method)}
    settings = config.load(sections, file, request.sets)
    supervised_done = (published_output(options.run / "supervised") / "receipt.json").is_file()
    if getattr(options, "keep_going", False):  # of this command alone, so not remembered
        settings["run"] = settings["run"].model_copy(update={"keep_going": True})
    # An old model is used as it is: a chain without rounds.
    own = graph.method_module(method).ROUNDS if run_settings.rounds is None else run_settings.rounds
    rounds = -1 if request.model or request.source else own
    ends = graph.PUBLISHED if request.dataset else graph.PRETRAINING if request.source else graph.FOOTAGE
    wanted = {"supervised"} if getattr(options, "supervised", False) or supervised_done else set()
    wanted |= {"camera_labels"} if request.camera_labels else set()
    if request.published and wanted:
        raise UserError(
            f"{' and '.join(sorted(wanted)).upper()}: not with a published benchmark; `make pretrain SOURCE=` learns from its labels."
        )
    nodes = graph.build(method, rounds, optional=wanted, ends=ends)
    sources = Sources(
        request,
        options.run,
        seed=run_settings.seed,
        device=_device(run_settings.device),
        holdout_fraction=run_settings.holdout_fraction,
        image_size=run_settings.image_size,
    )
    return Runner(options.run, nodes, settings, sources), request


def _device(name: str) -> str:
    """'auto' is the first GPU the driver lists; asked without importing torch, which a cached run must not pay for.

    Raises:
        UserError: a name torch does not know.
    """
    if name != "auto":
        if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", name):
            raise UserError(f"DEVICE={name}: choose one of auto, cpu, cuda, cuda:1 … or mps.")
        return name
    return "cuda" if Path("/dev/nvidia0").exists() else "cpu"


def _check_device(device: str) -> None:
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


def _check_start(sources: Sources) -> None:
    """Raise UserError for a backbone nobody has or weights of another network, before hours go into detection."""
    from stages.network.backbone import build

    build(sources.value("backbone"), sources.value("weights"), sources.seed, sources.image_size)


def _until(runner: Runner, options: argparse.Namespace) -> list[Node]:
    names = [node.id for node in runner.nodes]
    wanted = options.until or names[-1]
    if wanted in graph.ROUND and not any(n.stage.name == wanted for n in runner.nodes):
        if runner.sources.request.source:
            raise UserError("with SOURCE there are no rounds; its stage is pretrain.")
        raise UserError(
            f"with MODEL there is nothing to {wanted}: its network is used as it is; MODEL=none trains one."
        )
    if wanted in graph.ROUND:
        rounds = sum(n.stage.name == "train" for n in runner.nodes) - 1
        wanted = f"{wanted}@{options.round or rounds}"
        if wanted not in names:
            raise UserError(
                f"ROUND={options.round}: this run has the rounds 0 to {rounds}; run.rounds sets how many."
            )
    if wanted not in names:
        from pipeline.errors import closest

        raise UserError(f"there is no stage '{wanted}' in this run. {closest(wanted, names)}")
    return runner.nodes[: names.index(wanted) + 1]


def _forced(options: argparse.Namespace, until: list[Node]) -> set[str]:
    """Stages to run anew.

    Raises:
        UserError: one that does not exist, or that comes after the last stage asked for.
    """
    forced = {word for word in options.force.replace(",", " ").split() if word}
    for word in forced:
        if word.partition("@")[0] not in graph.STAGES:
            from pipeline.errors import closest

            raise UserError(f"FORCE={word}: no such stage. {closest(word, list(graph.STAGES))}")
        if not any(word in (node.id, node.stage.name) for node in until):
            raise UserError(f"FORCE={word}: not among the steps up to {until[-1].id}, which are to run.")
    return forced | _from_on(options.from_, until)


def _from_on(word: str, until: list[Node]) -> set[str]:
    """The nodes from a stage, or a node such as train@2, on; none for no word."""
    if not word:
        return set()
    for i, node in enumerate(until):
        if word in (node.id, node.stage.name):
            return {later.id for later in until[i:]}
    from pipeline.errors import closest

    known = list(dict.fromkeys(node.stage.name for node in until))
    raise UserError(f"FROM={word}: not among the steps that are to run. {closest(word, known)}")


def run(options: argparse.Namespace) -> None:
    runner, request = open_run(options)
    until = _until(runner, options)
    for warning in runner.sources.site.unused:
        print(f"warning: {request.topology or request.videos}: {warning}", file=sys.stderr)
    forced = _forced(options, until)
    runner.sources.check(name for node in until for name in node.stage.sources)
    with runner.lock():
        needed = {
            name for plan in runner.plan(until, forced) if plan.reasons for name in plan.node.stage.sources
        }
        if "device" in needed:
            _check_device(runner.sources.device)
        if "backbone" in needed:
            _check_start(runner.sources)
        request.save(options.run)
        ran = 0
        if options.strict:
            ran += runner.run(until[:1], forced)
            _refuse_problems(runner, until[0])
            forced -= {until[0].id, until[0].stage.name}
        ran += runner.run(until, forced)
    if not ran:
        print(f"Nothing to do: all {len(until)} steps of {options.run} are fresh.")
    if until[-1].id in ("report", "rank"):
        print(_formatted(_metrics(options.run)))
    if request.source and until[-1].id == "rank":
        print(f"the start for other runs: WEIGHTS={options.run / 'pretrain' / 'model.pt'}")
    if until[-1].id == "report":
        print(f"report: {(options.run / 'report' / 'index.html').resolve()}")


def status_word(reasons: list[str], has_output: bool) -> str:
    """fresh, forced, failed, missing or stale, by what `Runner.plan` says of a step."""
    if not reasons:
        return "fresh"
    first = reasons[0].split(" ")[0]
    if first in ("failed", "forced"):
        return first
    return "stale" if has_output else "missing"


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


def plan(options: argparse.Namespace) -> None:
    runner, _ = open_run(options)
    until = _until(runner, options)
    runner.sources.check(name for node in until for name in node.stage.sources)
    plans = runner.plan(until, _forced(options, until))
    waiting = [p for p in plans if p.reasons]
    for item in waiting:
        print(f"{item.node.id:<14} {'; '.join(item.reasons)}")
    print(f"{len(waiting)} of {len(plans)} steps would run.")
    if waiting:
        from pipeline.estimate import estimates, sentence

        found = estimates(options.run, [p.node for p in waiting], runner.sources.device)
        print(sentence(found.values()))


def status(options: argparse.Namespace) -> None:
    runner, _ = open_run(options)
    until = _until(runner, options)
    for item in runner.plan(until, _forced(options, until)):
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


def names(options: argparse.Namespace) -> None:
    from stages.recording.names import explained

    where = options.run or Path()
    sources = Sources(_request(options), where, seed=0, device="cpu", holdout_fraction=0.0, image_size=(1, 1))
    for line in explained(sources.videos, sources.site):
        print(line)


def explain(options: argparse.Namespace) -> None:
    from pipeline import lineage

    path = Path(options.what)
    if path.suffix == ".parquet":
        lineage.printed(lineage.of_table(path))
        return
    if options.run is None:
        raise UserError(f"explain {options.what}: name the run too, with --run runs/….")
    runner, _ = open_run(options)
    if (lines := lineage.of_tracklet(options.run, options.what)) is not None:
        lineage.printed(lines)
        return
    matching = [n for n in runner.nodes if n.id == options.what or n.stage.name == options.what]
    if not matching:
        raise UserError(
            f"{options.what}: neither a stage, nor a tracklet or identity:<number> of {options.run}."
        )
    for node in matching:
        found = runner.plan_node(node)
        print(f"{node.id}: {'; '.join(found.reasons) or 'fresh'}")
        print(json.dumps(runner.fingerprint(node), indent=1, default=str))


def describe(options: argparse.Namespace) -> None:
    if options.what == "settings":
        print(config.describe({"run": config.RunSettings, **graph.sections(options.method)}))
        return
    from pipeline.manifests import ALL

    for manifest in ALL:
        print(f"\n### {manifest.name} (version {manifest.version})\n\n{manifest.doc}\n")
        print("| column | type | unit | meaning |\n|---|---|---|---|")
        for column in manifest.columns:
            key = " (key)" if column.name in manifest.key else ""
            print(f"| `{column.name}`{key} | {column.type} | {column.unit} | {column.doc} |")


def _metrics(run_dir: Path) -> dict[str, Any]:
    """The measures of a run, and the seconds each stage took by its receipts."""
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
    runner, _ = open_run(parser().parse_args(["status", "--run", str(run_dir)]))
    seconds: dict[str, float] = {}
    for node in runner.nodes:
        if receipt := runner.receipt(node):
            seconds[node.stage.name] = round(seconds.get(node.stage.name, 0.0) + receipt["seconds"], 3)
    values["seconds"] = seconds
    return values


def metrics(options: argparse.Namespace) -> None:
    values = _metrics(options.run)
    if options.json:
        print(json.dumps(values, allow_nan=False))
        return
    print(_formatted(values))


def _formatted(values: dict[str, Any]) -> str:
    from stages.evaluation.text_table import format_metrics, format_published

    return format_published(values) if "dataset" in values else format_metrics(values)


def compare(options: argparse.Namespace) -> None:
    from stages.evaluation import compare as side_by_side

    a, b = options.runs
    rows, differing = side_by_side.compare(a, b), settings_that_differ(a, b)
    if options.json:
        print(json.dumps({"runs": [str(a), str(b)], "rows": rows, "settings": differing}))
        return
    print(side_by_side.formatted(a, b, rows, differing))


def zip_report(options: argparse.Namespace) -> None:
    from stages.reporting.archive import pack

    print(f"report: {pack(options.run)}")


def purge(options: argparse.Namespace) -> None:
    from pipeline.purge import purge

    purge(options)


def judge(options: argparse.Namespace) -> None:
    from stages.annotation import annotate

    runner, _ = open_run(parser().parse_args(["status", "--run", str(options.run)]))
    annotate.judge(options, runner.sources.site, runner.settings["identify"], runner.sources.device)


def embed(options: argparse.Namespace) -> None:
    from stages.search import query

    options.device = _usable(options.device)
    query.embed(options)


def search(options: argparse.Namespace) -> None:
    from stages.search import query

    options.device = _usable(options.device)
    query.search(options)


def _usable(device: str) -> str:
    found = _device(device)
    _check_device(found)
    return found


def topology(options: argparse.Namespace) -> None:
    from stages.topology import commands

    if options.topic in ("learn", "show"):
        runner, _ = open_run(parser().parse_args(["status", "--run", str(options.run)]))
        {"learn": commands.learned, "show": commands.show}[options.topic](options.run, runner.sources.site)
        return
    {
        "init": commands.init,
        "validate": commands.validate,
        "schema": commands.schema,
        "convert": commands.convert,
    }[options.topic](options)


def doctor(options: argparse.Namespace) -> None:
    from pipeline.doctor import report

    print(report())


if __name__ == "__main__":
    sys.exit(main())
