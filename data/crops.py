"""Person boxes cut out of a video into one tar shard of JPEGs, and read back one by one.

The shard follows the WebDataset convention (``<key>.jpg`` members, uncompressed), so any tool can open it, and every
row keeps the byte range of its JPEG, so that one crop is one ``pread`` and nothing is ever unpacked.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from data.video import Frame, read_frames

_BLOCK = 512  # tar pads every member to whole blocks of this size
_CORNERS = ["x1", "y1", "x2", "y2"]


def cut_boxes(
    video: Path,
    boxes: pd.DataFrame,
    shard: Path,
    *,
    others: pd.DataFrame | None = None,
    jpeg_quality: int = 92,
    padding: float = 0.0,
    min_height_px: int = 8,
    max_height_px: int = 512,
    frames: Iterable[Frame] | None = None,
) -> pd.DataFrame:
    """Decode ``video`` once and write every box as a JPEG member of ``shard``.

    Args:
        boxes: columns frame, x1, y1, x2, y2 (px, right and bottom exclusive) and any others, which are kept. Where
            there is a ``tracklet_id``, the member is named ``<tracklet_id>__<frame>.jpg``, else after the row.
        others: all boxes of the video (frame, x1, y1, x2, y2), to see which crop is covered by another person;
            the default is ``boxes`` itself.
        padding: share of the box's width and height added on each side.
        min_height_px: smaller boxes, measured inside the frame, are not cut.
        max_height_px: taller crops are shrunk to this height.
        frames: an already opened reader of the video.

    Returns:
        the rows that could be cut, in order of frame, with the columns offset, size (B), width, height (px), quality
        (0..1) and grey (whether the frame has no colour). Rows of frames that do not decode, and boxes outside the picture, are missing.
    """
    wanted = _by_frame(boxes)
    around = boxes if others is None else others
    crowd = _by_frame(around[around.frame.isin(list(wanted))])
    last = max(wanted, default=-1)
    cut: list[pd.DataFrame] = []
    shard.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(shard, "w", format=tarfile.GNU_FORMAT) as tar:
        for frame in (read_frames(video) if frames is None else frames) if wanted else ():
            if frame.index > last:
                break
            if frame.index not in wanted:
                continue
            rows, neighbours = wanted[frame.index], crowd.get(frame.index)
            image = frame.rgb()
            covered = covered_fraction(
                rows[_CORNERS].to_numpy(np.float64),
                np.zeros((0, 4)) if neighbours is None else neighbours[_CORNERS].to_numpy(np.float64),
            )
            facts = []
            for position, (row, hidden) in enumerate(zip(rows.itertuples(), covered, strict=True)):
                box = np.array([row.x1, row.y1, row.x2, row.y2], np.float64)
                crop = _cut(image, box, padding)
                if crop is None or crop.shape[0] < min_height_px or crop.shape[1] < 2:
                    continue
                quality = crop_quality(crop, box, image.shape[:2], float(hidden))
                crop = _shrunk(crop, max_height_px)
                name = getattr(row, "tracklet_id", None) or f"box{row.Index}"
                offset, size = _add(tar, f"{_key(str(name))}__{frame.index:06d}.jpg", crop, jpeg_quality)
                facts.append((position, offset, size, crop.shape[1], crop.shape[0], quality))
            if facts:
                kept = rows.iloc[[f[0] for f in facts]].copy()
                for i, column in enumerate(("offset", "size", "width", "height", "quality"), start=1):
                    kept[column] = [f[i] for f in facts]
                cut.append(kept.assign(grey=frame.grey()))
    if not cut:
        none = boxes.iloc[:0].copy()
        return none.assign(offset=0, size=0, width=0, height=0, quality=0.0, grey=False)
    return pd.concat(cut, ignore_index=True)


def read_jpeg(shard: Path, offset: int, size: int) -> bytes:
    """The bytes of one crop, still compressed.

    Raises:
        ValueError: the shard is shorter than the manifest says.
    """
    handle = os.open(shard, os.O_RDONLY)
    try:
        data = os.pread(handle, int(size), int(offset))
    finally:
        os.close(handle)
    if len(data) != size:
        raise ValueError(f"{shard}: wanted {size} bytes at {offset}, got {len(data)}; the shard is cut short")
    return data


def read_crop(shard: Path, offset: int, size: int) -> npt.NDArray[np.uint8]:
    """One crop as (height, width, 3) uint8 RGB.

    Raises:
        ValueError: the bytes are no JPEG, so shard and manifest do not belong together.
    """
    image = cv2.imdecode(np.frombuffer(read_jpeg(shard, offset, size), np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(
            f"{shard}: no JPEG at byte {offset}; shard and crops manifest do not belong together"
        )
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def crop_quality(
    crop: npt.NDArray[np.uint8], box: npt.NDArray[np.float64], frame_size: tuple[int, int], covered: float
) -> float:
    """How well a crop shows its person, 0..1: sqrt(size * sharpness) * share inside the frame * (1 - covered).

    Args:
        crop: (h, w, 3) RGB in its original size.
        box: (4,) x1, y1, x2, y2 in px of the frame, possibly reaching out of it.
        frame_size: height and width of the frame in px.
        covered: share of the box that another person stands in front of.
    """
    size = min(1.0, (box[3] - box[1]) / 128.0)
    return float(
        np.clip(np.sqrt(size * sharpness(crop)) * inside_fraction(box, frame_size) * (1 - covered), 0, 1)
    )


def sharpness(crop: npt.NDArray[np.uint8]) -> float:
    """Variance of the Laplacian over that of the grey values, as v / (v + 1), at no more than 128 px of height.

    Dividing by the contrast makes a dark and a bright camera comparable; the fixed height makes near and far ones.
    """
    grey = _shrunk(np.asarray(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)), 128).astype(np.float32)
    ratio = float(
        cv2.Laplacian(grey, cv2.CV_32F).var() / (grey.var() + 25.0)
    )  # 25: no noise amplified in flat crops
    return ratio / (ratio + 1.0)


def inside_fraction(box: npt.NDArray[np.float64], frame_size: tuple[int, int]) -> float:
    """The part of a person that is inside the frame, 0..1.

    A detector ends its box at the border, so a box that touches it is judged by its shape: a person is about 0.4 as
    wide as tall. A box that reaches out (true boxes do) is judged by its area.
    """
    height, width = frame_size
    x1, y1, x2, y2 = box
    area = (min(x2, width) - max(x1, 0)) * (min(y2, height) - max(y1, 0)) / max((x2 - x1) * (y2 - y1), 1e-9)
    shape = 1.0
    if x1 <= 1 or x2 >= width - 1:
        shape = min(shape, (x2 - x1) / (0.4 * (y2 - y1)))
    if y1 <= 1 or y2 >= height - 1:
        shape = min(shape, 0.4 * (y2 - y1) / (x2 - x1))
    return float(np.clip(min(area, shape), 0, 1))


def covered_fraction(
    boxes: npt.NDArray[np.float64], crowd: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """For each of (N, 4) boxes, the largest share of it under one box of the (M, 4) crowd that stands nearer.

    Nearer is who stands lower in the picture, as seen by a camera above eye level; a box is not under itself.
    """
    if not len(boxes) or not len(crowd):
        return np.zeros(len(boxes))
    top_left = np.maximum(boxes[:, None, :2], crowd[None, :, :2])
    bottom_right = np.minimum(boxes[:, None, 2:], crowd[None, :, 2:])
    common = np.clip(bottom_right - top_left, 0, None).prod(axis=2)
    share = common / np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), 1e-9)[:, None]
    return np.asarray(np.where(crowd[None, :, 3] > boxes[:, None, 3], share, 0.0).max(axis=1))


def _by_frame(boxes: pd.DataFrame) -> dict[Any, pd.DataFrame]:
    return dict(iter(boxes.groupby("frame", sort=True)))


def _cut(
    image: npt.NDArray[np.uint8], box: npt.NDArray[np.float64], padding: float
) -> npt.NDArray[np.uint8] | None:
    grow = padding * (box[2:] - box[:2])
    x1, y1 = np.maximum(np.floor(box[:2] - grow), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(box[2:] + grow), (image.shape[1], image.shape[0])).astype(int)
    return image[y1:y2, x1:x2] if x2 > x1 and y2 > y1 else None


def _shrunk(image: npt.NDArray[Any], height_px: int) -> npt.NDArray[Any]:
    if image.shape[0] <= height_px:
        return image
    width = max(2, round(image.shape[1] * height_px / image.shape[0]))
    return np.asarray(cv2.resize(image, (width, height_px), interpolation=cv2.INTER_AREA))


def _key(name: str) -> str:
    """WebDataset ends a key at the first dot, and ids may hold one."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", name)


def _add(tar: tarfile.TarFile, name: str, crop: npt.NDArray[np.uint8], jpeg_quality: int) -> tuple[int, int]:
    done, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(crop, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality]
    )
    if not done:
        raise RuntimeError(f"{name}: OpenCV could not encode a crop of shape {crop.shape}")
    data = encoded.tobytes()
    info = tarfile.TarInfo(name)  # no time, owner or mode of the moment: the same crops give the same shard
    info.size, info.mtime, info.mode = len(data), 0, 0o644
    tar.addfile(info, io.BytesIO(data))
    return tar.offset - (len(data) + _BLOCK - 1) // _BLOCK * _BLOCK, len(data)
