"""The tracker on tiny worlds with known truth."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import schema
from pipeline.manifests import BOXES, DETECTIONS, TRACKLETS
from stages.isolate import split_unclear
from stages.track import TrackConfig, in_order_of_time, moving, too_slow, track_camera
from stages.tracking.tracker import Tracker, TrackerSettings

START_US = 1_777_622_400_000_000  # 2026-05-01 08:00 UTC


def world(
    people: list[dict[str, float]], seconds: float, fps: float, *, noise_px: float = 0.0, seed: int = 0
) -> pd.DataFrame:
    """Detections of people who walk straight: x, y (feet), h, vx (px/s), from, to (s), score; plus column ``pid``."""
    rng = np.random.default_rng(seed)
    rows = []
    for frame in range(int(seconds * fps) + 1):
        t = frame / fps
        for pid, p in enumerate(people):
            if not p.get("from", 0.0) - 1e-9 <= t <= p.get("to", seconds) + 1e-9:
                continue
            x, h = p["x"] + p.get("vx", 0.0) * t, p["h"]
            jitter = rng.normal(0, noise_px, 4) if noise_px else np.zeros(4)
            box = np.array([x - 0.2 * h, p["y"] - h, x + 0.2 * h, p["y"]]) + jitter
            rows.append(("cam1_a", frame, START_US + round(t * 1e6), *box, p.get("score", 0.9), pid))
    table = pd.DataFrame(
        rows, columns=["video_id", "frame", "t_utc_us", "x1", "y1", "x2", "y2", "score", "pid"]
    )
    table["detection"] = table.groupby("frame").cumcount()
    return table


def follow(detections: pd.DataFrame, **settings: object) -> tuple[pd.DataFrame, pd.DataFrame]:
    tracklets, boxes, _ = track_camera("cam1", detections, TrackConfig(**settings))
    return tracklets, boxes


def people_of(boxes: pd.DataFrame, detections: pd.DataFrame) -> list[set[int]]:
    """For each tracklet, in order of id, the persons in it."""
    joined = boxes.merge(detections, on=["video_id", "frame", "x1", "y1", "x2", "y2"])
    assert len(joined) == len(boxes)
    return [set(pids) for _, pids in joined.groupby("tracklet_id").pid]


TWO = [{"x": 50, "y": 300, "h": 100, "vx": 60}, {"x": 600, "y": 200, "h": 80, "vx": -50}]


def test_two_people_who_never_meet_are_two_tracklets_in_the_contract(tmp_path) -> None:
    detections = world(TWO, 4, 10, noise_px=1)
    tracklets, boxes = follow(detections)
    schema.write(TRACKLETS, tracklets, tmp_path / "t.parquet")
    schema.write(
        BOXES, boxes.astype({c: "float32" for c in ("x1", "y1", "x2", "y2", "score")}), tmp_path / "b.parquet"
    )
    assert tracklets.tracklet_id.tolist() == ["cam1_20260501T080000000_0", "cam1_20260501T080000000_1"]
    assert people_of(boxes, detections) == [{0}, {1}]
    assert len(boxes) == len(detections)  # observed boxes, every one and no other


@given(st.integers(0, 10**6))
@settings(max_examples=5, deadline=None)
def test_order_of_detections_does_not_matter(seed: int) -> None:
    crowd = [{"x": 60.0 * i, "y": 300, "h": 90, "vx": 40 * (-1) ** i} for i in range(6)]
    detections = world(crowd, 3, 8, noise_px=3, seed=seed)
    shuffled = detections.sample(frac=1, random_state=seed)
    for one, other in zip(follow(detections), follow(shuffled), strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_chunks_of_one_recording_give_the_tracklets_of_the_whole() -> None:
    whole = world(TWO, 6, 10, noise_px=1)
    chunks = whole.copy()
    number = chunks.frame // 9
    chunks["video_id"] = "cam1_part" + number.astype(str)
    chunks["frame"] = chunks.frame % 9
    one, other = follow(whole), follow(chunks)
    pd.testing.assert_frame_equal(one[0], other[0])
    same = ["tracklet_id", "t_utc_us", "x1", "y1", "x2", "y2", "score"]
    pd.testing.assert_frame_equal(one[1][same], other[1][same])
    assert other[1].video_id.nunique() == 7


@pytest.mark.parametrize("fps", [5, 10, 25, 50])
def test_the_same_world_at_any_frame_rate_gives_the_same_tracklets(fps: float) -> None:
    # A walk of 1.4 m/s, 1.75 m tall: 0.8 heights per second. The third person comes after the first has left.
    crowd = [
        {"x": 50, "y": 300, "h": 100, "vx": 80, "to": 4},
        {"x": 600, "y": 200, "h": 80, "vx": -64},
        {"x": 20, "y": 310, "h": 110, "vx": 88, "from": 6},
    ]
    detections = world(crowd, 8, fps)
    tracklets, boxes = follow(detections)
    assert people_of(boxes, detections) == [{0}, {1}, {2}]
    np.testing.assert_allclose((tracklets.t_end_us - tracklets.t_start_us) / 1e6, [4, 8, 2], atol=1e-6)


def test_irregular_frames_are_followed_by_their_times() -> None:
    detections = world(TWO, 6, 25, noise_px=1)
    kept = np.random.default_rng(0).random(151) < 0.35
    kept[:4] = True
    some = detections[kept[detections.frame]]
    _, boxes = follow(some)
    assert people_of(boxes, some) == [{0}, {1}]


@pytest.mark.parametrize(("hidden_s", "tracklets"), [(0.5, 1), (3.0, 2)])
def test_a_short_gap_is_bridged_and_a_long_one_ends_the_tracklet(hidden_s: float, tracklets: int) -> None:
    detections = world(TWO[:1], 10, 10)
    t = (detections.t_utc_us - START_US) / 1e6
    seen = detections[(t < 3) | (t >= 3 + hidden_s)]
    table, boxes = follow(seen, max_gap_s=1.0)
    assert len(table) == tracklets
    assert len(boxes) == len(seen)  # nothing invented in the gap


def test_weak_boxes_carry_a_track_but_begin_none() -> None:
    detections = world(TWO[:1], 6, 10)
    detections.loc[detections.frame.between(20, 45), "score"] = 0.2
    table, boxes = follow(detections, max_gap_s=0.5)
    assert len(table) == 1 and len(boxes) == len(detections)
    detections["score"] = 0.2
    assert follow(detections)[0].empty


def test_a_flicker_is_no_tracklet() -> None:
    detections = pd.concat(
        [world(TWO, 4, 10), world([{"x": 300, "y": 90, "h": 50, "from": 1, "to": 1.1}], 2, 10)]
    )
    assert len(follow(detections)[0]) == 2


def test_people_who_cross_are_not_mixed() -> None:
    """Both are seen all the time; the one in front hides the other for a moment in the second world."""
    crowd = [{"x": 100, "y": 300, "h": 100, "vx": 60}, {"x": 500, "y": 296, "h": 98, "vx": -60}]
    detections = world(crowd, 6, 10, noise_px=0.5)
    _, boxes = follow(detections)
    assert all(len(p) == 1 for p in people_of(boxes, detections))
    t = (detections.t_utc_us - START_US) / 1e6
    seen = detections[(detections.pid == 0) | ~t.between(3.1, 3.6)]
    _, boxes = follow(seen)
    assert all(len(p) == 1 for p in people_of(boxes, seen))


def test_an_unclear_match_says_so() -> None:
    """Two people walk into one place and one box is left: it may be either's, and isolation can tell by the margin."""
    crowd = [
        {"x": 200, "y": 300, "h": 100, "vx": 30, "to": 2.9},
        {"x": 380, "y": 300, "h": 100, "vx": -30, "to": 2.9},
    ]
    merged = world([{"x": 290, "y": 300, "h": 100, "from": 3}], 6, 10).assign(pid=2)
    detections = pd.concat([world(crowd, 6, 10), merged], ignore_index=True)
    tracklets, boxes = follow(detections)
    assert any(len(p) > 1 and 2 in p for p in people_of(boxes, detections))
    alone = boxes[boxes.t_utc_us < START_US + 1_500_000]
    assert (alone.margin == 1).all()
    unclear = boxes[boxes.margin < 0.03]
    assert len(unclear) and unclear.t_utc_us.min() >= START_US + 2_800_000
    crops = boxes.rename(columns={"score": "quality"})
    _, boxes, crops = split_unclear(tracklets, boxes, crops, 0, 0.03, 0.5)
    assert all(len(p) == 1 for p in people_of(boxes, detections))
    assert len(crops) == len(boxes)


