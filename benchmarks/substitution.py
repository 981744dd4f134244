"""Which stage loses it? The truth in place of one stage at a time, everything after it made anew.

    make bench NAME=substitution RUN=runs/demo [STAGES="detect track isolate associate"]

Rows: the run as it is; true boxes for `detect`; our boxes joined by true persons for `track`; our tracklets cut
exactly where the person changes for `isolate`; true persons as every round's labels for `associate`. What the choice of
the round costs is the column of the best one. Each is a copy of the run (hard links) in ``RUN-true-STAGE``.
Prints a table, and as its last line one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.seeds import copy_run, machine, metrics
from pipeline import schema
from pipeline.manifests import (
    ASSOCIATIONS,
    BOXES,
    CROPS,
    DETECTIONS,
    GROUND_TRUTH,
    KEYPOINTS,
    PSEUDO_LABELS,
    TRACKLETS,
    VIDEOS,
)
from pipeline.opening import open_run
from pipeline.receipts import RECEIPT
from pipeline.runner import Runner
from pipeline.schema import Manifest
from stages.evaluation.matching import match, matched_pids, persons_of
from stages.evaluation.tracking import visit_ids
from stages.isolate import with_children

Tables = dict[Manifest, pd.DataFrame]
Cut = tuple[int, int]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--run", type=Path, default=Path(os.environ.get("RUN") or "runs/demo"))
    words.add_argument("--stages", default=os.environ.get("STAGES") or " ".join(TRUTH))
    options = words.parse_args()
    stages = options.stages.split()
    if unknown := sorted(set(stages) - set(TRUTH)):
        words.error(f"STAGES={' '.join(unknown)}: choose among {' '.join(TRUTH)}")
    results = {"as it is": metrics(options.run)}
    for stage in stages:
        results[f"true {stage}"] = measure(options.run, stage)
    columns = {
        "final rank-1": lambda m: m["reid"]["final"]["rank1"],
        "mAP": lambda m: m["reid"]["final"]["mean_ap"],
        "best round's rank-1": lambda m: max(r["rank1"] for r in m["reid"]["rounds"]),
        "end to end": lambda m: m["reid"]["end_to_end"]["rank1"],
        "association P": lambda m: m["association"]["precision"],
        "R": lambda m: m["association"]["recall"],
        "tracking IDF1": lambda m: m["tracking"]["idf1"],
        "purity": lambda m: m["tracking"]["purity"],
        "identities IDF1": lambda m: m["identities"]["idf1"],
    }
    print(
        f"\n{options.run}, {machine()}\n\n| | {' | '.join(columns)} |\n" + "|---" * (len(columns) + 1) + "|"
    )
    table = {name: {c: of(m) for c, of in columns.items()} for name, m in results.items()}
    for name, row in table.items():
        print(
            f"| {name} | " + " | ".join("–" if v is None else f"{100 * v:.1f}" for v in row.values()) + " |"
        )
    print(json.dumps({"run": str(options.run), "machine": machine(), "rows": table}))


def measure(run: Path, stage: str) -> dict[str, Any]:
    """The metrics of a copy of the run in which the truth stands for ``stage``."""
    copy = copy_run(run, run.with_name(f"{run.name}-true-{stage}"))
    runner, _ = open_run(copy)
    with runner.lock():
        for node in runner.nodes:
            if node.stage.name == stage and node.round != 0:
                # Up to here first: what stands in for the node is fresh under the fingerprint it has then.
                runner.run(runner.nodes[: runner.nodes.index(node)], set())
                substitute(runner, node.id, TRUTH[stage](copy, runner.sources.cut))
        runner.run(runner.nodes, set())
    return metrics(copy)


def substitute(runner: Runner, node_id: str, tables: Tables) -> None:
    """Put tables in place of a node's output, with the receipt of a run that made them."""
    node = runner.by_id[node_id]
    folder = runner.folder(node)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for manifest, table in tables.items():
        schema.write(manifest, table, folder / manifest.file)
    receipt = {
        "node": node.id,
        "fingerprint": runner.fingerprint(node),
        "outputs": {m.name: schema.content_digest(folder / m.file) for m in node.stage.outputs},
        "seconds": 0.0,
        "metadata": {"substituted": "by the truth"},
        "sources_digest": runner.source_digest(node),
    }
    (folder / RECEIPT).write_text(json.dumps(receipt, default=str), encoding="utf-8")


def true_detections(run: Path, cut: Cut) -> Tables:
    """Every true box, sure of itself."""
    truth = schema.read(GROUND_TRUTH, run / "ground_truth" / GROUND_TRUTH.file)
    number = truth.groupby(["video_id", "frame"]).cumcount().astype("int32")
    table = truth.assign(detection=number, score=np.float32(1.0))
    return {DETECTIONS: table[[c.name for c in DETECTIONS.columns]], KEYPOINTS: KEYPOINTS.empty()}


