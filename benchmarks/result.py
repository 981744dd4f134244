"""How every benchmark ends: a table for a person, one JSON object for a program, and a file to commit."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).with_name("results")
PACKAGES = ("torch", "openvino", "ultralytics", "opencv-python", "numpy", "onnxruntime")


def machine() -> dict[str, Any]:
    """What the figures were taken on; versions of what decides speed."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    cpu = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    return {
        "cores": os.cpu_count(), "cpu": cpu, "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(), "date": time.strftime("%Y-%m-%d"), "versions": versions,
    }  # fmt: skip


def finish(
    name: str, values: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
) -> None:
    """Print rows as a table and ``values`` as the last line, and keep all of it in ``results/NAME.json``."""
    columns = list(rows[0]) if rows else []
    print("\n| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for row in rows:
        print("| " + " | ".join(_shown(row[c]) for c in columns) + " |")
    RESULTS.mkdir(exist_ok=True)
    whole = {"benchmark": name, **values, "rows": list(rows), "machine": dict(facts)}
    (RESULTS / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({"benchmark": name, **values}))


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
