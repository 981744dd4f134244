"""Which frames of a video somebody labelled. A frame that nobody labelled is unknown, not empty."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.manifests import LABELLED_FRAMES

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

_ENOUGH = 3  # labelled frames from which their spacing says something


def stand_apart(places: np.ndarray) -> bool | None:
    """Whether of all labelled frames no two are neighbours, as on every fifth frame or on frames picked by hand.

    Whoever labels every frame labels a person who walks by in many neighbouring ones.

    Args:
        places: (N,) rising numbers of the frames that have a label.

    Returns:
        None where they are too few to tell.
    """
    import numpy as np

    if (np.diff(places) == 1).any():
        return False
    return True if len(places) >= _ENOUGH else None


def fraction_alone(places: np.ndarray) -> float:
    """The fraction of labelled frames without a labelled neighbour."""
    import numpy as np

    near = np.diff(places) == 1
    return float(1 - (np.append(near, False) | np.insert(near, 0, False)).mean()) if len(places) > 1 else 0.0


def step(frames: np.ndarray) -> int:
    """The largest step that all of the frames keep, 1 for none."""
    import numpy as np

    return max(1, int(np.gcd.reduce(np.diff(frames)))) if len(frames) > 1 else 1


def as_table(labelled: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """LABELLED_FRAMES from video_id → frames."""
    import pandas as pd

    parts = [
        pd.DataFrame({"video_id": video, "frame": frames.astype("int32")})
        for video, frames in sorted(labelled.items())
    ]
    return pd.concat([LABELLED_FRAMES.empty(), *parts], ignore_index=True)


def that_count(rows: pd.DataFrame, labelled: pd.DataFrame) -> pd.Series:
    """(N,) whether a row lies in a frame that counts.

    Args:
        rows: columns video_id, frame.
        labelled: LABELLED_FRAMES.
    """
    import pandas as pd

    within = rows.video_id.isin(labelled.video_id.unique())
    if not within.any():
        return ~within
    frames = pd.MultiIndex.from_frame(labelled[["video_id", "frame"]])
    there = pd.MultiIndex.from_frame(rows.loc[within, ["video_id", "frame"]]).isin(frames)
    counts = ~within
    counts[within] = there
    return counts
