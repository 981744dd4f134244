"""Tracklet pairs in, gate and log prior out: the one question the rest asks of time and space.

Only the physically impossible is gated; everything else is a soft log-likelihood, so a wrong site file degrades
and does not destroy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camera_topology.site import Site
from camera_topology.transit import (
    LOG_FLOOR,
    WEAK_LOG_PRIOR,
    FloatArray,
    Transit,
    histogram_log_ratio,
    log_normal_log_ratio,
    log_ratio,
    transit_model,
)

# Beyond this many joint standard deviations a clock error explains nothing any more.
_CLOCK_SIGMAS = 3.0
_DAY_UNKNOWN_S = 43200.0


@dataclass(frozen=True)
class PairPrior:
    """Per pair, all (M,): ``gate`` False where impossible; ``log_prior`` in [ln 1e-4, 0]; ``transit_time_s``; ``ruled_out``
    where nothing but the site file's word makes it impossible (a forbidden way, or one too long for the time); ``told`` False
    where the file says nothing of the pair by its time: unlisted, or of overlapping views, where it is the place that tells;
    ``log_time`` is the log prior without the link's weight, so that its peak is 0."""

    gate: NDArray[np.bool_]
    log_prior: FloatArray
    transit_time_s: FloatArray
    ruled_out: NDArray[np.bool_]
    has_prior: NDArray[np.bool_]
    log_time: FloatArray


def pair_prior(
    site: Site,
    cameras_a: Sequence[str] | NDArray[Any],
    start_a_us: NDArray[np.int64],
    end_a_us: NDArray[np.int64],
    cameras_b: Sequence[str] | NDArray[Any],
    start_b_us: NDArray[np.int64],
    end_b_us: NDArray[np.int64],
    *,
    sigma_fraction: float | None = 0.7,
    sigma_floor_s: float = 5.0,
    overlap_tolerance_s: float = 5.0,
    clock_std_s: Mapping[str, float] | None = None,
) -> PairPrior:
    """Spatio-temporal prior of M pairs of tracklets, elementwise; symmetric in a and b.

    The transit time is Δt = max(start_b - end_a, start_a - end_b), negative where both are seen at once, and is
    held against the model of the direction that came first. Both clocks' uncertainty widens that model. One
    camera's own pairs have log prior 0 and are gated where they overlap in time. Pairs of two days are gated, unless
    the site says that people are joined across days.

    Args:
        cameras_a, cameras_b: (M,) camera ids; unknown ones count as unlisted.
        start_a_us, end_a_us, start_b_us, end_b_us: (M,) µs.
        sigma_fraction, sigma_floor_s: TASTR's λ and its floor; λ None: log-normal, as wide as the site's walking speeds.
        overlap_tolerance_s: free time between overlapping views.
        clock_std_s: uncertainty per camera (s) as `ingest` found it; without it the site file's own, else 0.
    """
    ids, a, b = _codes(cameras_a, cameras_b)
    forth = (np.asarray(start_b_us, np.int64) - np.asarray(end_a_us, np.int64)) / 1e6
    back = (np.asarray(start_a_us, np.int64) - np.asarray(end_b_us, np.int64)) / 1e6
    time_s = np.maximum(forth, back)
    options = {
        "sigma_fraction": sigma_fraction,
        "sigma_floor_s": sigma_floor_s,
        "overlap_tolerance_s": overlap_tolerance_s,
    }
    table = _Table.of(site, ids, clock_std_s, options)
    code = np.where(came_first(forth, back, a, b), a * len(ids) + b, b * len(ids) + a)
    clock = table.clock_std_s[code]
    std_s = np.hypot(table.std_s[code], clock)
    log_prior = log_ratio(time_s, table.mean_s[code], std_s, table.slack_s[code], table.ceiling[code])
    for number, (edges, counts) in table.histograms.items():
        here = code == number
        log_prior[here] = histogram_log_ratio(time_s[here], edges, counts, float(table.clock_std_s[number]))
    for number, (median_s, log_std) in table.log_normals.items():
        here = code == number
        own = float(table.clock_std_s[number])
        log_prior[here] = log_normal_log_ratio(time_s[here], median_s, log_std, own)
    # Whoever has left two overlapping views may come back to either at any time.
    returned = np.isfinite(table.slack_s[code]) & (log_prior < WEAK_LOG_PRIOR)
    log_prior = np.where(returned, WEAK_LOG_PRIOR, log_prior)
    has_prior = (table.listed[code] | ~table.possible[code]) & ~np.isfinite(table.slack_s[code])
    same = a == b
    walkable = table.possible[code] & (time_s >= table.min_s[code] - _CLOCK_SIGMAS * clock)
    certain = np.where(same, time_s > 0, True) & same_day(site, start_a_us, start_b_us, clock)
    log_time = np.where(same, 0.0, np.where(table.possible[code], log_prior, LOG_FLOOR))
    log_prior = np.maximum(log_time + np.where(same, 0.0, table.log_weight[code]), LOG_FLOOR)
    return PairPrior(
        certain & (same | walkable), log_prior, time_s, certain & ~same & ~walkable, has_prior, log_time
    )


