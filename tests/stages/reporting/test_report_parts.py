"""What the report is made of: ways between cameras, overlay clips, hidden heads, worst answers, one ZIP."""

import os
import stat
import zipfile
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from camera_topology.site import Site, without_file
from camera_topology.site_schema import SiteFile
from pipeline.errors import UserError
from stages.reporting import clips, transit_links
from stages.reporting.archive import pack
from stages.reporting.confusions import ordinal
from stages.reporting.data_sufficiency import enough
from stages.reporting.privacy import redact_head, redact_heads

S = 1_000_000


def site(**link: object) -> Site:
    return Site(
        SiteFile.model_validate(
            {
                "cameras": [{"id": c, "position": {"x_m": x, "y_m": 0}} for x, c in enumerate("abc")],
                "links": [{"from": "a", "to": "b", **(link or {"distance_m": 25.0})}],
            }
        )
    )


def seen(*rows: tuple[int, str, float, float]) -> pd.DataFrame:
    """(person, camera, start s, end s)"""
    return pd.DataFrame(
        [(f"t{i}", p, c, int(s * S), int(e * S)) for i, (p, c, s, e) in enumerate(rows)],
        columns=["tracklet_id", "identity", "camera_id", "t_start_us", "t_end_us"],
    )


def test_a_way_is_taken_from_one_camera_to_the_next() -> None:
    table = seen(
        (1, "a", 0, 5),
        (1, "a", 7, 9),
        (1, "b", 20, 25),
        (1, "a", 24, 30),
        (2, "b", 0, 1),
        (-1, "a", 2, 3),
        (-1, "b", 9, 10),
    )
    moves = transit_links.crossings(table)
    assert moves.to_dict("list") == {
        "from_": ["a", "b"],
        "to": ["b", "a"],
        "seconds": [11.0, -1.0],
        "person": [1, 1],
    }
    assert transit_links.crossings(table[:0]).empty


def test_the_expected_curve_is_the_prior_itself() -> None:
    at = np.array([0.0, 20.0, 34.0, 3600.0])  # 25 m at 1.25 m/s: 20 s, deviation 14 s
    curve = transit_links.prior_curve(site(), "a", "b", at, {})
    assert curve == pytest.approx([0, 1, np.exp(-0.5), 1e-4], rel=1e-6)
    assert transit_links.prior_curve(site(relation="forbidden"), "a", "b", at, {}).max() == 0
    assert np.ptp(transit_links.prior_curve(without_file("ab"), "a", "b", at, {})) == 0
    # A negative time is no walk the other way round: nobody is there before having left.
    assert transit_links.prior_curve(site(), "a", "b", np.array([-22.0, -20.0, -9.0]), {}).max() == 0
    apart = transit_links.prior_curve(site(relation="overlap"), "a", "b", np.array([-30.0, 0.0, 3.0]), {})
    assert apart == pytest.approx([1, 1, 1])


def test_links_are_told_with_what_was_expected() -> None:
    rng = np.random.default_rng(0)
    moves = pd.DataFrame({"from_": "a", "to": "b", "seconds": [*rng.normal(20, 4, 30), 3600.0]})
    moves = pd.concat([moves, pd.DataFrame({"from_": "b", "to": "c", "seconds": [5.0]})], ignore_index=True)
    first, second = transit_links.links(moves, site(), {}, max_items=9)
    assert (first.name, first.count, first.expected, first.stragglers) == ("a → b", 31, "20 s (25 m)", 1)
    assert (
        first.outside == "3 %"
        and first.drawing
        and "polyline" in first.drawing
        and "3 600" not in first.drawing
    )
    assert second.drawing is None and second.expected == "" and second.outside == ""
    assert [link.name for link in transit_links.links(moves, site(), {}, max_items=1)] == ["a → b"]
    overlap = transit_links.links(moves, site(relation="overlap"), {}, max_items=1)[0]
    assert overlap.expected == "views overlap"


