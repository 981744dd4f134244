"""Boxes from keypoints: what a pose network sees of a body, where its own box swallows a neighbour or misses the feet.

TASTR takes the person's box from the pose (Xie et al. 2019, IV-A); the margin is PoseFlow's (Xiu et al. 2018, released
code): a tenth of the extent on each side.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.tracking.keypoints import MIN_SCORE

MARGIN = 0.1
MIN_KEYPOINTS = 4

Boxes = npt.NDArray[np.float32]


def boxes_from_keypoints(boxes: Boxes, frame_size: tuple[int, int]) -> Boxes:
    """The same people with boxes around their keypoints; who shows fewer than four keeps the network's own box.

    Args:
        boxes: (n, 5 + 3K) x1, y1, x2, y2 in px, score, then x, y, score of each keypoint.
        frame_size: height and width in px.
    """
    if boxes.shape[1] == 5:
        return boxes
    points = boxes[:, 5:].reshape(len(boxes), -1, 3)
    seen = points[:, :, 2] >= MIN_SCORE
    low = np.where(seen[:, :, None], points[:, :, :2], np.inf).min(1, initial=np.inf)
    high = np.where(seen[:, :, None], points[:, :, :2], -np.inf).max(1, initial=-np.inf)
    enough = (seen.sum(1) >= MIN_KEYPOINTS) & (high > low).all(1)
    low, high = np.where(enough[:, None], low, 0), np.where(enough[:, None], high, 0)
    grow = MARGIN * (high - low)
    limit = np.array(frame_size[::-1], np.float32)
    corners = np.concatenate([(low - grow).clip(0, limit), (high + grow).clip(0, limit)], axis=1)
    enough &= (corners[:, 2:] > corners[:, :2]).all(1)
    made = boxes.copy()
    made[enough, :4] = corners[enough]
    return made
