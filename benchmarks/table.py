"""Every method on the demo site and on market-site, over seeds: the one table in the README.

    make table [SITES="demo market"] [METHODS="weave tmc"] [SEEDS="100 101 102"]

Each cell is one method on one site with one seed, from the same tracklets and crops: every site is detected, tracked,
cropped and isolated once. All methods train on about the same number of images, so that none wins by training longer:
on market-site some 11,000 (`BUDGET`), a third of what their defaults take, so that a cell takes minutes.
As many cells run at once as the machine has cores, with one thread each. A cell that is done is in
``benchmarks/results/table.json`` and is not made again unless its settings, versions or tracklets changed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from benchmarks.result import RESULTS, machine
from benchmarks.seeds import copy_run, metrics
from pipeline import config, graph, schema
from pipeline.digest import text_digest
from pipeline.errors import UserError
from pipeline.manifests import TRACKLETS
from pipeline.stage import Settings, what_settings

FOOTAGE = Path("../shared/footage")
MARKET = {
    "videos": FOOTAGE / "market-site",
    "topology": FOOTAGE / "market-site/site.yaml",
    "ground-truth": FOOTAGE / "market-site/gt",
    "detector": FOOTAGE / "weights/yolo11n_int8_openvino_model",
    "backbone": "osnet_x0_25",
}
SITES: dict[str, dict[str, Any]] = {
    "demo": {
        "videos": "runs/demo-site",
        "topology": "runs/demo-site/site.yaml",
        "ground-truth": "runs/demo-site/gt",
        "detector": "data/synthetic/detector.pt",
        "backbone": "osnet_x0_25",
        "weights": "data/synthetic/start_osnet_x0_25.pth",
        "config": "demo",
    },
    "market": {**MARKET, "weights": FOOTAGE / "weights/osnet_x0_25_imagenet.pth"},
    "market-msmt17": {**MARKET, "weights": FOOTAGE / "weights/osnet_x0_25_msmt17.pth"},
}
METHODS = ("weave", "tastr", "race", "dal", "reliable_soft", "pul", "tmc")
# On market-site about 170 steps of 64 images for each; an epoch of the within-camera start is some fifteen steps there. The
# demo's images have a quarter of the pixels, so its cells take the methods' own defaults, about 500 steps.
BUDGET = {
    "weave": "run.rounds=2 train.epochs=4 train.round_steps=55",
    "tastr": "run.rounds=3 train.epochs=4 train.round_epochs=8",
    "race": "run.rounds=2 train.steps=60 train.round_steps=55",
    "dal": "run.rounds=2 train.steps=60 train.round_steps=55",
    "reliable_soft": "run.rounds=2 train.steps=57 train.round_steps=57",
    "pul": "run.rounds=2 train.steps=57 train.round_steps=57",
    "tmc": "run.rounds=3 train.round_steps=32",
}
# Measured is the network of the last round, as the papers do it, and not what `identify` would choose.
SHARED = "identify.signal=last identify.crops_per_tracklet=4"
# The stages after the tracklets that a cell's measures come from.
DECIDING = ("associate", "train", "identify", "supervised", "evaluate")
COLUMNS = {
    "rank-1": ("final", "rank1"),
    "mAP": ("final", "mean_ap"),
    "end to end": ("end_to_end", "rank1"),
    "P": ("labels", "precision"),
    "R": ("labels", "recall"),
    "F": ("labels", "f"),
}


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--sites", default=os.environ.get("SITES") or " ".join(SITES))
    words.add_argument("--methods", default=os.environ.get("METHODS") or " ".join(METHODS))
    words.add_argument("--seeds", default=os.environ.get("SEEDS") or "100 101 102")
    words.add_argument("--set", default=os.environ.get("SET") or "", help="settings of all cells, for tuning")
    words.add_argument("--results", type=Path, default=RESULTS / "table.json")
    words.add_argument("--runs", type=Path, default=Path("runs/table"))
    options = words.parse_args()
    for name, known in (("sites", SITES), ("methods", METHODS)):
        if unknown := [word for word in getattr(options, name).split() if word not in known]:
            words.error(f"{name.upper()}={' '.join(unknown)}: choose among {' '.join(known)}")
    if not options.seeds.replace(" ", "").isdigit():
        words.error(f"SEEDS={options.seeds}: whole numbers, separated by spaces")
    cells = read_cells(options.results)
    sites, seeds = options.sites.split(), options.seeds.split()
    found = {(site, seed): base_run(site, seed, options.runs) for seed in seeds for site in sites}
    bases = {place: base for place, base in found.items() if base}
    wanted = [(site, method, seed) for site, seed in bases for method in options.methods.split()]
    keys = {
        (site, method, seed): cell_key(bases[site, seed], method, settings(site, method, seed, options.set))
        for site, method, seed in wanted
    }
    missing = [cell for cell in wanted if cells.get("/".join(cell), {}).get("key") != keys[cell]]
    print(f"{len(wanted)} cells, {len(missing)} to make", flush=True)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        running = {
            pool.submit(one_cell, bases[site, seed], site, method, seed, options.set): (site, method, seed)
            for site, method, seed in missing
        }
        for done in as_completed(running):
            cell = running[done]
            cells["/".join(cell)] = {"key": keys[cell], **done.result()}
            write_cells(options.results, cells)
            print(f"{'/'.join(cell)}: {short(cells['/'.join(cell)])}", flush=True)
    chosen = {"/".join(cell): cells["/".join(cell)] for cell in wanted}
    for site in dict.fromkeys(site for site, _ in bases):
        print(f"\n### {site}\n\n" + markdown(site, chosen))
    print(json.dumps({"benchmark": "table", "cells": len(chosen), "sites": sites}))


def settings(site: str, method: str, seed: str, more: str) -> str:
    """The SET words of a cell."""
    budget = "" if site == "demo" else BUDGET[method]
    return f"run.seed={seed} {budget} {SHARED} {more}".strip()


def base_run(site: str, seed: str, runs: Path) -> Path | None:
    """The run whose tracklets and crops the site's cells of a seed share, up to date; None where there is no footage.

    It trains for no step, so that truth crops and the start's features are shared too; another seed's begins as a copy, or
    every seed would detect anew.
    """
    words = SITES[site]
    if not Path(words["videos"]).exists():
        print(f"{site}: left out, {words['videos']} is not there", flush=True)
        return None
    run = runs / site / f"base-{seed}"
    others = [*sorted((runs / site).glob("base-*")), *sorted((runs / site.partition("-")[0]).glob("base-*"))]
    if not run.exists() and others:
        copy_run(others[0], run)
    nothing = f"run.method=weave run.rounds=0 train.epochs=0 run.seed={seed}"
    pipeline(run, nothing, *(word for name, value in words.items() for word in (f"--{name}", str(value))))
    return run


def cell_key(base: Path, method: str, sets: str) -> str:
    """Digest of all that decides a cell: the tracklets it starts from, and the settings and versions of what comes after."""
    outputs = {}
    for stage in ("track", "crop", "isolate", "ground_truth"):
        receipt = json.loads((base / stage / "receipt.json").read_text(encoding="utf-8"))
        outputs[stage] = receipt["outputs"]
    request = json.loads((base / "request.json").read_text(encoding="utf-8"))
    file = config.named(request["config"]) if request["config"] else None
    sections: dict[str, type[Settings]] = {"run": config.RunSettings, **graph.sections(method)}
    settings = config.load(sections, file, config.split_sets(sets))
    chosen = {name: what_settings(settings[name]) for name in ("run", *DECIDING)}
    nodes = graph.build(method, 1, optional={"supervised"})
    versions = {node.stage.name: node.stage.version for node in nodes if node.stage.name in DECIDING}
    return text_digest([outputs, method, chosen, versions])


def one_cell(base: Path, site: str, method: str, seed: str, more: str) -> dict[str, Any]:
    """The measures of one cell; its run is removed again. The supervised reference is the same for every method."""
    run = base.parent / f"{method}-{seed}"
    found = measure(
        base,
        run,
        method,
        settings(site, method, seed, more),
        *(["--supervised"] if method == "weave" else []),
    )
    shutil.rmtree(run)
    return found


def measure(base: Path, run: Path, method: str, sets: str, *words: str) -> dict[str, Any]:
    """One cell, in ``run``, a copy of the base: its measures, label estimation round by round, and its minutes."""
    copy_run(base, run)
    forget_settings(run)
    pipeline(run, sets, "--method", method, *words, log=run.with_suffix(".log"), threads=1)
    found = metrics(run)
    rounds = [
        {**by_round, **{k: v for k, v in labels.items() if k != "round"}}
        for by_round, labels in zip(found["reid"]["rounds"], found["association"]["rounds"], strict=True)
    ]
    stages = ("associate", "train", "identify", "evaluate")
    tracklets = schema.read(TRACKLETS, run / "isolate" / TRACKLETS.file)
    return {
        **{name: found["reid"][name] for name in ("start", "final", "supervised", "end_to_end")},
        "rounds": rounds,
        "signals": found["label_free"]["checkpoints"],
        "labels": {k: found["association"][k] for k in ("precision", "recall", "f")},
        "identities_idf1": found["identities"]["idf1"],
        "final_checkpoint": found["final_checkpoint"],
        "tracklets": len(tracklets),
        "minutes": round(sum(found["seconds"].get(s, 0) for s in stages) / 60, 2),
        "machine": machine(),
    }


def forget_settings(run: Path) -> None:
    """Take the base's own settings (no round, no step) out of what the copy remembers."""
    request = json.loads((run / "request.json").read_text(encoding="utf-8"))
    (run / "request.json").write_text(json.dumps({**request, "sets": []}), encoding="utf-8")


