"""Two-stage tracking by detection: ByteTrack (Zhang et al. 2022) in seconds instead of frames.

    predict → match the strong boxes → match the weak boxes → confirm → begin → end

Differences from the paper: the filter knows the time between frames; overlap is measured between boxes grown by the
filter's own uncertainty (as C-BIoU, Yang et al. 2023, with a growth that is not constant), so that few frames per
second and short occlusions need no settings of their own; and a track whose match is ambiguous ends, because a
tracklet of two persons harms re-identification more than two tracklets of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stages.tracking import kalman
from stages.tracking.assignment import assign
from stages.tracking.boxes import centre_size, corners, grown_iou_matrix

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TrackerSettings:
    """Times in seconds, overlaps and scores 0..1."""

    high_score: float = 0.5
    new_score: float = 0.5
    min_iou: float = 0.35
    min_iou_weak: float = 0.5
    grow: float = 1.0
    max_grow: float = 0.3
    min_height_ratio: float = 0.6
    ambiguity: float = 0.03  # 0: an unclear match is a match
    max_gap_s: float = 1.5
    weak_gap_s: float = 0.5
    confirm_s: float = 0.2
    tentative_gap_s: float = 0.3
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

    def update(self, t_s: float, boxes: Array, scores: Array) -> Ints:
        """One frame.

        Args:
            t_s: its time in s, later than that of the frame before.
            boxes: (n, 4) x1, y1, x2, y2 in px.
            scores: (n,) 0..1.

        Returns:
            (n,) the id of each box's track, -1 where it belongs to none. Ids of tracks that never get into
            ``ever_confirmed`` are to be dropped in the end.
        """
        s = self.settings
        self._predict(t_s)
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        scores = np.asarray(scores, np.float64)
        track_of = np.full(len(boxes), -1, np.int64)  # positions among the tracks

        strong = np.flatnonzero(scores >= s.high_score)
        overlap, allowed = self._overlap(boxes, s.min_iou)
        everyone = np.arange(len(self.ids))
        ambiguous = self._match(track_of, everyone, strong, overlap, allowed, scores)

        weak = np.flatnonzero(scores < s.high_score)
        lately = t_s - self.last_seen_s <= s.weak_gap_s
        left = np.setdiff1d(np.flatnonzero(lately & self.confirmed), track_of[track_of >= 0])
        left = np.setdiff1d(left, ambiguous)
        self._match(track_of, left, weak, overlap, allowed & (overlap >= s.min_iou_weak), scores)

        self._seen(t_s, track_of, boxes)
        ids = np.where(track_of >= 0, self.ids[track_of] if len(self.ids) else -1, -1)
        self._end(t_s, ambiguous)
        fresh = np.flatnonzero((track_of < 0) & (scores >= s.new_score))
        ids[fresh] = self._begin(t_s, boxes[fresh])
        return ids

    def _predict(self, t_s: float) -> None:
        if self.now_s is not None:
            if t_s <= self.now_s:
                raise ValueError(f"frames must come in order of time: {t_s} s after {self.now_s} s")
            self._end(t_s, np.zeros(0, np.int64))  # before, so that hours without people cost nothing
            self.state = kalman.predict(self.state, t_s - self.now_s, self.settings.noise)
        self.now_s = t_s

    def _overlap(self, boxes: Array, min_iou: float) -> tuple[Array, Flags]:
        """(tracks, boxes) overlap of grown boxes, and where it and the heights allow a match."""
        s = self.settings
        expected = self.state.position
        size = expected[:, 2:].clip(min=1.0)
        # What the filter knows less about a place than one box tells: a young track at few frames a second, or a gap.
        unsure = np.sqrt(self.state.var_position[:, :2]) - size[:, 1:] * s.noise.measurement[:2]
        share = (s.grow * (unsure / size).max(axis=1, initial=0.0)).clip(0.0, s.max_grow)
        predicted = corners(np.concatenate([expected[:, :2], size], axis=1))
        overlap = grown_iou_matrix(predicted, boxes, share)
        height, other = size[:, 1][:, None], (boxes[:, 3] - boxes[:, 1])[None, :]
        ratio = np.minimum(height, other) / np.maximum(height, other)
        return overlap, (overlap >= min_iou) & (ratio >= s.min_height_ratio)

    def _match(
        self, track_of: Ints, tracks: Ints, columns: Ints, overlap: Array, allowed: Flags, scores: Array
    ) -> Ints:
        """Write the tracks of the boxes ``columns`` into ``track_of``; returns the tracks that were ambiguous."""
        grid = np.ix_(tracks, columns)
        rows, found = assign(overlap[grid] * scores[columns][None, :], allowed[grid])
        i, j = tracks[rows], columns[found]
        clear = self._clear(i, j, overlap, allowed)
        track_of[j[clear]] = i[clear]
        return i[~clear]

    def _clear(self, i: Ints, j: Ints, overlap: Array, allowed: Flags) -> Flags:
        """Whether track i fits box j better than every other confirmed track does, by ``ambiguity`` at least."""
        if self.settings.ambiguity == 0:
            return np.ones(len(i), bool)
        rivals = np.where(allowed & self.confirmed[:, None], overlap, 0.0)
        rivals[i, j] = 0.0
        return np.asarray(overlap[i, j] - rivals[:, j].max(axis=0, initial=0.0) >= self.settings.ambiguity)

    def _seen(self, t_s: float, track_of: Ints, boxes: Array) -> None:
        j = np.flatnonzero(track_of >= 0)
        i = track_of[j]
        self.state = kalman.update(self.state, i, centre_size(boxes[j]), self.settings.noise)
        self.last_seen_s[i] = t_s
        now = i[t_s - self.first_seen_s[i] >= self.settings.confirm_s - 1e-6]
        self.confirmed[now] = True
        self.ever_confirmed.update(self.ids[now].tolist())

    def _begin(self, t_s: float, boxes: Array) -> Ints:
        n = len(boxes)
        ids = np.arange(self.next_id, self.next_id + n)
        self.next_id += n
        self.state = self.state.join(kalman.start(centre_size(boxes), self.settings.noise))
        self.ids = np.concatenate([self.ids, ids])
        self.first_seen_s = np.concatenate([self.first_seen_s, np.full(n, t_s)])
        self.last_seen_s = np.concatenate([self.last_seen_s, np.full(n, t_s)])
        self.confirmed = np.concatenate([self.confirmed, np.zeros(n, bool)])
        return ids

    def _end(self, t_s: float, ambiguous: Ints) -> None:
        s = self.settings
        gap_s = t_s - self.last_seen_s
        stays = gap_s <= np.where(self.confirmed, s.max_gap_s, s.tentative_gap_s)
        stays[ambiguous] = False
        if not stays.all():
            self.state = self.state.keep(stays)
            self.ids, self.confirmed = self.ids[stays], self.confirmed[stays]
            self.first_seen_s, self.last_seen_s = self.first_seen_s[stays], self.last_seen_s[stays]
