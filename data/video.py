"""Frames of a recording with their true time, read to the real end of the file.

Public readers end a video silently at the first bad packet, give no timestamps, and trust the container's length.
Here every decoded frame has its presentation time; bad packets are skipped and counted; missing and backward
timestamps are repaired so that time always moves forward.
"""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from numpy.typing import NDArray

# Any Python log callback deadlocks when a decoder thread reports damage while the file is being closed.
av.logging.set_level(None)

BAD_PACKETS = "packets failed to decode"
CORRUPT_FRAMES = "frames decoded with errors"
REPAIRED_TIMES = "timestamps missing or backward, repaired"
RESIZED_FRAMES = "frames of another size than the first"

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
    """

    index: int
    media_time_s: float
    _decoded: Any = field(repr=False, compare=False, default=None)

    def rgb(self) -> NDArray[np.uint8]:
        """(H, W, 3) pixels, upright: the file's rotation is applied. Converted on each call."""
        image = self._decoded.to_ndarray(format="rgb24")
        turns = _quarter_turns(self._decoded)
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


@dataclass(frozen=True)
class VideoFacts:
    """What decoding a whole file found; never what its header claims.

    width, height: px, of the first frame, upright.
    duration_s: from the first to the last frame, in media time.
    fps: (frames - 1) / duration_s, 0 where there is no duration.
    stamped_fps: 1 / median spacing of the timestamps: the rate the file claims, blind to dropped frames.
    lead_s: media time before the first frame that decodes; above 0 where the file's start is damaged.
    created: the container's creation_time as written, '' where it has none.
    note: what was skipped or repaired, '' when nothing.
    """

    frames: int
    width: int
    height: int
    duration_s: float
    fps: float
    stamped_fps: float
    lead_s: float
    created: str
    note: str


def read_frames(path: Path, tally: Counter[str] | None = None) -> Iterator[Frame]:
    """Every frame of ``path`` that decodes, in presentation order.

    Args:
        tally: counts what was skipped or repaired, by the constants of this module.

    Raises:
        UnreadableVideo: the file cannot be opened, has no video stream or yields no frame.
    """
    tally = Counter() if tally is None else tally
    step_s = _header(path).step_s
    first_s = None
    index = 0
    for decoded, time_s in _timed(_sound_frames(path, tally), step_s, tally):
        first_s = time_s if first_s is None else first_s
        yield Frame(index, time_s - first_s, decoded)
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
    steps_s = array("d")
    for frame in read_frames(path, tally):
        found = _upright_size(frame._decoded)
        if count == 0:
            size, lead_s = found, _lead_s(frame._decoded, header)
        tally[RESIZED_FRAMES] += found != size
        steps_s.append(frame.media_time_s - last_s)
        count, last_s = count + 1, frame.media_time_s
    return VideoFacts(
        frames=count,
        width=size[0],
        height=size[1],
        duration_s=last_s,
        fps=(count - 1) / last_s if last_s > 0 else 0.0,
        stamped_fps=float(1 / np.median(steps_s[1:])) if count > 1 else 0.0,
        lead_s=lead_s,
        created=header.created,
        note="; ".join(f"{n} {what}" for what, n in sorted(tally.items()) if n),
    )


def repair_times(raw: Iterable[float | None], step_s: float) -> Iterator[tuple[float, bool]]:
    """Strictly increasing times and whether each was repaired.

    A missing or backward time goes half-way to the next good one, or one ``step_s`` on; after a restart of the
    clock (a stream that was cut together) the spacing of the new part is kept. One frame far ahead of both its
    neighbours is taken for a glitch, not for a pause in the recording.
    """
    times = iter(raw)
    before: float | None = None  # repaired
    raw_before: float | None = None
    now = next(times, _END)
    while now is not _END:
        after = next(times, _END)
        following = after if isinstance(after, float) else None
        if isinstance(now, float) and (before is None or now > before):
            jump = before is not None and now - before > 10 * step_s
            ahead = jump and following is not None and before < following < now  # type: ignore[operator]
            out, repaired = (now, False) if not ahead else ((before + following) / 2, True)  # type: ignore[operator]
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
        now = after


_END: Any = object()


def _open(path: Path) -> InputContainer:
    try:
        # 'file:' keeps libav from reading a name such as 08:00.mp4 as a network protocol.
        container = av.open(f"file:{path}")
    except (FFmpegError, OSError, ValueError) as error:
        reason = "empty file" if _is_empty(path) else getattr(error, "strerror", None) or str(error)
        raise UnreadableVideo(path, f"cannot be opened: {reason}") from error
    if not container.streams.video:
        container.close()
        raise UnreadableVideo(path, "holds no video stream")
    return container


def _is_empty(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == 0


def _sound_frames(path: Path, tally: Counter[str]) -> Iterator[tuple[Any, float | None]]:
    """Decoded frames with their raw time, the same on every run and machine.

    Decoding in several threads is faster, but how it conceals damage depends on which thread came first. So the
    first sign of damage starts the file over in one thread, and the frames handed on already are passed over.
    """
    done = 0
    damage: Counter[str] = Counter()
    for item in _decoded_frames(path, "AUTO", damage):
        if damage.total():
            break
        yield item
        done += 1
    if damage.total():
        yield from islice(_decoded_frames(path, "NONE", tally), done, None)


def _decoded_frames(path: Path, threads: str, tally: Counter[str]) -> Iterator[tuple[Any, float | None]]:
    failures = 0
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = threads  # type: ignore[assignment]
        time_base = float(stream.time_base or 0)
        while failures < _MAX_DEMUX_FAILURES:
            try:
                for packet in container.demux(stream):
                    failures = 0
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


def _upright_size(decoded: Any) -> tuple[int, int]:
    turned = _quarter_turns(decoded) % 2
    return (decoded.height, decoded.width) if turned else (decoded.width, decoded.height)


@dataclass(frozen=True)
class _Header:
    """What the container claims and nothing else can tell."""

    step_s: float
    start_s: float | None
    time_base: float
    created: str


def _header(path: Path) -> _Header:
    with _open(path) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate or stream.guessed_rate
        base = float(stream.time_base or 0)
        start = None if stream.start_time is None else stream.start_time * base
        created = container.metadata.get("creation_time") or stream.metadata.get("creation_time") or ""
        return _Header(1 / float(rate) if rate else 1 / 25, start, base, created)


def _lead_s(decoded: Any, header: _Header) -> float:
    if decoded.pts is None or header.start_s is None:
        return 0.0
    return max(float(decoded.pts * header.time_base - header.start_s), 0.0)
