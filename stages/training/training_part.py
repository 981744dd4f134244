"""The part of the footage that training may see: nothing after the evaluation cut, which is a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from camera_topology.site import without_file
from pipeline.manifests import BOXES, CAMERA_LABELS, CROPS, TRACKLETS, VIDEOS
from pipeline.stage import Context
from stages.association.foot_points import feet_of
from stages.methods import Footage

if TYPE_CHECKING:
    from stages.network.images import CropStore

_VISIT_GAP_US = 10_000_000  # unseen for longer, a person has been away


def before(tracklets: pd.DataFrame, crops: pd.DataFrame, until_us: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Crops up to ``until_us``, and the tracklets they belong to, clipped to that time and sorted by id."""
    crops = crops[crops.t_utc_us <= until_us].sort_values(["tracklet_id", "t_utc_us"]).reset_index(drop=True)
    seen = tracklets.tracklet_id.isin(crops.tracklet_id)
    clipped = tracklets[seen].sort_values("tracklet_id").reset_index(drop=True)
    return clipped.assign(t_end_us=clipped.t_end_us.clip(upper=until_us)), crops


def as_labelled(
    tracklets: pd.DataFrame, crops: pd.DataFrame, labels: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, str]]:
    """All tracklets of one labelled person of a camera as one, and those of nobody labelled left out; and who is called what now.

    The one is named after the first and stands in time where the person stayed longest: a span over several visits
    would forbid that the person was elsewhere in between. Cameras without labels stay as they are.
    """
    label = tracklets.tracklet_id.map(labels.set_index("tracklet_id").label)
    free = tracklets[label.isna()]
    own = tracklets.assign(label=label)[label >= 0].sort_values(["camera_id", "label", "t_start_us"])
    person = [own.camera_id, own.label]
    name = own.groupby(person).tracklet_id.transform("first")
    until = own.groupby(person).t_end_us.cummax().groupby(person).shift(fill_value=0)
    visit = (own.t_start_us > until + _VISIT_GAP_US).groupby(person).cumsum()
    stays = own.groupby([name, visit]).agg(t_start_us=("t_start_us", "min"), t_end_us=("t_end_us", "max"))
    length = stays.t_end_us - stays.t_start_us
    longest = stays.loc[length.groupby(level=0).idxmax()].droplevel(1)
    sums = own.assign(score=own.mean_score * own.n_boxes).groupby(name)[["n_boxes", "score"]].sum()
    joined = own[own.tracklet_id == name].drop(columns="label").set_index("tracklet_id", drop=False)
    joined = joined.assign(
        t_start_us=longest.t_start_us, t_end_us=longest.t_end_us, n_boxes=sums.n_boxes.astype("int32"),
        mean_score=(sums.score / sums.n_boxes).astype("float32"),
    )  # fmt: skip
    table = pd.concat([free, joined], ignore_index=True).sort_values("tracklet_id", ignore_index=True)
    called = dict(zip(own.tracklet_id, name, strict=True)) | {t: t for t in free.tracklet_id}
    crops = crops.assign(tracklet_id=crops.tracklet_id.map(called)).dropna(subset="tracklet_id")
    return table, crops.sort_values(["tracklet_id", "t_utc_us"], kind="stable").reset_index(drop=True), called


def clock_std_s(videos: pd.DataFrame) -> dict[str, float]:
    """camera → uncertainty of its clock, s: that of its worst file that is looked at."""
    good = videos[videos.status == "ok"]
    return {str(c): float(v) for c, v in good.groupby("camera_id").time_std_s.max().items()}


def training_footage(ctx: Context) -> Footage:
    """The training part of the stage's tracklets and crops. Needs the source 'cut'."""
    train_until_us, _ = ctx.source("cut")
    tracklets, crops = before(ctx.read(TRACKLETS), ctx.read(CROPS), train_until_us)
    called: dict[str, str] = {}
    if ctx.has(CAMERA_LABELS):
        tracklets, crops, called = as_labelled(tracklets, crops, ctx.read(CAMERA_LABELS))
    # A stage that did not declare the site must not depend on it: it gets one that says nothing.
    site = ctx.sources.get("site") or without_file([])
    annotated = ctx.sources.get("annotations") or ()
    feet = None
    if site.needs_feet:
        boxes = ctx.read(BOXES)
        own = boxes.assign(tracklet_id=boxes.tracklet_id.map(lambda t: called.get(t, t)))
        feet = feet_of(site, tracklets, own)
    return Footage(tracklets, crops, site, clock_std_s(ctx.read(VIDEOS)), annotated=annotated, feet=feet)


def training_images(ctx: Context, footage: Footage, network: object) -> CropStore:
    """The training crops, decoded once."""
    from stages.network.images import CropStore

    return CropStore(footage.crops, ctx.run_dir, size=network.image_size)  # type: ignore[attr-defined]
