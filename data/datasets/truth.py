"""True boxes of a site in whichever form its owner has them, as rows of `data.datasets.mot.read_mot`.

A folder of MOT text or CVAT XML, one file per video; one such file for one video; or AI City's one file for all cameras.
Only people are read (`data.datasets.labels`), and only frames that somebody labelled count (`data.datasets.labelled_frames`).
"""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
import pandas as pd

from data.datasets import labelled_frames
from data.datasets.labels import PERSON_CLASSES, counted, is_person
from data.datasets.mot import (
    FARTHEST_PX,
    LARGEST,
    MotText,
    TrueBoxes,
    candidates,
    find_mot,
    parse_mot,
    true_rows,
)
from pipeline.errors import UserError, shown

# An attribute of a CVAT track that says who it is on the whole site; its own number counts anew in every video.
PERSON = ("pid", "person_id", "person", "global_id", "identity", "id")
_AI_CITY = "camera id frame x y w h, separated by blanks"
_ALONE = 0.2  # share of labelled frames without a labelled neighbour from which it is said


class Truth(NamedTuple):
    """Of one video: its file, the people in it as rows of `read_mot`, and the frames that count, rising; None for all."""

    path: Path
    rows: pd.DataFrame
    labelled: np.ndarray | None
    left_out: Mapping[str, int]
    note: str


def read_truth(
    source: Path,
    videos: pd.DataFrame,
    word: str = "GROUND_TRUTH",
    person_classes: Collection[str] = PERSON_CLASSES,
) -> dict[str, Truth]:
    """video_id → what is true of it; videos without truth are left out.

    Args:
        videos: VIDEOS rows. word: of the command line, for messages. person_classes: labels that mean a person.

    Raises:
        UserError: nothing is found, a file cannot be read, or nothing in any of them is a person; names file and line.
    """
    if source.is_file() and source.suffix.lower() == ".txt" and is_ai_city(source):
        of_city = read_ai_city(source, videos, word)
        boxes = {video: (source, of_people(rows)) for video, (_, rows) in of_city.items()}
    else:
        files = find_mot(source, videos, word)
        boxes = dict(
            zip(files, _read(list(files.values()), source, len(videos) > 1, person_classes), strict=True)
        )
    _some_people([found for _, found in boxes.values()], word, source, person_classes)
    sampled = _sampled([found for _, found in boxes.values()])
    return {
        video: Truth(
            path, found.rows, labelled, found.left_out, found.note or _between(found.marked, labelled)
        )
        for (video, (path, found)), labelled in zip(boxes.items(), sampled, strict=True)
    }


def _between(marked: np.ndarray, labelled: np.ndarray | None) -> str:
    """What is strange where every frame counts and many labelled ones stand alone; else nothing."""
    alone = labelled_frames.fraction_alone(marked)
    if labelled is not None or alone <= _ALONE:
        return ""
    return (
        f"{alone:.0%} of its {len(marked)} labelled frames have no labelled neighbour, and the frames between count as empty; "
        "label every frame, or leave labels on every n-th one only"
    )


def check_truth(
    source: Path,
    videos: Sequence[Path],
    word: str = "GROUND_TRUTH",
    person_classes: Collection[str] | None = None,
) -> None:
    """Open and parse every file that may be the truth of one of the recordings, before anything is made of them.

    Args:
        person_classes: where they are known yet; else a site without a person is refused later, and warned of here.

    Raises:
        UserError: there is no such file, or one is damaged; names file, line and what to do.
    """
    try:
        files = [source] if source.is_file() else candidates(source, videos)
    except OSError as error:
        raise UserError(
            f"{word}={source}: cannot be read ({error}); name a folder or file that can."
        ) from None
    if not files:
        example = videos[0].stem if videos else "camera"
        raise UserError(
            f"{word}={source}: nothing for any video; expected MOT text files such as {example}.txt, or CVAT's XML."
        )
    classes = PERSON_CLASSES if person_classes is None else tuple(person_classes)
    if source.is_file() and source.suffix.lower() == ".txt" and is_ai_city(source):
        parse_ai_city(source)
    else:
        read = [found for _, found in _read(files, source, len(videos) > 1, classes)]
        try:
            _some_people(read, word, source, classes)
        except UserError as error:
            if person_classes is not None:
                raise
            warnings.warn(f"{error} Where it is set already, all is well.", stacklevel=2)


