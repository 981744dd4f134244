"""How many people? One estimate without labels, for every method that wants the number."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd


class PeopleCount(NamedTuple):
    """certain: so many are different people beyond doubt; low <= guess <= high: what looks and times say."""

    certain: int
    low: int
    guess: int
    high: int


def count_people(
    tracklets: pd.DataFrame,
    log_odds: npt.NDArray[np.floating],
    pairs: npt.NDArray[np.integer],
    doubt: float = 2.0,
) -> PeopleCount:
    """The number of groups that `grouping.identify` makes of the tracklets, between a strict and a lenient reading.

    Args:
        log_odds: (T, T) of "same person"; pairs: (P, 2) tracklets that are certainly two people.
        doubt: high and low are the numbers at log-odds so much stricter and more lenient than even.
    """
    from stages.reid.grouping import identify

    if tracklets.empty:
        return PeopleCount(0, 0, 0, 0)
    counts = [int(identify(tracklets, log_odds, at).identity.nunique()) for at in (-doubt, 0.0, doubt)]
    certain = len(certain_group(len(tracklets), pairs, np.arange(len(tracklets))))
    low, guess, high = (max(certain, c) for c in counts)
    return PeopleCount(certain, min(low, guess), guess, max(guess, high))


def certain_group(
    n: int, pairs: npt.NDArray[np.integer], order: npt.NDArray[np.integer], most: int | None = None
) -> list[int]:
    """A set of tracklets any two of which are certainly two people, grown greedily; a largest one is out of reach.

    Begun and continued with whoever has most certain negatives among those still possible, in ``order`` among equals.
    """
    different = np.zeros((n, n), bool)
    different[pairs[:, 0], pairs[:, 1]] = different[pairs[:, 1], pairs[:, 0]] = True
    free, grown = np.ones(n, bool), list[int]()
    while free.any() and (most is None or len(grown) < most):
        here = order[free[order]]
        chosen = int(here[different[np.ix_(here, here)].sum(1).argmax()])
        grown.append(chosen)
        free &= different[chosen]
    return grown
