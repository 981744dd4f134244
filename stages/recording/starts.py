"""When each file began and how fast its clock ran.

The start is the site file's, else the name's, else the container's, else assumed: all cameras begin together, and a
camera's files follow one another in natural order of their names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from camera_topology.file_times import NamedStart
    from camera_topology.site import Site

# Where nothing tells the time: far enough from any real recording to be seen at once.
ASSUMED_EPOCH_US = 0
_FPS_TOLERANCE = 0.01

# A clock rate is read from names where so many chunks follow one another, and so large a share of them agrees.
_MIN_CHUNKS = 3
_AGREEING = 0.75
# Rates that recorders have been seen to run at; beyond them, files that follow at one pace are clips with pauses between,
# or begin before the one before has ended.
_SLOWEST, _FASTEST = 0.95, 1.35
# Seconds that a name's time may be off: it is written in whole ones, and some recorders round.
_NAME_ERROR_S = 1.0
# Pairs of files agree on a rate within this share, beside what their names' seconds leave open.
_RATE_TOLERANCE = 0.01


@dataclass
class Recording:
    """One file on its way into the table; times before the camera's clock offset."""

    path: Path
    digest: str
    camera_id: str
    facts: dict[str, Any]  # of data.video.VideoFacts; {'unreadable': reason} where it is
    start_us: int = ASSUMED_EPOCH_US
    time_source: str = "assumed"
    scale: float = 1.0  # true seconds per second of media
    notes: list[str] = field(default_factory=list)

    @property
    def readable(self) -> bool:
        return "unreadable" not in self.facts

    @property
    def duration_s(self) -> float:
        """From the first to the last frame, in media time."""
        return self.facts["duration_s"] if self.readable else 0.0

    @property
    def whole_s(self) -> float:
        """The same with the last frame, which lasts as long as the others, and with a beginning that does not decode."""
        fps = self.facts.get("fps") or 0.0
        return self.facts.get("lead_s", 0.0) + self.duration_s + (1 / fps if fps else 0.0)

    def end_us(self, start_us: int | None = None) -> int:
        """When its last frame goes, by its start as far as that is known, or by another one."""
        start_us = self.start_us if start_us is None else start_us
        return start_us + round(self.whole_s * self.scale * 1e6)


def set_starts(recordings: list[Recording], site: Site) -> None:
    """Fill in ``start_us``, ``time_source`` and ``scale`` of every recording, camera by camera."""
    from data.videos import natural_key

    for camera_id in sorted({r.camera_id for r in recordings}):
        own = sorted((r for r in recordings if r.camera_id == camera_id), key=lambda r: natural_key(r.path))
        for recording in own:
            recording.scale = declared_scale(recording, site)
        declared = site.camera(camera_id).start_time
        if declared is not None:
            _one_after_another(own, site.to_us(declared), "topology")
            continue
        names = {id(r): site.named_start(r.path, camera_id) for r in own}
        _from_names([(r, name) for r in own if (name := names[id(r)])], site.timezone)
        in_order = sorted((r for r in own if names[id(r)] and r.readable), key=lambda r: r.start_us)
        if not site.rate_is_declared(camera_id):
            _rate_from_chunks(in_order)
        _stitch(in_order)
        unnamed = [r for r in own if not names[id(r)]]
        if not _from_containers(unnamed):
            _one_after_another(unnamed, ASSUMED_EPOCH_US, "assumed")


def declared_scale(recording: Recording, site: Site) -> float:
    """True seconds per second of media by the site file: the clock's scale, and the true frame rate where it is given.

    A declared ``fps`` is held against the median spacing of the timestamps, so dropped frames do not stretch time.
    """
    camera = site.camera(recording.camera_id)
    stamped = recording.facts.get("stamped_fps") or 0.0
    wrong = camera.fps and stamped and abs(stamped / camera.fps - 1) > _FPS_TOLERANCE
    return camera.clock.scale * (stamped / camera.fps if wrong and camera.fps else 1.0)


