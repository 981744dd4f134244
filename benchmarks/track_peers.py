"""Runs in the peers' own environment, called by `benchmarks.track`: their trackers on the same boxes, and HOTA of all."""

from __future__ import annotations

import json
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from boxmot import ByteTrack
from supervision import Detections
from trackers import ByteTrackTracker
from trackeval.metrics import HOTA

REPEATS = 3  # as in benchmarks.track
SIDES = ["x1", "y1", "x2", "y2"]


def main(work: Path) -> None:
    names = sorted(p.name.removesuffix(".boxes.parquet") for p in work.glob("*.boxes.parquet"))
    trackers: dict[str, Any] = {
        "boxmot ByteTrack": {"ms": {}, "hota": {}},
        "roboflow ByteTrack": {"ms": {}, "hota": {}},
    }
    for name in names:
        boxes = pd.read_parquet(work / f"{name}.boxes.parquet")
        fps = json.loads((work / f"{name}.json").read_text())["fps"]
        frames = [rows for _, rows in boxes.groupby("frame")]
        every = int(boxes.frame.max()) + 1
        by_frame = {int(rows.frame.iloc[0]): rows for rows in frames}
        empty = boxes.iloc[:0]
        for label, run in (("boxmot ByteTrack", boxmot), ("roboflow ByteTrack", roboflow)):
            given = [by_frame.get(k, empty) for k in range(every)]
            runs = [run(given, fps) for _ in range(REPEATS)]
            runs[0][0].to_parquet(work / f"{name}.{label}.parquet")
            trackers[label]["ms"][name] = 1000 * min(seconds for _, seconds in runs) / every
    by_sequence: dict[str, dict[str, float]] = {}
    totals = {}
    for label in ("ours", *trackers):
        metric, results = HOTA(), {}
        for name in names:
            data = hota_data(
                pd.read_parquet(work / f"{name}.truth.parquet"),
                pd.read_parquet(work / f"{name}.{label}.parquet"),
            )
            results[name] = metric.eval_sequence(data)
            by_sequence.setdefault(name, {})[label] = float(np.mean(results[name]["HOTA"]))
        real = {k: v for k, v in results.items() if k != "simulated"}
        pooled = float(np.mean(metric.combine_sequences(real)["HOTA"])) if real else None
        totals[label] = {"simulated": by_sequence["simulated"][label], "MOT15": pooled}
    for label in trackers:
        trackers[label]["hota"] = totals[label]
    versions = {p: metadata.version(p) for p in ("boxmot", "trackers", "trackeval", "numpy")}
    print(
        json.dumps({"trackers": trackers, "hota": totals, "by_sequence": by_sequence, "versions": versions})
    )


def boxmot(frames: list[pd.DataFrame], fps: float) -> tuple[pd.DataFrame, float]:
    tracker = ByteTrack(track_buffer=max(int(fps), 1), frame_rate=max(int(fps), 1))
    inputs = [np.concatenate([f[[*SIDES, "score"]].to_numpy(), np.zeros((len(f), 1))], 1) for f in frames]
    picture = np.zeros((720, 1280, 3), np.uint8)
    found, start = [], time.perf_counter()
    for boxes in inputs:
        found.append(np.asarray(tracker.update(boxes, picture)))
    seconds = time.perf_counter() - start
    rows = [
        pd.DataFrame(t[:, :5], columns=[*SIDES, "id"]).assign(frame=k) for k, t in enumerate(found) if len(t)
    ]
    return pd.concat(rows, ignore_index=True).astype({"id": "int64"}), seconds


def roboflow(frames: list[pd.DataFrame], fps: float) -> tuple[pd.DataFrame, float]:
    tracker = ByteTrackTracker(frame_rate=fps, track_activation_threshold=0.5, high_conf_det_threshold=0.5)
    inputs = [
        Detections(
            xyxy=f[SIDES].to_numpy(np.float32),
            confidence=f.score.to_numpy(np.float32),
            class_id=np.zeros(len(f), int),
        )
        for f in frames
    ]
    found, start = [], time.perf_counter()
    for boxes in inputs:
        found.append(tracker.update(boxes))
    seconds = time.perf_counter() - start
    rows = []
    for k, tracks in enumerate(found):
        known = tracks.tracker_id is not None and len(tracks)
        if known:
            table = pd.DataFrame(tracks.xyxy, columns=SIDES).assign(id=tracks.tracker_id, frame=k)
            rows.append(table[table.id >= 0])
    return pd.concat(rows, ignore_index=True).astype({"id": "int64"}), seconds


def hota_data(truth: pd.DataFrame, found: pd.DataFrame) -> dict[str, Any]:
    """What trackeval's HOTA wants: ids from 0, and IoU, per frame."""
    truth, found = truth.assign(id=pd.factorize(truth.id)[0]), found.assign(id=pd.factorize(found.id)[0])
    last = int(max(truth.frame.max(), found.frame.max())) if len(found) else int(truth.frame.max())
    t_by, f_by = dict(list(truth.groupby("frame"))), dict(list(found.groupby("frame")))
    data: dict[str, Any] = {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}
    for k in range(last + 1):
        t, f = t_by.get(k, truth.iloc[:0]), f_by.get(k, found.iloc[:0])
        data["gt_ids"].append(t.id.to_numpy(int))
        data["tracker_ids"].append(f.id.to_numpy(int))
        data["similarity_scores"].append(iou(t[SIDES].to_numpy(float), f[SIDES].to_numpy(float)))
    data["num_gt_dets"], data["num_tracker_dets"] = len(truth), len(found)
    data["num_gt_ids"], data["num_tracker_ids"] = truth.id.nunique(), found.id.nunique()
    return data


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    size = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    common = np.clip(size, 0, None).prod(2)
    area = lambda x: (x[:, 2:] - x[:, :2]).prod(1)  # noqa: E731
    return common / np.maximum(area(a)[:, None] + area(b)[None] - common, 1e-9)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
