"""CVAT's XML as true boxes: for video 1.1, and for images 1.1 of the frames of a video."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from data.datasets.labels import PERSON_CLASSES, is_person
from data.datasets.mot import LARGEST, TrueBoxes, as_mot, sound_numbers
from pipeline.errors import UserError, shown

# An attribute of a CVAT track that says who it is on the whole site; its own number counts anew in every video.
PERSON = ("pid", "person_id", "person", "global_id", "identity", "id")


def read_cvat(
    path: Path, several_videos: bool = False, person_classes: Collection[str] = PERSON_CLASSES
) -> pd.DataFrame:
    """The people of `cvat_boxes`."""
    return cvat_boxes(path, several_videos, person_classes).rows


class _Shape(NamedTuple):
    """A shape of CVAT, with the frame it is drawn in and the number of its track, where it has one."""

    label: str
    frame: str
    track: str | None
    shape: ElementTree.Element
    attributes: Mapping[str, str]

    @property
    def place(self) -> str:
        track = "" if self.track is None else f"track {self.track[:40]}, "
        return f"{track}frame {self.frame[:40]}"


def cvat_boxes(path: Path, several_videos: bool, person_classes: Collection[str]) -> TrueBoxes:
    """CVAT's XML, for video 1.1 (tracks) or for images 1.1 (boxes of each frame of a video).

    Boxes ``outside`` the picture are left out, occluded ones are half visible. Of a polygon, a mask, an ellipse or a turned box
    the box around it is meant. Entities of other files are not read, and those that unfold without end are stopped by expat.

    The person is the attribute `PERSON`, else, where there is one video only, the track's own number.

    Raises:
        UserError: no such XML, nobody tells who is who, or a person is drawn as something that has no box.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (
        OSError,
        ElementTree.ParseError,
        ValueError,
        LookupError,
    ) as error:  # the last two: of its encoding
        raise UserError(
            f"{path}: cannot be read as CVAT XML ({error}); export it anew as 'CVAT for video 1.1'."
        ) from None
    if root.tag != "annotations":
        raise UserError(
            f"{path}: holds {shown(root.tag)} where CVAT has 'annotations'; export it as 'CVAT for video 1.1'."
        )
    tasks = {item.get("task_id") for item in root if item.tag in ("track", "image")}
    if len(tasks) > 1:
        raise UserError(
            f"{path}: holds {len(tasks)} tasks of a project, whose frames are not told apart; export each task by itself."
        )
    listed = _listed_frames(path, root)
    rows: list[tuple[float, ...]] = []
    marked, left_out = set[int](), Counter[str]()
    for found in _shapes(root, listed):
        person = is_person(found.label, person_classes)
        if person:
            rows.append(_row(path, found, several_videos))
            marked.add(int(rows[-1][1]))
            continue
        left_out[found.label] += 1
        if re.fullmatch(r"\d{1,10}", found.frame) and int(found.frame) <= LARGEST:
            marked.add(int(found.frame))
    values = np.array(rows, float).reshape(-1, 7).T
    table = as_mot(values[0], values[1], *values[2:6], visibility=values[6])
    flat = table[(table.x1 >= table.x2) | (table.y1 >= table.y2)]
    twice = table[table.duplicated(["frame", "id"])]
    for wrong, what in ((flat, "an empty box"), (twice, "a second box")):
        if len(wrong):
            raise UserError(
                f"{path}: person {wrong.id.iloc[0]} has {what} in frame {wrong.frame.iloc[0]}; mend it in CVAT."
            )
    frames = np.array(sorted(marked), np.int64)
    declared = np.array(sorted(listed.values()), np.int64) if listed else _declared(root)
    if declared is not None and not np.isin(frames, declared).all():
        declared = None  # it is about something else than these frames
    return TrueBoxes(table, left_out, frames, declared)


def _shapes(root: ElementTree.Element, listed: Mapping[str, int]) -> Iterator[_Shape]:
    """Everything that is drawn in a frame, tags of whole frames left out."""
    for track in root.iter("track"):
        of_track = _attributes(track)
        for shape in track:
            if shape.tag == "attribute" or shape.get("outside") == "1":
                continue
            yield _Shape(
                track.get("label", ""), str(shape.get("frame")), str(track.get("id")), shape,
                {**of_track, **_attributes(shape)},
            )  # fmt: skip
    for image in root.iter("image"):
        for shape in image:
            if shape.tag != "tag":
                frame = str(listed[str(image.get("id"))])
                yield _Shape(shape.get("label", ""), frame, None, shape, _attributes(shape))


def _attributes(element: ElementTree.Element) -> dict[str, str]:
    return {a.get("name", "").lower(): (a.text or "").strip() for a in element.findall("attribute")}


