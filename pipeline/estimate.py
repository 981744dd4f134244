"""What a plan will take: seconds and disk, from what the same stages took in this run's neighbours.

Stages before and after training are paid by the hour of footage, a round of training by its steps, which do not grow
with it. The median over past runs on the same kind of device; a stage that nobody ran here yet has no estimate.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pipeline import receipts
from pipeline.graph import Node
from pipeline.progress import duration

BY_THE_ROUND = ("train", "supervised")


@dataclass(frozen=True)
class Estimate:
    """seconds, disk_bytes: None where no past run tells."""

    seconds: float | None
    disk_bytes: float | None


def estimates(run_dir: Path, nodes: Iterable[Node], device: str) -> dict[str, Estimate]:
    """Node id → estimate, for the nodes of a plan."""
    hours = recorded_hours(run_dir)
    seconds: dict[str, list[float]] = defaultdict(list)
    disk: dict[str, list[float]] = defaultdict(list)
    for past in {p.parent.parent for p in run_dir.parent.glob("*/ingest/receipt.json")} | {run_dir}:
        past_hours = recorded_hours(past)
        if not past_hours:
            continue
        sizes = {name: _bytes(past / "shard_cache" / name) for name in ("detect", "crop")}
        for receipt in receipts.of_run(past).values():
            stage = str(receipt["node"]).partition("@")[0]
            # A stage that only found its pieces done says nothing about the work.
            idle = receipt["seconds"] < 0.5 and (past / "shard_cache" / stage).is_dir()
            if receipt.get("device") == device and not idle:
                unit = 1.0 if stage in BY_THE_ROUND else past_hours
                seconds[stage].append(receipt["seconds"] / unit)
            if size := sizes.get(stage):
                disk[stage].append(size / past_hours)
    found = {}
    for node in nodes:
        stage = node.stage.name
        times = 1.0 if stage in BY_THE_ROUND else hours
        found[node.id] = Estimate(
            statistics.median(seconds[stage]) * times if seconds[stage] and times else None,
            statistics.median(disk[stage]) * hours if disk[stage] and hours else None,
        )
    return found


def sentence(found: Iterable[Estimate]) -> str:
    """'about 12 minutes and 340 MB, by earlier runs here; 3 steps are not known yet'."""
    found = list(found)
    known = [e.seconds for e in found if e.seconds is not None]
    if not known:
        return "No earlier run beside this one tells how long that takes."
    text = f"About {duration(sum(known))}"
    if disk := sum(e.disk_bytes or 0 for e in found):
        text += f" and {disk / 1e6:.0f} MB" if disk < 1e9 else f" and {disk / 1e9:.1f} GB"
    text += ", by earlier runs here"
    if unknown := len(found) - len(known):
        text += f"; {unknown} of the steps never ran here and are not in it"
    return text + "."


def recorded_hours(run_dir: Path) -> float | None:
    """Hours of readable footage of a run, None before its ingest."""
    import pyarrow.parquet as pq

    path = run_dir / "ingest" / "videos.parquet"
    if not path.is_file():
        return None
    table = pq.read_table(path, columns=["status", "t_from_us", "t_until_us"]).to_pylist()
    return sum(r["t_until_us"] - r["t_from_us"] for r in table if r["status"] == "ok") / 3.6e9 or None


def _bytes(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) if folder.is_dir() else 0
