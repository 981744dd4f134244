"""Who was where, when: one panel per stretch of recording, one band per camera, one bar per tracklet."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from markupsafe import Markup

from stages.reporting import svg
from stages.reporting.local_time import Clock, duration, elapsed
from stages.reporting.people import rows

Place = Callable[[float], float]  # instant in µs → x of the drawing

_WIDTH, _SIDE = 1080, 10
_LABEL, _GAP, _AXIS = 19, 8, 40
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 604800)


@dataclass(frozen=True)
class Panel:
    """One stretch of recording, drawn."""

    title: str
    note: str
    drawing: Markup


def sessions(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches [start, end] in µs without a long gap: longer than a minute and than a tenth of all recorded time."""
    merged: list[list[int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    longest_gap_us = max(60e6, 0.1 * sum(end - start for start, end in merged))
    joined: list[list[int]] = []
    for start, end in merged:
        if joined and start - joined[-1][1] <= longest_gap_us:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    return [(start, end) for start, end in joined]


def lanes(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(N,) lane of each bar so that none overlaps another in its lane; as few lanes as possible."""
    lane = np.zeros(len(start), dtype=np.int64)
    free: list[int] = []
    busy: list[tuple[int, int]] = []
    used = 0
    for i in np.lexsort((end, start)):
        while busy and busy[0][0] <= start[i]:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            lane[i] = heapq.heappop(free)
        else:
            lane[i], used = used, used + 1
        heapq.heappush(busy, (int(end[i]), int(lane[i])))
    return lane


def panels(
    videos: pd.DataFrame, bars: pd.DataFrame, clock: Clock, cut: tuple[int, int] | None, max_bars: int
) -> list[Panel]:
    """Draw all recordings.

    Args:
        videos: rows of VIDEOS whose status is ok.
        bars: camera_id, t_start_us, t_end_us, identity, hue, tip, href; hue -1 is grey, identity -1 nobody.
        cut: (train_until_us, test_from_us), marked where it falls.
        max_bars: beyond so many in all, bands show how many people are in view instead of single bars.
    """
    drawn = []
    spans = list(zip(videos.t_from_us.astype(int), videos.t_until_us.astype(int), strict=True))
    for start, end in sessions(spans):
        recorded = videos[(videos.t_until_us >= start) & (videos.t_from_us <= end)]
        seen = bars[(bars.t_end_us >= start) & (bars.t_start_us <= end)]
        relative = recorded.video_id.isin(list(clock.untimed)).all()
        drawing = _panel(start, end, recorded, seen, clock, cut, len(bars) > max_bars, bool(relative))
        if relative:
            title = "Recordings without a clock"
        else:
            title = f"{clock.day(start)}, {clock.time(start)} – {clock.time(end)}"
            if clock.day(start) != clock.day(end):
                title = f"{clock.day(start)}, {clock.time(start)} – {clock.day(end)}, {clock.time(end)}"
        drawn.append(Panel(title, f"{duration((end - start) / 1e6)}{_side(start, end, cut)}", drawing))
    return drawn


def _side(start: int, end: int, cut: tuple[int, int] | None) -> str:
    if cut is None:
        return ""
    if end <= cut[0]:
        return ", used for training"
    return ", held out from training" if start >= cut[1] else ", partly held out from training"


def _panel(
    start: int,
    end: int,
    videos: pd.DataFrame,
    bars: pd.DataFrame,
    clock: Clock,
    cut: tuple[int, int] | None,
    dense: bool,
    relative: bool,
) -> Markup:
    length = max(end - start, 1_000_000)
    scale = (_WIDTH - 2 * _SIDE) / length

    def px(t: float) -> float:
        return _SIDE + (min(max(t, start), end) - start) * scale

    parts: list[Markup] = []
    y = 4.0
    for camera in sorted(videos.camera_id.unique()):
        own = bars[bars.camera_id == camera]
        lane = lanes(own.t_start_us.to_numpy(), own.t_end_us.to_numpy())
        n_lanes = int(lane.max()) + 1 if len(lane) else 1
        parts.append(svg.text(_SIDE, y + 12, _short(camera), "camera"))
        facts = f"{svg.number(len(own))} tracklet" + "s" * (len(own) != 1)
        if n_lanes > 1:
            facts += f", up to {n_lanes} at once"
        parts.append(svg.text(_WIDTH - _SIDE, y + 12, facts, "small", "end"))
        y += _LABEL
        if dense or n_lanes > 40:
            height, band = 40.0, _density(own, start, end, px, y, 40.0)
        else:
            lane_height = 15 if n_lanes <= 14 else 6
            height = n_lanes * lane_height + 2.0
            band = _bars(own, lane, px, y + 1, lane_height)
        for row in rows(videos[videos.camera_id == camera]):
            parts.append(
                _rect("recorded", px(row.t_from_us), y, px(row.t_until_us) - px(row.t_from_us), height)
            )
        parts.append(band)
        y += height + _GAP
    axis = _time_axis(start, end, px, y, clock, relative)
    if cut is not None and start < cut[1] < end:
        x = px(cut[1])
        side = -4 if x > _WIDTH - 160 else 4
        parts.append(svg.line(x, 0, x, y, "cut"))
        parts.append(
            svg.text(x + side, y - 1, "held out from here on", "small", "end" if side < 0 else "start")
        )
    return Markup('<svg class="timeline" viewBox="0 0 {} {}" role="group" aria-label="{}">{}{}</svg>').format(
        _WIDTH, svg.rounded(y + _AXIS), "timeline per camera", axis, Markup("\n").join(parts)
    )


def _bars(own: pd.DataFrame, lane: np.ndarray, px: Place, y: float, lane_height: int) -> Markup:
    parts = []
    for row, k in zip(rows(own), lane, strict=True):
        x = px(row.t_start_us)
        width = max(px(row.t_end_us) - x, 1.5)
        name = str(row.identity) if row.identity >= 0 else ""
        shape = "bar one" if row.hue < 0 else "bar"
        top = y + k * lane_height
        box = Markup(
            '<rect class="{}" style="--h:{}" x="{}" y="{}" width="{}" height="{}" rx="2"><title>{}</title></rect>'
        ).format(
            shape, row.hue, svg.rounded(x), svg.rounded(top), svg.rounded(width), lane_height - 1, row.tip
        )
        if lane_height > 10 and name and width > 7 * len(name) + 3:
            box += svg.text(x + width / 2, top + lane_height - 4.5, name, "in", "middle")
        if row.href:
            box = Markup('<a href="{}" data-p="{}">{}</a>').format(row.href, row.identity, box)
        parts.append(box)
    return Markup("\n").join(parts)


def _density(own: pd.DataFrame, start: int, end: int, px: Place, y: float, height: float) -> Markup:
    """How many people are in view at once, the largest number per column of the picture."""
    if own.empty:
        return Markup("")
    columns = 530
    edges = np.linspace(start, max(end, start + 1), columns + 1)
    first = np.clip(np.searchsorted(edges, own.t_start_us, side="right") - 1, 0, columns - 1)
    last = np.clip(np.searchsorted(edges, own.t_end_us, side="right") - 1, 0, columns - 1)
    steps = np.zeros(columns + 1)
    np.add.at(steps, first, 1)
    np.add.at(steps, last + 1, -1)
    count = np.cumsum(steps)[:columns]
    top = max(count.max(), 1)
    points = [f"{svg.rounded(px(edges[0]))},{svg.rounded(y + height)}"]
    for i in range(columns):
        level = svg.rounded(y + height - count[i] / top * (height - 2))
        points += [f"{svg.rounded(px(edges[i]))},{level}", f"{svg.rounded(px(edges[i + 1]))},{level}"]
    points.append(f"{svg.rounded(px(edges[-1]))},{svg.rounded(y + height)}")
    return Markup('<polygon class="fill s0" points="{}"/>').format(" ".join(points))


def _time_axis(start: int, end: int, px: Place, y: float, clock: Clock, relative: bool) -> Markup:
    length_s = max((end - start) / 1e6, 1)
    step = next(
        (s for s in _STEPS_S if length_s / s <= 9), _STEPS_S[-1] * max(1, int(length_s / 604800 / 9) + 1)
    )
    offset_s = 0.0 if relative else clock.local(start).utcoffset().total_seconds()  # type: ignore[union-attr]
    zero_s = start / 1e6 if relative else -offset_s
    first = int(np.ceil((start / 1e6 - zero_s) / step - 1e-9))
    last = int(np.floor((end / 1e6 - zero_s) / step + 1e-9))
    parts = [svg.line(_SIDE, y, _WIDTH - _SIDE, y, "axis")]
    for k in range(first, last + 1):
        t = int((zero_s + k * step) * 1e6)
        if relative:
            name = elapsed(k * step)
        elif step >= 86400:
            name = clock.day(t).rsplit(" ", 1)[0]
        else:
            name = f"{clock.local(t):%H:%M:%S}" if step < 60 else f"{clock.local(t):%H:%M}"
        x = px(t)
        parts += [svg.line(x, 0, x, y + 4, "grid")]
        parts += [
            svg.text(x, y + 17, name, "", "start" if x < 30 else "end" if x > _WIDTH - 30 else "middle")
        ]
    label = "time since the start of the recording (min:s)" if relative else f"local time ({clock.zone_name})"
    parts.append(svg.text(_WIDTH / 2, y + 35, label, "label", "middle"))
    return Markup("").join(parts)


def _rect(shape: str, x: float, y: float, width: float, height: float) -> Markup:
    return Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}"/>').format(
        shape, svg.rounded(x), svg.rounded(y), svg.rounded(width), svg.rounded(height)
    )


def _short(name: str, longest: int = 60) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"
