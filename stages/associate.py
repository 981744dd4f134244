"""Who is who across cameras, as far as the last model and the spatio-temporal prior can tell."""

from __future__ import annotations

from dataclasses import replace

from pipeline.manifests import (
    ASSOCIATIONS,
    BOXES,
    CAMERA_LABELS,
    CROPS,
    MODEL,
    PSEUDO_LABELS,
    TRACKLETS,
    VIDEOS,
)
from pipeline.stage import Context, Settings, Stage
from stages import methods

_SAID_BY = {
    "race": "associate.anchors=…",
    "reliable_soft": "associate.people=…",
    "pul": "associate.people=…",
    "tmc": "associate.people=…",
}


def run(ctx: Context) -> None:
    from stages.network.embedding import cached_features
    from stages.network.run_models import start_checkpoint
    from stages.training.training_part import training_footage

    learned_from = training_footage(ctx)
    footage = replace(learned_from, people=lambda: estimated_people(ctx, learned_from))
    if footage.tracklets.empty and ctx.round == 0:
        ctx.log(_nothing_before_the_cut(ctx))
    checkpoint = ctx.paths(MODEL)[-1].parent / "model.pt" if ctx.has(MODEL) else start_checkpoint(ctx)

    associations, labels = methods.load(ctx.method).associate(
        footage,
        lambda: cached_features(checkpoint, footage.crops, ctx.run_dir, ctx.device),
        ctx.round,
        ctx.settings,
    )

    ctx.write(ASSOCIATIONS, associations)
    ctx.write(PSEUDO_LABELS, labels)
    kept = int(associations.kept.sum())
    ctx.add_metadata(candidates=len(associations), kept=kept, labelled=int(labels.tracklet_id.nunique()))
    ctx.log(
        f"{len(footage.tracklets)} tracklets to learn from; {kept} of {len(associations)} candidate pairs kept, "
        f"{labels.tracklet_id.nunique()} tracklets labelled in {labels.group.nunique()} groups"
    )


def estimated_people(ctx: Context, footage: methods.Footage) -> int:
    """How many people there are to learn from, without labels; the same in every round, by the run's first network."""
    from stages.association.population import people_in
    from stages.association.time_prior import check_pairs_fit
    from stages.network.embedding import cached_features
    from stages.network.run_models import start_checkpoint

    tracklets, crops = footage.tracklets, footage.crops
    if tracklets.empty:
        return 0
    check_pairs_fit(
        len(tracklets), "to estimate how many people they show", f'say it: SET="{_SAID_BY[ctx.method]}"'
    )
    features = cached_features(start_checkpoint(ctx), crops, ctx.run_dir, ctx.device)
    found = people_in(footage, features)
    ctx.log(f"about {found.guess} people ({found.low} to {found.high}) in {len(tracklets)} tracklets")
    ctx.add_metadata(people=found._asdict())
    return found.guess


def _nothing_before_the_cut(ctx: Context) -> str:
    import pandas as pd

    crops = ctx.read(CROPS)
    if crops.empty:
        return "no crops: nothing to learn from, the model stays as it was"
    cut, first = (pd.Timestamp(t, unit="us", tz="UTC") for t in (ctx.source("cut")[0], crops.t_utc_us.min()))
    return (
        f"nothing to learn from: training ends at {cut:%Y-%m-%d %H:%M:%S} (the cut) and the first crop is of "
        f"{first:%Y-%m-%d %H:%M:%S} UTC; check `evaluation` in the site file, the clocks and the file names"
    )


STAGE = Stage(
    name="associate",
    inputs=(VIDEOS, TRACKLETS, BOXES, CROPS),
    extra_inputs=(MODEL, CAMERA_LABELS),
    outputs=(ASSOCIATIONS, PSEUDO_LABELS),
    config=Settings,  # the method's own, see pipeline.graph
    version=4,
    run=run,
    sources=("site.prior", "cut", "weights", "backbone", "image_size", "annotations", "seed", "device"),
)
