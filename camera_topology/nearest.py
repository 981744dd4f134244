"""Who looks most like whom among those of about the same time: exact, in a band of matrix products instead of a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
Cameras = Sequence[str] | NDArray[Any]

_FIRST_TILE, _TILE = 128, 2048  # columns of a matrix product


def nearest_in_window(
    features: NDArray[np.floating[Any]],
    camera_id: Cameras,
    t_start_us: IntArray,
    t_end_us: IntArray,
    *,
    window_s: float,
    k: int,
    block_rows: int = 512,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Each tracklet's k nearest by cosine in other cameras, with at most ``window_s`` between the two; exact.

    Returns (N, k) rows, nearest first, -1 where there are fewer, and (N, k) similarities, -inf there. A row of zeros
    (nobody looked) is near to nobody. Of equals, the first rows. Sorted by time, those in question are a band; its matrix product is
    made tile by tile, and only what is above the k-th best so far is looked at again, so that a pair costs little
    more than its product. Time grows with the pairs in the window; memory is 8 k + 100 bytes a tracklet, and a few MB.
    Similarities are exact to float32's rounding, and so is who is nearer than whom.

    Args:
        features: (N, D) of any length, float16 or float32; may be a memory map.
        camera_id, t_start_us, t_end_us: (N,); µs.
        window_s: from the end of one to the start of the other; shared time counts as none.

    Raises:
        ValueError: a feature is not finite.
    """
    start, end = np.asarray(t_start_us, np.int64), np.asarray(t_end_us, np.int64)
    crowd = _Crowd(
        features, _inverse_norms(features), coded_cameras(camera_id)[0], start, end, round(window_s * 1e6)
    )
    rows, similarity = np.full((len(start), k), -1, np.int32), np.full((len(start), k), -np.inf, np.float32)
    lengths = _by_length(crowd) if k > 0 else []
    for query in (query for alike in lengths for query in _queries(crowd, alike, block_rows)):
        rows[query], similarity[query] = _nearest(crowd, query, _band(crowd, query, lengths), k)
    return rows, similarity


def coded_cameras(camera_id: Cameras) -> tuple[NDArray[np.int64], list[str]]:
    """Each tracklet's camera as its number among the sorted ids, and these."""
    import pandas as pd

    code, ids = pd.factorize(np.asarray(camera_id, object), sort=True)
    return code.astype(np.int64), [str(c) for c in ids]


class _Crowd(NamedTuple):
    """Who is looked at: features (N, D) and 1 / their length (N,), 0 for rows of zeros; camera numbers, µs."""

    features: NDArray[np.floating[Any]]
    inverse_norm: NDArray[np.float32]
    camera: IntArray
    start: IntArray
    end: IntArray
    window_us: int


def _inverse_norms(features: NDArray[np.floating[Any]], block: int = 1 << 16) -> NDArray[np.float32]:
    inverse = np.zeros(len(features), np.float32)
    for begin in range(0, len(features), block):
        norm = np.linalg.norm(np.asarray(features[begin : begin + block], np.float32), axis=1)
        if not np.isfinite(norm).all():
            raise ValueError(f"features: row {begin + int(np.argmin(np.isfinite(norm)))} is not finite")
        np.divide(1, norm, out=inverse[begin : begin + block], where=norm > 0)
    return inverse


class _Alike(NamedTuple):
    """Rows of tracklets about as long as one another, their starts in order, and the longest's length, µs."""

    row: IntArray
    start: IntArray
    longest_us: int


def _by_length(crowd: _Crowd) -> list[_Alike]:
    """All rows that are no zeros: apart by length, so that one long stay does not widen everybody's band."""
    unit_us = max(crowd.window_us / 4, 1e6)
    length_us = crowd.end - crowd.start
    level = np.ceil(np.log2(np.maximum(length_us / unit_us, 1.0)))
    by_start = np.lexsort((crowd.end, crowd.start))
    by_start = by_start[crowd.inverse_norm[by_start] > 0]
    groups = [by_start[level[by_start] == value] for value in np.unique(level[by_start])]
    return [_Alike(rows, crowd.start[rows], int(length_us[rows].max())) for rows in groups]


