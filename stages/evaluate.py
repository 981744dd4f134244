"""Measure a run: against the truth where there is one, and without it always.

Only frames that somebody labelled are measured against the truth. The cut is a time. The headline ranks features of true
boxes of the test time; see `stages.evaluation`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pydantic import Field

from data.datasets.labelled_frames import that_count

from pipeline.manifests import (  # isort: skip
    ASSOCIATIONS, BOXES, CONFUSIONS, CROPS, DETECTIONS, GROUND_TRUTH, IDENTITIES, LABELLED_FRAMES, MEASURES, MODEL, PEOPLE, RANKINGS, SELECTION,
    SUPERVISED_MODEL, TRACKLETS, VIDEOS,
)  # fmt: skip
from pipeline.stage import Context, Settings, Stage
from stages.network.pooling import Pooling

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from stages.evaluation.run_checkpoints import RunCheckpoint


class EvaluateConfig(Settings):
    truth_crops: int = Field(8, ge=1, description="crops of true boxes per person and camera, evenly spread")
    min_visibility: float = Field(0.4, ge=0, le=1, description="true boxes seen less are not cropped")
    tracklet_crops: int = Field(16, ge=2, description="crops per tracklet of ours, evenly spread in time")
    min_score: float = Field(0.3, ge=0, le=1, description="detections of lower confidence are not measured")
    pooling: Pooling = "mean"
    draws: int = Field(2000, ge=100, description="bootstrap resamples of the people")
    confusions: int = Field(24, ge=0, description="queries answered worst that are kept as pictures")
    signal_tracklets: int = Field(
        1000, ge=2, description="tracklets that the signals without truth are read on, evenly spread in time"
    )


def run(ctx: Context) -> None:
    import pandas as pd

    from stages.evaluation.run_checkpoints import final_checkpoint, run_checkpoints
    from stages.evaluation.text_table import empty_metrics

    metrics = empty_metrics()
    checkpoints = run_checkpoints(ctx)
    final = final_checkpoint(ctx, checkpoints)
    metrics["final_checkpoint"] = final.name
    videos = ctx.read(VIDEOS)
    tracklet_crops = _own_test_crops(ctx)
    metrics["label_free"] = _label_free(ctx, checkpoints, final, tracklet_crops)
    truth = ctx.read(GROUND_TRUTH)
    rankings, confusions = RANKINGS.empty(), CONFUSIONS.empty()
    if len(truth):
        camera = videos.set_index("video_id").camera_id
        truth["camera_id"] = truth.video_id.map(camera)
        boxes = ctx.read(BOXES)
        boxes["camera_id"] = boxes.video_id.map(camera)
        labelled = ctx.read(LABELLED_FRAMES)
        boxes = boxes[boxes.video_id.isin(truth.video_id) & that_count(boxes, labelled)]
        boxes = boxes.reset_index(drop=True)
        person = _follow(ctx, metrics, boxes, truth)
        _link(ctx, metrics, person, final)
        _identify(ctx, metrics, boxes, truth, person)
        rankings, confusions = _retrieve(
            ctx, metrics, checkpoints, final, truth, videos, tracklet_crops, person
        )
    ctx.write(RANKINGS, rankings)
    ctx.write(CONFUSIONS, confusions)
    measures = pd.DataFrame(flat(metrics), columns=["measure", "value"])
    ctx.write(MEASURES, measures if len(measures) else MEASURES.empty())
    (ctx.out / "metrics.json").write_text(
        json.dumps(metrics, indent=1, allow_nan=False) + "\n", encoding="utf-8"
    )
    ctx.add_metadata(
        final_checkpoint=final.name, **{f"final_{k}": v for k, v in metrics["reid"]["final"].items()}
    )


def flat(values: Any, path: str = "") -> list[tuple[str, float]]:
    """(path, value) of every number in nested dictionaries and lists, in their order."""
    if isinstance(values, dict):
        return [row for key, below in values.items() for row in flat(below, f"{path}.{key}".lstrip("."))]
    if isinstance(values, (list, tuple)):
        return [row for k, below in enumerate(values) for row in flat(below, f"{path}.{k}")]
    number = isinstance(values, (int, float)) and not isinstance(values, bool)
    return [(path, float(values))] if number else []


def in_test_time(t_utc_us: pd.Series, cut: tuple[int, int]) -> pd.Series:
    """(N,) whether an instant is test time; the instant of the cut itself was training's to read."""
    train_until_us, test_from_us = cut
    return (t_utc_us >= test_from_us) & (t_utc_us > train_until_us)


