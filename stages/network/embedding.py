"""Features of crops and tracklets, and their cache by content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from data.tracklet_rows import rows_by_tracklet
from stages.network import backbone
from stages.network.images import CropStore, normalise, read_images, to_tensor
from stages.network.inference import forward_pass

if TYPE_CHECKING:
    import pandas as pd

    from stages.network.backbone import ReidNetwork

BATCH = 64
_DECODED_AT_ONCE = 1024  # crops; 100 MB at 256×128
_VERSION = 1  # part of every cache key: raise it when the same checkpoint and crops give other features


def embed_crops(
    network: ReidNetwork, crops: pd.DataFrame, run_dir: Path, device: str, *, flip: bool = False
) -> npt.NDArray[np.float32]:
    """(N, D) pooled features of CROPS rows, L2-normalised, row i for row i. Eval mode, float32.

    flip: average with the mirrored crop.

    Raises:
        ValueError: shards and rows do not belong together.
    """
    size = network.image_size
    pieces = (
        read_images(crops.iloc[start : start + _DECODED_AT_ONCE], run_dir, size)
        for start in range(0, len(crops), _DECODED_AT_ONCE)
    )
    return _embed(network, pieces, len(crops), device, flip)


def embed_images(
    network: ReidNetwork, images: npt.NDArray[np.uint8], device: str, *, flip: bool = False
) -> npt.NDArray[np.float32]:
    """(N, D) as `embed_crops`, of (N, H, W, 3) RGB images of the network's own size."""
    return _embed(network, [images], len(images), device, flip)


def store_features(network: ReidNetwork, images: CropStore, device: str) -> npt.NDArray[np.float32]:
    """(N, D) as `embed_crops`, of the crops of a training."""
    return _embed(network, images.pieces(_DECODED_AT_ONCE), len(images), device, flip=False)


def _embed(
    network: ReidNetwork, pieces: Iterable[npt.NDArray[np.uint8]], count: int, device: str, flip: bool
) -> npt.NDArray[np.float32]:
    training = network.training
    network.eval().to(device)
    forward = forward_pass(network, device, count * (2 if flip else 1))
    found = [torch.zeros(0, network.dim)]
    for images in pieces:
        for start in range(0, len(images), BATCH):
            batch = normalise(to_tensor(images[start : start + BATCH]).to(device), network)
            pooled = forward(batch)
            if flip:
                pooled = pooled + forward(batch.flip(3))
            found.append(torch.nn.functional.normalize(pooled, dim=1))
    network.train(training)
    return np.asarray(torch.cat(found).numpy(), np.float32)


def cached_features(
    checkpoint: Path, crops: pd.DataFrame, run_dir: Path, device: str
) -> npt.NDArray[np.float32]:
    """`embed_crops` of a checkpoint, kept as float16 under ``run_dir/features``, named after the content of both.

    The file is written whole or not at all; deleting it costs time only. What is returned went through float16 the
    first time too, so that a cached run gives the same numbers.
    """
    path = run_dir / "features" / f"{_content(checkpoint, crops, run_dir)}.npy"
    if not path.is_file():
        features = embed_crops(backbone.load(checkpoint), crops, run_dir, device)
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(f".{os.getpid()}.part")
        with scratch.open("wb") as file:
            np.save(file, features.astype(np.float16))
        scratch.rename(path)
    return np.asarray(np.load(path, mmap_mode="r"), np.float32)


def tracklet_features(
    features: npt.NDArray[np.floating], crop_tracklet: Sequence[str], tracklet_ids: Sequence[str]
) -> npt.NDArray[np.float32]:
    """(T, D) L2-normalised mean over each tracklet's crops; zeros for a tracklet without any.

    features: (N, D), one per crop; crop_tracklet: (N,) ids; tracklet_ids: (T,) the rows wanted. Crops of others are
    left out.
    """
    row = {tracklet: i for i, tracklet in enumerate(tracklet_ids)}
    index = np.array([row.get(t, -1) for t in crop_tracklet], np.int64)
    sums = np.zeros((len(row), features.shape[1]), np.float64)
    for i, own in enumerate(rows_by_tracklet(index, len(row))):
        sums[i] = features[own].sum(0, dtype=np.float64)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.maximum(length, 1e-12)).astype(np.float32)


def _content(checkpoint: Path, crops: pd.DataFrame, run_dir: Path) -> str:
    """Digest of the checkpoint, of which bytes of which shards are asked for, and of the shards' state on disk."""
    digest = hashlib.sha256(f"{_VERSION} ".encode())
    digest.update(hashlib.sha256(checkpoint.read_bytes()).digest())
    for shard in sorted(set(crops["shard"])):
        # A shard is written once and renamed into place; size and time change when it was made anew.
        facts = (run_dir / shard).stat()
        digest.update(f"{shard} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    digest.update("\n".join(crops["shard"]).encode())
    digest.update(crops[["offset", "size"]].to_numpy(np.int64).tobytes())
    return digest.hexdigest()
