"""The start that needs no match across cameras: learn to tell apart the tracklets of one camera (TASTR, IV-B)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pipeline.manifests import PSEUDO_LABELS

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from stages.methods import Footage
    from stages.training.samplers import Batch


def within_camera_labels(tracklets: pd.DataFrame) -> pd.DataFrame:
    """PSEUDO_LABELS: each tracklet is its own label, comparable inside its camera only."""
    return PSEUDO_LABELS.empty()[[]].assign(
        tracklet_id=tracklets.tracklet_id,
        group=tracklets.camera_id,
        pseudo_label=tracklets.groupby("camera_id").cumcount(),
        weight=1.0,
    )


def within_camera_epoch(
    footage: Footage,
    random: np.random.Generator,
    *,
    tracklets: int,
    images: int,
    gap_s: float | None,
    images_per_tracklet: int,
) -> Iterator[Batch]:
    """One epoch of TSCCC: ``tracklets`` x ``images`` of one camera, pairwise at once or ``gap_s`` apart in time."""
    from stages.training.samplers import single_camera_batches

    table = footage.tracklets
    return single_camera_batches(
        crop_rows(footage),
        table.camera_id.to_numpy(),
        table.t_start_us.to_numpy() / 1e6,
        table.t_end_us.to_numpy() / 1e6,
        tracklets_per_batch=tracklets,
        crops_per_tracklet=images,
        min_gap_s=usual_dwell_s(table) if gap_s is None else gap_s,
        max_crops_per_tracklet=images_per_tracklet,
        rng=random,
    )


def crop_rows(footage: Footage) -> np.ndarray:
    """(N,) row of each crop's tracklet."""
    import pandas as pd

    row = pd.Series(range(len(footage.tracklets)), index=footage.tracklets.tracklet_id)
    return row[footage.crops.tracklet_id].to_numpy()


def usual_dwell_s(tracklets: pd.DataFrame) -> float:
    """T of IV-B, the longest usual stay in one view: the 95th percentile of the tracklets' durations, s."""
    return float((tracklets.t_end_us - tracklets.t_start_us).quantile(0.95) / 1e6) if len(tracklets) else 0.0
