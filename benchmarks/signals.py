"""Do the signals that need no truth follow the truth? Over every method, round and seed of `make table`.

    make table && make bench NAME=signals

Each state of each run (the start, then each round) has its signals, read on tracklets of the held-out time, and its true
rank-1 and mAP. Printed is Spearman's rank correlation, with a 95 % interval that draws whole runs, since the rounds of one run
are alike; and in how many runs a signal says rightly whether the last round is better or worse than the start.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.stats import ConstantInputWarning, spearmanr

from benchmarks.result import RESULTS, finish, machine
from benchmarks.table import read_cells
from stages.validation.signals import OF_GROUPS, PER_TRACKLET
from stages.validation.verdict import WITNESSES

DRAWS = 2000
Run = list[dict[str, Any]]


def main() -> None:
    cells = read_cells(RESULTS / "table.json")
    rows: list[dict[str, Any]] = []
    values: dict[str, Any] = {}
    for site in dict.fromkeys(name.split("/")[0] for name in cells):
        runs = [
            states(cell)
            for name, cell in cells.items()
            if name.startswith(f"{site}/") and cell.get("signals")
        ]
        if not runs:
            print(f"{site}: no cell with signals; make table SITES={site} makes them")
            continue
        for signal in (*PER_TRACKLET, *OF_GROUPS):
            row = {"site": site, "signal": signal + ("*" if signal in WITNESSES else "")}
            for truth in ("rank1", "mean_ap"):
                rho, low, high = correlation(runs, signal, truth)
                row[f"Spearman with {truth}"] = f"{rho:+.2f} ({low:+.2f} to {high:+.2f})"
                values[f"{site}/{signal}/{truth}"] = [None if np.isnan(v) else v for v in (rho, low, high)]
            right, asked = agreement(runs, signal)
            row["tells better from worse"] = f"{right} of {asked}"
            rows.append(row)
        values[f"{site}/states"] = sum(len(run) for run in runs)
        values[f"{site}/runs"] = len(runs)
    finish("signals", values, rows, machine())


def states(cell: dict[str, Any]) -> Run:
    """The start and the rounds of one run: signals, rank1, mean_ap."""
    truth = {"start": cell["start"], **{f"round-{r['round']}": r for r in cell["rounds"]}}
    return [
        {**s, **{k: truth[s["checkpoint"]][k] for k in ("rank1", "mean_ap")}}
        for s in cell["signals"]
        if s["checkpoint"] in truth
    ]


def correlation(runs: list[Run], signal: str, truth: str, seed: int = 0) -> tuple[float, float, float]:
    """Spearman's rho over all states, and its 95 % interval over runs drawn with replacement; NaN for fewer than three."""
    known = [[(s[signal], s[truth]) for s in run if s.get(signal) is not None] for run in runs]
    known = [run for run in known if run]
    if sum(map(len, known)) < 3:
        return (float("nan"),) * 3
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(DRAWS):
        chosen = rng.integers(0, len(known), len(known))
        drawn.append(rho([pair for i in chosen for pair in known[i]]))
    known_draws = [r for r in drawn if not np.isnan(r)]
    low, high = np.quantile(known_draws, [0.025, 0.975]) if known_draws else (float("nan"),) * 2
    return rho([pair for run in known for pair in run]), float(low), float(high)


def rho(pairs: list[tuple[float, float]]) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)
        return float(spearmanr(*zip(*pairs, strict=True))[0])


def agreement(runs: list[Run], signal: str) -> tuple[int, int]:
    """In how many runs signal and rank-1 moved the same way from the start to the last round; of how many that moved."""
    right = asked = 0
    for run in runs:
        first, last = run[0], run[-1]
        moved = last["rank1"] - first["rank1"]
        if moved and None not in (first.get(signal), last.get(signal)):
            asked += 1
            right += (last[signal] - first[signal]) * moved > 0
    return right, asked


if __name__ == "__main__":
    main()
