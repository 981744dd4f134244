"""An exported YOLO network run by OpenVINO on a CPU, several frames in flight.

Neither torch nor ultralytics is needed. Letterboxing, decoding of the head and non-maximum suppression give the boxes
that ultralytics' own predictor gives.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from data.datasets.labels import PERSON_CLASSES
from pipeline.errors import UserError
from stages.detectors.quiet import import_openvino
from stages.tracking.boxes import iou_matrix

RGB = npt.NDArray[np.uint8]
Boxes = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Head:
    """What the network's output means.

    kind: 'candidates', (4 + classes + extras, n) with cx, cy, w, h, to be suppressed; or 'boxes', (n, 6 + extras)
        with x1, y1, x2, y2, score, class, final already (end-to-end heads and exports with NMS inside).
    """

    kind: str
    n_classes: int
    person: int
    keypoints: int = 0  # of a pose network; each is x, y and a score


@dataclass(frozen=True)
class Letterbox:
    """The frame scaled by ``gain`` into the middle of the network's input, the rest grey."""

    gain: float
    left: int
    top: int
    width: int
    height: int


def letterbox(frame_size: tuple[int, int], input_size: tuple[int, int]) -> Letterbox:
    """How ultralytics places a frame (height, width) in an input (height, width), to the pixel."""
    (h, w), (net_h, net_w) = frame_size, input_size
    gain = min(net_h / h, net_w / w)
    width, height = max(round(w * gain), 1), max(round(h * gain), 1)
    return Letterbox(gain, round((net_w - width) / 2 - 0.1), round((net_h - height) / 2 - 0.1), width, height)


