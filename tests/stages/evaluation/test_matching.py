"""Boxes to true boxes, tracklets to persons, and what is counted from them."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.evaluation.matching import match, matched_pids, overlaps, tracklet_persons
from stages.evaluation.tracking import (
    detection_scores,
    followed,
    identity_true_positives,
    idf1,
    per_camera_idf1,
    visit_ids,
)


def table(rows: list[tuple], *names: str) -> pd.DataFrame:  # type: ignore[type-arg]
    """Rows of (name, …, video, frame, x, y, w, h)."""
    frame = pd.DataFrame(rows, columns=[*names, "video_id", "frame", "x", "y", "w", "h"])
    return frame.assign(x1=frame.x, y1=frame.y, x2=frame.x + frame.w, y2=frame.y + frame.h)


def naive_iou(a: pd.Series, b: pd.Series) -> float:
    w = min(a.x2, b.x2) - max(a.x1, b.x1)
    h = min(a.y2, b.y2) - max(a.y1, b.y1)
    common = max(w, 0) * max(h, 0)
    return common / ((a.x2 - a.x1) * (a.y2 - a.y1) + (b.x2 - b.x1) * (b.y2 - b.y1) - common)


def crowd(seed: int, people: int = 3, frames: int = 4) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    true, own = [], []
    for f in range(frames):
        for p in range(people):
            x, y = rng.uniform(0, 12, 2)
            true.append((p, "v", f, x, y, 10, 20))
            if rng.random() < 0.9:
                own.append(
                    (f"t{rng.integers(3)}", "v", f, *(np.array([x, y]) + rng.normal(0, 1.5, 2)), 10, 20)
                )
    return table(own, "tracklet_id"), table(true, "pid")


def test_overlaps_are_all_pairs_of_a_frame() -> None:
    own, true = crowd(0)
    found = {(b, t): iou for b, t, iou in overlaps(own, true, 0.3).itertuples(index=False)}
    naive = {
        (b, t): naive_iou(own.iloc[b], true.iloc[t])
        for b, t in itertools.product(range(len(own)), range(len(true)))
        if own.frame[b] == true.frame[t]
    }
    assert found == pytest.approx({k: v for k, v in naive.items() if v >= 0.3})


def test_boxes_that_only_touch_do_not_overlap() -> None:
    own = table([("t", "v", 0, 0, 0, 10, 10)], "tracklet_id")
    assert overlaps(own, table([(1, "v", 0, 10, 10, 10, 10)], "pid"), 0.0).iou.tolist() == [0.0]
    assert overlaps(own, table([(1, "v", 1, 0, 0, 10, 10)], "pid")).empty
    assert overlaps(own, table([(1, "w", 0, 0, 0, 10, 10)], "pid")).empty
    assert overlaps(own, table([(1, "v", 0, 0, 0, 10, 20)], "pid")).iou.tolist() == [0.5]


def best_by_trying(own: pd.DataFrame, true: pd.DataFrame, min_iou: float) -> tuple[int, float]:
    """Most matches of one frame, then the largest total IoU, over all one-to-one assignments."""
    best = (0, 0.0)
    for order in itertools.permutations([*range(len(true)), *[-1] * len(own)], len(own)):
        ious = [naive_iou(own.iloc[i], true.iloc[t]) for i, t in enumerate(order) if t >= 0]
        if all(v >= min_iou for v in ious):
            best = max(best, (len(ious), sum(ious)))
    return best


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_matching_is_the_best_of_all_assignments(seed: int) -> None:
    own, true = crowd(seed, frames=1)
    m = match(own, true, 0.3)
    used = m[m >= 0]
    assert len(set(used)) == len(used)
    total = sum(naive_iou(own.iloc[i], true.iloc[t]) for i, t in enumerate(m) if t >= 0)
    assert (len(used), total) == pytest.approx(best_by_trying(own, true, 0.3))


@given(st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_matching_does_not_depend_on_the_order_of_rows(seed: int) -> None:
    own, true = crowd(seed)
    rng = np.random.default_rng(seed)
    mixed_own, mixed_true = (t.sample(frac=1, random_state=rng.integers(1000)) for t in (own, true))
    expected = matched_pids(match(own, true), true)
    found = pd.Series(
        matched_pids(match(mixed_own, mixed_true), mixed_true), index=mixed_own.index
    ).sort_index()
    assert found.tolist() == expected.tolist()


def test_one_true_box_is_matched_once() -> None:
    own = table([("a", "v", 0, 0, 0, 10, 10), ("b", "v", 0, 1, 0, 10, 10)], "tracklet_id")
    true = table([(4, "v", 0, 0, 0, 10, 10)], "pid")
    assert match(own, true).tolist() == [0, -1]
    assert detection_scores(match(own, true), 1) == {"precision": 0.5, "recall": 1.0}
    assert detection_scores(match(own[:0], true), 1) == {"precision": None, "recall": 0.0}


def test_the_person_of_a_tracklet() -> None:
    ids = pd.Series(list("aaaabbbbccccdde"))
    pid = np.array([1, 1, 2, -1, 3, -1, -1, -1, 5, 5, -1, -1, 9, 8, -1])
    persons = tracklet_persons(ids, pid)
    assert persons.to_dict() == {"a": 1, "b": -1, "c": 5, "d": 8, "e": -1}
    assert tracklet_persons(ids[:0], pid[:0]).empty


def naive_idtp(frames: np.ndarray) -> int:
    """The definition: every trajectory is assigned to one of the other side or to a false node of its own."""
    n, m = frames.shape
    best = 0
    for order in itertools.permutations([*range(m), *[-1] * n], n):
        best = max(best, sum(int(frames[i, j]) for i, j in enumerate(order) if j >= 0))
    return best


@given(st.integers(1, 3), st.integers(1, 4), st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_identity_true_positives_against_all_assignments(n: int, m: int, seed: int) -> None:
    frames = np.random.default_rng(seed).integers(0, 5, (n, m))
    pairs = np.array([(i, j) for i in range(n) for j in range(m) for _ in range(frames[i, j])]).reshape(-1, 2)
    assert identity_true_positives(pairs[:, 0], pairs[:, 1]) == naive_idtp(frames)


def walk(name: object, video: str, frames: range, x: float) -> list[tuple]:  # type: ignore[type-arg]
    return [(name, video, f, x, 0, 10, 20) for f in frames]


def world() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Person 1 in both cameras, person 2 in the first, next to each other; the tracker mixes them up once."""
    true = table(
        walk(1, "cam1", range(10), 0) + walk(2, "cam1", range(10), 50) + walk(1, "cam2", range(10), 0), "pid"
    )
    own = table(
        walk("a", "cam1", range(6), 0)  # 1, then 2
        + walk("a", "cam1", range(6, 10), 50)
        + walk("b", "cam1", range(6), 50)  # 2, then lost
        + walk("c", "cam2", range(4), 0)  # 1 in two pieces
        + walk("d", "cam2", range(4, 10), 0)
        + walk("e", "cam2", range(5), 200),  # nobody
        "tracklet_id",
    )
    return (t.assign(camera_id=t.video_id, t_utc_us=t.frame) for t in (own, true))  # type: ignore[return-value]


