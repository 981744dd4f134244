"""How long people take between two cameras, learned from matches by appearance.

Tracklets of two cameras that are mutually nearest by appearance are a mixture: one person seen twice, whose time follows the links of
the site, and two people, whose time is that of any pair. True times lie where the mixture differs from the times of any pair. So
each pair of cameras gets a histogram of signed times (Parzen-smoothed, on a scale that widens with time), which is shrunk towards
the histogram of all cameras where it has few matches. It also covers walks through other cameras and detours, which no site
file lists. Each match is scored by a histogram that leaves it out.

Measured on made-up networks (`make bench NAME=topology`), with no site file at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from stages.association.pairing import Bools, Floats

Matrix = npt.NDArray[np.float64]

# Seconds from leaving one view to entering the next; below 0 the person is in both at once. The last bin is open.
EDGES_S = np.array(
    [-np.inf, 0, 4, 8, 12, 17, 23, 30, 40, 55, 75, 100, 140, 200, 300, 450, 700, 1100, 2000, np.inf]
)
_TIME_BINS = len(EDGES_S) - 1
_MIN_MATCHES = 30
_MAX_WRONG_FRACTION = 0.9  # fraction of wrong matches from which nothing is learned
_SIGNIFICANCE = 1e-3  # significance level of the likelihood-ratio test
_POOLED_MATCHES = 16.0  # weight of the histogram of all cameras, in matches


@dataclass(frozen=True)
class LearnedTimes:
    """log_ratio: (N, N) log of how much likelier each pair's time is for one person than for any two, 0 where not learned.
    weight: (M,) probability that each match is one person. wrong_fraction: of matches that are two people."""

    log_ratio: Matrix
    weight: Matrix
    wrong_fraction: float


def learned_times(
    pairs: npt.NDArray[np.int64],
    camera: npt.NDArray[np.generic],
    t_start_s: Floats,
    t_end_s: Floats,
    possible: Bools,
    outlier_fraction: float = 0.02,
) -> LearnedTimes | None:
    """Learn times from matches by appearance alone; None where there are too few, or their times are those of any pair.

    Args:
        pairs: (M, 2) rows of tracklets of two cameras, mutually nearest by appearance, lower camera name first.
        camera: (N,); t_start_s, t_end_s: (N,) s.
        possible: (N, N) False where two tracklets certainly are two persons.
        outlier_fraction: fraction of true pairs whose time may be anything.
    """
    if len(pairs) < _MIN_MATCHES:
        return None
    bins = time_bins(t_start_s, t_end_s)
    blocks = list(_blocks(camera, pairs))
    matched = np.array([_count(bins[pairs[rows, 0], pairs[rows, 1]]) for _, _, rows in blocks])
    chance = np.array([_count(bins[np.ix_(a, b)][possible[np.ix_(a, b)]]) for a, b, _ in blocks])
    # The direction differs between pairs of cameras; the distribution of times is pooled over all.
    either = matched.sum(0).reshape(2, _TIME_BINS).sum(0)
    usual = (chance.sum(0).reshape(2, _TIME_BINS).sum(0) + 1e-9) / (chance.sum() + 1e-9 * _TIME_BINS)
    if not _differ(either, usual):
        return None
    wrong = _wrong_fraction(either, usual)
    if (
        wrong >= _MAX_WRONG_FRACTION
    ):  # no time is far (footage not much longer than a walk), or no match is right
        return None
    shape = np.maximum(either - wrong * either.sum() * usual, 0) + 1e-9
    base = np.tile(shape / shape.sum() / 2, 2)
    log_ratio, weight = np.zeros(bins.shape), np.zeros(len(pairs))
    for (a, b, rows), counts, any_pair in zip(blocks, matched, chance, strict=True):
        background = (any_pair + 0.5) / (any_pair + 0.5).sum()
        block = _log_ratio(counts, background, base, wrong, outlier_fraction)[bins[np.ix_(a, b)]]
        place = {int(row): i for i, row in enumerate(a)}, {int(row): i for i, row in enumerate(b)}
        for m in rows:
            i, j = pairs[m]
            own = bins[i, j]
            others = counts - (np.arange(len(counts)) == own)
            alone = _log_ratio(others, background, base, wrong, outlier_fraction)[own]
            block[place[0][int(i)], place[1][int(j)]] = alone
            weight[m] = (1 - wrong) * np.exp(alone) / ((1 - wrong) * np.exp(alone) + wrong)
        log_ratio[np.ix_(a, b)] = block
        log_ratio[np.ix_(b, a)] = block.T
    return LearnedTimes(log_ratio, weight, wrong)


def time_bins(t_start_s: Floats, t_end_s: Floats) -> npt.NDArray[np.int64]:
    """(N, N) bin of the time from row to column; the second half of the bins is for columns that were seen before."""
    start, end = np.asarray(t_start_s, np.float64), np.asarray(t_end_s, np.float64)
    forth, back = start[None, :] - end[:, None], start[:, None] - end[None, :]
    at = np.searchsorted(EDGES_S, np.maximum(forth, back), side="right") - 1
    return np.asarray(np.where(forth >= back, at, at + _TIME_BINS), np.int64)


def _blocks(
    camera: npt.NDArray[np.generic], pairs: npt.NDArray[np.int64]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Rows of one camera, rows of another, and the matches between them, for each two cameras that have any."""
    names, codes = np.unique(np.asarray(camera), return_inverse=True)
    of = [np.flatnonzero(codes == i) for i in range(len(names))]
    first, second = codes[pairs[:, 0]], codes[pairs[:, 1]]
    for key in np.unique(first * len(names) + second):
        a, b = divmod(int(key), len(names))
        yield of[a], of[b], np.flatnonzero((first == a) & (second == b))


def _count(bins: npt.NDArray[np.int64]) -> Matrix:
    return np.bincount(bins.ravel(), minlength=2 * _TIME_BINS).astype(np.float64)


def _differ(matched: Matrix, usual: Matrix) -> bool:
    """Whether the matches' times are not those of any pair (likelihood-ratio test)."""
    seen = matched > 0
    g = 2 * float((matched[seen] * np.log(matched[seen] / (matched.sum() * usual[seen]))).sum())
    return bool(g > chi2.isf(_SIGNIFICANCE, max(int((usual * matched.sum() > 0.5).sum()) - 1, 1)))


def _wrong_fraction(matched: Matrix, usual: Matrix) -> float:
    """Fraction of matches that are two people; assumes that all matches later than the median time of all pairs are wrong."""
    far = np.cumsum(usual) > 0.5
    return float(np.clip(matched[far].sum() / matched.sum() / usual[far].sum(), 0.02, 0.98))


def _log_ratio(
    counts: Matrix, background: Matrix, base: Matrix, wrong: float, outlier_fraction: float
) -> Matrix:
    """(2 B,) log ratio of each bin: smoothed matches minus those expected by chance, shrunk towards ``base``."""
    true = (
        np.maximum(_smooth(counts) - wrong * counts.sum() * _smooth(background), 0) + _POOLED_MATCHES * base
    )
    return np.asarray(np.log((1 - outlier_fraction) * true / true.sum() / background + outlier_fraction))


def _smooth(counts: Matrix) -> Matrix:
    """A quarter of each bin to either neighbour, in each direction of time by itself."""
    directions = np.pad(counts.reshape(2, _TIME_BINS), ((0, 0), (1, 1)), mode="edge")
    return np.asarray(
        (0.25 * directions[:, :-2] + 0.5 * directions[:, 1:-1] + 0.25 * directions[:, 2:]).ravel()
    )
