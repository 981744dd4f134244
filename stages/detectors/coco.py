"""Finished detections as COCO json: images that name a video and a frame, and annotations of them."""

from __future__ import annotations

import json
import re
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from data.datasets.labels import PERSON_CLASSES, is_person
from data.datasets.mot import LARGEST
from pipeline.errors import UserError, is_text, shown

COLUMNS = ["frame", "x1", "y1", "x2", "y2", "score"]  # of every reader of finished detections


@lru_cache(maxsize=2)
def read_coco(file: Path, _mtime_ns: int, _size: int) -> pd.DataFrame:
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
    people = {c.get("id") for c in categories if c.get("name") and is_person(str(c["name"]), PERSON_CLASSES)}
    if not people and len(categories) > 1:
        raise UserError(
            f"{file}: none of its categories is called 'person'; name the one so that holds people."
        )
    if not people and categories and (only := str(categories[0].get("name", ""))):
        warnings.warn(f"{file}: its only category, {shown(only)}, is read as people", stacklevel=2)
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
    return pd.concat([pd.DataFrame(rows, columns=["video", *COLUMNS]), known]) if not rows else pd.DataFrame(
        rows, columns=["video", *COLUMNS])  # fmt: skip


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
