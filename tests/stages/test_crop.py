"""detect → track → crop on a small film, through the stages themselves, with finished detections."""

import importlib
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import pytest

from camera_topology.site import without_file
from data.crops import read_crop
from pipeline import schema
from pipeline.errors import UserError
from pipeline.manifests import BOXES, CROPS, DETECTIONS, TRACKLETS, VIDEOS
from pipeline.stage import Context
from stages.crop import choose
from tests.tables import whole_files

FPS, SECONDS, START_US = 10, 4, 1_777_622_400_000_000


def film(path: Path) -> None:
    """A red figure walks to the right over grey ground."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 320, 160, "yuv420p"
        stream.bit_rate = 2_000_000
        for index in range(FPS * SECONDS):
            image = np.full((160, 320, 3), 120, np.uint8)
            x = 20 + 5 * index
            image[40:120, x : x + 32] = (200, 30, 30)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def mot(path: Path, score: float = 0.9) -> None:
    rows = [f"{i + 1},-1,{20 + 5 * i},40,32,80,{score},-1,-1,-1" for i in range(FPS * SECONDS)]
    path.write_text("\n".join(rows))


class Chain:
    """Runs single stages as the runner would, in ``tmp_path``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.have = folder, {"videos": [folder / "videos.parquet"]}
        film(folder / "cam1_a.mp4")
        (folder / "detections").mkdir()
        mot(folder / "detections" / "cam1_a.txt")
        row = {
            "video_id": "cam1_20260501T080000Z", "camera_id": "cam1", "path": str(folder / "cam1_a.mp4"), "digest": "d",
            "status": "ok", "t_start_us": START_US, "t_end_us": START_US + 3_900_000, "frames": 40, "width": 320,
            "height": 160, "fps": 10.0, "time_source": "topology", "clock_scale": 1.0, "time_std_s": 0.0, "note": "",
        }  # fmt: skip
        broken = row | {"video_id": "cam2_x", "camera_id": "cam2", "status": "unreadable", "path": "/no/such"}
        videos = whole_files(pd.DataFrame([row, broken]))
        schema.write(VIDEOS, videos, self.have["videos"][0])

    def run(self, name: str, **settings: Any) -> Path:
        stage = importlib.import_module(f"stages.{name}").STAGE
        out = self.folder / name
        out.mkdir(exist_ok=True)
        context = Context(
            settings=stage.config(**settings), run_dir=self.folder, out=out, seed=0, device="cpu",
            sources={"detector": self.folder / "detections", "site": without_file([])}, inputs=self.have,
            outputs={m.name: m for m in stage.outputs}, shard_key_parts={"stage": name, "settings": settings},
        )  # fmt: skip
        stage.run(context)
        for manifest in stage.outputs:
            self.have[manifest.name] = [out / manifest.file]
        return out


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path)


def test_the_figure_is_found_followed_and_cut_out(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    found = schema.read(DETECTIONS, chain.run("detect") / DETECTIONS.file)
    assert len(found) == 40
    assert found.frame.tolist() == list(range(40))
    assert (found.t_utc_us - START_US).tolist() == [100_000 * i for i in range(40)]
    assert "cam1_20260501T080000Z: 40 frames, 1.0 people per frame" in capsys.readouterr().out

    out = chain.run("track")
    tracklets, boxes = schema.read(TRACKLETS, out / TRACKLETS.file), schema.read(BOXES, out / BOXES.file)
    assert tracklets.tracklet_id.tolist() == ["cam1_20260501T080000000_0"]
    assert len(boxes) == 40

    crops = schema.read(CROPS, chain.run("crop", rate_per_s=5.0) / CROPS.file)
    assert crops.frame.tolist() == list(range(0, 40, 2))
    assert crops.shard.nunique() == 1 and not Path(crops.shard[0]).is_absolute()
    for row in crops.itertuples():
        crop = read_crop(chain.folder / row.shard, row.offset, row.size)
        assert crop.shape == (80, 32, 3)
        red, green, blue = crop[10:-10, 8:-8].reshape(-1, 3).mean(axis=0)  # inside, where codecs do not bleed
        assert red > 150 and green < 80 and blue < 80

    for name in ("detect", "track", "crop"):
        chain.run(name, **({"rate_per_s": 5.0} if name == "crop" else {}))
    assert (
        "cam1" not in capsys.readouterr().out.partition("crops in")[2]
    )  # the second time nothing is made again


def test_nobody_found_is_one_sentence(chain: Chain) -> None:
    mot(chain.folder / "detections" / "cam1_a.txt", score=0.05)
    with pytest.raises(
        UserError, match=r"no person found in 1 videos by DETECTOR=.*detections.*min_score=0\.1"
    ):
        chain.run("detect")
    assert not (chain.folder / "detect" / DETECTIONS.file).exists()


def test_boxes_made_at_another_size_are_noticed(chain: Chain) -> None:
    rows = [f"{i + 1},-1,{200 + 50 * i},400,320,800,0.9" for i in range(40)]
    (chain.folder / "detections" / "cam1_a.txt").write_text("\n".join(rows))
    with pytest.raises(UserError, match="320x160 px; were they made on the video in another size"):
        chain.run("detect")


def test_boxes_after_the_end_are_left_out_and_said(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    with (chain.folder / "detections" / "cam1_a.txt").open("a") as file:
        file.write("\n99,-1,20,40,32,80,0.9\n")
    assert len(schema.read(DETECTIONS, chain.run("detect") / DETECTIONS.file)) == 40
    assert "1 boxes" in capsys.readouterr().out


def test_target_fps_thins_the_frames(chain: Chain) -> None:
    found = schema.read(DETECTIONS, chain.run("detect", target_fps=5.0) / DETECTIONS.file)
    assert found.frame.tolist() == list(range(0, 40, 2))


def test_nothing_long_enough_is_one_sentence(chain: Chain) -> None:
    chain.run("detect")
    with pytest.raises(UserError, match=r"none of 40 boxes could be followed for 9\.0 s"):
        chain.run("track", min_length_s=9.0)


def test_nothing_large_enough_is_one_sentence(chain: Chain) -> None:
    chain.run("detect")
    chain.run("track")
    with pytest.raises(UserError, match=r"crop\.min_height_px=100"):
        chain.run("crop", min_height_px=100)


@pytest.mark.parametrize(("n", "max_items"), [(1, 60), (7, 3), (100, 60), (61, 60), (300, 1), (10, 10)])
def test_choice_is_spread_evenly_with_both_ends(n: int, max_items: int) -> None:
    boxes = pd.DataFrame(
        {"tracklet_id": "a", "video_id": "v", "frame": range(n), "t_utc_us": np.arange(n) * 200_000}
    )
    chosen = choose(boxes.sample(frac=1, random_state=0), 5.0, max_items)
    assert len(chosen) == min(n, max_items)
    if max_items > 1:
        assert chosen.frame.iloc[0] == 0 and chosen.frame.iloc[-1] == n - 1
        steps = np.diff(chosen.frame)
        assert len(steps) == 0 or steps.max() - steps.min() <= 1


def test_choice_keeps_the_rate_at_any_frame_rate() -> None:
    for fps in (7, 25, 29.97, 60):
        t = np.round(np.arange(int(fps * 8)) / fps, 3)  # as a container rounds them
        boxes = pd.DataFrame(
            {
                "tracklet_id": "a",
                "video_id": "v",
                "frame": range(len(t)),
                "t_utc_us": np.round(t * 1e6).astype(int),
            }
        )
        assert len(choose(boxes, 5.0, 1000)) == pytest.approx(40, abs=1)
