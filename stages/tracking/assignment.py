"""Who goes with whom: optimal one-to-one assignment under a gate."""

from __future__ import annotations

from typing import Any

import lap
import numpy as np
import numpy.typing as npt


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
    n, m = similarity.shape
    # Square, with partners that are worth nothing: whoever gets one of those, or of similarity 0, stays alone.
    cost = np.ones((max(n, m), max(n, m)))
    cost[:n, :m] -= similarity * allowed
    _, column_of_row, _ = lap.lapjv(cost)
    columns = np.asarray(column_of_row[:n], np.int64)
    rows = np.flatnonzero(columns < m)
    columns = columns[rows]
    legal = allowed[rows, columns] & (similarity[rows, columns] > 0)
    return rows[legal], columns[legal]
