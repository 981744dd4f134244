"""The time left, by a clock that the test turns."""

import re

from hypothesis import given
from hypothesis import strategies as st

from pipeline import progress


class Watch:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def pace(total: float) -> tuple[progress.Pace, Watch, list[str]]:
    watch, said = Watch(), []
    return progress.Pace("detect", total, "frames", said.append, watch), watch, said


def test_it_speaks_after_one_more_three_more_seven_minutes() -> None:
    counting, watch, said = pace(100_000)
    at = []
    watch.now += 30  # a network is loaded
    for i in range(20_000):
        before = len(said)
        counting.add(1)
        if len(said) > before:
            at.append(round((watch.now - 100) / 60, 1))
        watch.now += 0.1
        assert i < 20 or abs(counting.left_s - 0.1 * (100_000 - counting.done)) < 0.1 * counting.left_s
    assert at == [1.0, 3.0, 7.0, 15.0, 31.0]
    assert re.fullmatch("detect: 30[0-2] of 100,000 frames, 10 a second, about 2.8 hours left", said[0])


@given(st.lists(st.tuples(st.floats(1, 100), st.floats(0, 1.5)), min_size=1, max_size=30))
def test_whole_shards_add_up_whatever_was_counted_of_them(shards: list[tuple[float, float]]) -> None:
    counting, watch, _ = pace(sum(size for size, _ in shards))
    for size, counted in shards:
        counting.add(size * counted)
        watch.now += 1
        counting.settle(size)
    assert counting.done >= counting.total * (1 - 1e-9) and counting.settled == counting.total


def test_nothing_done_is_no_pace() -> None:
    counting, watch, said = pace(10)
    watch.now += 1000
    assert counting.left_s == float("inf") and not said


def test_bars_count_towards_the_pace_that_was_begun() -> None:
    counting, _, _ = pace(10)
    progress.begin(counting)
    try:
        assert list(progress.bar(range(4), "x")) == [0, 1, 2, 3]
    finally:
        progress.begin(None)
    list(progress.bar(range(3), "x"))
    assert counting.done == 4
