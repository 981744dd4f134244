"""Frames of a recording with their true time, read to the real end of the file.

Public readers end a video silently at the first bad packet, give no timestamps, and trust the container's length.
Here every decoded frame has its presentation time; bad packets are skipped and counted; missing and backward
timestamps are repaired so that time always moves forward.
"""

from __future__ import annotations

import os
import warnings
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from numpy.typing import NDArray

# Any Python log callback deadlocks when a decoder thread reports damage while the file is being closed.
av.logging.set_level(None)

BAD_PACKETS = "packets failed to decode"
CORRUPT_FRAMES = "frames decoded with errors"
REPAIRED_TIMES = "timestamps missing or backward, repaired"
RESIZED_FRAMES = "frames of another size than the first, scaled to it"

# Mean spread between a picture's red, green and blue, of 255, under which it has no colour: infra-red, or a grey camera.
_GREY = 4.0
_GREY_EVERY_S = 2.0

# A Matroska file whose first packet lies farther in than any header has lost its beginning.
_MATROSKA_HEAD = 1 << 16

# A file is cut short where it ends so much before what its header claims, in seconds and as a share.
_SHORT_S, _SHORT_SHARE = 2.0, 0.05

# No file is longer than a year, in seconds.
_LONGEST_S = 366 * 86400.0

# No camera's picture is larger; a header that claims so is damaged, or meant to fill the memory.
_MOST_PIXELS = 1 << 26

# A demuxer that fails this often without one packet in between has no more to give.
_MAX_DEMUX_FAILURES = 50