def test_the_map_puts_cameras_where_they_stand() -> None:
    moves = pd.DataFrame({"from_": ["b", "c"], "to": ["c", "b"], "seconds": [1.0, 2.0]})
    drawn = transit_links.site_map(list("abc"), moves, site())
    assert drawn is not None and drawn.count("<circle") == 3
    assert 'class="way unused"' in drawn and "a – b: taken 0 times" in drawn  # declared, not taken
    assert "b – c: taken 2 times, not in the site file" in drawn
    places = transit_links._places(list("abc"), site())
    assert places["a"][0] < places["b"][0] < places["c"][0] and len({y for _, y in places.values()}) == 1
    here = {"cameras": [{"id": c, "position": {"x_m": 1, "y_m": 1}} for c in "ab"]}
    assert len(set(transit_links._places(list("ab"), Site(SiteFile.model_validate(here))).values())) == 2
    around = transit_links._places(list("abcd"), without_file("abcd"))
    assert len({(round(x), round(y)) for x, y in around.values()}) == 4
    assert transit_links.site_map(["a"], moves[:0], site()) is None


@pytest.mark.parametrize(
    ("people", "said"),
    [
        (3, "3 people were found in two or more cameras before the cut: too few"),
        (30, "little to learn from"),
        (60, "enough to learn from"),
    ],
)
def test_is_it_enough(people: int, said: str) -> None:
    rows = [(p, c, 10.0 * p, 10.0 * p + 1) for p in range(people) for c in "ab"]
    assert said in enough(seen(*rows), ["a", "b"])
    alone = enough(seen(*rows, (999, "hall", 0, 1)), ["a", "b", "hall", "silent"])
    wanted = "hall, silent share fewer than 5 people with the others, and gain least."
    assert people == 3 or alone.endswith(wanted)  # with three people all cameras are alike


def test_one_camera_is_not_enough_and_a_silent_one_is_no_missing_one() -> None:
    assert enough(seen((1, "a", 0, 1)), ["a"]).startswith("With one camera there is nothing")
    assert enough(seen((1, "a", 0, 1)), ["a", "b"]).startswith("0 people were found in two or more cameras")


def test_heads_are_gone_and_the_rest_stays() -> None:
    image = np.random.default_rng(0).integers(0, 255, (120, 90, 3), np.uint8)
    hidden = redact_heads(image, np.array([[10.0, 20.0, 50.0, 100.0], [80.0, -60.0, 200.0, -10.0]]))
    around = np.zeros((120, 90), bool)
    around[14:40, 4:56] = True  # the upper quarter and 15 % of the width around it
    assert (hidden[~around] == image[~around]).all()  # the second box lies above the picture
    assert len(np.unique(hidden[around], axis=0)) <= 16
    crop = redact_head(image)
    assert len(np.unique(crop[:48].reshape(-1, 3), axis=0)) <= 16 and (crop[48:] == image[48:]).all()


