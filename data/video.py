"""Frames of a recording with their true time, read to the real end of the file.

Public readers end a video silently at the first bad packet, give no timestamps, and trust the container's length.
Here every decoded frame has its presentation time; bad packets are skipped and counted; missing and backward
timestamps are repaired so that time always moves forward.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from numpy.typing import NDArray

av.logging.set_level(av.logging.PANIC)  # what libav would print per bad packet, the tally counts

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
    lead_s: media time before the first frame that decodes; above 0 where the file's start is damaged.
    created: the container's creation_time as written, '' where it has none.
    note: what was skipped or repaired, '' when nothing.
    """

    frames: int
    width: int
    height: int
    duration_s: float
    fps: float
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
    with _open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        step_s = 1.0 / float(stream.average_rate or stream.guessed_rate or 25)
        first_s = None
        index = 0
        for decoded, time_s in _timed(_decoded_frames(container, stream, tally), step_s, tally):
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
    count, last_s, size, lead_s = 0, 0.0, (0, 0), 0.0
    for frame in read_frames(path, tally):
        found = _upright_size(frame._decoded)
        if count == 0:
            size, lead_s = found, _lead_s(frame._decoded, path)
        tally[RESIZED_FRAMES] += found != size
        count, last_s = count + 1, frame.media_time_s
    return VideoFacts(
        frames=count,
        width=size[0],
        height=size[1],
        duration_s=last_s,
        fps=(count - 1) / last_s if last_s > 0 else 0.0,
        lead_s=lead_s,
        created=_created(path),
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
            ahead = following is not None and before is not None and before < following <= now
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


def _decoded_frames(container: InputContainer, stream: Any, tally: Counter[str]) -> Iterator[Any]:
    failures = 0
    while failures < _MAX_DEMUX_FAILURES:
        packets = container.demux(stream)
        try:
            for packet in packets:
                failures = 0
                try:
                    frames = packet.decode()
                except EOFError:
                    return
                except FFmpegError:
                    tally[BAD_PACKETS] += 1
                    continue
                for frame in frames:
                    tally[CORRUPT_FRAMES] += bool(frame.is_corrupt)
                    yield frame
            return
        except EOFError:
            return
        except FFmpegError:
            # A generator that raised is spent, the container behind it may still have packets.
            failures += 1
            tally[BAD_PACKETS] += 1


def _timed(frames: Iterator[Any], step_s: float, tally: Counter[str]) -> Iterator[tuple[Any, float]]:
    """Pairs each frame with its repaired time; `repair_times` looks one frame ahead, so one frame is held back."""
    held: list[Any] = []

    def raw() -> Iterator[float | None]:
        for frame in frames:
            held.append(frame)
            known = frame.pts is not None and frame.time_base
            yield float(frame.pts * frame.time_base) if known else None

    for time_s, repaired in repair_times(raw(), step_s):
        tally[REPAIRED_TIMES] += repaired
        yield held.pop(0), time_s


def _quarter_turns(decoded: Any) -> int:
    """Counter-clockwise quarter turns that put the picture upright (0 where the file says nothing)."""
    return round((getattr(decoded, "rotation", 0) or 0) / 90) % 4


def _upright_size(decoded: Any) -> tuple[int, int]:
    turned = _quarter_turns(decoded) % 2
    return (decoded.height, decoded.width) if turned else (decoded.width, decoded.height)


def _lead_s(decoded: Any, path: Path) -> float:
    with _open(path) as container:
        stream = container.streams.video[0]
        if decoded.pts is None or stream.start_time is None or not stream.time_base:
            return 0.0
        lead = float(decoded.pts * decoded.time_base - stream.start_time * stream.time_base)
    return max(lead, 0.0)


def _created(path: Path) -> str:
    with _open(path) as container:
        stream = container.streams.video[0]
        return container.metadata.get("creation_time") or stream.metadata.get("creation_time") or ""
