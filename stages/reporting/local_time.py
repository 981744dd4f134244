"""Instants as a person on the site reads them: local time where the clock is known, time into the file where not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pandas as pd

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Clock:
    """zone_name: IANA name of the site's zone; untimed: start in µs of each video whose start time was assumed."""

    zone: tzinfo
    zone_name: str
    untimed: dict[str, int]
    many_days: bool

    def local(self, t_utc_us: int) -> datetime:
        return (_EPOCH + timedelta(microseconds=int(t_utc_us))).astimezone(self.zone)

    def time(self, t_utc_us: int) -> str:
        """08:00:31"""
        return f"{self.local(t_utc_us):%H:%M:%S}"

    def day(self, t_utc_us: int) -> str:
        """1 May 2026"""
        local = self.local(t_utc_us)
        return f"{local.day} {local:%b %Y}"

    def moment(self, t_utc_us: int, video_id: str) -> str:
        """Short: ``08:00:31``, with the day where the footage spans several; ``+1:02`` into a file without a clock."""
        if video_id in self.untimed:
            return "+" + elapsed((t_utc_us - self.untimed[video_id]) / 1e6)
        if self.many_days:
            local = self.local(t_utc_us)
            return f"{local.day} {local:%b} {local:%H:%M:%S}"
        return self.time(t_utc_us)


def make_clock(videos: pd.DataFrame, zone_name: str) -> Clock:
    """The clock of a site; an unknown zone falls back to UTC and says so in its name."""
    try:
        zone: tzinfo = ZoneInfo(zone_name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        zone, zone_name = UTC, "UTC"
    timed = videos[(videos.time_source != "assumed") & (videos.status == "ok")]
    untimed = videos[videos.time_source == "assumed"]
    clock = Clock(
        zone, zone_name, dict(zip(untimed.video_id, untimed.t_start_us.astype(int), strict=True)), False
    )
    days = {clock.day(t) for t in (*timed.t_start_us, *timed.t_end_us)}
    return Clock(zone, zone_name, clock.untimed, len(days) > 1)


def elapsed(seconds: float) -> str:
    """1:02, 12:40 or 1:02:05, from a number of seconds."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def duration(seconds: float) -> str:
    """In words: ``48 seconds``, ``49 minutes``, ``7.5 hours``, ``12 days``."""
    if seconds < 90:
        value, unit = f"{seconds:.0f}", "second"
    elif seconds < 90 * 60:
        value, unit = f"{seconds / 60:.0f}", "minute"
    elif seconds < 72 * 3600:
        value, unit = f"{seconds / 3600:.1f}".removesuffix(".0"), "hour"
    else:
        value, unit = f"{seconds / 86400:.1f}".removesuffix(".0"), "day"
    return f"{value} {unit}" + ("" if value == "1" else "s")
