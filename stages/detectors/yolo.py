"""Open any YOLO detector by its path: the one place that knows ultralytics and its file formats.

An exported network (OpenVINO folder, .xml, .onnx) runs through OpenVINO as it is. A ``.pt`` runs through torch on a
GPU; on a CPU it is exported to OpenVINO once, with an input that fits the video's aspect, which is several times
faster than torch there, and computed in bfloat16 where the processor can: again 0.6 of the time, while one box in
forty moves by more than a hundredth of its area (`make bench NAME=detect`).
"""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pipeline import yaml_text
from pipeline.errors import UserError, closest
from stages.detectors.motion import MotionDetector
from stages.detectors.openvino_network import RGB, Boxes, OpenVinoDetector, person_class
from stages.detectors.quiet import cache_dir, import_ultralytics


class Detector(Protocol):
    """Person boxes of RGB images: (n, 5 + 3K) float32, by falling score.

    x1, y1, x2, y2 in px of the image and score; a pose network adds x, y and score of each of its K keypoints.
    """

    def detect(self, images: Sequence[RGB]) -> list[Boxes]: ...

    def stream(self, images: Iterable[RGB]) -> Iterator[Boxes]:
        """`detect` over any number of images, in order, a few of them in flight."""


@dataclass(frozen=True)
class DetectorSettings:
    """What decides the boxes of a network on an image."""

    image_size: int = 640
    min_score: float = 0.1
    nms_iou: float = 0.7
    max_detections: int = 300
    batch: int = 16
    half: bool = True


def open_detector(
    weights: Path | str,
    settings: DetectorSettings,
    *,
    frame_size: tuple[int, int],
    device: str = "cpu",
    cache: Path,
    log: Callable[[str], None] = print,
) -> Detector:
    """A detector that is ready to run.

    Args:
        weights: a .pt, .onnx or .xml file, an OpenVINO folder, the name of a network ultralytics publishes, or
            'motion' for `stages.detectors.motion`.
        frame_size: height and width in px of the frames to come; fits the input where we export the network.
        device: 'cpu', 'cuda', 'cuda:1' …
        cache: folder for networks exported here.

    Raises:
        UserError: no such file, not a detector, no class of persons.
    """
    if weights == "motion":
        return MotionDetector(settings.min_score, settings.max_detections)
    path = find_weights(weights)
    if path.is_dir() or path.suffix in {".xml", ".onnx"}:
        return _open_exported(path, settings)
    if path.suffix not in {".pt", ".pth"}:
        raise UserError(
            f"DETECTOR={path}: not a .pt, .onnx or .xml file, nor a folder of an OpenVINO network."
        )
    if device == "cpu":
        try:
            exported = export_openvino(path, input_size(frame_size, settings.image_size), cache)
            return _open_exported(exported, settings, precision="bf16" if settings.half else "f32")
        except UserError:
            raise
        except Exception as error:  # whatever the exporter does, torch still runs the network
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            log(
                f"{path.name} could not be exported to OpenVINO ({reason}); running it in torch, several times slower"
            )
    return TorchDetector(path, settings, device)


def find_weights(weights: Path | str) -> Path:
    """The file or folder of the weights, downloaded where ``weights`` is the name of a published network.

    Raises:
        UserError: there is no such file, and it is no published name or cannot be downloaded.
    """
    path = Path(weights)
    if path.exists():
        return path
    if path.parent != Path() or path.suffix != ".pt":
        raise UserError(
            f"DETECTOR={weights}: no such file or folder. Name a .pt file, an exported OpenVINO folder, a folder of "
            f"finished detections, or a published network such as DETECTOR=yolo11n.pt."
        )
    kept = cache_dir() / "weights" / path.name
    if kept.exists():
        return kept
    import_ultralytics()
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES, attempt_download_asset

    if path.name not in GITHUB_ASSETS_NAMES:
        names = [n for n in GITHUB_ASSETS_NAMES if n.startswith("yolo") and n.endswith(".pt")]
        hint = closest(path.name, names)
        hint = hint if hint.startswith("Did") else "A published network is for example DETECTOR=yolo11n.pt."
        raise UserError(
            f"DETECTOR={weights}: no such file here, and no published network of that name. {hint}"
        )
    kept.parent.mkdir(parents=True, exist_ok=True)
    try:
        attempt_download_asset(kept)
    except Exception as error:
        kept.unlink(missing_ok=True)
        raise UserError(_not_downloaded(path.name, kept)) from error
    if not kept.exists():
        raise UserError(_not_downloaded(path.name, kept))
    return kept


