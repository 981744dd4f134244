"""The measures of a finished run over several seeds, with their spread: where the README's tables come from.

    make bench NAME=seeds RUN=runs/market SEEDS="100 101 102"

Everything up to `isolate` is shared with the run (hard links); what depends on the seed is made anew in
``RUN-seed-N``. Prints a table, and as its last line one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=Path(os.environ.get("RUN") or "runs/demo"))
    parser.add_argument("--seeds", default=os.environ.get("SEEDS") or "100 101 102")
    parser.add_argument("--set", default=os.environ.get("SET") or "")
    options = parser.parse_args()
    results = [measure(options.run, int(seed), options.set) for seed in options.seeds.split()]
    rows = summary(results)
    print(f"\n{options.run}, seeds {options.seeds}, {machine()}\n")
    print("| measure | " + " | ".join(f"seed {s}" for s in options.seeds.split()) + " | mean | spread |")
    print("|---|" + "---|" * (len(results) + 2))
    for name, values in rows.items():
        cells = " | ".join("–" if v is None else f"{v:.3f}" for v in values)
        known = [v for v in values if v is not None]
        print(f"| {name} | {cells} | {statistics.fmean(known):.3f} | {max(known) - min(known):.3f} |")
    means = by_the_means(rows)
    print("\nBy the means over seeds: " + ", ".join(f"{name} {value:.3f}" for name, value in means.items()))
    facts = {"run": str(options.run), "seeds": options.seeds.split(), "machine": machine()}
    print(json.dumps({**facts, "rows": rows, "by_the_means": means}))


def copy_run(run: Path, copy: Path) -> Path:
    """A second folder with the run's output as it is now; made anew when the run was, else continued.

    Outputs are renamed into place and never written to, so hard links are as good as copies.
    """
    made_from = _state(run)
    mark = copy / "copied-from.json"
    if mark.is_file() and json.loads(mark.read_text(encoding="utf-8")) == made_from:
        return copy
    shutil.rmtree(copy, ignore_errors=True)
    part = copy.with_name(copy.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    leave = shutil.ignore_patterns(
        ".lock", ".scratch", "request.json", "digests.json", "failures", "search", "copied-from.json"
    )
    shutil.copytree(run, part, copy_function=os.link, ignore=leave)
    shutil.copy(run / "request.json", part / "request.json")
    (part / mark.name).write_text(json.dumps(made_from), encoding="utf-8")
    part.rename(copy)
    return copy


def _state(run: Path) -> dict[str, str]:
    """What the run was asked, and each stage's receipt."""
    files = [run / "request.json", *run.glob("*/receipt.json"), *run.glob("*/*/*/receipt.json")]
    return {str(f.relative_to(run)): hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(files)}


def measure(run: Path, seed: int, settings: str) -> dict[str, Any]:
    """The metrics of ``run`` with another seed."""
    copy = copy_run(run, run.with_name(f"{run.name}-seed-{seed}"))
    words = ["--run", str(copy), "--set", f"run.seed={seed} {settings}", "--supervised"]
    subprocess.run([sys.executable, "-m", "pipeline", "run", *words], check=True, stdout=sys.stderr)
    return metrics(copy)


def metrics(run: Path) -> dict[str, Any]:
    """The measures of a finished run."""
    command = [sys.executable, "-m", "pipeline", "metrics", "--run", str(run), "--json"]
    return dict(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))


def summary(results: list[dict[str, Any]]) -> dict[str, list[float | None]]:
    """Measure → one value per seed, None where a seed has none."""
    rows: dict[str, list[float | None]] = {}
    for name in ("start", "final", "supervised", "end_to_end"):
        for key in ("rank1", "mean_ap"):
            rows[f"{name} {key}"] = [(r["reid"][name] or {}).get(key) for r in results]
    n_rounds = min(len(r["reid"]["rounds"]) for r in results)
    for i in range(n_rounds):
        for key in ("rank1", "mean_ap"):
            rows[f"round {results[0]['reid']['rounds'][i]['round']} {key}"] = [
                r["reid"]["rounds"][i][key] for r in results
            ]
    for part, key in (
        ("association", "precision"), ("association", "recall"), ("identities", "idf1"),
        ("tracking", "idf1"), ("tracking", "purity"), ("identities", "hota"), ("tracking", "hota"),
    ):  # fmt: skip
        rows[f"{part} {key}"] = [r[part][key] for r in results]
    for name, part in (("final / supervised", "fraction_of_supervised"), ("gap closed", "gap_closed")):
        for key in ("rank1", "mean_ap"):
            rows[f"{name}, {key}"] = [(r.get(part) or {}).get(key) for r in results]
    return {name: values for name, values in rows.items() if any(v is not None for v in values)}


def by_the_means(rows: dict[str, list[float | None]]) -> dict[str, float]:
    """Share of the reference reached and of the gap closed, from means: a ratio per seed swings with its denominator."""
    found = {}
    for key in ("rank1", "mean_ap"):
        values = [rows.get(f"{name} {key}") or [None] for name in ("start", "final", "supervised")]
        if any(v is None for part in values for v in part):
            continue
        start, final, top = (statistics.fmean(v for v in part if v is not None) for part in values)
        found[f"final / supervised, {key}"] = final / top
        if top > start:
            found[f"gap closed, {key}"] = (final - start) / (top - start)
    return found


def machine() -> str:
    return f"{os.cpu_count()} cores {platform.machine()}, python {platform.python_version()}"


if __name__ == "__main__":
    main()
