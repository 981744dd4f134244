"""The ways between cameras: how many people took each, and how long they took against what the site file expects."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from markupsafe import Markup

from stages.reporting import svg
from stages.reporting.people import NOBODY

if TYPE_CHECKING:
    from camera_topology.site import Site

_MAP_WIDTH, _MAP_HEIGHT, _MARGIN = 480.0, 340.0, 46.0
_HIDDEN = 16  # px: the links of others that pass a camera so near are drawn round it

Place = tuple[float, float]
_BINS = 16


@dataclass(frozen=True)
class Link:
    """One directed way. outside: share the site file finds hard to believe; stragglers: how many the drawing leaves out;
    drawing: expected and observed transit times, None where too few people took it."""

    name: str
    count: int
    expected: str
    observed: str
    outside: str
    stragglers: int
    drawing: Markup | None


def crossings(table: pd.DataFrame) -> pd.DataFrame:
    """One row each time a person was seen in another camera next: from_, to, seconds (end to start; below 0 where both saw),
    person.

    Args:
        table: TRACKLETS with identity, as from `people.gather`.
    """
    return timed_crossings(table).drop(columns="left_us")


def timed_crossings(table: pd.DataFrame) -> pd.DataFrame:
    """The same with left_us: when the first camera was left, µs by its clock."""
    seen = table[table.identity != NOBODY].sort_values(
        ["identity", "t_start_us", "tracklet_id"], kind="stable"
    )
    after = seen.groupby("identity")[["camera_id", "t_start_us"]].shift(-1)
    moved = after.camera_id.notna() & (after.camera_id != seen.camera_id)
    return pd.DataFrame(
        {
            "from_": seen.camera_id[moved].astype(str),
            "to": after.camera_id[moved].astype(str),
            "seconds": (after.t_start_us[moved] - seen.t_end_us[moved]) / 1e6,
            "person": seen.identity[moved],
            "left_us": seen.t_end_us[moved],
        }
    ).reset_index(drop=True)


def links(
    moves: pd.DataFrame, site: Site, clock_std_s: Mapping[str, float], max_items: int, min_people: int = 5
) -> list[Link]:
    """The ways people took most, at most ``most`` of them, with the two curves where at least ``min_people`` did."""
    counts = moves.groupby(["from_", "to"]).size().rename("n").reset_index()
    counts = counts.sort_values(["n", "from_", "to"], ascending=[False, True, True])[:max_items]
    found = []
    for a, b, count in zip(counts.from_.astype(str), counts.to.astype(str), counts.n, strict=True):
        seconds = moves.seconds[(moves.from_ == a) & (moves.to == b)].to_numpy()
        expected = _expected(site, a, b)
        low, middle, high = np.quantile(seconds, [0.1, 0.5, 0.9])
        least, max_s = shown_range(seconds)
        likeness = prior_curve(site, a, b, seconds, clock_std_s)
        found.append(
            Link(
                name=f"{a} → {b}", count=int(count), expected=expected,
                observed=f"{middle:.0f} s ({low:.0f} to {high:.0f})",
                outside="" if not expected else f"{100 * (likeness < math.exp(-2)).mean():.0f} %",
                stragglers=int(((seconds < least) | (seconds > max_s)).sum()),
                drawing=_drawing(a, b, seconds, site, clock_std_s) if count >= min_people else None,
            )
        )  # fmt: skip
    return found


def prior_curve(
    site: Site, a: str, b: str, seconds: npt.NDArray[np.floating], clock_std_s: Mapping[str, float]
) -> npt.NDArray[np.float64]:
    """(N,) the prior R, 0 to 1, of these transit times from camera a to camera b; 0 where one is impossible."""
    from camera_topology.prior import pair_prior

    n, base = len(seconds), 10**15
    # Tracklets longer than any of these times, or a negative one would read as a walk the other way round.
    length = round((float(np.abs(seconds).max(initial=0)) + 1) * 1e6)
    end = np.full(n, base, np.int64)
    start = end + np.round(np.asarray(seconds) * 1e6).astype(np.int64)
    known = {c: s for c, s in clock_std_s.items() if c in (a, b)}
    prior = pair_prior(site, [a] * n, end - length, end, [b] * n, start, start + length, clock_std_s=known)
    return np.where(prior.gate, np.exp(prior.log_prior), 0.0)


def _expected(site: Site, a: str, b: str) -> str:
    """What the site file says of this way, in a few words; empty where it says nothing."""
    relation, metres, transit = site.relation(a, b), site.distance_m(a, b), site.transit_s(a, b)
    if relation == "unlisted":
        return ""
    if relation in ("overlap", "forbidden"):
        return {"overlap": "views overlap", "forbidden": "forbidden"}[relation]
    if transit is not None and transit.mean is not None:
        return f"{transit.mean:.0f} ± {transit.std or 0:.0f} s"
    if transit is not None and transit.typical is not None:
        return f"{transit.typical:.0f} s ({transit.min or 0:.0f} to {transit.max or 0:.0f})"
    if metres is not None:
        return f"{metres / site.walking_speed.mean:.0f} s ({metres:g} m)"
    return "connected"


def _drawing(
    a: str, b: str, seconds: npt.NDArray[np.floating], site: Site, clock_std_s: Mapping[str, float]
) -> Markup:
    low, high = shown_range(seconds)
    edges = np.linspace(low, high, _BINS + 1)
    counts, _ = np.histogram(seconds, edges)
    x = np.linspace(low, high, 121)
    reach = 5 * max(high - low, 60.0)
    wide = np.linspace(low - reach, high + reach, 4001)
    curve, everywhere = (prior_curve(site, a, b, at, clock_std_s) for at in (x, wide))
    area = float(np.trapezoid(everywhere, wide))
    flat = np.ptp(everywhere) < 0.02 or area <= 0
    return svg.histogram(
        counts, edges, title=f"Transit times {a} → {b}", x_label="from leaving to entering, s", y_label="people",
        curve=None if flat else (x, curve * counts.sum() * (edges[1] - edges[0]) / area),
    )  # fmt: skip


def shown_range(seconds: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Ends of the axis: all transit times but stragglers (who came back an hour later), with some room."""
    low, high = np.quantile(seconds, [0.1, 0.9])
    reach = 1.5 * max(high - low, 2.0)
    near = seconds[(seconds >= low - reach) & (seconds <= high + reach)]
    pad = max(0.15 * float(np.ptp(near)), 1.0)
    return float(near.min()) - pad, float(near.max()) + pad