def film(path: Path, seconds: int = 4) -> Path:
    """Ten frames a second, grey, brighter from second to second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 320, 180, "yuv420p", 2_000_000
        for f in range(10 * seconds):
            image = np.full((180, 320, 3), 60 + 40 * (f // 10), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def boxes(*rows: tuple[str, int]) -> pd.DataFrame:
    """(tracklet, frame) of video v, which began at 100 s; one box each."""
    table = pd.DataFrame(rows, columns=["tracklet_id", "frame"]).assign(
        video_id="v", x1=100.0, y1=60.0, x2=140.0, y2=160.0
    )
    return table.assign(t_utc_us=100 * S + table.frame * S // 10)


def test_the_liveliest_window_is_shown() -> None:
    videos = pd.DataFrame(
        {"video_id": ["v", "w"], "camera_id": ["a", "b"], "status": "ok", "t_start_us": 100 * S}
    )
    table = boxes(("x", 1), ("x", 2), ("x", 3), ("y", 25), ("z", 26), ("late", 3000))
    assert clips.busiest(table, videos, 2.0) == {"a": clips.Window("v", 102 * S, 104 * S)}
    assert clips.busiest(table[:0], videos, 2.0) == {}
    assert clips.busiest(table, videos.assign(status="unreadable"), 2.0) == {}


def test_a_clip_shows_its_window_with_the_boxes_drawn(tmp_path: Path) -> None:
    table = boxes(*(("x", f) for f in range(10, 40, 2)))
    window, out = clips.Window("v", 102 * S, 104 * S), tmp_path / "clip.mp4"
    heads = table[["t_utc_us", "x1", "y1", "x2", "y2"]]
    made = clips.write_clip(
        out, film(tmp_path / "v.mp4"), window, 100 * S, 1.0, table, {"x": 7}, {7: 120.0}, 160, heads
    )
    assert made and stat.S_IMODE(out.stat().st_mode) == 0o600
    with av.open(str(out)) as file:
        shown = [f.to_ndarray(format="rgb24") for f in file.decode(video=0)]
        assert file.streams.video[0].codec_context.name == "h264"
    assert len(shown) == 20 and shown[0].shape == (90, 160, 3)  # two seconds, half the width
    assert shown[0][5, 5].mean() == pytest.approx(140, abs=12) and shown[-1][5, 5].mean() == pytest.approx(
        180, abs=12
    )
    edge = shown[4][50, 50].astype(int)  # left side of the box: green, hue 120
    assert edge[1] > edge[0] + 30 and edge[1] > edge[2] + 30


def test_heads_stay_hidden_between_looked_at_frames() -> None:
    heads = pd.DataFrame({"t_utc_us": [10 * S, 11 * S], "x1": [0.0, 50.0], "y1": 0.0, "x2": 20.0, "y2": 80.0})
    assert [len(clips._around(heads, t * S)) for t in (9.4, 9.6, 10.2, 10.5, 11.4, 11.6)] == [
        0,
        1,
        1,
        2,
        1,
        0,
    ]
    assert len(clips._around(None, 10 * S)) == 0


def test_frames_of_one_instant_do_not_end_the_report(tmp_path: Path) -> None:
    film(tmp_path / "v.mp4", 2)
    window, out = clips.Window("v", 100 * S, 102 * S), tmp_path / "c.mp4"
    assert clips.write_clip(out, tmp_path / "v.mp4", window, 100 * S, 1e-6, boxes(), {}, {}, 160, None)
    with av.open(str(out)) as file:
        times = [f.pts for f in file.decode(video=0)]
    assert len(times) == 20 and times == sorted(set(times))


def test_no_video_no_clip(tmp_path: Path) -> None:
    window, nobody = clips.Window("v", 100 * S, 102 * S), boxes()
    gone = clips.write_clip(
        tmp_path / "c.mp4", tmp_path / "gone.mp4", window, 100 * S, 1.0, nobody, {}, {}, 160, None
    )
    assert not gone and not (tmp_path / "c.mp4").exists()
    after = clips.Window("v", 300 * S, 302 * S)
    film(tmp_path / "v.mp4", 1)
    assert not clips.write_clip(
        tmp_path / "c.mp4", tmp_path / "v.mp4", after, 100 * S, 1.0, nobody, {}, {}, 160, None
    )


def test_ordinals() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 102, 111)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "102nd", "111th",
    ]  # fmt: skip


def test_the_report_as_one_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make report RUN="):
        pack(tmp_path)
    (tmp_path / "report" / "report_files").mkdir(parents=True)
    (tmp_path / "report" / "index.html").write_text("page")
    (tmp_path / "report" / "receipt.json").write_text("{}")
    (tmp_path / "report" / "report_files" / "a.jpg").write_bytes(b"x")
    (tmp_path / "report" / "report_files" / ".DS_Store").write_bytes(b"x")
    os.utime(tmp_path / "report" / "index.html", (0, 0))  # before the first date that ZIP knows
    packed = pack(tmp_path)
    assert stat.S_IMODE(packed.stat().st_mode) == 0o600
    root = f"report-{tmp_path.name}"
    assert zipfile.ZipFile(packed).namelist() == [f"{root}/index.html", f"{root}/report_files/a.jpg"]


def test_links_past_a_camera_are_drawn_round_it() -> None:
    from stages.reporting.transit_links import _bend, _near_line

    one, other = (100.0, 200.0), (500.0, 200.0)
    assert _near_line((300.0, 205.0), one, other) and not _near_line((300.0, 260.0), one, other)
    assert not _near_line((560.0, 200.0), one, other), "behind the end is not between"
    assert _bend(one, other, 0) == (300.0, 200.0), "straight where nobody is in the way"
    up, down = _bend(one, other, 1)[1], _bend(one, other, 2)[1]
    assert (up - 200) * (down - 200) < 0 and abs(down - 200) > abs(up - 200) / 2
