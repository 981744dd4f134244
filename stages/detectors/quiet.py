"""Import ultralytics and OpenVINO without what they do beside their work.

Both report usage over the network unless told otherwise, and ultralytics also installs packages, looks for updates
and changes settings of the whole process while it is imported.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType


def cache_dir() -> Path:
    """Where downloaded weights and ultralytics' own settings file live, apart from the user's own ultralytics."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trackweave"


def import_ultralytics() -> ModuleType:
    """ultralytics with telemetry, hub, sync, auto-install and update checks off, and quiet."""
    if "ultralytics" not in sys.modules:
        _no_openvino_telemetry()
        os.environ["YOLO_OFFLINE"] = "true"  # events, error reports and update checks all need it to be false
        os.environ["YOLO_AUTOINSTALL"] = "false"
        os.environ["YOLO_VERBOSE"] = "false"
        config = cache_dir() / "ultralytics"
        config.mkdir(parents=True, exist_ok=True)
        os.environ["YOLO_CONFIG_DIR"] = str(config)
        threads = os.environ.get("OMP_NUM_THREADS")

        import cv2
        import torch  # noqa: F401  its thread pool must exist before ultralytics sets OMP_NUM_THREADS=1

        cv2_threads = cv2.getNumThreads()
        import ultralytics

        cv2.setNumThreads(cv2_threads)
        if threads is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        switches = (
            "sync",
            "hub",
            "clearml",
            "comet",
            "dvc",
            "mlflow",
            "neptune",
            "raytune",
            "tensorboard",
            "wandb",
        )
        off = {name: False for name in switches if ultralytics.settings.get(name)}
        if off:
            ultralytics.settings.update(off)
    import ultralytics

    return ultralytics


def import_openvino() -> ModuleType:
    """OpenVINO without the telemetry of its model converter."""
    _no_openvino_telemetry()
    import openvino

    return openvino


def _no_openvino_telemetry() -> None:
    if (
        "openvino" not in sys.modules
    ):  # its converter falls back to a stub where the package cannot be imported
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