def sentences(found: Mapping[str, Truth], frames: Mapping[str, int], setting: str) -> Iterator[str]:
    """What a person should know of how truth was read: what was left out, and what does not count.

    Args:
        found: of `read_truth`. frames: video_id → its number of frames. setting: that names the classes of people.
    """
    files = len({truth.path for truth in found.values()})
    left_out = Counter[str]()
    for truth in found.values():
        left_out.update(truth.left_out)
    if left_out:
        of = len({truth.path for truth in found.values() if truth.left_out})
        yield (
            f"{counted(left_out.items())} in {of} of {files} files are no people and are left out; {setting} says which "
            "labels are"
        )
    partly = {
        v: t.labelled for v, t in found.items() if t.labelled is not None and len(t.labelled) < frames[v]
    }
    if partly:
        steps = {labelled_frames.step(frames) for frames in partly.values() if len(frames) > 1}
        where = (
            f"on every {_ordinal(steps.pop())} frame"
            if steps and len(steps) == 1 and min(steps) > 1
            else "on some frames only"
        )
        count = sum(map(len, partly.values()))
        yield (
            f"labels stand {where} in {len(partly)} of {len(found)} videos, {count} of {sum(frames[v] for v in partly)} frames: "
            "the others are unknown, not empty, and are not measured"
        )
    notes = [f"{truth.path}: {truth.note}" for truth in found.values() if truth.note]
    yield from (f"warning: {note}" for note in notes[:3])
    if len(notes) > 3:
        yield f"warning: the same is true of {len(notes) - 3} more files"


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number % 100 in (11, 12, 13) else endings.get(number % 10, 'th')}"


def _read(
    files: Sequence[Path], source: Path, several: bool, person_classes: Collection[str]
) -> list[tuple[Path, TrueBoxes]]:
    """Each file with its people."""
    root = source if source.is_dir() else source.parent
    parsed: list[MotText | TrueBoxes] = [
        cvat_boxes(path, several, person_classes) if path.suffix.lower() == ".xml" else parse_mot(path, root)
        for path in files
    ]
    unnamed = {n for found in parsed if isinstance(found, MotText) for n in found.unnamed}
    return [
        (path, found.people(person_classes, unnamed) if isinstance(found, MotText) else found)
        for path, found in zip(files, parsed, strict=True)
    ]


def _some_people(
    found: Sequence[TrueBoxes], word: str, source: Path, person_classes: Collection[str]
) -> None:
    """Raise UserError where there are labels, and none of them is a person's."""
    left_out = Counter[str]()
    for boxes in found:
        left_out.update(boxes.left_out)
    if left_out and not any(len(boxes.rows) for boxes in found):
        raise UserError(
            f"{word}={source}: none of its labels ({counted(left_out.items())}) is one of {', '.join(person_classes)}; name "
            f'those that are people: SET="{word.lower()}.person_classes=[{min(left_out)}]".'
        )


def of_people(rows: pd.DataFrame) -> TrueBoxes:
    """Rows that are all of people, from a file that names no classes."""
    return TrueBoxes(rows, Counter(), np.unique(rows.frame))


def _sampled(found: Sequence[TrueBoxes]) -> list[np.ndarray | None]:
    """Of each video the frames that count, None for all.

    Where labelled frames stand apart, they alone count, whatever a file says was to be labelled. Files of a few labels
    follow the others.
    """
    verdicts = []
    for boxes in found:
        among = boxes.declared
        places = boxes.marked if among is None else np.searchsorted(among, boxes.marked)
        verdicts.append(labelled_frames.stand_apart(places))
    of_site = True in verdicts and False not in verdicts
    return [
        boxes.marked if verdict or (verdict is None and of_site and len(boxes.marked)) else boxes.declared
        for boxes, verdict in zip(found, verdicts, strict=True)
    ]


