"""How well persons were detected and followed.

IDF1: Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", ECCVW 2016.
r_FM and r_SW: Teng et al., TMC, 2022: fragmentation and identity switches of tracklets.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from stages.evaluation.matching import overlaps, tracklet_persons


def ratio(part: float, whole: float) -> float | None:
    """part / whole, None where nothing was to be counted."""
    return float(part / whole) if whole else None


def detection_scores(matched: np.ndarray, n_truth: int) -> dict[str, float | None]:
    """Precision and recall of boxes, from `matching.match`."""
    hits = int((matched >= 0).sum())
    return {"precision": ratio(hits, len(matched)), "recall": ratio(hits, n_truth)}


def visit_ids(truth: pd.DataFrame, gap_s: float = 60.0) -> np.ndarray:
    """(N,) number of the visit each true box belongs to: a person in a camera, until unseen there for ``gap_s``.

    The trajectory a tracker is asked for. Whoever comes back after lunch is for re-identification to recognise.
    """
    order = truth[["camera_id", "pid", "t_utc_us"]].assign(row=np.arange(len(truth)))
    order = order.sort_values(["camera_id", "pid", "t_utc_us"], kind="stable")
    same = (order.camera_id == order.camera_id.shift()) & (order.pid == order.pid.shift())
    first = ~same | (order.t_utc_us.diff() > gap_s * 1e6)
    visit = np.empty(len(truth), np.int64)
    visit[order.row.to_numpy()] = first.cumsum().to_numpy() - 1
    return visit


def identity_true_positives(truth_id: np.ndarray, own_id: np.ndarray) -> int:
    """IDTP of the cheapest one-to-one assignment of true to own trajectories (Ristani et al., §3.2).

    With one node per false positive and false negative, IDFP + IDFN = boxes - 2 IDTP, so the minimum cost is the
    assignment of the most shared frames.

    Args:
        truth_id, own_id: (K,) identities of each pair of boxes that overlap in a frame; a pair of identities at most
            once per frame.
    """
    if not len(truth_id):
        return 0
    rows, i = np.unique(truth_id, return_inverse=True)
    cols, j = np.unique(own_id, return_inverse=True)
    frames = np.zeros((len(rows), len(cols)), np.int64)
    np.add.at(frames, (i, j), 1)
    return int(frames[linear_sum_assignment(frames, maximize=True)].sum())


def idf1(
    boxes: pd.DataFrame, truth: pd.DataFrame, own_id: np.ndarray, pairs: pd.DataFrame | None = None
) -> float | None:
    """2 IDTP / (true boxes + own boxes), identities assigned once over all videos given.

    Args:
        boxes, truth: columns video_id, frame, x1, y1, x2, y2; truth also pid.
        own_id: (len(boxes),) identity of each box.
        pairs: `matching.overlaps` of the two, where the caller has it.
    """
    pairs = overlaps(boxes, truth) if pairs is None else pairs
    shared = _shared_frames(boxes, truth, own_id, pairs)
    idtp = identity_true_positives(shared.pid.to_numpy(), shared.own.to_numpy())
    return ratio(2 * idtp, len(boxes) + len(truth))


def per_camera_idf1(boxes: pd.DataFrame, truth: pd.DataFrame) -> float | None:
    """IDF1 of tracklets, each camera on its own, the counts pooled.

    Args:
        boxes: columns tracklet_id, camera_id, video_id, frame, x1, y1, x2, y2; truth: pid in place of tracklet_id,
            usually that of a visit.
    """
    own = boxes.groupby("tracklet_id", sort=True).ngroup().to_numpy()
    shared = _shared_frames(boxes, truth, own, overlaps(boxes, truth))
    idtp = sum(
        identity_true_positives(part.pid.to_numpy(), part.own.to_numpy())
        for _, part in shared.groupby(truth.camera_id.to_numpy()[shared.truth])
    )
    return ratio(2 * idtp, len(boxes) + len(truth))


def _shared_frames(
    boxes: pd.DataFrame, truth: pd.DataFrame, own_id: np.ndarray, pairs: pd.DataFrame
) -> pd.DataFrame:
    """truth (position), pid, own: one row per true box and overlapping own identity.

    Two boxes of one identity on the same person in one frame (a duplicate) share that frame once.
    """
    shared = pd.DataFrame({"truth": pairs.truth, "own": own_id[pairs.box]}).drop_duplicates()
    return shared.assign(pid=truth.pid.to_numpy()[shared.truth])


def followed(boxes: pd.DataFrame, visit: np.ndarray) -> dict[str, float | int | None]:
    """Purity, switches, r_FM, r_SW.

    purity: fraction of matched boxes that show the person of their tracklet (so long tracklets count more).
    switches: how often a tracklet passes from one person to another, over its matched boxes in time order.
    r_fm: mean number of tracklets per visit (TMC: per person and camera) that has any.
    r_sw: mean number of persons per tracklet that has any; a person counts from a tenth of its matched boxes on, since
        two persons who pass each other exchange single boxes in the matching without any error of the tracker.

    Args:
        boxes: columns tracklet_id, camera_id, t_utc_us.
        visit: (len(boxes),) matched visit, of `visit_ids`, -1 for nobody.
    """
    person = tracklet_persons(boxes.tracklet_id, visit)
    seen = boxes[["tracklet_id", "camera_id", "t_utc_us"]].assign(visit=visit)
    seen = seen[seen.visit >= 0].sort_values(["tracklet_id", "t_utc_us"], kind="stable")
    counts = seen.groupby(["tracklet_id", "visit"]).size()
    share = counts / counts.groupby("tracklet_id").transform("sum")
    kept = seen[share.reindex(pd.MultiIndex.from_frame(seen[["tracklet_id", "visit"]])).to_numpy() >= 0.1]
    switches = (kept.tracklet_id == kept.tracklet_id.shift()) & (kept.visit != kept.visit.shift())
    named = seen.drop_duplicates("tracklet_id").assign(person=lambda t: t.tracklet_id.map(person))
    named = named[named.person >= 0]
    return {
        "purity": ratio(float(counts.groupby("tracklet_id").max().sum()), len(seen)),
        "switches": int(switches.sum()),
        "r_fm": ratio(len(named), len(named.drop_duplicates(["person", "camera_id"]))),
        "r_sw": ratio(int((share >= 0.1).sum()), seen.tracklet_id.nunique()),
    }
