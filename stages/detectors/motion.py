"""People as whatever moves before a camera that does not: boxes without any weights.

Zivkovic: Improved Adaptive Gaussian Mixture Model for Background Subtraction, ICPR 2004 (OpenCV's MOG2, with shadows
told apart). It finds cars and swaying trees too and joins people who touch into one; a network does better wherever
there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

import cv2
import numpy as np
import numpy.typing as npt

from stages.detectors.openvino_network import RGB, Boxes

LONG_SIDE = 480  # px that are looked at: finer only finds noise
HISTORY = 1500  # frames that the background is averaged over; who stands still for a tenth of them becomes part of it
WARM_UP = 90  # frames whose median is the first background
MAX_MOVING = 0.5  # more of the picture than this is a change of light, not people
LEAST_AREA = 0.0012  # of the picture
SHAPES = (0.9, 5.0)  # height over width of a person, alone
_FOREGROUND = 255  # MOG2 marks shadows with 127


class MotionDetector:
    """See `stages.detectors.yolo.Detector`; each stream is one camera and learns its own background.

    Scores are 0.5 to 1, by how much of the box moves: there is no more to tell by.
    """

    def __init__(self, min_score: float = 0.1, max_detections: int = 300) -> None:
        self.min_score, self.max_detections = min_score, max_detections

    def detect(self, images: Sequence[RGB]) -> list[Boxes]:
        """Boxes of consecutive images of one camera."""
        return list(self.stream(images))

    def stream(self, images: Iterable[RGB]) -> Iterator[Boxes]:
        """Boxes of any number of consecutive images of one camera, in order; the first come after a few seconds."""
        background = cv2.createBackgroundSubtractorMOG2(history=HISTORY, varThreshold=25, detectShadows=True)
        pictures = ((_small(image), image.shape[:2]) for image in images)
        first = list(islice(pictures, WARM_UP))
        if not first:
            return
        # Whoever walks by at the start is in few of the pictures: their median is the empty place.
        empty = np.median(np.stack([small for small, _ in first[:: max(len(first) // 30, 1)]]), axis=0)
        background.apply(empty.astype(np.uint8), learningRate=1.0)
        for small, (height, width) in chain(first, pictures):
            # OpenCV's own rate begins fast and would make the first passers-by a part of the wall.
            mask = background.apply(small, learningRate=1 / HISTORY)
            boxes = moving_boxes(np.asarray(mask == _FOREGROUND, np.uint8))
            boxes[:, [0, 2]] *= width / small.shape[1]
            boxes[:, [1, 3]] *= height / small.shape[0]
            yield boxes[boxes[:, 4] >= self.min_score][: self.max_detections]


def _small(image: RGB) -> RGB:
    gain = min(LONG_SIDE / max(image.shape[:2]), 1.0)
    return np.asarray(cv2.resize(image, None, fx=gain, fy=gain, interpolation=cv2.INTER_AREA), np.uint8)


def moving_boxes(moving: npt.NDArray[np.uint8]) -> Boxes:
    """(n, 5) x1, y1, x2, y2, score of the upright regions of a mask (H, W) of 0 and 1, by falling score."""
    height, width = moving.shape
    if moving.mean() > MAX_MOVING:
        return np.zeros((0, 5), np.float32)
    clean = cv2.morphologyEx(moving, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    # Head, body and legs of one person are often apart; two people side by side rather are not.
    tall = np.ones((max(height // 24, 3), max(height // 60, 3)), np.uint8)
    joined = cv2.morphologyEx(clean, cv2.MORPH_CLOSE, tall)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(joined)
    found = []
    for region, (x, y, w, h, area) in enumerate(stats[1:].tolist(), start=1):
        if area < LEAST_AREA * height * width or not SHAPES[0] <= h / w <= SHAPES[1]:
            continue
        fill = float((clean[y : y + h, x : x + w] & (labels[y : y + h, x : x + w] == region)).mean())
        found.append((x, y, x + w, y + h, 0.5 + 0.5 * fill))
    boxes = np.array(found, np.float32).reshape(-1, 5)
    return boxes[np.argsort(-boxes[:, 4], kind="stable")]