class OpenVinoDetector:
    """Person boxes from an OpenVINO IR (.xml) or an ONNX file."""

    def __init__(
        self,
        model: Path,
        metadata: dict[str, Any],
        *,
        image_size: int,
        min_score: float,
        nms_iou: float,
        max_detections: int,
        precision: str | None = None,
    ) -> None:
        """Compile the network.

        Args:
            model: .xml or .onnx file.
            metadata: what ultralytics noted beside it ('names', 'task', 'end2end', 'args'); may be empty.
            image_size: side in px of the input where the network leaves it open.
            precision: 'f32', or 'bf16' where the processor can; None leaves it to OpenVINO, as ultralytics does.

        Raises:
            UserError: the file is no network, or has no class called 'person'.
        """
        ov = import_openvino()
        try:
            network = ov.Core().read_model(model)
        except RuntimeError as error:
            raise UserError(
                f"DETECTOR={model}: OpenVINO cannot read it ({str(error).splitlines()[-1]})."
            ) from error
        metadata = {**embedded_metadata(network), **metadata}
        shape = network.input().partial_shape
        if shape.is_dynamic or shape[0].get_length() != 1:
            sides = [d.get_length() if d.is_static else image_size for d in list(shape)[2:]]
            batch = f"a batch of {shape[0]}" if shape.is_static else "an open input"
            try:
                network.reshape([1, 3, *sides])
                fits = network.output(0).partial_shape[0] == 1
            except RuntimeError:
                fits = False
            if not fits:
                raise UserError(
                    f"DETECTOR={model}: made for {batch} and cannot be run on one image; export it again with batch=1."
                )
        _, _, height, width = network.input().shape
        self.input_size = (int(height), int(width))
        self.min_score, self.nms_iou, self.max_detections = min_score, nms_iou, max_detections
        self.head = read_head(tuple(network.output(0).shape), metadata, model)

        # Conversion to float, scaling and layout are part of the graph: faster than NumPy, and off this thread.
        steps = ov.preprocess.PrePostProcessor(network)
        steps.input().tensor().set_element_type(ov.Type.u8).set_layout(ov.Layout("NHWC"))
        steps.input().preprocess().convert_element_type(ov.Type.f32).scale(255.0)
        steps.input().model().set_layout(ov.Layout("NCHW"))
        core = ov.Core()
        hints = {"PERFORMANCE_HINT": "THROUGHPUT"}
        able = precision == "f32" or "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if precision and able:
            hints["INFERENCE_PRECISION_HINT"] = precision
        compiled = core.compile_model(steps.build(), "CPU", hints)
        # One more than it works on at once, so that the next frame lies ready.
        in_flight = max(4, compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS") + 1)
        # Requests of our own, waited for in order, and no AsyncInferQueue: ultralytics dropped that for hanging
        # on dynamic int8 networks (its issue 25923), and results are wanted in the order of the frames anyway.
        self._idle = deque(compiled.create_infer_request() for _ in range(in_flight))
        self._inputs = []
        for request in self._idle:
            buffer = np.full((1, *self.input_size, 3), 114, np.uint8)
            request.set_input_tensor(ov.Tensor(buffer, shared_memory=True))
            self._inputs.append(buffer)
        self._buffers = deque(self._inputs)

    def detect(self, images: Sequence[RGB]) -> list[Boxes]:
        """Person boxes of each RGB image: (n, 5 + 3K) in its own px, see `stages.detectors.yolo.Detector`."""
        return list(self.stream(images))

    def stream(self, images: Iterable[RGB]) -> Iterator[Boxes]:
        """`detect`, image by image and in order, with several in flight."""
        running: deque[tuple[Any, npt.NDArray[np.uint8], Letterbox, tuple[int, int]]] = deque()
        try:
            for image in images:
                if not self._idle:
                    yield self._finish(*running.popleft())
                request, buffer = self._idle.popleft(), self._buffers.popleft()
                place = letterbox(image.shape[:2], self.input_size)
                _paint(buffer[0], image, place)
                request.start_async()
                running.append((request, buffer, place, image.shape[:2]))
            while running:
                yield self._finish(*running.popleft())
        finally:  # the reader may stop early; requests must come home all the same
            while running:
                self._finish(*running.popleft())

    def _finish(self, request: Any, buffer: RGB, place: Letterbox, frame_size: tuple[int, int]) -> Boxes:
        request.wait()
        output = np.array(request.get_output_tensor(0).data[0])
        self._idle.append(request)
        self._buffers.append(buffer)
        boxes = decode(output, self.head, self.min_score, self.nms_iou, self.max_detections)
        return to_frame(boxes, place, frame_size)


def read_head(output_shape: tuple[int, ...], metadata: dict[str, Any], model: Path) -> Head:
    """What the output means, from the network's own metadata, else from its shape.

    Raises:
        UserError: the output is of another kind of network, or no class is a person.
    """
    if len(output_shape) != 3:
        raise UserError(
            f"DETECTOR={model}: an output of shape {output_shape} is not that of a YOLO detector."
        )
    task = str(metadata.get("task") or "detect")
    if task not in ("detect", "pose", "segment"):
        raise UserError(
            f"DETECTOR={model}: a network for '{task}'; export one of task detect, pose or segment."
        )
    names = metadata.get("names")
    described = "".join(c for c in str(metadata.get("description") or "").lower() if c.isalnum())
    rows, columns = output_shape[1:]
    whole = names is not None and 4 + len(names) == columns != rows and columns != 6
    if "rtdetr" in described or (whole and not metadata.get("end2end")):
        raise UserError(
            f"DETECTOR={model}: RT-DETR is not read; give a YOLO detector, for example DETECTOR=yolo11n.pt."
        )
    final = bool(metadata.get("end2end") or (metadata.get("args") or {}).get("nms") or output_shape[2] == 6)
    if (
        names is None
    ):  # exported without metadata: only COCO's 80 classes and a single one can be told by number
        n_classes = 80 if final else output_shape[1] - 4
        if n_classes not in (1, 80):
            raise UserError(
                f"DETECTOR={model}: it has {n_classes} classes and no metadata.yaml that names them; "
                f"export it again with ultralytics."
            )
        return Head("boxes" if final else "candidates", n_classes, 0)
    names = (
        dict(enumerate(map(str, names)))
        if isinstance(names, list)
        else {int(k): str(v) for k, v in names.items()}
    )
    shape = metadata.get("kpt_shape") or (0, 0)
    keypoints = int(shape[0]) if int(shape[1]) == 3 else 0
    return Head("boxes" if final else "candidates", len(names), person_class(names, model), keypoints)


def embedded_metadata(network: Any) -> dict[str, Any]:
    """What ultralytics noted inside an ONNX file; only Python's literals are read, everything else stays text."""
    if not network.has_rt_info(["framework"]):
        return {}
    found: dict[str, Any] = {}
    for key, value in network.get_rt_info("framework").value.items():
        text = str(getattr(value, "value", value))
        try:
            found[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found[key] = text
    kinds = {"names": (dict, list), "args": dict, "kpt_shape": (list, tuple)}
    return {key: value for key, value in found.items() if isinstance(value, kinds.get(key, object))}  # type: ignore[arg-type]


def person_class(names: dict[int, str], model: Path | str) -> int:
    """The number of the class called 'person', else 'pedestrian' or 'people', or of the only class.

    Raises:
        UserError: there are several classes and none is a person.
    """
    for wanted in PERSON_CLASSES:  # the first that a network has
        for number, name in sorted(names.items()):
            if name.strip().lower() == wanted:
                return number
    if len(names) == 1:
        return next(iter(names))
    some = ", ".join(list(names.values())[:5])
    raise UserError(f"DETECTOR={model}: none of its {len(names)} classes ({some}, …) is called 'person'.")


def decode(
    output: npt.NDArray[np.float32], head: Head, min_score: float, nms_iou: float, max_detections: int
) -> Boxes:
    """Person boxes (n, 5 + 3K) in px of the network's input, by falling score; behind the score K keypoints.

    A candidate counts where 'person' is its best class, as in ultralytics, and scores above ``min_score``.
    """
    if head.kind == "boxes":
        chosen = output[(output[:, 4] > min_score) & (output[:, 5].astype(int) == head.person)]
        chosen = np.delete(chosen, 5, axis=1)[:, : 5 + 3 * head.keypoints]
        chosen = chosen[np.argsort(-chosen[:, 4], kind="stable")]
        return chosen[:max_detections].astype(np.float32)
    classes = output[4 : 4 + head.n_classes]
    candidates = np.flatnonzero(classes[head.person] > min_score)
    candidates = candidates[classes[:, candidates].argmax(axis=0) == head.person]
    scores = classes[head.person, candidates]
    centre, half = output[:2, candidates].T, output[2:4, candidates].T / 2
    points = output[4 + head.n_classes :][: 3 * head.keypoints, candidates].T
    boxes = np.concatenate([centre - half, centre + half, scores[:, None], points], axis=1).astype(np.float32)
    return boxes[suppress(boxes[:, :4], scores, nms_iou)[:max_detections]]


def suppress(boxes: Boxes, scores: npt.NDArray[np.float32], nms_iou: float) -> npt.NDArray[np.int64]:
    """Greedy non-maximum suppression: indices of (n, 4) boxes that stay, by falling score."""
    order = np.argsort(-scores, kind="stable")
    overlap = iou_matrix(boxes[order], boxes[order]) > nms_iou
    alive = np.ones(len(order), bool)
    for i in range(len(order)):
        if alive[i]:
            alive[i + 1 :] &= ~overlap[i, i + 1 :]
    return order[alive]


def to_frame(boxes: Boxes, place: Letterbox, frame_size: tuple[int, int]) -> Boxes:
    """Boxes (n, 5 + 3K) from px of the input to px of the frame (height, width), boxes cut at its border."""
    boxes = boxes.copy()
    boxes[:, 5::3] = (boxes[:, 5::3] - place.left) / np.float32(place.gain)
    boxes[:, 6::3] = (boxes[:, 6::3] - place.top) / np.float32(place.gain)
    boxes[:, :4] = (boxes[:, :4] - np.array([place.left, place.top] * 2, np.float32)) / np.float32(place.gain)
    boxes[:, [0, 2]] = boxes[:, [0, 2]].clip(0, frame_size[1])
    boxes[:, [1, 3]] = boxes[:, [1, 3]].clip(0, frame_size[0])
    return boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]


def _paint(canvas: RGB, image: RGB, place: Letterbox) -> None:
    inner = canvas[place.top : place.top + place.height, place.left : place.left + place.width]
    if inner.shape == image.shape:
        inner[:] = image
    else:
        inner[:] = cv2.resize(image, (place.width, place.height), interpolation=cv2.INTER_LINEAR)
    canvas[: place.top] = canvas[place.top + place.height :] = (
        114  # frames of another size may have been here
    )
    canvas[:, : place.left] = canvas[:, place.left + place.width :] = 114
