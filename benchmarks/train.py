"""How much of the network's own forward + backward rate training reaches, loader and augmentation in the loop.

    make bench NAME=train [STEPS=12]

Alternating in one run: forward and backward of one finished batch in the same precision and layout, and `fit` on crops
in their store with the usual augmentation, loss and optimiser. 64 images of 256×128 a batch.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks.result import finish, machine
from stages.network import backbone
from stages.network.images import Augmentation, normalise, to_tensor
from stages.training.loop import fast_bf16, fit
from stages.training.losses import batch_hard_triplet
from stages.training.samplers import Batch

STEPS = int(os.environ.get("STEPS") or 12)
DEVICE = os.environ.get("DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")
SIZE, IMAGES = (256, 128), 64


class Store:
    """Crops in memory, as `CropStore` holds them."""

    def __init__(self) -> None:
        self.images = np.random.default_rng(0).integers(0, 256, (512, *SIZE, 3), np.uint8)

    def batch(self, index: Any) -> torch.Tensor:
        return to_tensor(self.images[np.asarray(index)])


def main() -> None:
    facts = {**machine(), "device": DEVICE, "bf16": fast_bf16(DEVICE)}
    rows, values = [], {}
    for name in ("osnet_x0_25", "resnet50"):
        steps = STEPS if name.startswith("osnet") else max(STEPS // 3, 3)
        bare, whole = [], []
        for _ in range(3):
            bare.append(forward_backward(name, steps))
            whole.append(training(name, steps))
        rate, limit = IMAGES / statistics.median(whole), IMAGES / statistics.median(bare)
        rows.append({"network": name, "training, images/s": rate, "forward + backward, images/s": limit,
                     "fraction": rate / limit})  # fmt: skip
        values[f"fraction_of_forward_backward_{name}"] = rate / limit
    finish("train", values, rows, facts)


def network_of(name: str) -> backbone.ReidNetwork:
    network = backbone.build(name, None, seed=0, image_size=SIZE).to(
        DEVICE, memory_format=torch.channels_last
    )  # type: ignore[call-overload]
    network.train()
    return network


def forward_backward(name: str, steps: int) -> float:
    """Seconds a step with nothing but the network in it."""
    network = network_of(name)
    pixels = normalise(Store().batch(range(IMAGES)).to(DEVICE), network)
    times = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        with torch.autocast(torch.device(DEVICE).type, torch.bfloat16, enabled=fast_bf16(DEVICE)):
            pooled, _ = network(pixels)
        pooled.float().square().mean().backward()
        if DEVICE != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def training(name: str, steps: int) -> float:
    """Seconds a step of `fit` as the methods call it."""
    network, random = network_of(name), np.random.default_rng(0)
    labels = np.repeat(np.arange(16), 4)
    batches = [
        Batch(random.integers(0, 512, IMAGES), labels, np.zeros(IMAGES, np.int64)) for _ in range(steps + 2)
    ]

    def loss(features: torch.Tensor, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        return batch_hard_triplet(
            functional.normalize(features), torch.as_tensor(batch.labels, device=DEVICE)
        )

    times, last = [], time.perf_counter()
    for _ in fit(network, Store(), [batches], loss, learning_rate=1e-3, weight_decay=5e-4, seed=0, device=DEVICE,
                 augmentation=Augmentation(color_jitter=0.3)):  # type: ignore[arg-type]  # fmt: skip
        times.append(time.perf_counter() - last)
        last = time.perf_counter()
    return statistics.median(times[2:])


if __name__ == "__main__":
    main()
