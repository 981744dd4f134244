"""What the people of a finished run say about its site file: how long ways take, which are used, which clocks are off.

Nothing is written into the user's file. What is proposed stands in ``topology/patch.yaml`` of the run, with its evidence,
for a person to read and to copy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from camera_topology.discovery import Link, discover_links
from camera_topology.offsets import Offsets, clock_offsets
from pipeline import schema
from pipeline.errors import UserError
from pipeline.manifests import IDENTITIES, TRACKLETS, VIDEOS
from stages.reporting.transit_links import timed_crossings

if TYPE_CHECKING:
    import pandas as pd

    from camera_topology.site import Site

# A clock that is far off turns round who was seen first; set right by what was found, the sightings tell the rest.
_PASSES = 4
NEW = "walked, and not in the site file"
_LEAST_WALKS = 5  # fewer say nothing of how long a way takes


@dataclass(frozen=True)
class Way:
    """One directed way: what the site file expects (s, None where it says nothing), and the walks that were seen.

    likely: quantiles 10, 50 and 90 per cent of their seconds. link: what `discover_links` makes of them, None of none.
    """

    from_: str
    to: str
    declared: str
    expected_s: float | None
    walks: int
    likely: tuple[float, float, float]
    link: Link | None = None

    @property
    def taken(self) -> bool:
        """Whether more people walked it than chance and ways through other cameras explain."""
        return self.link is not None and self.link.exists


def walks(tracklets: pd.DataFrame, identities: pd.DataFrame, window_s: float = 900.0) -> pd.DataFrame:
    """from_, to, seconds, person, left_us: from each sighting to the person's next one, where that is in another camera.

    Two sightings farther apart than ``window_s`` were no walk; a site file says so by its ``max_transit_s``.
    """
    return _walks(tracklets.merge(identities[["tracklet_id", "identity"]], on="tracklet_id"), window_s)


def _walks(table: pd.DataFrame, window_s: float) -> pd.DataFrame:
    moves = timed_crossings(table)
    return moves[moves.seconds <= window_s].reset_index(drop=True)


def clocks(
    table: pd.DataFrame,
    reference: str,
    declared_s: Mapping[tuple[str, str], float],
    window_s: float = 900.0,
    draws: int = 200,
) -> tuple[Offsets, pd.DataFrame]:
    """Clocks by the walks of TRACKLETS with identity, and the walks by clocks set right where they are off."""

    def estimate(found: pd.DataFrame) -> Offsets:
        return clock_offsets(found, reference, declared_s=declared_s, window_s=window_s, draws=draws)

    found = _walks(table, window_s)
    whole = rest = estimate(found)
    off: list[str] = []
    for _ in range(_PASSES - 1):
        if not rest.off():
            break
        off = sorted({*off, *rest.off()})
        again = _walks(set_right(table, whole, off), window_s)
        if 2 * len(again) < len(found):
            break  # set right so, people would no longer have walked: rather the lengths of the file are wrong
        found = again
        rest, before = estimate(found), whole
        whole = replace(
            rest,
            ahead_s={
                c: s + (before.ahead_at(c, rest.middle_s) if c in off else 0.0)
                for c, s in rest.ahead_s.items()
            },
            rate={c: rate + (before.rate[c] if c in off else 0.0) for c, rate in rest.rate.items()},
        )
    return whole, found


def set_right(table: pd.DataFrame, offsets: Offsets, cameras: list[str]) -> pd.DataFrame:
    """TRACKLETS as they would be, had the clocks of ``cameras`` been right."""
    table = table.copy()
    for camera in cameras:
        here = table.camera_id == camera
        for name in ("t_start_us", "t_end_us"):
            shown = table.loc[here, name]
            behind_us = shown.map(lambda t, camera=camera: -1e6 * offsets.ahead_at(camera, t / 1e6))
            table.loc[here, name] = shown + behind_us.round().astype("int64")
    return table


def ways(found: pd.DataFrame, site: Site) -> list[Way]:
    """Every way that was declared or walked, the most walked first."""
    seen = {(link.from_, link.to): link for link in discover_links(found, site.facts.defaults.max_transit_s)}
    lines = []
    for from_, to in {*seen, *site.links}:
        link = seen.get((from_, to))
        likely = link.transit_s if link else (0.0, 0.0, 0.0)
        walked = link.walks if link else 0
        lines.append(
            Way(from_, to, site.relation(from_, to), _expected_s(site, from_, to), walked, likely, link)
        )
    return sorted(lines, key=lambda way: (-way.walks, way.from_, way.to))


def _expected_s(site: Site, from_: str, to: str) -> float | None:
    transit, metres = site.transit_s(from_, to), site.distance_m(from_, to)
    if transit is not None:
        return transit.mean if transit.mean is not None else transit.typical
    return None if metres is None else metres / site.walking_speed.mean


def doubtful(way: Way) -> str:
    """What is strange about a way; nothing where it is as declared."""
    if way.declared == "forbidden":
        return "forbidden, and walked" if way.taken else ""
    if way.declared == "unlisted":
        return NEW if way.taken else ""
    if not way.walks:
        return "nobody took it"
    low, _, high = way.likely
    if (
        way.walks >= _LEAST_WALKS
        and way.taken
        and way.expected_s is not None
        and not low <= way.expected_s <= high
    ):
        return "takes longer than expected" if way.expected_s < low else "takes less than expected"
    return ""


def learn(run: Path, site: Site) -> tuple[Offsets, list[Way], pd.DataFrame]:
    """Clocks and ways by the people of a finished run, and their walks, by clocks set right.

    Raises:
        UserError: the run has not told people apart yet, or nobody walked between its cameras.
    """
    path = run / "identify" / IDENTITIES.file
    if not path.is_file():
        raise UserError(f"{path}: not there; run `make identify RUN={run}` first.")
    tracklets = schema.read(TRACKLETS, run / "isolate" / TRACKLETS.file)
    table = tracklets.merge(schema.read(IDENTITIES, path)[["tracklet_id", "identity"]], on="tracklet_id")
    window_s = site.facts.defaults.max_transit_s
    found = _walks(table, window_s)
    if found.empty:
        raise UserError(
            f"{run}: nobody was found in two cameras one after the other, so nothing can be learned of ways."
        )
    declared = {(a, b): seconds for a, b in site.links if (seconds := _expected_s(site, a, b)) is not None}
    # The clock that is believed most; of equals, that of the camera with the most walks.
    count = found.from_.value_counts().add(found.to.value_counts(), fill_value=0)

    def believed(camera: object) -> tuple[float, float, str]:
        std_s = site.camera(str(camera)).clock.offset_std_s
        return float("inf") if std_s is None else std_s, -float(count[str(camera)]), str(camera)

    reference = min(count.index, key=believed)
    offsets, found = clocks(table, str(reference), declared, window_s)
    if offsets.drifting():
        offsets = replace(offsets, began_s=began_s(schema.read(VIDEOS, run / "ingest" / VIDEOS.file)))
    return offsets, ways(found, site), found


def began_s(videos: pd.DataFrame) -> dict[str, float]:
    """Camera → instant (s since 1970) from which ``clock.scale`` of the site file counts, where there is one.

    `ingest` takes it from each file's own start. Files that follow one another from one start make one whole; those that
    are timed by their names or containers each begin by the clock that drifts, and no scale sets them right.
    """
    found = {}
    for camera, own in videos[videos.status == "ok"].groupby("camera_id"):
        if len(own) == 1 or own.time_source.isin(["topology", "assumed"]).all():
            found[str(camera)] = float(own.t_start_us.min()) / 1e6
    return found


def summary(offsets: Offsets, found: list[Way]) -> list[str]:
    """Lines for a terminal."""
    lines = [f"clocks, against that of {offsets.reference}:"]
    off = offsets.off()
    for camera in sorted(offsets.ahead_s):
        if camera == offsets.reference:
            continue
        mark = "  ← off" if camera in off else ""
        lines.append(f"  {camera}: {said(offsets, camera)}{mark}")
    right = "; clocks that are off set right" if off else ""
    lines.append(f"ways, walks seen, seconds (10 to 90 %{right}), and what the site file expects:")
    for way in found:
        low, middle, high = way.likely
        seen = (
            f"{way.walks:>5} walks, {middle:.0f} s ({low:.0f} to {high:.0f})" if way.walks else "    0 walks"
        )
        expected = way.declared if way.expected_s is None else f"{way.expected_s:.0f} s"
        strange = doubtful(way)
        if way.taken or strange or way.declared != "unlisted":
            lines.append(f"  {way.from_} → {way.to}: {seen}; {expected}{f'  ← {strange}' if strange else ''}")
    return lines


def said(offsets: Offsets, camera: str) -> str:
    """'4.7 s ahead, ± 0.9 s (95 %)', and how fast it gains or loses where it does."""
    if camera in offsets.known():
        ahead = offsets.ahead_s[camera]
        word = "ahead" if ahead >= 0 else "behind"
        text = f"{abs(ahead):.1f} s {word}, ± {1.96 * offsets.std_s[camera]:.1f} s (95 %)"
    else:
        text = "nothing tells (people walk one way only, and no distance is declared)"
    return f"{text}; {drift(offsets, camera)}" if camera in offsets.drifting() else text


def drift(offsets: Offsets, camera: str) -> str:
    """'gains 0.72 s an hour (200 ± 61 ppm)'"""
    rate, std = offsets.rate[camera], offsets.rate_std[camera]
    word = "gains" if rate > 0 else "loses"
    return f"{word} {3600 * abs(rate):.2f} s an hour ({1e6 * abs(rate):.0f} ± {1.96e6 * std:.0f} ppm)"