def true_tracks(run: Path, cut: Cut) -> Tables:
    """Our boxes that match somebody, one tracklet per person and visit."""
    from stages.track import to_tables

    detections, truth, camera = _boxes(run, DETECTIONS, "detect")
    at = match(detections, truth)
    visit = np.append(visit_ids(truth), -1)[at]
    sure = {"overlap": np.float32(1), "margin": np.float32(1)}
    detections = detections.assign(track=visit, camera_id=detections.video_id.map(camera), **sure)[visit >= 0]
    parts = [to_tables(str(c), rows) for c, rows in detections.groupby("camera_id", sort=True)]
    return {
        manifest: pd.concat([part[i] for part in parts], ignore_index=True)
        for i, manifest in enumerate((TRACKLETS, BOXES))
    }


def true_isolation(run: Path, cut: Cut) -> Tables:
    """Our tracklets, one piece per person in them; boxes of nobody go with the piece nearest in time."""
    boxes, truth, _ = _boxes(run, BOXES, "track")
    crops = schema.read(CROPS, run / "crop" / CROPS.file)
    tracklets = schema.read(TRACKLETS, run / "track" / TRACKLETS.file)
    person = pd.Series(matched_pids(match(boxes, truth), truth), index=boxes.index).where(lambda p: p >= 0)
    boxes = boxes.sort_values(["tracklet_id", "t_utc_us"])
    person = person.loc[boxes.index].groupby(boxes.tracklet_id).transform(lambda p: p.ffill().bfill())
    person = person.fillna(-1).astype(int)
    name = boxes.tracklet_id + "." + person.astype(str)
    key = ["video_id", "frame", "tracklet_id"]
    renamed = boxes[key].assign(piece=name)
    parent = dict(zip(name, boxes.tracklet_id, strict=True))
    boxes = boxes.assign(tracklet_id=name)
    crops = crops.merge(renamed, on=key).drop(columns="tracklet_id").rename(columns={"piece": "tracklet_id"})
    return {
        TRACKLETS: with_children(tracklets, boxes, parent),
        BOXES: boxes[[c.name for c in BOXES.columns]],
        CROPS: crops[[c.name for c in CROPS.columns]],
    }


def true_labels(run: Path, cut: Cut) -> Tables:
    """Every training tracklet labelled with its person; whoever is nobody is left out."""
    from stages.training.training_part import before

    boxes, truth, _ = _boxes(run, BOXES, "isolate")
    tracklets, _ = before(
        schema.read(TRACKLETS, run / "isolate" / TRACKLETS.file),
        schema.read(CROPS, run / "isolate" / CROPS.file),
        cut[0],
    )
    person = persons_of(boxes, truth)
    pid = person.reindex(tracklets.tracklet_id).fillna(-1).to_numpy(np.int32)
    known = tracklets[pid >= 0].assign(pid=pid[pid >= 0])[["tracklet_id", "camera_id", "pid"]]
    pairs = known.merge(known, on="pid", suffixes=("_a", "_b"))
    pairs = pairs[(pairs.tracklet_id_a < pairs.tracklet_id_b) & (pairs.camera_id_a != pairs.camera_id_b)]
    links = pairs[["tracklet_id_a", "tracklet_id_b"]].rename(columns=lambda c: c.replace("_id_", "_"))
    links = links.assign(distance=0.0, joint_distance=0.0, transit_time_s=0.0, kept=True)
    labels = known.assign(group="site", pseudo_label=known.pid, weight=1.0)
    return {
        ASSOCIATIONS: links[[c.name for c in ASSOCIATIONS.columns]],
        PSEUDO_LABELS: labels[[c.name for c in PSEUDO_LABELS.columns]],
    }


def _boxes(run: Path, manifest: Manifest, stage: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.Series]:
    """A stage's boxes, the true ones with camera_id, and video_id → camera_id."""
    camera = schema.read(VIDEOS, run / "ingest" / VIDEOS.file).set_index("video_id").camera_id
    truth = schema.read(GROUND_TRUTH, run / "ground_truth" / GROUND_TRUTH.file)
    truth = truth.assign(camera_id=truth.video_id.map(camera))
    return schema.read(manifest, run / stage / manifest.file), truth, camera


TRUTH: dict[str, Callable[[Path, Cut], Tables]] = {
    "detect": true_detections,
    "track": true_tracks,
    "isolate": true_isolation,
    "associate": true_labels,
}


if __name__ == "__main__":
    main()
