"""The demo's person detector: a YOLO nano trained from scratch on drawn people who are not on the demo site. No download, no pretrained weights."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from data.synthetic.cameras import HEIGHT, WIDTH
from data.synthetic.others import other_pictures
from data.synthetic.render import stands_at, studio
from data.synthetic.world import build_world

ARCHITECTURE = "yolo26n.yaml"
DETECTOR_PATH = Path(__file__).with_name("detector.pt")
IMAGE_SIZE = 416
# Ultralytics' own 0.7 lets second boxes of one person through: after so short a training boxes are loose.
NMS_IOU = 0.5
# (longest side in px, epochs, first learning rate): most of it is learned on small pictures, fine boxes on large ones.
PHASES = ((320, 9, 0.002), (IMAGE_SIZE, 8, 0.001))
TRAIN_SEED, HELD_OUT_SEED = 501, 502
MIN_LABEL_VISIBILITY = 0.2


def _write_pictures(folder: Path, split: str, seed: int, cameras: int, per_camera: int) -> None:
    """Pictures and labels in YOLO's folder layout."""
    images, labels = folder / "images" / split, folder / "labels" / split
    images.mkdir(parents=True)
    labels.mkdir(parents=True)
    for index, (image, boxes) in enumerate(other_pictures(seed, cameras, per_camera)):
        cv2.imwrite(str(images / f"{index:05d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 88])
        lines = [
            f"0 {(b.x1 + b.x2) / 2 / WIDTH:.6f} {(b.y1 + b.y2) / 2 / HEIGHT:.6f} {(b.x2 - b.x1) / WIDTH:.6f} {(b.y2 - b.y1) / HEIGHT:.6f}"
            for b in boxes
            if b.visibility >= MIN_LABEL_VISIBILITY
        ]
        (labels / f"{index:05d}.txt").write_text("\n".join(lines))


def _quiet_ultralytics() -> ModuleType:
    """Ultralytics without telemetry, downloads or automatic installation."""
    os.environ.update(YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false", YOLO_VERBOSE="false")
    import ultralytics
    from ultralytics.utils import SETTINGS

    SETTINGS.update(sync=False)
    return ultralytics


def train_detector(out_path: Path = DETECTOR_PATH, threads: int = 2) -> dict[str, float]:
    """Render, train, strip to half precision, save to `out_path` → mAP50 on held-out people and precision/recall on the demo site."""
    import torch

    ultralytics = _quiet_ultralytics()
    from ultralytics.utils.torch_utils import strip_optimizer

    torch.set_num_threads(threads)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="synthetic-detector-") as scratch:
        folder = Path(scratch)
        _write_pictures(folder, "train", TRAIN_SEED, cameras=120, per_camera=10)
        _write_pictures(folder, "val", HELD_OUT_SEED, cameras=25, per_camera=8)
        (folder / "people.yaml").write_text(
            f"path: {folder}\ntrain: images/train\nval: images/val\nnames: {{0: person}}\n"
        )
        print(f"pictures: {time.monotonic() - began:.0f} s")
        weights = ARCHITECTURE
        for image_size, epochs, learning_rate in PHASES:
            weights = _train_phase(ultralytics, weights, folder, image_size, epochs, learning_rate)
        strip_optimizer(weights, str(out_path))
        _forget_paths(out_path)
        held_out = ultralytics.YOLO(str(out_path)).val(
            data=str(folder / "people.yaml"),
            imgsz=IMAGE_SIZE,
            iou=NMS_IOU,
            device="cpu",
            plots=False,
            workers=0,
            verbose=False,
        )
    return {
        "held_out_map50": float(held_out.box.map50),
        **measure_on_site(out_path),
        "seconds": time.monotonic() - began,
    }


def _train_phase(
    ultralytics: ModuleType, weights: str, folder: Path, image_size: int, epochs: int, learning_rate: float
) -> str:
    """Train on from `weights` (a checkpoint, or an architecture for a start from random) → path of the new checkpoint."""
    name = f"{image_size}px"
    ultralytics.YOLO(weights).train(
        data=str(folder / "people.yaml"),
        project=str(folder),
        name=name,
        epochs=epochs,
        imgsz=image_size,
        batch=16,
        nbs=16,  # step after every batch: the default gathers 64 pictures, too few steps for a short training
        rect=True,
        mosaic=0.0,
        degrees=0.0,
        scale=0.35,
        translate=0.1,
        fliplr=0.5,
        hsv_h=0.02,
        optimizer="AdamW",
        lr0=learning_rate,
        cos_lr=True,
        warmup_epochs=1.0,
        pretrained=False,
        amp=False,  # its check would download a model
        device="cpu",
        workers=0,
        cache="ram",
        val=False,
        plots=False,
        seed=0,
        deterministic=True,
        verbose=False,
    )
    return str(folder / name / "weights" / "last.pt")


def _forget_paths(checkpoint: Path) -> None:
    """Drop what a checkpoint remembers of the machine and the hour it was made on."""
    import torch

    kept = torch.load(checkpoint, map_location="cpu", weights_only=False)
    for key in ("date", "git", "train_metrics", "train_results"):
        kept[key] = None
    kept["train_args"] = {
        k: v for k, v in kept["train_args"].items() if k in ("imgsz", "task", "single_cls", "model", "data")
    } | {"data": ""}
    if hasattr(kept["model"], "args"):
        args = kept["model"].args
        kept["model"].args = {
            k: v
            for k, v in (args if isinstance(args, dict) else vars(args)).items()
            if k in ("imgsz", "task", "model")
        }
    torch.save(kept, checkpoint)


def measure_on_site(
    weights: Path, confidence: float = 0.3, every: int = 15, image_size: int = IMAGE_SIZE
) -> dict[str, float]:
    """Precision and recall on frames of the demo site, one to one at IoU 0.5, against every truth box (visibility ≥ 0.1)."""
    model = _quiet_ultralytics().YOLO(str(weights))
    world = build_world()
    found = missed = wrong = 0
    for recording in world.recordings:
        for camera in world.cameras:
            for frame, stands in enumerate(stands_at(recording, camera)):
                if frame % every:
                    continue
                image, truth = studio(camera).picture(stands, frame)
                result = model.predict(
                    image, imgsz=image_size, conf=confidence, iou=NMS_IOU, device="cpu", verbose=False
                )[0]
                iou = _iou(
                    result.boxes.xyxy.numpy(),
                    np.array([[b.x1, b.y1, b.x2, b.y2] for b in truth], float).reshape(-1, 4),
                )
                hit = (iou >= 0.5).astype(float)
                pairs = list(
                    zip(*linear_sum_assignment(-hit), strict=True)
                )  # one box per person: a second one is wrong
                matched = {int(j) for i, j in pairs if hit[i, j]}
                found += len(matched)
                wrong += len(hit) - len(matched)
                missed += len(truth) - len(matched)
    return {"site_precision": found / max(found + wrong, 1), "site_recall": found / max(found + missed, 1)}


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) and (M, 4) → (N, M)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    area = lambda k: np.prod(k[:, 2:] - k[:, :2], axis=1)  # noqa: E731
    return both / np.maximum(area(a)[:, None] + area(b)[None] - both, 1e-9)
