"""What readers make of broken recordings: ultralytics, OpenCV and ours on files made here, each frame numbered in its picture.

    make bench NAME=recordings

Each reader goes through each recording in a process of its own: a crash, a hang and an exception are outcomes. Frames
count where their number can be read, so that concealed and mixed pictures do not; decodable is what any of the three or
a decoder fed packet by packet brings back. ultralytics is driven as its `predict` drives it, and its time is frames / fps,
running on over the files of a folder; for OpenCV the better of that and CAP_PROP_POS_MSEC is taken; ours is what `ingest`
and `data.video` make of the folder. The rows of the design's table that are no reader's matter (skewed clocks, overlapping
views, posters, crowds, hours, ten thousand files) have their tests in tests/camera_topology, tests/stages,
tests/data/test_videos_spec.py and `make bench NAME=memory`.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.result import finish, machine
from tests import broken_videos as broken
from tests.broken_videos import Picture, Recording

TIMEOUT_S = 60
SILENT = "0, silently"
# Loaded once, before the processes are forked off: torch alone takes seconds.
PRELOAD = ["__main__", "ultralytics.data.loaders", "stages.ingest", "data.video", "pandas", "cv2", "av"]

# One frame handed on: which file it is of, its RGB picture, and its time in s, in more than one way if the reader has more.
Handed = tuple[int, Picture, tuple[float, ...]]


@dataclass(frozen=True)
class Seen:
    """What a frame's picture tells: its number (None: damaged), and whether it looks as filmed."""

    file: int
    number: int | None
    times_s: tuple[float, ...]
    turns: int
    width: int
    height: int
    combed: bool
    grey: bool


@dataclass(frozen=True)
class Outcome:
    """code: exit code, negative for a signal, None for a reader that never ended. said: what it told, '' nothing."""

    seen: list[Seen]
    code: int | None
    said: str


def main() -> None:
    facts = machine()
    rows: list[dict[str, Any]] = []
    ours_ms = []
    with tempfile.TemporaryDirectory() as scratch:
        for make in broken.ALL:
            folder = Path(scratch, make.__name__)
            folder.mkdir()
            recording = make(folder)
            print(recording.row, file=sys.stderr, flush=True)
            outcomes = {name: run(name, recording, Path(scratch)) for name in READERS}
            rows.append(row_of(recording, outcomes))
            ours_ms.append(time_error_ms(recording, outcomes["ours"].seen) or 0.0)
    values: dict[str, Any] = {
        "ours_lost_decodable": sum(row["decodable"] - row["ours"] for row in rows),
        "ours_worst_time_error_ms": max(ours_ms),
        "ours_rows_off_by_half_a_frame": sum(ms >= 20 for ms in ours_ms),
    }
    for name in SHOWN:
        losing = [row for row in rows if row[name] < row["decodable"]]
        values[f"{name.lower()}_rows_with_frames_lost"] = len(losing)
        values[f"{name.lower()}_rows_with_frames_lost_silently"] = sum(
            row[f"{name}: exit"] == SILENT for row in losing
        )
    finish("recordings", values, rows, facts)


def row_of(recording: Recording, outcomes: dict[str, Outcome]) -> dict[str, Any]:
    found = {name: numbers(recording, outcome.seen) for name, outcome in outcomes.items()}
    decodable = len(set().union(*found.values()))
    row: dict[str, Any] = {"recording": recording.row, "filmed": len(recording.shown), "decodable": decodable}
    for name in SHOWN:
        outcome = outcomes[name]
        ms = time_error_ms(recording, outcome.seen)
        row[name] = len(found[name])
        row[f"{name}: ms off"] = "–" if ms is None else round(ms)
        row[f"{name}: exit"] = exit_of(outcome, len(found[name]) < decodable or not recording.shown)
    faults = {name: fault(recording, outcomes[name].seen) or "right" for name in SHOWN if found[name]}
    row["picture"] = ", ".join(f"{name} {how}" for name, how in faults.items()) if recording.point else ""
    return row


def exit_of(outcome: Outcome, failed: bool) -> str:
    """Exit code and what was said; of a reader that failed and told nobody, that it did."""
    code = "hangs" if outcome.code is None else str(outcome.code)
    if outcome.said:
        return f"{code}: {outcome.said}"
    return SILENT if failed and outcome.code == 0 else code


# --- what a reader's frames are worth --------------------------------------------------------------------------------


