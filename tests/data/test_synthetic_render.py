"""Drawn frames: deterministic, truth inside the frame and on the people, fronts unlike backs."""

import dataclasses

import av
import cv2
import numpy as np
import pytest
import yaml

from data.synthetic import render
from data.synthetic.appearance import population
from data.synthetic.cameras import HEIGHT, SITE_CAMERAS, WIDTH
from data.synthetic.figure import draw_figure
from data.synthetic.others import FIRST_PID, other_pictures
from data.synthetic.render import MIN_VISIBILITY, Stand, Studio, render_site, stands_at, studio
from data.synthetic.world import build_world

WORLD = build_world()


def _people(count=6, seed=3):
    return population(np.random.Generator(np.random.PCG64(seed)), 1, count, 0)


def test_same_frames_twice():
    camera, recording = WORLD.cameras[2], WORLD.recordings[0]
    stands = stands_at(recording, camera)[700]
    first, boxes = Studio(camera).picture(stands, 700)
    again, boxes_again = Studio(camera).picture(stands, 700)
    assert np.array_equal(first, again) and boxes == boxes_again and len(boxes) > 0


@pytest.mark.parametrize("camera", WORLD.cameras, ids=lambda c: c.camera_id)
def test_truth_lies_in_the_frame_and_on_the_people(camera):
    scene = studio(camera)
    empty, none = scene.picture([], 0)
    assert none == [] and empty.shape == (HEIGHT, WIDTH, 3)
    heights = []
    for recording in WORLD.recordings:
        for stands in stands_at(recording, camera)[::97]:
            image, boxes = scene.picture(stands, 0)
            assert len({b.pid for b in boxes}) == len(boxes) <= len(stands)
            changed = np.abs(image.astype(int) - empty).max(2) > 40
            for b in boxes:
                assert 0 <= b.x1 < b.x2 <= WIDTH and 0 <= b.y1 < b.y2 <= HEIGHT
                assert MIN_VISIBILITY <= b.visibility <= 1
                if b.visibility > 0.95:
                    heights.append(b.y2 - b.y1)
                    assert changed[b.y1 : b.y2, b.x1 : b.x2].mean() > 0.12
    assert min(heights) > 35 and max(heights) > 85  # near people are larger


def test_box_is_tight_and_visibility_counts_pixels():
    camera = dataclasses.replace(SITE_CAMERAS[0], occluders=())
    scene = Studio(camera)
    behind, front = _people(2)
    alone = scene.picture([Stand(behind, 0.0, 7.0, 1.0, 0.0, 0.3)], 0)[1][0]
    assert alone.visibility == 1.0
    both = {
        b.pid: b
        for b in scene.picture(
            [Stand(behind, 0.0, 7.0, 1.0, 0.0, 0.3), Stand(front, 0.1, 5.5, 1.0, 0.0, 0.0)], 0
        )[1]
    }
    assert both[behind.pid].visibility < 0.6 and both[front.pid].visibility == 1.0
    assert (both[behind.pid].x1, both[behind.pid].y2) == (alone.x1, alone.y2)
    half_out = scene.picture([Stand(behind, -4.85, 7.0, 1.0, 0.0, 0.3)], 0)[1]
    assert half_out[0].x1 == 0 and half_out[0].visibility < 0.95
    assert scene.picture([Stand(behind, -9.0, 7.0, 1.0, 0.0, 0.3)], 0)[1] == []


def test_figure_stands_on_the_ground_with_its_height():
    for person in _people(8):
        person = dataclasses.replace(person, hat="none")
        patch, (_, ground) = draw_figure(person, 0.4, (1.0, 0.0), 0.0, 100.0)
        rows = np.flatnonzero((patch[..., 3] > 96).any(1))
        assert abs(rows[-1] - ground) < 8
        assert ground - rows[0] == pytest.approx(100 * person.height_m, rel=0.06)


def test_front_is_unlike_back():
    person = next(p for p in _people(60) if p.outfit.top_pattern == "open" and p.bag == "rucksack")
    front, _ = draw_figure(person, 0.0, (0.0, -1.0), 0.1, 80.0)
    back, _ = draw_figure(person, 0.0, (0.0, 1.0), 0.1, 80.0)
    solid = (front[..., 3] > 200) & (back[..., 3] > 200)
    assert (np.abs(front[..., :3].astype(int) - back[..., :3]).max(2)[solid] > 40).mean() > 0.2


def test_legs_swing_with_the_distance_walked():
    person = dataclasses.replace(
        _people(1)[0], phase=0.0, outfit=dataclasses.replace(_people(1)[0].outfit, bottom_kind="trousers")
    )
    widths = []
    for walked in np.linspace(0, 0.8 * person.height_m, 9)[:-1]:  # one stride
        patch, _ = draw_figure(person, float(walked), (1.0, 0.0), 0.0, 100.0)
        feet = patch[-60:, :, 3] > 96
        columns = np.flatnonzero(feet.any(0))
        widths.append(columns[-1] - columns[0])
    assert max(widths) > 1.6 * min(widths)
    assert widths[0] == pytest.approx(widths[4], abs=8)  # half a stride later the legs have changed places


def test_other_people_are_other():
    pictures = list(other_pictures(1, cameras=2, per_camera=2))
    ids = {b.pid for _, boxes in pictures for b in boxes}
    assert ids and min(ids) >= FIRST_PID > max(p.pid for r in WORLD.recordings for p in r.people)
    assert not np.array_equal(pictures[0][0], pictures[2][0])


def test_written_site(tmp_path, monkeypatch):
    """A short site, written and read back: true timestamps, MOT rows that fit the frames, nothing half-written left."""
    short = dataclasses.replace(
        WORLD, recordings=tuple(dataclasses.replace(r, duration_s=1.2) for r in WORLD.recordings)
    )
    monkeypatch.setattr(render, "build_world", lambda seed: short)
    out = tmp_path / "demo"
    out.mkdir()
    (out / "old.txt").write_text("stale")
    render_site(out, seed=WORLD.seed)
    assert [p.name for p in tmp_path.iterdir()] == ["demo"]
    videos = sorted(p.name for p in out.glob("*.mp4"))
    assert len(videos) == 8 and videos[0] == "cam1_20260301T080000Z.mp4" and not (out / "old.txt").exists()
    assert yaml.safe_load((out / "site.yaml").read_text())["cameras"][0]["videos"] == ["cam1_*.mp4"]
    for name in videos:
        with av.open(str(out / name)) as container:
            frames = list(container.decode(video=0))
        assert len(frames) == 12
        assert np.allclose([f.time for f in frames], np.arange(12) / 10)
        camera = next(c for c in WORLD.cameras if name.startswith(c.camera_id))
        shown = cv2.cvtColor(frames[0].to_ndarray(format="rgb24"), cv2.COLOR_RGB2BGR).astype(float)
        assert np.abs(shown - studio(camera).picture([], 0)[0]).mean() < 8
        for line in (out / "gt" / name.replace(".mp4", ".txt")).read_text().splitlines():
            fields = line.split(",")
            assert len(fields) == 9 and 1 <= int(fields[0]) <= 12 and float(fields[8]) >= MIN_VISIBILITY
