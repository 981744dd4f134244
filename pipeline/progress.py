"""How far the work is: a bar on a terminal, and now and then a line that says how long the rest will take."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

# The first word on the time left comes after a minute, the next after two more, then four …, at most this far apart.
_FIRST_S, _LAST_S = 60.0, 1800.0


class Pace:
    """Work done against all there is to do, and the time left at the pace so far.

    The pace counts from the first work done: what comes before is a network being loaded, which comes once.

    total: in ``unit`` (frames, bytes). say: takes each line. clock: seconds, monotonic.
    """

    def __init__(
        self,
        label: str,
        total: float,
        unit: str,
        log: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label, self.total, self.unit, self.log, self.clock = label, total, unit, log, clock
        self.done = self.settled = 0.0
        self.began = clock()
        self.head_start = 0.0  # what was done when the pace began to count
        self.wait_s = _FIRST_S
        self.next = self.began + self.wait_s

    def add(self, amount: float) -> None:
        """So much more is done of a shard under way."""
        if not self.done and amount:
            self.began, self.head_start = self.clock(), amount
        self.done += amount
        if self.clock() >= self.next:
            self.wait_s = min(2 * self.wait_s, _LAST_S)
            self.next = self.clock() + self.wait_s
            if self.done < self.total and self.rate:
                self.log(self.sentence())

    def settle(self, size: float) -> None:
        """A whole shard of this size is done, whatever was counted of it meanwhile."""
        self.settled += size
        self.add(max(self.settled - self.done, 0.0))

    @property
    def left_s(self) -> float:
        """Seconds to go at the pace so far; infinite before there is one."""
        return max(self.total - self.done, 0.0) / self.rate if self.rate else float("inf")

    @property
    def rate(self) -> float:
        """Work a second so far."""
        return (self.done - self.head_start) / max(self.clock() - self.began, 1e-9)

    def sentence(self) -> str:
        """'detect: 12,000 of 96,000 frames, 210 a second, about 7 minutes left'."""
        return (
            f"{self.label}: {self.done:,.0f} of {self.total:,.0f} {self.unit}, {self.rate:,.0f} a second, about "
            f"{duration(self.left_s)} left"
        )


_pace: Pace | None = None


def begin(pace: Pace | None) -> None:
    """From now on `bar` counts towards this; None: towards nothing."""
    global _pace
    _pace = pace


def bar(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Iterate, with a bar where a person watches this very process; several processes would paint over each other."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    if sys.stderr.isatty() and multiprocessing.parent_process() is None:
        from tqdm import tqdm

        items = tqdm(items, desc=f"  {label}", total=total, leave=False)
    for item in items:
        yield item
        if _pace is not None:
            _pace.add(1)


def duration(seconds: float) -> str:
    """'45 seconds', '12 minutes', '3.4 hours'."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
