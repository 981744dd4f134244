"""Small pictures: the clearest crop of each tracklet, many to one JPEG sheet, so that a site of thousands of people
is some hundred files and not a hundred thousand."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from data.crops import read_crop
from stages.reporting.privacy import redact_head

_SHEET_WIDTH, _ROWS = 1600, 8
_GAP = 2  # JPEG blocks of neighbours must not bleed into each other


@dataclass(frozen=True)
class Thumb:
    """One picture in a sheet; x, y, width, height in the sheet's own px."""

    sheet: str
    x: int
    y: int
    width: int
    height: int


def clearest_crops(crops: pd.DataFrame) -> pd.DataFrame:
    """One row of CROPS per tracklet, that of the highest quality (the first of equals), indexed by tracklet_id."""
    order = crops.sort_values(
        ["tracklet_id", "quality", "t_utc_us"], ascending=[True, False, True], kind="stable"
    )
    return order.drop_duplicates("tracklet_id").set_index("tracklet_id")


Place = tuple[str, int, int]  # shard, offset, size


def places(crops: pd.DataFrame) -> dict[str, Place]:
    """tracklet_id → where its crop lies; ``crops`` from :func:`clearest_crops`."""
    found = zip(crops.index, crops.shard, crops.offset.tolist(), crops["size"].tolist(), strict=True)
    return {str(tracklet_id): (str(shard), offset, size) for tracklet_id, shard, offset, size in found}


def write_sheets(
    crops: Mapping[str, Place],
    tracklet_ids: Sequence[str],
    run_dir: Path,
    folder: Path,
    prefix: str,
    height_px: int,
    hide: bool = False,
) -> dict[str, Thumb]:
    """Write ``<prefix>-<n>.jpg`` into ``folder`` with one picture per tracklet that has a readable crop.

    Args:
        crops: from :func:`places`.
        height_px: height of every picture; widths keep the crop's shape, within a quarter and the whole of it.
        hide: heads are made unrecognisable.
    """
    thumbs: dict[str, Thumb] = {}
    rows: list[np.ndarray] = []
    sheet, x, row, line = 0, 0, 0, _blank_line(height_px)

    def flush() -> None:
        nonlocal rows
        if rows:
            _write_jpeg(folder / f"{prefix}-{sheet}.jpg", np.concatenate(rows))
        rows = []

    for tracklet_id in tracklet_ids:
        if tracklet_id not in crops or tracklet_id in thumbs:
            continue
        shard, offset, size = crops[tracklet_id]
        picture = _small(run_dir / shard, offset, size, height_px)
        if picture is None:
            continue
        if hide:
            picture = redact_head(picture)
        width = picture.shape[1]
        if x + width > _SHEET_WIDTH:
            rows.append(line)
            line, x, row = _blank_line(height_px), 0, row + 1
        if row == _ROWS:
            flush()
            sheet, row = sheet + 1, 0
        line[:height_px, x : x + width] = picture
        thumbs[tracklet_id] = Thumb(f"{prefix}-{sheet}.jpg", x, row * (height_px + _GAP), width, height_px)
        x += width + _GAP
    if x:
        rows.append(line)
    flush()
    return thumbs


def _blank_line(height_px: int) -> np.ndarray:
    return np.full((height_px + _GAP, _SHEET_WIDTH, 3), 128, np.uint8)


def _small(shard: Path, offset: int, size: int, height_px: int) -> np.ndarray | None:
    """The crop at ``height_px``, or None where the shard is gone: a page with a gap beats no page."""
    try:
        crop = read_crop(shard, offset, size)
    except (OSError, ValueError):
        return None
    width = int(np.clip(round(crop.shape[1] * height_px / crop.shape[0]), height_px // 4, height_px))
    scale = crop.shape[0] / height_px
    # Averaging areas is slow, and needed only where pixels would be passed over.
    how = cv2.INTER_AREA if scale > 2 else cv2.INTER_LINEAR if scale > 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(crop, (width, height_px), interpolation=how))


def _write_jpeg(path: Path, image: np.ndarray) -> None:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
    if not done:
        raise RuntimeError(f"{path}: OpenCV could not encode a sheet of shape {image.shape}")
    write_private(path, data.tobytes())


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read: reports show people."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
