"""Detections somebody made before: MOT text, COCO json, or Parquet of our own detections manifest.

    MOT text    one file per video, named after the video: frame,id,x,y,w,h[,score,…], frames from one
    COCO json   images with `video` and zero-based `frame`, or with a `file_name` like video/000001.jpg or
                video_000001.jpg, whose number counts from one; annotations with image_id, bbox, score
    Parquet     the detections manifest, one file for all videos or one per video

In a folder the files are found by video_id or by the stem of the video's file. Needs neither ultralytics nor torch.
"""

from __future__ import annotations

import json
import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from data.datasets.mot import FARTHEST_PX, LARGEST
from pipeline import schema
from pipeline.errors import UserError, is_text, shown
from pipeline.manifests import DETECTIONS

_SUFFIXES = (".parquet", ".json", ".txt", ".csv")
_COLUMNS = ["frame", "x1", "y1", "x2", "y2", "score"]


def is_precomputed(path: Path | str) -> bool:
    """Whether the path holds finished detections rather than a network. Decided by content, never by a name."""
    path = Path(path)
    if os.path.isdir(path):
        if any(path.glob("*.xml")) or any(path.glob("*.onnx")):
            return False
        return any(_files(path)) or any(path.glob("*/det/det.txt"))
    return os.path.isfile(path) and path.suffix.lower() in _SUFFIXES


def read_detections(path: Path, video_id: str, stem: str) -> pd.DataFrame:
    """The detections of one video: frame (zero-based), x1, y1, x2, y2 (px, as they were written), score (0..1).

    Args:
        path: a file, or a folder of files.
        video_id, stem: what the video is called in the chain, and the name of its file without the ending.

    Raises:
        UserError: nothing there belongs to the video, or a file breaks its format.
    """
    own = _own_file(path, video_id, stem)
    if own is not None:
        table = (
            _read_mot(own)
            if own.suffix.lower() in {".txt", ".csv"}
            else _of_video(own, (video_id, stem), sole=True)
        )
    else:
        shared = (
            [path]
            if path.is_file()
            else [f for f in _files(path) if f.suffix.lower() in {".json", ".parquet"}]
        )
        tables = [t for f in shared if f.suffix.lower() not in {".txt", ".csv"}
                  for t in [_of_video(f, (video_id, stem), sole=False)] if t is not None]  # fmt: skip
        if not tables:
            raise UserError(
                f"DETECTOR={path}: nothing for the video '{video_id}'; looked for {video_id}.txt, {stem}.txt (or "
                f".csv, .json, .parquet), {stem}/det/det.txt, and for the video inside every .json and .parquet."
            )
        table = pd.concat(tables)
    assert table is not None
    return _checked(table, own or path)


def _files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.is_file() and f.suffix.lower() in _SUFFIXES)


def _own_file(path: Path, video_id: str, stem: str) -> Path | None:
    """The file that belongs to this video alone, by its name."""
    if path.is_file():
        return path if path.stem in (video_id, stem) else None
    for name in (video_id, stem):
        for suffix in (".txt", ".csv", ".parquet", ".json"):
            if os.path.isfile(found := path / f"{name}{suffix}"):
                return found
        if os.path.isfile(found := path / name / "det" / "det.txt"):
            return found
    return None


def _of_video(file: Path, names: tuple[str, str], *, sole: bool) -> pd.DataFrame | None:
    """The rows of a shared file that belong to a video; with ``sole`` the file is this video's own."""
    stat = file.stat()
    table = (_read_coco if file.suffix.lower() == ".json" else _read_parquet)(
        file, stat.st_mtime_ns, stat.st_size
    )
    mine = table[table.video.isin(names)]
    if sole and mine.empty and table.video.nunique() <= 1:  # named after the video, whatever it says inside
        mine = table
    if mine.empty and not sole:
        return None
    return mine[_COLUMNS]


def _read_mot(file: Path) -> pd.DataFrame:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{file}: cannot be read as MOT text ({error}); expected lines of frame,id,x,y,w,h,score."
        ) from error
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        parts = re.split(r"[,;\s]+", line.strip().strip(",;"))
        try:
            values = [float(p) for p in parts]
        except ValueError:
            if number == 1 and is_text(line) and not any(map(_is_number, parts)):  # a header
                continue
            raise UserError(
                f"{file}, line {number}: {shown(line.strip())} is not numbers; expected frame,id,x,y,w,h,score."
            ) from None
        if len(values) < 6:
            raise UserError(
                f"{file}, line {number}: {len(values)} values; MOT text has frame,id,x,y,w,h and then the score."
            )
        if not 1 <= values[0] <= LARGEST or values[0] != int(values[0]):
            raise UserError(
                f"{file}, line {number}: frame {parts[0][:40]}; MOT text counts whole frames from 1 to {LARGEST}."
            )
        frame, _, x, y, w, h = values[:6]
        # A score of -1 is MOT's "none".
        score = values[6] if len(values) > 6 and values[6] != -1 else 1.0
        rows.append([frame - 1, x, y, x + w, y + h, score])
    return pd.DataFrame(rows, columns=_COLUMNS)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=2)
