"""Faces made unrecognisable in pictures for people to look at: ``PRIVACY=blur``.

No face detector finds every face at a surveillance camera's size, so what is hidden is where a head must be: the upper
quarter of every person's box. Where the box is wrong, so is what is hidden.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

_HEAD, _TILES = 0.25, 4  # of the box's height; tiles across that are left of it

Image = npt.NDArray[np.uint8]


def hide_heads(image: Image, boxes: Iterable[tuple[float, float, float, float]]) -> Image:
    """A copy of (H, W, 3) with the head of each box (x1, y1, x2, y2 in px) replaced by a few flat tiles."""
    hidden = image.copy()
    for x1, y1, x2, y2 in boxes:
        left, right = max(int(x1), 0), min(int(np.ceil(x2)), image.shape[1])
        top, bottom = max(int(y1), 0), min(int(np.ceil(y1 + _HEAD * (y2 - y1))), image.shape[0])
        if right > left and bottom > top:
            few = cv2.resize(image[top:bottom, left:right], (_TILES, _TILES), interpolation=cv2.INTER_AREA)
            hidden[top:bottom, left:right] = cv2.resize(
                few, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST
            )
    return hidden


def hide_head(crop: Image) -> Image:
    """The same for a crop, which is one person's box."""
    return hide_heads(crop, [(0, 0, crop.shape[1], crop.shape[0])])
