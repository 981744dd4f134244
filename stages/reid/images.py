"""Crops as tensors: decoded once into a store, augmented in whole batches on the training device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd

    from stages.reid.backbone import ReidNetwork

_THREADS = 4  # decoding waits for the disk as often as for the processor


def read_images(crops: pd.DataFrame, run_dir: Path, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """(N, H, W, 3) RGB of CROPS rows, resized to ``size`` = (H, W) px; row i for row i.

    Raises:
        ValueError: a shard is shorter than the manifest says or holds no JPEG there.
    """
    out = np.empty((len(crops), *size, 3), np.uint8)
    fill(out, crops, run_dir)
    return out


def fill(out: npt.NDArray[np.uint8], crops: pd.DataFrame, run_dir: Path) -> None:
    """Decode CROPS rows into ``out`` (N, H, W, 3), each resized to its height and width."""
    import cv2

    from data.crops import read_crop

    height, width = out.shape[1:3]
    places = list(zip(crops["shard"], crops["offset"], crops["size"], strict=True))

    def decode(i: int) -> None:
        shard, offset, length = places[i]
        image = read_crop(run_dir / shard, int(offset), int(length))
        # Averaging over area when it shrinks, and smooth when it grows: no moiré, no blocks.
        shrinks = image.shape[0] > height
        out[i] = cv2.resize(
            image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        )

    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(decode, range(len(places)), chunksize=32):
            pass


def to_tensor(images: npt.NDArray[np.uint8]) -> Tensor:
    """(N, H, W, 3) uint8 array to a (N, 3, H, W) tensor that shares its memory, in channels-last order."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def normalise(images: Tensor, network: ReidNetwork) -> Tensor:
    """uint8 RGB to what the network wants: 0..1, minus its mean, over its standard deviation."""
    mean = torch.tensor(network.mean, device=images.device).view(1, 3, 1, 1)
    std = torch.tensor(network.std, device=images.device).view(1, 3, 1, 1)
    return images.float().mul_(1 / (255 * std)).sub_(mean / std)


class CropStore:
    """All crops of a training, decoded once: (N, 3, H, W) uint8 by index.

    Held in memory up to ``limit_bytes``, beyond that in an unnamed file under ``run_dir`` that ends with the process.
    """

    def __init__(
        self,
        crops: pd.DataFrame,
        run_dir: Path,
        size: tuple[int, int] = (256, 128),
        limit_bytes: int = 2 << 30,
    ) -> None:
        self.size = size
        shape = (len(crops), *size, 3)
        self._images: npt.NDArray[np.uint8]
        if np.prod(shape, dtype=np.int64) <= limit_bytes:
            self._images = np.empty(shape, np.uint8)
        else:
            import tempfile

            run_dir.mkdir(parents=True, exist_ok=True)
            file = tempfile.TemporaryFile(dir=run_dir)  # noqa: SIM115 (lives as long as the map)
            self._images = np.memmap(file, np.uint8, "w+", shape=shape)
        fill(self._images, crops, run_dir)

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, index: Sequence[int] | npt.NDArray[np.integer]) -> Tensor:
        """(B, 3, H, W) uint8 of the crops at ``index``; a copy."""
        return to_tensor(self._images[np.asarray(index, np.int64)])


def batches_of(images: npt.NDArray[np.uint8], size: int) -> Iterator[Tensor]:
    """(N, H, W, 3) in order, as (B, 3, H, W) tensors of at most ``size`` rows."""
    for start in range(0, len(images), size):
        yield to_tensor(images[start : start + size])
