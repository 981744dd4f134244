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
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks import table
from benchmarks.result import RESULTS, machine
from benchmarks.table import FOOTAGE, spread
from pipeline.errors import UserError

ROOTS = {"market-half": FOOTAGE / "reid/market100", "ilids-vid": FOOTAGE / "reid/ilids-vid-subset"}
STARTS = ("msmt17", "imagenet")
# The table's, but DAL's in one round across cameras.
BUDGET = {
    **{method: table.BUDGET[method] for method in ("pul", "race", "reliable_soft", "tmc")},
    "dal": "run.rounds=1 train.steps=115 train.round_steps=55",
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
    cells = table.read_cells(options.results)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        running = {
            pool.submit(one_cell, options.runs / "-".join(cell), *cell): "/".join(cell)
            for cell in wanted
            if "/".join(cell) not in cells
        }
        for done in as_completed(running):
            name = running[done]
            cells[name] = done.result()
            table.write_cells(options.results, cells)
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
    words = {
        "until": "rank",
        "dataset": set_,
        "root": str(ROOTS[set_]),
        "method": method,
        "trial": trial,
        "backbone": "osnet_x0_25",
        "weights": str(FOOTAGE / f"weights/osnet_x0_25_{start}.pth"),
    }
    table.pipeline(
        run,
        BUDGET[method],
        *(word for name, value in words.items() for word in (f"--{name}", value)),
        log=run.with_suffix(".log"),
        threads=1,
    )
    found = json.loads((run / "rank" / "metrics.json").read_text(encoding="utf-8"))
    shutil.rmtree(run)
    return {
        "start": found["reid"]["start"],
        "rounds": found["reid"]["rounds"],
        "labels": found["labels"],
        "queries": found["queries"],
        "machine": machine(),
    }


def markdown(cells: dict[str, Any]) -> str:
    """Start and end of each method, whose config may rank by a way of its own: mean (lowest–highest) over trials, per cent; P and R
    of the last links."""
    columns = ("trials", "rank-1 from", "to", "mAP from", "to", "P", "R")
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for method in sorted({name.split("/")[2] for name in cells}):
        own = [cell for name, cell in cells.items() if name.split("/")[2] == method]
        shown = [str(len(own))]
        for key in ("rank1", "mean_ap"):
            shown += [spread([100 * state[key] for state in states]) for states in (
                [cell["start"] for cell in own], [cell["rounds"][-1] for cell in own]
            )]  # fmt: skip
        for key in ("precision", "recall"):
            shown.append(spread([100 * v for cell in own if (v := cell["labels"][-1][key]) is not None]))
        lines.append(f"| `{method}` | " + " | ".join(shown) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main()
    except UserError as problem:
        sys.exit(f"error: {problem}")
