"""How much appearance and time speak for "same person", in log-odds, calibrated on the footage without any label.

Two independent clues calibrate each other. Tracklets of two cameras that are mutually nearest *by
appearance alone* are a mixture: true matches, whose times fit the prior, and wrong ones, whose times are those of any
pair. Their times therefore show how many are true (a label-free validation signal), how sharp the prior really
is on this site, and how far apart two tracklets of one person usually look. Nearly all pairs of a site are different
persons, which gives the other side of both ratios. The same matches show how long people really take
(`stages.association.learned_times`). Learned times are used where the site file describes nothing or does not fit
(`stages.association.prior_reliability`), so a wrong file costs little.

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
)  # of the z-score; the last bin holds everything beyond three deviations
_FLAT = np.append(
    np.full(len(_BINS) - 2, 0.9 / (len(_BINS) - 2)), 0.1
)  # background where few pairs were seen
_MIN_Z_RANGE = 0.25  # smallest range of z-scores for which a prior is informative
_FLAT_PAIRS = 30.0  # weight of the flat background, in pairs
_UNDESCRIBED = 0.5  # fraction of true pairs without a prior, between cameras where other pairs have one


def camera_centres(features: Floats, camera: npt.NDArray[np.generic], min_tracklets: int = 8) -> Matrix:
    """(N, D) the mean of each row's camera: what all crops of one camera have in common (light, colour, view).

    If it is not subtracted, tracklets of one camera are near and those of two cameras far whoever they show. A camera with
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
    """(N, D) features minus their centres, L2-normalised again; a row that is its own centre stays as it is."""
    x = np.asarray(features, np.float64)
    norm = np.linalg.norm(x - centres, axis=1, keepdims=True)
    return np.where(norm > 1e-6, (x - centres) / np.maximum(norm, 1e-6), x).astype(np.float32)


def z_score(log_prior: Floats) -> Matrix:
    """How many deviations a transit time is off: sqrt(-2 log R), for a prior R whose highest value is 1.

    For TASTR's Gaussian that is |Δt − t̄| / σ; for other shapes its equivalent. Same shape as ``log_prior``; NaN stays NaN and
    marks pairs that the site file does not describe.
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

    pairs: (M, 2); precision: estimated fraction of true ones, NaN where no time is known; sharpness: deviation of the true ones'
    z-scores (1: the prior is exactly as wide as stated); weight: (M,) probability that each is true.
    """

    pairs: npt.NDArray[np.int64]
    precision: float
    sharpness: float
    weight: Matrix


def time_is_informative(z: Matrix, camera: npt.NDArray[np.generic]) -> Bools:
    """(N, N) False for pairs of cameras whose prior is as good as constant, so that time says nothing about them.

    This is the case where no link is declared or a clock was assumed. All pairs being out of reach alike (another day, say) is
    no such constant.
    """
    known = np.ones(z.shape, bool)
    for a, b, block in _camera_blocks(camera):
        values = z[block][np.isfinite(z[block])]
        if not len(values) or (np.ptp(values) < _MIN_Z_RANGE and values.max() < _BINS[-2]):
            known[block] = False
            known[np.ix_(b, a)] = False
    return known & np.isfinite(z)


def background(z: Matrix, camera: npt.NDArray[np.generic]) -> Matrix:
    """(N, N) probability that a random pair of the same two cameras falls into the z-score bin of the pair.

    Smoothed by a flat background with the weight of 30 pairs. NaN is a bin of its own.
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
    """Mutual nearest neighbours of every camera pair by appearance alone, scored by their times (EM, 1-D).

    z-scores of same persons are half-normal with an unknown deviation; those of different persons follow any pair.

    Args:
        distance, z, background_: (N, N); an infinite distance is no candidate. camera: (N,).
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
        # Pseudo-counts regularise small sites: three matches for the stated width, one true and one wrong match.
        precision = float((weight.sum() + 1) / (len(timed) + 2))
        s_near = np.minimum(s, _BINS[-2])
        sharpness = float(np.clip(np.sqrt(((weight * s_near**2).sum() + 3) / (weight.sum() + 3)), 0.1, 1.5))
    every = np.full(len(pairs), precision)
    every[known] = weight
    return Matches(pairs, precision, sharpness, every)


