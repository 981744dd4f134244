"""Exported networks explain themselves, or are refused by name."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import UserError
from stages.detectors.openvino_network import person_class, read_head
from stages.detectors.yolo import DetectorSettings, open_detector

CASES = Path(__file__).resolve().parents[3].parent / "shared" / "cases"


@pytest.mark.parametrize("name", ["person", "Pedestrian", "people"])
def test_who_is_a_person(name):
    assert person_class({0: "car", 1: name, 2: "hat"}, "x") == 1


@pytest.mark.parametrize(
    "names", [["person"], ["person", "a", "b"], [str(i) for i in range(79)] + ["person"]]
)
def test_rtdetr_is_refused_by_name(names):
    with pytest.raises(UserError, match=r"DETECTOR=x\.onnx: RT-DETR is not read"):
        read_head((1, 300, 4 + len(names)), {"names": names}, Path("x.onnx"))


@pytest.mark.parametrize("task", ["obb", "classify", "semantic"])
def test_other_tasks_are_refused_by_name(task):
    with pytest.raises(UserError, match=f"a network for '{task}'"):
        read_head((1, 20, 8400), {"names": ["person"], "task": task}, Path("x.onnx"))


@pytest.mark.parametrize("batch", [2, 4, 16])
def test_an_export_for_several_images_is_run_on_one(batch, tmp_path):
    ov = pytest.importorskip("openvino")
    from openvino import opset13 as op

    image = op.parameter([batch, 3, 64, 64], np.float32)
    rows = op.reduce_mean(image, op.constant(np.array([3])), False)
    ov.save_model(ov.Model([op.concat([rows, rows], 1)], [image]), tmp_path / "m.xml")
    (tmp_path / "metadata.yaml").write_text("names: {0: person}\n")
    detector = open_detector(tmp_path / "m.xml", DetectorSettings(), frame_size=(64, 64), cache=tmp_path)
    (boxes,) = detector.detect([np.full((64, 64, 3), 255, np.uint8)])
    assert len(boxes) == 1 and boxes[0, 4] == pytest.approx(1)


@pytest.mark.footage
@pytest.mark.parametrize("kind", ["three_classes", "end2end", "pose"])
def test_cases_find_their_box(kind, tmp_path):
    if not CASES.is_dir():
        pytest.skip(f"no cases at {CASES}")
    detector = open_detector(
        CASES / "17-onnx-names-inside" / f"{kind}.onnx",
        DetectorSettings(),
        frame_size=(384, 640),
        cache=tmp_path,
    )
    (boxes,) = detector.detect([np.zeros((384, 640, 3), np.uint8)])
    assert boxes[:, :4].round(2).tolist() == [[60, 60, 110, 200]]


@pytest.mark.footage
@pytest.mark.parametrize(
    ("file", "why"),
    [("18-rtdetr/rtdetr.onnx", "RT-DETR is not read"), ("20-export-batch-4/batch4.onnx", "batch=1")],
)
def test_cases_that_are_refused_by_name(file, why, tmp_path):
    if not CASES.is_dir():
        pytest.skip(f"no cases at {CASES}")
    with pytest.raises(UserError, match=why):
        open_detector(CASES / file, DetectorSettings(), frame_size=(384, 640), cache=tmp_path)
