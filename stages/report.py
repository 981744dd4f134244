"""Show a run to a person: a page of measures, people, times and curves, opened from disk without a network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pipeline.manifests import (
    ASSOCIATIONS,
    BOXES,
    CONFUSIONS,
    CROPS,
    DETECTIONS,
    IDENTITIES,
    MEASURES,
    RANKINGS,
    SELECTION,
    TRACKLETS,
    TRAIN_LOG,
    VIDEOS,
)  # fmt: skip
from pipeline.stage import Context, Settings, Stage

if TYPE_CHECKING:
    import pandas as pd


class ReportConfig(Settings):
    thumb_height_px: int = Field(168, ge=48, le=512, description="stored height of a picture, in px")
    people_per_page: int = Field(60, ge=1, le=1000, description="people on one page")
    max_crops_per_person: int = Field(40, ge=1, description="pictures on the card of one person")
    doubtful_below: float = Field(
        0.5, ge=0, le=1, description="members of lower confidence are marked and shown first"
    )
    max_doubtful: int = Field(12, ge=0, description="people under 'Look at these first'")
    max_bars: int = Field(
        4000, ge=0, description="tracklets drawn one by one in the timeline; else as a density"
    )
    max_links: int = Field(24, ge=0, description="ways between cameras shown with their transit times")
    clip_s: float = Field(
        10.0, ge=0, le=120, description="length of the overlay clip of a camera, s; 0: none"
    )
    clip_width_px: int = Field(640, ge=64, le=3840, description="largest width of a clip, px")
    max_clips: int = Field(24, ge=0, description="cameras with an overlay clip")
    privacy: Literal["none", "blur"] = Field(
        "none", description="'blur' hides the head of every person in all pictures (PRIVACY=blur)"
    )
    max_files: int = Field(500, ge=1, description="files listed one by one in the inventory")


def run(ctx: Context) -> None:
    from data import redaction_list
    from stages.reporting import pages, provenance
    from stages.reporting.archive import ARCHIVE
    from stages.reporting.local_time import make_clock
    from stages.reporting.thumbs import clearest_crops
    from stages.training.training_part import clock_std_s

    site = ctx.source("site")
    boxes = ctx.read(BOXES)
    videos = ctx.read(VIDEOS)
    receipts = provenance.receipts([path for paths in ctx.inputs.values() for path in paths], ctx.run_dir)
    found = pages.Findings(
        name=site.facts.site.name or ctx.run_dir.name,
        videos=videos,
        tracklets=ctx.read(TRACKLETS),
        identities=ctx.read(IDENTITIES),
        crops=clearest_crops(ctx.read(CROPS)),
        selection=ctx.read(SELECTION),
        rankings=ctx.read(RANKINGS),
        logs=_training_logs(ctx),
        links=_links(ctx),
        metrics=_metrics(ctx),
        stages=provenance.stage_rows(receipts),
        settings=provenance.setting_rows(receipts),
        seconds=provenance.total_seconds(receipts),
        clock=make_clock(videos, site.timezone),
        site=site,
        clock_std_s=clock_std_s(videos),
        boxes=boxes,
        heads=_heads(ctx, boxes) if ctx.settings.privacy == "blur" else None,
        confusions=ctx.read(CONFUSIONS),
        gone=redaction_list.of_videos(ctx.sources.get("purged") or [], videos),
        cut=ctx.source("cut") if (videos.status == "ok").any() else None,
    )
    (ctx.run_dir / ARCHIVE).unlink(
        missing_ok=True
    )  # of an earlier report, perhaps with heads that this one hides
    count = pages.write(found, ctx.run_dir, ctx.out, ctx.settings)
    ctx.add_metadata(pages=count)


def _heads(ctx: Context, boxes: pd.DataFrame) -> pd.DataFrame:
    """Every box in which somebody is: as detected, and as followed where detection missed."""
    import pandas as pd

    columns = ["video_id", "t_utc_us", "x1", "y1", "x2", "y2"]
    return pd.concat([ctx.read(DETECTIONS)[columns], boxes[columns]], ignore_index=True)


def _training_logs(ctx: Context) -> list[tuple[int, Any]]:
    from pipeline import schema

    return [(round_, schema.read(TRAIN_LOG, path)) for round_, path in enumerate(ctx.paths(TRAIN_LOG))]


def _links(ctx: Context) -> list[tuple[int, int, int]]:
    """(round, links kept, links considered)"""
    from pipeline import schema

    counts = []
    for round_, path in enumerate(ctx.paths(ASSOCIATIONS)):
        links = schema.read(ASSOCIATIONS, path)
        counts.append((round_, int(links.kept.sum()), len(links)))
    return counts


def _metrics(ctx: Context) -> dict[str, Any]:
    path = ctx.paths(RANKINGS)[-1].parent / "metrics.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


STAGE = Stage(
    name="report",
    inputs=(
        VIDEOS, DETECTIONS, TRACKLETS, BOXES, CROPS, SELECTION, IDENTITIES, RANKINGS, CONFUSIONS, MEASURES,
    ),
    extra_inputs=(ASSOCIATIONS, TRAIN_LOG),
    outputs=(),
    config=ReportConfig,
    version=3,
    run=run,
    sources=("site.clock", "site.prior", "site.map", "cut", "purged"),
)  # fmt: skip