class UnreadableVideo(Exception):
    """A file that yields no frame."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True)
class Frame:
    """One decoded frame.

    index: zero-based number among the frames that decode.
    media_time_s: presentation time since the first decoded frame, strictly increasing.
    size: (width, height) of its picture, px: that of the file's first frame as a player shows it.
    pixel_aspect: width of a stored pixel, as a share of its height.
    """

    index: int
    media_time_s: float
    size: tuple[int, int] = (0, 0)
    pixel_aspect: float = 1.0
    _decoded: Any = field(repr=False, compare=False, default=None)

    def rgb(self) -> NDArray[np.uint8]:
        """(H, W, 3) pixels as a player shows them: upright, pixels square, one instant. Converted on each call.

        Of an interlaced frame the first field is shown: two fields are two instants, and who walks has two outlines.
        """
        image = self._decoded.to_ndarray(format="rgb24")
        if self._decoded.interlaced_frame:
            image = image[::2]
        if turns := _quarter_turns(self._decoded):
            image = np.rot90(image, turns)
        shown = _shown_size(self._decoded, self.pixel_aspect)
        if self.size == (0, 0) or self.size == shown == (image.shape[1], image.shape[0]):
            return np.ascontiguousarray(image)
        return _fitted(np.ascontiguousarray(image), shown, self.size)

    def grey(self) -> bool:
        """Whether the picture has no colour, as by infra-red light at night; looked at in 64 x 48 px."""
        small = self._decoded.reformat(width=64, height=48, format="rgb24").to_ndarray().astype(np.int16)
        return bool((small.max(axis=2) - small.min(axis=2)).mean() < _GREY)


@dataclass(frozen=True)
class VideoFacts:
    """What decoding a whole file found; never what its header claims.

    width, height: px, of the first frame, upright and with square pixels.
    duration_s: from the first to the last frame, in media time.
    fps: (frames - 1) / duration_s, 0 where there is no duration.
    stamped_fps: 1 / median spacing of the timestamps: the rate the file claims, blind to dropped frames.
    lead_s: media time before the first frame that decodes; above 0 where the file's start is damaged.
    created: the container's creation_time as written, '' where it has none.
    grey_fraction: share of the time without colour (infra-red), 0 to 1, looked at every two seconds.
    damaged, repaired_times: packets and frames that did not decode whole, and timestamps put right.
    whole: nothing is missing or had to be repaired.
    note: the same in words, and what else is odd about the pictures; '' when nothing.
    """

    frames: int
    width: int
    height: int
    duration_s: float
    fps: float
    stamped_fps: float
    lead_s: float
    created: str
    grey_fraction: float
    damaged: int
    repaired_times: int
    whole: bool
    note: str


def read_frames(path: Path, tally: Counter[str] | None = None) -> Iterator[Frame]:
    """Every frame of ``path`` that decodes, in presentation order.

    Args:
        tally: counts what was skipped or repaired, by the constants of this module.

    Raises:
        UnreadableVideo: the file cannot be opened, has no video stream or yields no frame.
    """
    tally = Counter() if tally is None else tally
    header = _header(path)
    first_s, size = None, (0, 0)
    index = 0
    for decoded, time_s in _timed(_sound_frames(path, tally), header.step_s, tally):
        found = _shown_size(decoded, header.pixel_aspect)
        if first_s is None:
            first_s, size = time_s, found
        tally[RESIZED_FRAMES] += found != size
        yield Frame(index, time_s - first_s, size, header.pixel_aspect, decoded)
        index += 1
    if index == 0:
        raise UnreadableVideo(path, "no frame could be decoded")


def probe(path: Path) -> VideoFacts:
    """Decode the whole file (about 2,000 small frames a second on two cores) and say what is in it.

    Raises:
        UnreadableVideo: as :func:`read_frames`.
    """
    tally: Counter[str] = Counter()
    header = _header(path)
    count, last_s, size, lead_s = 0, 0.0, (0, 0), 0.0
    looked, grey, interlaced = 0, 0, False
    steps_s = array("d")
    for frame in read_frames(path, tally):
        if count == 0:
            size, lead_s, interlaced = (
                frame.size,
                _lead_s(frame._decoded, header),
                frame._decoded.interlaced_frame,
            )
        if frame.media_time_s >= looked * _GREY_EVERY_S:
            grey, looked = grey + frame.grey(), looked + 1
        steps_s.append(frame.media_time_s - last_s)
        count, last_s = count + 1, frame.media_time_s
    if last_s > _LONGEST_S:
        raise UnreadableVideo(
            path, f"its timestamps span {last_s / 3.15e7:.0f} years, so none of them can be believed"
        )
    notes = [f"{n} {what}" for what, n in sorted(tally.items()) if n]
    claimed = header.duration_s or 0.0
    # Matroska's length counts from zero, also where the stamps of a segment go on from the one before.
    claimed -= header.before_s if claimed > header.before_s else 0.0
    if claimed > last_s + lead_s + max(_SHORT_S, _SHORT_SHARE * claimed):
        notes.append(f"ends at {last_s:.0f} s of the {claimed:.0f} s that its header claims")
    shown = ["interlaced, one field shown"] if interlaced else []
    shown += (
        [f"pixels {header.pixel_aspect:.3g} as wide as high, stretched"] if header.pixel_aspect != 1 else []
    )
    return VideoFacts(
        frames=count,
        width=size[0],
        height=size[1],
        duration_s=last_s,
        fps=(count - 1) / last_s if last_s > 0 else 0.0,
        stamped_fps=float(1 / np.median(steps_s[1:])) if count > 1 else 0.0,
        lead_s=lead_s,
        created=header.created,
        grey_fraction=grey / max(looked, 1),
        damaged=tally[BAD_PACKETS] + tally[CORRUPT_FRAMES],
        repaired_times=tally[REPAIRED_TIMES],
        whole=not notes,
        note="; ".join(notes + shown),
    )


def repair_times(raw: Iterable[float | None], step_s: float) -> Iterator[tuple[float, bool]]:
    """Strictly increasing times and whether each was repaired.

    A missing or backward time goes half-way to the next good one, or one ``step_s`` on; after a restart of the
    clock (a stream that was cut together) the spacing of the new part is kept. Frames far ahead of what came before and
    of what follows soon are taken for glitches, not for a pause in the recording, and share the time between the two.
    """
    times, ahead = iter(raw), deque[Any]()

    def peek(k: int) -> Any:
        """The time k frames on; _END after the last. Looks no farther ahead than it must: each frame is kept meanwhile."""
        while len(ahead) <= k and (not ahead or ahead[-1] is not _END):
            ahead.append(next(times, _END))
        return ahead[min(k, len(ahead) - 1)]

    before: float | None = None  # repaired
    raw_before: float | None = None
    while peek(0) is not _END:
        now = ahead.popleft()
        following = peek(0) if isinstance(peek(0), float) else None
        if isinstance(now, float) and (before is None or now > before):
            jump = before is not None and now - before > 10 * step_s
            glitches, back = _return_to_line(before, now, peek, step_s) if jump else (0, now)  # type: ignore[arg-type]
            out = before + (back - before) / (glitches + 1) if glitches else now  # type: ignore[operator]
            repaired = glitches > 0
        elif before is None:
            out, repaired = (0.0 if following is None else following - step_s), True
        elif following is not None and following > before:
            out, repaired = min(before + step_s, (before + following) / 2), True
        elif isinstance(now, float) and raw_before is not None and now > raw_before:
            out, repaired = before + (now - raw_before), True
        else:
            out, repaired = before + step_s, True
        yield out, repaired
        before, raw_before = out, now if isinstance(now, float) else raw_before


def _return_to_line(
    before: float, now: float, peek: Callable[[int], Any], step_s: float
) -> tuple[int, float]:
    """After a jump from ``before`` to ``now``: how many frames, this one included, are glitches, and the time that comes next.

    (0, now) where the frames that follow go on from the jump.
    """
    for k in range(_MAX_GLITCHES):
        later = peek(k)
        if later is _END:
            break
        near = before + 10 * step_s * (k + 2)  # about where the recording would have come to
        if isinstance(later, float) and before < later < min(now, near):
            return k + 1, later
    # Of one stamp that is later than both its neighbours it is enough that they are in order.
    following = peek(0)
    return (1, following) if isinstance(following, float) and before < following < now else (0, now)


_END: Any = object()
# More wrong stamps in a row than this are a new clock.
_MAX_GLITCHES = 32


def _open(path: Path, hardware: HWAccel | None = None) -> InputContainer:
    if _begins_with(path, b"ffconcat", b"#EXTM3U"):
        raise UnreadableVideo(path, "a playlist and no recording; name the files that it lists")
    try:
        # 'file:' keeps libav from reading a name such as 08:00.mp4 as a network protocol.
        container = av.open(f"file:{path}", hwaccel=hardware)
    except (FFmpegError, OSError, ValueError) as error:
        if hardware is not None:
            warnings.warn(
                f"DECODE: no such decoder works here ({error}); the processor decodes.", stacklevel=2
            )
            return _open(path)
        reason = "empty file" if _is_empty(path) else getattr(error, "strerror", None) or str(error)
        raise UnreadableVideo(path, f"cannot be opened: {reason}") from error
    if not container.streams.video:
        container.close()
        raise UnreadableVideo(path, "holds no video stream")
    return container


def _main_stream(container: InputContainer) -> Any:
    """The recording among the video streams: no cover picture, the default one, the largest, the longest, the first."""

    def worth(stream: Any) -> tuple[bool, bool, bool, int, int]:
        flags = stream.disposition
        picture = bool(
            flags & (Disposition.attached_pic | Disposition.still_image | Disposition.timed_thumbnails)
        )
        default = bool(flags & Disposition.default)
        length = stream.duration or 0
        if stream.time_base:
            length = round(length * float(stream.time_base))
        known = bool(stream.codec_context.pix_fmt)  # damage invents streams, of which nothing decodes
        return not picture, known, default, (stream.width or 0) * (stream.height or 0), length

    return max(container.streams.video, key=worth)


def _begins_with(path: Path, *words: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(16).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(words)
    except OSError:
        return False  # said by whoever opens it


def _is_empty(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == 0


def _sound_frames(path: Path, tally: Counter[str]) -> Iterator[tuple[Any, float | None]]:
    """Decoded frames with their raw time, the same on every run and machine.

    Decoding in several threads is faster, but how it conceals damage depends on which thread came first. So the
    first sign of damage starts the file over in one thread, and the frames handed on already are passed over. So it is
    with a hardware decoder, too, and one that fails costs nothing but its start. Several threads also swallow an error
    in the last packets: fewer frames than packets are a sign of damage, too.
    """
    done = 0
    damage: Counter[str] = Counter()
    packets = [0]
    for item in _decoded_frames(path, "AUTO", damage, _hardware(), packets):
        if damage.total():
            break
        yield item
        done += 1
    if damage.total() or packets[0] > done:
        yield from islice(_decoded_frames(path, "NONE", tally), done, None)


def _hardware() -> HWAccel | None:
    """The decoder that DECODE names (cuda, qsv, …: `av.codec.hwaccel.hwdevices_available`); None for the processor.

    How a picture is decoded does not decide what is in it, so this is a word of the environment and no setting.
    """
    name = os.environ.get("DECODE", "")
    return HWAccel(name, allow_software_fallback=True) if name not in ("", "cpu") else None


def _decoded_frames(
    path: Path,
    threads: str,
    tally: Counter[str],
    hardware: HWAccel | None = None,
    packets: list[int] | None = None,
) -> Iterator[tuple[Any, float | None]]:
    """Frames and their raw times; ``packets[0]`` counts the packets that held anything."""
    failures = 0
    with _open(path, hardware) as container:
        stream = _main_stream(container)
        stream.thread_type = threads  # type: ignore[assignment]
        stream.codec_context.options = {"max_pixels": str(_MOST_PIXELS)}
        time_base = float(stream.time_base or 0)
        while failures < _MAX_DEMUX_FAILURES:
            try:
                for packet in container.demux(stream):
                    failures = 0
                    if packets is not None:
                        packets[0] += packet.size > 0
                    for frame in _decode(stream, packet, tally):
                        tally[CORRUPT_FRAMES] += bool(frame.is_corrupt)
                        yield frame, None if frame.pts is None or not time_base else frame.pts * time_base
                return
            except (EOFError, IndexError):  # IndexError: PyAV, at the end, where damage invented a new stream
                yield from ((f, f.pts and f.pts * time_base) for f in _decode(stream, None, tally))
                return
            except FFmpegError:
                # A generator that raised is spent; the container behind it may still have packets.
                failures += 1
                tally[BAD_PACKETS] += 1


def _decode(stream: Any, packet: Any, tally: Counter[str]) -> list[Any]:
    try:
        return list(stream.decode(packet))
    except EOFError:
        return []
    except FFmpegError:
        tally[BAD_PACKETS] += 1
        return []


def _timed(
    frames: Iterator[tuple[Any, float | None]], step_s: float, tally: Counter[str]
) -> Iterator[tuple[Any, float]]:
    """Pairs each frame with its repaired time; `repair_times` looks one frame ahead, so one frame is held back."""
    held: deque[Any] = deque()

    def raw() -> Iterator[float | None]:
        for frame, time_s in frames:
            held.append(frame)
            yield time_s

    for time_s, repaired in repair_times(raw(), step_s):
        tally[REPAIRED_TIMES] += repaired
        yield held.popleft(), time_s


def _quarter_turns(decoded: Any) -> int:
    """Counter-clockwise quarter turns that put the picture upright (0 where the file says nothing)."""
    return round((decoded.rotation or 0) / 90) % 4


def _shown_size(decoded: Any, pixel_aspect: float) -> tuple[int, int]:
    """(width, height) a player gives the picture."""
    width, height = round(decoded.width * pixel_aspect), decoded.height
    return (height, width) if _quarter_turns(decoded) % 2 else (width, height)


def _fitted(image: NDArray[np.uint8], shown: tuple[int, int], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture, which a player shows at (width, height) ``shown``, in one of ``size``: unsqueezed, black where it is short."""
    scale = min(size[0] / shown[0], size[1] / shown[1])
    inner = max(round(shown[0] * scale), 1), max(round(shown[1] * scale), 1)
    picture = np.asarray(cv2.resize(image, inner), np.uint8)
    if inner == size:
        return picture
    canvas = np.zeros((size[1], size[0], 3), np.uint8)
    canvas[: inner[1], : inner[0]] = picture
    return canvas


