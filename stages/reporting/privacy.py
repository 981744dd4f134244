"""Faces made unrecognisable in pictures for people to look at: ``PRIVACY=blur``.

No face detector finds every face at a surveillance camera's size, so what is hidden is where a head must be: in a frame the upper
quarter of every person's box and a little around it, in a crop its upper two fifths, since a crop may have a margin or end at
the picture's edge. Where nobody was detected, nobody is hidden.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

_HEAD, _MARGIN = 0.25, 0.15  # of the box's height; of its width, to either side and above
_OF_CROP = 0.4
_TILES = 4  # tiles across that are left of a head

Image = npt.NDArray[np.uint8]


def redact_heads(image: Image, boxes: npt.NDArray[np.floating]) -> Image:
    """A copy of (H, W, 3) with the head of each box (N, 4: x1, y1, x2, y2 in px) replaced by a few flat tiles."""
    hidden = image.copy()
    for x1, y1, x2, y2 in boxes:
        around = _MARGIN * (x2 - x1)
        _flatten(hidden, x1 - around, y1 - around, x2 + around, y1 + _HEAD * (y2 - y1))
    return hidden


def redact_head(crop: Image) -> Image:
    """The same for a crop, which is one person's box."""
    hidden = crop.copy()
    _flatten(hidden, 0, 0, crop.shape[1], _OF_CROP * crop.shape[0])
    return hidden


def _flatten(image: Image, x1: float, y1: float, x2: float, y2: float) -> None:
    left, right = max(int(x1), 0), min(int(np.ceil(x2)), image.shape[1])
    top, bottom = max(int(y1), 0), min(int(np.ceil(y2)), image.shape[0])
    if right > left and bottom > top:
        few = cv2.resize(image[top:bottom, left:right], (_TILES, _TILES), interpolation=cv2.INTER_AREA)
        flat = cv2.resize(few, (right - left, bottom - top), interpolation=cv2.INTER_NEAREST)
        image[top:bottom, left:right] = flat