def look(handed: Handed) -> Seen:
    file, picture, times_s = handed
    number, turns = broken.number_and_turns(picture)
    upright = np.rot90(picture, turns)
    return Seen(
        file, number, times_s, turns, picture.shape[1], picture.shape[0], broken.combed_px(upright) > 2, broken.is_grey(upright),
    )  # fmt: skip


def numbers(recording: Recording, seen: Sequence[Seen]) -> set[int]:
    """The filmed frames that can be told in what was handed on."""
    return {s.number for s in seen if s.number is not None} & set(recording.shown)


def time_error_ms(recording: Recording, seen: Sequence[Seen]) -> float | None:
    """Largest distance from the true time by the best of the reader's clocks, ms; None where no frame was told.

    A number that comes again is a damaged picture concealed with an earlier one, and counts once.
    """
    first: dict[int | None, Seen] = {}
    for s in seen:
        first.setdefault(s.number, s)
    told = [s for n, s in first.items() if n in recording.shown and s.times_s]
    if not told:
        return None
    clocks = range(len(told[0].times_s))
    return round(1000 * min(max(map(abs, _errors_s(recording, told, k))) for k in clocks), 1)


def _errors_s(recording: Recording, told: Sequence[Seen], clock: int) -> list[float]:
    zero: dict[int, float] = {}
    errors = []
    for s in told:
        error = s.times_s[clock] - recording.shown[s.number or 0].time_s
        if recording.clock != "start":
            error -= zero.setdefault(s.file if recording.clock == "files" else 0, error)
        errors.append(error)
    return errors


def fault(recording: Recording, seen: Sequence[Seen]) -> str:
    """What is wrong with the pictures by which frames were told; '' where they are as filmed."""
    told = [(s, recording.shown[s.number]) for s in seen if s.number in recording.shown]
    if any(s.turns for s, _ in told):
        return "on its side"
    if any(abs(s.width / s.height / (true.width / true.height) - 1) > 0.02 for s, true in told):
        return "squeezed"
    if any(s.combed for s, _ in told):
        return "combed"
    return "false colours" if any(s.grey != true.grey for s, true in told) else ""


# --- readers ---------------------------------------------------------------------------------------------------------


def ultralytics(recording: Recording, _: Path) -> Iterator[Handed]:
    """A folder of several files is given as a folder, which is how `predict` takes more than one video."""
    from ultralytics.data.loaders import LoadImagesAndVideos

    files = recording.files
    source = files[0].name if len(files) == 1 else "."
    loader = LoadImagesAndVideos(source, batch=1, vid_stride=1)
    time_s = 0.0
    for (path,), (picture,), _info in loader:
        yield files.index(Path(path)), picture[..., ::-1], (time_s,)
        time_s += 1 / loader.fps if loader.fps else 0.0


def opencv(recording: Recording, _: Path) -> Iterator[Handed]:
    import cv2

    begin_s, count_s = 0.0, 0.0
    for k, path in enumerate(recording.files):
        capture = cv2.VideoCapture(path.name)
        step_s = 1 / (capture.get(cv2.CAP_PROP_FPS) or 25)
        stamp_s = -step_s
        while True:
            good, picture = capture.read()
            if not good:
                break
            stamp_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            yield k, np.asarray(picture[..., ::-1], np.uint8), (begin_s + stamp_s, count_s)
            count_s += step_s
        begin_s += stamp_s + step_s


def ours(recording: Recording, work: Path) -> Iterator[Handed]:
    """`ingest` on the folder, as `make all` begins; the last word is the notes of its table.

    Raises:
        UserError: no file can be read.
    """
    from data.video import read_frames

    videos = ingested(recording.files[0].parent, work)
    for row in videos[videos.status == "ok"].itertuples():
        file = recording.files.index(Path(str(row.path)))
        for frame in read_frames(Path(str(row.path))):
            yield file, frame.rgb(), (row.t_start_us / 1e6 + frame.media_time_s * row.clock_scale,)
    notes = [note for note in videos.note if note]
    if notes:
        print(f"said: {'; '.join(notes)}", flush=True)


