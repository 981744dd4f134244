"""Which part of a camera's picture counts: regions, ignored places, a mask, and how small a person may be.

A person is where their feet are, so a box is judged by the middle of its lower edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError

Polygon = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class View:
    """What a site file says of one camera's picture.

    roi: only feet inside one of these count, where there are any; ignore: feet inside these do not; px of the frame.
    mask: a picture, white where feet count and black where not, of any size; digest: of its content.
    min_person_height_px: smaller boxes do not count.
    """

    roi: tuple[Polygon, ...] = ()
    ignore: tuple[Polygon, ...] = ()
    mask: Path | None = None
    min_person_height_px: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether everything counts."""
        return self == View()

    def counts(self, boxes: NDArray[np.float64], frame_size: tuple[int, int]) -> NDArray[np.bool_]:
        """(N,) whether each of (N, 4) boxes x1, y1, x2, y2 counts.

        Args:
            frame_size: width and height of the frame, px.

        Raises:
            UserError: the mask is no picture.
        """
        high = boxes[:, 3] - boxes[:, 1] >= self.min_person_height_px
        if not (self.roi or self.ignore or self.mask):
            return np.asarray(high)
        floor = self.floor(frame_size)
        x = np.clip((boxes[:, 0] + boxes[:, 2]) / 2, 0, frame_size[0] - 1).astype(int)
        y = np.clip(boxes[:, 3], 0, frame_size[1] - 1).astype(int)
        return np.asarray(high & floor[y, x])

    def floor(self, frame_size: tuple[int, int]) -> NDArray[np.bool_]:
        """(H, W) where feet count."""
        import cv2

        width, height = frame_size
        floor = np.full((height, width), 0 if self.roi else 1, np.uint8)
        for polygons, value in ((self.roi, 1), (self.ignore, 0)):
            for polygon in polygons:
                cv2.fillPoly(floor, [np.round(np.array(polygon)).astype(np.int32)], value)
        if self.mask is not None:
            try:
                drawn = cv2.imdecode(_bytes(self.mask), cv2.IMREAD_GRAYSCALE)
            except cv2.error:  # larger than any camera's picture
                drawn = None
            if drawn is None:
                raise UserError(
                    f"{self.mask}: no picture; a camera's mask wants a PNG, white where people count."
                )
            floor &= np.asarray(
                cv2.resize(drawn, frame_size, interpolation=cv2.INTER_NEAREST) > 127, np.uint8
            )
        return floor.astype(bool)


def _bytes(path: Path) -> NDArray[np.uint8]:
    try:
        return np.frombuffer(path.read_bytes() or b"\0", np.uint8)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: a camera's mask cannot be read: {getattr(error, 'strerror', None) or error}."
        ) from None
