"""The measures of a finished run over several seeds, with their spread: where the README's tables come from.

    make bench NAME=seeds RUN=runs/market SEEDS="100 101 102"

Everything up to `isolate` is shared with the run (hard links); what depends on the seed is made anew in
``RUN-seed-N``. Prints a table, and as its last line one JSON object.
"""

from __future__ import annotations

import argparse
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
        cells = " | ".join(f"{v:.3f}" for v in values)
        spread = max(values) - min(values)
        print(f"| {name} | {cells} | {statistics.fmean(values):.3f} | {spread:.3f} |")
    print(
        json.dumps(
            {"run": str(options.run), "seeds": options.seeds.split(), "machine": machine(), "rows": rows}
        )
    )


def copy_run(run: Path, copy: Path) -> Path:
    """A second folder with the run's output; outputs are renamed into place and never written to, so hard links do."""
    if not copy.exists():
        leave = shutil.ignore_patterns(".lock", ".scratch", "request.json", "digests.json")
        shutil.copytree(run, copy, copy_function=os.link, ignore=leave)
        shutil.copy(run / "request.json", copy / "request.json")
    return copy


def measure(run: Path, seed: int, settings: str) -> dict[str, Any]:
    """The metrics of ``run`` with another seed."""
    copy = copy_run(run, run.with_name(f"{run.name}-seed-{seed}"))
    frame = [sys.executable, "-m", "pipeline"]
    words = ["--run", str(copy), "--set", f"run.seed={seed} {settings}", "--supervised"]
    subprocess.run([*frame, "run", *words], check=True, stdout=sys.stderr)
    out = subprocess.run(
        [*frame, "metrics", "--run", str(copy), "--json"], check=True, stdout=subprocess.PIPE
    )
    return dict(json.loads(out.stdout))


def summary(results: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Measure → one value per seed, for those that every seed has."""
    rows: dict[str, list[float]] = {}
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
        ("tracking", "idf1"), ("tracking", "purity"), ("label_free", "split_tracklet_rank1"),
    ):  # fmt: skip
        rows[f"{part} {key}"] = [r[part][key] for r in results]
    for key in ("rank1", "mean_ap"):
        start, final, top = rows[f"start {key}"], rows[f"final {key}"], rows[f"supervised {key}"]
        if None not in (*start, *final, *top):
            rows[f"final / supervised, {key}"] = [f / t for f, t in zip(final, top, strict=True)]
            rows[f"gap closed, {key}"] = [
                (f - s) / (t - s) for s, f, t in zip(start, final, top, strict=True) if t != s
            ]
    return {name: values for name, values in rows.items() if values and None not in values}


def machine() -> str:
    return f"{os.cpu_count()} cores {platform.machine()}, python {platform.python_version()}"


if __name__ == "__main__":
    main()
