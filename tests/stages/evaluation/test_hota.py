"""HOTA, MOTA and IDF1 against TrackEval's own code, on broken copies of true tracks; and worlds known by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from data.datasets.mot import read_mot
from stages.evaluation.hota import hota, mota
from stages.evaluation.tracking import idf1

SIDES = ["x1", "y1", "x2", "y2"]


def walkers(people: int, n_frames: int, seed: int) -> pd.DataFrame:
    """True boxes of people on straight lines who meet and pass each other."""
    rng = np.random.default_rng(seed)
    at, step = rng.uniform(0, 300, (people, 2)), rng.normal(0, 4, (people, 2))
    first, last = np.sort(rng.integers(0, n_frames, (2, people)), axis=0)
    rows = []
    for p in range(people):
        for f in range(first[p], last[p] + 1):
            x, y = at[p] + step[p] * f
            rows.append((f, p + 1, x, y, x + 40, y + 90))
    table = pd.DataFrame(rows, columns=["frame", "pid", *SIDES])
    return table.assign(video_id="v", camera_id="c", t_utc_us=table.frame.astype("int64") * 40_000)


def broken(truth: pd.DataFrame, seed: int, jitter: float = 0.08) -> pd.DataFrame:
    """Boxes of ours: shaken, some missing, some false, tracks cut and taking each other's ids."""
    rng = np.random.default_rng(seed)
    own = truth[rng.random(len(truth)) > 0.15].copy()
    if own.empty:
        return own.assign(own=0)
    size = (own.x2 - own.x1).to_numpy()[:, None] * jitter
    own[SIDES] += rng.normal(0, 1, (len(own), 4)) * size
    own["own"] = own.pid
    for when in rng.integers(0, truth.frame.max() + 1, 6):
        a, b = rng.choice(own.own.unique(), 2)
        later = own.frame >= when
        if rng.random() < 0.5:  # a switch
            own.loc[later, "own"] = own.own[later].replace({a: b, b: a})
        else:  # a cut
            own.loc[later & (own.own == a), "own"] = own.own.max() + 1
    false = own.sample(frac=0.1, random_state=seed).drop_duplicates("frame")
    false[SIDES] += 25
    own = pd.concat([own, false.assign(own=10_000 + np.arange(len(false)) // 3)], ignore_index=True)
    return own.sample(frac=1, random_state=seed, ignore_index=True)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    size = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    common = np.clip(size, 0, None).prod(2)
    areas = [(x[:, 2:] - x[:, :2]).prod(1) for x in (a, b)]
    return common / (areas[0][:, None] + areas[1][None] - common)


def of_trackeval(truth: pd.DataFrame, own: pd.DataFrame) -> dict[str, float]:
    """TrackEval's HOTA, MOTA and IDF1 of one sequence."""
    metrics = pytest.importorskip("trackeval.metrics", reason="trackeval is not installed")
    truth = truth.assign(id=pd.factorize(truth.pid)[0])
    own = own.assign(id=pd.factorize(own.own)[0])
    data: dict[str, Any] = {"gt_ids": [], "tracker_ids": [], "similarity_scores": []}
    for when in sorted({*truth.t_utc_us, *own.t_utc_us}):
        t, o = truth[truth.t_utc_us == when], own[own.t_utc_us == when]
        data["gt_ids"].append(t.id.to_numpy(int))
        data["tracker_ids"].append(o.id.to_numpy(int))
        data["similarity_scores"].append(iou(t[SIDES].to_numpy(float), o[SIDES].to_numpy(float)))
    data |= {"num_gt_dets": len(truth), "num_tracker_dets": len(own), "num_timesteps": len(data["gt_ids"])}
    data |= {"num_gt_ids": truth.id.nunique(), "num_tracker_ids": own.id.nunique()}
    quiet = {"PRINT_CONFIG": False}
    found = metrics.HOTA().eval_sequence(data)
    return {
        **{ours: float(np.mean(found[theirs])) for ours, theirs in (("hota", "HOTA"), ("det_a", "DetA"), ("ass_a", "AssA"))},
        "mota": float(metrics.CLEAR(quiet).eval_sequence(data)["MOTA"]),
        "idf1": float(metrics.Identity(quiet).eval_sequence(data)["IDF1"]),
    }  # fmt: skip


def of_ours(truth: pd.DataFrame, own: pd.DataFrame) -> dict[str, Any]:
    ids = own.own.to_numpy(), truth.pid.to_numpy()
    return {**hota(own, truth, *ids), "mota": mota(own, truth, *ids), "idf1": idf1(own, truth, ids[0])}


@given(st.integers(1, 12), st.integers(2, 40), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
@example(1, 2, 3)  # nothing is left of the truth
@example(12, 40, 0)
def test_ours_is_trackevals(people: int, n_frames: int, seed: int) -> None:
    truth = walkers(people, n_frames, seed)
    own = broken(truth, seed)
    if len(own):
        assert of_ours(truth, own) == pytest.approx(of_trackeval(truth, own), abs=1e-9)


@pytest.mark.footage
@pytest.mark.parametrize(
    "sequence", ["ADL-Rundle-6", "ETH-Bahnhof", "KITTI-17", "PETS09-S2L1", "TUD-Campus", "Venice-2"]
)
def test_ours_is_trackevals_on_mot15(footage: Path, sequence: str) -> None:
    truth = read_mot(footage / "mot15" / sequence / "gt" / "gt.txt")
    truth = truth[truth.flag].rename(columns={"id": "pid"})
    truth = truth.astype(dict.fromkeys(SIDES, "float64"))
    truth = truth.assign(video_id="v", camera_id="c", t_utc_us=truth.frame.astype("int64") * 40_000)
    own = broken(truth, 7)
    found = of_ours(truth, own)
    assert found == pytest.approx(of_trackeval(truth, own), abs=1e-6)
    assert 0.2 < found["hota"] < 0.9  # the copy is broken, and not beyond recognition


def test_perfect_and_hopeless() -> None:
    truth = walkers(4, 30, 1)
    assert of_ours(truth, truth.assign(own=truth.pid)) == pytest.approx(
        {"hota": 1, "det_a": 1, "ass_a": 1, "mota": 1, "idf1": 1}
    )
    far = truth.assign(own=truth.pid, x1=truth.x1 + 5000, x2=truth.x2 + 5000)
    assert of_ours(truth, far) == pytest.approx({"hota": 0, "det_a": 0, "ass_a": 0, "mota": -1, "idf1": 0})
    assert of_ours(truth, truth[:0].assign(own=0)) == {
        "hota": 0,
        "det_a": 0,
        "ass_a": 0,
        "mota": 0,
        "idf1": 0,
    }
    nobody = truth[:0]
    assert of_ours(nobody, nobody.assign(own=0)) == dict.fromkeys(("hota", "det_a", "ass_a", "mota", "idf1"))


def test_two_cameras_that_do_not_know_each_other() -> None:
    """Perfect tracks with new ids in each camera: boxes are all there, half of every association is missing."""
    one = walkers(3, 20, 2)
    truth = pd.concat([one, one.assign(video_id="w", camera_id="d")], ignore_index=True)
    own = truth.assign(own=truth.pid + 100 * (truth.video_id == "w"))
    ids = own.own.to_numpy(), truth.pid.to_numpy()
    assert hota(own, truth, *ids) == pytest.approx({"hota": np.sqrt(0.5), "det_a": 1, "ass_a": 0.5})
    assert idf1(own, truth, ids[0]) == pytest.approx(0.5)


def test_over_concatenated_cameras_a_network_is_one_sequence() -> None:
    """People who each stay in one camera: the network as one is the cameras one after the other."""
    parts = [walkers(4, 25, seed).assign(pid=lambda t, s=seed: t.pid + 50 * s) for seed in (3, 4, 5)]
    owns = [broken(t, 9).assign(own=lambda o, k=k: o.own + 100_000 * k) for k, t in enumerate(parts)]
    apart = [
        [t.assign(video_id=f"v{k}", camera_id=f"c{k}") for k, t in enumerate(tables)]
        for tables in (parts, owns)
    ]
    joined = [
        [
            t.assign(frame=t.frame + 100 * k, t_utc_us=t.t_utc_us + 100 * 40_000 * k)
            for k, t in enumerate(tables)
        ]
        for tables in (parts, owns)
    ]
    as_network, in_a_row = (
        of_ours(pd.concat(t, ignore_index=True), pd.concat(o, ignore_index=True)) for t, o in (apart, joined)
    )
    assert as_network == pytest.approx(in_a_row)
