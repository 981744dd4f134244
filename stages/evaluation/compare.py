"""Two finished runs side by side: each measure, the difference, and how sure it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline import schema
from pipeline.errors import UserError
from pipeline.manifests import RANKINGS
from stages.evaluation.bootstrap import interval, person_weights
from stages.evaluation.comparison import of_queries
from stages.validation.verdict import WITNESSES, values

# Where a measure stands in metrics.json, and what it is called in print.
REID = (
    ("start", "start"),
    ("final", "final"),
    ("supervised", "trained with the truth"),
    ("end_to_end", "end to end"),
)
OTHERS = (
    ("association", "precision", "association precision"),
    ("association", "recall", "association recall"),
    ("association", "f", "association F"),
    ("identities", "idf1", "multi-camera IDF1"),
    ("tracking", "idf1", "tracking IDF1"),
    ("tracking", "purity", "tracklet purity"),
    ("isolation", "purity", "purity after isolation"),
    ("detection", "precision", "detection precision"),
    ("detection", "recall", "detection recall"),
    ("identities", "hota", "multi-camera HOTA"),
    ("tracking", "hota", "tracking HOTA"),
)


def compare(a: Path, b: Path, seed: int = 0, draws: int = 2000) -> list[dict[str, Any]]:
    """One row per measure that either run has: measure, a, b, difference, interval, people.

    The interval is that of the difference over people (95 %, paired: both runs answer the same queries), None where the
    queries are not the same or the measure is not one of queries.

    Raises:
        UserError: a run is not finished.
    """
    metrics = [_read(run) for run in (a, b)]
    rankings = [schema.read(RANKINGS, run / "evaluate" / RANKINGS.file) for run in (a, b)]
    rows = []
    for checkpoint, name in REID:
        own = [r[r.checkpoint == checkpoint].set_index("query_id") for r in rankings]
        same = len(own[0]) > 0 and set(own[0].index) == set(own[1].index)
        people = int(own[0].pid.nunique()) if same else None
        for key, label in (("rank1", "rank-1"), ("mean_ap", "mAP")):
            found = [(m["reid"].get(checkpoint) or {}).get(key) for m in metrics]
            between = None
            if same and None not in found:
                first, second = (of_queries(o.loc[own[0].index])[key] for o in own)
                weights = person_weights(own[0].pid.to_numpy(), seed, draws)
                between = interval(second - first, weights)
            rows.append(_row(f"{name}, {label}", found, between, people))
    for section, key, label in OTHERS:
        rows.append(_row(label, [(m.get(section) or {}).get(key) for m in metrics], None, None))
    for name in WITNESSES:
        signal = [values(m.get("label_free") or {}, name)[1] for m in metrics]
        rows.append(_row(f"{name.replace('_', ' ')}, needs no truth", signal, None, None))
    return [row for row in rows if row["a"] is not None or row["b"] is not None]


def formatted(a: Path, b: Path, rows: list[dict[str, Any]], differing: list[str]) -> str:
    """For a person: per cent, differences in points."""
    width = max(10, len(a.name), len(b.name))
    lines = ["", f"  {'':<38}{a.name:>{width}}  {b.name:>{width}}   difference, 95 % interval over people"]
    for row in rows:
        values = "  ".join(f"{'–' if row[k] is None else f'{100 * row[k]:.1f}':>{width}}" for k in ("a", "b"))
        said = "" if row["difference"] is None else f"   {100 * row['difference']:+.1f}"
        if row["interval"] is not None:
            low, high = (100 * v for v in row["interval"])
            sure = "" if low <= 0 <= high else ", beyond chance"
            said += f"   {low:+.1f} to {high:+.1f}{sure}"
        lines.append(f"  {row['measure']:<38}{values}{said}")
    if rows and all(row["interval"] is None for row in rows):
        lines.append("  the two were asked other queries, so nothing can be paired and no interval is given")
    lines += ["", "  what differs in how they were made:"]
    lines += [f"    {line}" for line in differing[:20]] or ["    nothing"]
    if len(differing) > 20:
        lines.append(f"    and {len(differing) - 20} more")
    return "\n".join(lines)


def _read(run: Path) -> dict[str, Any]:
    path = run / "evaluate" / "metrics.json"
    if not path.is_file():
        raise UserError(f"{path}: not there; run `make all RUN={run}` first.")
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _row(name: str, values: list[Any], between: Any, people: int | None) -> dict[str, Any]:
    a, b = values
    difference = b - a if a is not None and b is not None else None
    return {"measure": name, "a": a, "b": b, "difference": difference, "interval": between, "people": people}
