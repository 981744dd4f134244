"""What was recorded: one line per camera, one line per file, and the files with a problem apart."""

from __future__ import annotations

import pandas as pd

from stages.reporting import svg
from stages.reporting.clock import Clock, duration, elapsed
from stages.reporting.people import rows as rows_of


def cameras(videos: pd.DataFrame, tracklets: pd.DataFrame, clock: Clock) -> list[dict[str, str]]:
    """Rows: camera, files, recorded, span, picture, tracklets, length, score, notes."""
    of_camera = dict(list(tracklets.groupby("camera_id")))
    rows = []
    for camera, files in videos.groupby("camera_id", sort=True):
        good = files[files.status == "ok"]
        own = of_camera.get(camera, tracklets.iloc[:0])
        notes = []
        if bad := len(files) - len(good):
            notes.append(f"{bad} unreadable file{'s' * (bad > 1)}")
        if len(good) and (good.time_source == "assumed").any():
            notes.append("start time unknown, assumed")
        if len(good) and (uncertain := float(good.time_std_s.max())) >= 1:
            notes.append(f"clock known to ± {uncertain:.0f} s")
        if noted := int((good.note != "").sum()):
            notes.append(f"{noted} file{'s' * (noted > 1)} with a note")
        rows.append(
            {
                "camera": str(camera),
                "files": str(len(files)),
                "recorded": duration(recorded_s(good)),
                "span": _span(good, clock),
                "picture": _picture(good),
                "tracklets": svg.number(len(own)),
                "length": f"{((own.t_end_us - own.t_start_us) / 1e6).median():.1f} s" if len(own) else "–",
                "score": f"{100 * own.mean_score.median():.0f} %" if len(own) else "–",
                "notes": "; ".join(notes),
            }
        )
    return rows


def files(videos: pd.DataFrame, clock: Clock) -> list[dict[str, str]]:
    """Rows: camera, file, start, length, frames, fps, note; in order of camera and time."""
    rows = []
    for row in rows_of(videos.sort_values(["camera_id", "t_start_us", "video_id"], kind="stable")):
        good = row.status == "ok"
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
                "note": "; ".join(part for part in ("" if good else "unreadable", str(row.note)) if part),
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