def _not_downloaded(name: str, kept: Path) -> str:
    return (
        f"DETECTOR={name}: no such file here, and it cannot be downloaded (no network?). Fetch {name} from the "
        f"releases of ultralytics/assets on another machine and set DETECTOR=/path/to/{name}, or put it at {kept}."
    )


def input_size(frame_size: tuple[int, int], image_size: int, stride: int = 32) -> tuple[int, int]:
    """The input (height, width) that fits frames of (height, width): long side ``image_size``, whole strides."""
    gain = image_size / max(frame_size)
    height, width = (max(-(-round(side * gain) // stride), 1) * stride for side in frame_size)
    return height, width


def export_openvino(weights: Path, size: tuple[int, int], cache: Path) -> Path:
    """An OpenVINO folder of a ``.pt`` with a fixed input (height, width), made once per content and size.

    Raises:
        UserError: the file is no network of ultralytics, or no detector of persons.
    """
    with weights.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    done = cache / f"{weights.stem}-{digest}-{size[0]}x{size[1]}_openvino_model"
    if not done.exists():
        model = _load_pt(weights)
        scratch = done.with_name(done.name + ".part")
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        copy = scratch / weights.name  # the exporter writes beside the weights, which may be read-only
        shutil.copyfile(weights, copy)
        model.ckpt_path = model.model.pt_path = str(copy)
        with warnings.catch_warnings():  # torch's own about tracing; nothing the user can act on
            warnings.simplefilter("ignore")
            made = Path(model.export(format="openvino", imgsz=list(size), verbose=False))
        made.rename(done)
        shutil.rmtree(scratch)
    return done


class TorchDetector:
    """A ``.pt`` run by ultralytics' own predictor: batched, in half precision on a GPU."""

    def __init__(self, weights: Path, settings: DetectorSettings, device: str) -> None:
        self.model = _load_pt(weights)
        self.person = person_class(self.model.names, weights)
        self.settings, self.device = settings, device

    def detect(self, images: Sequence[RGB]) -> list[Boxes]:
        """See :class:`Detector`."""
        return list(self.stream(images))

    def stream(self, images: Iterable[RGB]) -> Iterator[Boxes]:
        """See :class:`Detector`."""
        s, left = self.settings, iter(images)
        while batch := list(islice(left, s.batch)):
            results = self.model.predict(
                [np.ascontiguousarray(image[:, :, ::-1]) for image in batch],  # the predictor takes BGR
                imgsz=s.image_size, conf=s.min_score, iou=s.nms_iou, max_det=s.max_detections,
                classes=[self.person], device=self.device, half=s.half and self.device != "cpu", verbose=False, save=False,
            )  # fmt: skip
            for result in results:
                found = result.boxes.cpu().numpy()
                parts = [found.xyxy, found.conf[:, None]]
                if result.keypoints is not None and result.keypoints.data.shape[-1] == 3:
                    parts.append(result.keypoints.data.cpu().numpy().reshape(len(found.xyxy), -1))
                yield np.concatenate(parts, axis=1).astype(np.float32)


def _open_exported(path: Path, settings: DetectorSettings, precision: str | None = None) -> OpenVinoDetector:
    """Whoever exported a network has chosen its precision; ours is for those that we export."""
    model = path
    if path.is_dir():
        found = sorted(path.glob("*.xml")) or sorted(path.glob("*.onnx"))
        if not found:
            raise UserError(
                f"DETECTOR={path}: holds neither an OpenVINO network (.xml) nor finished detections."
            )
        model = found[0]
    sidecar = model.parent / "metadata.yaml"
    metadata: dict[str, Any] = {}
    if sidecar.exists():
        root = yaml_text.compose(sidecar, "a network's metadata")
        values = None if root is None else yaml_text.value(root, str(sidecar))
        if values is not None and not isinstance(values, dict):
            raise UserError(
                f"{sidecar}: wants keys and values, as ultralytics writes them; export the network again."
            )
        metadata = values or {}
    return OpenVinoDetector(
        model,
        metadata,
        image_size=settings.image_size,
        min_score=settings.min_score,
        nms_iou=settings.nms_iou,
        max_detections=settings.max_detections,
        precision=precision,
    )


def _load_pt(weights: Path) -> Any:
    """The network in a ``.pt``; a UserError where it is none, or finds no boxes of persons."""
    ultralytics = import_ultralytics()
    try:
        model = ultralytics.YOLO(str(weights))
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"DETECTOR={weights}: ultralytics cannot load it ({reason}).") from error
    if model.task not in {"detect", "pose", "segment"}:
        raise UserError(f"DETECTOR={weights}: a network for '{model.task}'; a detector of persons is needed.")
    person_class(model.names, weights)
    return model
