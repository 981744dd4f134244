"""MOT text in and out."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.datasets.mot import find_mot, read_mot, write_mot
from pipeline.errors import UserError


def _file(folder: Path, text: str) -> Path:
    path = folder / "gt.txt"
    path.write_text(text)
    return path


def test_frames_turn_zero_based_and_boxes_get_corners(tmp_path: Path) -> None:
    rows = read_mot(_file(tmp_path, "1,7,10,20,30,40,1,1,0.25\n\n12,8,0.5,0,2,2,0,7,1\n"))
    assert rows.to_dict("list") == {
        "frame": [0, 11], "id": [7, 8], "x1": [10, 0.5], "y1": [20, 0], "x2": [40, 2.5], "y2": [60, 2],
        "flag": [True, False], "visibility": [0.25, 1],
    }  # fmt: skip


def test_short_lines_and_mot15_world_coordinates_count_as_visible(tmp_path: Path) -> None:
    rows = read_mot(
        _file(
            tmp_path, "1,1,0,0,5,5\n1,2,0,0,5,5,1,-4.1,-7.3,0\n1,3,0,0,5,5,1,-1,-1,-1\n1,4,0,0,5,5,1,1,-1\n"
        )
    )
    assert rows.flag.all() and (rows.visibility == 1).all()


def test_an_empty_file_says_that_nobody_was_there(tmp_path: Path) -> None:
    rows = read_mot(_file(tmp_path, ""))
    assert rows.empty and rows.dtypes["frame"] == np.int32


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("5,1,0,0,5", "5 fields"),
        ("five,1,0,0,5,5", "not a number"),
        ("5 1 0 0 5 5", "1 field separated by commas"),
        ("5,1,0,0,nan,5", "not a finite number"),
        ("0,1,0,0,5,5", "whole number from 1"),
        ("2.5,1,0,0,5,5", "whole number from 1"),
        ("5,1.5,0,0,5,5", "the id is not"),
        ("5,-1,0,0,5,5", "negative id"),
        ("5,1,0,0,0,5", "not above 0"),
        ("5,1,500000,0,0.001,5", "not above 0"),  # lost in float32
        ("5,1,100000000,0,1,5", "a million pixels away"),
        ("5,1,0,0,5,5,1,1,1.5", "visibility"),
        ("1,1,3,3,5,5", "already in line 1"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, line: str, says: str) -> None:
    path = _file(tmp_path, f"1,1,0,0,5,5,1,1,1\n\n{line}\n")
    with pytest.raises(UserError, match=says) as error:
        read_mot(path)
    assert str(path) in str(error.value) and "line 3" in str(error.value) and "expected" in str(error.value)


def test_a_missing_or_binary_file_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.txt"):
        read_mot(tmp_path / "no.txt")
    (tmp_path / "video.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UserError, match="cannot be read as MOT"):
        read_mot(tmp_path / "video.txt")


def _videos(*names: str) -> pd.DataFrame:
    return pd.DataFrame(
        {"video_id": [f"id_{n}" for n in names], "path": [f"/somewhere/{n}.mp4" for n in names]}
    )


def test_truth_files_are_found_by_video_id_then_by_stem(tmp_path: Path) -> None:
    for name in ("id_a", "a", "b"):
        (tmp_path / f"{name}.txt").touch()
    (tmp_path / "c" / "gt").mkdir(parents=True)
    (tmp_path / "c" / "gt" / "gt.txt").touch()
    found = find_mot(tmp_path, _videos("a", "b", "c", "d"))
    assert {k: str(v.relative_to(tmp_path)) for k, v in found.items()} == {
        "id_a": "id_a.txt", "id_b": "b.txt", "id_c": "c/gt/gt.txt",
    }  # fmt: skip


def test_one_file_serves_one_video_only(tmp_path: Path) -> None:
    path = _file(tmp_path, "")
    assert find_mot(path, _videos("a")) == {"id_a": path}
    assert find_mot(tmp_path, _videos("a")) == {"id_a": path}
    with pytest.raises(UserError, match="2 videos"):
        find_mot(path, _videos("a", "b"))
    with pytest.raises(UserError, match=r"nothing for any video.*id_a\.txt"):
        find_mot(tmp_path, _videos("a", "b"))
    twins = _videos("a", "b").assign(path="/x/one.mp4")
    (tmp_path / "one.txt").touch()
    with pytest.raises(UserError, match="two videos"):
        find_mot(tmp_path, twins)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {
            "frame": [3, 0, 0],
            "id": [1, 2, 1],
            "x1": [1.5, 2, 3],
            "y1": [0, 1, 2],
            "x2": [4, 5, 6.25],
            "y2": [9, 9, 9],
        }
    )
    write_mot(tmp_path / "out.txt", rows)
    assert (tmp_path / "out.txt").read_text().splitlines()[0] == "1,1,3.00,2.00,3.25,7.00,1.0000,-1,-1,-1"
    again = read_mot(tmp_path / "out.txt")
    expected = rows.sort_values(["frame", "id"]).reset_index(drop=True)
    pd.testing.assert_frame_equal(again[list(rows)], expected, check_dtype=False)


@pytest.mark.footage
def test_all_truth_beside_the_checkout_can_be_read(footage: Path) -> None:
    files = [*sorted(footage.glob("mot15/*/gt/gt.txt")), footage / "pets09-s2l1" / "gt" / "gt.txt"]
    assert len(files) == 7
    people = {f.parents[1].name: read_mot(f).query("flag").id.nunique() for f in files}
    assert people["pets09-s2l1"] == 19 and people["TUD-Campus"] == 8
