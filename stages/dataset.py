"""A published benchmark in place of footage: its training part as tracklets and crops, its test part as a protocol.

Pictures stay where they are: a crop is a whole file, so nothing is copied. Clocks of two cameras compare where the
benchmark says so; where it gives no times at all, no two tracklets were ever seen at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pipeline.manifests import BOXES, CROPS, PROTOCOL, PROTOCOL_CROPS, TRACKLETS, VIDEOS
from pipeline.stage import Context, Settings, Stage

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN_CLOCK_S = 1e9
_SIDE = (
    128.0,
    64.0,
)  # height and width of a box, px: nobody looks, and a million files are not opened to know


class DatasetConfig(Settings):
    images_per_tracklet: int | None = Field(
        None, ge=1, description="at most so many pictures of each tracklet, evenly spread; null: all"
    )


def run(ctx: Context) -> None:
    from data.datasets import benchmark

    name, root, trial = ctx.source("dataset")
    found = benchmark.read(name, root, trial)
    tracklets = found.tracklets
    images = found.images.merge(tracklets[["tracklet_id", "camera_id", "part"]], on="tracklet_id")
    images = in_frames(thinned(images, ctx.settings.images_per_tracklet))
    learn = images.part == "train"
    ctx.write(VIDEOS, cameras(images, found.timed, found.synchronous))
    ctx.write(TRACKLETS, training_tracklets(tracklets, images[learn]))
    ctx.write(BOXES, boxes(images[learn]))
    ctx.write(CROPS, crops(images[learn]))
    ctx.write(PROTOCOL, tracklets[[c.name for c in PROTOCOL.columns]])
    ctx.write(PROTOCOL_CROPS, crops(images[~learn]))
    train = tracklets[tracklets.part == "train"]
    asked, among = int(tracklets["query"].sum()), int(tracklets.gallery.sum())
    ctx.add_metadata(
        train=len(train), people=int(train.pid.nunique()), queries=asked, gallery=among, timed=found.timed
    )
    ctx.log(
        f"{name}: {len(train)} tracklets of {train.pid.nunique()} people and {train.camera_id.nunique()} cameras to learn from, "
        f"{asked} queries, {among} in the gallery; {'with' if found.timed else 'without'} times"
    )


def thinned(images: pd.DataFrame, max_items: int | None) -> pd.DataFrame:
    """At most so many pictures of each tracklet, the first and the last among them."""
    from data.tracklet_rows import evenly

    images = images.sort_values(["tracklet_id", "frame"]).reset_index(drop=True)
    return (
        images if max_items is None else images[evenly(images.tracklet_id, max_items)].reset_index(drop=True)
    )


def in_frames(images: pd.DataFrame) -> pd.DataFrame:
    """With ``frame`` counted along each camera's own times, so that only what was seen at once shares one."""
    import pandas as pd

    codes = [pd.factorize(own, sort=True)[0] for _, own in images.groupby("camera_id", sort=True).t_us]
    order = images.sort_values("camera_id", kind="stable").index
    return images.assign(frame=pd.Series([c for own in codes for c in own], index=order, dtype="int32"))


def cameras(images: pd.DataFrame, timed: bool, synchronous: bool) -> pd.DataFrame:
    """VIDEOS: one row per camera."""
    own = images.groupby("camera_id")
    table = own.t_us.agg(t_start_us="min", t_end_us="max").reset_index()
    return table.assign(
        video_id=table.camera_id, path="", digest="", status="ok", t_from_us=table.t_start_us, t_until_us=table.t_end_us,
        frames=own.size().to_numpy("int32"), width=0, height=0, fps=0.0, stamped_fps=0.0, grey_fraction=0.0, damaged=0,
        repaired_times=0, whole=True, time_source="topology" if timed else "assumed", clock_scale=1.0,
        time_std_s=0.0 if synchronous else UNKNOWN_CLOCK_S, note="",
    ).astype({"width": "int32", "height": "int32", "damaged": "int32", "repaired_times": "int32"})  # fmt: skip


def training_tracklets(tracklets: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """TRACKLETS of the training part."""
    own = tracklets[tracklets.part == "train"]
    count = images.groupby("tracklet_id").size()
    return own[["tracklet_id", "camera_id", "t_start_us", "t_end_us"]].assign(
        parent_id=own.tracklet_id, n_boxes=own.tracklet_id.map(count).astype("int32"), mean_score=1.0
    ).astype({"mean_score": "float32"})  # fmt: skip


def boxes(images: pd.DataFrame) -> pd.DataFrame:
    """BOXES: every picture as a box that was followed for certain."""
    height, width = _SIDE
    table = images.rename(columns={"t_us": "t_utc_us", "camera_id": "video_id"})
    # Where they stood nobody says: those of one frame are put far apart, for people who touch are cut more readily.
    left = 1000.0 * table.groupby(["video_id", "frame"]).cumcount()
    table = table.assign(x1=left, y1=0.0, x2=left + width, y2=height, score=1.0, overlap=1.0, margin=1.0)
    small = ["x1", "y1", "x2", "y2", "score", "overlap", "margin"]
    return table.astype(dict.fromkeys(small, "float32") | {"frame": "int32"})[[c.name for c in BOXES.columns]]


def crops(images: pd.DataFrame) -> pd.DataFrame:
    """CROPS: a picture's own file is its shard, from the first byte to the last."""
    from os import stat

    height, width = _SIDE
    table = images.rename(columns={"t_us": "t_utc_us", "camera_id": "video_id", "path": "shard"})
    table = table.assign(
        offset=0,
        size=[stat(path).st_size for path in table["shard"]],
        width=int(width),
        height=int(height),
        quality=1.0,
        grey=False,
    )
    types = {
        "offset": "int64",
        "size": "int32",
        "width": "int32",
        "height": "int32",
        "quality": "float32",
        "frame": "int32",
    }
    return table.astype(types)[[c.name for c in CROPS.columns]]


STAGE = Stage(
    name="dataset",
    inputs=(),
    outputs=(VIDEOS, TRACKLETS, BOXES, CROPS, PROTOCOL, PROTOCOL_CROPS),
    config=DatasetConfig,
    version=2,
    run=run,
    sources=("dataset",),
)
