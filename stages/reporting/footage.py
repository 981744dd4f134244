"""What was recorded: one line per camera, one line per file, and the files with a problem apart."""

from __future__ import annotations

import pandas as pd

from camera_topology.site import Site
from stages.recording.inventory import Recorded, by_camera, n_days, slow
from stages.reporting import svg
from stages.reporting.local_time import Clock, duration, elapsed
from stages.reporting.people import rows as rows_of


def cameras(videos: pd.DataFrame, tracklets: pd.DataFrame, clock: Clock) -> list[dict[str, str]]:
    """Rows: camera, files, recorded, span, gaps, picture, night, clock, tracklets, length, score, notes."""
    of_camera = dict(list(tracklets.groupby("camera_id")))
    rows = []
    for found in by_camera(videos):
        own = of_camera.get(found.camera_id, tracklets.iloc[:0])
        good = videos[(videos.camera_id == found.camera_id) & (videos.status == "ok")]
        rows.append(
            {
                "camera": found.camera_id,
                "files": str(found.files),
                "recorded": duration(recorded_s(good)),
                "span": _span(good, clock),
                "gaps": f"{found.gaps} ({duration(found.gaps_s)})" if found.gaps else "none",
                "picture": _picture(good),
                "night": f"{100 * found.grey_fraction:.0f} %",
                "clock": found.clock,
                "tracklets": svg.number(len(own)),
                "length": f"{((own.t_end_us - own.t_start_us) / 1e6).median():.1f} s" if len(own) else "–",
                "score": f"{100 * own.mean_score.median():.0f} %" if len(own) else "–",
                "notes": "; ".join(_notes(found)),
            }
        )
    return rows


def _notes(found: Recorded) -> list[str]:
    """What a person should know of a camera's files."""
    counted = (
        (found.unreadable, "unreadable file", ""),
        (found.repeated, "repeated file", ""),
        (found.outside, "file", " outside of the time asked for"),
        (found.overlaps, "file", " overlapping an earlier one"),
    )
    notes = [f"{n} {what}{'s' * (n > 1)}{where}" for n, what, where in counted if n]
    if found.damaged:
        notes.append(f"{svg.number(found.damaged)} packets or frames damaged")
    if found.repaired_times:
        notes.append(f"{svg.number(found.repaired_times)} timestamps repaired")
    if slow(found):
        notes.append(f"{found.fps:.1f} frames a second arrive where {found.stamped_fps:.1f} are stamped")
    if "assumed" in found.clock:
        notes.append("start time unknown, assumed")
    return notes


def days(videos: pd.DataFrame, site: Site) -> str:
    """How people of several days are told apart; nothing to say of one."""
    count = n_days(videos, site)
    if count < 2:
        return ""
    if site.across_days:
        return f"The footage is of {count} days; people are joined across them, as the site file asks."
    return (
        f"The footage is of {count} days. Clothes change over night, so nobody is joined across days: one person on two days is "
        "two people here (a site file can say otherwise: defaults: {across_days: true})."
    )


def files(videos: pd.DataFrame, clock: Clock) -> list[dict[str, str]]:
    """Rows: camera, file, start, length, frames, fps, note; in order of camera and time."""
    rows = []
    for row in rows_of(videos.sort_values(["camera_id", "t_start_us", "video_id"], kind="stable")):
        good = row.status in ("ok", "outside")
        timed = str(row.video_id) not in clock.untimed
        start = f"{clock.day(row.t_start_us)} {clock.time(row.t_start_us)}" if timed else "unknown"
        rows.append(
            {
                "camera": str(row.camera_id),
                "file": str(row.path).rsplit("/", 1)[-1],
                "start": start if good else "–",
                "length": elapsed((row.t_end_us - row.t_start_us) / 1e6) if good else "–",
                "frames": svg.number(row.frames) if good else "–",
                "fps": f"{row.fps:.2f}".rstrip("0").rstrip(".") if good and row.fps else "–",
                "note": "; ".join(
                    part for part in ("" if row.status == "ok" else str(row.status), str(row.note)) if part
                ),
            }
        )
    return rows


def recorded_s(videos: pd.DataFrame) -> float:
    """Seconds of footage in all files together."""
    return float((videos.t_until_us - videos.t_from_us).sum()) / 1e6


def _span(videos: pd.DataFrame, clock: Clock) -> str:
    timed = videos[~videos.video_id.isin(list(clock.untimed))]
    if timed.empty:
        return "unknown"
    start, end = int(timed.t_from_us.min()), int(timed.t_until_us.max())
    if clock.day(start) == clock.day(end):
        return f"{clock.day(start)}, {clock.time(start)} – {clock.time(end)}"
    return f"{clock.day(start)}, {clock.time(start)} – {clock.day(end)}, {clock.time(end)}"


def _picture(videos: pd.DataFrame) -> str:
    sizes = sorted({(int(w), int(h)) for w, h in zip(videos.width, videos.height, strict=True)})
    rates = sorted({round(float(f), 1) for f in videos.fps if f > 0})
    text = ", ".join(f"{w}×{h}" for w, h in sizes[:3]) + (" …" if len(sizes) > 3 else "")
    if rates:
        low, high = f"{rates[0]:g}", f"{rates[-1]:g}"
        text += f", {low} fps" if low == high else f", {low} – {high} fps"
    return text or "–"
