"""Weak supervision: people told apart inside each camera, and not a word about the same person in another."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from pipeline import schema
from pipeline.manifests import BOXES, CAMERA_LABELS, TRACKLETS, VIDEOS
from stages import camera_labels
from stages.camera_labels import tracklet_labels
from stages.training.training_part import as_labelled

S = 1_000_000


def tracklets(rows):
    columns = ["tracklet_id", "camera_id", "t_start_us", "t_end_us", "n_boxes", "mean_score"]
    table = pd.DataFrame(rows, columns=columns).astype({"n_boxes": "int32", "mean_score": "float32"})
    return table.assign(
        parent_id=table.tracklet_id, t_start_us=table.t_start_us * S, t_end_us=table.t_end_us * S
    )


def seen(rows):
    """Boxes 20 px wide at x, one a frame: (tracklet, video, frames, x)."""
    return pd.DataFrame(
        [(t, v, f, x, 0.0, x + 20.0, 50.0) for t, v, frames, x in rows for f in frames],
        columns=["tracklet_id", "video_id", "frame", "x1", "y1", "x2", "y2"],
    )


def world():
    table = tracklets([("a", "east", 0, 1, 10, 0.9), ("b", "east", 2, 3, 10, 0.9), ("c", "west", 0, 1, 10, 0.9),
                       ("d", "west", 0, 1, 10, 0.9), ("e", "north", 0, 1, 10, 0.9)])  # fmt: skip
    boxes = seen([("a", "e1", range(10), 0), ("b", "e1", range(20, 30), 5), ("c", "w1", range(10), 0),
                  ("d", "w1", range(10), 300), ("e", "n1", range(10), 0)])  # fmt: skip
    labelled = pd.concat([
        seen([("", "e1", range(10), 1), ("", "e1", range(20, 30), 6)]).assign(camera_id="east", id=7),
        seen([("", "w1", range(10), 2)]).assign(camera_id="west", id=7),
    ], ignore_index=True).drop(columns="tracklet_id")  # fmt: skip
    return table, boxes, labelled


def test_every_tracklet_of_a_labelled_camera_gets_its_person_by_majority(tmp_path):
    labels = tracklet_labels(*world(), min_iou=0.5)
    schema.write(CAMERA_LABELS, labels, tmp_path / CAMERA_LABELS.file)
    assert labels.set_index("tracklet_id").label.to_dict() == {"a": 0, "b": 0, "c": 0, "d": -1}


def test_the_same_id_in_two_cameras_says_nothing():
    table, boxes, labelled = world()
    other = labelled.assign(id=np.where(labelled.camera_id == "east", 7, 4000))
    pd.testing.assert_frame_equal(
        tracklet_labels(table, boxes, labelled, 0.5), tracklet_labels(table, boxes, other, 0.5)
    )


def test_one_person_of_a_camera_is_one_and_stands_where_it_stayed_longest():
    table = tracklets([
        ("a", "east", 100, 103, 30, 0.5), ("b", "east", 105, 109, 40, 1.0), ("c", "east", 200, 202, 20, 1.0),
        ("d", "east", 100, 109, 90, 0.7), ("e", "east", 0, 50, 9, 0.7), ("f", "west", 0, 5, 50, 0.6),
    ])  # fmt: skip
    labels = pd.DataFrame({"tracklet_id": list("abcde"), "camera_id": "east", "label": [3, 3, 3, 4, -1]})
    crops = pd.DataFrame(
        {"tracklet_id": list("ccbbaadef"), "t_utc_us": [201, 200, 106, 105, 101, 100, 1, 1, 1]}
    )
    joined, cropped, _ = as_labelled(table, crops, labels)
    of = joined.set_index("tracklet_id")
    assert list(of.index) == ["a", "d", "f"]  # e is nobody labelled, f's camera was not labelled
    assert (of.t_start_us["a"], of.t_end_us["a"]) == (
        100 * S,
        109 * S,
    )  # two fragments of one visit, not the later one
    assert of.n_boxes.to_dict() == {"a": 90, "d": 90, "f": 50}
    assert of.mean_score["a"] == np.float32((30 * 0.5 + 60) / 90)
    assert cropped.tracklet_id.tolist() == ["a"] * 6 + ["d", "f"]
    assert cropped.t_utc_us.tolist() == [100, 101, 105, 106, 200, 201, 1, 1]
    assert list(joined.columns) == list(table.columns) and joined.dtypes.equals(table.dtypes)


def test_without_anybody_labelled_nothing_is_left_of_that_camera():
    table = tracklets([("a", "east", 0, 1, 10, 0.9), ("b", "west", 0, 1, 10, 0.9)])
    crops = pd.DataFrame({"tracklet_id": ["a", "b"], "t_utc_us": [0, 0]})
    labels = pd.DataFrame({"tracklet_id": ["a"], "camera_id": ["east"], "label": [-1]})
    joined, cropped, _ = as_labelled(table, crops, labels)
    assert joined.tracklet_id.tolist() == cropped.tracklet_id.tolist() == ["b"]


@pytest.mark.parametrize(
    ("at", "labels", "extra"),
    [
        (range(30), {"a": 0, "b": 1, "c": -1}, ""),
        (range(0, 30, 5), {"a": 0, "b": 1, "c": -1}, ""),
        (range(0, 30, 10), {"a": 0, "b": 1, "c": -1}, ""),
        (range(0, 30, 5), {"a": 0, "b": 1, "c": -1}, "car"),
    ],
    ids=["every frame", "every fifth", "every tenth", "with a car"],
)
def test_boxes_between_labelled_frames_say_nothing_against_a_label(tmp_path, capsys, at, labels, extra):
    x = {"a": 0.0, "b": 60.0, "c": 120.0}  # c is the car, or nobody
    text = [f"{f + 1},{i},{x[t]},0,20,50,1,1,1\n" for f in at for i, t in ((7, "a"), (9, "b"))]
    text += [f"{f + 1},500,120,0,20,50,1,2,1\n" for f in at if extra]
    (tmp_path / "gt").mkdir()
    (tmp_path / "gt" / "v.txt").write_text("".join(text))
    if extra:
        (tmp_path / "gt" / "labels.txt").write_text("person\ncar\n")
    boxes = seen([(t, "v", range(30), x[t]) for t in "abc"])
    stage = camera_labels.STAGE
    video = {"video_id": "v", "camera_id": "east", "path": "/v/v.mp4", "status": "ok", "frames": 30}
    tables = {
        VIDEOS: pd.DataFrame([video]),
        TRACKLETS: tracklets([(t, "east", 0, 3, 30, 0.9) for t in "abc"]),
        BOXES: boxes,
    }
    ctx = SimpleNamespace(
        settings=stage.config(),
        read=lambda manifest: tables[manifest],
        source=lambda name: tmp_path / "gt",
        write=lambda manifest, table: tables.__setitem__(manifest, table),
        log=print,
        add_metadata=lambda **facts: None,
    )
    stage.run(ctx)
    assert tables[CAMERA_LABELS].set_index("tracklet_id").label.to_dict() == labels
    said = capsys.readouterr().out
    assert ("are unknown, not empty" in said) == (len(at) < 30)
    assert ("boxes of 'car'" in said) == bool(extra)