def _own_test_crops(ctx: Context) -> pd.DataFrame:
    """Crops of tracklets that lie entirely after the training time, evenly spread, with camera_id."""
    from data.tracklet_rows import evenly

    train_until_us, _ = ctx.source("cut")
    tracklets = ctx.read(TRACKLETS)
    unseen = tracklets[tracklets.t_start_us > train_until_us].set_index("tracklet_id")
    crops = ctx.read(CROPS)
    crops = (
        crops[crops.tracklet_id.isin(unseen.index)]
        .sort_values(["tracklet_id", "t_utc_us"])
        .reset_index(drop=True)
    )
    crops["camera_id"] = crops.tracklet_id.map(unseen.camera_id)
    return crops[evenly(crops.tracklet_id, ctx.settings.tracklet_crops)].reset_index(drop=True)


def _features(ctx: Context, checkpoint: RunCheckpoint, crops: pd.DataFrame) -> np.ndarray:
    """(N, D) of the crops under one state; computed once per content of checkpoint and crops."""
    from stages.network.embedding import cached_features

    return cached_features(checkpoint.checkpoint, crops, ctx.run_dir, ctx.device)


def _label_free(
    ctx: Context, checkpoints: list[RunCheckpoint], final: RunCheckpoint, crops: pd.DataFrame
) -> dict[str, Any]:
    """The signals of every state but the supervised one, and how the final one differs from the start."""
    import numpy as np

    from stages.evaluation.text_table import empty_metrics
    from stages.training.training_part import clock_std_s
    from stages.validation import signals

    found: dict[str, Any] = empty_metrics()["label_free"]
    world = signals.unseen(
        ctx.read(TRACKLETS),
        crops,
        ctx.read(BOXES),
        ctx.settings.signal_tracklets,
        ctx.source("site"),
        clock_std_s(ctx.read(VIDEOS)),
    )
    if world.tracklets.empty:
        return found
    values: dict[str, dict[str, np.ndarray]] = {}
    label: np.ndarray | None = None
    shown = [s for s in checkpoints if s.name != "supervised"]
    for checkpoint in ctx.progress([*shown, *([] if final in shown else [final])], "signals without truth"):
        features = _features(ctx, checkpoint, world.crops)
        means, parts = signals.describe(world, features)
        values[checkpoint.name], links = signals.tracklet_values(world, features, means, parts)
        before, label = label, signals.groups(world, means, parts)
        of_groups = signals.group_values(label, world.camera, before)
        found["checkpoints"].append(
            {
                "checkpoint": checkpoint.name,
                "round": checkpoint.round,
                **{name: signals.mean(v) for name, v in values[checkpoint.name].items()},
                **{name: v if np.isfinite(v) else None for name, v in of_groups.items()},
            }
        )
        if checkpoint.name == final.name:
            found["links"] = links
            found["cameras"] = signals.camera_values(values[checkpoint.name]["split_halves"], world.camera)
    found["tracklets"], found["final_checkpoint"] = len(world.tracklets), final.name
    found["final_minus_start"] = {
        name: signals.difference(
            values[final.name][name], values[checkpoints[0].name][name], ctx.seed, ctx.settings.draws
        )
        for name in signals.PER_TRACKLET
    }
    return found


