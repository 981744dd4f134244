"""Pairs of tracklets that may be one person, and their prior, on sites too large for a table of all pairs.

Where the site file lists ways, time alone says which pairs there are (`linked_pairs`); where it lists none, those who look most
alike among all of about the same time (`neighbour_pairs`). Both stream blocks of bounded size; every value is `pair_prior`'s.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from camera_topology.nearest import Cameras, IntArray, coded_cameras, nearest_in_window
from camera_topology.prior import _CLOCK_SIGMAS, came_first, camera_clock_std_s, pair_prior
from camera_topology.site import Site
from camera_topology.transit import LOG_FLOOR, WEAK_LOG_PRIOR, Transit, histogram_log_ratio, transit_model

_Rows = tuple[IntArray, IntArray]  # from, to

BLOCK_PAIRS = 1 << 19
_FAR_US = 1 << 61


class PriorOptions(TypedDict, total=False):
    """Keywords of `pair_prior`; its defaults where left out."""

    sigma_fraction: float | None
    sigma_floor_s: float
    overlap_tolerance_s: float
    clock_std_s: Mapping[str, float] | None


@dataclass(frozen=True)
class Way:
    """One directed pair of cameras, and which transit times (s, both ends included) are looked for.

    low_s: what is shorter is impossible or has the least log prior; -inf where nothing is too short.
    high_s: what is longer has ``log_prior_beyond``: the least (ln 1e-4), or, where a way is as likely after any time, its constant.
    """

    from_: str
    to: str
    low_s: float
    high_s: float
    log_prior_beyond: float


class Pairs(NamedTuple):
    """A block of M pairs, all (M,): rows ``i`` and ``j`` of tracklets (int32), ``i`` the one seen first; ``gate`` False where
    impossible after all (two days); ``log_prior`` (float32)."""

    i: NDArray[np.int32]
    j: NDArray[np.int32]
    gate: NDArray[np.bool_]
    log_prior: NDArray[np.float32]


def reachable_links(site: Site, camera_ids: Iterable[str], **options: Unpack[PriorOptions]) -> list[Way]:
    """The ways between these cameras that the site file lists and does not forbid, each direction by itself."""
    known = set(camera_ids)
    listed = sorted(pair for pair in site.links if known.issuperset(pair))
    return [way for a, b in listed if (way := _way(site, a, b, options))]


def reachable_camera_pairs(
    site: Site, camera_ids: Iterable[str], **options: Unpack[PriorOptions]
) -> list[Way]:
    """All ways between these cameras that the site file does not rule out, listed or not."""
    known = sorted(set(camera_ids))
    return [way for a in known for b in known if a != b and (way := _way(site, a, b, options))]


def linked_pairs(
    site: Site,
    camera_id: Cameras,
    t_start_us: IntArray,
    t_end_us: IntArray,
    *,
    block_pairs: int = BLOCK_PAIRS,
    **options: Unpack[PriorOptions],
) -> Iterator[Pairs]:
    """All pairs of tracklets that fit the time of a listed way, each once, in blocks of at most ``block_pairs``.

    Left out are, and nothing else: pairs of one camera (`reentry_pairs`); pairs whose way is not listed, with the constant of
    unlisted pairs (`reachable_pairs` has them); pairs that are impossible (forbidden, or faster than people walk); and pairs
    whose time is so far from the way's that their log prior is the least there is. ``defaults.max_transit_s`` does not cut
    a way that has a distance or times of its own, which would lose pairs with a high prior. It bounds listed ways without, and
    those of overlapping views, to which people come back: all pairs up to it (and three joint standard deviations of the
    clocks) are in, and later ones, out, have the constant of the way (``Way.log_prior_beyond``).

    The order of pairs does not depend on ``block_pairs``. Time is that of sorting and of the pairs found; memory that of the
    input and of a block, some 300 bytes a pair of it. Where clocks are as good as unknown, all pairs of a way fit.

    Args:
        camera_id, t_start_us, t_end_us: (N,) per tracklet; µs.
        options: as of `pair_prior`.
    """
    ways = reachable_links(site, coded_cameras(camera_id)[1], **options)
    return _pairs(site, ways, camera_id, t_start_us, t_end_us, block_pairs, options)


def reachable_pairs(
    site: Site,
    camera_id: Cameras,
    t_start_us: IntArray,
    t_end_us: IntArray,
    *,
    block_pairs: int = BLOCK_PAIRS,
    **options: Unpack[PriorOptions],
) -> Iterator[Pairs]:
    """As `linked_pairs`, and with the pairs of unlisted ways up to ``defaults.max_transit_s``, unless the file forbids these.

    Longer ones are left out and have the constant of unlisted pairs. On a busy site those that are in are very many (2.5e9
    of a million tracklets, against 7e7 of listed ways, in benchmarks/candidates.py); see `neighbour_pairs`.
    """
    ways = reachable_camera_pairs(site, coded_cameras(camera_id)[1], **options)
    return _pairs(site, ways, camera_id, t_start_us, t_end_us, block_pairs, options)


def reentry_pairs(
    site: Site,
    camera_id: Cameras,
    t_start_us: IntArray,
    t_end_us: IntArray,
    *,
    within_s: float,
    block_pairs: int = BLOCK_PAIRS,
    **options: Unpack[PriorOptions],
) -> Iterator[Pairs]:
    """Pairs of one camera, one after the other with at most ``within_s`` between; otherwise as `linked_pairs`.

    Left out are those that share an instant (impossible) and later returns, which have log prior 0 like these.
    """
    ways = [Way(c, c, 1e-6, within_s, 0.0) for c in coded_cameras(camera_id)[1]]
    return _pairs(site, ways, camera_id, t_start_us, t_end_us, block_pairs, options)


def neighbour_pairs(
    site: Site,
    features: NDArray[np.floating[Any]],
    camera_id: Cameras,
    t_start_us: IntArray,
    t_end_us: IntArray,
    *,
    k: int,
    window_s: float | None = None,
    block_pairs: int = BLOCK_PAIRS,
    **options: Unpack[PriorOptions],
) -> Iterator[Pairs]:
    """Pairs of which one is among the other's ``k`` nearest in other cameras (`nearest_in_window`), each once, in blocks.

    For a site without links, where time alone leaves too many. Left out are those who look less alike, whatever their prior.
    Each tracklet counts as three standard deviations of its clock longer at both ends.

    Args:
        features, camera_id, t_start_us, t_end_us, k: see `nearest_in_window`.
        window_s: the file's ``defaults.max_transit_s`` by default.
    """
    start, end = np.asarray(t_start_us, np.int64), np.asarray(t_end_us, np.int64)
    n, (code, ids) = len(start), coded_cameras(camera_id)
    clocks = np.array([camera_clock_std_s(site, c, options.get("clock_std_s")) for c in ids], np.float64)
    wider = np.ceil(_CLOCK_SIGMAS * clocks * 1e6).astype(np.int64)[code]
    window_s = site.facts.defaults.max_transit_s if window_s is None else window_s
    near, _ = nearest_in_window(features, camera_id, start - wider, end + wider, window_s=window_s, k=k)
    found = np.flatnonzero(near >= 0)
    a, b = found // max(k, 1), near.ravel()[found].astype(np.int64)
    keys = np.minimum(a, b) * n + np.maximum(a, b)
    del near, found, a, b
    keys.sort()
    keys = keys[np.diff(keys, prepend=-1) > 0]

    def directed() -> Iterator[_Rows]:
        for begin in range(0, len(keys), block_pairs):
            a, b = np.divmod(keys[begin : begin + block_pairs], n)
            first = came_first(start[b] - end[a], start[a] - end[b], code[a], code[b])
            yield np.where(first, a, b), np.where(first, b, a)

    return _with_prior(site, directed(), camera_id, start, end, block_pairs, options)


def _way(site: Site, from_: str, to: str, options: PriorOptions) -> Way | None:
    """The way as the file has it, None where nobody can take it, or it has the least log prior at any time."""
    model = transit_model(
        site, from_, to,
        sigma_fraction=options.get("sigma_fraction", 0.7), sigma_floor_s=options.get("sigma_floor_s", 5.0),
        overlap_tolerance_s=options.get("overlap_tolerance_s", 5.0),
    )  # fmt: skip
    known = options.get("clock_std_s")
    clock_s = math.hypot(*(camera_clock_std_s(site, c, known) for c in (from_, to)))
    max_s = site.facts.defaults.max_transit_s + _CLOCK_SIGMAS * clock_s
    best = model.ceiling + math.log(site.link_weight(from_, to))
    if not model.possible:
        return None
    if np.isfinite(model.slack_s):  # whoever comes back to overlapping views has `WEAK_LOG_PRIOR` at any time
        reach_s = math.hypot(model.std_s, clock_s) * math.sqrt(2 * max(best - WEAK_LOG_PRIOR, 0.0)) + 1e-6
        return Way(from_, to, -np.inf, max(max_s, model.slack_s + reach_s), WEAK_LOG_PRIOR)
    if best <= LOG_FLOOR:
        return None
    low_s, high_s = _above(LOG_FLOOR - best, model, clock_s)
    low_s = max(low_s, model.min_s - _CLOCK_SIGMAS * clock_s)
    return Way(from_, to, low_s, high_s, LOG_FLOOR) if high_s < np.inf else Way(from_, to, low_s, max_s, best)


def _above(least: float, model: Transit, clock_s: float) -> tuple[float, float]:
    """An interval (s) outside which the log prior is not above ``least``, where the best is 0; of a log-normal, a wider one."""
    if model.histogram:
        edges, counts = model.histogram
        # Beyond its edges a smoothed histogram only falls: the end of it is found by halving.
        reach_s = 40 * math.hypot(max(np.diff(edges)), clock_s)
        beyond = np.array([[0.0, -reach_s], [0.0, reach_s]])
        for _ in range(60):
            middle = beyond.mean(1)
            at = middle + np.array([edges[0], edges[-1]])
            above = histogram_log_ratio(at, edges, counts, clock_s) > least
            beyond[np.arange(2), np.where(above, 0, 1)] = middle
        return float(edges[0] + beyond[0, 1] - 1e-6), float(edges[-1] + beyond[1, 1] + 1e-6)
    if model.log_normal:
        median_s, log_std = model.log_normal
        reach = math.exp(5 * log_std)  # where `log_normal_log_ratio` ends
        return median_s / reach - 5 * clock_s - 1e-6, median_s * reach + 5 * clock_s + 1e-6
    reach_s = math.hypot(model.std_s, clock_s) * math.sqrt(-2 * least) + 1e-6
    return model.mean_s - reach_s, model.mean_s + reach_s


class _Seen(NamedTuple):
    """Tracklets of one camera, sorted by start: their rows, and µs."""

    row: IntArray
    start: IntArray
    end: IntArray


def _pairs(
    site: Site, ways: Sequence[Way], camera_id: Cameras, t_start_us: IntArray, t_end_us: IntArray,
    block_pairs: int, options: PriorOptions,
) -> Iterator[Pairs]:  # fmt: skip
    """All pairs in the windows of the ways, with their prior."""
    start, end = np.asarray(t_start_us, np.int64), np.asarray(t_end_us, np.int64)
    code, ids = coded_cameras(camera_id)
    order = np.lexsort((np.arange(len(start)), end, start, code))
    parts = np.split(order, np.searchsorted(code[order], np.arange(1, len(ids))))
    seen = {c: _Seen(rows, start[rows], end[rows]) for c, rows in zip(ids, parts, strict=False)}
    by_pair = {(way.from_, way.to): way for way in ways}

    def directed() -> Iterator[_Rows]:
        for a, b in sorted({(min(pair), max(pair)) for pair in by_pair}):
            there, back = by_pair.get((a, b)), by_pair.get((b, a))
            yield from _starting_first(seen[a], seen[b], there, back, True, block_pairs)
            if a != b:
                yield from _starting_first(seen[b], seen[a], back, there, False, block_pairs)

    return _with_prior(site, directed(), camera_id, start, end, block_pairs, options)


def _starting_first(
    x: _Seen, y: _Seen, there: Way | None, back: Way | None, first: bool, block_pairs: int
) -> Iterator[_Rows]:
    """Rows from and to of pairs of which x starts before y, in the window of the way taken; ties count where ``first``."""
    lows, highs = [], []
    if there:
        lows.append(x.end + _us(there.low_s))
        highs.append(x.end + _us(there.high_s))
    if back and back.low_s <= 0:
        # A y that is seen inside x's time came first where its middle did: it took the way back, in less than no time.
        lows.append(x.start)
        highs.append(x.end)
    if not lows:
        return
    after = np.searchsorted(y.start, x.start, "left" if first else "right")
    begin = np.maximum(np.searchsorted(y.start, np.minimum.reduce(lows) - 1), after)
    stop = np.searchsorted(y.start, np.maximum.reduce(highs) + 1, "right")
    for left, right in _spread(begin, np.maximum(stop - begin, 0), block_pairs):
        forth_us, back_us = y.start[right] - x.end[left], x.start[left] - y.end[right]
        onward = forth_us >= back_us if first else forth_us > back_us
        keep = np.zeros(len(left), bool)
        for way, taken, time_us in ((there, onward, forth_us), (back, ~onward, back_us)):
            if way:
                time_s = time_us / 1e6  # as `pair_prior` has it, to the last digit
                keep |= taken & (time_s >= way.low_s) & (time_s <= way.high_s)
        onward, p, q = onward[keep], x.row[left[keep]], y.row[right[keep]]
        yield np.where(onward, p, q), np.where(onward, q, p)


def _spread(first: IntArray, count: IntArray, block: int) -> Iterator[_Rows]:
    """Of runs ``first`` … ``first + count - 1`` every (run, element), at most ``block`` at a time."""
    ends = np.cumsum(count)
    for begin in range(0, int(ends[-1]) if len(ends) else 0, block):
        stop = min(begin + block, int(ends[-1]))
        a, b = np.searchsorted(ends, begin, "right"), np.searchsorted(ends, stop, "left") + 1
        here = np.minimum(ends[a:b], stop) - np.maximum(ends[a:b] - count[a:b], begin)
        run = np.repeat(np.arange(a, b), here)
        yield run, (first - ends + count)[run] + np.arange(begin, stop)


def _with_prior(
    site: Site, directed: Iterable[_Rows], camera_id: Cameras, start: IntArray, end: IntArray,
    block_pairs: int, options: PriorOptions,
) -> Iterator[Pairs]:  # fmt: skip
    """Blocks of the pairs with what `pair_prior` says of them."""
    camera = np.asarray(camera_id, object)
    for i, j in _joined(directed, block_pairs):
        prior = pair_prior(site, camera[i], start[i], end[i], camera[j], start[j], end[j], **options)
        yield Pairs(i.astype(np.int32), j.astype(np.int32), prior.gate, prior.log_prior.astype(np.float32))


def _joined(parts: Iterable[_Rows], block_pairs: int) -> Iterator[_Rows]:
    """Small parts put together: each call of `pair_prior` looks up the ways of all its cameras."""
    held: list[_Rows] = []
    size = 0
    for part in parts:
        if size + len(part[0]) > block_pairs and size:
            yield np.concatenate([p[0] for p in held]), np.concatenate([p[1] for p in held])
            held, size = [], 0
        held.append(part)
        size += len(part[0])
    if size:
        yield np.concatenate([p[0] for p in held]), np.concatenate([p[1] for p in held])


def _us(seconds: float) -> int:
    return int(np.clip(np.floor(seconds * 1e6), -_FAR_US, _FAR_US))
