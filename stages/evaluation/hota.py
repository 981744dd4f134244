"""HOTA and MOTA: how well boxes are found and kept apart over time.

HOTA: Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021. MOTA: Bernardin and
Stiefelhagen, "The CLEAR MOT Metrics", 2008. Both as TrackEval computes them, which the tests hold them against; written
over tables of overlapping pairs, so that hours of footage take seconds and whole camera networks are one sequence.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from stages.evaluation.matching import MIN_IOU, assign, overlaps
from stages.evaluation.tracking import ratio

ALPHAS = np.arange(0.05, 0.99, 0.05)
_EPS = np.finfo(float).eps
_ANY = 1e-12  # every overlap counts towards how well two trajectories agree

Ints = npt.NDArray[np.integer]


def hota(boxes: pd.DataFrame, truth: pd.DataFrame, own_id: Ints, truth_id: Ints) -> dict[str, float | None]:
    """hota, det_a, ass_a, means over the IoU thresholds 0.05, 0.10 … 0.95; None without a true and an own box.

    Args:
        boxes, truth: columns video_id, frame, x1, y1, x2, y2; frames of all videos count alike.
        own_id: (len(boxes),) trajectory of each box; truth_id: (len(truth),).
    """
    if boxes.empty and truth.empty:
        return dict.fromkeys(("hota", "det_a", "ass_a"))
    pairs = overlaps(boxes, truth, _ANY)
    box, true, iou = pairs.box.to_numpy(), pairs.truth.to_numpy(), pairs.iou.to_numpy()
    _, own = np.unique(own_id, return_inverse=True)
    _, person = np.unique(truth_id, return_inverse=True)
    shape = (int(person.max(initial=-1)) + 1, int(own.max(initial=-1)) + 1)
    person_frames, own_frames = np.bincount(person, minlength=shape[0]), np.bincount(own, minlength=shape[1])
    i, j = person[true], own[box]

    # How well two trajectories agree over the whole time decides, with the overlap, who is matched in a frame.
    around = np.bincount(true, iou, len(truth))[true] + np.bincount(box, iou, len(boxes))[box] - iou
    agree = sparse.coo_matrix((iou / around, (i, j)), shape).tocsr()
    agreement = np.asarray(agree[i, j]).ravel()
    score = iou * agreement / (person_frames[i] + own_frames[j] - agreement)
    matched = assign(box, true, frames(truth)[true], score)
    i, j, iou = i[matched], j[matched], iou[matched]

    det_a, ass_a = np.zeros(len(ALPHAS)), np.zeros(len(ALPHAS))
    for k, alpha in enumerate(ALPHAS):
        good = iou >= alpha - _EPS
        hits = int(good.sum())
        shared = sparse.coo_matrix((np.ones(hits), (i[good], j[good])), shape)
        shared.sum_duplicates()
        both = person_frames[shared.row] + own_frames[shared.col] - shared.data
        det_a[k] = hits / max(len(truth) + len(boxes) - hits, 1)
        ass_a[k] = (shared.data * shared.data / np.maximum(both, 1)).sum() / max(hits, 1)
    return {
        "hota": float(np.sqrt(det_a * ass_a).mean()),
        "det_a": float(det_a.mean()),
        "ass_a": float(ass_a.mean()),
    }


def mota(boxes: pd.DataFrame, truth: pd.DataFrame, own_id: Ints, truth_id: Ints) -> float | None:
    """1 - (missed + false + switched) / true boxes, at IoU 0.5; None without a true box. Below 0 where more is wrong.

    Args:
        boxes, truth: columns as in :func:`hota`; truth also camera_id and t_utc_us: cameras are counted one after another.
    """
    if truth.empty:
        return None
    pairs = overlaps(boxes, truth, MIN_IOU - _EPS)
    _, own = np.unique(own_id, return_inverse=True)
    _, person = np.unique(truth_id, return_inverse=True)
    last = np.full(int(person.max()) + 1, -1)  # who followed each person when it was last matched
    just = np.full(len(last), -1)  # the same, in the frame before alone
    hits = switches = 0
    met = truth[["video_id", "frame", "camera_id", "t_utc_us"]].drop_duplicates(["video_id", "frame"])
    met = met.merge(boxes[["video_id", "frame"]].drop_duplicates())
    met = met.sort_values(["camera_id", "t_utc_us"], kind="stable")
    rows = {frame: part for frame, part in zip(*_by_frame(pairs, truth), strict=True)}
    for frame in zip(met.video_id, met.frame, strict=True):
        part = rows.get(frame)
        now = np.full(len(last), -1)
        if part is not None:
            box, true = pairs.box.to_numpy()[part], pairs.truth.to_numpy()[part]
            i, j = person[true], own[box]
            score = pairs.iou.to_numpy()[part] + 1000 * (just[i] == j)
            chosen = assign(box, true, np.zeros(len(part), np.int64), score)
            i, j = i[chosen], j[chosen]
            switches += int(((last[i] >= 0) & (last[i] != j)).sum())
            hits += len(i)
            last[i] = now[i] = j
        just = now
    return ratio(hits - (len(boxes) - hits) - switches, len(truth))


def frames(table: pd.DataFrame) -> npt.NDArray[np.int64]:
    """(N,) a number for each row's video and frame."""
    return np.asarray(table.groupby(["video_id", "frame"], sort=False).ngroup().to_numpy(), np.int64)


def _by_frame(
    pairs: pd.DataFrame, truth: pd.DataFrame
) -> tuple[list[tuple[str, int]], list[npt.NDArray[np.int64]]]:
    """Each (video, frame) with a pair, and the positions of its pairs."""
    number = frames(truth)[pairs.truth.to_numpy()]
    order = np.argsort(number, kind="stable")
    cuts = np.flatnonzero(np.diff(number[order])) + 1
    parts = np.split(order, cuts) if len(order) else []
    first = truth.iloc[pairs.truth.to_numpy()[[part[0] for part in parts]]] if parts else truth.iloc[:0]
    return list(zip(first.video_id, first.frame, strict=True)), parts