@dataclass(frozen=True)
class Evidence:
    """log_odds: (N, N), -inf where two tracklets cannot be one person; and what it was made of.

    prior_reliability: (from, to) → probability that the site file is right about the link, for links that it describes
    and that have matches.
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
        outlier_fraction: fraction of true pairs whose time does not follow the prior; bounds the evidence of time.
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
    partly = _partly_described(described, camera)
    names, link = directed_links(camera, t_start_s, t_end_s)

    def file_ratio(sharpness: float) -> Matrix:
        """How much likelier each pair's time is for one person than for any two, by the site file."""
        ratio = np.ones((n, n))
        for wanted, deviation, rest in (
            (same_camera, 1.0, reentry_fraction),
            (described, sharpness, outlier_fraction),
        ):
            likelihood = _half_normal(deviation)[_bin(s[wanted])] / chance[wanted]
            ratio[wanted] = (1 - rest) * likelihood + rest
        ratio[partly & described] *= 1 - _UNDESCRIBED
        ratio[partly & ~described] = _UNDESCRIBED / chance[partly & ~described]
        ratio[prior.ruled_out] = outlier_fraction
        return ratio

    # Pairs that only the file rules out may match until its reliability is known.
    matches = appearance_matches(np.where(certain, d, np.inf), s, chance, camera)
    learned = (
        learned_times(matches.pairs, camera, t_start_s, t_end_s, certain, outlier_fraction)
        if learn_times
        else None
    )
    forbidden = _forbidden(prior.ruled_out, certain, link, len(names) ** 2)
    timed = matches.pairs[described[tuple(matches.pairs.T)]]
    reliability, prior_reliability = described.astype(np.float64), np.ones(len(forbidden))
    if learned is not None:
        prior_reliability = _reliability(file_ratio(matches.sharpness), learned, timed, link, forbidden)
        reliability = np.where(described, prior_reliability[link], 0.0)
    ruled_out = prior.ruled_out & (reliability >= 0.5)
    if ruled_out.any():
        matches = appearance_matches(np.where(certain & ~ruled_out, d, np.inf), s, chance, camera)
    ratio = file_ratio(matches.sharpness)
    if learned is not None:
        ratio = np.where(
            same_camera, ratio, reliability * ratio + (1 - reliability) * np.exp(learned.log_ratio)
        )
        matches = _reweighed(matches, reliability, learned)
    # Nobody is faster than the fastest walker; but a person on a forbidden link may have taken another one.
    possible = certain & ~(ruled_out & ~forbidden[link])

    halved = float(np.linalg.norm(halves[0] - halves[1], axis=1).mean()) if len(halves[0]) else None
    upper = np.triu(np.ones((n, n), bool), 1)
    near = d[matches.pairs[:, 0], matches.pairs[:, 1]]
    across = _appearance(d[upper & ~same_camera], near, matches.weight, halved)
    within = _appearance(d[upper & same_camera], np.zeros(0), np.zeros(0), halved, across)

    appearance = np.where(same_camera, within.log_odds(d), across.log_odds(d))
    log_odds = np.where(possible, appearance + np.log(ratio), -np.inf)
    log_odds[same_camera & (log_odds < within_min_log_odds)] = -np.inf
    walked = np.unique(link[tuple(timed.T)])
    by_name = {(names[w // len(names)], names[w % len(names)]): float(prior_reliability[w]) for w in walked}
    return Evidence(log_odds, across, within, matches, by_name)


def _partly_described(described: Bools, camera: npt.NDArray[np.generic]) -> Bools:
    """(N, N) True between two cameras where the site file describes some pairs of tracklets and not others."""
    out = np.zeros(described.shape, bool)
    for a, b, block in _camera_blocks(camera):
        if a is not b and described[block].any() and not described[block].all():
            out[block] = True
            out[np.ix_(b, a)] = True
    return out


def _reliability(
    file_ratio: Matrix,
    learned: LearnedTimes,
    timed: npt.NDArray[np.int64],
    link: npt.NDArray[np.int64],
    forbidden: Bools,
) -> Matrix:
    """(W,) probability that the site file is right about each link, from the times of the matches ``timed`` (M, 2)."""
    at = tuple(timed.T)
    return file_reliability(
        file_ratio[at],
        np.exp(learned.log_ratio[at]),
        link[at],
        forbidden[link[at]],
        len(forbidden),
        learned.wrong_fraction,
    )


def _forbidden(ruled_out: Bools, certain: Bools, link: npt.NDArray[np.int64], n_links: int) -> Bools:
    """(W,) whether the site file forbids the link."""
    return np.asarray(
        np.bincount(link[ruled_out], minlength=n_links) == np.bincount(link[certain], minlength=n_links)
    )


def _reweighed(matches: Matches, reliability: Matrix, learned: LearnedTimes) -> Matches:
    """The same matches, each weighted by the time model in use, file or learned."""
    at = tuple(matches.pairs.T)
    same = (1 - learned.wrong_fraction) * np.exp(learned.log_ratio[at])
    weight = reliability[at] * matches.weight + (1 - reliability[at]) * same / (same + learned.wrong_fraction)
    return replace(matches, weight=weight)


def picture_appearance(
    pictures: Floats, means: Floats, owner: Ints, camera: npt.NDArray[np.generic], matches: Matches
) -> Appearance:
    """Distances from one crop to a tracklet of another camera, for the same and for different persons.

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

    Small samples are regularised by pseudo-counts: five pairs of ``fallback`` (or, without one, of a mean half-way up and a
    deviation of a tenth), and three matches of "as far from the halves of one tracklet as from strangers".
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
