"""Who goes with whom: optimal one-to-one assignment under a gate."""

from __future__ import annotations

from typing import Any

import lap
import numpy as np
import numpy.typing as npt

_FORBIDDEN = 1e6


def assign(
    similarity: npt.NDArray[Any], allowed: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Pairs of rows and columns that make the summed similarity largest.

    Args:
        similarity: (n, m), 0..1; a pair of similarity 0 is worth as much as none.
        allowed: (n, m) pairs that may be chosen at all.

    Returns:
        rows (k,) ascending and columns (k,), k <= min(n, m).
    """
    if not allowed.any():
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    cost = np.where(allowed, 1.0 - similarity, _FORBIDDEN)
    # With a limit of 1 a pair is made exactly where it lowers the total cost against leaving both alone.
    _, column_of_row, _ = lap.lapjv(np.ascontiguousarray(cost, np.float64), extend_cost=True, cost_limit=1.0)
    column_of_row = np.asarray(column_of_row, np.int64)
    rows = np.flatnonzero(column_of_row >= 0)
    columns = column_of_row[rows]
    legal = allowed[rows, columns]
    return rows[legal], columns[legal]