def came_first(
    forth: NDArray[Any], back: NDArray[Any], a: NDArray[Any], b: NDArray[Any]
) -> NDArray[np.bool_]:
    """Whether the first of each two tracklets was seen before the second, elementwise.

    Of two that are seen at once either may have been: the earlier middle decides, then the order of the cameras.

    Args:
        forth, back: time from the end of the first to the start of the second, and the other way round, in one unit.
        a, b: their cameras, names or numbers in the order of names.
    """
    return np.asarray((forth > back) | ((forth == back) & (a <= b)))


def same_day(
    site: Site, a_us: NDArray[np.int64], b_us: NDArray[np.int64], clock_std_s: FloatArray
) -> NDArray[np.bool_]:
    """Whether people of both instants (µs) may be joined: on one day of the site, or on any where it says so.

    The three are broadcast; each instant's day is looked up once, however many it is paired with.

    clock_std_s: joint uncertainty of both clocks; where it is half a day, nobody knows which day it was.
    """
    a_us, b_us = np.asarray(a_us, np.int64), np.asarray(b_us, np.int64)
    every = np.ones(np.broadcast_shapes(a_us.shape, b_us.shape, np.shape(clock_std_s)), bool)
    if site.across_days or not every.size:
        return every
    ends = site.day(np.array([min(a_us.min(), b_us.min()), max(a_us.max(), b_us.max())]))
    if ends[0] == ends[1]:
        return every
    day_a, day_b = (site.day(t.ravel()).reshape(t.shape) for t in (a_us, b_us))
    return np.asarray((day_a == day_b) | (clock_std_s >= _DAY_UNKNOWN_S))


def certain_negatives(
    site: Site,
    camera_id: Sequence[str] | NDArray[Any],
    t_start_us: NDArray[np.int64],
    t_end_us: NDArray[np.int64],
    *,
    clock_std_s: Mapping[str, float] | None = None,
) -> NDArray[np.int64]:
    """(P, 2) pairs i < j of tracklets that are different people for certain, sorted.

    Two tracklets of one camera that share an instant. Across cameras, only where the site declares the views
    disjoint (a listed link with a distance or a transit time) and both clocks are trusted, and the shared time
    exceeds three joint standard deviations. A clock is trusted where ``clock_std_s`` has it, or the site file gives
    its ``offset_std_s``; an assumed clock has so large an uncertainty that nothing exceeds it.

    Args:
        camera_id, t_start_us, t_end_us: (N,) per tracklet; µs.
    """
    start, end = np.asarray(t_start_us, np.int64), np.asarray(t_end_us, np.int64)
    n = len(start)
    order = np.lexsort((end, start))
    # In order of start, those that begin before i ends are a run right after i: pairs without an N × N table.
    last = np.searchsorted(start[order], end[order], side="right")
    runs = np.maximum(last - np.arange(1, n + 1), 0)
    first = np.repeat(np.arange(n), runs)
    offset = np.arange(len(first)) - np.repeat(np.cumsum(runs) - runs, runs)
    i, j = order[first], order[first + 1 + offset]
    ids, camera, _ = _codes(camera_id, [])
    table = _Table.of(site, ids, clock_std_s, _ANY_MODEL)
    code = camera[i] * len(ids) + camera[j]
    trusted = np.array([_trusted(site, c, clock_std_s) for c in ids], bool)
    shared_s = (np.minimum(end[i], end[j]) - np.maximum(start[i], start[j])) / 1e6
    across = (
        table.disjoint[code]
        & trusted[camera[i]]
        & trusted[camera[j]]
        & (shared_s > _CLOCK_SIGMAS * table.clock_std_s[code])
    )
    certain = (camera[i] == camera[j]) | across
    pairs = np.sort(np.stack([i[certain], j[certain]], axis=1).astype(np.int64), axis=1)
    return pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]


