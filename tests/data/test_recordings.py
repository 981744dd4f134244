"""Our reader on recordings that are broken as real ones are: every decodable frame, at its true time, as it was filmed.

What is decodable is what a decoder fed packet by packet brings back, so that damage costs us nothing more. Where no reader
could know the time (how much is missing before the start of a stream), the recording's clock counts from the first frame.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.recordings import Seen, fault, look, numbers, ours, packets, time_error_ms
from data.video import UnreadableVideo, probe, read_frames
from tests import broken_videos as broken
from tests.broken_videos import Recording, Shown

HALF_A_FRAME_MS = 20.0

# What has to be told of a file. Those that decode whole, with their own times, are told nothing of.
SAID = {
    "stripped_stamps": "120 timestamps missing",
    "clock_restart": "75 timestamps missing or backward",
    "shifted_stamps": "8 timestamps missing or backward",
    "wild_stamps": "2 timestamps missing or backward",
    "truncated_fragments": "packets failed to decode",
    "flipped_mp4": "frames decoded with errors",
    "flipped_mkv": "frames decoded with errors",
    "flipped_ts": "frames decoded with errors",
    "damaged_start_mp4": "packets failed to decode",
    "wide_pixels": "pixels 1.45 as wide as high",
    "interlaced": "interlaced",
    "resized": "100 frames of another size",
}
SOUND = {"plain", "variable_rate", "rotated", "grey_tail", "names", "newline_name", "latin1_name"}
UNREADABLE = {"empty_file": "empty file", "text_file": "Invalid data", "sound_only": "no video stream"}


@dataclass(frozen=True)
class Reading:
    """What our reader made of a recording."""

    name: str
    recording: Recording
    seen: list[Seen]
    notes: str
    refused: str


@pytest.fixture(scope="module", params=broken.ALL, ids=lambda make: make.__name__)
def reading(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reading:
    make: Callable[[Path], Recording] = request.param
    recording = make(tmp_path_factory.mktemp("videos"))
    if len(recording.files) > 1 and recording.clock != "files":
        # Only the names say when each file began, so this is for `ingest`.
        seen = [look(handed) for handed in ours(recording, tmp_path_factory.mktemp("run"))]
        return Reading(make.__name__, recording, seen, "", "")
    read = [read_file(number, path) for number, path in enumerate(recording.files)]
    seen = [s for frames, _, _ in read for s in frames]
    return Reading(make.__name__, recording, seen, "".join(r[1] for r in read), "".join(r[2] for r in read))


def read_file(number: int, path: Path) -> tuple[list[Seen], str, str]:
    """(frames with their time since the start of the recording, note, why it cannot be read)"""
    try:
        facts = probe(path)
        frames = [look((number, f.rgb(), (facts.lead_s + f.media_time_s,))) for f in read_frames(path)]
    except UnreadableVideo as error:
        assert error.path == path
        return [], "", error.reason
    assert facts.frames == len(frames)
    return frames, facts.note, ""


def test_every_decodable_frame_comes_in_order(reading: Reading, tmp_path: Path) -> None:
    decodable = numbers(reading.recording, [look(handed) for handed in packets(reading.recording, tmp_path)])
    found = [s.number for s in reading.seen if s.number is not None]
    assert decodable - set(found) == set()
    assert set(found) <= set(reading.recording.shown), "frames that nobody filmed"
    assert found == sorted(found)


def test_every_frame_has_its_true_time(reading: Reading) -> None:
    times_s = [(s.file, s.times_s[0]) for s in reading.seen]
    assert all(a < b for a, b in pairwise(times_s))
    error_ms = time_error_ms(reading.recording, reading.seen)
    assert error_ms is None or error_ms < HALF_A_FRAME_MS


def test_pictures_are_as_filmed(reading: Reading) -> None:
    assert fault(reading.recording, reading.seen) == ""


def test_what_was_wrong_is_told(reading: Reading) -> None:
    assert SAID.get(reading.name, "") in reading.notes
    assert not (reading.name in SOUND and reading.notes)
    assert UNREADABLE.get(reading.name, "") in reading.refused
    assert bool(reading.refused) == (reading.name in UNREADABLE)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "264"])
def test_random_damage_costs_no_decodable_frame(suffix: str, tmp_path: Path) -> None:
    """Also at the very end, where a decoder with several threads keeps its last error to itself."""
    path = broken.film(tmp_path / f"whole.{suffix}", range(100))
    whole = path.read_bytes()
    recording = Recording("", (path,), broken.evenly(range(100)))
    lost = {}
    for seed in range(40):
        rng = np.random.default_rng(seed)
        path.write_bytes(whole)
        begin = rng.uniform(0.02, 0.97)
        broken.flip(
            path, begin, min(begin + rng.choice([0.005, 0.02, 0.1]), 1), int(rng.choice([3, 40])), seed
        )
        if rng.random() < 0.3:
            broken.cut(path, rng.uniform(0.5, 1))
        decodable = numbers(recording, [look(handed) for handed in packets(recording, tmp_path)])
        if missing := decodable - numbers(recording, read_file(0, path)[0]):
            lost[seed] = sorted(missing)
    assert lost == {}


def test_numbers_are_read_from_pictures_and_only_from_upright_whole_ones() -> None:
    pictures = {n: broken.draw(n) for n in range(0, 1024, 7)}
    assert [broken.number_of(p) for p in pictures.values()] == list(pictures)
    assert broken.number_of(broken.draw(700, (96, 64))) == 700
    for turns in (1, 2, 3):
        turned = {broken.number_and_turns(np.rot90(p, -turns)) for p in pictures.values()}
        assert turned == {(n, turns) for n in pictures}
    mixed = np.concatenate([pictures[7][:64], pictures[14][64:]])
    empty = np.full((128, 192, 3), 90, np.uint8)
    assert broken.number_and_turns(mixed) == broken.number_and_turns(empty) == (None, 0)
    fields = broken.draw(3, interlaced=True)
    assert broken.combed_px(fields) > 2 and broken.combed_px(pictures[7]) == 0
    assert broken.is_grey(broken.draw(3, grey=True)) and not broken.is_grey(pictures[7])


def test_time_error_is_the_largest_of_the_better_clock() -> None:
    recording = Recording("", (), {n: Shown(n / 10, 1, 1) for n in range(4)})

    def seen(number: int | None, *times_s: float) -> Seen:
        return Seen(0, number, times_s, 0, 1, 1, False, False)

    shifted = [seen(1, 5.0, 0.0), seen(None, 5.1, 0.0), seen(2, 5.1, 0.5), seen(3, 5.23, 0.6)]
    assert time_error_ms(recording, shifted) == pytest.approx(30)
    concealed = seen(3, 9.0, 9.0)
    assert time_error_ms(recording, [*shifted, concealed]) == pytest.approx(30)
    assert time_error_ms(recording, [seen(None, 0.0)]) is None
