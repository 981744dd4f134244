"""A published benchmark as tables: its tracklets, their pictures, and who is looked for among whom.

Every reader of this folder turns the files of one benchmark, as its authors hand them out, into `Seen` rows and
lets `tables` make a `Benchmark` of them. An image benchmark is one of tracklets of a single frame.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.errors import UserError, closest, is_text, shown

DAY_US = 86_400_000_000
# A pid of -1 is junk: neither right nor wrong, left out of every gallery.
DISTRACTOR = 0  # a pid that nobody asks for; it stays in the gallery

# Name → the reader, and how many trials (random halves) its figures are the mean of.
DATASETS = {
    "mars": ("data.datasets.mars:read", 1),
    "prid2011": ("data.datasets.prid2011:read", 10),
    "prid2011-wild": ("data.datasets.prid2011:read_wild", 10),
    "ilids-vid": ("data.datasets.ilids_vid:read", 10),
    "ilids-vid-wild": ("data.datasets.ilids_vid:read_wild", 10),
    "market1501": ("data.datasets.market1501:read", 1),
    "market-half": ("data.datasets.market1501:read_half", 10),
    "msmt17": ("data.datasets.msmt17:read", 1),
    "dukemtmc-reid": ("data.datasets.dukemtmc:read_images", 1),
    "dukemtmc-reid-tracklets": ("data.datasets.dukemtmc:read_tracklets", 1),
    "dukemtmc-videoreid": ("data.datasets.dukemtmc:read_video", 1),
    "campus4k": ("data.datasets.campus4k:read", 1),
    "ls-vid": ("data.datasets.ls_vid:read", 1),
}
# NAME@r_FM_r_SW: the training part made as bad as a tracker's, see `data.datasets.noise`.
NOISY = re.compile(r"(\d+(?:\.\d+)?)_(\d+(?:\.\d+)?)")
SYNCHRONOUS = ("dukemtmc-reid", "dukemtmc-reid-tracklets", "campus4k")  # times of two cameras compare


class Seen(NamedTuple):
    """One tracklet of a benchmark.

    part: 'train' or 'test'. query, gallery: the roles of a test tracklet; it may have both.
    t_us: time of each picture, µs since the benchmark's own beginning; None where its authors give no times.
    """

    tracklet_id: str
    camera_id: str
    pid: int
    part: str
    query: bool
    gallery: bool
    paths: Sequence[Path]
    t_us: Sequence[int] | None = None


@dataclass(frozen=True)
class Benchmark:
    """What a reader returns.

    tracklets: tracklet_id, camera_id, pid, part, query, gallery, t_start_us, t_end_us; sorted by id.
    images: tracklet_id, frame, t_us, path; sorted by tracklet and time.
    timed: whether times are real. Where not, they are made up so that no two tracklets were ever seen at once.
    synchronous: whether times of two cameras compare.
    """

    tracklets: pd.DataFrame
    images: pd.DataFrame
    timed: bool
    synchronous: bool = False


def read(name: str, root: Path, trial: int = 0) -> Benchmark:
    """The benchmark ``name`` from the folder ``root``; ``trial`` chooses the random half where it has several.

    ``mars@1.7_1.2`` is MARS with training tracklets of those rates r_FM and r_SW.

    Raises:
        UserError: an unknown name or trial, files that are not there (says what was looked for), or rates that cannot be.
    """
    check(name, root, trial)
    clean, _, rates = name.partition("@")
    place, halves = DATASETS[clean]
    module, _, function = place.partition(":")
    reader: Callable[..., Iterable[Seen]] = getattr(importlib.import_module(module), function)
    seen = reader(root, trial) if halves > 1 else reader(root)
    if rates:
        from data.datasets.noise import noisy_rows

        r_fm, r_sw = map(float, rates.split("_"))
        try:
            seen = list(noisy_rows(seen, r_fm, r_sw))
        except ValueError as error:
            raise UserError(f"DATASET={name}: {error}.") from None
    found = tables(seen)
    t = found.tracklets
    for part, rows in (
        ("to train", t.part == "train"),
        ("that ask", t["query"]),
        ("in the gallery", t.gallery),
    ):
        if not rows.any():
            raise UserError(
                f"ROOT={root}: {name} has no pictures {part} there; is it unpacked whole, and is it {name}?"
            )
    return replace(found, synchronous=name in SYNCHRONOUS)


def trials(name: str) -> int:
    """How many random halves there are of it."""
    return DATASETS[name.partition("@")[0]][1]


def check(name: str, root: Path, trial: int) -> None:
    """Raise UserError for an unknown name or trial, or a folder that is not there; reads nothing."""
    clean, noisy, rates = name.partition("@")
    if clean not in DATASETS:
        raise UserError(f"DATASET={name}: no such benchmark. {closest(clean, list(DATASETS))}")
    if noisy and not NOISY.fullmatch(rates):
        raise UserError(f"DATASET={name}: behind @ stand r_FM and r_SW, as in {clean}@1.7_1.2.")
    if not 0 <= trial < trials(name):
        raise UserError(f"TRIAL={trial}: {name} has the trials 0 to {trials(name) - 1}.")
    if not root.is_dir():
        raise UserError(f"ROOT={root}: no such folder; name the one that {name} was unpacked to.")


def tables(rows: Iterable[Seen]) -> Benchmark:
    """Rows to tables. Tracklets without a picture are left out; times are real only if every row has them.

    Raises:
        UserError: a name or a number that no table can hold.
    """
    seen = sorted((row for row in rows if len(row.paths)), key=lambda row: row.tracklet_id)
    timed = bool(seen) and all(row.t_us is not None for row in seen)
    tracklets, images = [], []
    for number, row in enumerate(seen):
        times = (
            list(row.t_us or ()) if timed else [number * DAY_US + 40_000 * i for i in range(len(row.paths))]
        )
        _check(row, times)
        order = sorted(range(len(times)), key=lambda i: (times[i], i))
        tracklets.append((*row[:6], min(times), max(times)))
        images += [(row.tracklet_id, n, times[i], str(row.paths[i])) for n, i in enumerate(order)]
    columns = ["tracklet_id", "camera_id", "pid", "part", "query", "gallery", "t_start_us", "t_end_us"]
    return Benchmark(
        pd.DataFrame(tracklets, columns=columns).astype({"pid": "int32"}),
        pd.DataFrame(images, columns=["tracklet_id", "frame", "t_us", "path"]),
        timed,
    )


def _check(row: Seen, times: Sequence[int]) -> None:
    for name in (*map(str, row.paths), row.tracklet_id, row.camera_id):
        if not is_text(name):
            raise UserError(
                f"{name}: this name holds characters that are no text; rename it, or unpack the benchmark again."
            )
    if not -1 <= row.pid < 2**31 or not 0 <= min(times) <= max(times) < 2**62:
        raise UserError(
            f"{row.paths[0]}: person {row.pid} and time {max(times)} µs cannot be; look into its name and the lists."
        )


def single_frames(
    paths: Iterable[Path],
    named: Callable[[str], tuple[int, str, int | None] | None],
    part: str,
    *,
    query: bool = False,
    gallery: bool = False,
) -> Iterator[Seen]:
    """One row per picture. ``named``: file name → pid, camera and time; None where it is not a picture of the set."""
    for path in paths:
        found = named(path.name)
        if found is None:
            continue
        pid, camera, t_us = found
        times = None if t_us is None else [t_us]
        yield Seen(f"{part}/{path.parent.name}/{path.stem}", camera, pid, part, query, gallery, [path], times)


def bounding_boxes(
    root: Path, name: str, named: Callable[[str], tuple[int, str, int | None] | None]
) -> Iterator[Seen]:
    """The three folders of Market-1501 and of those made after it; ``named`` as for `single_frames`."""
    what = f"{name} has bounding_box_train, query and bounding_box_test"
    yield from single_frames(pictures(root / "bounding_box_train", what), named, "train")
    yield from single_frames(pictures(root / "query", what), named, "test", query=True)
    yield from single_frames(pictures(root / "bounding_box_test", what), named, "test", gallery=True)


def by_person_and_tracklet(
    root: Path, name: str, named: Callable[[Path], tuple[str, int | None] | None]
) -> Iterator[Seen]:
    """Folders train, query and gallery, in each a folder per person, in it one per tracklet, in it its frames.

    named: camera and time (µs, None where not known) of a frame; None for a file that is no frame. The camera is the first's.
    """
    what = f"{name} has train, query and gallery, by person and tracklet"
    for folder, part in (("train", "train"), ("query", "test"), ("gallery", "test")):
        for person in sorted(p for p in need_folder(root / folder, what).iterdir() if p.is_dir()):
            for tracklet in sorted(p for p in person.iterdir() if p.is_dir()):
                frames = [(p, found) for p in pictures(tracklet, what) if (found := named(p))]
                if frames:
                    times = [t for _, (_, t) in frames if t is not None]
                    yield Seen(
                        f"{part}/{folder}/{person.name}/{tracklet.name}", frames[0][1][0], number(person.name, person), part,
                        folder == "query", folder == "gallery", [p for p, _ in frames], times or None,
                    )  # fmt: skip


def across_two(
    cameras: tuple[str, str], camera: str, person: str, pid: int, part: str, paths: Sequence[Path]
) -> Seen:
    """A sequence of a set in which the first of two cameras asks and the second answers."""
    test = part == "test"
    asks, answers = test and camera == cameras[0], test and camera == cameras[1]
    return Seen(f"{part}/{camera}/{person}", camera, pid, part, asks, answers, paths)


def pictures(folder: Path, what: str) -> list[Path]:
    """Sorted JPEG and PNG files of a folder.

    Raises:
        UserError: the folder is not there.
    """
    return sorted(
        p for p in need_folder(folder, what).iterdir() if re.fullmatch(r"\.(jpe?g|png)", p.suffix.lower())
    )


def need(path: Path, what: str) -> Path:
    """The path itself.

    Raises:
        UserError: it is not there.
    """
    if not path.exists():
        raise UserError(f"{path}: not there; {what}.")
    return path


def need_folder(path: Path, what: str) -> Path:
    """The path itself.

    Raises:
        UserError: it is not there, or no folder.
    """
    if not need(path, what).is_dir():
        raise UserError(f"{path}: is a file, and a folder is wanted: {what}.")
    return path


def number(text: str, where: Path | str) -> int:
    """A person's number in a list or the name of a folder; ``where`` it stands is for the message.

    Raises:
        UserError: it is none.
    """
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        raise UserError(f"{where}: {shown(text)} is no number of a person; unpack the benchmark again.")
    return int(text)


def lines(path: Path, what: str) -> list[str]:
    """The lines of a list that are not empty.

    Raises:
        UserError: it is not there or no text.
    """
    try:
        return [line for line in need(path, what).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as a list ({error}); copy it again.") from None


def inside(folder: Path, name: str, where: Path | str) -> Path:
    """A file that a list names, below the folder it belongs to.

    Raises:
        UserError: the name leads out of the folder: a list that came with an archive has no business elsewhere.
    """
    if Path(name).is_absolute() or ".." in Path(name).parts or not is_text(name):
        raise UserError(
            f"{where}: names {shown(name)}, which is outside of {folder}; such a list is not followed, get it from its authors."
        )
    return folder / name


def matlab(path: Path, key: str, what: str, columns: int | None = None) -> npt.NDArray[np.int64]:
    """One table of whole numbers of a MATLAB file (before 7.3), (rows, columns).

    Raises:
        UserError: the file is not there, cannot be read, or has no such table.
    """
    from scipy.io import loadmat

    need(path, what)
    try:
        found = np.asarray(loadmat(path)[key], np.float64)
        if found.ndim != 2 or columns not in (None, found.shape[1]) or not (np.abs(found) < 2**31).all():
            raise ValueError(f"a table of shape {found.shape}, or numbers beyond all that is counted")
        return found.astype(np.int64)
    except Exception as error:  # scipy raises whatever it stumbles over
        raise UserError(
            f"{path}: cannot be read as a MATLAB file with '{key}' ({error}); copy it again."
        ) from None