def chunk_rate(starts_us: list[int], media_s: list[float]) -> float | None:
    """True seconds per second of media, from the names of files that follow one another.

    A recorder that stamps 25 frames a second and delivers 21 writes files of 60 s of media every 72 s. Where the spans
    from name to name are in one ratio to the length of the files, that ratio is the rate; gaps, which motion-triggered
    recorders leave at random, agree on none.

    Args:
        starts_us: rising; media_s: the length of each file.

    Returns:
        None where fewer than three pairs can be compared, fewer than three quarters of them agree, or what they say
        could as well be names written in whole seconds.
    """
    spans = [(b - a) / 1e6 for a, b in pairwise(starts_us)]
    pairs = [(span, media) for span, media in zip(spans, media_s, strict=False) if media > 5 * _NAME_ERROR_S]
    if len(pairs) < _MIN_CHUNKS:
        return None
    ratios = sorted(span / media for span, media in pairs)
    middle = ratios[len(ratios) // 2]
    agreeing = [(s, m) for s, m in pairs if abs(s - middle * m) <= _NAME_ERROR_S + _RATE_TOLERANCE * m]
    if len(agreeing) < max(_MIN_CHUNKS, _AGREEING * len(pairs)) or not _SLOWEST <= middle <= _FASTEST:
        return None
    media = sum(m for _, m in agreeing)
    rate = sum(s for s, _ in agreeing) / media
    return rate if abs(rate - 1) * media > 2 * _NAME_ERROR_S else None


def _rate_from_chunks(in_order: list[Recording]) -> None:
    found = chunk_rate([r.start_us for r in in_order], [r.whole_s for r in in_order])
    if found is None:
        return
    for recording in in_order:
        recording.scale = found


def _stitch(in_order: list[Recording]) -> None:
    """Files that follow one another without a gap that a name could tell begin where the one before ends.

    Names are in whole seconds, and half a second between two chunks would be a hole, or a time seen twice, that no
    camera made. The chain is held to the names: what is farther off than they can be is a gap.
    """
    whole_seconds = all(r.start_us % 1_000_000 == 0 for r in in_order)
    error_us = round(_NAME_ERROR_S * 1e6) if whole_seconds else 50_000
    for before, recording in pairwise(in_order):
        if abs(before.end_us() - recording.start_us) <= error_us:
            recording.start_us = before.end_us()


def _from_names(named: list[tuple[Recording, NamedStart]], timezone: str) -> None:
    """Starts from names; where the clock was put back, the file that would overlap an earlier one is of the second pass."""
    reached_us: int | None = None
    ordered = sorted(named, key=lambda item: item[1].start_us)
    second = []
    for recording, name in ordered:
        recording.start_us, recording.time_source = name.start_us, "file name"
        if name.skipped:
            recording.notes.append(f"there was no such time in {timezone}: clocks were put forward over it")
        if name.again_us is not None and reached_us is not None and name.start_us < reached_us - 1_000_000:
            second.append((recording, name.again_us))
        else:
            reached_us = max(recording.end_us(), reached_us or recording.end_us())
    for recording, again_us in second or _second_pass_alone(ordered):
        recording.start_us = again_us
        recording.notes.append(f"an hour that {timezone} had twice; taken for the second")


def _second_pass_alone(ordered: list[tuple[Recording, NamedStart]]) -> list[tuple[Recording, int]]:
    """Files of a doubled hour that go on into what follows it, and not from what came before: recorded in its second pass."""
    doubled = [(r, name.again_us) for r, name in ordered if name.again_us is not None]
    if not doubled:
        return []
    first, last = doubled[0], doubled[-1]
    after = [
        name.start_us for r, name in ordered if name.again_us is None and name.start_us > last[0].start_us
    ]
    before = [r for r, name in ordered if name.again_us is None and name.start_us < first[0].start_us]
    goes_on = bool(after) and abs(last[0].end_us(last[1]) - min(after)) <= 2 * _NAME_ERROR_S * 1e6
    came_from = bool(before) and abs(before[-1].end_us() - first[0].start_us) <= 2 * _NAME_ERROR_S * 1e6
    return doubled if goes_on and not came_from else []


def _one_after_another(recordings: list[Recording], start_us: int, source: str) -> None:
    for recording in recordings:
        recording.start_us, recording.time_source = start_us, source
        start_us = recording.end_us()


def _from_containers(recordings: list[Recording]) -> bool:
    """Take the containers' creation times where all have one and one camera's files do not overlap by them.

    Equal or overlapping times are those of a conversion or a copy, not of the recording.
    """
    starts = [creation_us(r.facts.get("created", "")) for r in recordings if r.readable]
    if not starts or any(s is None for s in starts):
        return False
    spans = sorted(
        (s, r.duration_s) for s, r in zip(starts, (r for r in recordings if r.readable), strict=True)
    )
    if any(a + d * 1e6 > b + 1e6 for (a, d), (b, _) in pairwise(spans)):  # type: ignore[operator]
        return False
    for recording in recordings:
        created = creation_us(recording.facts.get("created", ""))
        if created is not None:
            recording.start_us, recording.time_source = created, "container"
    return True


def creation_us(text: str) -> int | None:
    """UTC µs of a creation time; None where it is absent or a recorder's empty clock (before 1990)."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return round(time.timestamp() * 1e6) if time.year >= 1990 else None
