"""Real networks on real footage, against ultralytics' own predictor."""

from pathlib import Path

import numpy as np
import pytest

from stages.detectors.yolo import DetectorSettings, TorchDetector, open_detector

pytestmark = pytest.mark.footage


def some_frames(video: Path, every: int, n: int) -> list[np.ndarray]:
    from data.video import read_frames

    found: list[np.ndarray] = []
    for frame in read_frames(video):
        if frame.index % every == 0:
            found.append(frame.rgb())
        if len(found) == n:
            break
    return found


@pytest.mark.parametrize("video", ["market-site/cam2_20260501T140000Z.mp4", "pets09-s2l1/vtest.mp4"])
def test_boxes_are_those_of_ultralytics(footage: Path, tmp_path: Path, video: str) -> None:
    from stages.detectors.quiet import import_ultralytics

    folder = footage / "weights" / "yolo11n_int8_openvino_model"
    images = some_frames(footage / video, 150, 5)
    ours = open_detector(folder, DetectorSettings(), frame_size=images[0].shape[:2], cache=tmp_path).detect(
        images
    )
    theirs = import_ultralytics().YOLO(str(folder), task="detect")
    assert sum(map(len, ours)) > 0
    for boxes, image in zip(ours, images, strict=True):
        bgr = np.ascontiguousarray(image[:, :, ::-1])
        found = theirs.predict(bgr, conf=0.1, iou=0.7, classes=[0], max_det=300, verbose=False)[
            0
        ].boxes.numpy()
        np.testing.assert_allclose(boxes[:, :4], found.xyxy, atol=0.5)
        np.testing.assert_allclose(boxes[:, 4], found.conf, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("nms", [None, False, True])
def test_a_pt_is_exported_once_and_finds_what_torch_finds(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nms: bool | None
) -> None:
    """A random network whose class bias is raised until it fires: what it finds is noise, but the same noise."""
    import torch

    from stages.detectors.quiet import import_ultralytics

    monkeypatch.chdir(tmp_path)  # where the exporter writes
    torch.manual_seed(0)
    model = import_ultralytics().YOLO("yolo26n.yaml")
    head = model.model.model[-1]
    for layers in (head.cv3, head.one2one_cv3):
        for layer in layers:
            layer[-1].bias.data[0] += 10
    model.model.names = {i: "person" if i == 0 else f"class {i}" for i in range(80)}
    weights = tmp_path / "random.pt"
    model.save(str(weights))
    images = some_frames(footage / "pets09-s2l1" / "vtest.mp4", 200, 3)
    settings = DetectorSettings(min_score=0.2, max_detections=50)
    size = images[0].shape[:2]
    if nms is None:  # what `detect` does with a .pt
        detector = open_detector(weights, settings, frame_size=size, cache=tmp_path / "cache")
        made = sorted((tmp_path / "cache").iterdir())
        stamp = made[0].stat().st_mtime_ns
        open_detector(weights, settings, frame_size=size, cache=tmp_path / "cache")
        assert [p.stat().st_mtime_ns for p in sorted((tmp_path / "cache").iterdir())] == [stamp]
        assert detector.input_size == (480, 640)  # type: ignore[attr-defined]
        expected = TorchDetector(weights, settings, "cpu").detect(images)
        for boxes, found in zip(detector.detect(images), expected, strict=True):
            assert len(boxes) == len(found) > 0
            np.testing.assert_allclose(boxes[:, 4], found[:, 4], atol=5e-3)
    else:  # heads that are final already
        folder = Path(
            model.export(format="openvino", imgsz=[480, 640], nms=nms, conf=0.2, iou=0.7, verbose=False)
        )
        detector = open_detector(folder, settings, frame_size=size, cache=tmp_path / "cache")
        assert detector.head.kind == "boxes"  # type: ignore[attr-defined]
        for boxes in detector.detect(images):
            assert len(boxes) > 0
            assert (np.diff(boxes[:, 4]) <= 0).all()
            assert (boxes[:, 2] <= size[1]).all() and (boxes[:, 3] <= size[0]).all()


@pytest.mark.slow
def test_a_pose_network_gives_the_keypoints_that_torch_gives(footage: Path, tmp_path: Path) -> None:
    """A random network again: its poses are noise, but through OpenVINO the same noise in the same place."""
    import torch

    from stages.detectors.quiet import import_ultralytics

    torch.manual_seed(0)
    model = import_ultralytics().YOLO("yolo11n-pose.yaml")
    for layer in model.model.model[-1].cv3:
        layer[-1].bias.data[0] += 10
    model.model.names = {i: "person" if i == 0 else f"class {i}" for i in range(80)}
    weights = tmp_path / "pose.pt"
    model.save(str(weights))
    images = some_frames(footage / "pets09-s2l1" / "vtest.mp4", 200, 2)
    settings = DetectorSettings(min_score=0.2, max_detections=50, half=False)
    detector = open_detector(weights, settings, frame_size=images[0].shape[:2], cache=tmp_path / "cache")
    expected = TorchDetector(weights, settings, "cpu").detect(images)
    for boxes, found in zip(detector.detect(images), expected, strict=True):
        assert boxes.shape == found.shape == (len(found), 5 + 3 * 17) and len(found) > 0
        # Random heads give many boxes of nearly one score, so row k need not be row k: look for each one's own.
        nearest = np.abs(boxes[:, None] - found[None]).max(2).min(1)
        assert np.median(nearest) < 0.5  # px
