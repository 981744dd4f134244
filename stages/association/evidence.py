"""How much appearance and time speak for "same person", in log-odds, calibrated on the footage without any label.

Two clues that know nothing of each other calibrate one another. Tracklets of two cameras that are mutually nearest *by
appearance alone* are a mixture: true matches, whose times fit the prior, and wrong ones, whose times are those of any
pair. Their times therefore tell how many of them are true (a health signal of the network), how sharp the prior really
is on this site, and how far apart two tracklets of one person usually look. Nearly all pairs of a site are different
persons, which gives the other side of both ratios. The same matches teach how long people really take
(`stages.association.learned_times`), which stands in where the site file says nothing, and where its account does not fit
(`stages.association.prior_reliability`): so a wrong file costs little.

Measured on market-site's true tracklets (160 and 159, OSNet x0.25, ten crops each): clustering on these log-odds at
threshold 0 gives pairwise F 0.85 / 0.79 (morning / afternoon) from MSMT17 weights and 0.57 / 0.51 from ImageNet weights;
the best threshold there is on plain distances, found with the truth, gives 0.58 / 0.56 and 0.23 / 0.19.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from stages.association.learned_times import LearnedTimes, learned_times
from stages.association.pairing import Bools, Floats, Ints, euclidean_distances, mutual_nearest
from stages.association.prior_reliability import directed_links, file_reliability
from stages.association.time_prior import TimePrior

Matrix = npt.NDArray[np.float64]

_BINS = np.append(
    np.arange(0, 3.0001, 0.1), np.inf
)  # of surprise; beyond three deviations nothing is told apart
_FLAT = np.append(
    np.full(len(_BINS) - 2, 0.9 / (len(_BINS) - 2)), 0.1
)  # background where few pairs were seen
_TELLING = 0.25  # a prior that varies by less than this many deviations tells nobody apart
_FLAT_PAIRS = 30.0  # so many pairs does that assumption weigh
_UNTOLD = 0.5  # share of true pairs that the file says nothing of, between cameras where it says something of others


def camera_centres(features: Floats, camera: npt.NDArray[np.generic], min_tracklets: int = 8) -> Matrix:
    """(N, D) the mean of each row's camera: what all pictures of one camera share (light, colour, view).

    Without it taken out, tracklets of one camera are near and those of two cameras far whoever they show. A camera with
    fewer than ``min_tracklets`` gets the mean of all, and where there are fewer altogether the centre is 0.
    """
    x, camera = np.asarray(features, np.float64), np.asarray(camera)
    out = np.zeros_like(x)
    if len(x) < min_tracklets:
        return out
    for c in np.unique(camera):
        here = camera == c
        out[here] = x[here if here.sum() >= min_tracklets else slice(None)].mean(0)
    return out


def centred(features: Floats, centres: Floats) -> npt.NDArray[np.float32]:
    """(N, D) features less their centres, L2-normalised again; a row that is its own centre stays as it is."""
    x = np.asarray(features, np.float64)
    norm = np.linalg.norm(x - centres, axis=1, keepdims=True)
    return np.where(norm > 1e-6, (x - centres) / np.maximum(norm, 1e-6), x).astype(np.float32)


def z_score(log_prior: Floats) -> Matrix:
    """How many deviations a transit time is off: sqrt(-2 log R), for a prior R whose highest value is 1.

    For TASTR's Gaussian that is |Δt − t̄| / σ; for other shapes its equivalent. Same shape as ``log_prior``; NaN stays NaN, which
    stands for pairs that the site file says nothing of.
    """
    return np.sqrt(-2 * np.minimum(np.asarray(log_prior, np.float64), 0.0))


@dataclass(frozen=True)
class Appearance:
    """Distances of same and different persons as two normal distributions of one deviation."""

    same: float
    different: float
    deviation: float

    def log_odds(self, distance: Floats) -> Matrix:
        """log p(d | same) − log p(d | different): 0 in the middle, falling with distance."""
        slope = (self.different - self.same) / self.deviation**2
        return slope * ((self.same + self.different) / 2 - np.asarray(distance, np.float64))


@dataclass(frozen=True)
class Matches:
    """What the times of mutual matches by appearance alone say.

    pairs: (M, 2); precision: estimated share of true ones, NaN where no time is known; sharpness: deviation of the true ones'
    surprise (1: the prior is as wide as it says); weight: (M,) probability that each is true.
    """

    pairs: npt.NDArray[np.int64]
    precision: float
    sharpness: float
    weight: Matrix


def time_is_informative(z: Matrix, camera: npt.NDArray[np.generic]) -> Bools:
    """(N, N) False for pairs of cameras whose prior is as good as constant, so that time says nothing about them.

    So it is where no link is declared or a clock was assumed. All pairs being out of reach alike (another day, say) is
    no such constant.
    """
    known = np.ones(z.shape, bool)
    for a, b, block in _camera_blocks(camera):
        values = z[block][np.isfinite(z[block])]
        if not len(values) or (np.ptp(values) < _TELLING and values.max() < _BINS[-2]):
            known[block] = False
            known[np.ix_(b, a)] = False
    return known & np.isfinite(z)


def background(z: Matrix, camera: npt.NDArray[np.generic]) -> Matrix:
    """(N, N) probability that a random pair of the same two cameras falls into the surprise bin of the pair.

    Smoothed by a flat assumption that weighs as much as 30 pairs. NaN is a bin of its own.
    """
    out = np.ones_like(z)
    for a, b, block in _camera_blocks(camera):
        at = _bin(z[block])
        counts = np.bincount(at.ravel(), minlength=len(_FLAT) + 1)
        smooth = counts + _FLAT_PAIRS * np.append(_FLAT, 0.0)
        out[block] = (smooth / (counts.sum() + _FLAT_PAIRS))[at]
        out[np.ix_(b, a)] = out[block].T
    return out


def appearance_matches(
    distance: Floats, z: Matrix, background_: Matrix, camera: npt.NDArray[np.generic]
) -> Matches:
    """Mutual nearest neighbours of every camera pair by appearance alone, judged by their times (EM, 1-D).

    Same persons' surprise is half-normal with an unknown deviation, different persons' is that of any pair.

    Args:
        distance, surprise_, background_: (N, N); an infinite distance is no candidate. camera: (N,).
    """
    found = [np.zeros((0, 2), np.int64)]
    for a, b, block in _camera_blocks(camera):
        if a is not b:
            rows, columns = mutual_nearest(np.asarray(distance)[block]).T
            found.append(np.stack([a[rows], b[columns]], 1))
    pairs = np.concatenate(found)
    if not len(pairs):
        return Matches(pairs, float("nan"), 1.0, np.zeros(0))
    known = time_is_informative(z, camera)[pairs[:, 0], pairs[:, 1]]
    if not known.any():
        return Matches(pairs, float("nan"), 1.0, np.full(len(pairs), 0.5))
    timed = pairs[known]
    s, other = z[timed[:, 0], timed[:, 1]], background_[timed[:, 0], timed[:, 1]]
    sharpness, precision = 0.5, 0.5
    weight = np.full(len(timed), 0.5)
    for _ in range(200):
        same = precision * _half_normal(sharpness)[_bin(s)]
        weight = same / (same + (1 - precision) * other)
        # Three matches' worth of "the prior is right" and one each of true and wrong keep small sites sober.
        precision = float((weight.sum() + 1) / (len(timed) + 2))
        s_near = np.minimum(s, _BINS[-2])
        sharpness = float(np.clip(np.sqrt(((weight * s_near**2).sum() + 3) / (weight.sum() + 3)), 0.1, 1.5))
    every = np.full(len(pairs), precision)
    every[known] = weight
    return Matches(pairs, precision, sharpness, every)


@dataclass(frozen=True)
class Evidence:
    """log_odds: (N, N), -inf where two tracklets cannot be one person; and what it was made of.

    trust: (from, to) → probability that the site file is right about the way, for ways that it describes and that matches
    tell of.
    """

    log_odds: Matrix
    across: Appearance
    within: Appearance
    matches: Matches
    prior_reliability: dict[tuple[str, str], float]


def pair_evidence(
    features: Floats,
    halves: tuple[Floats, Floats],
    camera: npt.NDArray[np.generic],
    t_start_s: Floats,
    t_end_s: Floats,
    prior: TimePrior,
    *,
    outlier_fraction: float = 0.02,
    fragment_gap_s: float = 3.0,
    reentry_fraction: float = 0.001,
    within_min_log_odds: float = 3.0,
    learn_times: bool = True,
) -> Evidence:
    """Log-odds of "same person" for all pairs of tracklets, without the prior odds.

    Args:
        features: (N, D) L2-normalised, centred by camera where that helps.
        halves: two (K, D) arrays, the first and last part of the same K tracklets, treated as ``features`` are.
        camera: (N,); t_start_s, t_end_s: (N,) s.
        prior: what the site file and the clocks say of each pair.
        outlier_fraction: share of true pairs whose time does not follow the prior: bounds how much time can say.
        fragment_gap_s: usual gap between two tracklets of one person that a tracker lost in one camera, s.
        reentry_fraction: the same as outlier_fraction for two tracklets of one camera: who comes back later.
        within_min_log_odds: two tracklets of one camera whose own log-odds are lower are never joined, however well both
            fit third ones. One view is compared with itself there, so this evidence outweighs that of other cameras.
        learn_times: False takes times across cameras from the site file alone.
    """
    n = len(features)
    camera = np.asarray(camera)
    certain = np.asarray(prior.possible | prior.ruled_out) & ~np.eye(n, dtype=bool)
    d = euclidean_distances(features, features).astype(np.float64)
    same_camera = camera[:, None] == camera[None, :]
    gap = np.maximum(t_start_s[None, :] - t_end_s[:, None], t_start_s[:, None] - t_end_s[None, :])
    late = z_score(np.where(prior.has_prior, prior.log_prior, np.nan))
    s = np.where(same_camera, np.maximum(gap, 0) / (prior.reentry_s or fragment_gap_s), late)
    chance = background(s, camera)
    described = ~same_camera & time_is_informative(s, camera)
    partly = _partly_told(described, camera)
    names, way = directed_links(camera, t_start_s, t_end_s)

    def told(sharpness: float) -> Matrix:
        """How much likelier each pair's time is for one person than for any two, by the site file."""
        ratio = np.ones((n, n))
        for wanted, deviation, rest in (
            (same_camera, 1.0, reentry_fraction),
            (described, sharpness, outlier_fraction),
        ):
            likelihood = _half_normal(deviation)[_bin(s[wanted])] / chance[wanted]
            ratio[wanted] = (1 - rest) * likelihood + rest
        ratio[partly & described] *= 1 - _UNTOLD
        ratio[partly & ~described] = _UNTOLD / chance[partly & ~described]
        ratio[prior.ruled_out] = outlier_fraction
        return ratio

    # What the file alone rules out may be a match, until the file is believed.
    matches = appearance_matches(np.where(certain, d, np.inf), s, chance, camera)
    learned = (
        learned_times(matches.pairs, camera, t_start_s, t_end_s, certain, outlier_fraction)
        if learn_times
        else None
    )
    forbidden = _forbidden(prior.ruled_out, certain, way, len(names) ** 2)
    timed = matches.pairs[described[tuple(matches.pairs.T)]]
    believed, prior_reliability = described.astype(np.float64), np.ones(len(forbidden))
    if learned is not None:
        prior_reliability = _trust(told(matches.sharpness), learned, timed, way, forbidden)
        believed = np.where(described, prior_reliability[way], 0.0)
    ruled_out = prior.ruled_out & (believed >= 0.5)
    if ruled_out.any():
        matches = appearance_matches(np.where(certain & ~ruled_out, d, np.inf), s, chance, camera)
    ratio = told(matches.sharpness)
    if learned is not None:
        ratio = np.where(same_camera, ratio, believed * ratio + (1 - believed) * np.exp(learned.log_ratio))
        matches = _reweighed(matches, believed, learned)
    # Nobody is faster than the fastest walker; but whoever went a forbidden way may have gone another.
    possible = certain & ~(ruled_out & ~forbidden[way])

    halved = float(np.linalg.norm(halves[0] - halves[1], axis=1).mean()) if len(halves[0]) else None
    upper = np.triu(np.ones((n, n), bool), 1)
    near = d[matches.pairs[:, 0], matches.pairs[:, 1]]
    across = _appearance(d[upper & ~same_camera], near, matches.weight, halved)
    within = _appearance(d[upper & same_camera], np.zeros(0), np.zeros(0), halved, across)

    appearance = np.where(same_camera, within.log_odds(d), across.log_odds(d))
    log_odds = np.where(possible, appearance + np.log(ratio), -np.inf)
    log_odds[same_camera & (log_odds < within_min_log_odds)] = -np.inf
    walked = np.unique(way[tuple(timed.T)])
    by_name = {(names[w // len(names)], names[w % len(names)]): float(prior_reliability[w]) for w in walked}
    return Evidence(log_odds, across, within, matches, by_name)


def _partly_told(described: Bools, camera: npt.NDArray[np.generic]) -> Bools:
    """(N, N) True between two cameras of which the site file tells some pairs of tracklets, and not others."""
    out = np.zeros(described.shape, bool)
    for a, b, block in _camera_blocks(camera):
        if a is not b and described[block].any() and not described[block].all():
            out[block] = True
            out[np.ix_(b, a)] = True
    return out


def _trust(
    told: Matrix,
    learned: LearnedTimes,
    timed: npt.NDArray[np.int64],
    way: npt.NDArray[np.int64],
    forbidden: Bools,
) -> Matrix:
    """(W,) probability that the site file is right about each way, by the times of the matches ``timed`` (M, 2)."""
    at = tuple(timed.T)
    return file_reliability(
        told[at],
        np.exp(learned.log_ratio[at]),
        way[at],
        forbidden[way[at]],
        len(forbidden),
        learned.wrong_fraction,
    )


def _forbidden(ruled_out: Bools, certain: Bools, way: npt.NDArray[np.int64], n_links: int) -> Bools:
    """(W,) whether the site file lets nobody take the way."""
    return np.asarray(
        np.bincount(way[ruled_out], minlength=n_links) == np.bincount(way[certain], minlength=n_links)
    )


def _reweighed(matches: Matches, believed: Matrix, learned: LearnedTimes) -> Matches:
    """The same matches, each judged by the account of its time that is believed."""
    at = tuple(matches.pairs.T)
    same = (1 - learned.wrong_fraction) * np.exp(learned.log_ratio[at])
    weight = believed[at] * matches.weight + (1 - believed[at]) * same / (same + learned.wrong_fraction)
    return replace(matches, weight=weight)


def picture_appearance(
    pictures: Floats, means: Floats, owner: Ints, camera: npt.NDArray[np.generic], matches: Matches
) -> Appearance:
    """Distances from one picture to a tracklet of another camera, for the same and for different persons.

    Args:
        pictures: (P, D) single crops, L2-normalised; owner: (P,) the tracklet each is from.
        means: (N, D) tracklets; camera: (N,); matches: of `pair_evidence` on those.
    """
    d = euclidean_distances(pictures, means).astype(np.float64)
    camera = np.asarray(camera)
    elsewhere = camera[owner][:, None] != camera[None, :]
    probable = np.zeros((len(means), len(means)))
    a, b = matches.pairs.T
    probable[a, b] = probable[b, a] = matches.weight
    weight = probable[owner]
    near = weight > 0
    return _appearance(d[elsewhere], d[near], weight[near], None)


def _appearance(
    every: Floats, near: Floats, weight: Floats, halved: float | None, fallback: Appearance | None = None
) -> Appearance:
    """Same and different distances from all pairs, mutual matches with weights, and halves of one tracklet.

    Small numbers lean on rules of thumb: five pairs' worth of ``fallback`` (or, without one, of a mean half-way up and a
    deviation of a tenth), and three matches' worth of "as far from the halves of one tracklet as from strangers".
    """
    usual = fallback or Appearance(0.0, float(every.mean()) if len(every) else 1.0, 0.0)
    different = float((every.sum() + 5 * usual.different) / (len(every) + 5))
    spread = ((every - different) ** 2).sum() + 5 * max(usual.deviation, 0.1 * different) ** 2
    deviation = max(float(np.sqrt(spread / (len(every) + 5))), 1e-3)
    low = min(halved if halved is not None else 0.5 * different, different)
    guess = low if fallback else (low + different) / 2
    same = float(((weight * near).sum() + 3 * guess) / (weight.sum() + 3))
    return Appearance(min(same, different), different, deviation)


def _camera_blocks(
    camera: npt.NDArray[np.generic],
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], tuple[npt.NDArray[np.int64], ...]]]:
    """Rows of camera a, rows of camera b and the index of their block, for every a <= b."""
    camera = np.asarray(camera)
    of = [np.flatnonzero(camera == c) for c in np.unique(camera)]
    return [(a, a, np.ix_(a, a)) for a in of] + [(a, b, np.ix_(a, b)) for a, b in combinations(of, 2)]


def _bin(z: Floats) -> npt.NDArray[np.int64]:
    at = np.clip(np.searchsorted(_BINS, z, side="right") - 1, 0, len(_FLAT) - 1)
    return np.where(np.isnan(z), len(_FLAT), at)


def _half_normal(deviation: float) -> Matrix:
    """Probability of each surprise bin under a half-normal distribution; the last is of no surprise known."""
    from scipy.special import erf

    return np.append(np.diff(erf(_BINS / (deviation * np.sqrt(2)))), 0.0)