def _row(path: Path, found: _Shape, several_videos: bool) -> tuple[float, ...]:
    """person, frame, x1, y1, x2, y2, visibility."""
    person = next((found.attributes[name] for name in PERSON if found.attributes.get(name)), None)
    names = " or ".join(PERSON)
    if person is None and found.track is None:
        raise UserError(
            f"{path}: {found.place}: no attribute named {names}, and 'CVAT for images' keeps no tracks, so nobody knows who is "
            "who; add one in CVAT, or export it as 'CVAT for video 1.1'."
        )
    if person is None and several_videos:
        raise UserError(
            f"{path}: track {str(found.track)[:40]}: no attribute named {names}, so nobody knows who is who across "
            "videos; add one in CVAT, the same for a person in all of them."
        )
    try:
        number = int(person if person is not None else str(found.track))
        frame = int(found.frame)
        sides = _sides(found.shape)
        if sides is not None and not sound_numbers([number, frame], sides):
            raise ValueError
    except ValueError:
        raise UserError(
            f"{path}: {found.place}: person and frame must be "
            f"whole numbers and the sides numbers, as pictures and films have them, found "
            f"{shown(person or found.track)} and {shown(dict(found.shape.attrib))}; mend it in CVAT."
        ) from None
    if sides is None:
        raise UserError(
            f"{path}: {found.place}: a person is drawn as {shown(found.shape.tag)}, around which there is no box; draw people as "
            "rectangles or polygons in CVAT."
        )
    return (number, frame, *sides, 0.5 if found.shape.get("occluded") == "1" else 1.0)


def _sides(shape: ElementTree.Element) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom of the box around a shape; None for a shape that does not enclose what it is of.

    Raises:
        ValueError: one of its numbers is none.
    """

    def of(*names: str) -> list[float]:
        return [float(str(shape.get(name))) for name in names]

    if shape.tag == "box":
        x1, y1, x2, y2 = of("xtl", "ytl", "xbr", "ybr")
        turn = math.radians(float(shape.get("rotation", 0)))
        if not turn:
            return x1, y1, x2, y2
        half_w, half_h = (x2 - x1) / 2, (y2 - y1) / 2
        across = abs(half_w * math.cos(turn)) + abs(half_h * math.sin(turn))
        along = abs(half_w * math.sin(turn)) + abs(half_h * math.cos(turn))
        return _around((x1 + x2) / 2, (y1 + y2) / 2, across, along)
    if shape.tag == "ellipse":
        x, y, rx, ry = of("cx", "cy", "rx", "ry")
        turn = math.radians(float(shape.get("rotation", 0)))
        across = math.hypot(rx * math.cos(turn), ry * math.sin(turn))
        return _around(x, y, across, math.hypot(rx * math.sin(turn), ry * math.cos(turn)))
    if shape.tag == "mask":
        left, top, width, height = of("left", "top", "width", "height")
        return left, top, left + width, top + height
    if shape.tag == "polygon":
        points = [[float(v) for v in point.split(",")] for point in str(shape.get("points")).split(";")]
        xs, ys = zip(*((x, y) for x, y in points), strict=True)
        return min(xs), min(ys), max(xs), max(ys)
    return None


def _around(x: float, y: float, across: float, along: float) -> tuple[float, float, float, float]:
    return x - across, y - along, x + across, y + along


def _listed_frames(path: Path, root: ElementTree.Element) -> dict[str, int]:
    """The frames of a video that 'CVAT for images' lists: id of the image → zero-based frame.

    CVAT calls the frames of a video ``frame_000007`` and numbers them the same. Pictures that were cut out before have names of
    their own, which must agree with their numbers, counted from nought or from one.

    Raises:
        UserError: they do not, or an image is listed twice.
    """
    images = [(str(image.get("id")), str(image.get("name"))) for image in root.iter("image")]
    if not images:
        return {}
    ids, numbers = [], []
    for number, name in images:
        digits = re.search(r"(\d{1,10})$", re.sub(r"\.\w{1,5}$", "", name))
        if not re.fullmatch(r"\d{1,10}", number) or int(number) > LARGEST or not digits:
            raise UserError(
                f"{path}: image {shown(number)}, called {shown(name)}: id and name tell no frame of a video; export the task of the "
                "video as 'CVAT for video 1.1'."
            )
        ids.append(int(number))
        numbers.append(int(digits[1]))
    if len(set(ids)) < len(ids):
        raise UserError(f"{path}: lists an image twice; export each task of the project by itself.")
    own = all(re.fullmatch(r"(?:.*/)?frame_\d{6,}(?:\.\w+)?", name) for _, name in images)
    off = {number - frame for number, frame in zip(numbers, ids, strict=True)}
    if not own and off not in ({0}, {1}):
        k = next(k for k, frame in enumerate(ids) if numbers[k] - frame not in (0, 1) or len(off) > 1)
        raise UserError(
            f"{path}: image {ids[k]} is called {shown(images[k][1])}, so nobody knows which frame of the video it is; export the task "
            "of the video as 'CVAT for video 1.1'."
        )
    frames = numbers if own else ids
    if len(set(frames)) < len(frames):
        raise UserError(f"{path}: lists a frame twice; export each task of the project by itself.")
    return dict(zip((number for number, _ in images), frames, strict=True))


def _declared(root: ElementTree.Element) -> np.ndarray | None:
    """The frames that the task or job was about, as its ``meta`` says; None where it does not."""
    about = [*root.findall("meta/task"), *root.findall("meta/job")]
    if len(about) != 1:
        return None
    first, last = (str(about[0].findtext(name)).strip() for name in ("start_frame", "stop_frame"))
    step = re.fullmatch(r"\s*(?:step\s*=\s*(\d{1,9}))?\s*", about[0].findtext("frame_filter") or "")
    if not (re.fullmatch(r"\d{1,9}", first) and re.fullmatch(r"\d{1,9}", last)) or step is None:
        return None
    by = int(step[1] or 1)
    if by < 1 or int(last) < int(first) or (int(last) - int(first)) // by > 10_000_000:
        return None
    return np.arange(int(first), int(last) + 1, by)
