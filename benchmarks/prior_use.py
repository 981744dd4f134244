"""What walking times are worth to methods whose papers know none: each way of using them, on market-site.

    make bench NAME=prior_use [METHODS="race dal reliable_soft tmc"] [SEEDS="100"] [LIST=1]

Rows are the ways of `stages.association.prior_use`; each is set against `off`, the paper's own. From ImageNet weights, with the budgets
of `benchmarks.table`; a cell that the table holds already is taken from there. LIST=1 says what would run, and runs nothing. On
159 queries a rank-1 is known to some four points, so differences of one seed are to be read with that in mind; P, R and F are of
all pairs of tracklets that the last round was taught are one person.

Results, cell by cell, are in ``benchmarks/results/prior_use.json``. Prints a table, and as its last line one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

from benchmarks import table
from benchmarks.result import RESULTS
from pipeline import config, graph
from pipeline.errors import UserError
from pipeline.stage import Settings

METHODS = ("race", "dal", "reliable_soft", "tmc")
_WRITING = threading.Lock()


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--methods", default=os.environ.get("METHODS") or " ".join(METHODS))
    words.add_argument("--seeds", default=os.environ.get("SEEDS") or "100")
    words.add_argument("--list", action="store_true", default=bool(os.environ.get("LIST")))
    words.add_argument("--runs", type=Path, default=Path("runs/table"))
    words.add_argument("--results", type=Path, default=RESULTS / "prior_use.json")
    options = words.parse_args()
    methods, seeds = options.methods.split(), options.seeds.split()
    if unknown := [word for word in methods if word not in METHODS]:
        words.error(f"METHODS={' '.join(unknown)}: choose among {' '.join(METHODS)}")
    if not options.seeds.replace(" ", "").isdigit():
        words.error(f"SEEDS={options.seeds}: whole numbers, separated by spaces")
    wanted = {(method, seed): cells_of(method, seed) for method in methods for seed in seeds}
    if options.list:
        for own in wanted.values():
            print("\n".join(f"{name}: {sets}" for name, sets in own.items()))
        print(json.dumps({"benchmark": "prior_use", "cells": sum(map(len, wanted.values()))}))
        return
    found = {seed: table.base_run("market", seed, options.runs) for seed in seeds}
    cells, known = table.read_cells(options.results), table.read_cells(RESULTS / "table.json")
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = [
            pool.submit(
                run_method, base, method, own, cells, known.get(f"market/{method}/{seed}"), options.results
            )
            for (method, seed), own in wanted.items()
            if (base := found[seed])
        ]
        for job in jobs:
            job.result()
    for method in methods:
        print(f"\n### {method}\n\n" + markdown(method, cells, seeds))
    print(json.dumps({"benchmark": "prior_use", "cells": len(cells)}))


def ways(method: str) -> dict[str, str]:
    """Way → its settings, `off` first. A method that associates while it trains is told there, too."""
    sections = graph.sections(method)
    words = get_args(sections["associate"].model_fields["prior"].annotation)
    in_training = "prior" in sections["train"].model_fields
    if in_training and not trains_with_site(method):
        print(
            f"{method}: left out but for off: it associates while it trains, and `train` is given no site file"
        )
        words = ("off",)
    return {way: f"associate.prior={way}" + (f" train.prior={way}" if in_training else "") for way in words}


def trains_with_site(method: str) -> bool:
    """Whether the stage `train` may know the site file."""
    nodes = {node.id: node for node in graph.build(method, 1)}
    return any(name.partition(".")[0] == "site" for name in nodes["train@1"].stage.sources)


def cells_of(method: str, seed: str) -> dict[str, str]:
    """Cell → its SET words, checked against the method's settings."""
    sections: dict[str, type[Settings]] = {"run": config.RunSettings, **graph.sections(method)}
    found = {}
    for way, more in ways(method).items():
        found[f"{method}/{way}/{seed}"] = sets = table.settings("market", method, seed, more)
        config.load(sections, None, config.split_sets(sets))
    return found


def run_method(
    base: Path,
    method: str,
    wanted: dict[str, str],
    cells: dict[str, Any],
    known: dict[str, Any] | None,
    results: Path,
) -> None:
    """All ways of a method with one seed, one after the other; each begins with what the one before has in common."""
    before, runs = base, []
    for name, sets in wanted.items():
        key = table.cell_key(base, method, sets)
        if cells.get(name, {}).get("key") == key:
            continue
        if known is not None and known["key"] == key:
            found = known
        else:
            run = base.parent / "-".join(["prior", *name.split("/")])
            found = {"key": key, **table.measure(before, run, method, sets)}
            before = run
            runs.append(run)
        with _WRITING:
            cells[name] = found
            table.write_cells(results, cells)
        print(f"{name}: {table.short(found)}", flush=True)
    for run in runs:
        shutil.rmtree(run, ignore_errors=True)


def markdown(method: str, cells: dict[str, Any], seeds: list[str]) -> str:
    """Means over the seeds in per cent, and in brackets the difference from `off`."""
    columns = [name for name in table.COLUMNS if name != "end to end"]
    rows: dict[str, dict[str, float]] = {}
    for name in cells:
        own, way, _ = name.split("/")
        made = [cells[f"{own}/{way}/{seed}"] for seed in seeds if f"{own}/{way}/{seed}" in cells]
        if own == method and made:
            values = {column: table.of(made, *table.COLUMNS[column]) for column in columns}
            rows[way] = {column: 100 * statistics.fmean(v) for column, v in values.items() if v}
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    off = rows.get("off", {})
    for way in sorted(rows, key=lambda way: (way != "off", way)):
        shown = []
        for column in columns:
            value, paper = rows[way].get(column), off.get(column)
            against = "" if way == "off" or value is None or paper is None else f" ({value - paper:+.1f})"
            shown.append("–" if value is None else f"{value:.1f}{against}")
        lines.append(f"| {way} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main()
    except UserError as problem:
        sys.exit(f"error: {problem}")
