"""Detections: finished ones in every format, and the parts of running a network."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline import schema
from pipeline.errors import UserError
from pipeline.manifests import DETECTIONS
from stages.detect import Moment, every, to_tables
from stages.detectors.openvino_network import (
    Head,
    decode,
    letterbox,
    person_class,
    read_head,
    suppress,
    to_frame,
)
from stages.detectors.precomputed import is_precomputed, read_detections
from stages.detectors.yolo import DetectorSettings, input_size, open_detector

EXPECTED = pd.DataFrame(
    {"frame": [0, 0, 4], "x1": [10.0, 50, 12], "y1": [20.0, 60, 22], "x2": [40.0, 70, 42], "y2": [100.0, 160, 102],
     "score": [0.9, 0.5, 0.25]}
).astype({"frame": "int32"})  # fmt: skip


def mot_text(header: str = "") -> str:
    return header + "1,-1,10,20,30,80,0.9,-1,-1,-1\n1,-1,50,60,20,100,0.5\n\n5,-1,12,22,30,80,0.25\n"


def coco(images: list[dict]) -> dict:
    boxes = [
        (0, [10, 20, 30, 80], 0.9, 1),
        (0, [50, 60, 20, 100], 0.5, 1),
        (0, [0, 0, 9, 9], 0.9, 3),
        (4, [12, 22, 30, 80], 0.25, 1),
    ]
    return {
        "images": images,
        "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
        "annotations": [{"image_id": i, "bbox": b, "score": s, "category_id": c} for i, b, s, c in boxes],
    }


def write_all_formats(folder: Path) -> dict[str, Path]:
    made = {
        name: folder / name
        for name in ("mot", "mot_layout", "coco_frames", "coco_names", "coco_flat", "parquet")
    }
    for path in made.values():
        path.mkdir()
    (made["mot"] / "cam1_x.txt").write_text(mot_text("frame,id,x,y,w,h,score\n"))
    (made["mot_layout"] / "cam1_x" / "det").mkdir(parents=True)
    (made["mot_layout"] / "cam1_x" / "det" / "det.txt").write_text(mot_text())
    frames = [{"id": i, "video": "cam1_x.mp4", "frame": i} for i in range(6)]
    (made["coco_frames"] / "all.json").write_text(json.dumps(coco(frames)))
    names = [{"id": i, "file_name": f"cam1_x/img1/{i + 1:06d}.jpg"} for i in range(6)]
    (made["coco_names"] / "all.json").write_text(json.dumps(coco(names)))
    flat = [{"id": i, "file_name": f"cam1_x_{i + 1:04d}.png"} for i in range(6)]
    (made["coco_flat"] / "all.json").write_text(json.dumps(coco(flat)))
    rows = EXPECTED.assign(video_id="cam1_x", t_utc_us=0, detection=[0, 1, 0])
    types = {c.name: c.type.to_pandas_dtype() for c in DETECTIONS.columns if c.name != "video_id"}
    schema.write(DETECTIONS, rows.astype(types), made["parquet"] / "detections.parquet")
    return made


@pytest.mark.parametrize("kind", ["mot", "mot_layout", "coco_frames", "coco_names", "coco_flat", "parquet"])
def test_every_format_says_the_same(tmp_path: Path, kind: str) -> None:
    path = write_all_formats(tmp_path)[kind]
    assert is_precomputed(path)
    found = read_detections(path, "cam1_20260501T080000Z", "cam1_x").sort_values(
        ["frame", "score"], ascending=[True, False]
    )
    pd.testing.assert_frame_equal(found.reset_index(drop=True), EXPECTED)
    with pytest.raises(UserError, match=r"nothing for the video 'cam2_y'"):
        read_detections(path, "cam2_y", "cam2_y")


def test_a_single_file_and_video_ids(tmp_path: Path) -> None:
    file = tmp_path / "cam1_x.txt"
    file.write_text(mot_text())
    assert is_precomputed(file)
    assert len(read_detections(file, "cam1_x", "other")) == 3
    with pytest.raises(UserError, match="nothing for the video"):
        read_detections(file, "cam2", "cam2")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("1,-1,10,20,30,80,0.9\n1,-1,a,20,30,80\n", r"line 2: .* is not numbers"),
        ("1,-1,10,20,30\n", r"line 1: 5 values"),
        ("0,-1,10,20,30,80,0.9\n", r"line 1: frame 0; MOT text counts whole frames from 1"),
        ("1,-1,10,20,0,80,0.9\n", "1 boxes have no width or height"),
        ("1,-1,10,20,30,80,45.2\n", "scores reach from 45.2 to 45.2"),
        ("1,-1,nan,20,30,80,0.5\n", "not a finite number"),
    ],
)
def test_malformed_text_names_file_and_line(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "v.txt").write_text(content)
    with pytest.raises(UserError, match=rf"v\.txt.*{complaint}"):
        read_detections(tmp_path, "v", "v")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "not valid JSON"),
        ("[]", "'images' and 'annotations'"),
        (
            json.dumps({"images": [{"id": 1, "file_name": "x.jpg"}], "annotations": []}),
            "tells no video and frame",
        ),
        (json.dumps({"images": [], "annotations": [{"image_id": 7, "bbox": [0, 0, 1, 1]}]}), "lacks 7"),
        (
            json.dumps(
                {
                    "images": [],
                    "annotations": [],
                    "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
                }
            ),
            "none of its categories is called 'person'",
        ),
    ],
)
def test_malformed_json_is_one_sentence(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "all.json").write_text(content)
    with pytest.raises(UserError, match=complaint):
        read_detections(tmp_path, "v", "v")


def test_a_parquet_of_another_table_is_named(tmp_path: Path) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"x\.parquet.*'detections'"):
        read_detections(tmp_path, "v", "v")


def test_a_video_without_people_is_known_to_coco(tmp_path: Path) -> None:
    content = {"images": [{"id": 1, "video": "v", "frame": 0}], "annotations": []}
    (tmp_path / "all.json").write_text(json.dumps(content))
    assert read_detections(tmp_path, "v", "v").empty


def test_networks_are_not_finished_detections(tmp_path: Path) -> None:
    folder = tmp_path / "x_openvino_model"
    folder.mkdir()
    (folder / "x.xml").touch()
    (folder / "notes.txt").touch()
    assert not is_precomputed(folder)
    (tmp_path / "x.pt").touch()
    assert not is_precomputed(tmp_path / "x.pt")
    assert not is_precomputed("yolo11n.pt")


@pytest.mark.parametrize(
    ("detector", "complaint"),
    [("/no/such/x.pt", "no such file or folder"), ("x.bin", "not a .pt"), ("empty", "holds neither"), ("broken.xml", "OpenVINO cannot read it")],
)  # fmt: skip
def test_bad_detectors_are_one_sentence(tmp_path: Path, detector: str, complaint: str) -> None:
    path = tmp_path / detector if not detector.startswith("/") else Path(detector)
    if detector == "empty":
        path.mkdir()
    elif not detector.startswith("/"):
        path.write_text("nothing")
    with pytest.raises(UserError, match=rf"DETECTOR=.*{complaint}"):
        open_detector(path, DetectorSettings(), frame_size=(480, 640), cache=tmp_path / "cache")


def test_person_class() -> None:
    assert person_class({0: "car", 3: "Person"}, "x") == 3
    assert person_class({0: "pedestrian"}, "x") == 0
    with pytest.raises(UserError, match="'person'"):
        person_class({0: "car", 1: "dog"}, "x")


def test_heads_are_told_apart() -> None:
    names = {i: n for i, n in enumerate(["car", "person"])}
    assert read_head((1, 6, 8400), {"names": names}, Path("x")) == Head("candidates", 2, 1)
    assert read_head((1, 300, 6), {"names": names, "end2end": True}, Path("x")) == Head("boxes", 2, 1)
    assert read_head((1, 84, 8400), {}, Path("x")) == Head("candidates", 80, 0)
    with pytest.raises(UserError, match="no metadata"):
        read_head((1, 11, 8400), {}, Path("x"))
    with pytest.raises(UserError, match="not that of a YOLO"):
        read_head((1, 1000), {}, Path("x"))


def test_suppression_is_the_greedy_loop() -> None:
    rng = np.random.default_rng(0)
    for n in (0, 1, 60):
        top_left = rng.uniform(0, 100, (n, 2))
        boxes = np.concatenate([top_left, top_left + rng.uniform(10, 60, (n, 2))], axis=1).astype(np.float32)
        scores = rng.random(n).astype(np.float32)
        left, kept = sorted(range(n), key=lambda i: -scores[i]), []
        while left:
            best, *left = left
            kept.append(best)
            left = [i for i in left if overlap_of(boxes[best], boxes[i]) <= 0.5]
        assert suppress(boxes, scores, 0.5).tolist() == kept


def overlap_of(a: np.ndarray, b: np.ndarray) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height)


def test_both_heads_give_people_only_by_falling_score() -> None:
    # cx, cy, w, h, car, person, and something a pose network would add
    candidates = np.array(
        [[50, 50, 20, 40, 0.1, 0.6, 7], [52, 50, 20, 40, 0.1, 0.9, 7], [90, 50, 20, 40, 0.8, 0.7, 7], [20, 50, 8, 8, 0, 0.05, 7]],
        np.float32,
    ).T  # fmt: skip
    found = decode(candidates, Head("candidates", 2, 1), 0.1, 0.7, 300)
    np.testing.assert_allclose(found, [[42, 30, 62, 70, 0.9]], rtol=1e-6)
    found = decode(candidates, Head("candidates", 2, 1), 0.1, 0.9, 300)
    np.testing.assert_allclose(found[:, 4], [0.9, 0.6], rtol=1e-6)
    final = np.array(
        [[1, 2, 3, 4, 0.3, 1], [5, 6, 7, 8, 0.8, 1], [5, 6, 7, 8, 0.9, 0], [0, 0, 0, 0, 0, 1]], np.float32
    )
    found = decode(final, Head("boxes", 2, 1), 0.1, 0.7, 1)
    np.testing.assert_allclose(found, [[5, 6, 7, 8, 0.8]], rtol=1e-6)


@pytest.mark.parametrize("frame", [(384, 640), (1080, 1920), (640, 360), (333, 501)])
def test_letterbox_there_and_back(frame: tuple[int, int]) -> None:
    place = letterbox(frame, (640, 640))
    assert place.left >= 0 and place.top >= 0
    assert place.left + place.width <= 640 and place.top + place.height <= 640
    box = np.array([[10, 20, 100, 200, 0.5]], np.float32)
    inside = box * np.array([place.gain] * 4 + [1], np.float32) + [
        place.left,
        place.top,
        place.left,
        place.top,
        0,
    ]
    np.testing.assert_allclose(to_frame(inside.astype(np.float32), place, frame), box, atol=1e-3)
    beyond = np.array([[-50, -50, 900, 900, 0.5]], np.float32)
    np.testing.assert_allclose(to_frame(beyond, place, frame)[0, :4], [0, 0, frame[1], frame[0]])


def test_input_fits_the_aspect() -> None:
    assert input_size((384, 640), 640) == (384, 640)
    assert input_size((1080, 1920), 640) == (384, 640)
    assert input_size((1920, 1080), 640) == (640, 384)
    assert input_size((480, 640), 320) == (256, 320)


def test_frames_are_thinned_by_time() -> None:
    frames = [SimpleNamespace(index=i, media_time_s=round(i / 29.97, 3)) for i in range(300)]
    assert len(list(every(frames, None))) == 300
    kept = [f.media_time_s for f in every(frames, 5.0)]
    assert len(kept) == pytest.approx(300 / 29.97 * 5, abs=1)
    assert min(np.diff(kept)) > 0.15 and max(np.diff(kept)) < 0.25
    assert len(list(every(frames, 100.0))) == 300  # more than there is


def test_rows_carry_the_true_time(tmp_path: Path) -> None:
    video = {"video_id": "v", "t_start_us": 1_000_000, "clock_scale": 1.2}
    boxes = [np.array([[0, 0, 10, 50, 0.9], [0, 0, 5, 10, 0.8]], np.float32), np.zeros((0, 5), np.float32),
             np.array([[1, 1, 30, 80, 0.7]], np.float32)]  # fmt: skip
    table, _ = to_tables(
        video, [Moment(0, 0.0), Moment(3, 0.1), Moment(6, 0.2)], boxes, min_person_height_px=16
    )
    schema.write(DETECTIONS, table, tmp_path / "d.parquet")
    assert table.frame.tolist() == [0, 6]
    assert table.t_utc_us.tolist() == [1_000_000, 1_240_000]
    assert table.detection.tolist() == [0, 0]


def test_mot_text_that_is_no_text_is_said(tmp_path):
    path = tmp_path / "cam1_x.txt"
    path.write_bytes(b"1,-1,10,20,24,64,0.9\n\xff\xfe")
    with pytest.raises(UserError, match=r"cam1_x\.txt: cannot be read as MOT text"):
        read_detections(tmp_path, "cam1_x", "cam1_x")
