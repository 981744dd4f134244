"""Crops: cut, written, read back, and judged."""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from data.crops import (
    covered_fraction,
    crop_quality,
    cut_boxes,
    inside_fraction,
    read_crop,
    read_jpeg,
    sharpness,
)


class Picture:
    """What a reader of videos hands out, from an array."""

    def __init__(self, index: int, image: np.ndarray) -> None:
        self.index, self.media_time_s, self.image = index, index / 10, image

    def rgb(self) -> np.ndarray:
        return self.image

    def grey(self) -> bool:
        return self.index == 2  # a camera that turns to infra-red


def pictures(n: int = 4) -> Iterator[Picture]:
    """Smooth colours, so that JPEG keeps them: red grows to the right, green downwards, blue with time."""
    y, x = np.mgrid[0:240, 0:320]
    for index in range(n):
        blue = np.full_like(x, 40 * index)
        yield Picture(index, np.stack([x * 0.7, y, blue], axis=2).astype(np.uint8))


def some_boxes() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "tracklet_id": ["cam1_a", "cam1_a.1", "cam1_a", "cam1_b", "cam1_b"],
            "frame": [0, 2, 2, 3, 3],
            "x1": [10.0, 100.5, 300.0, 400.0, 20.0],
            "y1": [20.0, 30.2, 100.0, 10.0, 20.0],
            "x2": [60.0, 150.1, 350.0, 450.0, 30.0],
            "y2": [140.0, 150.0, 300.0, 90.0, 24.0],
        }
    )


def test_crops_come_back_as_the_pixels_under_their_boxes(tmp_path: Path) -> None:
    shard = tmp_path / "a b" / "ü.tar"
    cut = cut_boxes(Path("unused"), some_boxes(), shard, frames=pictures())
    # The fourth box is outside the picture, the last one too small.
    assert list(zip(cut.tracklet_id, cut.frame, strict=True)) == [
        ("cam1_a", 0),
        ("cam1_a.1", 2),
        ("cam1_a", 2),
    ]
    assert list(cut.grey) == [False, True, True]
    images = {p.index: p.image for p in pictures()}
    for row in cut.itertuples():
        crop = read_crop(shard, row.offset, row.size)
        assert crop.shape == (row.height, row.width, 3)
        x1, y1 = int(np.floor(row.x1)), int(np.floor(row.y1))
        under = images[row.frame][y1 : y1 + row.height, x1 : x1 + row.width]
        assert (
            np.abs(crop.astype(int) - under).mean() < 3
        )  # channels in order: red, green and blue differ by far more
        assert 0 <= row.quality <= 1
    with tarfile.open(shard) as tar:
        members = {m.name: tar.extractfile(m).read() for m in tar.getmembers()}
    assert list(members) == ["cam1_a__000000.jpg", "cam1_a-1__000002.jpg", "cam1_a__000002.jpg"]
    for content, row in zip(members.values(), cut.itertuples(), strict=True):
        assert content == read_jpeg(shard, row.offset, row.size)


def test_same_boxes_same_bytes_and_truth_boxes_need_no_tracklet(tmp_path: Path) -> None:
    boxes = some_boxes().drop(columns="tracklet_id").assign(pid=[1, 2, 3, 4, 5])
    first = cut_boxes(Path("unused"), boxes, tmp_path / "1.tar", frames=pictures())
    second = cut_boxes(
        Path("unused"),
        boxes.sample(frac=1, random_state=0).sort_index(),
        tmp_path / "2.tar",
        frames=pictures(),
    )
    assert (tmp_path / "1.tar").read_bytes() == (tmp_path / "2.tar").read_bytes()
    assert first.pid.tolist() == second.pid.tolist() == [1, 2, 3]


def test_nothing_to_cut_leaves_an_empty_table_with_all_columns(tmp_path: Path) -> None:
    cut = cut_boxes(Path("unused"), some_boxes().iloc[3:4], tmp_path / "none.tar", frames=pictures())
    assert cut.empty
    assert {"offset", "size", "width", "height", "quality"} <= set(cut.columns)


def test_tall_crops_shrink_and_padding_grows(tmp_path: Path) -> None:
    box = some_boxes().iloc[:1]
    cut = cut_boxes(Path("unused"), box, tmp_path / "t.tar", frames=pictures(), max_height_px=60)
    assert (cut.height[0], cut.width[0]) == (60, 25)
    padded = cut_boxes(Path("unused"), box, tmp_path / "p.tar", frames=pictures(), padding=0.1)
    assert (padded.height[0], padded.width[0]) == (144, 60)


def test_a_cut_short_shard_is_named(tmp_path: Path) -> None:
    shard = tmp_path / "s.tar"
    cut = cut_boxes(Path("unused"), some_boxes(), shard, frames=pictures())
    shard.write_bytes(shard.read_bytes()[: int(cut.offset[0]) + 20])
    with pytest.raises(ValueError, match=r"s\.tar.*cut short"):
        read_crop(shard, cut.offset[0], cut["size"][0])
    with pytest.raises(ValueError, match="no JPEG"):
        read_crop(shard, 0, 100)


def test_quality_falls_with_each_fault() -> None:
    rng = np.random.default_rng(0)
    crop = cv2.resize(
        rng.integers(0, 255, (32, 16, 3), dtype=np.uint8), (64, 128), interpolation=cv2.INTER_NEAREST
    )
    box, size = np.array([100.0, 100.0, 164.0, 228.0]), (480, 640)
    good = crop_quality(crop, box, size, 0.0)
    assert crop_quality(cv2.GaussianBlur(crop, (0, 0), 4), box, size, 0.0) < good
    assert crop_quality(crop[::4, ::4], box / 4, size, 0.0) < good
    assert crop_quality(crop, box, size, 0.5) == pytest.approx(good / 2)
    assert crop_quality(crop, box - [120, 0, 120, 0], size, 0.0) < good
    assert sharpness(crop) == pytest.approx(sharpness(255 - crop), abs=0.01)


def test_inside_fraction() -> None:
    size = (100, 200)
    assert inside_fraction(np.array([50.0, 20.0, 70.0, 70.0]), size) == 1
    assert inside_fraction(np.array([-10.0, 20.0, 10.0, 70.0]), size) == pytest.approx(0.5)
    assert inside_fraction(np.array([0.0, 20.0, 10.0, 70.0]), size) == pytest.approx(
        0.5
    )  # 10 wide, 20 would be whole
    assert inside_fraction(np.array([50.0, 75.0, 70.0, 100.0]), size) == pytest.approx(
        0.5
    )  # legs below the frame
    assert inside_fraction(np.array([300.0, 20.0, 320.0, 70.0]), size) == 0


def test_the_nearer_person_covers_the_farther_and_not_itself() -> None:
    behind, front = [0.0, 0.0, 10.0, 10.0], [5.0, 2.0, 15.0, 12.0]
    both = np.array([behind, front])
    np.testing.assert_allclose(covered_fraction(both, both), [0.4, 0.0])
    assert covered_fraction(both, np.zeros((0, 4))).tolist() == [0, 0]
