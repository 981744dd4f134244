"""The part of the footage that training may see: nothing after the evaluation cut, which is a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from camera_topology.site import without_file
from pipeline.manifests import CROPS, TRACKLETS, VIDEOS
from pipeline.stage import Context
from stages.methods import Footage

if TYPE_CHECKING:
    import pandas as pd

    from stages.reid.images import CropStore


def before(tracklets: pd.DataFrame, crops: pd.DataFrame, until_us: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Crops up to ``until_us``, and the tracklets they belong to, clipped to that time and sorted by id."""
    crops = crops[crops.t_utc_us <= until_us].sort_values(["tracklet_id", "t_utc_us"]).reset_index(drop=True)
    seen = tracklets.tracklet_id.isin(crops.tracklet_id)
    clipped = tracklets[seen].sort_values("tracklet_id").reset_index(drop=True)
    return clipped.assign(t_end_us=clipped.t_end_us.clip(upper=until_us)), crops


def clock_std_s(videos: pd.DataFrame) -> dict[str, float]:
    """camera → uncertainty of its clock, s: that of its worst file."""
    return {str(c): float(v) for c, v in videos.groupby("camera_id").time_std_s.max().items()}


def training_footage(ctx: Context) -> Footage:
    """The training part of the stage's tracklets and crops. Needs the source 'cut'."""
    train_until_us, _ = ctx.source("cut")
    tracklets, crops = before(ctx.read(TRACKLETS), ctx.read(CROPS), train_until_us)
    # A stage that did not declare the site must not depend on it: it gets one that says nothing.
    site = ctx.sources.get("site") or without_file([])
    return Footage(tracklets, crops, site, clock_std_s(ctx.read(VIDEOS)))


def training_images(ctx: Context, footage: Footage, network: object) -> CropStore:
    """The training crops, decoded once."""
    from stages.reid.images import CropStore

    return CropStore(footage.crops, ctx.run_dir, size=network.image_size)  # type: ignore[attr-defined]