def _follow(ctx: Context, metrics: dict[str, Any], boxes: pd.DataFrame, truth: pd.DataFrame) -> pd.Series:
    """Fill in detection, tracking and isolation, over the whole recording. Returns tracklet_id → pid or -1."""
    from stages.evaluation.hota import hota, mota
    from stages.evaluation.matching import match, matched_pids, tracklet_persons
    from stages.evaluation.tracking import detection_scores, followed, per_camera_idf1, visit_ids

    detections = ctx.read(DETECTIONS)
    detections = detections[that_count(detections, ctx.read(LABELLED_FRAMES))]
    measured = (detections.score >= ctx.settings.min_score) & detections.video_id.isin(truth.video_id)
    metrics["detection"] = detection_scores(match(detections[measured], truth), len(truth))
    matched = match(boxes, truth)
    # What the tracker itself did is read off the pieces: isolation cuts tracklets, it does not move boxes.
    parent = ctx.read(TRACKLETS).set_index("tracklet_id").parent_id
    visits = truth.assign(pid=visit_ids(truth))
    visit = matched_pids(matched, visits)

    def scores(own: pd.DataFrame, true: pd.DataFrame, seen: np.ndarray) -> dict[str, Any]:
        ids = own.tracklet_id.to_numpy(str), true.pid.to_numpy()
        return {
            "idf1": per_camera_idf1(own, true), "hota": hota(own, true, *ids)["hota"], "mota": mota(own, true, *ids),
            **followed(own, seen),
        }  # fmt: skip

    as_tracked = boxes.assign(tracklet_id=boxes.tracklet_id.map(parent))
    for name, own in (("tracking", as_tracked), ("isolation", boxes)):
        metrics[name] = scores(own, visits, visit)
    metrics["tracking"]["cameras"] = {
        str(camera): scores(
            as_tracked[boxes.camera_id == camera].reset_index(drop=True),
            visits[visits.camera_id == camera].reset_index(drop=True),
            visit[(boxes.camera_id == camera).to_numpy()],
        )
        for camera in sorted(truth.camera_id.unique())
    }
    return tracklet_persons(boxes.tracklet_id, matched_pids(matched, truth))


def _link(ctx: Context, metrics: dict[str, Any], person: pd.Series, final: RunCheckpoint) -> None:
    """Fill in association: each round's kept links, and those of the round the final model comes from."""
    from pipeline import schema
    from stages.evaluation.link_accuracy import LINK_SCORES, link_scores

    train_until_us, _ = ctx.source("cut")
    tracklets = ctx.read(TRACKLETS)
    # A tracklet in a video without truth has no person; it must not make the links to it wrong.
    tracklets = tracklets[tracklets.tracklet_id.isin(person.index)].set_index("tracklet_id")
    rounds = []
    for path in ctx.paths(ASSOCIATIONS):
        links = schema.read(ASSOCIATIONS, path)
        links = links[links.tracklet_a.isin(person.index) & links.tracklet_b.isin(person.index)]
        linked = set(links.tracklet_a) | set(links.tracklet_b)
        offered = tracklets[(tracklets.t_start_us <= train_until_us) | tracklets.index.isin(list(linked))]
        scores = link_scores(links, person.reindex(offered.index), offered.camera_id)
        rounds.append({"round": int(path.parent.name.rpartition("-")[2]), **scores})
    linking = [r for r in rounds if r["pairs"]]
    chosen = next((r for r in linking if r["round"] == final.round), linking[-1] if linking else None)
    chosen = chosen or (rounds[-1] if rounds else dict.fromkeys(LINK_SCORES))
    metrics["association"] = {**{name: chosen[name] for name in LINK_SCORES}, "rounds": rounds}


