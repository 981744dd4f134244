"""Truth in other forms than MOT text says the same, and what is wrong with it is said by file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.datasets.cvat import read_cvat
from data.datasets.truth import read_truth
from pipeline.errors import UserError

VIDEOS = pd.DataFrame(
    {"video_id": ["c041_a", "c042_a"], "camera_id": ["c041", "c042"], "path": ["/v/a.mp4", "/v/b.mp4"]}
)
BOX = '<box frame="{f}" outside="{o}" occluded="{c}" keyframe="1" xtl="10" ytl="20.5" xbr="40" ybr="99" z_order="0">{a}</box>'


def cvat(*tracks: str) -> str:
    return f"<annotations><version>1.1</version>{''.join(tracks)}</annotations>"


def track(number: int, boxes: list[tuple[int, int, int]], person: str = "", where: str = "track") -> str:
    said = f'<attribute name="PID">{person}</attribute>' if person else ""
    inner = "".join(BOX.format(f=f, o=o, c=c, a=said if where == "box" else "") for f, o, c in boxes)
    return f'<track id="{number}" label="person" source="manual">{said if where == "track" else ""}{inner}</track>'


def mot(folder: Path, name: str, lines: list[str]) -> None:
    (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def test_the_three_forms_say_the_same(tmp_path: Path) -> None:
    text, xml, city = tmp_path / "text", tmp_path / "xml", tmp_path / "city.txt"
    text.mkdir(), xml.mkdir()
    mot(
        text,
        "c041_a",
        ["1,7,10,20.5,30,78.5,1,1,1", "2,7,10,20.5,30,78.5,1,1,1", "2,9,10,20.5,30,78.5,1,1,1"],
    )
    mot(text, "c042_a", ["5,7,10,20.5,30,78.5,1,1,1"])
    for name, tracks in (("c041_a", [track(0, [(0, 0, 0), (1, 0, 0), (2, 1, 0)], "7"), track(1, [(1, 0, 0)], "9", "box")]),
                         ("c042_a", [track(0, [(4, 0, 0)], "7")])):  # fmt: skip
        (xml / f"{name}.xml").write_text(cvat(*tracks))
    city.write_text(
        "41 7 1 10 20.5 30 78.5 0 0\n41 9 2 10 20.5 30 78.5 0 0\n41 7 2 10 20.5 30 78.5 0 0\n42 7 5 10 20.5 30 78.5 0 0\n"
    )
    wanted, others = read_truth(text, VIDEOS), [read_truth(xml, VIDEOS), read_truth(city, VIDEOS)]
    for found in others:
        assert set(found) == set(wanted)
        for video, truth in wanted.items():
            pd.testing.assert_frame_equal(
                found[video].rows, truth.rows.sort_values(["frame", "id"]).reset_index(drop=True)
            )


def test_ai_city_counts_from_nought_where_a_nought_occurs(tmp_path: Path) -> None:
    city = tmp_path / "gt.txt"
    city.write_text("041 3 0 1 1 5 5\n\n041 3 2 1 1 5 5\n")
    assert read_truth(city, VIDEOS)["c041_a"].rows.frame.tolist() == [0, 2]
    city.write_text("041 3 1 1 1 5 5\n041 3 3 1 1 5 5\n")
    assert read_truth(city, VIDEOS)["c041_a"].rows.frame.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("41 7 2 10 20 30 nan", r"line 2: expected camera id frame x y w h"),
        ("41 7 2 10 20 0 30", r"line 2: expected"),
        ("41 7 2 10 20 30", r"line 2: expected"),
        ("41 7 1 10 20 30 40", r"camera 41 has id 7 twice in frame 1"),
    ],
)
def test_a_wrong_line_of_ai_city_is_named(tmp_path: Path, line: str, said: str) -> None:
    city = tmp_path / "gt.txt"
    city.write_text(f"41 7 1 10 20 30 40\n{line}\n")
    with pytest.raises(UserError, match=rf"gt\.txt.*{said}"):
        read_truth(city, VIDEOS)


def test_cameras_of_ai_city_must_be_ours(tmp_path: Path) -> None:
    city = tmp_path / "gt.txt"
    city.write_text("7 7 1 10 20 30 40\n")
    with pytest.raises(UserError, match=r"speaks of cameras 7, and the videos are of c041, c042"):
        read_truth(city, VIDEOS)
    city.write_text("41 7 1 10 20 30 40\n")
    with pytest.raises(UserError, match=r"camera 41 has 2 videos .*MOT text per video"):
        read_truth(city, VIDEOS.assign(camera_id="c041"))


def test_cvat_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "annotations.xml"
    path.write_text(cvat(track(5, [(0, 0, 1), (3, 0, 0)])))
    found = read_truth(path, VIDEOS[:1])["c041_a"].rows
    assert (
        found.id.tolist() == [5, 5]
        and found.visibility.tolist() == [0.5, 1.0]
        and found.frame.tolist() == [0, 3]
    )
    assert read_truth(tmp_path, VIDEOS[:1])["c041_a"].path == path
    path.write_text(cvat())
    empty = read_cvat(path)
    assert empty.empty and empty.dtypes.to_dict() == found.dtypes.to_dict()
    assert empty.frame.dtype == np.int32


@pytest.mark.parametrize(
    ("text", "several", "said"),
    [
        ("<annotations><track", False, "cannot be read as CVAT XML"),
        (cvat(track(0, [(0, 0, 0)])), True, "track 0: no attribute named pid or"),
        (cvat(track(0, [(0, 0, 0)], "Anna")), False, "must be whole numbers .*Anna"),
        (
            cvat(track(0, [(0, 0, 0)], "3"), track(1, [(0, 0, 0)], "3")),
            True,
            "person 3 has a second box in frame 0",
        ),
        (
            cvat(track(0, [(0, 0, 0)], "3")).replace('xbr="40"', 'xbr="10"'),
            True,
            "person 3 has an empty box in frame 0",
        ),
        (
            cvat(track(0, [(0, 0, 0)], "3")).replace('xtl="10"', ""),
            True,
            "must be whole numbers and the sides numbers",
        ),
    ],
)
def test_a_wrong_cvat_file_is_named(tmp_path: Path, text: str, several: bool, said: str) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"a\.xml: .*{said}"):
        read_cvat(path, several)
