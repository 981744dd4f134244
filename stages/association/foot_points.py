"""Feet of tracklets, from their boxes, for a site file that asks where people stood."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from camera_topology.feet import Feet
    from camera_topology.site import Site

# Two samples a second follow anybody who walks; the first and the last box are always kept.
_EVERY_US = 500_000


def feet_of(site: Site, tracklets: pd.DataFrame, boxes: pd.DataFrame) -> Feet | None:
    """Feet of TRACKLETS rows, from BOXES rows within their times; None where the site file does not ask."""
    import numpy as np
    import pandas as pd

    from camera_topology.feet import Feet

    if not site.needs_feet:
        return None
    row = pd.Series(range(len(tracklets)), index=tracklets.tracklet_id)
    boxes = boxes[boxes.tracklet_id.isin(row.index)].sort_values(["tracklet_id", "t_utc_us"])
    times = tracklets.set_index("tracklet_id")
    begin, end = (boxes.tracklet_id.map(times[c]) for c in ("t_start_us", "t_end_us"))
    boxes = boxes[boxes.t_utc_us.between(begin, end)]
    same = boxes.tracklet_id == boxes.tracklet_id.shift()
    kept = ~same | (boxes.t_utc_us // _EVERY_US).diff().ne(0) | ~same.shift(-1, fill_value=False)
    boxes = boxes[kept]
    corners = boxes[["x1", "y1", "x2", "y2"]].to_numpy(np.float64)
    owner = np.asarray(row[boxes.tracklet_id], np.int64)
    return Feet.of(owner, boxes.t_utc_us.to_numpy(np.int64), corners, len(tracklets))
