"""The report, built whole on small worlds: what is on the page, what must never be, who may read it."""

from __future__ import annotations

import re
import stat
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import manifests, schema
from pipeline.stage import Context
from stages.report import STAGE
from stages.reporting import curves, footage, people, provenance, svg, timeline
from stages.reporting.local_time import duration, elapsed, make_clock
from tests.report_world import DAY_US, NO_TRUTH, TRUTH, S, coloured, make_run
from tests.tables import whole_files

EVIL = '<img src=x onerror=alert("x")> Tür & Hof 門'


class _Page(HTMLParser):
    """Elements, their attributes and the text a reader sees; fails on tags that do not match."""

    VOID = frozenset({"meta", "link", "img", "br", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"script", "title"} & set(self.open):
            self.words.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(w for w in self.words if w)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attrs for name, attrs in self.elements if name == tag]


def build(ctx: Context) -> _Page:
    STAGE.run(ctx)
    return index(ctx)


def index(ctx: Context) -> _Page:
    return _Page((ctx.out / "index.html").read_text(encoding="utf-8"))


def check_whole(ctx: Context) -> None:
    """Every page is well-formed, names only files that exist, asks nothing of a network, and shows no NaN."""
    paths = (ctx.out / "index.html", *sorted((ctx.out / "report_files").glob("*.html")))
    pages = {path.resolve(): _Page(path.read_text(encoding="utf-8")) for path in paths}
    ids = {path: {attrs["id"] for _, attrs in page.elements if "id" in attrs} for path, page in pages.items()}
    for path, page in pages.items():
        html = path.read_text(encoding="utf-8")
        assert "http://" not in html and "https://" not in html
        assert not re.search(r"\b(NaN|nan|None|inf)\b", page.text)
        assert not re.search(r'="[^"]*\bnan\b', html)
        names = [a["href"] for tag in ("a", "link") for a in page.all(tag)]
        for name in {*names, *(a["srcset"].split(" ")[0] for a in page.all("img"))}:
            target, _, anchor = name.partition("#")
            file = (path.parent / target).resolve() if target else path
            assert file.is_file(), name
            assert not anchor or anchor in ids[file], name


# --- whole reports -----------------------------------------------------------------------------------------------


def test_with_truth(tmp_path: Path) -> None:
    ctx = make_run(tmp_path / "r", 5, ("gate", "hall", "yard"), metrics=TRUTH)
    page = build(ctx)
    check_whole(ctx)
    assert (
        "3 cameras, 23 minutes of footage, 15 tracklets: 5 people, 5 of them seen by two or more" in page.text
    )
    assert "51.0 %" in page.text and "35.8 %" in page.text and "rose by 15.2 points" in page.text
    assert "95 % interval of the difference: +8.0 to +22.0 points" in page.text
    assert "69.2 %" in page.text and "After round 1 (chosen as final)" in page.text
    assert "87.0 %" in page.text and "1.31" in page.text and "160 queries of 47 people" in page.text
    assert "No labels were given" not in page.text
    assert (
        len(page.all("svg")) == 2 + 7 + 1 + 3
    )  # two recordings, seven curves, people by number of cameras, map and two ways
    assert page.text.count("Person 4") == 1 or "Look at these first" in page.text


def test_without_truth_says_what_is_unknown(tmp_path: Path) -> None:
    ctx = make_run(tmp_path / "r", 4, metrics=NO_TRUTH)
    page = build(ctx)
    check_whole(ctx)
    assert "No labels were given" in page.text and "unknown" in page.text
    assert "Split halves 81.0 %" in page.text and "rose from 70.0 to 81.0 %" in page.text
    assert "Weakest: camera hall" in page.text and "link gate – hall (40 %" in page.text
    assert page.text.count("This needs ground truth, and none was given.") == 2  # states and CMC
    assert "With labels" not in page.text and "Detection recall" not in page.text


def test_no_person_and_no_metrics(tmp_path: Path) -> None:
    ctx = make_run(tmp_path / "r", 0, rounds=1)
    page = build(ctx)
    check_whole(ctx)
    assert "no person was found" in page.text and "No person was found in this footage" in page.text
    assert "Nothing was trained" in page.text and "No round linked" in page.text
    assert page.all("img") == []


