"""Start, final and supervised side by side: how much of the gap is closed, and how sure that is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from stages.evaluation.bootstrap import interval, person_weights
from stages.evaluation.tracking import ratio

Summary = dict[str, dict[str, float | None]]


def gap_closed(summary: Summary) -> dict[str, float | None]:
    """(final - start) / (supervised - start) for rank1 and mean_ap; None without a reference above the start."""
    result: dict[str, float | None] = {}
    for key in ("rank1", "mean_ap"):
        start, final, reference = (summary.get(s, {}).get(key) for s in ("start", "final", "supervised"))
        usable = start is not None and final is not None and reference is not None and reference > start
        result[key] = (final - start) / (reference - start) if usable else None  # type: ignore[operator]
    return result


def fraction_of_supervised(summary: Summary) -> dict[str, float | None]:
    """final / supervised for rank1 and mean_ap; None without a reference."""
    result: dict[str, float | None] = {}
    for key in ("rank1", "mean_ap"):
        final, reference = (summary.get(s, {}).get(key) for s in ("final", "supervised"))
        result[key] = ratio(final, reference) if final is not None and reference is not None else None
    return result


def of_queries(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """What each query of RANKINGS rows of one state adds to rank1 and mean_ap, (Q,) each."""
    return {
        "rank1": (rows.first_match_rank == 0).to_numpy(float),
        "mean_ap": rows.average_precision.to_numpy(float),
    }


def intervals(rows: dict[str, pd.DataFrame], seed: int, draws: int) -> dict[str, Any]:
    """95 % intervals over people: of each state, and of the paired differences of final from start and supervised.

    Args:
        rows: state → rows of RANKINGS, the same queries in the same order in each.
    """
    first = next(iter(rows.values()))
    weights = person_weights(first.pid.to_numpy(), seed, draws)

    def values(checkpoint: str) -> dict[str, np.ndarray]:
        if list(rows[checkpoint].query_id) != list(first.query_id):
            raise ValueError(f"state '{checkpoint}' was asked other queries; nothing can be paired")
        return of_queries(rows[checkpoint])

    measured = {s: values(s) for s in ("start", "final", "supervised", "end_to_end") if s in rows}
    result: dict[str, Any] = {s: {k: interval(v, weights) for k, v in m.items()} for s, m in measured.items()}
    for other in ("start", "supervised"):
        if other in measured and "final" in measured:
            result[f"final_minus_{other}"] = {
                k: interval(measured["final"][k] - measured[other][k], weights) for k in measured["final"]
            }
    return result
