"""Short digests of plain values."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def text_digest(value: Any) -> str:
    """Twenty hex digits of the SHA-256 of a JSON-able value; dictionaries are sorted."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:20]
