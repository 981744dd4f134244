"""Our boxes against true boxes, frame by frame, and our tracklets against true persons.

Positions (row numbers counted from 0, whatever the index) are used throughout, so tables need no particular index.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

MIN_IOU = 0.5
_KEYS = ["video_id", "frame"]
_SIDES = ("x1", "y1", "x2", "y2")


def overlaps(boxes: pd.DataFrame, truth: pd.DataFrame, min_iou: float = MIN_IOU) -> pd.DataFrame:
    """All pairs of a box and a true box in the same frame with IoU ≥ ``min_iou``.

    Args:
        boxes, truth: columns video_id, frame, x1, y1, x2, y2 (px).

    Returns:
        box, truth (positions in the two tables), iou; sorted by (box, truth).
    """
    left = boxes[_KEYS].assign(box=np.arange(len(boxes)))
    right = truth[_KEYS].assign(truth=np.arange(len(truth)))
    pairs = left.merge(right, on=_KEYS)[["box", "truth"]]
    a = boxes[list(_SIDES)].to_numpy(np.float64)[pairs.box]
    b = truth[list(_SIDES)].to_numpy(np.float64)[pairs.truth]
    size = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    common = np.clip(size, 0, None).prod(1)
    iou = common / ((a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - common)
    pairs = pairs.assign(iou=iou)[iou >= min_iou]
    return pairs.sort_values(["box", "truth"], kind="stable").reset_index(drop=True)


def match(boxes: pd.DataFrame, truth: pd.DataFrame, min_iou: float = MIN_IOU) -> np.ndarray:
    """One true box per box and frame: as many matches as possible, then the largest total IoU (Hungarian).

    Boxes of different tracklets in one frame compete; columns as in :func:`overlaps`.

    Returns:
        (len(boxes),) position of the true box, -1 where there is none.
    """
    pairs = overlaps(boxes, truth, min_iou)
    matched = np.full(len(boxes), -1)
    if pairs.empty:
        return matched
    box, true, iou = pairs.box.to_numpy(), pairs.truth.to_numpy(), pairs.iou.to_numpy()
    frame = truth.groupby(_KEYS, sort=False).ngroup().to_numpy()[true]
    # A match is worth more than any IoU it could cost the others of its frame.
    chosen = assign(box, true, frame, iou + np.bincount(frame)[frame])
    matched[box[chosen]] = true[chosen]
    return matched


def assign(box: np.ndarray, true: np.ndarray, frame: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(K,) True for the pairs chosen: in each frame each box and each true box once, of the largest total score.

    Args:
        box, true: (K,) positions of each pair; frame: (K,) its number; score: (K,) above 0.
    """
    # Most frames have nothing to decide: every box meets one true box and the reverse.
    contested = (np.bincount(box)[box] > 1) | (np.bincount(true)[true] > 1)
    chosen = ~contested
    for _, rows in pd.Series(np.flatnonzero(contested)).groupby(frame[contested]):
        k = rows.to_numpy()
        b, i = np.unique(box[k], return_inverse=True)
        t, j = np.unique(true[k], return_inverse=True)
        gain, at = np.zeros((len(b), len(t))), np.full((len(b), len(t)), -1)
        gain[i, j], at[i, j] = score[k], k
        taken = at[linear_sum_assignment(gain, maximize=True)]
        chosen[taken[taken >= 0]] = True
    return chosen


def matched_pids(matched: np.ndarray, truth: pd.DataFrame) -> np.ndarray:
    """(N,) person of each box from :func:`match`, -1 where the box matches nobody."""
    pid = np.append(truth.pid.to_numpy(np.int64), -1)  # position -1 is the appended one
    return pid[matched]


def tracklet_persons(tracklet_id: pd.Series, pid: np.ndarray) -> pd.Series:
    """The person of each tracklet by majority of its boxes.

    Args:
        tracklet_id: (N,) tracklet of each box.
        pid: (N,) person of each box, -1 for nobody.

    Returns:
        tracklet_id → pid, sorted by id. -1 where more than half of the boxes match nobody; the smaller pid of equals.
    """
    votes = pd.DataFrame({"tracklet_id": tracklet_id.to_numpy(), "pid": pid})
    boxes = votes.groupby("tracklet_id", sort=True).size()
    counts = votes[votes.pid >= 0].groupby(["tracklet_id", "pid"]).size().rename("n").reset_index()
    matched = counts.groupby("tracklet_id").n.sum().reindex(boxes.index, fill_value=0)
    best = counts.sort_values(["n", "pid"], ascending=[False, True]).drop_duplicates("tracklet_id")
    person = best.set_index("tracklet_id").pid.reindex(boxes.index, fill_value=-1)
    return person.where(2 * matched >= boxes, -1).astype("int64").rename("pid")


def persons_of(boxes: pd.DataFrame, truth: pd.DataFrame, min_iou: float = MIN_IOU) -> pd.Series:
    """The person of each tracklet, as :func:`tracklet_persons`, from its boxes against the true ones.

    Args:
        boxes: columns tracklet_id, video_id, frame, x1, y1, x2, y2; truth: video_id, frame, x1, y1, x2, y2, pid.
    """
    return tracklet_persons(boxes.tracklet_id, matched_pids(match(boxes, truth, min_iou), truth))