def test_copies_of_a_recording_are_tracked_once() -> None:
    one = world(TWO, 4, 10)
    copy = one.assign(video_id="cam1_copy")
    later = one.assign(video_id="cam1_z", t_utc_us=one.t_utc_us + 2_050_000)  # overlaps by half
    rows, left_out = in_order_of_time(pd.concat([copy, one]))
    assert set(rows.video_id) == {"cam1_a"} and left_out == len(copy)
    rows, left_out = in_order_of_time(pd.concat([later, one]))
    assert left_out == (later.t_utc_us <= one.t_utc_us.max()).sum() > 0
    assert rows.t_utc_us.is_monotonic_increasing
    tracklets, _, doubled = track_camera("cam1", pd.concat([one, copy]), TrackConfig())
    assert len(tracklets) == 2 and doubled == len(copy)


def test_poster_goes_and_standing_person_stays() -> None:
    poster = world([{"x": 100, "y": 200, "h": 100}], 60, 5, noise_px=0.2).assign(track=0)
    standing = world([{"x": 300, "y": 200, "h": 100}], 60, 5, noise_px=3).assign(track=1)
    rows = pd.concat([poster, standing])
    assert set(moving(rows, 30, 0.02).track) == {1}
    assert set(moving(rows, 90, 0.02).track) == {0, 1}  # nobody stood for so long
    assert len(follow(poster)[0]) == 1  # and by default nothing is dropped


