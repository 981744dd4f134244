"""What this machine has, and what is slow on it."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil


def report() -> str:
    """A short page: processor, memory, GPU, libraries, and one line of advice for each thing that is slow."""
    import torch

    lines = [f"python {platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores"]
    lines.append(f"free disk here: {shutil.disk_usage('.').free / 1e9:.0f} GB")
    for name in ("torch", "ultralytics", "openvino", "av", "timm", "opencv-python", "faiss-cpu", "pyarrow"):
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


def _cpu_flags() -> set[str]:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as handle:
            for line in handle:
                if line.startswith("flags"):
                    return set(line.split(":", 1)[1].split())
    except OSError:
        pass
    return set()
