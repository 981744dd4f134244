"""Tracking at 1 to 25 frames a second: frames dropped from one recording, the same boxes for every tracker.

    make bench NAME=frame_rates [PEERS=/tmp/peers]

Two recordings: the simulated people of `benchmarks.track` (25 frames a second, truth known) and PETS09-S2L1 with its
public detections (7 a second). Beside ours stand ByteTrack and OC-SORT of roboflow's trackers, if PEERS holds a virtual
environment with `pip install trackers pandas pyarrow`; they are told the rate. The scores are of the frames looked at.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.result import finish, machine
from benchmarks.track import PEERS, mot15, simulated
from stages.evaluation.hota import hota
from stages.evaluation.matching import match
from stages.evaluation.tracking import idf1
from stages.track import TrackConfig, track_camera

RATES = (1.0, 2.0, 3.0, 5.0, 10.0, 25.0)
PEER = Path(__file__).with_name("frame_rates_peers.py")


def main() -> None:
    facts = machine()
    recordings = {"simulated": simulated(), "PETS09-S2L1": mot15()["PETS09-S2L1"]}
    rows: list[dict[str, Any]] = []
    for name, (boxes, truth, fps) in recordings.items():
        for rate in sorted({min(rate, fps) for rate in RATES}):
            at = looked_at(int(max(boxes.frame.max(), truth.frame.max())) + 1, fps, rate)
            mine, true = (t[t.frame.isin(at)].reset_index(drop=True) for t in (boxes, truth))
            found = {"ours": ours(mine, fps), **peers(mine, at, rate)}
            rows += [
                {"recording": name, "frames a second": rate, "tracker": tracker, **scores(own, true)}
                for tracker, own in found.items()
            ]
            print(*rows[-len(found) :], sep="\n", flush=True)
    own = [row for row in rows if row["tracker"] == "ours"]
    values = {
        "least_idf1": min(row["IDF1"] for row in own),
        "vanished_people": sum(row["people never followed"] for row in own),
    }
    finish("frame_rates", values, rows, facts)


def looked_at(frames: int, fps: float, rate: float) -> np.ndarray:
    """Numbers of the frames that `detect` looks at with ``target_fps=rate``."""
    interval = np.floor(np.arange(frames) / fps * rate + 0.01)
    return np.flatnonzero(np.diff(interval, prepend=-1))


def ours(boxes: pd.DataFrame, fps: float) -> pd.DataFrame:
    """Our stage's boxes with column ``id``."""
    t_us = (boxes.frame / fps * 1e6).round().astype("int64")
    rows = boxes.assign(video_id="v", t_utc_us=t_us, detection=0).astype({"frame": "int32"})
    _, tracked, _ = track_camera("c", rows, TrackConfig())
    return tracked.assign(id=tracked.tracklet_id.astype("category").cat.codes.astype("int64"))


def peers(boxes: pd.DataFrame, at: np.ndarray, rate: float) -> dict[str, pd.DataFrame]:
    """The same of each peer, where they are installed."""
    python = PEERS / "bin" / "python"
    if not python.is_file():
        return {}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        boxes.to_parquet(work / "boxes.parquet")
        np.save(work / "frames.npy", at)
        subprocess.run([python, PEER, work, str(rate)], check=True, env={**os.environ, "TQDM_DISABLE": "1"})
        return {path.stem: pd.read_parquet(path) for path in sorted((work / "out").glob("*.parquet"))}


def scores(own: pd.DataFrame, truth: pd.DataFrame) -> dict[str, float]:
    """Tracklets per person, people never followed, HOTA, IDF1, all of one camera."""
    own = own.assign(video_id="v").reset_index(drop=True)
    true = truth.assign(video_id="v", pid=truth.id)
    whole = hota(own, true, own.id.to_numpy(), true.id.to_numpy())["hota"]
    truth_of = match(own, true)
    seen = true.id.to_numpy()[truth_of[truth_of >= 0]]
    people = int(true.id.nunique())
    return {
        "tracklets a person": own.id.nunique() / people,
        "people never followed": people - len(np.unique(seen)),
        "HOTA": 100 * (whole or 0.0),
        "IDF1": 100 * (idf1(own, true, own.id.to_numpy()) or 0.0),
    }


if __name__ == "__main__":
    main()
