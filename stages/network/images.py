"""Crops as tensors: decoded once into a store, augmented in whole batches on the training device."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

if TYPE_CHECKING:
    import pandas as pd

    from stages.network.backbone import ReidNetwork

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
    from data.crops import read_crop

    height, width = out.shape[1:3]
    places = list(zip(crops["shard"], crops["offset"], crops["size"], strict=True))

    def decode(i: int) -> None:
        shard, offset, length = places[i]
        out[i] = resized(read_crop(run_dir / shard, int(offset), int(length)), (height, width))

    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(decode, range(len(places)), chunksize=32):
            pass


def resized(image: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """(H, W, 3) at ``size`` = (height, width) px: the one way in which a picture comes before a network."""
    import cv2

    # Averaging over area when it shrinks, and smooth when it grows: no moiré, no blocks.
    shrinks = image.shape[0] > size[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size[::-1], interpolation=how), np.uint8)


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

    def pieces(self, count: int = 1024) -> Iterator[npt.NDArray[np.uint8]]:
        """All of them in order, (n, H, W, 3) with at most ``count`` at a time."""
        for start in range(0, len(self), count):
            yield self._images[start : start + count]

    def batch(self, index: Sequence[int] | npt.NDArray[np.integer]) -> Tensor:
        """(B, 3, H, W) uint8 of the crops at ``index``; a copy."""
        return to_tensor(self._images[np.asarray(index, np.int64)])


@dataclass(frozen=True)
class Augmentation:
    """What happens to a training image, each drawn for each image on its own.

    flip: mirrored or not, evenly; shift_px: moved by up to so many px either way, as pad and crop; erase: probability
    that a rectangle of 2 to 40 % of the area is painted over (Zhong et al.: Random Erasing, AAAI 2020); light: the gain
    of each colour channel, exposure, gamma and contrast are changed by a factor of up to 1 ± so much.
    """

    flip: bool = True
    shift_px: int = 10
    erase: float = 0.0
    color_jitter: float = 0.0


def augment(
    images: Tensor,
    settings: Augmentation,
    generator: torch.Generator,
    fill: tuple[float, ...] = (0.485, 0.456, 0.406),
) -> Tensor:
    """(B, 3, H, W) uint8 to the same, augmented; what is uncovered or erased becomes ``fill`` (RGB, 0..1).

    generator: on the CPU, whatever the device of the images, so that all devices see the same draws.
    """
    device = images.device
    colour = torch.tensor(fill, device=device).mul(255).round().to(torch.uint8).view(1, 3, 1, 1)
    images = _moved(images, settings, generator, colour)
    if settings.color_jitter:
        images = _relit(images, settings.color_jitter, generator)
    if settings.erase:
        images = torch.where(_rectangles(images, settings.erase, generator), colour, images)
    return images


def _moved(images: Tensor, settings: Augmentation, generator: torch.Generator, colour: Tensor) -> Tensor:
    b, _, h, w = images.shape
    pad, device = settings.shift_px, images.device
    mirrored = torch.rand(b, generator=generator) < (0.5 if settings.flip else 0.0)
    down, right = torch.randint(0, 2 * pad + 1, (2, b, 1), generator=generator)
    padded = colour.expand(b, 3, h + 2 * pad, w + 2 * pad).permute(0, 2, 3, 1).contiguous()
    padded[:, pad : pad + h, pad : pad + w] = images.permute(0, 2, 3, 1)
    columns = torch.arange(w).expand(b, w)
    columns = torch.where(mirrored[:, None], w - 1 - columns, columns)
    rows, columns = (torch.arange(h) + down).to(device), (columns + right).to(device)
    each = torch.arange(b, device=device)[:, None, None]
    return padded[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _relit(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """What another camera would make of it: white balance, exposure, gamma and contrast."""
    b = len(images)
    draws = strength * (2 * torch.rand(6, b, generator=generator) - 1)
    gain = (1 + draws[:3].T[:, :, None, None]) * (1 + draws[3, :, None, None, None])
    gamma, contrast = torch.exp(draws[4, :, None, None, None]), 1 + draws[5, :, None, None, None]
    x = (images.float() / 255 * gain.to(images.device)).clamp_(1e-3, 1.0) ** gamma.to(images.device)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + contrast.to(images.device) * (x - mean)
    return x.mul_(255).round_().clamp_(0, 255).to(torch.uint8)


def _rectangles(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """(B, 1, H, W) bool: inside the image's rectangle; nowhere for images that drew none."""
    b, _, h, w = images.shape
    chosen, area, shape, top, left = torch.rand(5, b, 1, 1, generator=generator)
    area = (0.02 + 0.38 * area) * h * w
    ratio = torch.exp(math.log(0.3) * (1 - 2 * shape))  # height over width, 0.3 … 3.3, even in the logarithm
    tall, wide = (area * ratio).sqrt().clamp(max=h), (area / ratio).sqrt().clamp(max=w)
    y = torch.arange(h).view(1, h, 1) - top * (h - tall)
    x = torch.arange(w).view(1, 1, w) - left * (w - wide)
    inside = (y >= 0) & (y < tall) & (x >= 0) & (x < wide) & (chosen < probability)
    return inside[:, None].to(images.device)
