"""What this machine has, and what is slow on it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import tempfile
import time

from pipeline.shards import cores


def report() -> str:
    """A short page: processor, memory, GPU, libraries, and one line of advice for each thing that is slow."""
    import torch

    lines = [f"python {platform.python_version()} on {platform.platform()}, {cores()} cores"]
    lines.append(f"free disk here: {shutil.disk_usage('.').free / 1e9:.0f} GB, {_writing()}")
    if memory := _free_memory_gb():
        slow = "" if memory > 4 else ": little; crops of a long training then lie on the disk"
        lines.append(f"free memory: {memory:.0f} GB{slow}")
    load = os.getloadavg()[0]
    if load > 0.5 * cores():
        lines.append(
            f"busy with other work (load {load:.1f}): threads of one training wait for each other and it becomes three "
            "to five times slower; OMP_NUM_THREADS=1 helps while that lasts"
        )
    for name in (
        "torch",
        "ultralytics",
        "openvino",
        "av",
        "timm",
        "opencv-python",
        "faiss-cpu",
        "onnx",
        "pyarrow",
    ):
        try:
            lines.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{name} is missing: run `make setup`")
    if torch.cuda.is_available():
        lines.append(f"GPU: {torch.cuda.get_device_name(0)}")
    else:
        lines.append(
            "no GPU that torch can use: training runs on the processor, minutes become tens of minutes"
        )
    flags = _cpu_flags()
    if "avx512_bf16" in flags or "amx_bf16" in flags:
        lines.append("processor has bf16: mixed precision trains about twice as fast as float32")
    else:
        lines.append("processor has no bf16 instructions: training runs in float32")
    return "\n".join(lines)


def _writing(size: int = 64 << 20) -> str:
    """How fast this folder's disk takes a file."""
    try:
        with tempfile.TemporaryFile(dir=".") as file:
            start = time.perf_counter()
            file.write(bytes(size))
            file.flush()
            os.fsync(file.fileno())
            return f"written at {size / 1e6 / (time.perf_counter() - start):.0f} MB/s"
    except OSError as error:
        return f"cannot be written ({error.strerror})"


def _free_memory_gb() -> float | None:
    try:
        with open("/proc/meminfo", encoding="utf-8") as handle:
            facts = dict(line.split(":", 1) for line in handle)
        return int(facts["MemAvailable"].split()[0]) / 1e6
    except (OSError, KeyError, ValueError):
        return None


def _cpu_flags() -> set[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as handle:
            for line in handle:
                if line.startswith("flags"):
                    return set(line.split(":", 1)[1].split())
    except OSError:
        pass
    return set()
