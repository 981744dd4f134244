"""How many people? One estimate without labels, for every method that wants the number."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd

    from stages.methods import Footage


class PeopleCount(NamedTuple):
    """certain: number of tracklets that are certainly different people; low <= guess <= high: estimates from appearance and times."""

    certain: int
    low: int
    guess: int
    high: int


def people_in(footage: Footage, features: npt.NDArray[np.floating]) -> PeopleCount:
    """How many people the footage shows, by the features (N, D) of its crops and its times."""
    from stages.association.grouping import GroupingConfig, score_tracklet_pairs

    usual = GroupingConfig.model_validate({})
    weighed = score_tracklet_pairs(features, footage.crops, footage.tracklets, footage.time_prior(), usual)
    return count_people(footage.tracklets, weighed.evidence.log_odds, footage.certain_negatives())


def count_people(
    tracklets: pd.DataFrame,
    log_odds: npt.NDArray[np.floating],
    pairs: npt.NDArray[np.integer],
    doubt: float = 2.0,
) -> PeopleCount:
    """How many people the tracklets show.

    low: those of the camera that saw most, its fragments joined leniently: people it did not see are not counted. high: the
    groups that `grouping.identify` makes of all tracklets, joined strictly: an untrained network misses most links, so there are
    fewer people than groups. guess: the geometric mean of low and high.

    Args:
        tracklets: tracklet_id, camera_id, t_start_us; log_odds: (T, T) of "same person"; pairs: (P, 2) rows of tracklets
            that are certainly two people.
        doubt: log-odds by which the strict threshold lies above 0 and the lenient one below.
    """
    from stages.association.grouping import identify

    if tracklets.empty:
        return PeopleCount(0, 0, 0, 0)

    def groups(rows: npt.NDArray[np.integer], at: float) -> int:
        some = tracklets.iloc[rows].reset_index(drop=True)
        return int(identify(some, log_odds[np.ix_(rows, rows)], at).identity.nunique())

    certain = len(certain_group(len(tracklets), pairs, np.arange(len(tracklets))))
    busiest = max(groups(np.asarray(r), -doubt) for r in tracklets.groupby("camera_id").indices.values())
    low = max(certain, busiest)
    high = max(low, groups(np.arange(len(tracklets)), doubt))
    return PeopleCount(certain, low, round((low * high) ** 0.5), high)


def certain_group(
    n: int, pairs: npt.NDArray[np.integer], order: npt.NDArray[np.integer], max_items: int | None = None
) -> list[int]:
    """A set of tracklets any two of which are certainly two people, grown greedily; finding a largest one is NP-hard.

    Each step adds the tracklet with the most certain negatives among those still possible; ties follow ``order``.
    """
    different = np.zeros((n, n), bool)
    different[pairs[:, 0], pairs[:, 1]] = different[pairs[:, 1], pairs[:, 0]] = True
    free, grown = np.ones(n, bool), list[int]()
    while free.any() and (max_items is None or len(grown) < max_items):
        here = order[free[order]]
        chosen = int(here[different[np.ix_(here, here)].sum(1).argmax()])
        grown.append(chosen)
        free &= different[chosen]
    return grown