def test_a_small_world_by_hand() -> None:
    own, true = world()
    pid = matched_pids(match(own, true), true)
    # cam1: a=1 (6) and b=2 (6); cam2: d=1 (6).  30 true boxes, 31 own.
    assert per_camera_idf1(own, true) == pytest.approx(2 * 18 / 61)
    assert followed(own, pid) == pytest.approx(
        {"purity": (6 + 6 + 4 + 6) / 26, "switches": 1, "r_fm": 4 / 3, "r_sw": 5 / 4}
    )
    # Over both cameras with identities a+c+d = 0, b = 1, e = 2: 0 ↔ person 1 in 16 frames, 1 ↔ person 2 in 6.
    identity = own.tracklet_id.map({"a": 0, "c": 0, "d": 0, "b": 1, "e": 2}).to_numpy()
    assert idf1(own, true, identity) == pytest.approx(2 * 22 / 61)


def test_perfect_tracking_is_one_and_nothing_is_none() -> None:
    _, true = world()
    own = true.assign(tracklet_id=true.camera_id + true.pid.astype(str))
    assert per_camera_idf1(own, true) == 1
    assert idf1(own, true, true.pid.to_numpy()) == 1
    assert followed(own, true.pid.to_numpy()) == {"purity": 1, "switches": 0, "r_fm": 1, "r_sw": 1}
    nothing = own[:0]
    assert idf1(nothing, true, np.zeros(0, int)) == 0
    assert followed(nothing, np.zeros(0, int)) == {"purity": None, "switches": 0, "r_fm": None, "r_sw": None}


def test_a_duplicate_box_of_an_identity_is_no_second_hit() -> None:
    true = table([(1, "v", 0, 0, 0, 10, 10)], "pid")
    own = table([("a", "v", 0, 0, 0, 10, 10), ("b", "v", 0, 1, 0, 10, 10)], "tracklet_id")
    assert idf1(own, true, np.array([0, 0])) == pytest.approx(2 * 1 / 3)
    assert idf1(own, true, np.array([0, 1])) == pytest.approx(2 * 1 / 3)


def test_persons_who_pass_each_other_are_no_switch() -> None:
    """One box of twenty goes to the other person in the matching."""
    own = pd.DataFrame({"tracklet_id": "a", "camera_id": "c", "t_utc_us": range(20)})
    pid = np.array([1] * 10 + [2] + [1] * 9)
    assert followed(own, pid) == {"purity": 0.95, "switches": 0, "r_fm": 1, "r_sw": 1}


def test_a_visit_ends_when_the_person_is_long_gone() -> None:
    truth = pd.DataFrame(
        [("a", 1, 0), ("b", 1, 1), ("a", 1, 50), ("a", 2, 10), ("a", 1, 111), ("a", 1, 112)],
        columns=["camera_id", "pid", "t_s"],
    )
    visits = visit_ids(truth.assign(t_utc_us=truth.t_s * 1_000_000))
    assert len(set(visits)) == 4
    assert visits[0] == visits[2] and visits[4] == visits[5] != visits[0]