def test_nothing_seen_nothing_made() -> None:
    tracklets, boxes = follow(DETECTIONS.empty())
    assert tracklets.empty and boxes.empty
    assert list(tracklets.columns) == [c.name for c in TRACKLETS.columns]


def test_frames_must_move_forward() -> None:
    tracker = Tracker()
    tracker.update(1.0, np.zeros((0, 4)), np.zeros(0))
    with pytest.raises(ValueError, match="order of time"):
        tracker.update(1.0, np.zeros((0, 4)), np.zeros(0))


def test_the_stage_and_the_tracker_have_the_same_defaults() -> None:
    for name, value in vars(TrackerSettings()).items():
        if name in TrackConfig.model_fields:
            assert value == getattr(TrackConfig(), name), name


# Walkers of 0.8 heights per second who never come near each other.
APART = [
    {"x": 50, "y": 300, "h": 100, "vx": 80, "to": 8},
    {"x": 1200, "y": 600, "h": 120, "vx": -96, "from": 1},
    {"x": 100, "y": 900, "h": 90, "vx": 60, "from": 2, "to": 9},
]


@pytest.mark.parametrize("fps", [1, 1.5, 2, 3, 3.3, 4, 5])
@pytest.mark.parametrize("seed", [0, 1])
def test_at_few_frames_a_second_nobody_vanishes_and_nobody_is_mixed(fps: float, seed: int) -> None:
    detections = world(APART, 10, fps, noise_px=2, seed=seed)
    _, boxes = follow(detections)
    assert sorted(map(sorted, people_of(boxes, detections))) == [[0], [1], [2]]
    assert len(boxes) == len(detections)


@pytest.mark.parametrize("fps", [1, 2, 3])
def test_a_person_missed_in_one_frame_of_a_slow_camera_stays_one_tracklet(fps: float) -> None:
    detections = world(APART, 10, fps, noise_px=1)
    some = detections[(detections.frame != int(5 * fps)) | (detections.pid != 1)]
    _, boxes = follow(some)
    assert sorted(map(sorted, people_of(boxes, some))) == [[0], [1], [2]]


@pytest.mark.parametrize("fps", [1, 2, 3])
def test_whoever_is_seen_in_two_frames_of_a_slow_camera_leaves_a_tracklet(fps: float) -> None:
    brief = {"x": 700, "y": 100, "h": 70, "vx": 20, "from": 4, "to": 4 + 1 / fps}
    detections = world([*APART, brief], 10, fps)
    _, boxes = follow(detections)
    assert {3} in people_of(boxes, detections)