def site_map(cameras: Sequence[str], moves: pd.DataFrame, site: Site) -> Markup | None:
    """Cameras where the site file puts them (on a circle where it does not, or two in one place), joined by lines as wide as people took them.

    None for fewer than two cameras.
    """
    if len(cameras) < 2:
        return None
    at = _places(cameras, site)
    pairs = pd.Series(
        [tuple(sorted(pair)) for pair in zip(moves.from_, moves.to, strict=True)], dtype="object"
    ).value_counts()
    declared = {tuple(sorted(pair)) for pair in site.links if site.relation(*pair) != "forbidden"}
    parts = []
    for pair in sorted(declared | set(pairs.index)):
        if pair[0] not in at or pair[1] not in at:
            continue
        one, other = at[pair[0]], at[pair[1]]
        passed = [c for c in at if c not in pair and _near_line(at[c], one, other)]
        bend = _bend(one, other, len(passed))
        count = int(pairs.get(pair, 0))
        width = 1 + 7 * count / max(int(pairs.max()), 1) if count else 1
        said = f"{pair[0]} – {pair[1]}: taken {count} times" + (
            "" if pair in declared else ", not in the site file"
        )
        parts.append(
            Markup(
                '<path class="way{}" d="M{} {}Q{} {} {} {}" fill="none" stroke-width="{}"><title>{}</title></path>'
            ).format(
                "" if count else " unused", *(svg.rounded(v) for v in (*one, *bend, *other, width)), said
            )
        )
        if count and len(cameras) <= 16:
            x, y = ((a + 2 * b + c) / 4 for a, b, c in zip(one, bend, other, strict=True))
            parts.append(svg.text(x, y - 4, str(count), "small on", "middle"))
    for name, (x, y) in at.items():
        parts.append(
            Markup('<circle class="place" cx="{}" cy="{}" r="9"/>').format(svg.rounded(x), svg.rounded(y))
        )
        half = min(4.0 * len(name), _MAP_WIDTH / 2)  # the name stays inside the picture
        parts.append(svg.text(min(max(x, half), _MAP_WIDTH - half), y - 15, name, "camera", "middle"))
    return svg.drawing("The camera network", _MAP_WIDTH, _MAP_HEIGHT, parts)


def _near_line(point: Place, one: Place, other: Place) -> bool:
    """Whether a camera lies so near the straight line between two others that their link would hide it."""
    p, a, b = (np.array(place) for place in (point, one, other))
    along = float(np.clip((p - a) @ (b - a) / max(float((b - a) @ (b - a)), 1e-9), 0, 1))
    return float(np.hypot(*(a + along * (b - a) - p))) < _HIDDEN


def _bend(one: Place, other: Place, passed: int) -> Place:
    """Control point of a link: on the straight line, or off to one side or the other, the farther the more cameras it passes."""
    a, b = np.array(one), np.array(other)
    side = 0.0 if not passed else (0.3 + 0.12 * passed) * (-1) ** passed
    x, y = (a + b) / 2 + side * np.array([a[1] - b[1], b[0] - a[0]])
    # The curve itself goes half as far as its control point, and stays inside the picture.
    ends = (a[1] + b[1]) / 2
    return float(x), float(np.clip(y, 2 * _MARGIN - ends, 2 * (_MAP_HEIGHT - _MARGIN) - ends))


def _places(cameras: Sequence[str], site: Site) -> dict[str, tuple[float, float]]:
    known = {c: p for c in cameras if (p := site.camera(c).position) is not None}
    if len({(p.x_m, p.y_m) for p in known.values()}) == len(cameras):
        x = np.array([known[c].x_m for c in cameras])
        y = -np.array([known[c].y_m for c in cameras])  # a map's north is up
    else:
        angle = 2 * np.pi * np.arange(len(cameras)) / len(cameras) - np.pi / 2
        x, y = np.cos(angle), np.sin(angle)
    room = np.array([_MAP_WIDTH, _MAP_HEIGHT]) - 2 * _MARGIN
    span = np.maximum([np.ptp(x), np.ptp(y)], 1e-9)
    scale = float((room / span).min())
    across = (_MAP_WIDTH - scale * np.ptp(x)) / 2 + scale * (x - x.min())
    down = (_MAP_HEIGHT - scale * np.ptp(y)) / 2 + scale * (y - y.min())
    return {c: (float(across[i]), float(down[i])) for i, c in enumerate(cameras)}