def test_no_readable_video(tmp_path: Path) -> None:
    ctx = make_run(tmp_path / "r", 0, ("gate",), metrics=NO_TRUTH, rounds=1)
    path = ctx.inputs["videos"][0]
    videos = schema.read(manifests.VIDEOS, path)
    videos["status"], videos["note"] = "unreadable", "moov atom is missing"
    videos["t_start_us"] = videos["t_end_us"] = 0
    schema.write(manifests.VIDEOS, videos, path)
    page = build(ctx)
    check_whole(ctx)
    assert "2 unreadable files" in page.text and "unreadable; moov atom is missing" in page.text
    assert "No video could be read" in page.text and "1970" not in page.text


def test_one_camera(tmp_path: Path) -> None:
    ctx = make_run(tmp_path / "r", 3, ("gate",), metrics=NO_TRUTH)
    page = build(ctx)
    check_whole(ctx)
    assert "With one camera there is nobody to find again" in page.text
    assert len(page.all("img")) == 3
    assert all("one" in a["class"] for a in page.all("rect") if a.get("class", "").startswith("bar"))


def test_three_hundred_people_go_over_pages(tmp_path: Path) -> None:
    ctx = make_run(tmp_path / "r", 300, ("gate", "hall", "yard"), metrics=NO_TRUTH)
    page = build(ctx)
    check_whole(ctx)
    pages = [page, *(_Page(p.read_text()) for p in (ctx.out / "report_files").glob("people-*.html"))]
    assert len(pages) == 5
    shown = [a["id"] for p in pages for a in p.all("article") if "id" in a]
    assert sorted(shown) == sorted(f"person-{i}" for i in range(300))
    assert all(a["loading"] == "lazy" and a["alt"] for p in pages for a in p.all("img"))
    cards = [a for a in page.all("article") if "id" in a]
    assert len(cards) == 60
    assert sum(p.stat().st_size for p in ctx.out.rglob("*.jpg")) < 20e6
    assert len(list(ctx.out.rglob("*.jpg"))) < 20  # sheets, not one file per picture


def test_names_never_run_and_survive(tmp_path: Path) -> None:
    ctx = make_run(tmp_path / "r with space Ü", 3, (EVIL, "a b c", "門 2"), metrics=TRUTH)
    page = build(ctx)
    check_whole(ctx)
    assert len(page.all("script")) == 1  # ours
    assert EVIL in page.text and "門 2" in page.text
    html = (ctx.out / "index.html").read_text(encoding="utf-8")
    assert "<img src=x" not in html
    policy = next(a["content"] for a in page.all("meta") if "content" in a and "default-src" in a["content"])
    assert "default-src 'none'" in policy and "script-src 'sha256-" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2]
    assert not [k for _, a in page.elements for k in a if k.startswith("on")]


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    ctx = make_run(tmp_path / "r", 2, metrics=NO_TRUTH)
    STAGE.run(ctx)
    for path in (ctx.out, *ctx.out.rglob("*")):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_same_input_same_bytes(tmp_path: Path) -> None:
    built = []
    for name in ("a", "b"):
        ctx = make_run(tmp_path / name / "r", 4, metrics=TRUTH)
        STAGE.run(ctx)
        built.append({p.relative_to(ctx.out): p.read_bytes() for p in ctx.out.rglob("*") if p.is_file()})
    assert built[0] == built[1]


def test_pictures_show_the_right_person(tmp_path: Path) -> None:
    ctx = make_run(tmp_path / "r", 6, ("gate", "hall"), metrics=NO_TRUTH)
    page = build(ctx)
    checked = 0
    for image in page.all("img"):
        sheet, density = image["srcset"].split(" ")
        scale = float(density.removesuffix("x"))
        x, y = (float(v) for v in re.findall(r"-([\d.]+)px", image["style"]))
        pixels = cv2.imread(str(ctx.out / sheet))[..., ::-1]
        middle = pixels[
            round((y + int(image["height"]) / 2) * scale), round((x + int(image["width"]) / 2) * scale)
        ]
        person = int(image["alt"].split()[1])
        wanted = coloured(person, 0)[45, 20]
        assert np.abs(middle.astype(int) - wanted).max() < 30, image["alt"]
        checked += 1
    assert checked >= 12


def test_lost_crops_leave_gaps_not_errors(tmp_path: Path) -> None:
    ctx = make_run(tmp_path / "r", 3, metrics=NO_TRUTH)
    (ctx.run_dir / "shards" / "a.tar").unlink()
    page = build(ctx)
    check_whole(ctx)
    assert page.text.count("no picture") >= 6


