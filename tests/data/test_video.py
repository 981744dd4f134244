from collections import Counter
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.video import BAD_PACKETS, REPAIRED_TIMES, UnreadableVideo, probe, read_frames, repair_times

TIME_BASE = 1000  # ticks per second


def write(path: Path, times_ms: list[int], size: tuple[int, int] = (96, 64), codec: str = "mpeg4") -> Path:
    """Frame i is a grey picture of level 10 + i (mod 200) shown at times_ms[i]."""
    from fractions import Fraction

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, TIME_BASE)
        stream.gop_size = 5
        for i, t in enumerate(times_ms):
            grey = np.full((size[1], size[0], 3), 10 + i % 200, np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts, frame.time_base = t, Fraction(1, TIME_BASE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_irregular_times_are_the_files_own(tmp_path: Path) -> None:
    times = [0, 100, 250, 300, 900, 1000, 1010]
    path = write(tmp_path / "irregular.mkv", times)
    frames = list(read_frames(path))
    assert [f.index for f in frames] == list(range(7))
    assert [round(f.media_time_s * 1000) for f in frames] == times
    assert [round(float(f.rgb().mean())) for f in frames] == pytest.approx([10 + i for i in range(7)], abs=2)
    facts = probe(path)
    assert (facts.frames, facts.width, facts.height, facts.note) == (7, 96, 64, "")
    assert facts.duration_s == pytest.approx(1.01)
    assert facts.fps == pytest.approx(6 / 1.01)
    assert facts.stamped_fps == pytest.approx(10, rel=0.01)


def test_rgb_stays_right_after_the_reader_went_on(tmp_path: Path) -> None:
    frames = list(read_frames(write(tmp_path / "a.mp4", [100 * i for i in range(30)])))
    assert float(frames[3].rgb().mean()) == pytest.approx(13, abs=2)
    assert frames[3].rgb().shape == (64, 96, 3) and frames[3].rgb().dtype == np.uint8


def test_damage_in_the_middle_costs_frames_and_no_time(tmp_path: Path) -> None:
    """Noise pictures, so that packets are large and flipped bytes surely break some."""
    path = tmp_path / "noise.mkv"
    random = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        for _ in range(60):
            noise = random.integers(0, 255, (96, 128, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        container.mux(stream.encode(None))
    whole = list(read_frames(path))
    data = bytearray(path.read_bytes())
    third = len(data) // 3
    data[third : third + len(data) // 10] = bytes(len(data) // 10)
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(data)

    def seen() -> tuple[list[float], list[int], Counter[str]]:
        tally: Counter[str] = Counter()
        frames = list(read_frames(damaged, tally))
        return [f.media_time_s for f in frames], [int(f.rgb().astype(int).sum()) for f in frames], tally

    times, sums, tally = seen()
    assert len(whole) == 60
    assert 30 < len(times) <= 60
    assert times[-1] == pytest.approx(whole[-1].media_time_s, abs=0.11)
    assert (np.diff(times) > 0).all()
    assert seen() == (times, sums, tally)
    assert tally.total() > 0 or len(times) < 60


@pytest.mark.parametrize("content", [b"", b"hello, this is no video", bytes(5000)])
def test_no_video_is_unreadable(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken: 08:00 é.mp4"
    path.write_bytes(content)
    with pytest.raises(UnreadableVideo) as caught:
        probe(path)
    assert caught.value.path == path and caught.value.reason


def test_truncated_mp4_is_unreadable_and_truncated_mkv_is_shorter(tmp_path: Path) -> None:
    times = [100 * i for i in range(100)]
    for suffix in ("mp4", "mkv"):
        path = write(tmp_path / f"a.{suffix}", times)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableVideo):
        list(read_frames(tmp_path / "a.mp4"))
    assert 20 < len(list(read_frames(tmp_path / "a.mkv"))) < 100


def test_missing_file_and_no_video_stream(tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideo):
        list(read_frames(tmp_path / "absent.mp4"))
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        silence.rate = 8000
        container.mux(stream.encode(silence))
        container.mux(stream.encode(None))
    with pytest.raises(UnreadableVideo, match="no video stream"):
        probe(sound)


def repaired(raw: list[float | None], step: float = 1.0) -> list[float]:
    return [round(t, 6) for t, _ in repair_times(raw, step)]


@pytest.mark.parametrize(
    "raw, expected",
    [
        ([0.0, 1.0, 2.0], [0, 1, 2]),
        ([0.0, None, 2.0], [0, 1, 2]),
        ([0.0, 1.0, 1.0, 2.0], [0, 1, 1.5, 2]),  # a doubled stamp delays nothing after it
        ([0.0, 1.0, 0.5, 3.0], [0, 1, 2, 3]),  # one frame behind
        ([0.0, 1.0, 900.0, 3.0], [0, 1, 2, 3]),  # one frame far ahead
        ([0.0, 1.0, 900.0, 901.0], [0, 1, 900, 901]),  # a pause of the recording
        ([50.0, 51.0, 0.0, 2.0, 4.0], [50, 51, 52, 54, 56]),  # the clock starts again
        ([None, 5.0, 6.0], [4, 5, 6]),
        ([None, None, None], [0, 1, 2]),
        ([], []),
    ],
)
def test_repair(raw: list[float | None], expected: list[float]) -> None:
    assert repaired(raw) == expected


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e4).map(lambda x: round(x, 3))), max_size=40))
def test_repaired_times_always_move_forward(raw: list[float | None]) -> None:
    out = list(repair_times(raw, 0.04))
    assert len(out) == len(raw)
    assert all(a < b for (a, _), (b, _) in pairwise(out))


@given(st.lists(st.floats(0.001, 10), max_size=30))
def test_good_times_are_left_alone(steps: list[float]) -> None:
    times = [float(t) for t in np.cumsum([0.0, *steps])]
    assert list(repair_times(times, 0.04)) == [(t, False) for t in times]


def test_a_stream_without_stamps_counts_on(tmp_path: Path) -> None:
    path = write(tmp_path / "raw.m4v", [100 * i for i in range(10)])
    tally: Counter[str] = Counter()
    times = [f.media_time_s for f in read_frames(path, tally)]
    assert len(times) == 10 and times[0] == 0 and (np.diff(times) > 0).all()
    assert tally[BAD_PACKETS] == 0


@pytest.mark.footage
def test_the_real_footage_decodes_to_its_end(footage: Path) -> None:
    facts = probe(footage / "pets09-s2l1" / "vtest.mp4")
    assert (facts.frames, facts.width, facts.height) == (795, 480, 360)
    assert facts.fps == pytest.approx(10)
    tally: Counter[str] = Counter()
    drone = list(read_frames(footage / "drones-four-views" / "cam1-source.webm", tally))
    assert len(drone) == 150 and tally[REPAIRED_TIMES] == 0
    assert drone[0].rgb().shape == (540, 960, 3)


@pytest.mark.parametrize("start_s", [3, 600, 86400])
def test_matroska_segments_whose_stamps_go_on_are_whole(tmp_path: Path, start_s: int) -> None:
    path = write(tmp_path / "a.mkv", [1000 * start_s + 100 * i for i in range(50)])
    facts = probe(path)
    assert (facts.frames, facts.whole, facts.note, facts.lead_s) == (50, True, "", 0)
    assert facts.duration_s == pytest.approx(4.9)


def two_streams(path: Path, sizes: list[tuple[int, int]], default: list[bool], counts: list[int]) -> Path:
    from av.stream import Disposition

    with av.open(str(path), "w") as container:
        streams = []
        for (width, height), flag in zip(sizes, default, strict=True):
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.disposition = Disposition.default if flag else Disposition(0)
            streams.append(stream)
        for stream, count in zip(streams, counts, strict=True):
            for _ in range(count):
                grey = np.full((stream.height, stream.width, 3), 90, np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("sizes", "default", "counts", "width"),
    [
        ([(64, 48), (128, 96)], [True, True], [20, 20], 128),
        ([(128, 96), (64, 48)], [True, True], [20, 20], 128),
        ([(128, 96), (64, 48)], [False, True], [20, 20], 64),
    ],
)
def test_the_default_and_then_the_largest_stream_is_the_recording(
    tmp_path: Path, sizes: list[tuple[int, int]], default: list[bool], counts: list[int], width: int
) -> None:
    facts = probe(two_streams(tmp_path / "a.mkv", sizes, default, counts))
    assert (facts.width, facts.frames) == (width, 20)


CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


@pytest.mark.footage
def test_cases_of_containers() -> None:
    if not CASES.is_dir():
        pytest.skip(f"no cases at {CASES}")
    (cover,) = (CASES / "12-video-cover-art-first" / "videos").glob("*.mp4")
    facts = probe(cover)
    assert (facts.frames, facts.width, facts.height, facts.whole) == (100, 640, 384, True)
    assert all(probe(path).whole for path in (CASES / "14-video-stamps-go-on" / "videos").glob("*.mkv"))
