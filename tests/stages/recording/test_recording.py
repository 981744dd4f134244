"""Starts, clock rates and the inventory: what names and lengths of files tell about time."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camera_topology.site import Site, without_file
from camera_topology.site_schema import SiteFile
from pipeline.errors import UserError
from stages import ingest
from stages.recording import inventory, starts
from tests.tables import whole_files

T0 = 1777622400000000  # 2026-05-01T08:00:00Z
S = 1_000_000


def chunks(
    names: list[str], media_s: list[float], camera: str = "a", fps: float = 10.0
) -> list[starts.Recording]:
    """Files of so many seconds of media, the last frame included."""
    return [
        starts.Recording(
            Path(f"/v/{camera}_{name}.mp4"), f"{camera}{name}", camera,
            {"duration_s": length - 1 / fps, "fps": fps, "stamped_fps": fps, "frames": round(length * fps)},
        )
        for name, length in zip(names, media_s, strict=True)
    ]  # fmt: skip


def named(seconds: list[float]) -> list[str]:
    """20260501T080000Z and so on, in whole seconds as recorders write them."""
    begin = datetime(2026, 5, 1, 8, tzinfo=UTC)
    return [f"{begin + timedelta(seconds=int(s)):%Y%m%dT%H%M%SZ}" for s in seconds]


def site_of(**facts: object) -> Site:
    return Site(SiteFile.model_validate(facts))


def test_chunks_that_last_longer_than_they_say_tell_the_rate() -> None:
    """The recorder stamps 25 and delivers 21: 60 s of media every 72 s."""
    own = chunks(named([72 * i for i in range(6)]), [60.0] * 6)
    starts.set_starts(own, without_file([]))
    assert all(r.scale == pytest.approx(1.2) for r in own)
    assert [r.start_us - T0 for r in own] == [72 * S * i for i in range(6)]
    declared = site_of(cameras=[{"id": "a", "clock": {"scale": 1}}])
    starts.set_starts(own, declared)
    assert all(r.scale == 1 for r in own)


@pytest.mark.parametrize(
    "begins",
    [
        [0, 100, 130, 310, 395, 600],  # a recorder that waits for motion
        [0, 60, 120],  # too few
        [0, 60, 120, 180, 240, 300],  # right
    ],
)
def test_no_rate_where_nothing_tells_one(begins: list[float]) -> None:
    own = chunks(named(begins), [60.0] * len(begins))
    starts.set_starts(own, without_file([]))
    assert {r.scale for r in own} == {1.0}


def test_one_gap_among_chunks_changes_no_rate() -> None:
    begins = [0, 66, 132, 198, 900, 966, 1032, 1098]
    own = chunks(named(begins), [60.0] * 8)
    starts.set_starts(own, without_file([]))
    assert own[0].scale == pytest.approx(1.1)
    assert own[4].start_us == T0 + 900 * S


@given(
    lengths=st.lists(st.floats(6, 90).map(lambda x: round(x, 1)), min_size=4, max_size=40),
    rate=st.sampled_from([1.0, 0.96, 1.0007, 1.19]),
)
@settings(max_examples=60, deadline=None)
def test_a_recording_cut_into_chunks_is_one_again(lengths: list[float], rate: float) -> None:
    """Names in whole seconds, cuts anywhere: the chunks follow one another without hole or overlap, near their names."""
    true_s = np.concatenate([[0], np.cumsum(lengths)])[:-1] * rate
    own = chunks(named(list(true_s)), lengths)
    starts.set_starts(own, without_file([]))
    found_s = np.array([(r.start_us - T0) / S for r in own])
    assert np.abs(found_s - true_s).max() <= 2.0 + 0.001
    if rate in (1.0, 1.0007):
        ends_s = found_s + np.array([r.whole_s * r.scale for r in own])
        assert np.abs(ends_s[:-1] - found_s[1:]).max() <= (1e-5 if rate == 1.0 else 1.1)


def test_a_second_in_the_name_that_was_cut_off_makes_no_hole() -> None:
    lengths = [10.7, 10.7, 10.7]
    own = chunks(named([0.0, 10.7, 21.4]), lengths)
    starts.set_starts(own, without_file([]))
    assert [(r.start_us - T0) / S for r in own] == pytest.approx([0, 10.7, 21.4])


def test_a_real_gap_stays_one() -> None:
    own = chunks(named([0, 13, 23]), [10.0] * 3)
    starts.set_starts(own, without_file([]))
    assert [(r.start_us - T0) / S for r in own] == [0, 13, 23]


def test_the_hour_that_a_clock_shows_twice() -> None:
    """Berlin, 25 October 2026: 02:00 to 03:00 passes twice. Ten-minute files, local names, seconds tell them apart."""
    first = [f"20261025_02{m:02d}03" for m in (0, 10, 20, 30, 40, 50)]
    second = [f"20261025_02{m:02d}41" for m in (0, 10, 20, 30, 40, 50)]
    own = chunks(["20261025_015003", *first, *second, "20261025_030041"], [600.0] * 14)
    starts.set_starts(own, site_of(site={"timezone": "Europe/Berlin"}))
    at = {r.path.stem[2:]: r.start_us for r in own}
    hour = 3600 * S
    assert at[second[0]] - at[first[0]] == hour + 38 * S
    assert at[second[5]] - at[second[0]] == 3000 * S
    assert at["20261025_030041"] - at[second[0]] == hour
    assert all("twice" in r.notes[0] for r in own if r.path.stem[2:] in second)


def test_a_time_that_never_was_is_said() -> None:
    own = chunks(["20260329_023000"], [60.0])
    starts.set_starts(own, site_of(site={"timezone": "Europe/Berlin"}))
    assert "no such time in Europe/Berlin" in own[0].notes[0]


def videos_of(*rows: dict[str, object]) -> pd.DataFrame:
    whole = dict(path="/v/x.mp4", digest="", status="ok", frames=600, width=640, height=360, fps=10.0, time_source="file name",
                 clock_scale=1.0, time_std_s=1.0, note="")  # fmt: skip
    table = whole_files(pd.DataFrame([{**whole, "video_id": str(i), **row} for i, row in enumerate(rows)]))
    for name in ("grey_fraction", "damaged", "repaired_times", "stamped_fps"):
        given = [row.get(name) for row in rows]
        table[name] = [old if new is None else new for new, old in zip(given, table[name], strict=True)]
    return table


def test_the_inventory_counts_gaps_overlaps_and_what_is_wrong() -> None:
    minute = 60 * S
    rows = [
        dict(camera_id="a", t_start_us=T0 + begin, t_end_us=T0 + begin + minute - 100_000)
        for begin in (0, minute, 3 * minute, 3 * minute + 30 * S)
    ]
    rows[1] |= dict(grey_fraction=0.5, damaged=3)
    other = dict(camera_id="b", t_start_us=T0, t_end_us=T0 + minute, status="unreadable", note="empty file")
    table = videos_of(*rows, other)
    a, b = inventory.by_camera(table)
    assert (a.files, a.gaps, a.gaps_s, a.overlaps) == (4, 1, pytest.approx(60), 1)
    assert (a.damaged, a.grey_fraction) == (3, pytest.approx(0.125))
    assert (b.files, b.unreadable, b.clock) == (0, 1, "–")
    lines = inventory.inventory(table)
    assert lines[1].split()[:2] == ["a", "4"] and "1 (60 s)" in lines[1] and "12 %" in lines[1]
    assert inventory.problems(table) == [
        "/v/x.mp4: unreadable: empty file; left out.",
        "/v/x.mp4: overlaps an earlier file of a in time.",
    ]
    told = inventory.worth_knowing(table, without_file([]))
    assert "a: 12 % of its footage has no colour" in told[0]


def test_fewer_frames_than_stamped_are_told() -> None:
    table = videos_of(dict(camera_id="a", t_start_us=T0, t_end_us=T0 + 60 * S, fps=8.4, stamped_fps=10.0))
    assert any(
        "8.4 frames a second arrive where the timestamps claim 10.0" in s
        for s in inventory.worth_knowing(table, without_file([]))
    )
    assert "8.4 (10.0)" in inventory.inventory(table)[1]


def test_several_days_are_told_and_a_night_does_not_end_one() -> None:
    day = 86_400 * S
    table = videos_of(
        *(dict(camera_id="a", t_start_us=T0 + k * day, t_end_us=T0 + k * day + 60 * S) for k in range(3))
    )
    assert any("footage is of 3 days" in s for s in inventory.worth_knowing(table, without_file([])))
    asked = site_of(defaults={"across_days": True})
    assert not any("days" in s for s in inventory.worth_knowing(table, asked))
    late = T0 + 15 * 3600 * S + 59 * 60 * S  # 23:59
    assert len(set(without_file([]).day(np.array([late, late + 120 * S])))) == 1


def test_a_window_cuts_files_and_leaves_others_out() -> None:
    table = videos_of(
        dict(camera_id="a", t_start_us=T0, t_end_us=T0 + 60 * S),
        dict(camera_id="a", t_start_us=T0 + 60 * S, t_end_us=T0 + 120 * S),
        dict(camera_id="b", t_start_us=T0 + 600 * S, t_end_us=T0 + 660 * S),
        dict(camera_id="c", t_start_us=0, t_end_us=60 * S, time_source="assumed"),
    )
    cut = ingest.within_window(table, T0 + 30 * S, T0 + 90 * S)
    assert list(cut.status) == ["ok", "ok", "outside", "outside"]
    assert list(cut.t_from_us[:2] - T0) == [30 * S, 60 * S] and list(cut.t_until_us[:2] - T0) == [
        60 * S,
        90 * S,
    ]
    assert any(
        "2 files lie outside" in s and "1 of them" in s
        for s in inventory.worth_knowing(cut, without_file([]))
    )
    gone = ingest.within_window(table, T0 + 90 * 60 * S, None)
    assert "from 2026-05-01 08:00 to 2026-05-01 08:11 UTC" in ingest.nothing_left(gone)
    assert ingest.within_window(table, None, None) is table


def test_cameras_are_chosen_by_name_before_anything_is_decoded() -> None:
    paths = [Path(f"/v/{camera}_20260501T080000Z.mp4") for camera in ("gate", "yard")]
    assert list(ingest.of_cameras(paths, without_file([]), ("yard",)).values()) == ["yard"]
    assert list(ingest.of_cameras(paths, without_file([]), ())) == paths
    with pytest.raises(UserError, match=r"CAMERA=yrd: recorded none of these videos.*yard.*CAMERA=all"):
        ingest.of_cameras(paths, without_file([]), ("yrd",))
    assert ingest.IngestConfig(cameras="gate, yard").cameras == ("gate", "yard")
    assert ingest.IngestConfig(cameras=7).cameras == ("7",)


@pytest.mark.parametrize("begins", [[0, 120, 240, 360, 480], [0, 55, 110, 165, 220], [0, 90, 180, 270, 360]])
def test_clips_at_one_pace_are_no_clock(begins: list[float]) -> None:
    """Every other minute; with five seconds of pre-roll; with a pause of half a minute."""
    own = chunks(named(begins), [60.0] * 5)
    starts.set_starts(own, without_file([]))
    assert {r.scale for r in own} == {1.0}


def test_a_doubled_hour_of_continuous_chunks_is_in_order() -> None:
    """Berlin, seven-minute chunks from 01:44 summer time to 03:30 winter time; no name is there twice."""
    begin = datetime(2026, 10, 24, 23, 44, tzinfo=UTC)
    zone = ZoneInfo("Europe/Berlin")
    true = [begin + timedelta(minutes=7 * k) for k in range(24)]
    names = [f"{t.astimezone(zone):%Y%m%d_%H%M%S}" for t in true]
    assert len(set(names)) == len(names)
    own = chunks(names, [420.0] * 24)
    starts.set_starts(own, site_of(site={"timezone": "Europe/Berlin"}))
    assert [r.start_us // S for r in own] == [int(t.timestamp()) for t in true]


def test_files_of_the_second_pass_alone_are_known_by_what_follows() -> None:
    own = chunks(["20261025_023000", "20261025_024000", "20261025_025000", "20261025_030000"], [600.0] * 4)
    starts.set_starts(own, site_of(site={"timezone": "Europe/Berlin"}))
    assert {b.start_us - a.start_us for a, b in pairwise(own)} == {600 * S}


def test_a_lost_beginning_is_time_that_passed() -> None:
    own = chunks(["1", "2", "3"], [60.0, 30.0, 60.0])
    own[1].facts["lead_s"] = 30.0
    starts.set_starts(own, site_of(cameras=[{"id": "a", "start_time": "2026-05-01T08:00:00"}]))
    assert [(r.start_us - T0) / S for r in own] == [0, 60, 120]
