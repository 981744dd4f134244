from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest

from camera_topology.site import Site, load, without_file
from camera_topology.site_schema import SiteFile
from data.videos import expand_videos
from pipeline import schema
from pipeline.errors import UserError
from pipeline.manifests import VIDEOS
from pipeline.stage import Context
from stages import ingest
from stages.recording import inventory, starts

T0 = 1777622400000000  # 2026-05-01T08:00:00Z


def clip(path: Path, frames: int = 20, fps: int = 10, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        grey = np.full((48, 64, 3), (37 * seed + len(path.name)) % 250, np.uint8)
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def run(tmp: Path, videos: Path, site: Site | None = None, **settings: Any) -> pd.DataFrame:
    out = tmp / "run" / "ingest"
    out.mkdir(parents=True, exist_ok=True)
    context = Context(
        settings=ingest.IngestConfig(**settings), run_dir=tmp / "run", out=out, seed=0, device="cpu",
        sources={"videos": expand_videos(str(videos)), "site": site or without_file([])},
        inputs={}, outputs={"videos": VIDEOS}, shard_key_parts={"stage": "ingest"},
    )  # fmt: skip
    ingest.run(context)
    return schema.read(VIDEOS, out / VIDEOS.file).set_index("video_id")


def site_of(*cameras: dict[str, Any], **facts: Any) -> Site:
    return Site(SiteFile.model_validate({"cameras": cameras, **facts}))


def test_times_from_file_names(tmp_path: Path) -> None:
    clip(tmp_path / "v" / "a_20260501T080000Z.mp4", 21)
    clip(tmp_path / "v" / "b_20260501T080100Z.mp4", 11, seed=1)
    table = run(tmp_path, tmp_path / "v")
    assert list(table.index) == ["a_20260501T080000Z", "b_20260501T080100Z"]
    assert list(table.camera_id) == ["a", "b"]
    assert list(table.frames) == [21, 11] and list(table.fps) == pytest.approx([10, 10])
    assert list(table.t_start_us) == [T0, T0 + 60_000_000]
    assert list(table.t_end_us) == [T0 + 2_000_000, T0 + 61_000_000]
    assert set(table.time_source) == {"file name"} and set(table.time_std_s) == {1.0}
    assert (table.width.iloc[0], table.height.iloc[0]) == (64, 48)


def test_without_any_clock_cameras_start_together_chunk_after_chunk(tmp_path: Path) -> None:
    for i, name in enumerate(["gate/clip2.mp4", "gate/clip10.mp4", "hall/hall.mp4"]):
        clip(tmp_path / "v" / name, 20, seed=i)
    table = run(tmp_path, tmp_path / "v")
    assert list(table.index) == ["gate_clip10", "gate_clip2", "hall"]
    assert set(table.time_source) == {"assumed"} and (table.time_std_s > 3600).all()
    assert table.t_start_us["gate_clip2"] == table.t_start_us["hall"] == 0
    assert table.t_start_us["gate_clip10"] == 2_000_000, "the last frame lasts as long as the others"


def test_clock_offset_scale_start_time_and_fps_of_the_site(tmp_path: Path) -> None:
    clip(tmp_path / "v" / "a_20260501T080000Z.mp4", 21)
    clip(tmp_path / "v" / "b.mp4", 21, seed=1)
    clip(tmp_path / "v" / "c_20260501T080000.mp4", 21, seed=2)
    site = site_of(
        {"id": "a", "clock": {"offset_s": -4.7, "offset_std_s": 0.25, "scale": 1.2}},
        {"id": "b", "start_time": "2026-05-01T10:00:00+02:00", "fps": 5},
        {"id": "c"},
        site={"timezone": "Europe/Berlin"},
    )
    table = run(tmp_path, tmp_path / "v", site)
    a, b = table.loc["a_20260501T080000Z"], table.loc["b_20260501T080000Z"]
    assert (a.t_start_us, a.t_end_us) == (T0 - 4_700_000, T0 - 4_700_000 + 2_400_000)
    assert (a.clock_scale, a.time_std_s) == (1.2, 0.25)
    assert (b.t_start_us, b.t_end_us, b.time_source) == (T0, T0 + 4_000_000, "topology")
    assert b.clock_scale == pytest.approx(2), "stamped 10 frames a second, really 5"
    assert table.loc["c_20260501T060000Z"].t_start_us == T0 - 7_200_000_000


def test_unreadable_and_repeated_files_are_rows_and_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = clip(tmp_path / "v" / "a_20260501T080000Z.mp4")
    (tmp_path / "v" / "a_20260501T090000Z.mp4").write_bytes(good.read_bytes()[:500])
    (tmp_path / "v" / "a_20260501T080000Z_copy.mp4").write_bytes(good.read_bytes())
    table = run(tmp_path, tmp_path / "v")
    assert dict(table.status) == {
        "a_20260501T080000Z": "ok", "a_20260501T080000Z-2": "repeated", "a_20260501T090000Z": "unreadable",
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "a_20260501T090000Z.mp4: unreadable" in said and "only one camera" in said and "left out" in said


def test_no_readable_file_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "a.mp4").write_bytes(b"nothing")
    with pytest.raises(UserError, match="none of the 1 files can be read"):
        run(tmp_path, tmp_path / "v")
    assert not (tmp_path / "run" / "ingest" / VIDEOS.file).exists()


def test_one_more_video_costs_one_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import data.video

    probed: list[str] = []
    probe = data.video.probe
    monkeypatch.setattr(data.video, "probe", lambda path: (probed.append(path.name), probe(path))[1])
    for i, name in enumerate("ab"):
        clip(tmp_path / "v" / f"{name}.mp4", seed=i)
    first = run(tmp_path, tmp_path / "v")
    clip(tmp_path / "v" / "c.mp4", seed=2)
    second = run(tmp_path, tmp_path / "v")
    assert sorted(probed) == ["a.mp4", "b.mp4", "c.mp4"]
    pd.testing.assert_frame_equal(second.loc[first.index], first)


def test_overlapping_files_of_one_camera_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip(tmp_path / "v" / "a_20260501T080000Z.mp4", 50)
    clip(tmp_path / "v" / "a_20260501T080002Z.mp4", 50, seed=1)
    run(tmp_path, tmp_path / "v")
    assert "a_20260501T080002Z.mp4: overlaps" in capsys.readouterr().out


def recording(created: str, duration_s: float = 10.0) -> starts.Recording:
    return starts.Recording(Path("x.mp4"), "", "x", {"created": created, "duration_s": duration_s})


def test_container_times_count_only_where_they_can_be_true() -> None:
    one, two = "2020-06-29T07:09:12.000000Z", "2020-06-29T07:09:30.000000Z"
    pair = [recording(one), recording(two)]
    assert starts._from_containers(pair)
    assert [r.time_source for r in pair] == ["container"] * 2 and pair[1].start_us - pair[
        0
    ].start_us == 18_000_000
    assert not starts._from_containers([recording(one), recording(one)]), "converted at once"
    assert not starts._from_containers([recording(one, 60), recording(two)])
    assert not starts._from_containers([recording("1970-01-01T00:00:00Z")]), "an empty clock"
    assert not starts._from_containers([recording(one), recording("")])


@pytest.mark.footage
@pytest.mark.parametrize(
    "folder, files, cameras",
    [("drones-four-views", 4, 4), ("lab-two-views", 2, 2), ("one-by-one", 1, 1), ("pets09-s2l1", 1, 1)],
)
def test_small_real_footage(tmp_path: Path, footage: Path, folder: str, files: int, cameras: int) -> None:
    table = run(tmp_path, footage / folder)
    assert (len(table), table.camera_id.nunique()) == (files, cameras)
    assert (table.status == "ok").all() and (table.note == "").all()


@pytest.mark.footage
@pytest.mark.slow
def test_market_site(tmp_path: Path, footage: Path) -> None:
    folder = footage / "market-site"
    table = run(tmp_path, folder, load(folder / "site.yaml"))
    assert list(table.index) == [p.stem for p in sorted(folder.glob("*.mp4"))]
    assert sorted(table.frames.unique()) == [2264, 2660]
    assert table.t_start_us["cam1_20260501T080000Z"] == T0


def test_whether_people_can_be_found_again_is_said_before_hours_are_spent() -> None:
    hour = 3_600_000_000
    videos = pd.DataFrame(
        [(c, T0 + int(s * hour), T0 + int((s + 1) * hour)) for c, s in (("a", 0), ("b", 0.5), ("c", 30))],
        columns=["camera_id", "t_from_us", "t_until_us"],
    ).assign(status="ok", time_source="name")
    assert inventory.together(videos).endswith("only inside each of these groups: a, b; c.")
    assert inventory.together(videos[:2]).startswith("2 cameras recorded within 1 h of each other")
    assert inventory.together(videos[:1]).startswith("One camera")
    assert inventory.together(videos.assign(time_source="assumed")).startswith(
        "Walking times cannot help: a, b, c: clock not"
    )
    assert inventory.together(videos.assign(time_source=["name", "name", "assumed"])).endswith(
        "c: clock not known, so walking times say nothing there."
    )
    # A chain: b is in reach of a, and c of b alone.
    chain = videos.assign(t_from_us=videos.t_from_us.where(videos.camera_id != "c", T0 + 2 * hour))
    assert inventory.together(chain).startswith("3 cameras recorded within 1 h of each other")
    apart = pd.concat([videos, videos.assign(camera_id=["d", "e", "f"], t_from_us=videos.t_from_us + 500 * hour, t_until_us=videos.t_until_us + 500 * hour)])  # fmt: skip
    assert "groups: a, b; d, e; c; f." in inventory.together(apart)
