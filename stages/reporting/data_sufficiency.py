"""Is this enough footage? One sentence, from the people that were found and the cameras that share them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from stages.reporting.people import NOBODY

# People seen by two or more cameras in training: the two sites of known truth on which training gained 13 to 24 points of
# rank-1 have 46 and 50. A rule of thumb, and no more.
ENOUGH, FEW = 40, 20
_FEW_SHARED = 5


def enough(table: pd.DataFrame, cameras: Sequence[str]) -> str:
    """The sentence; ``table`` from `people.gather`, the part that training read; ``cameras``: all that recorded."""
    if len(cameras) < 2:
        return "With one camera there is nothing to learn across cameras: add recordings of a second one."
    seen = table[table.identity != NOBODY][["camera_id", "identity"]].drop_duplicates()
    n = int((seen.groupby("identity").camera_id.nunique() > 1).sum())
    who = f"{n} {'person was' if n == 1 else 'people were'} found in two or more cameras before the cut"
    if n < FEW:
        return f"{who}: too few to learn from. Recordings of busier hours, or several times as long, should help most.{_lonely(seen, cameras)}"
    verdict = (
        "enough to learn from" if n >= ENOUGH else "little to learn from; twice the footage would be better"
    )
    return f"{who}: {verdict}.{_lonely(seen, cameras)}"


def _lonely(seen: pd.DataFrame, cameras: Sequence[str]) -> str:
    """Cameras that share hardly anybody with the others."""
    shared = seen[seen.groupby("identity").camera_id.transform("nunique") > 1].groupby("camera_id").size()
    few = [c for c in cameras if shared.get(c, 0) < _FEW_SHARED]
    if not few or len(few) == len(cameras):
        return ""
    named = ", ".join(few[:3]) + (f" and {len(few) - 3} more" if len(few) > 3 else "")
    return f" {named} share{'s' * (len(few) == 1)} fewer than {_FEW_SHARED} people with the others, and gain{'s' * (len(few) == 1)} least."
