"""Ten thousand files, as a recorder leaves them in a month."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.tiny_site import film, pipeline


@pytest.mark.slow
def test_ten_thousand_files_of_forty_cameras(tmp_path: Path) -> None:
    """Ten-second chunks with a number at their end, so that no two are alike; all are read, and a second run does nothing."""
    film(tmp_path / "one.mp4", "", "east", [1])
    content = (tmp_path / "one.mp4").read_bytes()
    folder = tmp_path / "videos"
    for camera in range(40):
        (folder / f"cam{camera}").mkdir(parents=True)
        for chunk in range(250):
            when = pd.Timestamp("2026-03-01T08:00:00Z") + pd.Timedelta(seconds=16 * chunk)
            name = folder / f"cam{camera}" / f"{when:%Y%m%dT%H%M%SZ}.mp4"
            # A box of its own at the end, which readers pass over.
            name.write_bytes(
                content + (16).to_bytes(4, "big") + b"free" + (1000 * camera + chunk).to_bytes(8, "big")
            )
    run = tmp_path / "run"
    pipeline("run", "--run", run, "--videos", folder, "--detector", folder, "--until", "ingest")
    videos = pd.read_parquet(run / "ingest" / "videos.parquet")
    assert len(videos) == 10_000 and (videos.status == "ok").all() and videos.camera_id.nunique() == 40
    gaps = videos.sort_values("t_start_us").groupby("camera_id").t_start_us.diff().dropna()
    assert (gaps == 16_000_000).all()
    assert "Nothing to do" in pipeline("run", "--run", run, "--until", "ingest").stdout
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{p}\n" for p in sorted(folder.rglob("*.mp4"))))
    shutil.rmtree(run / "ingest")
    pipeline("run", "--run", run, "--videos", listed, "--until", "ingest")
    assert len(pd.read_parquet(run / "ingest" / "videos.parquet")) == 10_000