def _read_coco(file: Path, _mtime_ns: int, _size: int) -> pd.DataFrame:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except RecursionError:
        raise UserError(f"{file}: not valid JSON (nested too deeply); export it again.") from None
    except (OSError, ValueError) as error:
        # Of a number of more digits than Python reads, its own words are about Python.
        said = (
            error
            if isinstance(error, OSError | json.JSONDecodeError | UnicodeDecodeError)
            else "too long a number"
        )
        raise UserError(f"{file}: not valid JSON ({said}); export it again.") from error
    if not isinstance(content, dict) or "images" not in content or "annotations" not in content:
        raise UserError(
            f"{file}: COCO json has 'images' and 'annotations' at its top; a list of results has no names."
        )
    categories = _objects(content, "categories", file, "id")
    people = {c.get("id") for c in categories if str(c.get("name", "")).lower() == "person"}
    if not people and len(categories) > 1:
        raise UserError(
            f"{file}: none of its categories is called 'person'; name the one so that holds people."
        )
    where = {image.get("id"): _image_place(image, file) for image in _objects(content, "images", file, "id")}
    rows: list[tuple[Any, ...]] = []
    for annotation in _objects(content, "annotations", file, "image_id", "category_id"):
        if people and annotation.get("category_id", next(iter(people))) not in people:
            continue
        try:
            video, frame = where[annotation["image_id"]]
            x, y, w, h = (float(v) for v in _list(annotation["bbox"]))
            rows.append((video, frame, x, y, x + w, y + h, float(annotation.get("score", 1.0))))
        except KeyError as error:
            raise UserError(
                f"{file}: the annotation {shown(annotation)} lacks {shown(error.args[0])} or has a bad bbox; mend it there."
            ) from error
        except (TypeError, ValueError, OverflowError):
            raise UserError(
                f"{file}: the annotation {shown(annotation)} has a bad bbox or score; four numbers in px and one in 0 to 1 are "
                "wanted."
            ) from None
    # A video without any person is still known to the file.
    known = pd.DataFrame({"video": sorted({video for video, _ in where.values()})})
    return pd.concat([pd.DataFrame(rows, columns=["video", *_COLUMNS]), known]) if not rows else pd.DataFrame(
        rows, columns=["video", *_COLUMNS])  # fmt: skip


def _objects(content: dict[str, Any], key: str, file: Path, *ids: str) -> list[dict[str, Any]]:
    """The objects under ``key``, whose ``ids`` are plain values; none where the key is missing."""
    found = content.get(key, [])
    for one in found if isinstance(found, list) else [found]:
        if one is found or not isinstance(one, dict) or any(isinstance(one.get(i), dict | list) for i in ids):
            raise UserError(
                f"{file}: '{key}' wants a list of objects with plain ids, found {shown(one)}; look into COCO's format."
            )
    return list(found)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("a list")
    return value


def _image_place(image: dict[str, Any], file: Path) -> tuple[str, int]:
    """Which video an image is of, and its zero-based frame."""
    if "video" in image and "frame" in image:
        video, number = Path(str(image["video"])).stem, str(image["frame"])
    else:
        name = Path(str(image.get("file_name", "")))
        folders = [p for p in name.parts[:-1] if p not in {"img1", "images", "frames"}]
        match = re.fullmatch(r"(?:(.*)[_-])?(\d{1,10})", name.stem)
        video = (match and match[1]) or (folders[-1] if folders else "")
        number = str(int(match[2]) - 1) if match else ""
    if video and is_text(video) and re.fullmatch(r"\d{1,10}", number) and int(number) <= LARGEST:
        return video, int(number)
    raise UserError(
        f"{file}: the image {shown(image)} tells no video and frame; give it 'video' and a zero-based 'frame', "
        f"or a file_name such as cam1/000001.jpg (numbers from 1)."
    )


@lru_cache(maxsize=2)
def _read_parquet(file: Path, _mtime_ns: int, _size: int) -> pd.DataFrame:
    try:
        return schema.read(DETECTIONS, file).rename(columns={"video_id": "video"})
    except (schema.ManifestError, pa.ArrowException, UnicodeDecodeError) as error:
        reasons = {
            "breaks the rule": str(error).splitlines()[0].partition(": ")[2],
            "has the columns": "its columns have other names or types",
            "holds manifest": "it does not call itself one",
        }
        reason = next(
            (reasons[words] for words in reasons if words in str(error)), "it is damaged or cut short"
        )
        raise UserError(
            f"DETECTOR={file}: no table 'detections' of this version: {reason[:200]}; give the detections.parquet of a run, "
            "MOT text or COCO json."
        ) from error


def _checked(table: pd.DataFrame, origin: Path) -> pd.DataFrame:
    table = table.dropna(subset=["frame"])
    values = table[_COLUMNS].to_numpy(np.float64)
    if not np.isfinite(values).all():
        raise UserError(f"{origin}: a box has a value that is not a finite number; mend or delete it.")
    if not table.frame.between(0, LARGEST).all():
        raise UserError(
            f"{origin}: frames reach from {table.frame.min():g} to {table.frame.max():g}; they count from 0 (MOT: 1)."
        )
    if (np.abs(values[:, 1:5]) > FARTHEST_PX).any():
        raise UserError(f"{origin}: a box lies more than a million pixels away; its sides are wanted in px.")
    table = pd.DataFrame(values, columns=_COLUMNS).astype({"frame": np.int32})
    empty = (table.x2 <= table.x1) | (table.y2 <= table.y1)
    if empty.any():
        raise UserError(f"{origin}: {int(empty.sum())} boxes have no width or height, for example "
                        f"{table[empty].iloc[0].to_dict()}.")  # fmt: skip
    outside = ~table.score.between(0, 1)
    if outside.any():
        raise UserError(
            f"{origin}: scores reach from {table.score.min():g} to {table.score.max():g}; bring them to 0..1, so "
            f"that detect.min_score and the tracker's thresholds mean something."
        )
    return table
