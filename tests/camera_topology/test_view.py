"""Which part of a picture counts, by where feet stand."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camera_topology.site import load
from camera_topology.view import View
from pipeline.errors import UserError
from stages.track import counted
from tests.tiny_site import pipeline, request

SQUARE = ((10.0, 10.0), (90.0, 10.0), (90.0, 60.0), (10.0, 60.0))


def standing_at(*feet: tuple[float, float], height: float = 20.0) -> np.ndarray:
    return np.array([[x - 4, y - height, x + 4, y] for x, y in feet])


def test_regions_ignored_places_and_small_people() -> None:
    view = View(
        roi=(SQUARE,),
        ignore=(((40.0, 20.0), (60.0, 20.0), (60.0, 40.0), (40.0, 40.0)),),
        min_person_height_px=18,
    )
    boxes = standing_at((20, 30), (50, 30), (95, 30), (50, 55))
    assert view.counts(boxes, (100, 80)).tolist() == [True, False, False, True]
    assert not view.counts(standing_at((20, 30), height=17), (100, 80)).any()
    assert View(min_person_height_px=18).counts(boxes, (100, 80)).all()
    assert View().whole and not view.whole


@given(st.lists(st.tuples(st.floats(-20, 120), st.floats(-20, 100)), max_size=20))
@settings(max_examples=50)
def test_a_region_and_the_same_place_ignored_share_everybody(feet: list[tuple[float, float]]) -> None:
    boxes = standing_at(*feet).reshape(-1, 4)
    inside, outside = (
        View(roi=(SQUARE,)).counts(boxes, (100, 80)),
        View(ignore=(SQUARE,)).counts(boxes, (100, 80)),
    )
    assert (inside ^ outside).all()


def test_a_mask_of_any_size(tmp_path: Path) -> None:
    drawn = np.zeros((8, 10), np.uint8)
    drawn[:, 5:] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), drawn)
    view = View(mask=tmp_path / "mask.png")
    assert view.counts(standing_at((20, 30), (80, 30)), (100, 80)).tolist() == [False, True]
    (tmp_path / "mask.png").write_bytes(b"")
    with pytest.raises(UserError, match="no picture; a camera's mask wants a PNG"):
        view.counts(standing_at((20, 30)), (100, 80))
    with pytest.raises(UserError, match="cannot be read"):
        View(mask=tmp_path / "none.png").floor((10, 10))


def test_boxes_keep_their_order_across_files() -> None:
    boxes = standing_at((20, 30), (95, 30), (50, 55), (5, 5))
    table = pd.DataFrame(boxes, columns=["x1", "y1", "x2", "y2"]).assign(video_id=list("abba"))
    kept = counted(table, View(roi=(SQUARE,)), {"a": (100, 80), "b": (100, 80)})
    assert list(kept.x1) == [16, 46] and list(kept.video_id) == ["a", "b"]


def test_the_file_names_a_mask_beside_it(tmp_path: Path) -> None:
    (tmp_path / "site.yaml").write_text("cameras: [{id: a, mask: m.png, roi: [[[0,0],[9,0],[9,9]]]}]")
    view = load(tmp_path / "site.yaml").view("a")
    assert view.mask == tmp_path / "m.png" and view.roi == (((0, 0), (9, 0), (9, 9)),)
    (tmp_path / "site.yaml").write_text("cameras: [{id: a, roi: [[[0,0],[9,0]]]}]")
    with pytest.raises(UserError, match=r"roi\[0\]"):
        load(tmp_path / "site.yaml")


@pytest.mark.slow
def test_p5_an_edited_mask_runs_from_track(site: Path, run: Path, tmp_path: Path) -> None:
    """And only for the camera that it is of."""
    words = request(site, run)
    text = (site / "site.yaml").read_text().replace('"videos/', f'"{site}/videos/')
    edited = tmp_path / "site.yaml"
    edited.write_text(text)
    pipeline("run", *words, "--topology", edited, "--until", "crop")
    mask = np.full((96, 160), 255, np.uint8)
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    edited.write_text(text.replace("id: east,", "id: east, mask: m.png,"))
    said = pipeline("plan", *words, "--topology", edited, "--until", "crop").stdout
    assert said.splitlines()[0].split() == ["track", "site.view", "changed"]
    before = {p.name for p in (run / "shard_cache" / "track").iterdir()}
    pipeline("run", *words, "--topology", edited, "--until", "crop")
    assert len({p.name for p in (run / "shard_cache" / "track").iterdir()} - before) == 1
    mask[:, :100] = 0
    cv2.imwrite(str(tmp_path / "m.png"), mask)
    said = pipeline("run", *words, "--topology", edited, "--until", "crop").stdout
    assert "track: site.view changed" in said and "boxes lie outside of its view" in said
