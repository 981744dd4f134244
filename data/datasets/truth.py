"""True boxes of a site in whichever form its owner has them, as rows of `data.datasets.mot.read_mot`.

A folder of MOT text or CVAT XML, one file per video; one such file for one video; or AI City's one file for all cameras.
Only people are read (`data.datasets.labels`), and only frames that somebody labelled count (`data.datasets.labelled_frames`).
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from data.datasets import labelled_frames
from data.datasets.ai_city_truth import is_ai_city, parse_ai_city, read_ai_city
from data.datasets.cvat import cvat_boxes
from data.datasets.labels import PERSON_CLASSES, counted
from data.datasets.mot import (
    MotText,
    TrueBoxes,
    candidates,
    find_mot,
    parse_mot,
)
from pipeline.errors import UserError

_ALONE = 0.2  # fraction of labelled frames without a labelled neighbour from which it is said


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
