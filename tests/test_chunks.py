"""One recording, cut into seven files: the same detections, tracklets and ids, for any number of workers and after a kill.

Twelve seconds of a camera of the demo site, found by the demo's own detector.
"""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from data.synthetic.render import render_frames
from data.synthetic.world import build_world
from pipeline.digest import table_digest
from pipeline.manifests import BOXES, DETECTIONS, TRACKLETS
from tests.tiny_site import pipeline

ROOT = Path(__file__).resolve().parents[1]
DETECTOR = ROOT / "data" / "synthetic" / "detector.pt"
BEGIN = datetime(2026, 3, 1, 8, tzinfo=UTC)
FPS, FRAMES, KEYFRAME_EVERY = (
    10,
    120,
    17,
)  # seven chunks of 1.7 s, so that no cut but the first is on a whole second


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folders with the recording whole, and in chunks whose names tell whole seconds."""
    folder = tmp_path_factory.mktemp("filmed")
    whole, chunks = folder / "whole", folder / "chunks"
    whole.mkdir(), chunks.mkdir()
    world = build_world()
    pictures = islice(render_frames(world.recordings[0], world.cameras[0]), 200, 200 + FRAMES)
    path = whole / f"gate_{BEGIN:%Y%m%dT%H%M%SZ}.mp4"
    with av.open(str(path), "w") as container:
        options = {
            "g": str(KEYFRAME_EVERY),
            "keyint_min": str(KEYFRAME_EVERY),
            "sc_threshold": "0",
            "bf": "0",
        }
        stream = container.add_stream("libx264", rate=FPS, options=options)
        for i, (picture, _) in enumerate(pictures):
            if i == 0:
                stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv420p"
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24"))
            )
        container.mux(stream.encode(None))
    cut(path, chunks)
    assert len(list(chunks.iterdir())) == 8 - (FRAMES % KEYFRAME_EVERY == 0)
    return whole, chunks


def cut(path: Path, folder: Path) -> None:
    """Copy each group of pictures into a file of its own, without decoding it."""
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        out = target = None
        for packet in source.demux(stream):
            if packet.dts is None:
                continue
            if packet.is_keyframe:
                if out is not None:
                    out.close()
                first, begun_s = packet.dts, float(packet.pts * packet.time_base)
                when = BEGIN + timedelta(seconds=int(begun_s))
                out = av.open(str(folder / f"gate_{when:%Y%m%dT%H%M%SZ}.mp4"), "w")
                target = out.add_stream_from_template(stream)
            packet.pts, packet.dts, packet.stream = packet.pts - first, packet.dts - first, target
            out.mux(packet)
        out.close()


def words(videos: Path, run: Path, workers: int) -> list[str]:
    given = [
        "run",
        "--run",
        run,
        "--videos",
        videos,
        "--detector",
        DETECTOR,
        "--until",
        "track",
        "--device",
        "cpu",
    ]
    return [*map(str, given), "--set", f"run.workers={workers}"]


def by_time(run: Path) -> dict[str, str]:
    """Digests of what was found, keyed by camera and time in place of file and frame."""
    tables = {m.name: pd.read_parquet(run / stage / m.file) for m, stage in
              ((DETECTIONS, "detect"), (TRACKLETS, "track"), (BOXES, "track"))}  # fmt: skip
    found = {}
    for name, table in tables.items():
        plain = table.drop(columns=[c for c in ("video_id", "frame") if c in table])
        found[name] = table_digest(plain.sort_values([c for c in plain.columns]).reset_index(drop=True))
    assert len(tables["tracklets"]) > 1 and (tables["boxes"].groupby("tracklet_id").size().max()) > 30
    return found


@pytest.mark.slow
def test_cut_in_seven_and_killed_it_is_the_same(filmed: tuple[Path, Path], tmp_path: Path) -> None:
    whole, chunks = filmed
    start = time.monotonic()
    pipeline(*words(whole, tmp_path / "whole", 1))
    took_s = time.monotonic() - start
    wanted = by_time(tmp_path / "whole")
    pipeline(*words(chunks, tmp_path / "chunks", 1))
    assert by_time(tmp_path / "chunks") == wanted
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "pipeline", *words(chunks, killed, 4)]
    process = subprocess.Popen(
        command, cwd=ROOT, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(0.8 * took_s)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    pipeline(*words(chunks, killed, 4))
    assert by_time(killed) == wanted


@pytest.mark.slow
def test_any_batch_shape_finds_the_same_people(filmed: tuple[Path, Path]) -> None:
    """Last digits differ with the shape of a batch: boxes agree to an overlap of 0.99, tracklets in number and frames."""
    from data.video import read_frames
    from stages.detect import Moment, to_tables
    from stages.detectors.yolo import DetectorSettings, TorchDetector
    from stages.track import TrackConfig, track_camera

    (path,) = filmed[0].iterdir()
    video = {"video_id": "gate", "t_start_us": 0, "clock_scale": 1.0}
    found, tracks = [], []
    for batch in (1, 4, 16):
        network = TorchDetector(DETECTOR, DetectorSettings(image_size=512, batch=batch), "cpu")
        seen = [Moment(f.index, f.media_time_s) for f in read_frames(path)]
        boxes = list(network.stream(f.rgb() for f in read_frames(path)))
        found.append(boxes)
        tracklets, rows, _ = track_camera("gate", to_tables(video, seen, boxes)[0], TrackConfig())
        tracks.append((list(tracklets.tracklet_id), list(zip(rows.tracklet_id, rows.frame, strict=True))))
    assert len(found[0]) == FRAMES and sum(map(len, found[0])) > FRAMES
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            sure = a[:, 4] > 0.11, b[:, 4] > 0.11  # at the threshold itself a last digit decides
            assert sure[0].sum() == sure[1].sum()
            assert all(overlap(x, b).max() >= 0.99 for x in a[sure[0]])
    assert tracks[0] == tracks[1] == tracks[2]


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """IoU of one box with each of several."""
    sides = np.minimum(box[2:4], boxes[:, 2:4]) - np.maximum(box[:2], boxes[:, :2])
    common = sides.clip(0).prod(1)
    areas = [(b[..., 2] - b[..., 0]) * (b[..., 3] - b[..., 1]) for b in (box, boxes)]
    return common / (areas[0] + areas[1] - common)
