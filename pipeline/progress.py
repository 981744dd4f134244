"""A bar on a terminal, nothing elsewhere: logs are for lines that stay true."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def bar(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Iterate, with a bar where a person watches this very process; several processes would paint over each other."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    if sys.stderr.isatty() and multiprocessing.parent_process() is None:
        from tqdm import tqdm

        yield from tqdm(items, desc=f"  {label}", total=total, leave=False)
    else:
        yield from items
