"""Who is who across cameras, as far as the last model and the spatio-temporal prior can tell."""

from __future__ import annotations

from pipeline.manifests import ASSOCIATIONS, CROPS, MODEL, PSEUDO_LABELS, TRACKLETS, VIDEOS
from pipeline.stage import Context, Settings, Stage
from stages import methods


def run(ctx: Context) -> None:
    from stages.reid.features import cached_features
    from stages.reid.model import start_checkpoint
    from stages.reid.training_part import training_footage

    footage = training_footage(ctx)
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
    ctx.note(candidates=len(associations), kept=kept, labelled=int(labels.tracklet_id.nunique()))
    ctx.say(
        f"{len(footage.tracklets)} tracklets to learn from; {kept} of {len(associations)} candidate pairs kept, "
        f"{labels.tracklet_id.nunique()} tracklets labelled in {labels.group.nunique()} groups"
    )


STAGE = Stage(
    name="associate",
    inputs=(VIDEOS, TRACKLETS, CROPS),
    extra_inputs=(MODEL,),
    outputs=(ASSOCIATIONS, PSEUDO_LABELS),
    config=Settings,  # the method's own, see pipeline.graph
    version=1,
    run=run,
    sources=("site.prior", "cut", "weights", "backbone", "image_size", "seed", "device"),
)
