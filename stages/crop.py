"""crop: the boxes of tracklets cut out at a fixed rate, dense and unselected, with a quality beside each.

Which of them are sharp, large and spread in time is for the reader of the quality column to choose; isolation must
see the minor person of a switched tracklet, so nothing is selected here.
"""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from pipeline.digest import table_digest, text_digest
from pipeline.errors import UserError
from pipeline.manifests import BOXES, CROPS, VIDEOS
from pipeline.shards import Shard
from pipeline.stage import Context, Settings, Stage

if TYPE_CHECKING:
    import pandas as pd

    from data.redaction_list import Piece


class CropConfig(Settings):
    rate_per_s: float = Field(5.0, gt=0, description="Crops per second of a tracklet.")
    max_per_tracklet: int = Field(
        60, ge=1, description="Most crops of one tracklet, spread evenly over its time."
    )
    jpeg_quality: int = Field(92, ge=1, le=100, description="JPEG quality.")
    padding: float = Field(0.0, ge=0, le=1, description="Share of the box's size added on each side.")
    min_height_px: int = Field(16, ge=1, description="Smaller boxes, measured inside the frame, are not cut.")
    max_height_px: int = Field(512, ge=64, description="Taller crops are shrunk to this height.")


def run(ctx: Context) -> None:
    import pandas as pd

    from data import redaction, redaction_list
    from pipeline import schema

    s = ctx.settings
    videos = ctx.read(VIDEOS)
    boxes = ctx.read(BOXES)
    gone = redaction_list.of_videos(ctx.sources.get("purged") or [], videos)
    wanted = redaction.without(choose(boxes, s.rate_per_s, s.max_per_tracklet), gone)
    if wanted.empty and gone:
        raise UserError(
            f"{ctx.run_dir / redaction_list.PLACE}: everybody who was followed is purged; nobody is left to cut out."
        )
    chosen = ctx.out / "chosen.parquet"
    wanted.to_parquet(chosen)
    shards = []
    recorded = videos[videos.video_id.isin(wanted.video_id)].sort_values("video_id").to_dict("records")
    for video in recorded:
        mine, around = (t[t.video_id == video["video_id"]].reset_index(drop=True) for t in (wanted, boxes))
        key = {"video": video["digest"], "chosen": table_digest(mine), "around": table_digest(around)}
        where = (Path(video["path"]), str(video["video_id"]), chosen, ctx.paths(BOXES)[-1])
        pieces = gone.get(str(video["video_id"]), [])
        if pieces:
            key["purged"] = text_digest(pieces)  # others' pictures may show them, too
        make = partial(cut_video, *where, s, pieces)
        shards.append(Shard(key, make, str(video["camera_id"]), int(mine.frame.max()) + 1))
    tables = [CROPS.empty()]
    for folder in ctx.shards(shards):
        table = schema.read(CROPS, folder / CROPS.file)
        table["shard"] = os.path.relpath(folder / "crops.tar", ctx.run_dir)
        tables.append(table)
    chosen.unlink()
    crops = pd.concat(tables, ignore_index=True)
    if crops.empty:
        raise UserError(
            f"no crop could be cut: all {len(wanted)} boxes are below crop.min_height_px={s.min_height_px} px, or "
            f"their frames no longer decode."
        )
    ctx.write(CROPS, crops)
    ctx.add_metadata(crops=len(crops), shards=int(crops.shard.nunique()))


def choose(boxes: pd.DataFrame, rate_per_s: float, max_per_tracklet: int) -> pd.DataFrame:
    """The boxes to cut: the first in each interval of ``1 / rate_per_s`` s, and of these at most so many per tracklet.

    Where a tracklet has more, they are spread evenly over its time; first and last stay.
    """
    import numpy as np

    rows = boxes.sort_values(["tracklet_id", "t_utc_us", "video_id", "frame"], kind="stable").reset_index(
        drop=True
    )
    start = rows.groupby("tracklet_id").t_utc_us.transform("min")
    # A little early is on time: frame times are rounded to the container's time base.
    interval = ((rows.t_utc_us - start) * (rate_per_s / 1e6) + 0.01).astype("int64")
    rows = rows[~rows.assign(interval=interval).duplicated(["tracklet_id", "interval"])].reset_index(
        drop=True
    )
    place = rows.groupby("tracklet_id").cumcount().to_numpy()
    count = rows.groupby("tracklet_id").tracklet_id.transform("size").to_numpy()
    slots = np.maximum(np.minimum(count, max_per_tracklet) - 1, 1)
    # place p of n goes to slot floor(p * slots / (n - 1)); the first in each slot is kept
    slot = place * slots // np.maximum(count - 1, 1)
    if max_per_tracklet == 1:
        return rows[place == count // 2].reset_index(drop=True)
    rows["slot"] = slot
    kept = rows[~rows.duplicated(["tracklet_id", "slot"])]
    return kept.drop(columns="slot").reset_index(drop=True)


def cut_video(
    video: Path,
    video_id: str,
    chosen: Path,
    around: Path,
    settings: CropConfig,
    gone: list[Piece],
    folder: Path,
) -> str:
    """A shard: the chosen boxes of one video into ``folder/crops.tar``, with the rows of the manifest beside it.

    Args:
        chosen: Parquet file of the boxes to cut; around: BOXES, to see who stands in front of whom; gone: where purged
            people stood in this video, who are painted over.
    """
    import pandas as pd

    from data.crops import cut_boxes
    from data.redaction import painted
    from data.video import read_frames
    from pipeline import schema
    from pipeline.progress import bar

    started = time.perf_counter()
    own = [("video_id", "==", video_id)]
    mine, others = (pd.read_parquet(path, filters=own, partitioning=None) for path in (chosen, around))
    cut = cut_boxes(
        video,
        mine,
        folder / "crops.tar",
        others=others,
        jpeg_quality=settings.jpeg_quality,
        padding=settings.padding,
        min_height_px=settings.min_height_px,
        max_height_px=settings.max_height_px,
        frames=painted(bar(read_frames(video), video_id, int(mine.frame.max()) + 1), gone),
    )
    cut = cut.assign(shard="crops.tar").astype(
        {"offset": "int64", "size": "int32", "width": "int32", "height": "int32", "quality": "float32"}
    )
    schema.write(CROPS, cut[[c.name for c in CROPS.columns]], folder / CROPS.file)
    return f"{video_id}: {len(cut)} crops in {time.perf_counter() - started:.1f} s"


STAGE = Stage(
    name="crop",
    inputs=(VIDEOS, BOXES),
    outputs=(CROPS,),
    config=CropConfig,
    version=2,
    run=run,
    sources=("purged",),
)