def _queries(crowd: _Crowd, alike: _Alike, block_rows: int) -> Iterator[IntArray]:
    """Rows in blocks of which none spans more time than its band does anyway."""
    span_us = max(crowd.window_us, alike.longest_us)
    begin = 0
    while begin < len(alike.row):
        late = int(np.searchsorted(alike.start, alike.start[begin] + span_us, "right"))
        stop = min(begin + block_rows, late)
        yield alike.row[begin:stop]
        begin = stop


def _band(crowd: _Crowd, query: IntArray, others: Sequence[_Alike]) -> IntArray:
    """Runs of rows by start that hold all who are within the window of any row of ``query``."""
    first = crowd.start[query].min() - crowd.window_us
    last = crowd.end[query].max() + crowd.window_us
    runs = []
    for alike in others:
        begin, stop = np.searchsorted(alike.start, (first - alike.longest_us, last + 1))
        runs.append(alike.row[begin:stop])
    return np.concatenate(runs)


def _nearest(
    crowd: _Crowd, query: IntArray, band: IntArray, k: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """(Q, k) rows of ``band`` nearest to each of ``query``, nearest first, and their similarities."""
    best = np.full((len(query), k), _NOBODY)  # keys, rising
    x, camera = _unit(crowd, query), crowd.camera[query].astype(np.int32)
    tile = np.empty(len(query) * _TILE, np.float32)
    begin, width = 0, _FIRST_TILE
    while begin < len(band):
        column = band[begin : begin + width]
        begin, width = begin + width, min(2 * width, _TILE)  # small at first, until there is a k-th best
        s = np.matmul(x, _unit(crowd, column).T, out=tile[: len(query) * len(column)].reshape(len(query), -1))
        near = s >= _similarity(best[:, :1])
        near &= camera[:, None] != crowd.camera[column].astype(np.int32)
        q, c = np.divmod(np.flatnonzero(near), len(column))
        a, b = query[q], column[c]
        gap_us = np.maximum(crowd.start[b] - crowd.end[a], crowd.start[a] - crowd.end[b])
        within = gap_us <= crowd.window_us
        q, c, b = q[within], c[within], b[within]
        if len(q):
            best = _merged(best, q, _key(s[q, c], b))
    best = best[:, ::-1]
    return np.where(best == _NOBODY, -1, _LAST_ROW - (best & _LAST_ROW)).astype(np.int32), _similarity(best)


def _merged(best: IntArray, q: IntArray, keys: IntArray) -> IntArray:
    """(Q, k) largest keys of each query, rising: of those before, and of what was found for queries ``q`` (ascending)."""
    k, count = best.shape[1], np.bincount(q, minlength=len(best))
    place = k + np.arange(len(q)) - (np.cumsum(count) - count)[q]
    both = np.pad(best, ((0, 0), (0, int(count.max()))), constant_values=_NOBODY)
    both[q, place] = keys
    both.sort(axis=1)
    return both[:, -k:]


# A similarity and a row in one integer, which sort faster than two arrays: float32 bits in the order of numbers above, and
# below them the row, so counted that of equals the first row is the largest.
_LAST_ROW = (1 << 32) - 1


def _key(similarity: NDArray[np.float32], row: IntArray) -> IntArray:
    return (_in_order(similarity.view(np.int32)).astype(np.int64) << 32) | (_LAST_ROW - row)


def _similarity(key: IntArray) -> NDArray[np.float32]:
    return _in_order((key >> 32).astype(np.int32)).view(np.float32)


def _in_order(bits: NDArray[np.int32]) -> NDArray[np.int32]:
    """Bits of float32 as integers in the order of the numbers; and back again."""
    return np.asarray(bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF)), np.int32)


_NOBODY = int(_key(np.array([-np.inf], np.float32), np.array([_LAST_ROW]))[0])


def _unit(crowd: _Crowd, rows: IntArray) -> NDArray[np.float32]:
    return np.asarray(crowd.features[rows], np.float32) * crowd.inverse_norm[rows, None]
