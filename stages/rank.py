"""A published benchmark's own protocol: every state of the network ranks its gallery for its queries.

For each query, entries of its person in its camera are left out, junk is left out, distractors stay.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipeline.manifests import ASSOCIATIONS, MEASURES, MODEL, PROTOCOL, PROTOCOL_CROPS, RANKINGS, TRACKLETS
from pipeline.stage import Context, Settings, Stage
from stages.network.pooling import Pooling

if TYPE_CHECKING:
    import pandas as pd

    from stages.evaluation.run_checkpoints import RunCheckpoint

RANKS = (1, 5, 10, 20)
QUERIES_AT_ONCE = 1000


class RankConfig(Settings):
    images_per_tracklet: int | None = Field(
        None, ge=1, description="pictures that stand for a tracklet, evenly spread; null: all"
    )
    pooling: Pooling = "mean"


def run(ctx: Context) -> None:
    import pandas as pd

    from data.datasets.benchmark import trials
    from stages.dataset import thinned
    from stages.evaluate import flat
    from stages.evaluation.retrieval import summary
    from stages.evaluation.run_checkpoints import run_checkpoints

    name, _, trial = ctx.source("dataset")
    protocol = ctx.read(PROTOCOL)
    test = protocol[protocol.part == "test"].reset_index(drop=True)
    pictures = thinned(ctx.read(PROTOCOL_CROPS), ctx.settings.images_per_tracklet)
    rankings, reid = [], []
    for checkpoint in ctx.progress(run_checkpoints(ctx), "ranking"):
        rows = ranked(ctx, checkpoint, pictures, test)
        rankings.append(rows.assign(checkpoint=checkpoint.name))
        reid.append({"checkpoint": checkpoint.name, **summary(rows, RANKS)})
    metrics = {
        "dataset": name, "trial": trial, "trials": trials(name),
        "method": ctx.method if ctx.has(ASSOCIATIONS) else "with its labels",
        "reid": {"start": reid[0], "final": reid[-1], "rounds": reid[1:]},
        "labels": [label_scores(ctx, path, protocol) for path in ctx.paths(ASSOCIATIONS)],
        "queries": int(test["query"].sum()), "gallery": int(test.gallery.sum()),
    }  # fmt: skip
    ctx.write(RANKINGS, pd.concat(rankings, ignore_index=True)[[c.name for c in RANKINGS.columns]])
    ctx.write(MEASURES, pd.DataFrame(flat(metrics), columns=["measure", "value"]))
    (ctx.out / "metrics.json").write_text(
        json.dumps(metrics, indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )


def ranked(
    ctx: Context, checkpoint: RunCheckpoint, pictures: pd.DataFrame, test: pd.DataFrame
) -> pd.DataFrame:
    """One row of RANKINGS (without state) per query of ``test``, PROTOCOL rows."""
    import numpy as np

    from stages.association.pairing import euclidean_distances
    from stages.evaluation.ranking import rank
    from stages.network import backbone
    from stages.network.embedding import embed_crops
    from stages.network.pooling import POOLING

    # Not kept: at MARS's size the pictures' features of one state are gigabytes, and nobody asks for them again.
    features = embed_crops(backbone.load(checkpoint.checkpoint), pictures, ctx.run_dir, ctx.device)
    pooled = POOLING[ctx.settings.pooling](features, list(pictures.tracklet_id), list(test.tracklet_id))
    asks, among = test["query"].to_numpy(), test.gallery.to_numpy()
    pid, camera = test.pid.to_numpy(), test.camera_id.to_numpy(str)
    at = np.flatnonzero(asks)
    found = [
        rank(euclidean_distances(pooled[q], pooled[among]), pid[q], pid[among], camera[q], camera[among])
        for q in np.array_split(at, max(1, -(-len(at) // QUERIES_AT_ONCE)))
    ]
    first, precision, matches, inp = (
        np.concatenate([getattr(r, name) for r in found])
        for name in ("first_match_rank", "average_precision", "n_matches", "inverse_negative_penalty")
    )
    rows = test[asks].rename(columns={"tracklet_id": "query_id"})[["query_id", "pid", "camera_id"]]
    # A query whose person nobody else shows has nothing to find: the protocols leave it out.
    rows = rows.assign(first_match_rank=first, average_precision=precision, inverse_negative_penalty=inp)
    return rows[matches > 0].astype({"first_match_rank": "int32", "average_precision": np.float64})


def label_scores(ctx: Context, path: Any, protocol: pd.DataFrame) -> dict[str, Any]:
    """Precision, recall and F of a round's links, by the person of the tracklet that each piece was cut from."""
    from pipeline import schema
    from stages.evaluation.link_accuracy import link_scores

    tracklets = ctx.read(TRACKLETS).set_index("tracklet_id")
    person = tracklets.parent_id.map(protocol.set_index("tracklet_id").pid)
    found = link_scores(schema.read(ASSOCIATIONS, path), person, tracklets.camera_id)
    return {"round": int(path.parent.name.rpartition("-")[2]), **found}


STAGE = Stage(
    name="rank",
    inputs=(TRACKLETS, PROTOCOL, PROTOCOL_CROPS),
    extra_inputs=(ASSOCIATIONS, MODEL),
    outputs=(RANKINGS, MEASURES),
    config=RankConfig,
    version=2,
    run=run,
    sources=("dataset", "weights", "backbone", "image_size", "seed", "device"),
)
