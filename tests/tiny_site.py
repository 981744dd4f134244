"""A tiny site made on the spot: two cameras, two recordings, people as two-coloured blocks, truth and detections."""

import subprocess
import sys
from pathlib import Path

import av
import numpy as np

FPS, SECONDS = 10, 16
STARTS = {"20260301T080000Z": 0, "20260301T090000Z": 6}
SITE = """
version: 1
cameras:
  - {id: east, videos: ["east_*.mp4"]}
  - {id: west, videos: ["west_*.mp4"]}
links:
  - {from: east, to: west, distance_m: 5}
evaluation: {train_until: "2026-03-01T08:30:00Z", test_from: "2026-03-01T08:30:00Z"}
"""
FAST = (
    "run.workers=1 run.rounds=1 run.image_size=[32,16] train.epochs=1 train.round_steps=4 supervised.steps=4 "
    "train.batch_tracklets=4 train.batch_images=2 evaluate.draws=100 isolate.min_samples=2"
)


def colours_of(pid):
    """RGB of the upper and the lower block of a person."""
    return np.random.default_rng(5).integers(30, 226, (99, 2, 3))[pid]


def film(path, start, camera, people):
    """People walk past one after another, each a two-coloured block; returns MOT text rows (frame, id, x, y, w, h)."""
    rows = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for n in range(FPS * SECONDS):
            picture = np.full((96, 160, 3), 128, np.uint8)
            for k, pid in enumerate(people):
                x = 4 * (n - 40 * k - (8 if camera == "west" else 0)) - 30
                if 0 <= x <= 130:
                    picture[20:50, x : x + 24], picture[50:84, x : x + 24] = colours_of(pid)
                    rows.append((n + 1, pid, x, 20, 24, 64))
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return rows


def make_site(folder):
    """Videos, gt, det and site.yaml below a folder."""
    for name in ("videos", "gt", "det"):
        (folder / name).mkdir()
    (folder / "site.yaml").write_text(SITE.replace('"east', '"videos/east').replace('"west', '"videos/west'))
    for start, first in STARTS.items():
        for camera in ("east", "west"):
            stem = f"{camera}_{start}"
            rows = film(folder / "videos" / f"{stem}.mp4", start, camera, range(first + 1, first + 4))
            lines = [f"{f},{i},{x},{y},{w},{h}" for f, i, x, y, w, h in rows]
            (folder / "gt" / f"{stem}.txt").write_text("".join(f"{line},1,1,1.0\n" for line in lines))
            det = [",".join(["-1" if n == 1 else v for n, v in enumerate(line.split(","))]) for line in lines]
            (folder / "det" / f"{stem}.txt").write_text("".join(f"{line},0.9\n" for line in det))


def pipeline(*words, check=True, env=None):
    """`python -m pipeline` with these words, to its end."""
    result = subprocess.run(
        [sys.executable, "-m", "pipeline", *map(str, words)],
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        env=env,
    )
    if check:
        assert result.returncode == 0, result.stdout + result.stderr
    return result


def request(site, run):
    """The words of a run of `make_site`'s site."""
    return (
        "--run", run, "--videos", site / "videos", "--topology", site / "site.yaml", "--ground-truth", site / "gt",
        "--detector", site / "det", "--set", FAST,
    )  # fmt: skip
