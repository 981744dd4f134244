"""Finished detections describe themselves: columns by their header, people by their class, cameras by their folder."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import UserError
from stages.detectors.precomputed import is_precomputed, read_detections

CASES = Path(__file__).resolve().parents[3].parent / "shared" / "cases"
FIRST = [0, 20, 180, 68, 300, 0.9]
COLUMNS = ["frame", "x1", "y1", "x2", "y2", "score"]


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def read(folder: Path, text: str, name: str = "v.csv") -> pd.DataFrame:
    return read_detections(written(folder / name, text).parent, "v", "v")


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("frame,id,x1,y1,x2,y2,score", "1,-1,20,180,68,300,0.9"),
        ("frame,id,x,y,w,h,score", "1,-1,20,180,48,120,0.9"),
        ("frame,id,x,y,w,h,score", "1,-1,20,180,48,120,0.9,-1,-1,-1"),  # as MOT goes on
        ("Frame;X_min;Y_min;X_max;Y_max;Confidence", "1;20;180;68;300;0.9"),
        ("score,y2,x2,y1,x1,frame", "0.9,300,68,180,20,1"),
        ("frame\tbb_left\tbb_top\tbb_width\tbb_height\tconf", "1\t20\t180\t48\t120\t0.9"),
        ("# frame, left, top, width, height, score", "1, 20, 180, 48, 120, 0.9"),
        ("frame x y w h score", "1 20 180 48 120 0.9"),
        ("frame,x0,y0,x1,y1,score", "1,20,180,68,300,0.9"),
        ("frame_id,x_center,y_center,width,height,conf", "1,44,240,48,120,0.9"),
        (",frame,xmin,ymin,xmax,ymax,confidence,class,name", '7,1,20,180,68,300,0.9,0,"person"'),
        ("frame,label,x1,y1,w,h,score", "1,Pedestrian,20,180,48,120,0.9"),
        ('"frame","x1","y1","x2","y2","score"', '"1","20","180","68","300","0.9"'),
    ],
)
@pytest.mark.parametrize("name", ["v.csv", "v.txt"])
def test_a_header_says_what_the_columns_are(tmp_path: Path, header: str, row: str, name: str) -> None:
    found = read(tmp_path, f"{header}\n{row}\n\n{row}\n", name)
    np.testing.assert_allclose(found[COLUMNS].to_numpy(), [FIRST, FIRST])


@pytest.mark.parametrize("score", ["", "-1"])
def test_a_score_that_is_not_given_is_one(tmp_path: Path, score: str) -> None:
    assert read(tmp_path, f"frame,x,y,w,h,score\n1,2,3,4,5,{score}\n").score.tolist() == [1]
    assert read(tmp_path, "frame,x,y,w,h\n1,2,3,4,5\n").score.tolist() == [1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("frame,id,x,y,w,h,score,colour\n1,-1,1,1,5,5,1,red\n", "line 1: the column 'colour' is not known"),
        ("video,frame,x,y,w,h\nv,1,1,1,5,5\n", "the column 'video' is not known"),
        ("a,b,c,d,e,f\n1,-1,1,1,5,5\n", "the column 'a' is not known"),
        ("frame,x,y,score\n1,1,1,1\n", "tell no frame or no box"),
        ("x,y,w,h\n1,1,5,5\n", "tell no frame or no box"),
        ("frame,x,x1,y,w,h\n1,1,1,1,5,5\n", "the column 'x1?' and another mean the same"),
        ("frame,x1,y1,x2,y2\n1,1,1,far,5\n", "line 2: 'far' is no number"),
        ("frame,x1,y1,x2,y2\n1,1,1,5\n", "line 2: '1,1,1,5' lacks a value for bottom"),
        ("frame,x1,y1,x2,y2\n0,1,1,5,5\n", "line 2: frame 0"),
        ("frame,x1,y1,x2,y2\n1,5,1,5,5\n", "boxes have no width or height"),
        ("frame,x1,y1,x2,y2\n1,nan,1,5,5\n", "not a finite number"),
    ],
)
def test_a_header_that_is_not_understood_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=rf"v\.csv.*{said}"):
        read(tmp_path, text)


def test_fields_longer_than_any_are_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"v\.csv, line 2"):
        read(tmp_path, "frame,x1,y1,x2,y2\n1,1,1,5," + "9" * 200_000 + "x\n")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("frame,x,y,w,h,class\n1,2,2,5,5,Person\n1,3,3,5,5,car\n1,4,4,5,5,\n", ""),
        ("frame,x,y,w,h,class,name\n1,2,2,5,5,0,people\n1,3,3,5,5,2,car\n1,4,4,5,5,0,people\n", ""),
        ("frame,x,y,w,h,class\n1,2,2,5,5,2\n1,3,3,5,5,1\n1,4,4,5,5,2.0\n", "car\nperson\n"),
        ("1,-1,2,2,5,5,0.5,2,1\n1,-1,3,3,5,5,0.5,1,1\n1,-1,4,4,5,5,0.5,-1,1\n", "car\nperson\n"),
        (
            "1,-1,2,2,5,5,0.5,2,-1,-1\n1,-1,3,3,5,5,0.5,1,-1,-1\n1,-1,4,4,5,5,0.5,2,-1,-1\n",
            "car\npedestrian\n",
        ),
    ],
)
def test_people_are_read_alone_where_classes_are_given(tmp_path: Path, text: str, labels: str) -> None:
    if labels:
        written(tmp_path / "labels.txt", labels)
    with pytest.warns(UserWarning, match=r"v\.csv: 1 box of 'car' are no people|1 box of 'car'"):
        assert read(tmp_path, text).x1.tolist() == [2, 4]


@pytest.mark.parametrize(
    "text",
    [
        "1,-1,2,2,5,5,0.5,3,1\n1,-1,3,3,5,5,0.5,3,1\n",  # one number tells nobody apart
        "1,-1,2,2,5,5,0.5,3.5,1.2,0\n1,-1,3,3,5,5,0.5,4,1.5,0\n",  # the world's coordinates
        "1,-1,2,2,5,5,0.5,3.5\n1,-1,3,3,5,5,0.5,4\n",  # no class
        "frame,x,y,w,h,cls\n1,2,2,5,5,0\n1,3,3,5,5,0\n",
        "1,-1,2,2,5,5,0.5,-1,-1,-1\n1,-1,3,3,5,5,0.5,-1,-1,-1\n",
    ],
)
def test_numbers_that_are_no_classes_or_one_leave_nobody_out(tmp_path: Path, text: str) -> None:
    assert len(read(tmp_path, text)) == 2


@pytest.mark.parametrize(
    ("text", "labels", "said"),
    [
        (
            "1,-1,2,2,5,5,0.5,0,1\n1,-1,3,3,5,5,0.5,2,1\n",
            "",
            "column 8 holds 0 and 2, and nothing says which",
        ),
        ("frame,x,y,w,h,cls\n1,2,2,5,5,10\n1,3,3,5,5,2\n", "", "its class column holds 2 and 10"),
        (
            "frame,x,y,w,h,cls\n1,2,2,5,5,3\n",
            "person\ncar\n",
            r"class 3, and .*labels\.txt names the classes 1 to 2",
        ),
        ("frame,x,y,w,h,cls\n1,2,2,5,5,0\n", "person\ncar\n", r"class 0, and .*names the classes 1 to 2"),
    ],
)
def test_classes_that_nothing_explains_are_asked_about(
    tmp_path: Path, text: str, labels: str, said: str
) -> None:
    if labels:
        written(tmp_path / "labels.txt", labels)
    with pytest.raises(UserError, match=rf"v\.csv: {said}"):
        read(tmp_path, text)


@pytest.mark.parametrize("name", ["person", "Pedestrian", "PEOPLE"])
def test_categories_of_coco(tmp_path: Path, name: str) -> None:
    content = {
        "images": [{"id": 1, "video": "v", "frame": 0}],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": name}],
        "annotations": [{"image_id": 1, "category_id": c, "bbox": [c, 1, 5, 5]} for c in (1, 2)],
    }
    assert read(tmp_path, json.dumps(content), "v.json").x1.tolist() == [2]


def test_an_only_category_of_another_name_is_said(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 1, "video": "v", "frame": 0}],
        "categories": [{"id": 1, "name": "human"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5]}],
    }
    with pytest.warns(UserWarning, match="its only category, 'human', is read as people"):
        assert len(read(tmp_path, json.dumps(content), "v.json")) == 1


BOX = "1,-1,{x},2,5,5,0.5\n"


@pytest.mark.parametrize(
    ("files", "video_id", "stem", "found"),
    [
        (["c001/det/det.txt", "c002/det/det.txt"], "c002_vdo", "vdo", 1),
        (["S01/c001/det/det.txt", "S01/c002/det/det.txt"], "c001_vdo", "vdo", 0),
        (["c001/det/det_yolo3.txt"], "c001_20200101T000000Z", "vdo", 0),
        (["gate/det/det_ssd.txt", "gate/det/det.txt"], "gate_recording 1", "recording 1", 1),
        (["x/det/det.txt", "a_b/det/det.txt"], "a_b_c", "c", 1),
        (["c001/det/det.txt", "c001_vdo.txt"], "c001_vdo", "vdo", 1),  # a name goes before a folder
    ],
)
def test_detections_are_paired_by_the_cameras_folder(
    tmp_path: Path, files: list[str], video_id: str, stem: str, found: int
) -> None:
    for k, name in enumerate(files):
        written(tmp_path / name, BOX.format(x=k))
    assert is_precomputed(tmp_path)
    assert read_detections(tmp_path, video_id, stem).x1.tolist() == [found]


@pytest.mark.parametrize(
    ("files", "video_id", "stem", "said"),
    [
        (
            ["S01/c001/det/det.txt", "S02/c001/det/det.txt"],
            "c001_vdo",
            "vdo",
            "both fit the video 'c001_vdo'",
        ),
        (["c001/det/det_a.txt", "c001/det/det_b.txt"], "c001_vdo", "vdo", r"holds det_a\.txt and det_b\.txt"),
        (["c001/det/det.txt"], "c001_vdo-2", "vdo", "nothing for the video"),  # of two, nobody knows which
        (["c001/det/det.txt"], "c001_20200101T000000Z", "a", "nothing for the video"),
        (["c001/det/labels.txt"], "c001_vdo", "vdo", "nothing for the video"),
    ],
)
def test_a_folder_that_may_be_of_another_video_is_not_taken(
    tmp_path: Path, files: list[str], video_id: str, stem: str, said: str
) -> None:
    for name in files:
        written(tmp_path / name, BOX.format(x=1))
    with pytest.raises(UserError, match=said):
        read_detections(tmp_path, video_id, stem)


@pytest.fixture(scope="module")
def cases() -> Path:
    if not CASES.is_dir():
        pytest.skip(f"the cases are not at {CASES}")
    return CASES


@pytest.mark.footage
def test_case_08_reads_corners(cases: Path) -> None:
    folder = cases / "08-det-csv-header-x2y2" / "det"
    first = read_detections(folder, "cam1_20260501T080000Z", "cam1_20260501T080000Z")
    np.testing.assert_allclose(first[COLUMNS].to_numpy()[0], FIRST)
    for path in sorted(folder.glob("*.csv")):
        found = read_detections(folder, path.stem, path.stem)
        raw = pd.read_csv(path)
        assert len(found) == len(raw)
        np.testing.assert_allclose(
            found[["x1", "y1", "x2", "y2"]].to_numpy(), raw[["x1", "y1", "x2", "y2"]].to_numpy()
        )
        np.testing.assert_array_equal(found.frame, raw.frame - 1)


@pytest.mark.footage
@pytest.mark.parametrize("root", ["", "S01"])
def test_case_07_is_paired_by_folder(cases: Path, root: str) -> None:
    folder = cases / "07-aicity-layout" / root
    assert is_precomputed(folder)
    for camera, plain in zip(
        ("c001", "c002", "c003"), sorted((cases / "00-common" / "det").glob("*.txt")), strict=True
    ):
        found = read_detections(folder, f"{camera}_vdo", "vdo")
        pd.testing.assert_frame_equal(found, read_detections(plain.parent, plain.stem, plain.stem))