def test_recordings_without_a_clock(tmp_path: Path) -> None:
    ctx = make_run(
        tmp_path / "r", 3, metrics=NO_TRUTH, time_source="assumed", recordings_us=(0,), length_s=120
    )
    page = build(ctx)
    check_whole(ctx)
    assert "Recordings without a clock" in page.text and "1970" not in page.text
    assert "start time unknown, assumed" in page.text and re.search(r"\+\d:\d\d", page.text)


def test_local_time_of_the_site(tmp_path: Path) -> None:
    ctx = make_run(tmp_path / "r", 2, metrics=NO_TRUTH)
    page = build(ctx)
    assert "1 May 2026, 10:00:00 – 10:03:50" in page.text and "Europe/Berlin" in page.text
    assert "used for training" in page.text and "held out from training" in page.text


def test_cut_inside_a_recording_is_marked(tmp_path: Path) -> None:
    ctx = make_run(tmp_path / "r", 2, metrics=NO_TRUTH)
    ctx.sources = {**ctx.sources, "cut": (DAY_US + 100 * S, DAY_US + 115 * S)}
    page = build(ctx)
    marks = [float(a["x1"]) for a in page.all("line") if a["class"] == "cut"]
    assert marks == [540.0]  # half of 230 s, in the middle of a drawing 1080 wide
    assert "partly held out from training" in page.text and "held out from here on" in page.text


def test_too_many_tracklets_become_a_density(tmp_path: Path) -> None:
    ctx = make_run(tmp_path / "r", 30, metrics=NO_TRUTH, max_bars=10)
    page = build(ctx)
    check_whole(ctx)
    assert "Too many tracklets to draw one by one" in page.text and len(page.all("polygon")) == 4
    assert not [a for a in page.all("rect") if a.get("class", "").startswith("bar")]


def test_crowded_card_is_cut_and_says_so(tmp_path: Path) -> None:
    ctx = make_run(
        tmp_path / "r", 1, tuple(f"c{i}" for i in range(9)), metrics=NO_TRUTH, max_crops_per_person=4,
        doubtful_below=0.0,
    )  # fmt: skip
    page = build(ctx)
    assert "and 5 more tracklets" in page.text and len(page.all("img")) == 4


def test_damaged_receipt_is_left_out(tmp_path: Path) -> None:
    ctx = make_run(tmp_path / "r", 2, metrics=NO_TRUTH)
    (ctx.run_dir / "identify" / "receipt.json").write_text("{")
    page = build(ctx)
    assert "isolate" in page.text and "identify" not in page.text.partition("Where this comes from")[2]


# --- the parts ---------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(1, 50)), max_size=40))
def test_lanes_never_overlap_and_are_few(spans: list[tuple[int, int]]) -> None:
    start = np.array([s for s, _ in spans], dtype=np.int64)
    end = start + np.array([n for _, n in spans], dtype=np.int64)
    lane = timeline.lanes(start, end)
    for i in range(len(start)):
        for j in range(i):
            if lane[i] == lane[j]:
                assert end[i] <= start[j] or end[j] <= start[i]
    max_at_once = max((int(((start <= t) & (end > t)).sum()) for t in start), default=0)
    assert (lane.max() + 1 if len(lane) else 0) == max_at_once


def test_sessions_split_at_long_gaps_only() -> None:
    minute = 60 * S
    two_days = [(0, 10 * minute), (5 * minute, 12 * minute), (600 * minute, 610 * minute)]
    assert timeline.sessions(two_days) == [(0, 12 * minute), (600 * minute, 610 * minute)]
    chunks = [(i * 10 * minute, (i + 1) * 10 * minute - S) for i in range(6)]
    assert timeline.sessions(chunks) == [(0, 60 * minute - S)]
    assert timeline.sessions([]) == []


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.integers(2, 10))
def test_ticks_are_inside_and_even(low: float, width: float, about: int) -> None:
    ticks = svg.nice_ticks(low, low + width, about)
    assert all(low - width * 1e-6 <= t <= low + width * (1 + 1e-6) for t in ticks)
    assert len(ticks) <= about + 1
    if len(ticks) > 2:
        assert np.allclose(np.diff(ticks), ticks[1] - ticks[0])


