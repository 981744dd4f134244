"""Do two runs hold the same results? Every table of both, value by value: the check of a change that must change nothing.

    RUNS="runs/before runs/after" python -m benchmarks.same_tables

Columns are compared by position, so a renamed column counts as the same where its values are. The paths of recordings
and of shards are left out, because they name folders of the checkout and of the shard cache; offsets and sizes stay.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.result import machine
from pipeline.errors import UserError

PATHS = {"path", "shard", "measure"}  # columns that name a folder, or a measure that may be renamed


def tables(run: Path) -> dict[str, Path]:
    """The published tables of a run by their path in it; shards, features and scratch are no results."""
    inner = {"shard_cache", "pieces", "features", ".scratch"}
    found = (path.relative_to(run) for path in sorted(run.rglob("*.parquet")))
    return {str(path): run / path for path in found if not inner & set(path.parts)}


def differences(before: pd.DataFrame, after: pd.DataFrame) -> tuple[int, str]:
    """Values that differ, and the columns that were renamed, in words."""
    if before.shape != after.shape:
        return max(before.size, after.size), f"{before.shape} became {after.shape}"
    if "measure" in before:  # rows stand in the order of their names, which a renaming changes
        before, after = (table.sort_values("value", ignore_index=True) for table in (before, after))
    renamed, count = [], 0
    for old, new in zip(before.columns, after.columns, strict=True):
        if old != new:
            renamed.append(f"{old} is now {new}")
        if old not in PATHS:
            a, b = before[old].astype(object), after[new].astype(object)
            count += sum(not _same(x, y) for x, y in zip(a, b, strict=True))
    return count, "; ".join(renamed)


def _same(a: Any, b: Any) -> bool:
    """Whether two values of a cell are equal; NaN equals NaN, and lists are compared item by item."""
    if hasattr(a, "__len__") and not isinstance(a, str):
        return list(a) == list(b)
    return bool(a == b or (a != a and b != b))


def main() -> int:
    names = os.environ.get("RUNS", "").split()
    if len(names) != 2:
        raise UserError('RUNS: name two run folders, as in RUNS="runs/before runs/after".')
    old, new = (tables(Path(name)) for name in names)
    wrong = 0
    print("| table | rows | values that differ | remark |\n|---|---|---|---|")
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            count, rows, remark = 1, 0, f"only in {names[name in new]}"
        else:
            before, after = pd.read_parquet(old[name]), pd.read_parquet(new[name])
            rows, (count, remark) = len(after), differences(before, after)
        wrong += count > 0
        print(f"| {name} | {rows} | {count} | {remark} |")
    print(f"{wrong} tables differ. {machine()['cpu']}, {machine()['cores']} cores")
    return int(wrong > 0)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as error:
        sys.exit(f"error: {error}")
