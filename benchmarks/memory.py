"""Does memory grow with the length of a video, and is the time left said rightly?

    make bench NAME=memory [FRAMES=100000]

One long video, made here (people as blocks), goes through the shards of `detect` (a YOLO network at a small input) and
`track` as in a run. Resident memory after a tenth of the time, at its highest, and at the end. What has to grow is the
tables themselves; from their bytes per box follows what a recording of 12 hours by four cameras at ten frames a second
takes, with as many people per frame as here, where `detect` puts the tables of all its files together.

The time that `detect` says is left (`pipeline.progress.Pace`) after 5, 10, 20 and 50 per cent of the frames is held
against the time it then took.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np

from benchmarks.result import finish, machine
from camera_topology.view import View
from pipeline import schema
from pipeline.manifests import BOXES, DETECTIONS, KEYPOINTS
from pipeline.progress import Pace, begin
from stages.detect import DetectConfig, detect_people
from stages.track import TrackConfig, track_files

FRAMES = int(os.environ.get("FRAMES") or 100_000)
PT = Path(__file__).resolve().parents[1] / "data" / "synthetic" / "detector.pt"


def main() -> None:
    facts = machine()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        film(folder / "long.mp4")
        video = {"video_id": "long", "path": str(folder / "long.mp4"), "height": 96, "width": 160, "fps": 10.0,
                 "frames": FRAMES, "t_start_us": 0, "clock_scale": 1.0, "t_end_us": 0, "t_from_us": 0, "t_until_us": 0}  # fmt: skip
        for name in ("detect", "track"):
            (folder / name).mkdir()
        settings = DetectConfig(image_size_px=96)
        pace = Pace("detect", FRAMES, "frames", print)
        begin(pace)
        detect = watched(lambda: detect_people(PT, video, settings, "cpu", folder, folder / "detect"), pace)
        begin(None)
        found = [folder / "detect" / m.file for m in (DETECTIONS, KEYPOINTS)]
        track = watched(
            lambda: track_files("cam", {"long": (160, 96)}, *found, View(), TrackConfig(), folder / "track")
        )
        boxes = schema.read(BOXES, folder / "track" / BOXES.file)
        bytes_per_box = boxes.memory_usage(deep=True).sum() / len(boxes)
    told = detect.pop("told")
    rows = [
        {"stage": name, **values}
        for name, values in (("detect", detect), ("track", {k: v for k, v in track.items() if k != "told"}))
    ]
    values = {
        "rss_growth_mb": max(row["highest, MB"] - row["after a tenth, MB"] for row in (detect, track)),
        "frames": FRAMES,
        "boxes": len(boxes),
        "bytes_per_box": bytes_per_box,
        "gb_of_12_hours_by_4_cameras": 12 * 3600 * 10 * 4 * len(boxes) / FRAMES * bytes_per_box / 1e9,
        "eta_error_percent": {share: 100 * (said / detect["seconds"] - 1) for share, said in told.items()},
        "frames_per_s": FRAMES / detect["seconds"],
    }
    finish("memory", values, rows, facts)


def watched(work: Callable[[], Any], pace: Pace | None = None) -> dict[str, Any]:
    """Resident memory while ``work`` goes on, looked at every tenth of a second; and how long ``pace`` said it would take."""
    seen, done = [(time.perf_counter(), resident_mb())], threading.Event()
    told: dict[str, float] = {}

    def watch() -> None:
        while not done.wait(0.1):
            seen.append((time.perf_counter(), resident_mb()))
            for share in (5, 10, 20, 50):
                if pace and pace.done >= share / 100 * pace.total and f"after {share} %" not in told:
                    told[f"after {share} %"] = seen[-1][0] - seen[0][0] + pace.left_s

    thread = threading.Thread(target=watch)
    thread.start()
    work()
    done.set()
    thread.join()
    began, ended = seen[0][0], time.perf_counter()
    tenth = max((mb for t, mb in seen if t <= began + 0.1 * (ended - began)), default=seen[0][1])
    late = [mb for t, mb in seen if t > began + 0.1 * (ended - began)]
    return {"seconds": ended - began, "before, MB": seen[0][1], "after a tenth, MB": tenth,
            "highest, MB": max([tenth, *late]), "at the end, MB": resident_mb(), "told": told}  # fmt: skip


def film(path: Path) -> None:
    """One block after another walks through."""
    rng = np.random.default_rng(0)
    colours = rng.integers(30, 226, (64, 3))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for n in range(FRAMES):
            picture = np.full((96, 160, 3), 128, np.uint8)
            x = 3 * (n % 60) - 20
            picture[20:84, max(x, 0) : max(x + 24, 0)] = colours[n // 60 % 64]
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
