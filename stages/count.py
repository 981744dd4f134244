"""count: how many people are there to learn from? Estimated once, before any training, for the methods that ask."""

from __future__ import annotations

from pydantic import Field

from pipeline.manifests import CAMERA_LABELS, CROPS, PEOPLE_COUNT, TRACKLETS, VIDEOS
from pipeline.stage import Context, Stage
from stages.reid.grouping import GroupingConfig


class CountConfig(GroupingConfig):
    doubt: float = Field(
        2.0, ge=0, description="the interval reaches from log-odds so much more lenient to so much stricter"
    )


def run(ctx: Context) -> None:
    import pandas as pd

    from camera_topology.prior import certain_negatives
    from stages.reid.features import cached_features, tracklet_features
    from stages.reid.grouping import dense_prior, halves, weigh
    from stages.reid.model import start_checkpoint
    from stages.reid.people import PeopleCount, count_people
    from stages.reid.training_part import training_footage

    footage = training_footage(ctx)
    tracklets, found = footage.tracklets, PeopleCount(0, 0, 0, 0)
    if len(tracklets):
        features = cached_features(start_checkpoint(ctx), footage.crops, ctx.run_dir, ctx.device)
        means = tracklet_features(features, list(footage.crops.tracklet_id), list(tracklets.tracklet_id))
        log_prior, possible = dense_prior(footage.site, tracklets, footage.clock_std_s)
        evidence = weigh(
            means, halves(features, footage.crops, tracklets), tracklets, log_prior, possible, ctx.settings
        )
        pairs = certain_negatives(
            footage.site, tracklets.camera_id.to_numpy(), tracklets.t_start_us.to_numpy(),
            tracklets.t_end_us.to_numpy(), clock_std_s=footage.clock_std_s,
        )  # fmt: skip
        found = count_people(tracklets, evidence.log_odds, pairs, ctx.settings.doubt)
    ctx.write(PEOPLE_COUNT, pd.DataFrame([found._asdict()]))
    ctx.say(
        f"about {found.guess} people before the cut ({found.low} to {found.high}), in {len(tracklets)} tracklets"
    )
    ctx.note(**found._asdict())


STAGE = Stage(
    name="count",
    inputs=(VIDEOS, TRACKLETS, CROPS),
    extra_inputs=(CAMERA_LABELS,),
    outputs=(PEOPLE_COUNT,),
    config=CountConfig,
    version=1,
    run=run,
    sources=("site.prior", "cut", "weights", "backbone", "image_size", "seed", "device"),
)
