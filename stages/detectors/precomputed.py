"""Detections somebody made before: MOT text, COCO json, or Parquet of our own detections manifest.

    MOT text    one file per video, named after the video: frame,id,x,y,w,h[,score,…], frames from one; a first line that
                names the columns decides what they are, in any order: x,y,w,h or x1,y1,x2,y2, a class, a score
    COCO json   images with `video` and zero-based `frame`, or with a `file_name` like video/000001.jpg or
                video_000001.jpg, whose number counts from one; annotations with image_id, bbox, score
    Parquet     the detections manifest, one file for all videos or one per video

In a folder the files are found by video_id or by the stem of the video's file, or below the folder of its camera, as
``S01/c001/det/det.txt``. Where classes are given, people are read alone. Needs neither ultralytics nor torch.
"""

from __future__ import annotations

import csv
import os
import re
import warnings
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from data.datasets.labels import LABELS, PERSON_CLASSES, counted, is_person, labels_of
from data.datasets.mot import FARTHEST_PX, LARGEST
from pipeline import schema
from pipeline.errors import UserError, is_text, shown
from pipeline.manifests import DETECTIONS
from stages.detectors.coco import COLUMNS, read_coco

_SUFFIXES = (".parquet", ".json", ".txt", ".csv")


def is_precomputed(path: Path | str) -> bool:
    """Whether the path holds finished detections rather than a network. Decided by content, never by a name."""
    path = Path(path)
    if os.path.isdir(path):
        if any(path.glob("*.xml")) or any(path.glob("*.onnx")):
            return False
        return any(_files(path)) or any(_camera_folders(path))
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
            _read_mot(own, path if path.is_dir() else path.parent)
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
    return _of_camera(path, video_id, stem)


def _camera_folders(path: Path) -> list[Path]:
    """The folders one or two below that have a folder ``det`` of MOT text, as AI City and MOTChallenge lay them out."""
    texts = (
        text for depth in ("*", "*/*") for text in path.glob(f"{depth}/det/*.txt") if text.name != LABELS
    )
    return sorted({text.parents[1] for text in texts})


def _of_camera(path: Path, video_id: str, stem: str) -> Path | None:
    """The text in ``<camera>/det`` of the camera that a video_id begins with.

    Asked of recordings that their camera has one of: those called camera and stem, since they tell no time, and AI City's vdo.

    Raises:
        UserError: two folders fit, or there are several texts in one.
    """
    found = re.fullmatch(
        rf"(.+)_({re.escape(stem)}{r'|[0-9]{8}T[0-9]{6}Z' if stem == 'vdo' else ''})", video_id
    )
    folders = [folder for folder in _camera_folders(path) if found and folder.name == found[1]]
    if len(folders) > 1:
        raise UserError(
            f"DETECTOR={path}: {folders[0]} and {folders[1]} both fit the video '{video_id}'; name the folder of one site."
        )
    if not folders:
        return None
    texts = sorted(f for f in (folders[0] / "det").glob("*.txt") if f.name != LABELS)
    best = [f for f in texts if f.name == "det.txt"] or texts
    if len(best) > 1:
        raise UserError(
            f"DETECTOR={path}: {folders[0] / 'det'} holds {' and '.join(f.name for f in best[:3])}; keep the one that is meant, "
            "as det.txt."
        )
    return best[0] if best else None


def _of_video(file: Path, names: tuple[str, str], *, sole: bool) -> pd.DataFrame | None:
    """The rows of a shared file that belong to a video; with ``sole`` the file is this video's own."""
    stat = file.stat()
    table = (read_coco if file.suffix.lower() == ".json" else _read_parquet)(
        file, stat.st_mtime_ns, stat.st_size
    )
    mine = table[table.video.isin(names)]
    if sole and mine.empty and table.video.nunique() <= 1:  # named after the video, whatever it says inside
        mine = table
    if mine.empty and not sole:
        return None
    return mine[COLUMNS]


