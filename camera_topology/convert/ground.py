"""Cameras and the ground plane z = 0: 3×3 homographies from projection matrices, and projection matrices from homographies.

Everywhere here ``homography`` is a site file's: image pixel → world metres on the ground (Hartley & Zisserman, Multiple
View Geometry, section 8.1.1: the plane z = 0 is seen by the first, second and fourth column of P = K[R|t]).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from camera_topology.convert.reading import Matrix

# Beyond this condition number, once rows and columns are of one size, rounding is all that is left of a homography.
_WORST_CONDITION = 1e10
_PIXEL_SCALE = np.diag([1e-3, 1e-3, 1.0])  # pictures are some thousand pixels wide: entries of one size


def inverse(matrix: Matrix) -> Matrix:
    """The inverse (3, 3), scaled by `scaled`; rows and columns may be of any size, such as px and m.

    Raises:
        ValueError: the matrix is singular.
    """
    even = matrix
    for _ in range(3):
        for axis in (0, 1):
            norm = np.linalg.norm(even, axis=axis, keepdims=True)
            if not norm.all():
                raise ValueError("is singular")
            even = even / norm
    if not np.isfinite(even).all() or np.linalg.cond(even) > _WORST_CONDITION:
        raise ValueError("is singular")
    return scaled(np.asarray(np.linalg.inv(matrix), np.float64))


def scaled(homography: Matrix) -> Matrix:
    """The same homography with a last entry of 1, or, where that is about nought, of norm 1.

    Raises:
        ValueError: it is all noughts.
    """
    if not homography.any():
        raise ValueError("is singular")
    last = homography[2, 2]
    if abs(last) > 1e-6 * np.abs(homography).max():
        return np.asarray(homography / last)
    return np.asarray(homography / np.linalg.norm(homography))


def mapped(homography: Matrix, points: Any) -> Matrix:
    """(N, 2) points through a homography; not finite where a point lies on the horizon."""
    through = np.c_[np.asarray(points, np.float64).reshape(-1, 2), np.ones(len(points))] @ homography.T
    with np.errstate(all="ignore"):
        return np.asarray(through[:, :2] / through[:, 2:])


def one_side(homography: Matrix, points: Any) -> bool:
    """Whether points (N, 2) all lie on one side of the horizon, so that a polygon of them stays one when mapped."""
    depth = np.c_[np.asarray(points, np.float64), np.ones(len(points))] @ homography[2]
    return bool((depth > 0).all() or (depth < 0).all())


def of_projection(projection: Matrix) -> Matrix:
    """Homography image → ground (3, 3) of a projection matrix P (3, 4), world → image.

    Raises:
        ValueError: the ground is seen edge on, so P's first, second and fourth column are singular.
    """
    return inverse(projection[:, [0, 1, 3]])


def centre(projection: Matrix) -> Matrix:
    """Where the camera stands (3,), in the world's unit: -M⁻¹p₄ for P = [M | p₄] (3, 4), which is -Rᵀt.

    Raises:
        ValueError: M is singular.
    """
    if np.linalg.matrix_rank(projection[:, :3]) < 3:
        raise ValueError("is singular")
    return np.asarray(-np.linalg.solve(projection[:, :3], projection[:, 3]))


def camera_above(homography: Matrix, x_m: float, y_m: float) -> tuple[Matrix, Matrix, Matrix]:
    """A camera with this homography (3, 3) that stands above (x_m, y_m): intrinsics K (3, 3), R (3, 3), t (3,).

    P = [p₁ p₂ -q/h p₄] with q = p₁x + p₂y + p₄ has the homography and the place for any height h. With
    u = 1/h², KKᵀ ~ p₁p₁ᵀ + p₂p₂ᵀ + u·qqᵀ, and both that pixels are square and that they have no skew are linear in
    u, for the terms in u² cancel; h is the least-squares answer, exact for such pixels. Of the two cameras that are
    left the one above the ground (z upwards) is taken.

    Raises:
        ValueError: no camera stands there and sees this, or the homography does not tell its height.
    """
    from scipy.linalg import rq

    p = _PIXEL_SCALE @ inverse(homography)
    p /= np.linalg.norm(p)
    q = p @ np.array([x_m, y_m, 1.0])
    a, b = p[:, :2] @ p[:, :2].T, np.outer(q, q)
    constant = np.array([_stretch(a, a), 2 * _skew(a, a)])
    slope = np.array([_stretch(a, b) + _stretch(b, a), 2 * (_skew(a, b) + _skew(b, a))])
    if np.linalg.norm(slope) <= 1e-9 * np.linalg.norm(a) * np.linalg.norm(b):
        raise ValueError("looks straight down, so its homography does not tell how high it hangs")
    u = -float(constant @ slope) / float(slope @ slope)
    if u <= 0:
        raise ValueError("cannot stand at its position and have its homography")
    left = np.c_[p[:, :2], -q * np.sqrt(u)]
    sign = np.sign(np.linalg.det(left))
    upper, rotation = rq(left * sign)
    flip = np.diag(np.sign(np.diag(upper)))
    upper, rotation = upper @ flip, flip @ rotation
    t = np.linalg.solve(upper, p[:, 2] * sign)
    intrinsics = np.linalg.inv(_PIXEL_SCALE) @ upper / upper[2, 2]
    return intrinsics, np.asarray(rotation), np.asarray(t)


def _stretch(a: Matrix, b: Matrix) -> float:
    """Bilinear; of KKᵀ twice: fx² + skew² - fy²."""
    return float((a[0, 0] - a[1, 1]) * b[2, 2] - a[0, 2] * b[0, 2] + a[1, 2] * b[1, 2])


def _skew(a: Matrix, b: Matrix) -> float:
    """Bilinear; of KKᵀ twice: skew · fy."""
    return float(a[0, 1] * b[2, 2] - a[0, 2] * b[1, 2])
