"""How long people take from one camera's view to another's.

One model per directed pair of cameras: a Gaussian, as TASTR prints it (Xie et al. 2019, section IV-C), a log-normal, where
people's speeds are what spreads their times, or a histogram that somebody counted, smoothed (Parzen).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camera_topology.site import Site
from camera_topology.site_schema import WalkingSpeed

FloatArray = NDArray[np.float64]

LOG_FLOOR = float(np.log(1e-4))  # TASTR's R is never below 1e-4
# A pair that nobody declared: as likely as one two standard deviations off its expected time.
WEAK_LOG_PRIOR = -2.0
# Even people of one speed do not take one way alike.
_LEAST_LOG_STD = 0.05


@dataclass(frozen=True)
class Transit:
    """Gaussian of the transit time of one directed pair, or a constant.

    mean_s, std_s: s; std_s is infinite where nothing is known of the time.
    slack_s: times up to this are as good as the mean (overlapping views); -inf for no such thing.
    ceiling: log prior at the best time.
    min_s: what is shorter is faster than people can walk, s; -inf where not known.
    possible: False for a forbidden pair.
    disjoint: nobody can be in both views at once.
    histogram: edges (s) and counts, in place of mean_s and std_s.
    log_normal: median (s) and deviation of the time's logarithm, in place of mean_s and std_s.
    """

    mean_s: float = 0.0
    std_s: float = np.inf
    slack_s: float = -np.inf
    ceiling: float = 0.0
    min_s: float = -np.inf
    possible: bool = True
    disjoint: bool = False
    histogram: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    log_normal: tuple[float, float] | None = None


def transit_model(
    site: Site,
    from_: str,
    to: str,
    *,
    sigma_fraction: float | None,
    sigma_floor_s: float,
    overlap_tolerance_s: float,
) -> Transit:
    """The model of the way from one camera to another, by what the site file says of it.

    Args:
        sigma_fraction: λ, the standard deviation as a share of the mean, where a distance gives the mean; None: the times are
            log-normal, as wide as the site's walking speeds.
        sigma_floor_s: smallest standard deviation there, s.
        overlap_tolerance_s: longest time between two overlapping views that costs nothing, s.
    """
    relation = site.relation(from_, to)
    if relation == "unlisted":
        return unlisted_model(site)
    if relation == "forbidden":
        return Transit(possible=False)
    if relation == "overlap":
        return Transit(0.0, sigma_floor_s, slack_s=overlap_tolerance_s)
    distance_m, explicit = site.distance_m(from_, to), site.transit_s(from_, to)
    min_s = distance_m / site.walking_speed.max if distance_m is not None else -np.inf
    disjoint = distance_m is not None or explicit is not None
    if explicit is not None and explicit.mean is not None and explicit.std is not None:
        return Transit(explicit.mean, explicit.std, min_s=min_s, disjoint=disjoint)
    if explicit is not None and explicit.typical is not None:
        assert explicit.min is not None and explicit.max is not None
        # The longer half of [min, max] is taken for two standard deviations.
        std_s = max(explicit.typical - explicit.min, explicit.max - explicit.typical) / 2
        return Transit(explicit.typical, std_s, min_s=min_s, disjoint=disjoint)
    if explicit is not None and explicit.edges is not None and explicit.counts is not None:
        mean_s, std_s = _moments(explicit.edges, explicit.counts)
        return Transit(
            mean_s, std_s, min_s=min_s, disjoint=disjoint, histogram=(explicit.edges, explicit.counts)
        )
    if distance_m is not None:
        mean_s = distance_m / site.walking_speed.mean
        if sigma_fraction is None:
            median_s, log_std = walking_time(distance_m, site.walking_speed)
            return Transit(
                mean_s, log_std * mean_s, min_s=min_s, disjoint=disjoint, log_normal=(median_s, log_std)
            )
        return Transit(mean_s, max(sigma_fraction * mean_s, sigma_floor_s), min_s=min_s, disjoint=disjoint)
    return Transit(disjoint=disjoint)


def unlisted_model(site: Site) -> Transit:
    """The model of a way that the site file does not list."""
    unlisted = site.facts.defaults.unlisted_pairs
    return Transit(ceiling=WEAK_LOG_PRIOR if unlisted == "weak" else 0.0, possible=unlisted != "forbid")


def walking_time(distance_m: float, speed: WalkingSpeed) -> tuple[float, float]:
    """Median (s) and deviation of the logarithm of the time that a way takes.

    Speeds that are log-normal with the given mean and deviation make times that are log-normal, too.
    """
    log_variance = float(np.log1p((speed.std / speed.mean) ** 2))
    return distance_m / speed.mean * float(np.exp(log_variance / 2)), max(
        float(np.sqrt(log_variance)), _LEAST_LOG_STD
    )


def log_normal_density(
    time_s: FloatArray, median_s: float, log_std: float, clock_std_s: float = 0.0
) -> FloatArray:
    """Density (1/s) of log-normal times seen by two clocks whose joint error is normal, same shape as ``time_s``."""
    from scipy.stats import lognorm

    t = np.asarray(time_s, np.float64)
    if clock_std_s < 0.05 * log_std * median_s:  # clocks that blur less than the steps of the sum below
        return np.asarray(lognorm.pdf(t, log_std, scale=median_s), np.float64)
    z = np.linspace(-5, 5, 401)
    true_s, mass = median_s * np.exp(log_std * z), np.exp(-(z**2) / 2)
    off = (t[..., None] - true_s) / clock_std_s
    blurred = np.exp(-(off**2) / 2) @ (mass / mass.sum())
    return np.asarray(blurred / (clock_std_s * np.sqrt(2 * np.pi)), np.float64)


def log_normal_log_ratio(
    time_s: FloatArray, median_s: float, log_std: float, clock_std_s: float = 0.0
) -> FloatArray:
    """log R of log-normal times, elementwise: 0 at the likeliest time, not below ln(1e-4)."""
    # Half of the grid lies where most people are, since the tail is long.
    low, high = (median_s * np.exp(side * 5 * log_std) + side * 5 * clock_std_s for side in (-1, 1))
    body = np.linspace(low, 3 * median_s, 2001)
    at = np.union1d(body, np.linspace(low, max(high, 4 * median_s), 2001))
    with np.errstate(divide="ignore"):
        curve = np.log(log_normal_density(at, median_s, log_std, clock_std_s))
    ratio = np.interp(np.asarray(time_s, np.float64), at, curve - curve.max(), LOG_FLOOR, LOG_FLOOR)
    return np.asarray(np.clip(ratio, LOG_FLOOR, 0.0), np.float64)


def _moments(edges: tuple[float, ...], counts: tuple[float, ...]) -> tuple[float, float]:
    """Mean and standard deviation of a histogram whose bins are filled evenly."""
    at, mass = np.array(edges), np.array(counts) / sum(counts)
    middle, width = (at[1:] + at[:-1]) / 2, np.diff(at)
    mean = float(mass @ middle)
    return mean, float(np.sqrt(mass @ ((middle - mean) ** 2 + width**2 / 12)))


def histogram_density(
    time_s: FloatArray, edges: tuple[float, ...], counts: tuple[float, ...], clock_std_s: float = 0.0
) -> FloatArray:
    """Density (1/s) of transit times, same shape as ``time_s``: each bin filled evenly, smoothed by a Gaussian.

    Its standard deviation is half the bin's width (Parzen), joined by what the two clocks may be off. Integrates to 1.
    """
    from scipy.special import ndtr

    t = np.asarray(time_s, np.float64)
    density = np.zeros(t.shape)
    for low, high, mass in zip(edges[:-1], edges[1:], np.array(counts) / sum(counts), strict=True):
        smooth = np.hypot((high - low) / 2, clock_std_s)
        density += mass / (high - low) * (ndtr((t - low) / smooth) - ndtr((t - high) / smooth))
    return density


def histogram_log_ratio(
    time_s: FloatArray, edges: tuple[float, ...], counts: tuple[float, ...], clock_std_s: float = 0.0
) -> FloatArray:
    """log R of a histogram, elementwise: 0 at its likeliest bin, not below ln(1e-4)."""
    at = np.array(edges)
    peak = histogram_density((at[1:] + at[:-1]) / 2, edges, counts, clock_std_s).max()
    with np.errstate(divide="ignore"):
        ratio = np.log(histogram_density(time_s, edges, counts, clock_std_s) / peak)
    return np.asarray(np.clip(ratio, LOG_FLOOR, 0.0), np.float64)


def log_ratio(
    time_s: FloatArray, mean_s: FloatArray, std_s: FloatArray, slack_s: FloatArray, ceiling: FloatArray
) -> FloatArray:
    """log R = ceiling - (Δt - t̄)²/(2σ²), not below ln(1e-4), elementwise; R is 1 at the mean (TASTR, Eq. 3)."""
    # Up to the slack the time is as good as any; beyond it only the excess counts.
    excess = np.where(np.isfinite(slack_s), np.maximum(time_s - slack_s, 0.0), time_s - mean_s)
    return np.asarray(np.maximum(ceiling - excess**2 / (2 * std_s**2), LOG_FLOOR), np.float64)