# What a column of a header is, by its name in small letters without anything between words. Others are asked about.
_HEADINGS = {
    "frame": ("frame", "frameid", "frameno", "framenr", "framenum", "framenumber", "frameindex", "frameidx"),
    "left": ("x", "x1", "xmin", "minx", "left", "xtl", "xleft", "bbleft", "bboxleft", "boxleft", "bbx", "bboxx", "bbx1", "bboxx1", "x0"),
    "top": ("y", "y1", "ymin", "miny", "top", "ytl", "ytop", "bbtop", "bboxtop", "boxtop", "bby", "bboxy", "bby1", "bboxy1", "y0"),
    "right": ("x2", "xmax", "maxx", "right", "xbr", "xright", "bbright", "bboxright", "bbx2", "bboxx2"),
    "bottom": ("y2", "ymax", "maxy", "bottom", "ybr", "ybottom", "bbbottom", "bboxbottom", "bby2", "bboxy2"),
    "width": ("w", "width", "bbwidth", "bboxwidth", "boxwidth", "bbw", "bboxw"),
    "height": ("h", "height", "bbheight", "bboxheight", "boxheight", "bbh", "bboxh"),
    "centre_x": ("cx", "xc", "xcenter", "xcentre", "centerx", "centrex", "bboxcx"),
    "centre_y": ("cy", "yc", "ycenter", "ycentre", "centery", "centrey", "bboxcy"),
    "score": ("score", "scores", "conf", "confidence", "prob", "probability", "detscore", "detectionscore", "detconf"),
    "label": ("label", "classname", "categoryname", "labelname", "name", "objecttype"),
    "class": ("class", "cls", "classid", "category", "categoryid", "classindex", "objectclass", "labelid", "type"),
    "": ("", "id", "trackid", "tid", "objectid", "targetid", "track", "visibility", "vis", "detection", "detectionid", "detid",
         "index", "unnamed0", "time", "timestamp", "z", "worldx", "worldy", "worldz"),
}  # fmt: skip
_MEANING = {name: meaning for meaning, names in _HEADINGS.items() for name in names}


def _read_mot(file: Path, root: Path) -> pd.DataFrame:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{file}: cannot be read as MOT text ({error}); expected lines of frame,id,x,y,w,h,score."
        ) from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    header = _header(file, lines[0][1]) if lines and lines[0][0] == 1 else None
    listed = labels_of(file, root)
    rows = _by_header(file, lines[1:], *header) if header else _by_position(file, lines, listed is not None)
    kept = _people(file, [label for _, label in rows], listed, named=header is not None)
    values = [row for (row, _), keep in zip(rows, kept, strict=True) if keep]
    return pd.DataFrame(values, columns=COLUMNS)


def _by_position(
    file: Path, lines: list[tuple[int, str]], always_class: bool
) -> list[tuple[list[float], str]]:
    """frame, x1, y1, x2, y2, score, and the class (empty where none is given), of lines in MOT's order.

    Args:
        always_class: column 8 is one even in lines as long as MOT15's, which has the world's coordinates there.
    """
    rows = []
    for number, line in lines:
        parts = re.split(r"[,;\s]+", line.strip().strip(",;"))
        try:
            values = [float(p) for p in parts]
        except ValueError:
            raise UserError(
                f"{file}, line {number}: {shown(line.strip())} is not numbers; expected frame,id,x,y,w,h,score."
            ) from None
        if len(values) < 6:
            raise UserError(
                f"{file}, line {number}: {len(values)} values; MOT text has frame,id,x,y,w,h and then the score."
            )
        frame = _frame(file, number, values[0], parts[0])
        _, _, x, y, w, h = values[:6]
        # A score of -1 is MOT's "none".
        score = values[6] if len(values) > 6 and values[6] != -1 else 1.0
        has_class = len(values) in (8, 9) or (always_class and len(values) > 9)
        label = f"{values[7]:g}" if has_class and values[7] >= 0 else ""
        rows.append(([frame, x, y, x + w, y + h, score], label))
    # What is no whole number is no class.
    is_class = all(float(label).is_integer() for _, label in rows if label)
    return rows if is_class else [(row, "") for row, _ in rows]


def _frame(file: Path, number: int, value: float, found: str) -> float:
    if not 1 <= value <= LARGEST or value != int(value):
        raise UserError(
            f"{file}, line {number}: frame {found[:40]}; MOT text counts whole frames from 1 to {LARGEST}."
        )
    return value - 1


def _header(file: Path, line: str) -> tuple[dict[str, int], str] | None:
    """Meaning → column, and what separates them, where a first line names columns; else None.

    Raises:
        UserError: a name that is not known, that comes twice, or one that is wanted and missing.
    """
    separator = next((mark for mark in ",;\t" if mark in line), " ")
    names = _fields(line.strip().lstrip("#%").strip(" "), separator)
    if not is_text(line.replace("\t", " ")) or any(map(_is_number, names)):
        return None
    plain = [re.sub(r"[\W_]+", "", name.lower()) for name in names]
    unknown = [name for name, short in zip(names, plain, strict=True) if short not in _MEANING]
    known = "frame, x1, y1, x2, y2 or x, y, w, h, score and class"
    if unknown:
        raise UserError(
            f"{file}, line 1: the column {shown(unknown[0])} is not known, so nobody knows what the others mean; name the columns "
            f"{known}, and leave others out."
        )
    meanings = [_MEANING[short] for short in plain]
    # From x0, y0 to x1, y1.
    for low, high, far in (("x0", "x1", "right"), ("y0", "y1", "bottom")):
        if low in plain and high in plain and far not in meanings:
            meanings[plain.index(high)] = far
    columns = {meaning: k for k, meaning in enumerate(meanings) if meaning}
    twice = [names[k] for k, meaning in enumerate(meanings) if meaning and columns[meaning] != k]
    if twice:
        raise UserError(
            f"{file}, line 1: the column {shown(twice[0])} and another mean the same; leave one of them out."
        )
    for sides in (("left", "right", "width", "centre_x"), ("top", "bottom", "height", "centre_y")):
        start, end, size, centre = (side in columns for side in sides)
        if "frame" not in columns or not ((start and (end or size)) or (centre and size)):
            raise UserError(
                f"{file}, line 1: the columns {shown(', '.join(names))} tell no frame or no box; name them {known}."
            )
    return columns, separator