def _identify(
    ctx: Context, metrics: dict[str, Any], boxes: pd.DataFrame, truth: pd.DataFrame, person: pd.Series
) -> None:
    """Fill in identities: multi-camera IDF1 and tracklet pairs, over the test time and without people of both sides."""
    import numpy as np

    from stages.evaluation.hota import hota
    from stages.evaluation.link_accuracy import identity_scores
    from stages.evaluation.matching import match, matched_pids
    from stages.evaluation.tracking import idf1

    cut = ctx.source("cut")
    people = ctx.read(PEOPLE)
    excluded = people.pid[people.role == "both"]
    test_truth = truth[in_test_time(truth.t_utc_us, cut)]
    if test_truth.empty:
        return
    own = boxes[in_test_time(boxes.t_utc_us, cut)]
    own = own[~np.isin(matched_pids(match(own, test_truth), test_truth), excluded)].reset_index(drop=True)
    test_truth = test_truth[~test_truth.pid.isin(excluded)].reset_index(drop=True)
    identity = ctx.read(IDENTITIES).set_index("tracklet_id").identity
    # A tracklet that was given no identity is one of its own.
    alone = {t: -1 - i for i, t in enumerate(sorted(set(own.tracklet_id) - set(identity.index)))}
    label = own.tracklet_id.map({**identity.to_dict(), **alone})
    tracklets = own.assign(identity=label).drop_duplicates("tracklet_id")
    tracklets = tracklets.assign(pid=tracklets.tracklet_id.map(person))
    tracklets = tracklets[~tracklets.pid.isin(excluded)]
    scores = identity_scores(
        tracklets.identity.to_numpy(), tracklets.pid.to_numpy(), tracklets.camera_id.to_numpy(object)
    )
    metrics["identities"] = {
        "idf1": idf1(own, test_truth, label.to_numpy()),
        "hota": hota(own, test_truth, label.to_numpy(), test_truth.pid.to_numpy())["hota"],
        "pair_precision": scores["precision"],
        "pair_recall": scores["recall"],
    }


