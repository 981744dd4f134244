"""The report of a large site: 5,000 people and 100,000 tracklets, built, weighed and opened in a browser.

    make bench NAME=report [PEOPLE=5000] [TRACKLETS=100000]

Ten cameras over a day; crops of a realistic size, a thousand different ones. Disk speed is what copying the same crops costs,
byte by byte as they lie, on this disk; a page is made of them decoded, shrunk and encoded again.
"""

from __future__ import annotations

import io
import os
import shutil
import tarfile
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from benchmarks.result import finish, machine
from camera_topology.site import without_file
from pipeline.manifests import BOXES, CONFUSIONS, RANKINGS, SELECTION
from stages.report import ReportConfig
from stages.reporting import pages
from stages.reporting.local_time import make_clock

PEOPLE, TRACKLETS = int(os.environ.get("PEOPLE") or 5000), int(os.environ.get("TRACKLETS") or 100_000)
CAMERAS = [f"cam{i:02d}" for i in range(10)]
DAY_US, S = 1_777_622_400_000_000, 1_000_000


def main() -> None:
    facts = machine()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        run_dir, out = Path(folder), Path(folder) / "report"
        out.mkdir()
        found = site(run_dir)
        copy_s = copied(found, run_dir)
        start = time.perf_counter()
        count = pages.write(found, run_dir, out, ReportConfig.model_validate({}))
        build_s = time.perf_counter() - start
        sizes = [p.stat().st_size for p in out.rglob("*") if p.is_file()]
        opened = browse(out / "index.html")
    values = {
        "seconds": build_s, "ms_per_tracklet": 1000 * build_s / TRACKLETS, "copy_seconds": copy_s, "pages": count,
        "files": len(sizes), "megabytes": sum(sizes) / 2**20, **opened,
    }  # fmt: skip
    row = {
        "people": PEOPLE,
        "tracklets": TRACKLETS,
        "built, s": build_s,
        "crops copied, s": copy_s,
        "pages": count,
    }
    finish("report", values, [row | opened], facts)


def site(run_dir: Path, seed: int = 0) -> pages.Findings:
    """The tables of such a site, and its crops."""
    rng = np.random.default_rng(seed)
    ids = np.array([f"t{i:06d}" for i in range(TRACKLETS)])
    camera = rng.integers(0, len(CAMERAS), TRACKLETS)
    start = DAY_US + rng.integers(0, 86_000, TRACKLETS) * S
    videos = pd.DataFrame(
        {
            "video_id": [f"{c}_v" for c in CAMERAS], "camera_id": CAMERAS, "path": [f"/gone/{c}.mp4" for c in CAMERAS],
            "digest": "0", "status": "ok", "t_start_us": DAY_US, "t_end_us": DAY_US + 86_400 * S, "frames": 864_000,
            "width": 1920, "height": 1080, "fps": 10.0, "time_source": "name", "clock_scale": 1.0, "time_std_s": 0.5, "note": "",
            "t_from_us": DAY_US, "t_until_us": DAY_US + 86_400 * S, "stamped_fps": 10.0, "grey_fraction": 0.0, "damaged": 0,
            "repaired_times": 0, "whole": True,
        }
    )  # fmt: skip
    tracklets = pd.DataFrame(
        {
            "tracklet_id": ids, "parent_id": ids, "camera_id": np.array(CAMERAS)[camera], "t_start_us": start,
            "t_end_us": start + rng.integers(2, 30, TRACKLETS) * S, "n_boxes": 90, "mean_score": 0.8,
        }
    )  # fmt: skip
    places = shard(run_dir / "crops.tar", rng)
    which = rng.integers(0, len(places), TRACKLETS)
    crops = pd.DataFrame(
        {
            "tracklet_id": ids, "video_id": [f"{CAMERAS[c]}_v" for c in camera], "frame": 1, "t_utc_us": start,
            "shard": "crops.tar", "offset": places[which, 0], "size": places[which, 1], "width": 128, "height": 256, "grey": False,
            "quality": rng.random(TRACKLETS),
        }
    )  # fmt: skip
    identities = pd.DataFrame(
        {
            "tracklet_id": ids,
            "identity": rng.integers(0, PEOPLE, TRACKLETS),
            "confidence": rng.beta(6, 2, TRACKLETS),
        }
    )
    return pages.Findings(
        name="benchmark", videos=videos, tracklets=tracklets, identities=identities, crops=crops.set_index("tracklet_id"),
        selection=SELECTION.empty(), rankings=RANKINGS.empty(), logs=[], links=[], metrics={}, stages=[], settings=[],
        seconds=0.0, clock=make_clock(videos, "UTC"), cut=None, site=without_file(CAMERAS), clock_std_s={},
        boxes=BOXES.empty(), heads=None, confusions=CONFUSIONS.empty(),
    )  # fmt: skip


def shard(path: Path, rng: np.random.Generator, count: int = 1000) -> np.ndarray:
    """(count, 2) offset and size of JPEGs of 128 x 256 px, about as many bytes as a person's picture has."""
    places = []
    with tarfile.open(path, "w") as tar:
        for i in range(count):
            rough = rng.integers(0, 255, (32, 16, 3), np.uint8)
            image = cv2.resize(rough, (128, 256), interpolation=cv2.INTER_CUBIC)
            data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()
            info = tarfile.TarInfo(f"{i}.jpg")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
            places.append((tar.offset - (len(data) + 511) // 512 * 512, len(data)))
    return np.array(places)


def copied(found: pages.Findings, run_dir: Path) -> float:
    """Seconds to read every crop that is shown and write its bytes to one file, synced."""
    start = time.perf_counter()
    with (run_dir / "crops.tar").open("rb") as read, (run_dir / "copy").open("wb") as write:
        for offset, size in zip(found.crops.offset, found.crops["size"], strict=True):
            read.seek(offset)
            write.write(read.read(size))
        write.flush()
        os.fsync(write.fileno())
    return time.perf_counter() - start


def browse(page: Path) -> dict[str, float]:
    """Seconds until the first page is loaded and drawn, and the MB it read; empty without a Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return {}
    from playwright.sync_api import sync_playwright

    read = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        tab.on("requestfinished", lambda r: read.append(Path(r.url.removeprefix("file://")).stat().st_size))
        start = time.perf_counter()
        tab.goto(page.as_uri(), wait_until="load")
        tab.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        seconds = time.perf_counter() - start
        browser.close()
    return {"open_seconds": seconds, "first_page_megabytes": sum(read) / 2**20}


if __name__ == "__main__":
    main()
