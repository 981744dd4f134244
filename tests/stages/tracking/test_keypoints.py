"""Poses: boxes around them, their likeness, and a tracker that tells by their limbs two people whose boxes agree."""

import numpy as np
import pandas as pd
import pytest

from pipeline import schema
from pipeline.manifests import DETECTIONS, KEYPOINTS
from stages.detect import Moment, to_tables
from stages.detectors.openvino_network import Head, decode, letterbox, read_head, to_frame
from stages.detectors.pose import boxes_from_keypoints
from stages.track import TrackConfig, track_camera, with_poses
from stages.tracking.keypoints import MIN_SHARED, moved, oks_matrix

SIGMAS = [.026, .025, .025, .035, .035, .079, .079, .072, .072, .062, .062, .107, .107, .087, .087, .089, .089]  # fmt: skip


def oks(a: np.ndarray, b: np.ndarray, area: float) -> float:
    """COCO's formula, keypoint by keypoint."""
    terms = []
    for (xa, ya, sa), (xb, yb, sb), sigma in zip(a, b, SIGMAS, strict=True):
        if sa >= 0.3 and sb >= 0.3:
            terms.append(np.exp(-((xa - xb) ** 2 + (ya - yb) ** 2) / (2 * area * (2 * sigma) ** 2)))
    return sum(terms) / len(terms) if len(terms) >= MIN_SHARED else float("nan")


def test_likeness_is_cocos() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0, 40, (3, 17, 3)), rng.uniform(0, 40, (4, 17, 3))
    a[..., 2], b[..., 2] = rng.random((3, 17)), rng.random((4, 17))
    a[2, 3:, 2] = 0  # three keypoints are too few
    area = rng.uniform(500, 2000, 4)
    found = oks_matrix(a, b, area)
    np.testing.assert_allclose(
        found, [[oks(x, y, s) for y, s in zip(b, area, strict=True)] for x in a], rtol=1e-9
    )
    assert np.isnan(found[2]).all()
    a[..., 2] = 1
    np.testing.assert_allclose(np.diag(oks_matrix(a, a, area[:3])), 1)
    assert oks_matrix(a[:, :5], a[:, :5], area[:3]).shape == (3, 3)  # keypoints that are not COCO's
    assert oks_matrix(a[:0], b, area).shape == (0, 4)


def test_a_pose_goes_along_with_its_box() -> None:
    pose = np.array([[[10.0, 20.0, 0.9], [14.0, 40.0, 0.8]]])
    before, after = np.array([[12.0, 30.0, 10.0, 40.0]]), np.array([[112.0, 60.0, 10.0, 80.0]])
    np.testing.assert_allclose(moved(pose, before, after), [[[108, 40, 0.9], [116, 80, 0.8]]])


def test_boxes_stand_around_the_keypoints_that_are_seen() -> None:
    points = np.zeros((3, 17, 3), np.float32)
    points[0, :5] = [[100, 50, 0.9], [120, 50, 0.9], [110, 150, 0.9], [105, 80, 0.9], [990, 990, 0.1]]
    points[1, :3] = [[100, 50, 0.9], [120, 50, 0.9], [110, 150, 0.9]]  # too few
    points[2, :4] = [
        [-30, 10, 0.9],
        [20, 10, 0.9],
        [20, 250, 0.9],
        [5, 60, 0.9],
    ]  # reaches out of the picture
    own = np.array([[90, 40, 130, 300, 0.8]] * 3, np.float32)
    made = boxes_from_keypoints(np.concatenate([own, points.reshape(3, -1)], axis=1), (240, 320))
    np.testing.assert_allclose(
        made[:, :4], [[98, 40, 122, 160], [90, 40, 130, 300], [0, 0, 25, 240]], rtol=1e-6
    )
    np.testing.assert_array_equal(made[:, 5:].reshape(points.shape), points)
    np.testing.assert_array_equal(boxes_from_keypoints(own, (240, 320)), own)


def test_a_pose_head_keeps_its_keypoints_through_nms_and_letterbox() -> None:
    head = read_head((1, 11, 3), {"names": {0: "person"}, "kpt_shape": [2, 3]}, "x")  # type: ignore[arg-type]
    assert head == Head("candidates", 1, 0, 2)
    rows = [[50, 50, 20, 40, 0.6, 1, 2, 0.5, 3, 4, 0.5], [51, 50, 20, 40, 0.9, 48, 40, 0.7, 52, 60, 0.8],
            [20, 50, 8, 8, 0.05, 0, 0, 0, 0, 0, 0]]  # fmt: skip
    found = decode(np.array(rows, np.float32).T, head, 0.1, 0.7, 300)
    np.testing.assert_allclose(found, [[41, 30, 61, 70, 0.9, 48, 40, 0.7, 52, 60, 0.8]], rtol=1e-6)
    place = letterbox((120, 200), (80, 100))
    inside = to_frame(found, place, (120, 200))
    assert inside[0, 5] == pytest.approx((48 - place.left) / place.gain)
    assert inside[0, 9] == pytest.approx((60 - place.top) / place.gain)
    assert inside[0, 7] == pytest.approx(0.7)
    final = np.array([[1, 2, 3, 4, 0.8, 0, 1, 2, 0.5, 3, 4, 0.5]], np.float32)
    kept = decode(final, Head("boxes", 1, 0, 2), 0.1, 0.7, 300)
    np.testing.assert_allclose(kept, [[1, 2, 3, 4, 0.8, 1, 2, 0.5, 3, 4, 0.5]])


def scene(swap_frame: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two people in nearly one box, an arm stretched to the left or to the right; boxes jump over at ``swap_frame``."""
    video = {"video_id": "v", "t_start_us": 0, "clock_scale": 1.0}
    boxes = []
    for frame in range(20):
        rows = []
        for person, side in ((0, -1), (1, 1)):
            jump = 6 if (frame >= swap_frame) == (person == 0) else 0
            x = 100.0 + jump
            pose = [[104 + 40 * side * k / 16, 100 + 6 * k, 0.9] for k in range(17)]
            rows.append(np.concatenate([[x, 90, x + 40, 210, 0.9 - 0.1 * person], np.ravel(pose)]))
        boxes.append(np.array(rows, np.float32))
    return to_tables(video, [Moment(f, f / 10) for f in range(20)], boxes)


def test_limbs_tell_apart_what_boxes_mix_up(tmp_path) -> None:
    detections, poses = scene(10)
    schema.write(KEYPOINTS, poses, tmp_path / KEYPOINTS.file)
    schema.write(DETECTIONS, detections, tmp_path / DETECTIONS.file)
    poses = schema.read(KEYPOINTS, tmp_path / KEYPOINTS.file, ["v"])
    assert len(poses) == 40 and schema.content_digest(tmp_path / KEYPOINTS.file)

    def persons(rows: pd.DataFrame, **settings: float) -> list[set[int]]:
        _, boxes, _ = track_camera("cam", rows, TrackConfig(**settings))
        who = boxes.merge(detections, on=["video_id", "frame", "x1", "score"])
        return [set(d) for _, d in who.groupby("tracklet_id").detection]

    assert persons(with_poses(detections, poses)) == [{0}, {1}]
    assert persons(with_poses(detections, poses), keypoint_weight=0) == [{0, 1}, {0, 1}]
    assert persons(with_poses(detections, KEYPOINTS.empty())) == [{0, 1}, {0, 1}]