def pipeline(run: Path, sets: str, *words: str, log: Path | None = None, threads: int | None = None) -> None:
    """``python -m pipeline run`` up to evaluate.

    Raises:
        UserError: it failed; names the log.
    """
    command = [
        sys.executable,
        "-m",
        "pipeline",
        "run",
        "--run",
        str(run),
        "--set",
        sets,
        "--until",
        "evaluate",
        *words,
    ]
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    if log is None:
        subprocess.run(command, check=True, env=environment)
        return
    with log.open("w", encoding="utf-8") as file:
        if subprocess.run(command, env=environment, stdout=file, stderr=subprocess.STDOUT).returncode:
            raise UserError(f"{run}: the cell failed; see {log}")
    log.unlink()


def read_cells(path: Path) -> dict[str, Any]:
    """site/method/seed → a cell, of an earlier command."""
    return dict(json.loads(path.read_text(encoding="utf-8"))["cells"]) if path.is_file() else {}


def write_cells(path: Path, cells: dict[str, Any]) -> None:
    """Written beside and renamed: a kill loses no cell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(
        json.dumps({"benchmark": "table", "cells": dict(sorted(cells.items()))}, indent=1) + "\n", "utf-8"
    )
    part.rename(path)


def short(cell: dict[str, Any]) -> str:
    """One line while it runs."""
    start, final, labels = cell["start"], cell["final"], cell["labels"]
    share = ", ".join("–" if labels[k] is None else f"{labels[k]:.2f}" for k in ("precision", "recall", "f"))
    rounds = " ".join(f"{100 * r['rank1']:.0f}" for r in cell["rounds"])
    return (
        f"rank-1 {100 * start['rank1']:.1f} → {100 * final['rank1']:.1f} (rounds {rounds}), "
        f"mAP {100 * start['mean_ap']:.1f} → {100 * final['mean_ap']:.1f}, labels P, R, F {share}, "
        f"{cell['minutes']:.1f} min, {cell['final_checkpoint']}"
    )


def markdown(site: str, cells: dict[str, Any]) -> str:
    """The site's rows: means over the seeds, in brackets the smallest and the largest."""
    own = {name: cell for name, cell in cells.items() if name.startswith(f"{site}/")}
    methods = list(dict.fromkeys(name.split("/")[1] for name in own))
    lines = ["| | " + " | ".join([*COLUMNS, "minutes, one core"]) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
    every = list(own.values())
    lines.append(
        row("start", {"rank-1": of(every, "start", "rank1"), "mAP": of(every, "start", "mean_ap")}, [])
    )
    for method in methods:
        mine = [cell for name, cell in own.items() if name.split("/")[1] == method]
        values = {column: of(mine, *path) for column, path in COLUMNS.items()}
        lines.append(row(f"`{method}`", values, [cell["minutes"] for cell in mine]))
    top = {"rank-1": of(every, "supervised", "rank1"), "mAP": of(every, "supervised", "mean_ap")}
    lines.append(row("supervised", top, []))
    return "\n".join(lines)


def row(name: str, values: dict[str, list[float]], minutes: list[float]) -> str:
    """One line of Markdown."""
    shown = [spread([100 * v for v in values.get(column, [])]) for column in COLUMNS]
    return f"| {name} | " + " | ".join([*shown, spread(minutes)]) + " |"


def of(cells: Iterable[dict[str, Any]], part: str, key: str) -> list[float]:
    """A measure of every cell that has it."""
    found = [(cell[part] or {}).get(key) for cell in cells]
    return [value for value in found if value is not None]


def spread(values: list[float]) -> str:
    """'61.2 (60.1–62.3)'."""
    if not values:
        return "–"
    mean = f"{statistics.fmean(values):.1f}"
    return mean if max(values) - min(values) < 0.05 else f"{mean} ({min(values):.1f}–{max(values):.1f})"


if __name__ == "__main__":
    try:
        main()
    except UserError as problem:
        sys.exit(f"error: {problem}")
