"""Runs in the peers' own environment, called by `benchmarks.frame_rates`: roboflow's trackers on the same boxes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from supervision import Detections
from trackers import ByteTrackTracker, OCSORTTracker

SIDES = ["x1", "y1", "x2", "y2"]


def main(work: Path, rate: float) -> None:
    boxes = pd.read_parquet(work / "boxes.parquet")
    by_frame = dict(tuple(boxes.groupby("frame")))
    (work / "out").mkdir()
    for name, kind in (("ByteTrack", ByteTrackTracker), ("OC-SORT", OCSORTTracker)):
        tracker, parts = kind(frame_rate=rate), [boxes.iloc[:0][["frame", *SIDES]].assign(id=0)]
        for frame in np.load(work / "frames.npy").tolist():
            rows = by_frame.get(frame, boxes.iloc[:0])
            given = Detections(
                xyxy=rows[SIDES].to_numpy(np.float32),
                confidence=rows.score.to_numpy(np.float32),
                class_id=np.zeros(len(rows), int),
            )
            found = tracker.update(given)
            if len(found):
                part = pd.DataFrame(found.xyxy, columns=SIDES).assign(frame=frame, id=found.tracker_id)
                parts.append(part[part.id >= 0])
        pd.concat(parts, ignore_index=True).to_parquet(work / "out" / f"{name}.parquet")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