_ANY_MODEL = {"sigma_fraction": 0.7, "sigma_floor_s": 5.0, "overlap_tolerance_s": 5.0}


@dataclass(frozen=True)
class _Table:
    """The fields of :class:`Transit` for all K × K directed pairs of cameras, flat, and their joint clock."""

    mean_s: FloatArray
    std_s: FloatArray
    slack_s: FloatArray
    ceiling: FloatArray
    min_s: FloatArray
    possible: NDArray[np.bool_]
    listed: NDArray[np.bool_]
    disjoint: NDArray[np.bool_]
    clock_std_s: FloatArray
    log_weight: FloatArray
    histograms: dict[int, tuple[tuple[float, ...], tuple[float, ...]]]
    log_normals: dict[int, tuple[float, float]]

    @classmethod
    def of(
        cls,
        site: Site,
        ids: list[str],
        clock_std_s: Mapping[str, float] | None,
        options: Mapping[str, Any],
    ) -> _Table:
        models = [transit_model(site, x, y, **options) if x != y else Transit() for x in ids for y in ids]
        stds = np.array([camera_clock_std_s(site, c, clock_std_s) for c in ids], np.float64)

        def field(name: str, kind: type) -> NDArray[Any]:
            return np.array([getattr(model, name) for model in models], kind)

        return cls(
            mean_s=field("mean_s", float),
            std_s=field("std_s", float),
            slack_s=field("slack_s", float),
            ceiling=field("ceiling", float),
            min_s=field("min_s", float),
            possible=field("possible", bool),
            listed=np.array([site.relation(x, y) != "unlisted" for x in ids for y in ids], bool),
            disjoint=_either_way(field("disjoint", bool))
            & ~_either_way(np.isfinite(field("slack_s", float))),
            clock_std_s=np.hypot(stds[:, None], stds[None, :]).ravel(),
            log_weight=np.log(np.array([site.link_weight(x, y) for x in ids for y in ids], np.float64)),
            histograms={i: model.histogram for i, model in enumerate(models) if model.histogram},
            log_normals={i: model.log_normal for i, model in enumerate(models) if model.log_normal},
        )


def _either_way(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a flat K × K table says it of one direction or the other: being apart has no direction."""
    k = round(len(flags) ** 0.5)
    return (flags.reshape(k, k) | flags.reshape(k, k).T).ravel()


def camera_clock_std_s(site: Site, camera_id: str, known: Mapping[str, float] | None) -> float:
    """Uncertainty of a camera's clock, s: as `ingest` found it, else the site file's own, else 0."""
    if known is not None and camera_id in known:
        return float(known[camera_id])
    return float(site.camera(camera_id).clock.offset_std_s or 0.0)


def _trusted(site: Site, camera_id: str, known: Mapping[str, float] | None) -> bool:
    return (known is not None and camera_id in known) or site.camera(camera_id).clock.offset_std_s is not None


def _codes(
    cameras_a: Sequence[str] | NDArray[Any], cameras_b: Sequence[str] | NDArray[Any]
) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """Camera ids, sorted, and each element's index among them."""
    import pandas as pd

    both = np.concatenate([np.asarray(cameras_a, object), np.asarray(cameras_b, object)])
    codes, ids = pd.factorize(both, sort=True)
    codes = codes.astype(np.int64)
    return [str(c) for c in ids], codes[: len(cameras_a)], codes[len(cameras_a) :]