@dataclass(frozen=True)
class _Header:
    """What the container claims and nothing else can tell."""

    step_s: float
    start_s: float | None
    time_base: float
    created: str
    pixel_aspect: float
    duration_s: float | None
    before_s: float = 0.0  # of duration_s, what lies before the first stamp


def _header(path: Path) -> _Header:
    with _open(path) as container:
        stream = _main_stream(container)
        # Without stamps the average is a default of the demuxer; the guess has looked into the stream.
        stamped = stream.start_time is not None
        rate = (stream.average_rate if stamped else None) or stream.guessed_rate or stream.average_rate
        base = float(stream.time_base or 0)
        start = None if stream.start_time is None else stream.start_time * base
        matroska, before_s = "matroska" in container.format.name, 0.0
        if matroska and _first_packet_at(container, stream) > _MATROSKA_HEAD:
            start = 0.0  # its stamps count from the start of the recording, and what stood there is gone
        elif matroska and start is not None:
            before_s = max(start, 0.0)
        claimed = float(container.duration / av.time_base) if container.duration else None
        created = container.metadata.get("creation_time") or stream.metadata.get("creation_time") or ""
        aspect = float(stream.sample_aspect_ratio or 1)
        # Beyond what any camera has, the header is damaged.
        aspect = aspect if 0.25 <= aspect <= 4 else 1.0
        return _Header(1 / float(rate) if rate else 1 / 25, start, base, created, aspect, claimed, before_s)


def _first_packet_at(container: InputContainer, stream: Any) -> int:
    """Byte at which the first packet of the stream lies; 0 where there is none."""
    try:
        return next((packet.pos or 0 for packet in container.demux(stream) if packet.size), 0)
    except (FFmpegError, EOFError, IndexError):
        return 0


def _lead_s(decoded: Any, header: _Header) -> float:
    if decoded.pts is None or header.start_s is None:
        return 0.0
    return max(float(decoded.pts * header.time_base - header.start_s), 0.0)
