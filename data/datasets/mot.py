"""MOTChallenge text: ``frame, id, x, y, w, h, flag, class, visibility`` per line (Milan et al., 2016, §3.3).

Frames count from one in these files and from zero everywhere else here; this module is where that changes.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from data.datasets.labels import LABELS, PERSON_CLASSES, is_person, labels_of
from pipeline.errors import UserError, shown

COLUMNS = ("frame", "id", "x1", "y1", "x2", "y2", "flag", "visibility")
_EXPECTED = "frame,id,x,y,w,h[,flag[,class[,visibility]]]"
LARGEST = 2**31 - 1  # frames and ids are int32 in tables
FARTHEST_PX = 1e6  # no picture is so large that a box may lie farther out
# Column 8 of MOTChallenge (Milan et al., 2016, Table 3), and which of these are people.
MOT_CLASSES = (
    "pedestrian", "person on vehicle", "car", "bicycle", "motorbike", "non motorized vehicle", "static person", "distractor",
    "occluder", "occluder on the ground", "occluder full", "reflection", "crowd",
)  # fmt: skip
_MOT_PEOPLE = (1, 2, 7)


class TrueBoxes(NamedTuple):
    """What one file says of one video.

    rows: the people, as of `read_mot`.
    left_out: label → boxes that are no people.
    marked: (N,) rising frames in which anything is labelled, people or not.
    declared: (M,) rising frames that the file says were to be labelled; None where it does not say.
    note: what is worth knowing of how it was read; empty when nothing.
    """

    rows: pd.DataFrame
    left_out: Counter[str]
    marked: np.ndarray
    declared: np.ndarray | None = None
    note: str = ""


class MotText(NamedTuple):
    """A file of MOT text before anybody asked who is a person.

    rows: as of `read_mot`; line: (N,) the line of each row; number: (N,) its class, NaN where none is given.
    labels: the file that names the classes, and their names; None where there is none.
    """

    path: Path
    rows: pd.DataFrame
    line: np.ndarray
    number: np.ndarray
    labels: tuple[Path, list[str]] | None

    @property
    def unnamed(self) -> set[float]:
        """The classes of boxes that count, where no ``labels.txt`` names them."""
        return set() if self.labels else {float(n) for n in self._counted}

    @property
    def _counted(self) -> np.ndarray:
        return np.unique(self.number[self.rows.flag.to_numpy(bool) & ~np.isnan(self.number)])

    def people(self, person_classes: Collection[str], unnamed: Collection[float]) -> TrueBoxes:
        """The boxes of people.

        Column 8 is a class: the one that ``labels.txt`` names, else MOTChallenge's. A single number in all files tells
        nobody apart.

        Args:
            unnamed: those of all files that are read together.

        Raises:
            UserError: a class that ``labels.txt`` does not name, or numbers that nothing explains.
        """
        kept, left_out, note = np.ones(len(self.rows), bool), Counter[str](), ""
        for number in self._counted:
            own = self.number == number
            label = self._name(number, own, person_classes, unnamed)
            if not label.person:
                kept &= ~own
                left_out[label.name] += int((own & self.rows.flag).sum())
            elif label.note:
                note = label.note
        return TrueBoxes(
            self.rows[kept].reset_index(drop=True), left_out, np.unique(self.rows.frame), note=note
        )

    def _name(
        self, number: float, own: np.ndarray, person_classes: Collection[str], unnamed: Collection[float]
    ) -> _Label:
        if self.labels is not None:
            path, names = self.labels
            if not 1 <= number <= len(names) or number != int(number):
                raise UserError(
                    f"{self.path}: line {self.line[own][0]}: class {number:g} in column 8, and {path} names the classes 1 to "
                    f"{len(names)}; add its name there, or mend the line."
                )
            name = names[int(number) - 1]
            return _Label(name, is_person(name, person_classes))
        known = 1 <= number <= len(MOT_CLASSES) and number == int(number)
        name = MOT_CLASSES[int(number) - 1] if known else ""
        person = number in _MOT_PEOPLE or (known and is_person(name, person_classes))
        if len(unnamed) <= 1 and (person or not known):
            return _Label("", True)
        if len(unnamed) <= 1 or not all(n in range(1, len(MOT_CLASSES) + 1) for n in unnamed):
            said = " and ".join(f"{n:g}" for n in sorted(unnamed)[:5])
            raise UserError(
                f"{self.path}: line {self.line[own][0]}: column 8 is a class, here {said}, and nothing says which of them is a "
                f"person; lay a {LABELS} beside the file, the name of class k in line k, or write 1 there for people."
            )
        boxes = int((own & self.rows.flag).sum())
        note = (
            f"{boxes} boxes of class {number:g}, which no {LABELS} names, are read as MOTChallenge's '{name}', a person; lay "
            f"a {LABELS} beside the file if it is something else"
        )
        return _Label(name, person, note if number != 1 else "")


class _Label(NamedTuple):
    name: str
    person: bool
    note: str = ""


def read_mot(path: Path, person_classes: Collection[str] = PERSON_CLASSES) -> pd.DataFrame:
    """True boxes of people of one video, one row per line, in the order of the file.

    Returns:
        frame (int32, zero-based), id (int32), x1, y1, x2, y2 (float32, px), flag (bool, False = to be ignored),
        visibility (float32, 0 to 1; 1 where the file does not say).

    Raises:
        UserError: the file cannot be read, a line is malformed, an (frame, id) pair occurs twice, or a class is not
            explained; names file, line and what was expected.
    """
    text = parse_mot(path, path.parent)
    return text.people(person_classes, text.unnamed).rows


def parse_mot(path: Path, root: Path) -> MotText:
    """The lines of a file; ``labels.txt`` is looked for beside it and above, up to ``root``."""
    labels = labels_of(path, root)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: cannot be read as MOT text ({error}); expected lines of {_EXPECTED}."
        ) from error
    rows: list[tuple[float, ...]] = []
    first_line: dict[tuple[float, ...], int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        row = _parse(path, number, line, always_class=labels is not None)
        if first := first_line.get(row[:2]):
            raise UserError(
                f"{path}: line {number}: frame {row[0]:.0f} has id {row[1]:.0f} already in line {first}; "
                "expected every id at most once per frame."
            )
        first_line[row[:2]] = number
        rows.append((*row, number))
    values = np.array(rows, float).reshape(-1, 10)
    x, y, w, h = values[:, 2:6].T
    table = true_rows(values[:, 0] - 1, values[:, 1], x, y, x + w, y + h, values[:, 6] != 0, values[:, 7])
    return MotText(path, table, values[:, 9].astype(int), values[:, 8], labels)


def true_rows(*columns: np.ndarray) -> pd.DataFrame:
    """The columns of `read_mot`, (N,) each and in its order, as its table."""
    types = ("int32", "int32", "float32", "float32", "float32", "float32", "bool", "float32")
    return pd.DataFrame({c: v.astype(t) for c, v, t in zip(COLUMNS, columns, types, strict=True)})


def sound_numbers(whole: Sequence[float], sides: Sequence[float]) -> bool:
    """Whether the numbers that count something can stand in a table, and those of a box can be of a picture."""
    return all(0 <= v <= LARGEST and v == int(v) for v in whole) and all(abs(v) <= FARTHEST_PX for v in sides)


def as_mot(*columns: pd.Series | np.ndarray, visibility: np.ndarray | None = None) -> pd.DataFrame:
    """Rows of `read_mot` from id, frame (from nought), x1, y1, x2, y2, all (N,)."""
    person, frame, x1, y1, x2, y2 = (np.asarray(c, float) for c in columns)
    seen = np.ones(len(frame)) if visibility is None else visibility
    table = true_rows(frame, person, x1, y1, x2, y2, np.ones(len(frame)), seen)
    return table.sort_values(["frame", "id"], kind="stable").reset_index(drop=True)


def _parse(path: Path, number: int, line: str, always_class: bool) -> tuple[float, ...]:
    """frame (one-based), id, x, y, w, h, flag, visibility, class (NaN where none is given) of one line.

    Args:
        always_class: column 8 is one even in lines as long as MOT15's.
    """

    def wrong(what: str) -> UserError:
        return UserError(
            f"{path}: line {number}: {what}; expected {_EXPECTED} with frames from 1, found {shown(line.strip())}."
        )

    fields = line.rstrip().rstrip(",").split(",")
    if len(fields) < 6:
        raise wrong(
            f"{len(fields)} field{'s' * (len(fields) != 1)} separated by commas, at least 6 are needed"
            + (" (put commas in place of the semicolons)" if ";" in line else "")
        )
    try:
        values = [float(f) for f in fields]
    except ValueError:
        raise wrong("a field is not a number") from None
    if not all(math.isfinite(v) for v in values):
        raise wrong("a field is not a finite number")
    frame, identity, x, y, w, h = values[:6]
    if not 1 <= frame <= LARGEST or frame != int(frame):
        raise wrong(f"the frame is not a whole number from 1 to {LARGEST}")
    if not -1 <= identity <= LARGEST or identity != int(identity):
        raise wrong(f"the id is not a whole number up to {LARGEST}")
    flag = values[6] if len(values) > 6 else 1.0
    if flag and identity < 0:
        raise wrong("a box that counts has a negative id")
    if max(abs(x), abs(y), abs(x + w), abs(y + h)) > FARTHEST_PX:
        raise wrong("the box lies more than a million pixels away")
    # A float32 corner must stay apart from its opposite: manifests forbid empty boxes.
    if flag and not (np.float32(x) < np.float32(x + w) and np.float32(y) < np.float32(y + h)):
        raise wrong("width and height are not above 0")
    # MOT15 files have ten fields, the last three of them world coordinates.
    visibility = values[8] if len(values) == 9 else 1.0
    if not 0 <= visibility <= 1:
        if len(values) == 9 and visibility != -1:
            raise wrong("the visibility is not between 0 and 1")
        visibility = 1.0
    has_class = len(values) in (8, 9) or (always_class and len(values) > 9)
    kind = values[7] if has_class and values[7] != -1 else math.nan
    return frame, identity, x, y, w, h, flag, visibility, kind


def find_mot(source: Path, videos: pd.DataFrame, word: str = "GROUND_TRUTH") -> dict[str, Path]:
    """The truth file of each video: ``video_id`` → path; videos without one are left out.

    Args:
        source: one file (where there is one video), or a folder that holds ``<video_id>.txt``, ``<file stem>.txt``,
            ``<file stem>/gt/gt.txt`` or, where there is one video, ``gt.txt``; or the same below the folders that the video
            lies in, as ``S01/c001/gt/gt.txt`` for ``S01/c001/vdo.mp4`` (`of_folder`); or CVAT's XML in place of such a text.
        videos: columns video_id, path.
        word: of the command line, for the messages.

    Raises:
        UserError: no video has a file, a single file was given for several videos, or one file serves two videos.
    """
    if source.is_file():
        if len(videos) != 1:
            raise UserError(
                f"{word}={source}: one file, but there are {len(videos)} videos; "
                "name a folder with one <video_id>.txt or <file stem>.txt per video."
            )
        return {str(videos.video_id.iloc[0]): source}
    found: dict[str, Path] = {}
    owner: dict[Path, str] = {}
    alone = alone_in_folder([Path(path) for path in videos.path])
    for video_id, video in sorted(zip(videos.video_id, videos.path, strict=True)):
        names = [f"{video_id}.txt", *of_stem(stem := stem_of(Path(video))), f"{video_id}.xml", f"{stem}.xml"]
        if len(videos) == 1:
            names += _SOLE
        names += of_folder(Path(video), Path(video).parent in alone)
        path = first_file(source, names)
        if path is None:
            continue
        if path in owner:
            raise UserError(
                f"{path}: two videos, '{owner[path]}' and '{video_id}', would share this one file; "
                f"name the files after the videos: {video_id}.txt."
            )
        found[video_id], owner[path] = path, video_id
    if not found and len(videos):
        example = sorted(videos.video_id)[0]
        raise UserError(
            f"{word}={source}: nothing for any video; expected MOT text files such as {example}.txt, or CVAT's XML."
        )
    return found


_SOLE = ["gt.txt", "gt/gt.txt", "annotations.xml"]  # where there is one video


def candidates(source: Path, videos: Sequence[Path]) -> list[Path]:
    """The files below a folder that `find_mot` may take for one of the videos, before anybody knows their video_id."""
    alone = alone_in_folder(videos)
    found: set[Path] = set()
    for video in videos:
        stem = stem_of(video)
        names = [*of_stem(stem), f"{stem}.xml", *(_SOLE if len(videos) == 1 else [])]
        path = first_file(source, [*names, *of_folder(video, video.parent in alone)])
        found |= {path} if path else set()
    stems = {stem_of(video) for video in videos}
    for name in sorted(os.listdir(source)):
        text, suffix = os.path.splitext(name)
        if suffix in (".txt", ".xml") and _may_be_id(text, stems) and os.path.isfile(source / name):
            found.add(source / name)
    return sorted(found)


def _may_be_id(name: str, stems: Collection[str]) -> bool:
    """Whether a video may be called so: camera and start, or camera and stem, and a number where that is taken."""
    plain = re.sub(r"-\d+$", "", name)
    if re.search(r"_\d{8}T\d{6}Z$", plain):
        return True
    return any(plain[cut.end() :] in stems for cut in re.finditer(r"^|_", plain))


def stem_of(video: Path) -> str:
    """What a recording is called without its ending."""
    return video.stem if not os.path.isdir(video) else video.name


def of_stem(stem: str) -> list[str]:
    """Names of truth for a recording, by its own."""
    return [f"{stem}.txt", f"{stem}/gt/gt.txt"]


def alone_in_folder(videos: Sequence[Path]) -> set[Path]:
    """The folders that hold one of the videos only."""
    return {folder for folder, n in Counter(video.parent for video in videos).items() if n == 1}


def of_folder(video: Path, alone: bool) -> list[str]:
    """Names of truth for a recording by the folders it lies in, the longest end of its path first.

    Args:
        alone: it is its folder's only one, so that what belongs to the folder belongs to it.
    """
    stem, names = stem_of(video), []
    folders = video.parent.parts[1:]
    for k in range(len(folders)):
        below = "/".join(folders[k:])
        names += [f"{below}/{stem}.txt", f"{below}/{stem}.xml"]
        if alone:
            names += [f"{below}/gt/gt.txt", f"{below}/gt.txt", f"{below}.txt"]
            names += [f"{below}/annotations.xml", f"{below}.xml"]
    return names


def first_file(source: Path, names: Sequence[str]) -> Path | None:
    """The first that is there."""
    # os.path, since a name longer than any there is just is not there.
    return next((source / n for n in names if os.path.isfile(source / n)), None)


def write_mot(path: Path, rows: pd.DataFrame) -> None:
    """Write tracking results: ``frame,id,x,y,w,h,score,-1,-1,-1``, sorted by frame and id, frames from one.

    Args:
        rows: frame (zero-based), id, x1, y1, x2, y2 (px), score (optional, 1 where absent).
    """
    rows = rows.sort_values(["frame", "id"], kind="stable")
    score = rows.score if "score" in rows else pd.Series(1.0, index=rows.index)
    with path.open("w", encoding="ascii", newline="\n") as file:
        for f, i, x1, y1, x2, y2, s in zip(
            rows.frame, rows.id, rows.x1, rows.y1, rows.x2, rows.y2, score, strict=True
        ):
            file.write(
                f"{int(f) + 1},{int(i)},{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},{s:.4f},-1,-1,-1\n"
            )
