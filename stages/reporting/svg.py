"""Line and bar charts as inline SVG: no library, no script, colours from the style sheet.

Every function returns markup whose texts are escaped. Coordinates are rounded to a tenth of a unit, which keeps the
page small and the same numbers the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

WIDTH, HEIGHT = 480, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 34, 46


@dataclass(frozen=True)
class Series:
    """One line: ``x``, ``y`` of equal length; ``colour`` is a class of the style sheet (s0 … s3)."""

    label: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    colour: str = "s0"
    dots: bool = False
    faint: bool = False


def nice_ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) inside [low, high], roughly ``about`` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def number(value: float) -> str:
    """A tick as few digits as it needs: 0.25, 20, 15 000."""
    text = f"{value:,.4f}".rstrip("0").rstrip(".") if abs(value) < 1000 else f"{value:,.0f}"
    return text.replace(",", "\u202f")


def percent(value: float) -> str:
    """A fraction as a tick in per cent."""
    return number(round(100 * value, 6))


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str,
    y_label: str,
    y_range: tuple[float, float] | None = None,
    y_format: Callable[[float], str] = number,
    x_names: Sequence[str] = (),
    dividers: Sequence[tuple[float, str]] = (),
    levels: Sequence[tuple[float, str]] = (),
    ring: tuple[float, float] | None = None,
) -> Markup:
    """Lines over a common pair of axes.

    Args:
        y_range: ends of the y axis; from the values where None.
        x_names: names of x = 0, 1, …, for categories; numbers otherwise.
        dividers: dashed verticals (x, name), where a round begins.
        levels: dashed horizontals (y, name), a reference to reach.
        ring: (x, y) of one point to circle.
    """
    xs = np.concatenate([np.asarray(s.x, float) for s in series] or [np.zeros(0)])
    ys = np.concatenate([np.asarray(s.y, float) for s in series] + [np.array([v for v, _ in levels])])
    x_low, x_high = (float(xs.min()), float(xs.max())) if len(xs) else (0.0, 1.0)
    if x_names:
        x_low, x_high = -0.3, len(x_names) - 0.7
    elif x_high <= x_low:
        x_low, x_high = x_low - 0.5, x_high + 0.5
    y_low, y_high = y_range or _padded(ys)

    def px(x: float) -> float:
        return _LEFT + (x - x_low) / (x_high - x_low) * (WIDTH - _LEFT - _RIGHT)

    def py(y: float) -> float:
        return HEIGHT - _BOTTOM - (y - y_low) / (y_high - y_low) * (HEIGHT - _TOP - _BOTTOM)

    parts = [_y_axis(nice_ticks(y_low, y_high), py, y_format, y_label)]
    if x_names:
        ticks = _spread(list(enumerate(x_names)), px)
    else:
        ticks = [(t, number(t)) for t in nice_ticks(x_low, x_high)]
    parts.append(_x_axis([(px(x), name) for x, name in ticks], x_label))
    named_until = -math.inf
    for x, name in dividers:
        parts.append(line(px(x), _TOP, px(x), HEIGHT - _BOTTOM, "divider"))
        if px(x) >= named_until:
            parts.append(text(px(x), _TOP - 5, name, "small"))
            named_until = px(x) + 6.5 * len(name)
    for y, name in levels:
        parts.append(line(_LEFT, py(y), WIDTH - _RIGHT, py(y), "level"))
        parts.append(text(WIDTH - _RIGHT, py(y) - 4, name, "small", "end"))
    for s in series:
        points = [(px(x), py(min(max(y, y_low), y_high))) for x, y in zip(s.x, s.y, strict=True)]
        path = " ".join(f"{rounded(x)},{rounded(y)}" for x, y in points)
        if len(points) > 1:
            shape = f"line {s.colour}" + (" faint" if s.faint else "")
            parts.append(Markup('<polyline class="{}" points="{}"/>').format(shape, path))
        if s.dots or len(points) == 1:
            for (x, y), true_y in zip(points, s.y, strict=True):
                parts.append(
                    Markup(
                        '<circle class="dot {}" cx="{}" cy="{}" r="3.5"><title>{}: {}</title></circle>'
                    ).format(s.colour, rounded(x), rounded(y), s.label, y_format(round(float(true_y), 4)))
                )
    if ring is not None:
        parts.append(
            Markup('<circle class="ring" cx="{}" cy="{}" r="7"/>').format(
                rounded(px(ring[0])), rounded(py(ring[1]))
            )
        )
    return drawing(title, WIDTH, HEIGHT, parts)


def bar_chart(
    names: Sequence[str], values: Sequence[float], *, title: str, x_label: str, y_label: str
) -> Markup:
    """One bar per name, with its value above it."""
    y_high = max([*values, 1e-9]) * 1.12
    slot = (WIDTH - _LEFT - _RIGHT) / max(len(names), 1)
    width = min(slot * 0.7, 60)

    def px(i: float) -> float:
        return _LEFT + (i + 0.5) * slot

    def py(y: float) -> float:
        return HEIGHT - _BOTTOM - y / y_high * (HEIGHT - _TOP - _BOTTOM)

    ticks = [t for t in nice_ticks(0, y_high, 4) if t == int(t)] or [0]
    parts = [_y_axis(ticks, py, number, y_label)]
    for i, value in enumerate(values):
        parts.append(
            Markup(
                '<rect class="fill s0" x="{}" y="{}" width="{}" height="{}"><title>{}: {}</title></rect>'
            ).format(
                rounded(px(i) - width / 2),
                rounded(py(value)),
                rounded(width),
                rounded(py(0) - py(value)),
                names[i],
                number(value),
            )
        )
        if slot >= 26:
            parts.append(text(px(i), py(value) - 4, number(value), "small", "middle"))
    ticks_x = _spread(list(enumerate(names)), px)
    parts.append(_x_axis([(px(i), name) for i, name in ticks_x], x_label))
    return drawing(title, WIDTH, HEIGHT, parts)


def histogram(
    counts: Sequence[int] | np.ndarray,
    edges: Sequence[float] | np.ndarray,
    *,
    title: str,
    x_label: str,
    y_label: str,
    curve: tuple[np.ndarray, np.ndarray] | None = None,
) -> Markup:
    """Bars between ``edges`` (one more than ``counts``), and a curve (x, y) of what was expected."""
    y_high = max([*counts, 1, *(curve[1] if curve else ())]) * 1.1
    low, high = float(edges[0]), float(edges[-1])

    def px(x: float) -> float:
        return _LEFT + (x - low) / (high - low) * (WIDTH - _LEFT - _RIGHT)

    def py(y: float) -> float:
        return HEIGHT - _BOTTOM - y / y_high * (HEIGHT - _TOP - _BOTTOM)

    ticks = [t for t in nice_ticks(0, y_high, 4) if t == int(t)] or [0]
    parts = [_y_axis(ticks, py, number, y_label)]
    for count, left, right in zip(counts, edges[:-1], edges[1:], strict=True):
        parts.append(
            Markup('<rect class="fill s0" x="{}" y="{}" width="{}" height="{}"><title>{} to {}: {}</title></rect>').format(
                rounded(px(left) + 0.5), rounded(py(count)), rounded(px(right) - px(left) - 1), rounded(py(0) - py(count)),
                number(round(left, 1)), number(round(right, 1)), number(count),
            )
        )  # fmt: skip
    if curve:
        path = " ".join(f"{rounded(px(x))},{rounded(py(y))}" for x, y in zip(*curve, strict=True))
        parts.append(Markup('<polyline class="line s1" points="{}"/>').format(path))
    parts.append(_x_axis([(px(t), number(t)) for t in nice_ticks(low, high)], x_label))
    return drawing(title, WIDTH, HEIGHT, parts)


def _padded(values: np.ndarray) -> tuple[float, float]:
    """From zero, or from below where values are negative, to a little above the largest."""
    if not len(values):
        return 0.0, 1.0
    low, high = min(0.0, float(values.min())), max(0.0, float(values.max()))
    return (low * 1.08, high * 1.08) if high > low else (0.0, 1.0)


def _spread(ticks: Sequence[tuple[int, str]], px: Callable[[float], float]) -> list[tuple[float, str]]:
    """As many names as fit beside each other."""
    longest = max((len(name) for _, name in ticks), default=1)
    slot = px(1) - px(0)
    every = max(1, math.ceil((longest * 7 + 6) / slot))
    return [(float(i), name) for i, name in ticks[::every]]


def _y_axis(
    ticks: Sequence[float], py: Callable[[float], float], y_format: Callable[[float], str], label: str
) -> Markup:
    parts = []
    for t in ticks:
        parts.append(line(_LEFT, py(t), WIDTH - _RIGHT, py(t), "grid"))
        parts.append(text(_LEFT - 6, py(t) + 4, y_format(t), "", "end"))
    parts.append(text(2, 12, label, "label"))
    return Markup("").join(parts)


def _x_axis(ticks: Sequence[tuple[float, str]], label: str) -> Markup:
    base = HEIGHT - _BOTTOM
    parts = [line(_LEFT, base, WIDTH - _RIGHT, base, "axis")]
    for x, name in ticks:
        parts.append(line(x, base, x, base + 4, "axis"))
        parts.append(text(x, base + 17, name, "", "middle"))
    parts.append(text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 8, label, "label", "middle"))
    return Markup("").join(parts)


def drawing(title: str, width: float, height: float, parts: Sequence[Markup]) -> Markup:
    """The parts as one picture, ``width`` by ``height`` units."""
    return Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>').format(
        rounded(width), rounded(height), title, Markup("\n").join(parts)
    )


def line(x1: float, y1: float, x2: float, y2: float, shape: str) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(
        shape, rounded(x1), rounded(y1), rounded(x2), rounded(y2)
    )


def text(x: float, y: float, text: str, shape: str = "", anchor: str = "start") -> Markup:
    extra = Markup(' class="{}"').format(shape) if shape else Markup("")
    return Markup('<text{} x="{}" y="{}" text-anchor="{}">{}</text>').format(
        extra, rounded(x), rounded(y), anchor, escape(text)
    )


def rounded(value: float) -> str:
    return f"{value:.1f}".rstrip("0").rstrip(".")
