"""Recordings that are broken the way real ones are, made on the spot, each frame carrying its own number.

Above and below the picture lies a strip of 16 black and white blocks: white, ten bits of the number, a checksum of
four, white; the lower strip is the negative of the upper. Whatever reader decoded a picture, `number_of` tells which
frame it is, and what was concealed or mixed from two frames is told from what was filmed. Between the strips an orange
block moves over a noisy dark green ground. Every function makes one `Recording` in an empty folder.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.codec.context import Flags
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

SIZE = (192, 128)
FPS = 25
BLOCKS = 16
_SPEED_PX = 8  # a frame; half of it from field to field
_UNITY = b"".join(struct.pack(">i", v) for v in (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30))
_QUARTER = b"".join(struct.pack(">i", v) for v in (0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30))


@dataclass(frozen=True)
class Shown:
    """One filmed frame: when, and how its picture has to look.

    time_s: true time since the first frame of the recording, of its file where files have no clock in common.
    width, height: px, upright and with square pixels; only their ratio matters.
    """

    time_s: float
    width: int
    height: int
    grey: bool = False


@dataclass(frozen=True)
class Recording:
    """One camera's files and what is true of them.

    row: what is wrong with it.
    files: in order of time.
    shown: by the number in the picture.
    clock: what times are held against: 'first frame' (that the reader hands on), 'start' (of the recording) or
        'files' (each file's own first frame; nothing binds them).
    point: what about the picture is the row's point: 'upright', 'undistorted', 'progressive', 'colour' or ''.
    """

    row: str
    files: tuple[Path, ...]
    shown: dict[int, Shown]
    clock: str = "first frame"
    point: str = ""


# --- the picture -----------------------------------------------------------------------------------------------------


def draw(
    number: int, size: tuple[int, int] = SIZE, *, interlaced: bool = False, grey: bool = False
) -> Picture:
    """(H, W, 3) picture of frame ``number``; interlaced: the odd lines are filmed half a frame later."""
    width, height = size
    noise = np.random.default_rng(number).integers(-12, 13, (height, width, 1))
    picture = np.clip(np.array([40, 80, 60]) + noise, 0, 255).astype(np.uint8)
    band = slice(height * 3 // 8, height * 5 // 8)
    for field in (0, 1):
        x = (_SPEED_PX * number + (_SPEED_PX // 2 if interlaced and field else 0)) % (width - width // 6)
        picture[band][field::2, x : x + width // 6] = (250, 170, 60)
    strip = np.repeat(np.array(_bits(number), np.uint8) * 255, -(-width // BLOCKS))
    strip = strip[np.linspace(0, len(strip) - 1, width).astype(int)]
    picture[: height // 4] = strip[None, :, None]
    picture[-(height // 4) :] = 255 - strip[None, :, None]
    if grey:
        picture[:] = picture.mean(axis=2, keepdims=True).astype(np.uint8)
    return picture


def number_of(picture: Picture) -> int | None:
    """The number both strips carry; None where they are damaged, differ, or the picture is not upright."""
    rows = len(picture) // 16
    upper, lower = (_levels(picture[part]) for part in (slice(rows, 3 * rows), slice(-3 * rows, -rows)))
    if min(abs(upper - 128).min(), abs(lower - 128).min()) < 48:
        return None
    bits = [int(level > 128) for level in upper]
    if bits != [int(level < 128) for level in lower]:
        return None
    number = int("".join(map(str, bits[1:11])), 2)
    return number if bits == _bits(number) else None


def number_and_turns(picture: Picture) -> tuple[int | None, int]:
    """The number, and the counter-clockwise quarter turns that put the picture upright; (None, 0) where none do."""
    turned = ((number_of(np.rot90(picture, k)), k) for k in range(4))
    return next((found for found in turned if found[0] is not None), (None, 0))


def combed_px(picture: Picture) -> int:
    """Columns in which even and odd lines of the moving block differ: the fields of two moments in one picture."""
    band = picture[len(picture) * 7 // 16 : len(picture) * 9 // 16].mean(axis=2)
    return int((abs(band[::2].mean(axis=0) - band[1::2].mean(axis=0)) > 40).sum())


def is_grey(picture: Picture) -> bool:
    ground = picture[len(picture) * 5 // 16 : len(picture) * 11 // 16 : 4, ::4].astype(int)
    return bool((ground.max(axis=2) - ground.min(axis=2)).mean() < 12)


def _bits(number: int) -> list[int]:
    check = (number * 7 + (number >> 4) * 3 + (number >> 8)) % 16
    return [1, *(int(b) for b in f"{number:010b}{check:04b}"), 1]


def _levels(strip: NDArray[Any]) -> NDArray[Any]:
    """(16,) mean brightness of the inner half of each block."""
    width = strip.shape[1] / BLOCKS
    inner = [(round((i + 0.25) * width), max(round((i + 0.75) * width), 1)) for i in range(BLOCKS)]
    return np.array([strip[:, a:b].mean() for a, b in inner])


# --- files -----------------------------------------------------------------------------------------------------------


def film(
    path: Path, numbers: Iterable[int], fps: int = FPS, size: tuple[int, int] = SIZE, *, stamps_ms: Sequence[int] = (),
    grey_from: int = 1024, b_frames: int = 2, sar: Fraction | None = None, interlaced: bool = False, turns: int = 0,
    **mux: str,
) -> Path:  # fmt: skip
    """H.264 of the frames ``numbers``, a key frame each second.

    Args:
        size: px, as stored.
        stamps_ms: the frames' times, else 1 / fps apart.
        turns: quarter turns counter-clockwise from the picture to how it is stored.
        mux: options of the container's format.
    """
    drawn = size[::-1] if turns % 2 else size
    unit = Fraction(1, 1000) if stamps_ms else Fraction(1, fps)
    with av.open(f"file:{path}", "w", format=_FORMATS.get(path.suffix), options=_MUX | mux) as container:
        stream: Any = container.add_stream("libx264", rate=fps, options=_X264 | {"bf": str(b_frames)})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = unit
        stream.gop_size = fps
        if sar:
            stream.sample_aspect_ratio = sar
        if interlaced:
            stream.codec_context.flags |= Flags.interlaced_dct | Flags.interlaced_me
            stream.codec_context.options = {"x264-params": "tff=1", **stream.codec_context.options}
        for i, number in enumerate(numbers):
            picture = draw(number, drawn, interlaced=interlaced, grey=number >= grey_from)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.rot90(picture, turns)), format="rgb24")
            frame.pts, frame.time_base = stamps_ms[i] if stamps_ms else i, unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


# The same bytes on every run, so that damage always hits the same place: x264's macroblock tree gave others now and then.
_X264 = {"preset": "veryfast", "sc_threshold": "0", "threads": "1", "mbtree": "0", "weightp": "0"}
_MUX = {"fflags": "+bitexact"}
_FORMATS = {".264": "h264", ".ts": "mpegts", ".mkv": "matroska", ".mp4": "mp4"}


def flip(path: Path, begin: float, end: float, every: int = 40, seed: int = 0) -> None:
    """Change one byte in ``every``, at random, between two shares of the file."""
    data = np.frombuffer(path.read_bytes(), np.uint8).copy()
    rng = np.random.default_rng(seed)
    first, last = int(begin * len(data)), int(end * len(data))
    where = rng.choice(np.arange(first, last), (last - first) // every, replace=False)
    data[where] ^= rng.integers(1, 256, len(where), dtype=np.uint8)
    path.write_bytes(data.tobytes())


def cut(path: Path, share: float) -> None:
    """Keep the first ``share`` of the file."""
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def replace_bytes(path: Path, at: int, new: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[at : at + len(new)] = new
    path.write_bytes(data)


def _joined(parts: Sequence[Path], whole: Path) -> Path:
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    for part in parts:
        part.unlink()
    return whole


def evenly(
    numbers: Iterable[int], fps: float = FPS, start_s: float = 0.0, size: tuple[int, int] = SIZE
) -> dict[int, Shown]:
    return {n: Shown(start_s + i / fps, *size) for i, n in enumerate(numbers)}


def even(row: str, folder: Path, name: str, count: int = 150) -> Recording:
    """One sound file of ``count`` frames, to be broken by the caller."""
    path = film(folder / name, range(count))
    return Recording(row, (path,), evenly(range(count)))


# --- recordings ------------------------------------------------------------------------------------------------------


def plain(folder: Path) -> Recording:
    return even("nothing wrong", folder, "plain.mp4")


def variable_rate(folder: Path) -> Recording:
    """A third of the frames dropped, and the others up to 12 ms off their beat."""
    rng = np.random.default_rng(0)
    beats = [0, *(n for n in range(1, 200) if rng.random() > 0.35)]
    stamps = [40 * n + int(rng.integers(0, 13)) for n in beats]
    path = film(folder / "variable.mp4", range(len(beats)), stamps_ms=stamps)
    shown = {i: Shown((ms - stamps[0]) / 1000, *SIZE) for i, ms in enumerate(stamps)}
    return Recording("variable frame rate, a third dropped", (path,), shown)


def wrong_rate(folder: Path) -> Recording:
    """Stamped 25 a second, really 21.4: 24 s of media last 28 s, as the names of the four chunks tell."""
    names = [f"gate_20260501T0800{7 * i:02d}Z.mp4" for i in range(4)]
    files = [film(folder / name, range(150 * i, 150 * i + 150)) for i, name in enumerate(names)]
    return Recording("25 fps stamped, 21.4 real", tuple(files), evenly(range(600), 150 / 7))


def stripped_stamps(folder: Path) -> Recording:
    path = film(folder / "raw.264", range(120), fps=20)
    return Recording("no timestamps (elementary stream)", (path,), evenly(range(120), 20))


def clock_restart(folder: Path) -> Recording:
    """Two recordings of 3 s joined byte by byte: the second one's stamps begin where the first one's did."""
    parts = [film(folder / f"part{i}.ts", range(75 * i, 75 * i + 75)) for i in range(2)]
    whole = _joined(parts, folder / "restart.ts")
    return Recording("the clock starts again (joined ts)", (whole,), evenly(range(150)))


def shifted_stamps(folder: Path) -> Recording:
    """Each 20th stamp goes 0.4 s back, and one 30 s ahead."""
    path = film(folder / "shifted.ts", range(150), b_frames=0)
    _shift_stamps(path, {n: -0.4 for n in range(10, 150, 20)} | {75: 30.0})
    return Recording("single stamps backward and far ahead", (path,), evenly(range(150)))


def wild_stamps(folder: Path) -> Recording:
    """Two stamps in a row are far ahead, as where flipped bytes hit them; all others are right, before and after."""
    path = film(folder / "wild.ts", range(150), b_frames=0)
    _shift_stamps(path, {70: 30.0, 71: 12.0})
    return Recording("two stamps in a row far ahead", (path,), evenly(range(150)))


def _shift_stamps(path: Path, shift_s: Mapping[int, float], default_s: float = 0.0) -> None:
    """Add to the stamps of an MPEG transport stream's pictures, by their number in order of decoding."""
    data = bytearray(path.read_bytes())
    for number, match in enumerate(re.finditer(b"\x00\x00\x01\xe0", data)):
        at, ticks = match.start(), round(shift_s.get(number, default_s) * 90_000)
        for field in (at + 9, at + 14)[
            : 1 + (data[at + 7] >> 6 & 1)
        ]:  # presentation, and decoding where it differs
            _shift_stamp(data, field, ticks)
    path.write_bytes(data)


def _shift_stamp(data: bytearray, at: int, ticks: int) -> None:
    """33 bits lie in five bytes, with marker bits between."""
    high, middle, low = (
        data[at] >> 1 & 7,
        int.from_bytes(data[at + 1 : at + 3]),
        int.from_bytes(data[at + 3 : at + 5]),
    )
    stamp = (high << 30 | middle >> 1 << 15 | low >> 1) + ticks
    data[at] = data[at] & 0xF1 | (stamp >> 30 & 7) << 1
    data[at + 1 : at + 3] = ((stamp >> 15 & 0x7FFF) << 1 | 1).to_bytes(2)
    data[at + 3 : at + 5] = ((stamp & 0x7FFF) << 1 | 1).to_bytes(2)


def truncated_mp4(folder: Path) -> Recording:
    """Three files of one camera; the second one lost its tail and so its index. Nothing can decode that one."""
    files = [
        film(folder / f"gate_20260501T0800{5 * i:02d}Z.mp4", range(75 * i, 75 * i + 75)) for i in range(3)
    ]
    cut(files[1], 0.7)
    shown = {n: Shown(5 * (n // 75) + n % 75 / FPS, *SIZE) for n in range(225)}
    return Recording("truncated mp4 without index, between two sound ones", tuple(files), shown)


def truncated_fragments(folder: Path) -> Recording:
    path = film(folder / "fragments.mp4", range(150), movflags="frag_keyframe+empty_moov")
    cut(path, 0.6)
    return Recording("truncated fragmented mp4", (path,), evenly(range(150)))


def truncated_mkv(folder: Path) -> Recording:
    made = even("truncated mkv", folder, "truncated.mkv")
    cut(made.files[0], 0.6)
    return made


def flipped(folder: Path, container: str) -> Recording:
    made = even(f"flipped bytes in the middle, {container}", folder, f"flipped.{container}", 200)
    flip(made.files[0], 0.4, 0.5)
    return made


def flipped_mp4(folder: Path) -> Recording:
    return flipped(folder, "mp4")


def flipped_mkv(folder: Path) -> Recording:
    return flipped(folder, "mkv")


def flipped_ts(folder: Path) -> Recording:
    return flipped(folder, "ts")


def damaged_start_mp4(folder: Path) -> Recording:
    """Zeros over the first quarter of the pictures. The index still tells when the rest was filmed."""
    made = even("damaged start, mp4", folder, "start.mp4")
    path = made.files[0]
    begin = path.read_bytes().index(b"mdat") + 4
    replace_bytes(path, begin, bytes(path.stat().st_size // 4))
    return replace(made, clock="start")


def damaged_start_mkv(folder: Path) -> Recording:
    """Zeros from the first cluster on; the stamps of the later ones count from the start of the recording."""
    made = even("damaged start, mkv", folder, "start.mkv")
    path = made.files[0]
    begin = path.read_bytes().index(b"\x1f\x43\xb6\x75")
    replace_bytes(path, begin, bytes(path.stat().st_size // 4))
    return replace(made, clock="start")


def missing_start_ts(folder: Path) -> Recording:
    """The first fifth is gone, as where a stream was joined late. How long it was, nothing in the file tells."""
    made = even("missing start, ts", folder, "start.ts")
    data = made.files[0].read_bytes()
    made.files[0].write_bytes(data[len(data) // 5 :])
    return made


def short_header(folder: Path) -> Recording:
    """Matroska's duration says 2 s of 6."""
    made = even("header claims a third of the length, mkv", folder, "short.mkv")
    at = made.files[0].read_bytes().index(b"\x44\x89\x88") + 3
    replace_bytes(made.files[0], at, struct.pack(">d", 2000.0))
    return made


def long_header(folder: Path) -> Recording:
    """mp4's three durations (film, track, media) say ten times the length."""
    made = even("header claims ten times the length, mp4", folder, "long.mp4")
    data = made.files[0].read_bytes()
    for box, offset in ((b"mvhd", 20), (b"tkhd", 24), (b"mdhd", 20)):
        at = data.index(box) + offset
        replace_bytes(made.files[0], at, (10 * int.from_bytes(data[at : at + 4])).to_bytes(4))
    return made


def seven_chunks(folder: Path) -> Recording:
    """One clip cut in 7, named as recorders do: in whole seconds."""
    names = [f"gate_20260501T08000{i}Z.mp4" for i in range(7)]
    files = [film(folder / name, range(25 * i, 25 * i + 25)) for i, name in enumerate(names)]
    return Recording("one clip cut in 7", tuple(files), evenly(range(175)))


def rotated(folder: Path) -> Recording:
    """A camera hung on its side: 128 x 192 seen, 192 x 128 stored; the header says to turn it clockwise."""
    path = film(folder / "rotated.mp4", range(50), turns=1)
    at = path.read_bytes().index(_UNITY, path.read_bytes().index(b"tkhd"))
    replace_bytes(path, at, _QUARTER)
    return Recording("rotated by 90°", (path,), evenly(range(50), size=SIZE[::-1]), point="upright")


def wide_pixels(folder: Path) -> Recording:
    """Half of PAL: 176 x 144 stored, pixels 16:11, hence 256 x 144 seen."""
    path = film(folder / "wide.mp4", range(50), size=(176, 144), sar=Fraction(16, 11))
    return Recording("pixels of 16:11", (path,), evenly(range(50), size=(256, 144)), point="undistorted")


def interlaced(folder: Path) -> Recording:
    path = film(folder / "interlaced.ts", range(100), interlaced=True)
    return Recording("interlaced", (path,), evenly(range(100)), point="progressive")


def resized(folder: Path) -> Recording:
    """Somebody changes the camera's resolution: 4 s of 192 x 128, then of 96 x 64, and the clock goes on."""
    small = (96, 64)
    parts = [film(folder / "a.ts", range(100)), film(folder / "b.ts", range(100, 200), size=small)]
    _shift_stamps(parts[1], {}, 4.0)
    whole = _joined(parts, folder / "resized.ts")
    shown = evenly(range(100)) | evenly(range(100, 200), start_s=4, size=small)
    return Recording("other resolution from the middle on", (whole,), shown, point="undistorted")


def grey_tail(folder: Path) -> Recording:
    """Night falls: the last 60 frames are infra-red."""
    path = film(folder / "night.mp4", range(150), grey_from=90)
    shown = {n: replace(s, grey=n >= 90) for n, s in evenly(range(150)).items()}
    return Recording("grey (infra-red) tail", (path,), shown, point="colour")


NAMES = (
    "gate north.mp4", "it's \"the\" gate.mp4", "Süd-Eingang 東門.mp4", "08:00.mp4", "-i.mp4",
    "50%02d [1] #?.mp4",
)  # fmt: skip


def names(folder: Path) -> Recording:
    """Each file is a recording of its own."""
    files = [film(folder / name, range(25 * i, 25 * i + 25)) for i, name in enumerate(NAMES)]
    shown = {n: Shown(n % 25 / FPS, *SIZE) for n in range(25 * len(NAMES))}
    return Recording("spaces, quotes, colon, non-ASCII in names", tuple(files), shown, clock="files")


def newline_name(folder: Path) -> Recording:
    path = film(folder / "two\nlines.mp4", range(50))
    return Recording("a name of two lines", (path,), evenly(range(50)))


def latin1_name(folder: Path) -> Recording:
    """A name from an old Windows share: its bytes are no UTF-8."""
    path = film(folder / "plain.mp4", range(50))
    return Recording("a name that is no UTF-8", (path.rename(folder / "caf\udce9.mp4"),), evenly(range(50)))


def empty_file(folder: Path) -> Recording:
    (folder / "empty.mp4").touch()
    return Recording("zero bytes", (folder / "empty.mp4",), {})


def text_file(folder: Path) -> Recording:
    (folder / "text.mp4").write_text("Camera 3 was switched off.\n" * 40, encoding="utf-8")
    return Recording("text called .mp4", (folder / "text.mp4",), {})


def sound_only(folder: Path) -> Recording:
    path = folder / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 16_000), np.float32), format="fltp", layout="mono")
        sound.rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    return Recording("sound without pictures", (path,), {})


ALL = (
    plain, variable_rate, wrong_rate, stripped_stamps, clock_restart, shifted_stamps, wild_stamps, truncated_mp4,
    truncated_fragments, truncated_mkv, flipped_mp4, flipped_mkv, flipped_ts, damaged_start_mp4, damaged_start_mkv, missing_start_ts,
    short_header, long_header, seven_chunks, rotated, wide_pixels, interlaced, resized, grey_tail, names, newline_name, latin1_name,
    empty_file, text_file, sound_only,
)  # fmt: skip
