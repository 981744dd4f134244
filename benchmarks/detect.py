"""How much of the network's own speed the detect stage reaches, and how it compares with `yolo track`.

    make bench NAME=detect [VIDEO=…] [FRAMES=600] [REPEATS=3]

In one run, alternating: the network's forward pass alone (asynchronous, finished input), our stage from file to boxes,
detect + track, and ultralytics' `yolo track` on the same file and network. With a ``.pt`` network too (the demo's own).
Medians of the repeats.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.result import finish, machine
from data.video import read_frames
from stages.detectors.openvino_network import Boxes, OpenVinoDetector
from stages.detectors.quiet import import_ultralytics
from stages.detectors.yolo import DetectorSettings, open_detector
from stages.tracking.boxes import iou_matrix
from stages.tracking.tracker import Tracker

SHARED = Path(__file__).resolve().parents[2] / "shared" / "footage"
VIDEO = Path(os.environ.get("VIDEO") or SHARED / "market-site" / "cam1_20260501T080000Z.mp4")
FRAMES, REPEATS = int(os.environ.get("FRAMES") or 600), int(os.environ.get("REPEATS") or 3)
INT8 = SHARED / "weights" / "yolo11n_int8_openvino_model"
PT = Path(__file__).resolve().parents[1] / "data" / "synthetic" / "detector.pt"


def main() -> None:
    facts = machine()
    first = next(iter(read_frames(VIDEO)))
    size = first.rgb().shape[:2]
    with tempfile.TemporaryDirectory() as folder:
        ours = {
            "int8": open_detector(INT8, DetectorSettings(), frame_size=size, cache=Path(folder)),
            "pt": open_detector(PT, DetectorSettings(), frame_size=size, cache=Path(folder)),
        }
        seconds: dict[str, list[float]] = {}
        for _ in range(REPEATS):
            for network, detector in ours.items():
                measure(seconds, f"forward, {network}", lambda d=detector: forward_only(d))
                measure(seconds, f"detect, {network}", lambda d=detector: sum(1 for _ in detected(d)))
                measure(seconds, f"detect + track, {network}", lambda d=detector: tracked(d))
            measure(seconds, "yolo track, int8", lambda: yolo_track(INT8))
            measure(seconds, "yolo track, pt", lambda: yolo_track(PT))
        same = same_boxes(ours["int8"], INT8)
        same_pt = same_boxes(ours["pt"], PT)
    rate = {name: FRAMES / statistics.median(times) for name, times in seconds.items()}
    rows = [
        {"what": name, "frames/s": rate[name], "ms a frame": 1000 / rate[name],
         "spread": max(times) / min(times)} for name, times in seconds.items()
    ]  # fmt: skip
    values = {
        "fraction_of_forward": rate["detect, int8"] / rate["forward, int8"],
        "fraction_of_forward_pt": rate["detect, pt"] / rate["forward, pt"],
        "chain_vs_yolo_track_int8": rate["detect + track, int8"] / rate["yolo track, int8"],
        "chain_vs_yolo_track_pt": rate["detect + track, pt"] / rate["yolo track, pt"],
        "same_boxes": same,
        "same_boxes_pt": same_pt,
    }
    finish("detect", values, rows, facts)


def measure(seconds: dict[str, list[float]], name: str, work: Callable[[], Any]) -> None:
    start = time.perf_counter()
    work()
    seconds.setdefault(name, []).append(time.perf_counter() - start)


def forward_only(detector: Any) -> None:
    """As many forward passes as frames, with the input in place: the limit of any chain around this network."""
    assert isinstance(detector, OpenVinoDetector)
    requests = list(detector._idle)
    for k in range(FRAMES):
        request = requests[k % len(requests)]
        if k >= len(requests):
            request.wait()
        request.start_async()
    for request in requests:
        request.wait()


def images() -> Iterator[np.ndarray]:
    return (frame.rgb() for frame in islice(read_frames(VIDEO), FRAMES))


def detected(detector: Any) -> Iterator[Boxes]:
    yield from detector.stream(images())


def tracked(detector: Any) -> None:
    tracker = Tracker()
    for k, boxes in enumerate(detected(detector)):
        tracker.update(k / 10, boxes[:, :4].astype(float), boxes[:, 4].astype(float))


def yolo_track(weights: Path) -> None:
    """`yolo track` as its users call it, with its own decoding and ByteTrack, quiet and saving nothing."""
    model = import_ultralytics().YOLO(str(weights), task="detect")
    results = model.track(
        source=str(VIDEO), stream=True, tracker="bytetrack.yaml", conf=0.1, iou=0.7, classes=[0],
        device="cpu", verbose=False, save=False,
    )  # fmt: skip
    for _ in islice(results, FRAMES):
        pass


def same_boxes(detector: Any, weights: Path) -> float:
    """Share of boxes (score ≥ 0.3) that ultralytics' predictor finds too, at IoU ≥ 0.99, and the reverse."""
    model = import_ultralytics().YOLO(str(weights), task="detect")
    hits = total = 0
    for image, mine in zip(islice(images(), 200), detector.stream(islice(images(), 200)), strict=True):
        result = model.predict(
            image[:, :, ::-1], conf=0.3, iou=0.7, classes=[0], device="cpu", verbose=False
        )[0]
        theirs = result.boxes.xyxy.cpu().numpy().astype(float)
        own = mine[mine[:, 4] >= 0.3, :4].astype(float)
        total += len(own) + len(theirs)
        if len(own) and len(theirs):
            iou = iou_matrix(own, theirs)
            hits += int((iou.max(1) >= 0.99).sum() + (iou.max(0) >= 0.99).sum())
    return hits / max(total, 1)


if __name__ == "__main__":
    main()