def test_match_curve_against_a_plain_writing() -> None:
    ranks = np.array([0, 0, 3, -1, 25, 19, 1])
    plain = [sum(1 for r in ranks if 0 <= r < k) / len(ranks) for k in range(1, 21)]
    assert np.allclose(curves.match_curve(ranks, 20), plain)
    assert np.array_equal(curves.match_curve(np.array([-1, -1]), 3), [0, 0, 0])


def test_thinned_and_moving_mean() -> None:
    x, y = curves.thinned(np.arange(7.0), 3)
    assert np.allclose(x, [1, 4, 6]) and np.allclose(y, [1, 4, 6])
    values = np.array([4.0, 1.0, 7.0, 2.0])
    plain = [values[max(0, i - 1) : i + 2].mean() for i in range(4)]
    assert np.allclose(curves.moving_mean(values, 3), plain)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1 second"), (48, "48 seconds"), (230, "4 minutes"), (5400, "1.5 hours"), (7200, "2 hours"), (864000, "10 days")],
)  # fmt: skip
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text
    assert elapsed(62) == "1:02" and elapsed(3725) == "1:02:05"


def test_persons_of_most_cameras_come_first() -> None:
    table = pd.DataFrame(
        {
            "tracklet_id": list("abcdef"),
            "identity": [7, 7, 3, 3, 5, -1],
            "camera_id": ["x", "x", "x", "y", "x", "y"],
            "confidence": [0.9, 0.2, 0.6, 0.7, 0.1, 0.0],
        }
    )
    order = people.rank(table)
    assert list(order.index) == [3, 7, 5] and list(order.n_cameras) == [2, 1, 1]
    assert order.lowest[7] == 0.2 and order.lowest[5] == 1.0  # alone: nobody to be confused with
    assert order.hue[3] >= 0 and order.hue[7] == -1
    cameras, shared = people.shared_people(table)
    assert cameras == ["x", "y"] and shared == [[3, 1], [1, 1]]


def test_crowded_person_shows_every_camera_and_the_least_certain() -> None:
    cameras, qualities = ["x"] * 6 + ["y", "z"], [0.9, 0.8, 0.7, 0.6, 0.5, 0.1, 0.2, 0.3]
    members = [
        people.Seen(f"t{i}", camera, 0, S, 9, 4, 0.1 if i == 5 else 0.9, quality, "v")
        for i, (camera, quality) in enumerate(zip(cameras, qualities, strict=True))
    ]
    assert set(people.shown_tracklets(members, 4)) == {"t5", "t0", "t6", "t7"}
    assert people.shown_tracklets(members, 8) == [f"t{i}" for i in range(8)]


def test_unknown_zone_falls_back_and_says_so() -> None:
    clock = make_clock(manifests.VIDEOS.empty(), "Mars/Olympus")
    assert clock.zone_name == "UTC" and clock.time(DAY_US) == "08:00:00"


def test_inventory_of_many_recordings() -> None:
    row = dict.fromkeys((c.name for c in manifests.VIDEOS.columns), "")
    rows = [
        row | dict(video_id=f"v{i}", camera_id="gate", path=f"/a/b/{i}.mp4", status="ok", t_start_us=DAY_US + i * 3600 * S,
                   t_end_us=DAY_US + (i + 1) * 3600 * S, frames=90000, width=640, height=360, fps=24.98 + 0.02 * i,
                   time_source="container", clock_scale=1.0, time_std_s=4.0)
        for i in range(3)
    ]  # fmt: skip
    videos = whole_files(pd.DataFrame(rows))
    clock = make_clock(videos, "UTC")
    (line,) = footage.cameras(videos, manifests.TRACKLETS.empty(), clock)
    assert line["recorded"] == "3 hours" and line["span"] == "1 May 2026, 08:00:00 – 11:00:00"
    assert line["picture"] == "640×360, 25 fps" and line["clock"] == "container ± 4 s" and line["notes"] == ""
    assert [f["file"] for f in footage.files(videos, clock)] == ["0.mp4", "1.mp4", "2.mp4"]


def test_stages_stand_in_the_order_they_ran() -> None:
    nodes = [
        "report",
        "train@1",
        "evaluate",
        "associate@0",
        "detect",
        "associate@1",
        "train@0",
        "ingest",
        "identify",
    ]
    ordered = sorted(nodes, key=provenance._place)
    assert ordered == [
        "ingest", "detect", "associate@0", "train@0", "associate@1", "train@1", "identify", "evaluate", "report",
    ]  # fmt: skip
