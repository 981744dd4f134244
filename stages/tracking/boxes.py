"""Geometry of boxes, as functions of arrays: (n, 4) x1, y1, x2, y2 in px, right and bottom exclusive."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def area(boxes: Array) -> Array:
    """(n,) px²."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def intersection(a: Array, b: Array) -> Array:
    """(n, m) common area in px² of each of (n, 4) with each of (m, 4)."""
    width = np.minimum(a[:, None, 2], b[None, :, 2]) - np.maximum(a[:, None, 0], b[None, :, 0])
    height = np.minimum(a[:, None, 3], b[None, :, 3]) - np.maximum(a[:, None, 1], b[None, :, 1])
    return np.asarray(width.clip(min=0) * height.clip(min=0))


def iou_matrix(a: Array, b: Array) -> Array:
    """(n, m) intersection over union, 0..1, of each of (n, 4) with each of (m, 4)."""
    common = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - common
    return np.asarray(common / np.maximum(union, 1e-9))


def centre_size(boxes: Array) -> Array:
    """(n, 4) cx, cy, width, height of (n, 4) corners."""
    out = np.empty(boxes.shape)
    np.subtract(boxes[:, 2:], boxes[:, :2], out=out[:, 2:])
    np.add(boxes[:, :2], out[:, 2:] / 2, out=out[:, :2])
    return out


def corners(centre_size: Array) -> Array:
    """(n, 4) x1, y1, x2, y2 of (n, 4) cx, cy, width, height."""
    half = centre_size[:, 2:] / 2
    return np.concatenate([centre_size[:, :2] - half, centre_size[:, :2] + half], axis=1)


def grown_iou_matrix(centre: Array, size: Array, b: Array, share: Array) -> Array:
    """(n, m) overlap, 0..1, of n boxes of ``centre`` (n, 2) and ``size`` (n, 2) with (m, 4) corners ``b``.

    In row i both are grown on each side by ``share`` (n,) of their own size: the buffered IoU of C-BIoU (Yang et al.
    2023), in which boxes that just miss each other still overlap a little.
    """
    half = (0.5 + share)[:, None] * size
    # Both axes at once, (2, n, m): at thirty people it is the number of calls that costs, not their size.
    other = (b[:, 2:] - b[:, :2]).T[:, None, :]
    grow = share[:, None] * other
    common = np.minimum((centre + half).T[:, :, None], b[:, 2:].T[:, None, :] + grow)
    common -= np.maximum((centre - half).T[:, :, None], b[:, :2].T[:, None, :] - grow)
    np.maximum(common, 0.0, out=common)
    shared = common[0] * common[1]
    union = (4.0 * half[:, 0] * half[:, 1])[:, None] + (other[0] * other[1]) * ((1.0 + 2.0 * share) ** 2)[
        :, None
    ]
    union -= shared
    np.maximum(union, 1e-9, out=union)
    return np.asarray(np.divide(shared, union, out=union))
