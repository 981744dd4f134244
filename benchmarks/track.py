"""Our tracker against the Python ByteTracks that people use: speed on 30 simulated people, HOTA on MOT15's detections.

    make bench NAME=track [PEERS=/tmp/peers]

The peers (boxmot, roboflow's trackers) and the evaluator (trackeval) live in a virtual environment of their own, made in
PEERS on first use (some GB: boxmot brings torch). All track the same boxes, one after the other in one run.
"""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.result import finish, machine
from stages.track import TrackConfig, track_camera

SHARED = Path(__file__).resolve().parents[2] / "shared" / "footage" / "mot15"
REPEATS = 3  # the best of so many, for us and for the peers
PEERS = Path(os.environ.get("PEERS") or "/tmp/peers")
FRAMES, PEOPLE, FPS = 2000, 30, 25


def main() -> None:
    facts = machine()
    if not (PEERS / "bin" / "python").is_file():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        subprocess.run(
            [PEERS / "bin" / "pip", "install", "-q", "boxmot", "trackers", "trackeval"], check=True
        )
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        sequences = {"simulated": simulated(), **mot15()}
        for name, (boxes, _, fps) in sequences.items():
            boxes.to_parquet(work / f"{name}.boxes.parquet")
            (work / f"{name}.json").write_text(json.dumps({"fps": fps}))
        for name, (_, truth, _) in sequences.items():
            truth.to_parquet(work / f"{name}.truth.parquet")
        ours = {
            name: track(boxes, fps, work / f"{name}.ours.parquet")
            for name, (boxes, _, fps) in sequences.items()
        }
        script = Path(__file__).with_name("track_peers.py")
        said = subprocess.run([PEERS / "bin" / "python", script, work], check=True, stdout=subprocess.PIPE)
    peers: dict[str, Any] = json.loads(said.stdout)
    rows = []
    for tracker, found in {"ours": {"ms": ours, "hota": peers["hota"]["ours"]}, **peers["trackers"]}.items():
        rows.append({"tracker": tracker, "ms a frame, 30 people": found["ms"]["simulated"],
                     "HOTA simulated": found["hota"]["simulated"], "HOTA MOT15": found["hota"]["MOT15"]})  # fmt: skip
    ms = {row["tracker"]: row["ms a frame, 30 people"] for row in rows}
    hota = {row["tracker"]: row["HOTA MOT15"] for row in rows}
    others = [name for name in ms if name != "ours"]
    values = {
        "ms_per_frame_30": ms["ours"],
        "vs_python_bytetrack": min(ms[name] for name in others) / ms["ours"],
        "hota_difference": hota["ours"] - max(hota[name] for name in others),
        "hota_by_sequence": peers["by_sequence"],
    }
    finish("track", values, rows, {**facts, "peers": peers["versions"]})


def simulated(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    """People who walk and cross in 1280×720, boxes with noise, one in ten missed.

    They keep about the pace they wish for, and turn round within a second where the picture ends: people who rebound at
    once, and ever faster, as an earlier world of this benchmark had them, are lost by any filter that expects people.
    """
    rng = np.random.default_rng(seed)
    height = rng.uniform(80, 200, PEOPLE)
    place = np.stack([rng.uniform(0, 1280, PEOPLE), rng.uniform(200, 600, PEOPLE)], 1)
    wish = rng.normal(0, 60, (PEOPLE, 2)) * [1.0, 0.3]  # px/s
    speed = wish.copy()
    boxes, truth = [], []
    for frame in range(FRAMES):
        speed += 3.0 * (wish - speed) / FPS + rng.normal(0, 20, speed.shape) * [1.0, 0.3] / FPS**0.5
        place += speed / FPS
        for axis, (low, high) in enumerate(((60, 1220), (150, 600))):
            wish[place[:, axis] < low, axis] = np.abs(wish[place[:, axis] < low, axis])
            wish[place[:, axis] > high, axis] = -np.abs(wish[place[:, axis] > high, axis])
        corners = np.stack(
            [
                place[:, 0] - height / 5,
                place[:, 1] - height / 2,
                place[:, 0] + height / 5,
                place[:, 1] + height / 2,
            ],
            1,
        )
        truth.append(pd.DataFrame(corners, columns=list("abcd")).assign(frame=frame, id=np.arange(PEOPLE)))
        seen = rng.random(PEOPLE) > 0.1
        noisy = corners[seen] + rng.normal(0, 0.02, (int(seen.sum()), 4)) * height[seen, None]
        boxes.append(
            pd.DataFrame(noisy, columns=list("abcd")).assign(
                frame=frame, score=rng.uniform(0.55, 0.98, len(noisy))
            )
        )
    return _named(pd.concat(boxes)), _named(pd.concat(truth)), float(FPS)


def mot15() -> dict[str, tuple[pd.DataFrame, pd.DataFrame, float]]:
    """The sequences at hand: public detections, truth, frames per second."""
    found = {}
    for folder in sorted(p for p in SHARED.glob("*") if p.is_dir()):
        parts = []
        for kind in ("det", "gt"):
            rows = pd.read_csv(folder / kind / f"{kind}.txt", header=None).iloc[:, :7]
            rows.columns = ["frame", "id", "x", "y", "w", "h", "score"]
            rows = rows.assign(
                frame=rows.frame - 1, x1=rows.x, y1=rows.y, x2=rows.x + rows.w, y2=rows.y + rows.h
            )
            parts.append(rows[["frame", "id", "x1", "y1", "x2", "y2", "score"]].reset_index(drop=True))
        facts = configparser.ConfigParser()
        facts.read(folder / "seqinfo.ini")
        truth = parts[1][parts[1].score > 0]
        found[folder.name] = (
            parts[0].drop(columns="id"),
            truth.drop(columns="score"),
            facts["Sequence"].getfloat("frameRate"),
        )
    return found


def _named(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns=dict(zip("abcd", ("x1", "y1", "x2", "y2"), strict=True))).reset_index(
        drop=True
    )


def track(boxes: pd.DataFrame, fps: float, out: Path) -> float:
    """Our stage's tracking of one camera, written for the evaluator; milliseconds a frame, the best of `REPEATS`."""
    rows = boxes.assign(video_id="v", t_utc_us=(boxes.frame / fps * 1e6).round().astype("int64"), detection=0)
    rows = rows.astype({"frame": "int32"})
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        _, tracked, _ = track_camera("c", rows, TrackConfig())
        seconds.append(time.perf_counter() - start)
    ms = 1000 * min(seconds) / (int(boxes.frame.max()) + 1)
    tracked = tracked.assign(id=tracked.tracklet_id.astype("category").cat.codes.astype("int64"))
    tracked[["frame", "id", "x1", "y1", "x2", "y2"]].to_parquet(out)
    return ms


if __name__ == "__main__":
    main()
