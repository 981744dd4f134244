"""How alike two poses are, and where a pose will be: keypoints as a tracking cost, as arrays over tracks and boxes.

TASTR's front end tracks poses (Xie et al. 2019, IV-A, with PoseFlow, Xiu et al. 2018): limbs tell two people apart
whose boxes cover each other. The likeness is COCO's object keypoint similarity.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

# How far a person who clicks on each of COCO's 17 keypoints is usually off, as a share of sqrt(area), doubled.
_COCO_SPREAD = 2 * np.array(
    [.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089]
)  # fmt: skip
_MEAN_SPREAD = 0.14  # of networks with other keypoints
MIN_SCORE = 0.3
MIN_SHARED = 4


def oks_matrix(expected: Array, found: Array, area: Array) -> Array:
    """(n, m) object keypoint similarity, 0..1, over the keypoints that both see; NaN where they share fewer than four.

    exp(-d² / (2 · area · spread²)), averaged over keypoints (COCO's evaluation of keypoints).

    Args:
        expected: (n, K, 3) x, y in px and score of the tracks' poses; found: (m, K, 3) of the boxes.
        area: (m,) px² of the boxes.
    """
    k = expected.shape[1]
    spread = _COCO_SPREAD if k == len(_COCO_SPREAD) else np.full(k, _MEAN_SPREAD)
    shared = (expected[:, None, :, 2] >= MIN_SCORE) & (found[None, :, :, 2] >= MIN_SCORE)
    off = ((expected[:, None, :, :2] - found[None, :, :, :2]) ** 2).sum(3)
    scale = 2 * np.maximum(area, 1.0)[None, :, None] * spread**2
    likeness = np.where(shared, np.exp(-off / scale), 0.0).sum(2)
    count = shared.sum(2)
    return np.where(count >= MIN_SHARED, likeness / np.maximum(count, 1), np.nan)


def moved(poses: Array, before: Array, after: Array) -> Array:
    """(n, K, 3) poses that went along with their boxes, scaled by the height.

    Args:
        poses: (n, K, 3); before, after: (n, 4) cx, cy, width, height of the boxes then and now.
    """
    scale = after[:, 3] / np.maximum(before[:, 3], 1.0)
    place = (poses[:, :, :2] - before[:, None, :2]) * scale[:, None, None] + after[:, None, :2]
    return np.concatenate([place, poses[:, :, 2:]], axis=2)
