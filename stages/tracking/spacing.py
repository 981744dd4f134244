"""How far apart in time a camera's frames lie, where they were looked at.

Only frames with boxes are known to the tracker. A frame without a box is told from a frame that nobody looked at by the
frames' numbers: in a video whose boxes lie in frames 0, 12, 25, 37 … every twelfth frame was looked at, and at one whose
boxes lie in frames 3, 40, 41 and 200 all were.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

AROUND = 5  # frames on each side that tell the rate at a frame
LONGEST_S = 2.0  # s; frames further apart than this are a pause and no rate at which anybody is followed
NORMAL_S = 0.15  # s; up to here the tracker's own times fit
FEW_S = 0.3  # s; from here on people may have left their box from one frame to the next


def steps(t_s: Array, video: Ints, frame: Ints) -> Array:
    """(n,) s from the frame looked at before each frame to it; the first has that of the second.

    Args:
        t_s: (n,) ascending times of the frames with boxes, s.
        video: (n,) number of the video each lies in.
        frame: (n,) its number there.
    """
    if len(t_s) < 2:
        return np.zeros(len(t_s))
    passed, apart, same = np.diff(t_s), np.diff(frame), np.diff(video) == 0
    step = passed.copy()
    typical: dict[int, float] = {}
    for one in np.unique(video):
        inside = np.flatnonzero(same & (video[1:] == one))
        if len(inside):
            looked = np.maximum(np.round(apart[inside] / _stride(apart[inside])), 1)
            step[inside] = passed[inside] / looked
            typical[int(one)] = float(np.median(step[inside]))
    for i in np.flatnonzero(~same):  # from one file to the next: whether frames lie between nobody knows
        step[i] = min(passed[i], typical.get(int(video[i + 1]), typical.get(int(video[i]), passed[i])))
    return np.concatenate([step[:1], step])


def _stride(apart: Ints) -> int:
    """Every how many frames of a video were looked at, from how far apart its frames with boxes lie."""
    least = int(apart.min())
    near = int(np.count_nonzero(apart <= least + 1))
    # Rare boxes in a video of which every frame was looked at lie at no such rhythm.
    return max(least, 1) if near >= 2 and near >= 0.3 * len(apart) else 1


def local_steps(step: Array) -> Array:
    """(n,) s; the typical step about each frame: the longer of those of the `AROUND` frames before and after it.

    The longer, so that a person is carried over from fast frames to slow ones; a median, so that a single pause, such as
    a camera makes that records on motion only, changes nothing. Never longer than `LONGEST_S`.
    """
    n = len(step)
    if not n:
        return step
    padded = np.concatenate([np.full(AROUND - 1, np.nan), step, np.full(AROUND - 1, np.nan)])
    median = np.nanmedian(np.lib.stride_tricks.sliding_window_view(padded, AROUND), axis=1)
    return np.asarray(np.minimum(np.maximum(median[:n], median[AROUND - 1 :]), LONGEST_S))
