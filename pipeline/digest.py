"""Short digests of plain values."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def text_digest(value: Any) -> str:
    """Twenty hex digits of the SHA-256 of a JSON-able value; dictionaries are sorted."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:20]


def table_digest(table: pd.DataFrame) -> str:
    """SHA-256 of a table's rows in their order, whatever its index; a column ``points`` holds arrays."""
    import pandas as pd

    if "points" in table:
        table = table.assign(points=table.points.map(lambda points: points.tobytes()))
    return hashlib.sha256(pd.util.hash_pandas_object(table, index=False).to_numpy().tobytes()).hexdigest()
