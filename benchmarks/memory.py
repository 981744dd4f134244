"""Does memory grow with the length of a video?

    make bench NAME=memory [FRAMES=100000]

One long video, made here (people as blocks), passes decoding, a YOLO network at a small input, and the tracker, as in the
stages. Resident memory after a tenth of the frames and after all of them.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from benchmarks.result import finish, machine
from data.video import read_frames
from stages.detectors.yolo import DetectorSettings, open_detector
from stages.tracking.tracker import Tracker

FRAMES = int(os.environ.get("FRAMES") or 100_000)
PT = Path(__file__).resolve().parents[1] / "data" / "synthetic" / "detector.pt"


def main() -> None:
    facts = machine()
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "long.mp4"
        film(video)
        detector = open_detector(
            PT, DetectorSettings(image_size=96), frame_size=(96, 160), cache=Path(folder)
        )
        tracker, seen, began = Tracker(), 0, time.perf_counter()
        rss = [resident_mb()]
        images = (frame.rgb() for frame in read_frames(video))
        for k, boxes in enumerate(detector.stream(images), start=1):
            tracker.update(k / 10, boxes[:, :4].astype(float), boxes[:, 4].astype(float))
            seen += len(boxes)
            if k % (FRAMES // 10) == 0:
                rss.append(resident_mb())
        seconds = time.perf_counter() - began
    rows = [{"frames": k * FRAMES // 10, "resident, MB": value} for k, value in enumerate(rss)]
    values = {
        "rss_growth_mb": rss[-1] - rss[1],
        "frames": FRAMES,
        "boxes": seen,
        "frames_per_s": FRAMES / seconds,
    }
    finish("memory", values, rows, facts)


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