def ingested(folder: Path, work: Path) -> Any:
    """The VIDEOS table of a folder without a site file, in order of time.

    Raises:
        UserError: no file can be read.
    """
    from camera_topology.site import without_file
    from data.videos import expand_videos
    from pipeline import schema
    from pipeline.manifests import VIDEOS
    from pipeline.stage import Context
    from stages import ingest

    out = work / "ingest"
    out.mkdir(parents=True, exist_ok=True)
    context = Context(
        settings=ingest.IngestConfig.model_validate({}), run_dir=work, out=out, seed=0, device="cpu",
        sources={"videos": expand_videos(str(folder)), "site": without_file([])},
        inputs={}, outputs={"videos": VIDEOS}, shard_key_parts={"stage": "ingest"},
    )  # fmt: skip
    ingest.run(context)
    return schema.read(VIDEOS, out / VIDEOS.file).sort_values(["t_start_us", "video_id"], ignore_index=True)


def packets(recording: Recording, _: Path) -> Iterator[Handed]:
    """Every packet given to one decoder on one thread, with damaged pictures handed out: what can be had at most."""
    import av
    from av.codec.context import Flags

    for k, path in enumerate(recording.files):
        with path.open("rb") as handle:
            try:
                container = av.open(handle, "r")
                stream = container.streams.video[0]
            except (av.FFmpegError, OSError, IndexError):
                continue
            stream.thread_type = "NONE"
            stream.codec_context.flags |= Flags.output_corrupt
            for packet in demuxed(container, stream):
                try:
                    frames = stream.decode(packet)
                except av.FFmpegError:
                    continue
                for frame in frames:
                    yield k, np.asarray(frame.to_ndarray(format="rgb24"), np.uint8), ()


def demuxed(container: Any, stream: Any) -> Iterator[Any]:
    """Packets to the end of the file, over errors; then None, which makes a decoder give what it holds."""
    from av.error import EOFError, FFmpegError

    for _ in range(50):
        try:
            yield from container.demux(stream)
            break
        except (EOFError, IndexError):  # IndexError: PyAV, where damage invented a new stream
            break
        except FFmpegError:  # that generator is spent; the container behind it stands at the next packet
            continue
    yield None


SHOWN = ("ultralytics", "OpenCV", "ours")
READERS: dict[str, Callable[[Recording, Path], Iterator[Handed]]] = {
    "ultralytics": ultralytics, "OpenCV": opencv, "ours": ours, "packets": packets,
}  # fmt: skip


# --- one process each ------------------------------------------------------------------------------------------------


def run(name: str, recording: Recording, scratch: Path) -> Outcome:
    """A reader on a recording, in a process of its own that may crash, hang or give up."""
    work = Path(tempfile.mkdtemp(dir=scratch))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    process = context.Process(target=watch, args=(name, recording, work))
    process.start()
    process.join(TIMEOUT_S)
    hangs = process.is_alive()
    if hangs:
        process.kill()
        process.join()
    lines = (work / "seen.jsonl").read_text(encoding="utf-8").splitlines()
    seen = [Seen(**{**facts, "times_s": tuple(facts["times_s"])}) for facts in map(json.loads, lines)]
    said = (work / "said.txt").read_text(encoding="utf-8", errors="replace")
    return Outcome(
        seen, None if hangs else process.exitcode, last_words(said, name, recording.files[0].parent)
    )


def watch(name: str, recording: Recording, work: Path) -> None:
    """In the reader's process: what it hands on goes to seen.jsonl, what it says to said.txt."""
    from pipeline.errors import UserError

    said = os.open(work / "said.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    os.chdir(recording.files[0].parent)
    with (work / "seen.jsonl").open("w", encoding="utf-8", buffering=1) as out:
        try:
            for handed in READERS[name](recording, work):
                out.write(json.dumps(vars(look(handed))) + "\n")
        except UserError as error:  # as pipeline.__main__ ends
            print(f"said: {error}", flush=True)
            sys.exit(2)


def last_words(text: str, name: str, folder: Path) -> str:
    """One short line of what a reader said: its exception, else its first; of ours the notes, not the inventory."""
    lines = [line.strip() for line in text.replace(f"{folder}/", "").splitlines() if line.strip()]
    raised = [line for line in lines if re.match(r"[\w.]+(Error|Exception)\b", line)]
    if name == "ours" and not raised:
        lines = [line.removeprefix("said: ") for line in lines if line.startswith("said: ")]
    words = next(iter([*raised[-1:], *lines]), "")
    return re.sub(r"\(?(0x[0-9a-f]+|\d{8,})\)?", "…", words).replace("|", "/")[:110]


if __name__ == "__main__":
    main()
