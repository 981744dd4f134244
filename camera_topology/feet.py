"""Where people stood: in zones of the picture, and on the ground.

A person is where their feet are, so a box stands for the middle of its lower edge. A homography takes that to the ground in
metres, where two cameras that look at the same place can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from camera_topology.site_schema import Camera, Polygon

Floats = NDArray[np.float64]

# Of a pair that is seen at once, so many instants are compared; more say nothing new, since people walk straight on.
_INSTANTS = 16
_WORST_CONDITION = 1e6


@dataclass(frozen=True)
class Feet:
    """Samples of N tracklets' feet, one tracklet after the other, each in order of time.

    begin: (N + 1,) first sample of each tracklet; t_us: (M,) µs; uv: (M, 2) px of the frame.
    """

    begin: NDArray[np.int64]
    t_us: NDArray[np.int64]
    uv: Floats

    @classmethod
    def of(cls, owner: NDArray[np.int64], t_us: NDArray[np.int64], boxes: Floats, count: int) -> Feet:
        """From (M, 4) boxes x1, y1, x2, y2 of tracklets 0 to ``count`` - 1, in any order."""
        order = np.lexsort((t_us, owner))
        feet = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1)
        return cls(np.searchsorted(owner[order], np.arange(count + 1)), t_us[order], feet[order])

    def first(self) -> Floats:
        """(N, 2) where each tracklet appeared; NaN for one without samples."""
        return self._at(self.begin[:-1])

    def last(self) -> Floats:
        """(N, 2) where each tracklet was seen last."""
        return self._at(self.begin[1:] - 1)

    def _at(self, row: NDArray[np.int64]) -> Floats:
        out = np.full((len(row), 2), np.nan)
        some = self.begin[1:] > self.begin[:-1]
        out[some] = self.uv[row[some]]
        return out


def inside(points: Floats, polygons: Sequence[Polygon]) -> NDArray[np.bool_]:
    """(N,) whether each of (N, 2) points lies in any of the polygons (even-odd rule); NaN lies nowhere."""
    found = np.zeros(len(points), bool)
    x, y = points[:, 0], points[:, 1]
    for polygon in polygons:
        odd = np.zeros(len(points), bool)
        for (x1, y1), (x2, y2) in zip(polygon, (*polygon[1:], polygon[0]), strict=True):
            if y1 != y2:
                crosses = (y1 > y) != (y2 > y)
                odd ^= crosses & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1))
        found |= odd
    return found


def ground_matrix(camera: Camera) -> Floats | None:
    """(3, 3) from pixels (u, v, 1) to metres (x, y, 1) on the ground, up to scale; None where the file does not tell, or what it
    tells maps the picture to a line.

    From the camera's own homography, else from four or more points.
    """
    if not camera.has_ground:
        return None
    matrix = _from_points(camera) if camera.homography is None else np.array(camera.homography, np.float64)
    return matrix if _is_sound(matrix) else None


def _from_points(camera: Camera) -> Floats:
    """The least-squares solution of the direct linear transform, with both sides normalised (Hartley and Zisserman, *Multiple
    View Geometry*, 4.1 and 4.4)."""
    image, world = (
        np.array([getattr(p, side) for p in camera.points], np.float64) for side in ("image", "world")
    )
    (a, from_image), (b, from_world) = _normalised(image), _normalised(world)
    one, nil = np.ones(len(a)), np.zeros((len(a), 3))
    h = np.column_stack([a, one])
    rows = np.concatenate([np.hstack([h, nil, -b[:, :1] * h]), np.hstack([nil, h, -b[:, 1:] * h])])
    solution = np.linalg.svd(rows)[2][-1].reshape(3, 3)
    matrix = np.linalg.inv(from_world) @ solution @ from_image
    return np.asarray(matrix / np.abs(matrix).max())


def _is_sound(matrix: Floats) -> bool:
    """Whether a homography can be inverted, with rows and columns brought to one size: pixels and metres differ in theirs."""
    m = matrix / np.maximum(np.abs(matrix).max(axis=1, keepdims=True), 1e-300)
    m = m / np.maximum(np.abs(m).max(axis=0, keepdims=True), 1e-300)
    return bool(np.linalg.cond(m) < _WORST_CONDITION)


def on_ground(matrix: Floats, uv: Floats) -> Floats:
    """(N, 2) metres on the ground of (N, 2) pixels; NaN beyond the horizon, which has no ground.

    The side of the horizon on which most of the points lie is the ground's.
    """
    x, y, w = matrix @ np.column_stack([uv, np.ones(len(uv))]).T
    ahead = w * np.sign(np.nanmedian(w)) > 1e-9 * np.abs(w).max(initial=0) if len(uv) else np.zeros(0, bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(ahead[:, None], np.stack([x / w, y / w], axis=1), np.nan)


def metres_apart(
    feet: Feet, ground: Sequence[Floats | None], a: NDArray[np.int64], b: NDArray[np.int64]
) -> Floats:
    """(P,) how far apart two tracklets stood while both were seen: the median over shared instants, m; NaN where unknown.

    Args:
        ground: per tracklet (samples, 2) metres of its samples, None where its camera has no homography.
        a, b: (P,) rows of tracklets.
    """
    out = np.full(len(a), np.nan)
    for pair, (i, j) in enumerate(zip(a, b, strict=True)):
        own, other = ground[i], ground[j]
        if own is None or other is None or not len(own) or not len(other):
            continue
        t_i, t_j = (feet.t_us[feet.begin[k] : feet.begin[k + 1]] for k in (i, j))
        low, high = max(t_i[0], t_j[0]), min(t_i[-1], t_j[-1])
        if low > high:
            continue
        at = np.linspace(low, high, _INSTANTS)
        away = np.hypot(*(np.interp(at, t_i, own[:, k]) - np.interp(at, t_j, other[:, k]) for k in (0, 1)))
        if np.isfinite(away).any():
            out[pair] = np.nanmedian(away)
    return out


def _normalised(points: Floats) -> tuple[Floats, Floats]:
    """Points about 0 with mean distance √2, and the (3, 3) matrix that makes them so."""
    middle = points.mean(axis=0)
    scale = np.sqrt(2) / max(float(np.hypot(*(points - middle).T).mean()), 1e-12)
    matrix = np.array([[scale, 0, -scale * middle[0]], [0, scale, -scale * middle[1]], [0, 0, 1]])
    return (points - middle) * scale, matrix