def _fields(line: str, separator: str) -> list[str]:
    if separator == " ":
        return line.split()
    try:
        parts = next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:  # longer than any field is
        parts = line.split(separator)
    return [field.strip() for field in parts]


def _by_header(
    file: Path, lines: list[tuple[int, str]], columns: dict[str, int], separator: str
) -> list[tuple[list[float], str]]:
    """As `_by_position`, of lines whose columns a header named."""
    rows = []
    for number, line in lines:
        fields = _fields(line, separator)
        found = {meaning: fields[k] for meaning, k in columns.items() if k < len(fields) and fields[k] != ""}
        numbers: dict[str, float] = {}
        for meaning, field in found.items():
            if meaning in ("label", "class"):
                continue
            if not _is_number(field):
                raise UserError(
                    f"{file}, line {number}: {shown(field)} is no number, and its column in line 1 wants one; mend or delete the line."
                )
            numbers[meaning] = float(field)
        missing = [m for m in columns if m not in found and m not in ("score", "label", "class")]
        if missing:
            raise UserError(
                f"{file}, line {number}: {shown(line.strip())} lacks a value for {missing[0].replace('_', ' ')}, which line 1 names; "
                "mend or delete the line."
            )
        frame = _frame(file, number, numbers["frame"], found["frame"])
        left, right = _ends(numbers, "left", "right", "width", "centre_x")
        top, bottom = _ends(numbers, "top", "bottom", "height", "centre_y")
        score = numbers.get("score", -1.0)
        label = found.get("label") or found.get("class", "")
        if _is_number(label):
            label = f"{float(label):g}" if float(label) >= 0 else ""
        rows.append(([frame, left, top, right, bottom, 1.0 if score == -1 else score], label))
    return rows


def _ends(values: dict[str, float], near: str, far: str, size: str, centre: str) -> tuple[float, float]:
    """Where a box begins and ends along one side."""
    if near not in values:
        return values[centre] - values[size] / 2, values[centre] + values[size] / 2
    return values[near], values[far] if far in values else values[near] + values[size]


def _people(file: Path, labels: list[str], listed: tuple[Path, list[str]] | None, named: bool) -> list[bool]:
    """Which boxes are of people, by their classes: a name, or a number that ``labels.txt`` names.

    A number that all boxes have tells nobody apart.

    Args:
        listed: of `labels_of`. named: a header calls them classes; else they stand where MOT text may have one.

    Raises:
        UserError: several numbers, and nothing says which is a person.
    """
    given = {label for label in labels if label}
    numbers = {label for label in given if _is_number(label)}
    names = {label: label for label in given - numbers}
    if numbers and listed is not None:
        path, known = listed
        for label in numbers:
            k = float(label)
            if not 1 <= k <= len(known) or k != int(k):
                raise UserError(
                    f"{file}: class {label[:40]}, and {path} names the classes 1 to {len(known)}; add its name there, or mend the file."
                )
            names[label] = known[int(k) - 1]
    elif len(numbers) > 1:
        said = " and ".join(sorted(numbers, key=float)[:5])
        column = "its class column" if named else "column 8"
        raise UserError(
            f"{file}: {column} holds {said}, and nothing says which of them is a person; lay a {LABELS} beside the file, the name "
            "of class k in line k, or leave only people in it."
        )
    kept = [is_person(names.get(label, ""), PERSON_CLASSES) for label in labels]
    left_out = Counter(names[label] for label, keep in zip(labels, kept, strict=True) if not keep)
    if left_out:
        warnings.warn(f"{file}: {counted(left_out.items())} are no people and are left out", stacklevel=2)
    return kept


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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
    values = table[COLUMNS].to_numpy(np.float64)
    if not np.isfinite(values).all():
        raise UserError(f"{origin}: a box has a value that is not a finite number; mend or delete it.")
    if not table.frame.between(0, LARGEST).all():
        raise UserError(
            f"{origin}: frames reach from {table.frame.min():g} to {table.frame.max():g}; they count from 0 (MOT: 1)."
        )
    if (np.abs(values[:, 1:5]) > FARTHEST_PX).any():
        raise UserError(f"{origin}: a box lies more than a million pixels away; its sides are wanted in px.")
    table = pd.DataFrame(values, columns=COLUMNS).astype({"frame": np.int32})
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
