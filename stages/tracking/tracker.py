"""Two-stage tracking by detection: ByteTrack (Zhang et al. 2022) in seconds instead of frames.

    predict → match the strong boxes → match the weak boxes → confirm → begin → end

Differences from the paper: the filter knows the time between frames; overlap is measured between boxes grown by the
filter's own uncertainty (as C-BIoU, Yang et al. 2023, with a growth that is not constant), so that few frames per
second and short occlusions need no settings of their own; and every match carries how well the track fits the box, and how
much better than any other track does, so that isolation knows where a track may have changed persons.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stages.tracking import kalman
from stages.tracking.assignment import assign
from stages.tracking.boxes import area, centre_size, grown_iou_matrix
from stages.tracking.keypoints import moved, oks_matrix

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TrackerSettings:
    """Times in seconds, overlaps and scores 0..1."""

    track_high_threshold: float = 0.5
    new_track_threshold: float = 0.5
    min_iou: float = 0.15
    min_iou_low: float = 0.5
    grow: float = 1.0
    max_grow: float = 0.3
    min_height_ratio: float = 0.5
    max_gap_s: float = 1.0
    weak_gap_s: float = 0.5
    min_duration_s: float = 0.2
    tentative_gap_s: float = 0.3
    far_from_s: float = 0.3  # s unseen, from which a track may be found beside where it is expected
    far_pace: float = 1.2  # heights per s that a person may be off, at few frames per second
    far_max: float = 1.6  # heights, however long unseen
    keypoint_weight: float = 0.5  # of the poses' likeness against the boxes' overlap, where both have a pose
    noise: kalman.Noise = field(default_factory=kalman.Noise)


class Tracker:
    """Tracks of one camera. Feed it the frames in order of time; ids count from 0 and say nothing by themselves."""

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self.now_s: float | None = None
        self.next_id = 0
        self.state = kalman.start(np.zeros((0, 4)), self.settings.noise)
        self.ids: Ints = np.zeros(0, np.int64)
        self.first_seen_s: Array = np.zeros(0)
        self.last_seen_s: Array = np.zeros(0)
        self.confirmed: Flags = np.zeros(0, bool)
        self.ever_confirmed: set[int] = set()
        self.poses: Array = np.zeros((0, 0, 3))  # (tracks, K, 3), of when each was last seen
        self.posed_at: Array = np.zeros((0, 4))  # cx, cy, width, height of the boxes then

    def update(
        self, t_s: float, boxes: Array, scores: Array, poses: Array | None = None, reach_s: float = 0.0
    ) -> tuple[Ints, Array, Array]:
        """One frame.

        Args:
            t_s: its time in s, later than that of the frame before.
            boxes: (n, 4) x1, y1, x2, y2 in px.
            scores: (n,) 0..1.
            poses: (n, K, 3) x, y in px and score of keypoints, always or never.
            reach_s: s; no track ends that was seen within them, whatever the settings' gaps say. For frames so far
                apart that the gaps hold one or none of them; 0 at the usual rates.

        Returns:
            (n,) the id of each box's track, -1 where it belongs to none: ids of tracks that never get into
            ``ever_confirmed`` are to be dropped in the end. How sure each match is: (n,) its overlap, 0..1, and (n,) its
            margin, -1..1, the overlap less that of the best other track. Both are 1 where the track begins, and the
            margin where no other was near.
        """
        s = self.settings
        self._predict(t_s, reach_s)
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        scores = np.asarray(scores, np.float64)
        track_of = np.full(len(boxes), -1, np.int64)  # positions among the tracks

        strong = np.flatnonzero(scores >= s.track_high_threshold)
        overlap, allowed = self._overlap(boxes, poses)
        self._match(track_of, np.arange(len(self.ids)), strong, overlap, allowed, scores)
        if reach_s > s.far_from_s and len(self.ids) and len(strong):
            self._match_far(t_s, track_of, strong, boxes, overlap, allowed, scores)
        if len(strong) < len(boxes):
            left = (t_s - self.last_seen_s <= max(s.weak_gap_s, reach_s)) & self.confirmed
            left[track_of[track_of >= 0]] = False
            weak = np.flatnonzero(scores < s.track_high_threshold)
            certain = allowed & (overlap >= s.min_iou_low)
            self._match(track_of, np.flatnonzero(left), weak, overlap, certain, scores)

        matched = np.flatnonzero(track_of >= 0)
        tracks = track_of[matched]
        fit, margin = self._certainty(tracks, matched, overlap, allowed)
        self._seen(t_s, tracks, boxes[matched], None if poses is None else poses[matched])
        ids = np.full(len(boxes), -1)
        ids[matched] = self.ids[tracks]
        fresh = np.flatnonzero((track_of < 0) & (scores >= s.new_track_threshold))
        if len(fresh):
            ids[fresh] = self._begin(t_s, boxes[fresh], None if poses is None else poses[fresh])
        return ids, fit, margin

    def _predict(self, t_s: float, reach_s: float) -> None:
        if self.now_s is not None:
            if t_s <= self.now_s:
                raise ValueError(f"frames must come in order of time: {t_s} s after {self.now_s} s")
            self._end(t_s, reach_s)  # before, so that hours without people cost nothing
            self.state = kalman.predict(self.state, t_s - self.now_s, self.settings.noise)
        self.now_s = t_s

    def _overlap(self, boxes: Array, poses: Array | None) -> tuple[Array, Flags]:
        """(tracks, boxes) overlap of grown boxes and poses, and where it and the heights allow a match."""
        s = self.settings
        expected = self.state.position
        size = np.maximum(expected[:, 2:], 1.0)
        # What the filter knows less about a place than one box tells: a young track at few frames a second, or a gap.
        unsure = np.sqrt(self.state.var_position[:, :2]) - size[:, 1:] * s.noise.measurement_of_place
        share = np.minimum(s.grow * (unsure / size).max(axis=1, initial=0.0), s.max_grow)
        overlap = grown_iou_matrix(expected[:, :2], size, boxes, share)
        if poses is not None and len(self.poses) and len(poses):
            expected_poses = moved(self.poses, self.posed_at, expected)
            likeness = oks_matrix(expected_poses, poses, area(boxes))
            mixed = (1 - s.keypoint_weight) * overlap + s.keypoint_weight * likeness
            overlap = np.where(np.isnan(likeness), overlap, mixed)
        height, other = size[:, 1:], boxes[:, 3] - boxes[:, 1]
        allowed = overlap >= s.min_iou
        allowed &= height >= s.min_height_ratio * other
        allowed &= s.min_height_ratio * height <= other
        return overlap, allowed

    def _match(
        self, track_of: Ints, tracks: Ints, columns: Ints, overlap: Array, allowed: Flags, scores: Array
    ) -> None:
        """Write the tracks of the boxes ``columns`` into ``track_of``."""
        if (len(tracks), len(columns)) != overlap.shape:
            grid = np.ix_(tracks, columns)
            overlap, allowed = overlap[grid], allowed[grid]
        rows, found = assign(overlap * scores[columns], allowed)
        track_of[columns[found]] = tracks[rows]

    def _match_far(
        self,
        t_s: float,
        track_of: Ints,
        strong: Ints,
        boxes: Array,
        overlap: Array,
        allowed: Flags,
        scores: Array,
    ) -> None:
        """A second chance at few frames per second, by the distance of centres: boxes of walkers do not overlap there.

        The gate grows with the time unseen. ``overlap`` and ``allowed`` are written where such a pair may be: a likeness
        that falls from one half to 0 at the gate, so that the certainty of the match knows its rivals.
        """
        s = self.settings
        rows = np.setdiff1d(np.arange(len(self.ids)), track_of)
        rows = rows[t_s - self.last_seen_s[rows] > s.far_from_s]
        columns = strong[track_of[strong] < 0]
        if not len(rows) or not len(columns):
            return
        expected, found = self.state.position[rows], centre_size(boxes[columns])
        height, other = np.maximum(expected[:, 3:], 1.0), found[:, 3]
        off = np.linalg.norm(expected[:, None, :2] - found[None, :, :2], axis=2) / np.maximum(height, other)
        gate = np.minimum(s.far_pace * (t_s - self.last_seen_s[rows]), s.far_max)[:, None]
        near = 0.5 * (1.0 - off / gate)
        good = (near > 0) & (height >= s.min_height_ratio * other) & (s.min_height_ratio * height <= other)
        grid = np.ix_(rows, columns)
        overlap[grid] = np.where(good, np.maximum(overlap[grid], near), overlap[grid])
        allowed[grid] |= good
        self._match(track_of, rows, columns, overlap, allowed, scores)

    def _certainty(self, i: Ints, j: Ints, overlap: Array, allowed: Flags) -> tuple[Array, Array]:
        """(n,) overlap of each box with its track, and (n,) what it is better than every other confirmed track's.

        i, j: tracks and their boxes.
        """
        fit, margin = np.ones((2, overlap.shape[1]))
        rivals = overlap * (allowed & self.confirmed[:, None])
        rivals[i, j] = 0.0
        best = rivals.max(axis=0, initial=0.0)[j]
        fit[j] = own = overlap[i, j]
        margin[j] = np.where(best > 0, own - best, 1.0)
        return fit, margin

    def _seen(self, t_s: float, i: Ints, boxes: Array, poses: Array | None) -> None:
        """Tracks ``i`` (k,) were seen as ``boxes`` (k, 4), in ``poses`` (k, K, 3)."""
        measured = centre_size(boxes)
        self.state = kalman.update(self.state, i, measured, self.settings.noise)
        self.last_seen_s[i] = t_s
        if poses is not None and len(i):
            self.poses[i], self.posed_at[i] = poses, measured
        old = i[~self.confirmed[i]]
        now = old[t_s - self.first_seen_s[old] >= self.settings.min_duration_s - 1e-6]
        if len(now):
            self.confirmed[now] = True
            self.ever_confirmed.update(self.ids[now].tolist())

    def _begin(self, t_s: float, boxes: Array, poses: Array | None) -> Ints:
        n = len(boxes)
        ids = np.arange(self.next_id, self.next_id + n)
        self.next_id += n
        self.state = self.state.join(kalman.start(centre_size(boxes), self.settings.noise))
        self.ids = np.concatenate([self.ids, ids])
        if poses is not None:
            self.poses = np.concatenate([self.poses, poses]) if len(self.poses) else poses.copy()
            self.posed_at = np.concatenate([self.posed_at, centre_size(boxes)])
        self.first_seen_s = np.concatenate([self.first_seen_s, np.full(n, t_s)])
        self.last_seen_s = np.concatenate([self.last_seen_s, np.full(n, t_s)])
        self.confirmed = np.concatenate([self.confirmed, np.zeros(n, bool)])
        return ids

    def _end(self, t_s: float, reach_s: float) -> None:
        s = self.settings
        gap_s = t_s - self.last_seen_s
        stays = gap_s <= np.maximum(np.where(self.confirmed, s.max_gap_s, s.tentative_gap_s), reach_s)
        if not stays.all():
            self.state = self.state.keep(stays)
            if len(self.poses):
                self.poses, self.posed_at = self.poses[stays], self.posed_at[stays]
            self.ids, self.confirmed = self.ids[stays], self.confirmed[stays]
            self.first_seen_s, self.last_seen_s = self.first_seen_s[stays], self.last_seen_s[stays]