def _retrieve(
    ctx: Context,
    metrics: dict[str, Any],
    checkpoints: list[RunCheckpoint],
    final: RunCheckpoint,
    truth: pd.DataFrame,
    videos: pd.DataFrame,
    tracklet_crops: pd.DataFrame,
    person: pd.Series,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fill in reid, people and intervals. Returns RANKINGS and CONFUSIONS."""
    import pandas as pd

    from data import redaction, redaction_list
    from stages.evaluation import comparison, retrieval, truth_crops
    from stages.network.pooling import POOLING

    people = ctx.read(PEOPLE)
    counts = people.role.value_counts()
    metrics["people"] = {role: int(counts.get(role, 0)) for role in ("train", "test", "both")}
    metrics["people"]["distractors"] = int(((people.role == "test") & (people.n_cameras == 1)).sum())
    test_truth = truth[in_test_time(truth.t_utc_us, ctx.source("cut"))]
    test_truth = test_truth[test_truth.pid.isin(people.pid[people.role == "test"])]
    gone = redaction_list.of_videos(ctx.sources.get("purged") or [], videos)
    test_truth = test_truth[~test_truth.pid.isin(redaction.persons(truth, gone))]
    chosen = truth_crops.choose(test_truth, ctx.settings.truth_crops, ctx.settings.min_visibility)
    crops = truth_crops.cut(ctx, redaction.without(chosen, gone), truth, videos, gone)
    gallery = retrieval.appearances(crops, people)
    metrics["people"]["queries"] = int(gallery.is_query.sum())
    if not gallery.is_query.any():
        return RANKINGS.empty(), CONFUSIONS.empty()

    rows: dict[str, pd.DataFrame] = {}
    pairs: dict[str, dict[str, float]] = {}
    confused = CONFUSIONS.empty()
    for checkpoint in ctx.progress([*checkpoints, *([] if final in checkpoints else [final])], "ranking"):
        features = POOLING[ctx.settings.pooling](
            _features(ctx, checkpoint, crops), list(crops.tracklet_id), list(gallery.query_id)
        )
        rows[checkpoint.name] = retrieval.headline(features, gallery)
        if checkpoint.name == final.name:
            pairs = retrieval.camera_pairs(features, gallery)
            confused = _pictured(retrieval.confusions(features, gallery, ctx.settings.confusions), crops)
    rows["final"] = rows[final.name] if final in checkpoints else rows.pop(final.name)
    rows["end_to_end"] = _end_to_end(ctx, final, gallery, tracklet_crops, person)

    summary = {name: retrieval.summary(table) for name, table in rows.items()}
    metrics["reid"] = {key: summary.get(key) for key in ("start", "final", "supervised", "end_to_end")}
    metrics["reid"]["rounds"] = [
        {"round": s.round, **summary[s.name]} for s in checkpoints if s.name.startswith("round-")
    ]
    metrics["reid"]["camera_pairs"] = pairs
    metrics["reid"]["end_to_end"]["missed_queries"] = int((rows["end_to_end"].first_match_rank < 0).sum())
    metrics["gap_closed"] = comparison.gap_closed(summary)
    metrics["fraction_of_supervised"] = comparison.fraction_of_supervised(summary)
    metrics["intervals"] = comparison.intervals(rows, ctx.seed, ctx.settings.draws)
    tables = pd.concat([table.assign(checkpoint=name) for name, table in rows.items()], ignore_index=True)
    rankings = tables[[c.name for c in RANKINGS.columns]].astype(
        {"pid": "int32", "first_match_rank": "int32"}
    )
    return rankings, confused


def _pictured(confusions: pd.DataFrame, crops: pd.DataFrame) -> pd.DataFrame:
    """CONFUSIONS: each appearance with its clearest crop."""
    clearest = crops.sort_values(["quality", "t_utc_us"], ascending=[False, True]).drop_duplicates(
        "tracklet_id"
    )
    clearest = clearest.drop(columns=["pid", "camera_id"]).rename(columns={"tracklet_id": "query_id"})
    table = confusions.merge(clearest, on="query_id").rename(columns={"query_id": "tracklet_id"})
    return table[[c.name for c in CONFUSIONS.columns]].astype(
        {"place": "int32", "rank": "int32", "pid": "int32"}
    )


def _end_to_end(
    ctx: Context, final: RunCheckpoint, gallery: pd.DataFrame, tracklet_crops: pd.DataFrame, person: pd.Series
) -> pd.DataFrame:
    """The same queries on our own tracklets of the test time; people who are not test people stay out of it."""
    import numpy as np

    from stages.evaluation import retrieval
    from stages.network.pooling import POOLING

    people = ctx.read(PEOPLE)
    asked = {-1, *people.pid[people.role == "test"]}
    tracklets = ctx.read(TRACKLETS)
    tracklets = tracklets[in_test_time(tracklets.t_start_us, ctx.source("cut"))]
    tracklets = tracklets.assign(pid=tracklets.tracklet_id.map(person))
    tracklets = tracklets[tracklets.pid.isin(asked) & tracklets.tracklet_id.isin(tracklet_crops.tracklet_id)]
    if tracklets.empty:
        return retrieval.end_to_end(np.zeros((0, 1)), tracklets, gallery)
    features = _features(ctx, final, tracklet_crops)
    pooled = POOLING[ctx.settings.pooling](
        features, list(tracklet_crops.tracklet_id), list(tracklets.tracklet_id)
    )
    return retrieval.end_to_end(pooled, tracklets.astype({"pid": "int64"}), gallery)


STAGE = Stage(
    name="evaluate",
    inputs=(
        VIDEOS, DETECTIONS, TRACKLETS, BOXES, CROPS, IDENTITIES, SELECTION, GROUND_TRUTH, PEOPLE,
        LABELLED_FRAMES,
    ),
    outputs=(RANKINGS, CONFUSIONS, MEASURES),
    config=EvaluateConfig,
    version=8,
    run=run,
    sources=("site.prior", "cut", "weights", "backbone", "image_size", "purged", "seed", "device"),
    extra_inputs=(ASSOCIATIONS, MODEL, SUPERVISED_MODEL),
)  # fmt: skip