def is_ai_city(path: Path) -> bool:
    """Whether the first line that is not empty has seven or more fields between blanks, and no comma."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            line = next((line for line in file if line.strip()), "")
    except (OSError, UnicodeDecodeError):
        return False
    return "," not in line and len(line.split()) >= 7


def read_ai_city(
    path: Path, videos: pd.DataFrame, word: str = "GROUND_TRUTH"
) -> dict[str, tuple[Path, pd.DataFrame]]:
    """AI City's multi-camera truth: ``camera id frame x y w h [xworld yworld]`` per line, ids the same in all cameras.

    Cameras are matched by their number (``c041``, ``camera_41`` and ``41`` are one); each must have a single video. Frames
    count from nought where a nought occurs, as in 2023, else from one, as before.

    Raises:
        UserError: a line is malformed, a camera has several videos or none of them is in the file.
    """
    table = parse_ai_city(path)
    begins = 0 if (table.frame == 0).any() else 1
    by_number: dict[int, list[str]] = {}
    for video_id, camera_id in zip(videos.video_id, videos.camera_id, strict=True):
        if digits := re.search(r"(\d+)\D*$", str(camera_id)):
            by_number.setdefault(int(digits[1]), []).append(str(video_id))
    found = {}
    for camera, own in table.groupby("camera", sort=True):
        names = by_number.get(int(str(camera).removesuffix(".0")), [])
        if len(names) > 1:
            raise UserError(
                f"{word}={path}: camera {camera:.0f} has {len(names)} videos ({', '.join(names[:3])}), and its frames are not "
                "told apart; give MOT text per video instead."
            )
        if names:
            found[names[0]] = (
                path,
                as_mot(own.id, own.frame - begins, own.x, own.y, own.x + own.w, own.y + own.h),
            )
    if not found:
        cameras = ", ".join(f"{c:.0f}" for c in sorted(table.camera.unique())[:5])
        ours = ", ".join(sorted(videos.camera_id.astype(str).unique())[:5])
        raise UserError(
            f"{word}={path}: speaks of cameras {cameras}, and the videos are of {ours}; numbers must agree."
        )
    return found


def parse_ai_city(path: Path) -> pd.DataFrame:
    """The lines of such a file: camera, id, frame, x, y, w, h."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as text ({error}); expected lines of {_AI_CITY}.") from None
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields:
            continue
        try:
            values = [float(field) for field in fields[:7]]
        except ValueError:
            values = []
        if (
            len(values) < 7
            or not np.isfinite(values).all()
            or min(values[5:7]) <= 0
            or not _sound(values[:3], values[3:])
        ):
            raise UserError(f"{path}: line {number}: expected {_AI_CITY}, found {shown(line.strip())}.")
        rows.append(values)
    table = pd.DataFrame(rows, columns=["camera", "id", "frame", "x", "y", "w", "h"])
    if table.duplicated(["camera", "id", "frame"]).any():
        first = table[table.duplicated(["camera", "id", "frame"])].iloc[0]
        raise UserError(
            f"{path}: camera {first.camera:.0f} has id {first.id:.0f} twice in frame {first.frame:.0f}; expected it at most once."
        )
    return table


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
        if sides is not None and not _sound([number, frame], sides):
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


def _sound(whole: Sequence[float], sides: Sequence[float]) -> bool:
    """Whether the numbers that count something can stand in a table, and those of a box can be of a picture."""
    return all(0 <= v <= LARGEST and v == int(v) for v in whole) and all(abs(v) <= FARTHEST_PX for v in sides)


def as_mot(*columns: pd.Series | np.ndarray, visibility: np.ndarray | None = None) -> pd.DataFrame:
    """Rows of `read_mot` from id, frame (from nought), x1, y1, x2, y2, all (N,)."""
    person, frame, x1, y1, x2, y2 = (np.asarray(c, float) for c in columns)
    seen = np.ones(len(frame)) if visibility is None else visibility
    table = true_rows(frame, person, x1, y1, x2, y2, np.ones(len(frame)), seen)
    return table.sort_values(["frame", "id"], kind="stable").reset_index(drop=True)
