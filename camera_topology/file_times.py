"""When a recording started, read from its file name.

A pattern is a regular expression searched in the end of the path (so that folders may carry date and camera) with
named groups: either ``start`` (read by a strptime format) or ``year, month, day, hour, minute, second`` (``fraction``
and ``zone`` may be missing), and perhaps ``camera``. A time without a zone is local to the pattern's time zone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import PurePath
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class NamePattern:
    """How one recorder names its files.

    strptime: format of the group ``start``; '' where the parts of the time are groups of their own.
    timezone: IANA name for times that carry no zone; '' means the site's.
    """

    name: str
    regex: str
    strptime: str = ""
    timezone: str = ""


@dataclass(frozen=True)
class NamedStart:
    """What a file name said: its camera ('' where it does not), its start, and the pattern that read it.

    again_us: the second instant of that name, where the clock was put back and showed the hour twice; else None.
    skipped: the local time never was, since the clock was put forward over it.
    """

    camera: str
    start_us: int
    pattern: str
    again_us: int | None = None
    skipped: bool = False


_DAY = r"(?P<year>20\d\d|19\d\d){0}(?P<month>0[1-9]|1[0-2]){0}(?P<day>0[1-9]|[12]\d|3[01])"
_TIME = r"(?P<hour>[01]\d|2[0-3]){0}(?P<minute>[0-5]\d){0}(?P<second>[0-5]\d)"
_ZONE = r"(?P<zone>Z|[+-]\d\d:?\d\d)?"
_COMPACT = _DAY.format("") + _TIME.format("")

BUILT_IN: tuple[NamePattern, ...] = (
    # 2026-05-01/08/gate/15.30.mp4: day / hour / camera / minute.second, always UTC
    NamePattern(
        "frigate",
        _DAY.format("-") + r"/(?P<hour>[01]\d|2[0-3])/(?P<camera>[^/]+)/(?P<minute>[0-5]\d)\.(?P<second>[0-5]\d)\.\w+$",
        timezone="UTC",
    ),
    # gate_2026-05-01T08:15:30.250+02:00.mp4, cam1_20260501T080000Z.mp4
    NamePattern(
        "iso",
        r"(?:^|/)(?:(?P<camera>[^/]*?)[ _.-]+)?(?<!\d)"
        + _DAY.format("-?")
        + r"[T_ -]"
        + _TIME.format("[:.-]?")
        + r"(?:[.,](?P<fraction>\d{1,6}))?"
        + _ZONE
        + r"(?!\d)[^/]*$",
    ),
    # gate_00_20231023185959.mp4, RecM01_20231023_185959_190030_….mp4
    NamePattern("reolink", r"(?:^|/)(?:(?P<camera>[^/]*?)_)?(?:\d\d_)?(?<!\d)" + _COMPACT + r"(?!\d)[^/]*$"),
    # ch01_00000000012000301.mp4 carries no time; 192.168.1.64_01_20231023185959123_TIMING.mp4 does
    NamePattern(
        "hikvision",
        r"(?:^|/)(?:(?P<camera>[^/]*?)_)?(?<!\d)" + _COMPACT + r"(?P<fraction>\d{3})?(?!\d)[^/]*$",
    ),
    # 2023-10-23/001/dav/18/18.59.59-19.00.29[M][0@0][0].mp4: day / channel / dav / hour / from-to
    NamePattern(
        "dahua",
        _DAY.format("-") + r"/(?:(?P<camera>[^/]+)/)?(?:.*/)?" + _TIME.format(r"\.") + r"-\d\d\.\d\d\.\d\d[^/]*$",
    ),
)  # fmt: skip

# Layouts whose folders name the camera.
IN_FOLDERS = ("frigate", "dahua")

_BY_NAME = {pattern.name: pattern for pattern in BUILT_IN}


def built_in(name: str) -> NamePattern:
    """A pattern by name (KeyError where there is none of that name)."""
    return _BY_NAME[name]


def built_in_names() -> list[str]:
    return list(_BY_NAME)


def check(pattern: NamePattern) -> None:
    """Raise ValueError with one sentence where a user's pattern cannot work."""
    try:
        groups = set(re.compile(pattern.regex).groupindex)
    except re.error as error:
        raise ValueError(f"regex is not a regular expression: {error}") from None
    whole = {"year", "month", "day", "hour", "minute", "second"} <= groups
    if "start" in groups and not pattern.strptime:
        raise ValueError("regex has the group 'start', so strptime must say how to read it")
    if "start" not in groups and not whole:
        raise ValueError(
            "regex wants a group (?P<start>…) read by strptime, or groups year, month, day, hour, minute, second"
        )


def read_start(path: PurePath, pattern: NamePattern, site_timezone: str = "UTC") -> NamedStart | None:
    """The start a file name tells by one pattern, or None where the pattern does not fit or names no real time."""
    found = re.search(pattern.regex, path.as_posix())
    if found is None:
        return None
    groups = {key: value for key, value in found.groupdict().items() if value is not None}
    try:
        start = _time(groups, pattern)
        if not 1900 <= start.year <= 2200:
            return None
    except (ValueError, OverflowError):
        return None
    if start.tzinfo is not None:
        return NamedStart(groups.get("camera", ""), to_us(start), pattern.name)
    local = start.replace(tzinfo=ZoneInfo(pattern.timezone or site_timezone))
    first, second = to_us(local), to_us(local.replace(fold=1))
    # Put back, the second pass is later; put forward, the reading by the old offset lies after that by the new one.
    again = second if second > first else None
    return NamedStart(groups.get("camera", ""), first, pattern.name, again, second < first)


def guess_start(path: PurePath, site_timezone: str = "UTC") -> NamedStart | None:
    """The start by the first built-in pattern that fits."""
    for pattern in BUILT_IN:
        if (found := read_start(path, pattern, site_timezone)) is not None:
            return found
    return None


def to_us(time: datetime) -> int:
    """Microseconds since 1970 of an aware time. In the hour that a clock change repeats, the first one is meant."""
    return (time.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _time(groups: Mapping[str, str], pattern: NamePattern) -> datetime:
    if "start" in groups:
        time = datetime.strptime(groups["start"], pattern.strptime)
        # strptime takes a literal Z for a letter like any other; it always means UTC.
        literal_utc = (
            time.tzinfo is None and pattern.strptime.endswith("Z") and not pattern.strptime.endswith("%Z")
        )
        return time.replace(tzinfo=UTC) if literal_utc else time
    parts = [int(groups[key]) for key in ("year", "month", "day", "hour", "minute", "second")]
    fraction = int(groups.get("fraction", "").ljust(6, "0") or 0)
    return datetime(*parts[:6], fraction, tzinfo=_zone(groups.get("zone", "")))  # type: ignore[misc, arg-type]


def _zone(text: str) -> timezone | None:
    if not text:
        return None
    if text == "Z":
        return UTC
    sign = -1 if text[0] == "-" else 1
    return timezone(sign * timedelta(hours=int(text[1:3]), minutes=int(text[-2:])))
