"""Where every figure comes from: the receipts of the stages before this one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def receipts(tables: Iterable[Path], run_dir: Path) -> list[dict[str, Any]]:
    """Receipts beside the tables, and of the stages that these name as their inputs; each node once, oldest first.

    A receipt that is missing or damaged is left out.
    """
    found: dict[str, dict[str, Any]] = {}
    todo = [path.parent for path in tables]
    while todo:
        folder = todo.pop(0)
        receipt = _read(folder / "receipt.json")
        node = str((receipt or {}).get("node", ""))
        if receipt is None or not node or node in found:
            continue
        found[node] = receipt
        for name in (receipt.get("fingerprint") or {}).get("inputs") or {}:
            provider = str(name).rpartition(" of ")[2]
            if "@" not in provider:
                todo.append(run_dir / provider)
    return sorted(found.values(), key=lambda r: _place(str(r["node"])))


def stage_rows(found: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Rows node, seconds, device, host, python, notes."""
    rows = []
    for receipt in found:
        seconds = receipt.get("seconds")
        notes = receipt.get("metadata") or {}
        rows.append(
            {
                "node": str(receipt["node"]),
                "seconds": f"{seconds:.1f}" if isinstance(seconds, int | float) else "–",
                "device": str(receipt.get("device", "–")),
                "host": str(receipt.get("host", "–")),
                "python": str(receipt.get("python", "–")),
                "notes": ", ".join(f"{key}: {_short(value)}" for key, value in notes.items()),
            }
        )
    return rows


def setting_rows(found: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Rows name, value of every setting that decided a result; rounds of one stage share theirs."""
    rows: dict[str, str] = {}
    for receipt in found:
        fingerprint = receipt.get("fingerprint") or {}
        section = str(receipt["node"]).partition("@")[0]
        for part in ("settings", "sources"):
            for key, value in (fingerprint.get(part) or {}).items():
                name = f"{section}.{key}" if part == "settings" else str(key)
                if name not in ("videos", "site.prior", "site.clock", "site"):
                    rows.setdefault(name, _short(value))
    return [{"name": name, "value": value} for name, value in sorted(rows.items())]


def total_seconds(found: list[dict[str, Any]]) -> float:
    return float(sum(r["seconds"] for r in found if isinstance(r.get("seconds"), int | float)))


_ORDER = ("ingest", "detect", "track", "crop", "isolate", "associate", "train", "identify", "ground_truth", "supervised", "evaluate", "export")  # fmt: skip


def _place(node: str) -> tuple[float, ...]:
    """Rounds stand where they ran: associate@0, train@0, associate@1, …"""
    name, _, number = node.partition("@")
    place = _ORDER.index(name) if name in _ORDER else len(_ORDER)
    if number.isdigit():
        return (_ORDER.index("associate"), int(number), place)
    return (place + (0 if place < _ORDER.index("associate") else 1), 0, 0)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        receipt = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return receipt if isinstance(receipt, dict) else None


def _short(value: object, longest: int = 80) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= longest else text[: longest - 1] + "…"
