"""What a step writes beside its output when it ends: what it was made of, how long it took and on what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RECEIPT = "receipt.json"


def read(path: Path) -> dict[str, Any] | None:
    """A receipt; None where there is none, or it was damaged."""
    try:
        receipt = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return receipt if is_whole(receipt) else None


def of_run(run: Path) -> dict[str, dict[str, Any]]:
    """Node → its receipt, of all that ended in a run."""
    return {receipt["node"]: receipt for path in paths(run) if (receipt := read(path)) and "node" in receipt}


def paths(run: Path) -> Iterator[Path]:
    """run/stage/receipt.json and run/stage/method/round-1/receipt.json; a place that a kill left beside comes first, to be replaced."""
    found = [*run.glob(f"*/{RECEIPT}"), *run.glob(f"*/*/*/{RECEIPT}")]
    yield from sorted(
        (path for path in found if ".scratch" not in path.parts),
        key=lambda path: (not path.parent.name.endswith(".old"), path),
    )


def is_whole(receipt: Any) -> bool:
    """Whether it is what `Runner.run_node` writes; one that was damaged counts as none."""
    kinds = {
        "fingerprint": dict,
        "outputs": dict,
        "seconds": int | float,
        "sources_digest": str,
        "metadata": dict,
    }
    if not isinstance(receipt, dict) or not all(
        isinstance(receipt.get(key), kind) for key, kind in kinds.items()
    ):
        return False
    files = receipt.get("files", [])
    return isinstance(files, list) and all(isinstance(name, str) for name in files)
