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
    size = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([boxes[:, :2] + size / 2, size], axis=1)


def corners(centre_size: Array) -> Array:
    """(n, 4) x1, y1, x2, y2 of (n, 4) cx, cy, width, height."""
    half = centre_size[:, 2:] / 2
    return np.concatenate([centre_size[:, :2] - half, centre_size[:, :2] + half], axis=1)


def grown_iou_matrix(a: Array, b: Array, share: Array) -> Array:
    """(n, m) overlap, 0..1, where row i compares boxes grown on each side by ``share`` (n,) of their own size.

    The buffered IoU of C-BIoU (Yang et al. 2023): boxes that just miss each other still overlap a little.
    """
    grow_a = share[:, None] * (a[:, 2:] - a[:, :2])
    a = np.concatenate([a[:, :2] - grow_a, a[:, 2:] + grow_a], axis=1)
    grow_x, grow_y = share[:, None] * (b[:, 2] - b[:, 0]), share[:, None] * (b[:, 3] - b[:, 1])
    width = np.minimum(a[:, None, 2], b[:, 2] + grow_x) - np.maximum(a[:, None, 0], b[:, 0] - grow_x)
    height = np.minimum(a[:, None, 3], b[:, 3] + grow_y) - np.maximum(a[:, None, 1], b[:, 1] - grow_y)
    common = width.clip(min=0) * height.clip(min=0)
    union = area(a)[:, None] + area(b) * (1 + 2 * share[:, None]) ** 2 - common
    return np.asarray(common / np.maximum(union, 1e-9))