@pytest.mark.parametrize("rates", [(25, 1), (1, 25), (10, 2), (2, 10), (3, 1), (25, 3)])
def test_rates_may_change_within_a_recording_and_from_file_to_file(rates: tuple[float, float]) -> None:
    fast, slow = (world(APART, 10, fps, noise_px=1) for fps in rates)
    half = START_US + 5_000_000
    whole = pd.concat([fast[fast.t_utc_us < half], slow[slow.t_utc_us >= half]])
    whole["frame"] = whole.t_utc_us.rank(method="dense").astype("int64") - 1
    files = whole.assign(video_id=np.where(whole.t_utc_us < half, "cam1_a", "cam1_b"))
    for detections in (whole, files):
        _, boxes = follow(detections)
        assert sorted(map(sorted, people_of(boxes, detections))) == [[0], [1], [2]]
        assert len(boxes) == len(detections)


@pytest.mark.parametrize("target_fps", [1, 2, 3])
def test_frames_that_were_not_looked_at_are_told_by_their_numbers(target_fps: float) -> None:
    detections = world(APART, 10, 25, noise_px=1)
    interval = (detections.frame / 25 * target_fps + 0.01).astype(int)
    looked = detections[detections.frame == detections.frame.groupby(interval).transform("min")]
    _, boxes = follow(looked)
    assert sorted(map(sorted, people_of(boxes, looked))) == [[0], [1], [2]]


@pytest.mark.parametrize("pause_s", [0.7, 1.5, 30.0])
@pytest.mark.parametrize("burst", [1, 3, 8])
def test_pauses_of_a_camera_that_records_on_motion_lose_nobody(pause_s: float, burst: int) -> None:
    people = [{"x": 100, "y": 300, "h": 100, "vx": 8}, {"x": 700, "y": 600, "h": 120, "vx": -9}]
    detections = world(people, 12, 10, noise_px=1)
    detections["t_utc_us"] += (detections.frame // burst) * round(pause_s * 1e6)  # people wait meanwhile
    tracklets, boxes = follow(detections)
    assert all(len(p) == 1 for p in people_of(boxes, detections))
    assert len(boxes) == len(detections)
    if pause_s < 2:
        assert len(tracklets) == 2


def test_where_walkers_cannot_be_followed_single_boxes_stay_and_a_sentence_says_so() -> None:
    rushing = [{"x": 50, "y": 300, "h": 60, "vx": 500}, {"x": 5000, "y": 900, "h": 60, "vx": -500}]
    detections = world(rushing, 8, 2)
    _, boxes = follow(detections)
    assert len(boxes) == len(detections) and all(len(p) == 1 for p in people_of(boxes, detections))
    assert "about 2 frames a second are too few" in too_slow(detections, boxes)
    walking = world(APART, 8, 1)
    assert "about 1 frames a second are too few" in too_slow(walking, follow(walking)[1])
    for fps in (5, 10, 25):
        fine = world(APART, 8, fps)
        assert too_slow(fine, follow(fine)[1]) == ""


def test_rare_false_boxes_at_a_usual_rate_are_no_slow_camera() -> None:
    flicker = world([{"x": 300, "y": 200, "h": 80}], 120, 10)
    frames = [3, 40, 41, 200, 467, 900, 1111]
    assert follow(flicker[flicker.frame.isin(frames)])[0].empty
    assert follow(flicker[flicker.frame.isin(frames[::2])])[0].empty


@pytest.mark.parametrize("every", [1, 2])
def test_case_11_has_three_people_in_each_camera(every: int) -> None:
    """Two frames a second, and one."""
    folder = Path(__file__).resolve().parents[3] / "shared" / "cases" / "11-low-fps" / "2fps" / "det"
    if not folder.is_dir():
        pytest.skip("the cases are not at hand")
    for file in sorted(folder.glob("*.txt")):
        table = pd.read_csv(file, header=None, names=["frame", "id", "x1", "y1", "w", "h", "score"])
        table = table[(table.frame - 1) % every == 0].reset_index(drop=True)
        table = table.assign(video_id="cam1_a", x2=table.x1 + table.w, y2=table.y1 + table.h)
        table["t_utc_us"] = START_US + table.frame * 500_000
        table["detection"] = table.groupby("frame").cumcount()
        tracklets, boxes = follow(table)
        assert len(tracklets) == 3, file.name
        assert len(boxes) == len(table)
