"""Single images without tracklets: the methods that know what to do with them, on halves of market100 and of iLIDS-VID.

    make bench NAME=images [SETS="market-half ilids-vid"] [METHODS="pul tmc"] [STARTS="msmt17"] [TRIALS="0 1 2"]

Each image is a tracklet of one frame; there are no times. market100: 50 people to train, 50 to test, some nine images each.
iLIDS-VID: 150 and 150, one image in each of two cameras. Some 170 steps of 64 images, as a cell of `benchmarks.table` has.

A cell that is done is in ``benchmarks/results/images.json`` and is not made again. Prints a table for each set and start, and as
its last line one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.result import RESULTS, machine
from benchmarks.table import FOOTAGE, read_cells, spread, write_cells
from pipeline.errors import UserError

ROOTS = {"market-half": FOOTAGE / "reid/market100", "ilids-vid": FOOTAGE / "reid/ilids-vid-subset"}
STARTS = ("msmt17", "imagenet")
BUDGET = {
    "dal": "run.rounds=1 train.steps=115 train.round_steps=55",
    "pul": "run.rounds=2 train.steps=57 train.round_steps=57",
    "race": "run.rounds=2 train.steps=60 train.round_steps=55",
    "reliable_soft": "run.rounds=2 train.steps=57 train.round_steps=57",
    "tmc": "run.rounds=3 train.round_steps=32",
}


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in (("sets", ROOTS), ("methods", BUDGET), ("starts", ("msmt17",)), ("trials", "012")):
        words.add_argument(f"--{name}", default=os.environ.get(name.upper()) or " ".join(usual))
    words.add_argument("--results", type=Path, default=RESULTS / "images.json")
    words.add_argument("--runs", type=Path, default=Path("runs/images"))
    options = words.parse_args()
    chosen = {name: getattr(options, name).split() for name in ("sets", "methods", "starts", "trials")}
    for name, known in (("sets", ROOTS), ("methods", BUDGET), ("starts", STARTS), ("trials", "0123456789")):
        if unknown := [word for word in chosen[name] if word not in known]:
            words.error(f"{name.upper()}={' '.join(unknown)}: choose among {' '.join(known)}")
    wanted = [
        (set_, start, method, trial)
        for trial, set_, start, method in product(
            *(chosen[name] for name in ("trials", "sets", "starts", "methods"))
        )
    ]
    cells = read_cells(options.results)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        running = {
            pool.submit(one_cell, options.runs / "-".join(cell), *cell): "/".join(cell)
            for cell in wanted
            if "/".join(cell) not in cells
        }
        for done in as_completed(running):
            name = running[done]
            cells[name] = done.result()
            write_cells(options.results, cells)
            shown = " → ".join(f"{100 * r['rank1']:.1f}" for r in cells[name]["rounds"])
            print(f"{name}: rank-1 {100 * cells[name]['start']['rank1']:.1f} → {shown}", flush=True)
    for set_ in chosen["sets"]:
        for start in chosen["starts"]:
            own = {name: cell for name, cell in cells.items() if name.startswith(f"{set_}/{start}/")}
            print(f"\n### {set_} from {start}\n\n{markdown(own)}")
    print(json.dumps({"benchmark": "images", "cells": len(cells)}))


def one_cell(run: Path, set_: str, start: str, method: str, trial: str) -> dict[str, Any]:
    """Retrieval of every state and label estimation of every round; the run is removed again.

    Raises:
        UserError: it failed; names the log.
    """
    run.mkdir(parents=True, exist_ok=True)
    log = run.with_suffix(".log")
    command = [
        sys.executable, "-m", "pipeline", "run", "--run", str(run), "--dataset", set_, "--root", str(ROOTS[set_]),
        "--method", method, "--trial", trial, "--backbone", "osnet_x0_25",
        "--weights", str(FOOTAGE / f"weights/osnet_x0_25_{start}.pth"), "--set", BUDGET[method],
    ]  # fmt: skip
    with log.open("w", encoding="utf-8") as file:
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
        if subprocess.run(command, env=one_thread, stdout=file, stderr=subprocess.STDOUT).returncode:
            raise UserError(f"{run}: the cell failed; see {log}")
    found = json.loads((run / "rank" / "metrics.json").read_text(encoding="utf-8"))
    shutil.rmtree(run)
    log.unlink()
    return {
        "start": found["reid"]["start"],
        "rounds": found["reid"]["rounds"],
        "labels": found["labels"],
        "queries": found["queries"],
        "machine": machine(),
    }


def markdown(cells: dict[str, Any]) -> str:
    """Start and end of each method: mean (lowest–highest) over trials, per cent; P and R of the last links."""
    lines = ["| | trials | rank-1 | mAP | P | R |", "|---" * 6 + "|"]
    start = [cell["start"] for name, cell in cells.items() if name.split("/")[2] == first_method(cells)]
    lines.append(row("start", start, []))
    for method in sorted({name.split("/")[2] for name in cells}):
        own = [cell for name, cell in cells.items() if name.split("/")[2] == method]
        labels = [cell["labels"][-1] for cell in own if cell["labels"]]
        lines.append(row(f"`{method}`", [cell["rounds"][-1] for cell in own], labels))
    return "\n".join(lines)


def first_method(cells: dict[str, Any]) -> str:
    """One whose starts stand for those of all: a start depends on the trial alone."""
    return min((name.split("/")[2] for name in cells), default="")


def row(name: str, ends: list[dict[str, float]], labels: list[dict[str, Any]]) -> str:
    """One line of Markdown."""
    shown = [spread([100 * end[key] for end in ends]) for key in ("rank1", "mean_ap")]
    shown += [spread([100 * r[key] for r in labels if r[key] is not None]) for key in ("precision", "recall")]
    return f"| {name} | {len(ends)} | " + " | ".join(shown) + " |"


if __name__ == "__main__":
    try:
        main()
    except UserError as problem:
        sys.exit(f"error: {problem}")
