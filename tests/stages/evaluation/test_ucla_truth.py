"""Real people in four overlapping views (UCLA campus): truth scored against itself, and broken in known ways."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.evaluation.hota import hota, mota
from stages.evaluation.link_accuracy import identity_scores
from stages.evaluation.tracking import idf1, per_camera_idf1

pytestmark = pytest.mark.footage
COLUMNS = ["pid", "x1", "y1", "x2", "y2", "frame", "lost", "occluded", "generated", "label"]


@pytest.fixture(scope="module")
def truth(footage: Path) -> pd.DataFrame:
    """Every tenth frame of the four views; a person has one id in all of them."""
    views = []
    for path in sorted((footage / "ucla-campus").glob("view-*.txt")):
        rows = pd.read_csv(path, sep=" ", names=COLUMNS)
        rows = rows[(rows.lost == 0) & (rows.frame % 10 == 0)]
        views.append(rows.assign(video_id=path.stem, camera_id=path.stem, t_utc_us=rows.frame * 33_333))
    table = pd.concat(views, ignore_index=True)
    assert table.camera_id.nunique() == 4 and 15 < table.pid.nunique() < 30
    return table.astype(dict.fromkeys(("x1", "y1", "x2", "y2"), "float64"))


def network(truth: pd.DataFrame, own_id: np.ndarray) -> dict[str, float | None]:
    return {"idf1": idf1(truth, truth, own_id), **hota(truth, truth, own_id, truth.pid.to_numpy())}


def test_truth_is_perfect_under_any_names(truth: pd.DataFrame) -> None:
    names = np.random.default_rng(0).permutation(1000)[truth.pid.to_numpy()]
    perfect = {"idf1": 1, "hota": 1, "det_a": 1, "ass_a": 1}
    assert network(truth, names) == pytest.approx(perfect)
    assert mota(truth, truth, names, truth.pid.to_numpy()) == 1


def test_cameras_that_do_not_know_each_other(truth: pd.DataFrame) -> None:
    """Tracking is perfect; over the network each person keeps the frames of the camera that saw most of him."""
    own = truth.groupby(["camera_id", "pid"]).ngroup().to_numpy()
    counts = truth.groupby(["pid", "camera_id"]).size()
    kept = counts.groupby("pid").max().sum()
    found = network(truth, own)
    assert found["idf1"] == pytest.approx(kept / len(truth))
    assert found["det_a"] == pytest.approx(1)
    # Each box agrees with its person by the share of the person's boxes that its camera has.
    share = counts / counts.groupby("pid").transform("sum")
    assert found["ass_a"] == pytest.approx(float((counts * share).sum() / len(truth)))
    assert per_camera_idf1(truth.assign(tracklet_id=own.astype(str)), truth) == 1


def test_two_people_taken_for_each_other_in_one_camera(truth: pd.DataFrame) -> None:
    camera = "view-HC3"
    counts = truth.groupby(["pid", "camera_id"]).size().unstack(fill_value=0)
    a, b = counts[counts[camera] > 0].sum(axis=1).nlargest(2).index
    own = truth.pid.to_numpy().copy()
    here = (truth.camera_id == camera).to_numpy()
    own[here & (truth.pid == a).to_numpy()], own[here & (truth.pid == b).to_numpy()] = b, a
    pair = counts.loc[[a, b]]
    in_camera, elsewhere = pair[camera].sum(), pair.drop(columns=camera).sum().sum()
    # Either the camera or the rest of the network is right about the two, whichever has more frames.
    wrong = min(in_camera, elsewhere)
    assert network(truth, own)["idf1"] == pytest.approx(1 - wrong / len(truth))
    assert per_camera_idf1(truth.assign(tracklet_id=own.astype(str)), truth) == 1


def test_two_people_made_one(truth: pd.DataFrame) -> None:
    counts = truth.pid.value_counts()
    (a, n_a), (_, n_b) = list(counts.items())[:2]
    b = counts.index[1]
    own = np.where(truth.pid == b, a, truth.pid)
    assert network(truth, own)["idf1"] == pytest.approx(1 - min(n_a, n_b) / len(truth))
    tracklets = truth.assign(own=own).drop_duplicates(["camera_id", "pid"])
    scores = identity_scores(
        tracklets.own.to_numpy(), tracklets.pid.to_numpy(), tracklets.camera_id.to_numpy(object)
    )
    assert scores["recall"] == 1 and scores["precision"] is not None and scores["precision"] < 1


def test_missing_and_false_boxes(truth: pd.DataFrame) -> None:
    seen = truth[np.arange(len(truth)) % 4 != 0].reset_index(drop=True)
    ids = seen.pid.to_numpy(), truth.pid.to_numpy()
    found = hota(seen, truth, *ids)
    assert found["det_a"] == pytest.approx(len(seen) / len(truth))
    assert mota(seen, truth, *ids) == pytest.approx(len(seen) / len(truth))
    false = truth.assign(x1=truth.x1 + 9000, x2=truth.x2 + 9000, pid=truth.pid + 500)
    doubled = pd.concat([truth, false], ignore_index=True)
    assert mota(doubled, truth, doubled.pid.to_numpy(), ids[1]) == pytest.approx(0)
    assert idf1(doubled, truth, doubled.pid.to_numpy()) == pytest.approx(2 / 3)
