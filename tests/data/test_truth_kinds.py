"""Truth as people really have it: classes beside people, frames nobody labelled, CVAT's other export, folders in place of names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.datasets.cvat import cvat_boxes
from data.datasets.labelled_frames import (
    as_table,
    fraction_alone,
    stand_apart,
    step,
    that_count,
)
from data.datasets.labels import counted, is_person
from data.datasets.mot import read_mot
from data.datasets.truth import Truth, check_truth, read_truth, sentences
from pipeline import schema
from pipeline.errors import UserError
from pipeline.manifests import LABELLED_FRAMES
from stages.camera_labels import CameraLabelsConfig
from stages.ground_truth import GroundTruthConfig

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


def videos(*names: str, folder: str = "/v") -> pd.DataFrame:
    return pd.DataFrame(
        {"video_id": list(names), "camera_id": list(names), "path": [f"{folder}/{n}.mp4" for n in names]}
    )


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def lines(*rows: tuple[int, int, object]) -> str:
    """MOT text of (frame, id, class)."""
    return "".join(f"{f},{i},{10 * i},20,30,80,1,{c},1\n" for f, i, c in rows)


def box(label: str, frame: int | None, pid: str = "", shape: str = "", **more: object) -> str:
    at = "" if frame is None else f'frame="{frame}" '
    said = f'<attribute name="pid">{pid}</attribute>' if pid else ""
    sides = shape or 'box xtl="10" ytl="20" xbr="40" ybr="99"'
    named = f'label="{label}" ' if frame is None else ""
    extra = " ".join(f'{k}="{v}"' for k, v in more.items())
    return f"<{sides} {named}{at}{extra}>{said}</{sides.split()[0]}>"


def track(number: int, label: str, *shapes: str) -> str:
    return f'<track id="{number}" label="{label}">{"".join(shapes)}</track>'


def image(number: object, name: str, *shapes: str, more: str = "") -> str:
    return f'<image id="{number}" name="{name}" width="640" height="384" {more}>{"".join(shapes)}</image>'


def cvat(*parts: str, meta: str = "") -> str:
    return f"<annotations><version>1.1</version><meta>{meta}</meta>{''.join(parts)}</annotations>"


# 01: column 8 is a class -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["gt", "gt/a/gt", "gt/a"])
def test_labels_beside_or_above_name_the_classes_of_mot_text(tmp_path: Path, place: str) -> None:
    written(tmp_path / "gt" / "a" / "gt" / "gt.txt", lines((1, 1, 2), (1, 2, 1), (2, 1, 2), (2, 3, 3)))
    written(tmp_path / place / "labels.txt", "car\nPerson\ntraffic light\n\n")
    found = read_truth(tmp_path / "gt", videos("a", "b"))["a"]
    assert found.rows.id.tolist() == [1, 1] and found.left_out == {"car": 1, "traffic light": 1}


def test_labels_hold_for_lines_as_long_as_mot15s(tmp_path: Path) -> None:
    written(tmp_path / "a.txt", "1,1,0,0,5,5,1,1,-1,-1\n1,2,0,0,5,5,1,2,-1,-1\n1,3,0,0,5,5,1,-1,-1,-1\n")
    assert read_mot(tmp_path / "a.txt").id.tolist() == [1, 2, 3]
    written(tmp_path / "labels.txt", "pedestrian\nbus\n")
    assert read_mot(tmp_path / "a.txt").id.tolist() == [1, 3]  # -1 says nothing


def test_what_is_to_be_ignored_needs_no_class(tmp_path: Path) -> None:
    written(tmp_path / "labels.txt", "person\n")
    written(tmp_path / "a.txt", "1,1,0,0,5,5,1,1,1\n1,2,0,0,5,5,0,9,1\n")
    assert read_mot(tmp_path / "a.txt").flag.tolist() == [True, False]


def test_person_classes_are_a_setting(tmp_path: Path) -> None:
    written(tmp_path / "labels.txt", "rider\nperson\n")
    path = written(tmp_path / "a.txt", lines((1, 1, 1), (1, 2, 2)))
    assert read_mot(path).id.tolist() == [2]
    assert read_mot(path, ["RIDER"]).id.tolist() == [1]
    for config in (GroundTruthConfig, CameraLabelsConfig):
        assert config().person_classes == ("person", "pedestrian", "people")
        assert config(person_classes="person, rider").person_classes == ("person", "rider")
        assert config(person_classes=["rider"]).person_classes == ("rider",)


def test_mot_challenges_own_classes(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", lines((1, 1, 1), (1, 2, 2), (1, 3, 3), (1, 7, 7), (1, 8, 8)))
    found = read_truth(path, videos("a"))["a"]
    assert found.rows.id.tolist() == [1, 2, 7] and found.left_out == {"car": 1, "distractor": 1}
    assert "MOTChallenge's 'static person'" in found.note


@pytest.mark.parametrize("number", [0, 1, 2, 7, -1, 80])
def test_one_number_in_all_files_tells_nobody_apart(tmp_path: Path, number: int) -> None:
    assert len(read_mot(written(tmp_path / "a.txt", lines((1, 1, number), (2, 1, number))))) == 2


@pytest.mark.parametrize(
    ("numbers", "labels", "said"),
    [
        ((0, 2), None, r"line 1: column 8 is a class, here 0 and 2, and nothing says .*lay a labels\.txt"),
        ((3, 3), None, r"line 1: column 8 is a class, here 3, and nothing says"),
        ((1, 15), None, r"here 1 and 15"),
        ((1, 3), "person\ncar\n", r"line 2: class 3 in column 8, and .*labels\.txt names the classes 1 to 2"),
        ((1, 1.5), "person\ncar\n", r"line 2: class 1\.5"),
        ((1, 1), "\n\n", r"labels\.txt: names no class"),
    ],
)
def test_where_nothing_decides_it_is_asked(
    tmp_path: Path, numbers: tuple[float, float], labels: str | None, said: str
) -> None:
    path = written(tmp_path / "a.txt", lines((1, 1, numbers[0]), (1, 2, numbers[1])))
    if labels is not None:
        written(tmp_path / "labels.txt", labels)
    with pytest.raises(UserError, match=said):
        read_mot(path)


def test_numbers_of_all_files_are_looked_at_together(tmp_path: Path) -> None:
    written(tmp_path / "a.txt", lines((1, 1, 0)))
    written(tmp_path / "b.txt", lines((1, 1, 2)))  # alone it would be everybody
    with pytest.raises(UserError, match="here 0 and 2"):
        read_truth(tmp_path, videos("a", "b"))


@pytest.mark.parametrize("form", ["mot", "video", "images"])
def test_where_no_label_is_a_person_the_setting_is_named(tmp_path: Path, form: str) -> None:
    if form == "mot":
        written(tmp_path / "labels.txt", "human\ndog\n")
        written(tmp_path / "a.txt", lines((1, 1, 1), (1, 2, 2), (2, 2, 2)))
    else:
        parts = [track(1, "human", box("", 0)), track(2, "dog", box("", 0), box("", 1))]
        if form == "images":
            parts = [image(0, "frame_000000", box("human", None, "1"), box("dog", None), box("dog", None))]
        written(tmp_path / "a.xml", cvat(*parts))
    with pytest.raises(UserError, match=r"2 boxes of 'dog', 1 of 'human'.*ground_truth\.person_classes=\["):
        read_truth(tmp_path, videos("a"))
    assert len(read_truth(tmp_path, videos("a"), person_classes=["Human"])["a"].rows) == 1
    with pytest.raises(UserError, match=r"camera_labels\.person_classes"):
        read_truth(tmp_path, videos("a"), "CAMERA_LABELS")


# 03 and 04: CVAT ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "person"),
    [("Person", True), ("PEOPLE", True), ("pedestrian", True), ("car", False), ("personal bag", False)],
)
def test_tracks_of_other_labels_are_left_out(tmp_path: Path, label: str, person: bool) -> None:
    # A car has no person's number, and need not.
    text = cvat(
        track(0, "person", box("", 0, "4")), track(1, label, *([box("", 0, "5")] if person else [box("", 0)]))
    )
    found = cvat_boxes(written(tmp_path / "a.xml", text), True, ("person", "pedestrian", "people"))
    assert found.rows.id.tolist() == ([4, 5] if person else [4])
    assert found.left_out == ({} if person else {label: 1})


@pytest.mark.parametrize(
    ("shape", "sides"),
    [
        ('polygon points="10.5,20;40,25;30,99.5"', [10.5, 20, 40, 99.5]),
        ('mask rle="3,4" left="5" top="6" width="7" height="8"', [5, 6, 12, 14]),
        ('ellipse cx="50" cy="40" rx="10" ry="20"', [40, 20, 60, 60]),
        ('ellipse cx="50" cy="40" rx="10" ry="20" rotation="90"', [30, 30, 70, 50]),
        ('box xtl="10" ytl="20" xbr="30" ybr="80" rotation="90"', [-10, 40, 50, 60]),
        ('box xtl="10" ytl="20" xbr="30" ybr="80" rotation="0.00"', [10, 20, 30, 80]),
    ],
)
def test_of_other_shapes_the_box_around_is_meant(tmp_path: Path, shape: str, sides: list[float]) -> None:
    for text in (
        cvat(track(0, "person", box("", 3, "1", shape))),
        cvat(image(3, "frame_000003", box("person", None, "1", shape))),
    ):
        found = cvat_boxes(written(tmp_path / "a.xml", text), True, ("person",)).rows
        np.testing.assert_allclose(found[["x1", "y1", "x2", "y2"]].to_numpy()[0], sides, atol=1e-4)


@pytest.mark.parametrize(
    "shape", ["skeleton", 'points points="1,2;3,4"', 'polyline points="1,2;3,4"', "cuboid"]
)
def test_a_person_drawn_without_a_box_is_refused_by_name(tmp_path: Path, shape: str) -> None:
    path = written(tmp_path / "a.xml", cvat(track(7, "person", box("", 2, "1", shape))))
    with pytest.raises(
        UserError, match=rf"a\.xml: track 7, frame 2: a person is drawn as '{shape.split()[0]}'"
    ):
        cvat_boxes(path, True, ("person",))
    other = written(tmp_path / "b.xml", cvat(track(7, "bag", box("", 2, "1", shape))))
    assert cvat_boxes(other, True, ("person",)).left_out == {"bag": 1}


@pytest.mark.parametrize(
    ("images", "frames"),
    [
        ([(0, "frame_000000"), (1, "frame_000001")], [0, 1]),
        ([(4, "frame_000004.PNG"), (9, "frame_000009.PNG")], [4, 9]),
        ([(0, "frame_000000"), (1, "frame_000005")], [0, 5]),  # CVAT's own name is of the video
        ([(0, "img1/000001.jpg"), (1, "img1/000002.jpg")], [0, 1]),
        ([(6, "cam_6.jpg"), (8, "cam_8.jpg")], [6, 8]),
    ],
)
def test_cvat_for_images_tells_its_frames(
    tmp_path: Path, images: list[tuple[int, str]], frames: list[int]
) -> None:
    parts = [image(i, name, box("person", None, "3", occluded=1), box("car", None)) for i, name in images]
    found = cvat_boxes(written(tmp_path / "a.xml", cvat(*parts)), True, ("person",))
    assert found.rows.frame.tolist() == frames and set(found.rows.id) == {3}
    assert (found.rows.visibility == 0.5).all() and found.left_out == {"car": 2}
    assert found.declared is not None and found.declared.tolist() == frames


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([image(0, "frame_000000", box("person", None))], "no attribute named pid .* keeps no tracks"),
        ([image(0, "a.png", box("person", None, "1"))], "id and name tell no frame of a video"),
        ([image(0, "000001.jpg"), image(1, "000006.jpg")], "image 0 is called '000001.jpg', so nobody knows which frame"),
        ([image("x", "frame_000000")], "tell no frame"),
        ([image(3, "frame_000003"), image(3, "frame_000003")], "lists an image twice"),
        ([image(0, "frame_000000", more='task_id="1"'), image(1, "frame_000001", more='task_id="2"')], "2 tasks of a project"),
        ([image(0, "frame_000000", box("person", None, "Anna"))], "frame 0: person and frame must be whole numbers"),
    ],
)  # fmt: skip
def test_cvat_for_images_that_tells_no_frame_or_person_is_refused(
    tmp_path: Path, parts: list[str], said: str
) -> None:
    path = written(tmp_path / "a.xml", cvat(*parts))
    with pytest.raises(UserError, match=rf"a\.xml: .*{said}") as error:
        read_truth(path, videos("a"))
    assert "CVAT" in str(error.value) or "task" in str(error.value)


# 05: frames that nobody labelled -----------------------------------------------------------------------------------------


def every(n: int, first: int = 0, frames: int = 60) -> range:
    return range(first, frames, n)


FORMS: dict[str, Callable[[range | list[int]], tuple[str, str]]] = {
    "mot": lambda at: ("a.txt", lines(*((f + 1, 1, 1) for f in at))),
    "video": lambda at: ("a.xml", cvat(track(1, "person", *(box("", f) for f in at)))),
    "images": lambda at: ("a.xml", cvat(*(image(f, f"frame_{f:06d}", box("person", None, "1")) for f in at))),
    "listed": lambda at: (
        "a.xml",
        cvat(
            *(image(f, f"frame_{f:06d}", *([box("person", None, "1")] if f in at else [])) for f in range(60))
        ),
    ),
    "city": lambda at: ("gt.txt", "".join(f"1 1 {f} 10 20 30 40 0 0\n" for f in at)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "at", [every(5), every(2, 1), every(25), [0, 7, 15, 22, 30], [3, 20, 21, 40]], ids=["5", "2", "25", "uneven", "two beside"]
)  # fmt: skip
def test_labels_on_some_frames_say_nothing_of_the_others(
    tmp_path: Path, form: str, at: range | list[int]
) -> None:
    name, text = FORMS[form](at)
    path = written(tmp_path / name, text)
    found = read_truth(path, pd.DataFrame({"video_id": ["cam1"], "camera_id": ["1"], "path": ["/v/a.mp4"]}))[
        "cam1"
    ]
    neighbours = 21 in at and 20 in at
    if not neighbours or form == "images":  # which lists what was to be labelled
        shift = 1 if form == "city" and 0 not in at else 0
        assert found.labelled is not None and found.labelled.tolist() == [f - shift for f in at]
    else:
        assert found.labelled is None or len(found.labelled) == 60
        assert "no labelled neighbour" in found.note or form == "listed"


@pytest.mark.parametrize("at", [list(range(60)), list(range(20, 40)), [], [5], [5, 9], [5, 6]])
def test_where_neighbours_are_labelled_every_frame_counts(tmp_path: Path, at: list[int]) -> None:
    path = written(tmp_path / "a.txt", FORMS["mot"](at)[1])
    assert read_truth(path, videos("a"))["a"].labelled is None


def test_a_frame_with_a_car_alone_was_labelled(tmp_path: Path) -> None:
    path = written(tmp_path / "a.xml", cvat(
        track(1, "person", box("", 0), box("", 10)), track(2, "car", box("", 5), box("", 15))
    ))  # fmt: skip
    found = read_truth(path, videos("a"))["a"]
    assert found.labelled is not None and found.labelled.tolist() == [0, 5, 10, 15]


def test_files_of_a_few_labels_follow_the_others(tmp_path: Path) -> None:
    written(tmp_path / "a.txt", lines(*((f + 1, 1, 1) for f in every(5))))
    written(tmp_path / "b.txt", lines((11, 1, 1)))
    found = read_truth(tmp_path, videos("a", "b"))["b"].labelled
    assert found is not None and found.tolist() == [10]
    written(tmp_path / "a.txt", lines(*((f + 1, 1, 1) for f in every(1))))
    assert read_truth(tmp_path, videos("a", "b"))["b"].labelled is None


@pytest.mark.parametrize(
    ("meta", "frames"),
    [
        (
            "<start_frame>0</start_frame><stop_frame>19</stop_frame><frame_filter></frame_filter>",
            list(range(20)),
        ),
        ("<start_frame>5</start_frame><stop_frame>9</stop_frame>", [5, 6, 7, 8, 9]),
        (
            "<start_frame>4</start_frame><stop_frame>9</stop_frame><frame_filter>step=2</frame_filter>",
            None,
        ),  # 5 is not in it
        ("<start_frame>7</start_frame><stop_frame>9</stop_frame>", None),
        ("<start_frame>x</start_frame><stop_frame>9</stop_frame>", None),
        ("<start_frame>0</start_frame><stop_frame>999999999</stop_frame>", None),
    ],
)
def test_the_task_says_which_frames_it_was_about(tmp_path: Path, meta: str, frames: list[int] | None) -> None:
    text = cvat(track(1, "person", box("", 5), box("", 6)), meta=f"<task>{meta}</task>")
    labelled = read_truth(written(tmp_path / "a.xml", text), videos("a"))["a"].labelled
    assert labelled is None if frames is None else (labelled is not None and labelled.tolist() == frames)


def test_a_task_with_a_step_counts_its_empty_frames(tmp_path: Path) -> None:
    meta = "<task><start_frame>0</start_frame><stop_frame>30</stop_frame><frame_filter>step=5</frame_filter></task>"
    text = cvat(track(1, "person", box("", 10), box("", 15)), meta=meta)
    labelled = read_truth(written(tmp_path / "a.xml", text), videos("a"))["a"].labelled
    assert labelled is not None and labelled.tolist() == [0, 5, 10, 15, 20, 25, 30]


def test_the_table_of_labelled_frames(tmp_path: Path) -> None:
    table = as_table({"b": np.array([0, 5]), "a": np.array([3])})
    schema.write(LABELLED_FRAMES, table, tmp_path / "t.parquet")
    schema.write(LABELLED_FRAMES, as_table({}), tmp_path / "none.parquet")
    rows = pd.DataFrame(
        {"video_id": ["a", "a", "b", "b", "c", "c"], "frame": [3, 4, 5, 6, 0, 1]}, index=list("uvwxyz")
    )
    rows = rows.astype({"frame": "int32"})
    assert that_count(rows, table).to_dict() == dict(
        zip("uvwxyz", [True, False, True, False, True, True], strict=True)
    )
    assert that_count(rows, as_table({})).all() and that_count(rows[:0], table).empty


@pytest.mark.parametrize("n", range(1, 30))
def test_spacing_against_a_naive_loop(n: int) -> None:
    rng = np.random.default_rng(n)
    frames = np.flatnonzero(rng.random(60) < n / 60)
    near = [any(abs(a - b) == 1 for b in frames) for a in frames]
    verdict = False if any(near) else True if len(frames) >= 3 else None
    assert stand_apart(frames) is verdict
    if len(frames) > 1:
        assert fraction_alone(frames) == pytest.approx(1 - np.mean(near))
    gaps = np.diff(frames)
    fits = [k for k in range(1, 60) if len(gaps) and (gaps % k == 0).all()]
    assert step(frames) == max(fits, default=1)


def test_what_is_said_of_how_truth_was_read() -> None:
    none = pd.DataFrame()
    found = {
        "a": Truth(Path("a.txt"), none, np.arange(0, 60, 5), {"car": 3}, ""),
        "b": Truth(Path("b.txt"), none, np.arange(2, 60, 10), {}, "odd"),
        "c": Truth(Path("c.txt"), none, None, {"dog": 1, "car": 1}, ""),
    }
    said = list(sentences(found, dict.fromkeys("abc", 60), "ground_truth.person_classes"))
    assert said[0].startswith("4 boxes of 'car', 1 of 'dog' in 2 of 3 files are no people and are left out")
    assert said[1].startswith("labels stand on some frames only in 2 of 3 videos, 18 of 120 frames")
    assert said[2] == "warning: b.txt: odd"
    del found["b"]
    assert (
        "on every 5th frame in 1 of 2 videos, 12 of 60"
        in list(sentences(found, dict.fromkeys("ac", 60), "x"))[1]
    )
    assert not list(sentences({"c": found["c"]._replace(left_out={})}, {"c": 60}, "x"))


# 06: damaged truth is told of at once -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "1;1;20;180;48;120;1;1;1.0\n", r"a\.txt: line 1: .*put commas in place of the semicolons"),
        ("a.txt", "1,1,1,1,5,5\n2,1,1,1,5\n", r"a\.txt: line 2: 5 fields"),
        ("a/gt/gt.txt", "frame,id,x,y,w,h\n", r"gt\.txt: line 1: a field is not a number"),
        ("a.xml", "<annotations><track", r"a\.xml: cannot be read as CVAT XML"),
        ("cam_20260501T080000Z.txt", "1 1 1\n", r"cam_20260501T080000Z\.txt: line 1"),  # a video_id
        ("cam_20260501T080000Z-2.txt", "1 1 1\n", r"Z-2\.txt: line 1"),
        ("gate_b.txt", "1 1 1\n", r"gate_b\.txt: line 1"),  # camera and stem
        ("v/c1/gt/gt.txt", "1 1 1\n", r"gt\.txt: line 1"),
        ("c2/b.xml", "<x/>", r"b\.xml: holds 'x'"),
    ],
)
def test_every_file_is_opened_before_anything_is_made(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    recorded = [Path("/v/c1/a.mp4"), Path("/v/c2/b.mp4")]
    written(tmp_path / "b.txt", lines((1, 1, 1)))
    if name == "c2/b.xml":
        (tmp_path / "b.txt").unlink()
    path = written(tmp_path / name, text)
    with pytest.raises(UserError, match=said) as error:
        check_truth(tmp_path, recorded)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", ["README.txt", "notes.txt", "labels.txt.bak", "timestamps.txt", "site.xml"])
def test_what_is_no_truth_is_let_be(tmp_path: Path, name: str) -> None:
    written(tmp_path / "a.txt", lines((1, 1, 1)))
    written(tmp_path / name, "What we labelled; by hand\n")
    check_truth(tmp_path, [Path("/v/a.mp4"), Path("/v/b.mp4")])


def test_a_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", lines((1, 1, 1)))
    check_truth(tmp_path, [Path("/v/a.mp4")])
    check_truth(path, [Path("/v/a.mp4")])
    written(path, "1;1;1;1;5;5\n")
    for source in (tmp_path, path):
        with pytest.raises(UserError, match="semicolons"):
            check_truth(source, [Path("/v/a.mp4")])


def test_one_file_of_ai_city_and_folders_without_truth(tmp_path: Path) -> None:
    city = written(tmp_path / "gt" / "city.txt", "41 7 1 10 20 30 40\n41 7 2 10 20 30\n")
    with pytest.raises(UserError, match=r"city\.txt: line 2: expected camera id"):
        check_truth(city, [Path("/v/c041/vdo.mp4")])
    with pytest.raises(UserError, match="nothing for any video"):
        check_truth(tmp_path, [Path("/v/a.mp4"), Path("/v/b.mp4")])
    with pytest.raises(UserError, match=r"CAMERA_LABELS=.*cannot be read"):
        check_truth(tmp_path / "not there", [Path("/v/a.mp4")], "CAMERA_LABELS")


def test_labels_that_are_no_people_are_warned_of_until_the_setting_is_known(tmp_path: Path) -> None:
    written(tmp_path / "a.xml", cvat(track(1, "human", box("", 0))))
    with pytest.warns(UserWarning, match="none of its labels"):
        check_truth(tmp_path, [Path("/v/a.mp4")])
    check_truth(tmp_path, [Path("/v/a.mp4")], person_classes=["human"])
    with pytest.raises(UserError, match="none of its labels"):
        check_truth(tmp_path, [Path("/v/a.mp4")], person_classes=["person"])


# 07: paired by folder -----------------------------------------------------------------------------------------------------


def in_folders(*paths: str) -> pd.DataFrame:
    ids = [p.replace("/", "-") for p in paths]
    return pd.DataFrame({"video_id": ids, "camera_id": ids, "path": [f"/data/{p}" for p in paths]})


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["S01/c001/gt/gt.txt", "S01/c002/gt/gt.txt", "S02/c001/gt/gt.txt"], [0, 1, 2]),
        (["c002/gt/gt.txt"], [1]),
        (["S02/c001/gt.txt", "S01/c002.txt"], [2, 1]),
        (["S01/c001/vdo.xml", "c002/annotations.xml"], [0, 1]),
        (["data/S02/c001/gt/gt.txt"], [2]),
    ],
)
def test_truth_is_paired_by_the_folders_of_a_recording(
    tmp_path: Path, files: list[str], found: list[int]
) -> None:
    for name in files:
        written(
            tmp_path / name,
            cvat(track(1, "person", box("", 0, "1"))) if name.endswith("xml") else lines((1, 1, -1)),
        )
    table = in_folders("S01/c001/vdo.mp4", "S01/c002/vdo.mp4", "S02/c001/vdo.mp4")
    paired = {v: str(t.path.relative_to(tmp_path)) for v, t in read_truth(tmp_path, table).items()}
    assert paired == {table.video_id[k]: name for k, name in zip(found, files, strict=True)}
    check_truth(tmp_path, [Path(p) for p in table.path])


def test_what_could_be_of_two_recordings_is_refused_or_of_none(tmp_path: Path) -> None:
    written(tmp_path / "c001" / "gt" / "gt.txt", lines((1, 1, 1)))
    with pytest.raises(UserError, match=r"two videos, .* would share this one file"):
        read_truth(tmp_path, in_folders("S01/c001/vdo.mp4", "S02/c001/vdo.mp4"))
    # Of two recordings in one folder, the folder's truth is neither's.
    with pytest.raises(UserError, match="nothing for any video"):
        read_truth(tmp_path, in_folders("S01/c001/a.mp4", "S01/c001/b.mp4"))
    written(tmp_path / "c001" / "b.txt", lines((1, 1, 1)))
    assert list(read_truth(tmp_path, in_folders("S01/c001/a.mp4", "S01/c001/b.mp4"))) == ["S01-c001-b.mp4"]


def test_a_name_goes_before_a_folder(tmp_path: Path) -> None:
    written(tmp_path / "S01-c001-vdo.mp4.txt", lines((1, 1, 1)))
    written(tmp_path / "c001" / "gt" / "gt.txt", lines((1, 2, 1)))
    found = read_truth(tmp_path, in_folders("S01/c001/vdo.mp4", "S01/c002/vdo.mp4"))
    assert found["S01-c001-vdo.mp4"].rows.id.tolist() == [1]


def test_words() -> None:
    assert is_person(" People ", ["people"]) and is_person("", ["x"]) and not is_person("car", ["x"])
    assert counted([("a", 1)]) == "1 box of 'a'"
    assert counted([(c, 2) for c in "abcdefg"]).endswith("2 of 'e' and 4 of 2 other labels")


# The cases beside the checkout -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cases() -> Path:
    if not CASES.is_dir():
        pytest.skip(f"the cases are not at {CASES}")
    return CASES


def common(cases: Path) -> pd.DataFrame:
    paths = sorted((cases / "00-common" / "videos").glob("*.mp4"))
    return pd.DataFrame(
        {
            "video_id": [p.stem for p in paths],
            "camera_id": [p.stem[:4] for p in paths],
            "path": [str(p) for p in paths],
        }
    )


def by_frame(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values(["frame", "id"], ignore_index=True)


@pytest.mark.footage
@pytest.mark.parametrize(
    ("folder", "cars"),
    [("01-truth-mot-class-column", 100), ("03-truth-cvat-labels", 100), ("04-truth-cvat-for-images", 0)],
)
def test_cases_say_the_same_as_the_plain_truth(cases: Path, folder: str, cars: int) -> None:
    wanted, found = (
        read_truth(path, common(cases)) for path in (cases / "00-common" / "gt", cases / folder / "gt")
    )
    assert set(found) == set(wanted) and len(found) == 3
    for video, truth in wanted.items():
        pd.testing.assert_frame_equal(by_frame(found[video].rows), by_frame(truth.rows))
        frames = found[video].labelled
        assert truth.labelled is None and (frames is None or len(frames) == 100)
    assert sum(t.left_out.get("car", 0) for t in found.values()) == cars


@pytest.mark.footage
def test_case_05_counts_every_fifth_frame(cases: Path) -> None:
    table = common(cases)
    wanted = read_truth(cases / "00-common" / "gt", table)
    found = read_truth(cases / "05-truth-every-fifth-frame" / "gt-cvat", table)
    for video, truth in found.items():
        assert truth.labelled is not None and truth.labelled.tolist() == list(range(0, 100, 5))
        fifth = wanted[video].rows[wanted[video].rows.frame % 5 == 0]
        pd.testing.assert_frame_equal(by_frame(truth.rows), by_frame(fifth))
    said = list(sentences(found, dict.fromkeys(found, 100), "x"))
    assert len(said) == 1 and "every 5th frame in 3 of 3 videos, 60 of 300 frames" in said[0]


@pytest.mark.footage
def test_case_06_is_refused_at_once(cases: Path) -> None:
    with pytest.raises(UserError, match=r"cam1_20260501T080000Z\.txt: line 1: .*semicolons"):
        check_truth(cases / "06-truth-read-after-training" / "gt", [Path(p) for p in common(cases).path])
    check_truth(cases / "00-common" / "gt", [Path(p) for p in common(cases).path])


@pytest.mark.footage
@pytest.mark.parametrize("root", ["", "S01"])
def test_case_07_is_paired_by_folder(cases: Path, root: str) -> None:
    paths = sorted((cases / "07-aicity-layout").glob("S01/*/vdo.mp4"))
    cameras = [p.parent.name for p in paths]
    table = pd.DataFrame(
        {"video_id": [f"{c}_vdo" for c in cameras], "camera_id": cameras, "path": [str(p) for p in paths]}
    )
    found = read_truth(cases / "07-aicity-layout" / root, table)
    wanted = read_truth(cases / "00-common" / "gt", common(cases))
    assert len(found) == 3
    for own, plain in zip(sorted(found), sorted(wanted), strict=True):
        pd.testing.assert_frame_equal(by_frame(found[own].rows), by_frame(wanted[plain].rows))
