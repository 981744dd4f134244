"""What the people of a finished run say about its site file: how long ways take, which are used, which clocks are off.

Nothing is written into the user's file. What is proposed stands in ``topology/patch.yaml`` of the run, with its evidence,
for a person to read and to copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from camera_topology.offsets import Offsets, clock_offsets
from pipeline import schema
from pipeline.errors import UserError
from pipeline.manifests import IDENTITIES, TRACKLETS
from stages.reporting.links import crossings

if TYPE_CHECKING:
    import pandas as pd

    from camera_topology.site import Site

# Two sightings of one person, so much apart and with nothing between, were a walk.
WINDOW_S = 900.0
_LEAST_SHARE = 0.03  # of the walks that end or begin at a camera: what is rarer is a wrong link, or a detour
_LEAST_WALKS = 5


@dataclass(frozen=True)
class Way:
    """One directed way: what the site file expects (s, None where it says nothing), and the walks that were seen.

    likely: quantiles 10, 50 and 90 per cent of their seconds.
    """

    from_: str
    to: str
    declared: str
    expected_s: float | None
    walks: int
    likely: tuple[float, float, float]


def walks(tracklets: pd.DataFrame, identities: pd.DataFrame, window_s: float = WINDOW_S) -> pd.DataFrame:
    """from_, to, seconds, person: from each sighting to the person's next one, where that is in another camera."""
    moves = crossings(tracklets.merge(identities[["tracklet_id", "identity"]], on="tracklet_id"))
    return moves[moves.seconds <= window_s].reset_index(drop=True)


def ways(found: pd.DataFrame, site: Site) -> list[Way]:
    """Every way that was declared or walked, the most walked first."""
    pairs = {*zip(found.from_, found.to, strict=True), *site.links}
    lines = []
    for from_, to in pairs:
        seconds = found.seconds[(found.from_ == from_) & (found.to == to)]
        low, middle, high = (float(q) for q in seconds.quantile([0.1, 0.5, 0.9]).fillna(0.0))
        declared, expected_s = site.relation(from_, to), _expected_s(site, from_, to)
        lines.append(Way(from_, to, declared, expected_s, len(seconds), (low, middle, high)))
    return sorted(lines, key=lambda way: (-way.walks, way.from_, way.to))


def _expected_s(site: Site, from_: str, to: str) -> float | None:
    transit, metres = site.transit_s(from_, to), site.distance_m(from_, to)
    if transit is not None:
        return transit.mean if transit.mean is not None else transit.typical
    return None if metres is None else metres / site.walking_speed.mean


def doubtful(way: Way, every: list[Way]) -> str:
    """What is strange about a way; nothing where it is as declared."""
    busiest = max(sum(w.walks for w in every if camera in (w.from_, w.to)) for camera in (way.from_, way.to))
    used = way.walks >= max(_LEAST_WALKS, _LEAST_SHARE * busiest)
    if way.declared == "forbidden":
        return "forbidden, and walked" if used else ""
    if way.declared == "unlisted":
        return "walked, and not in the site file" if used else ""
    if not way.walks:
        return "nobody took it"
    low, _, high = way.likely
    if used and way.expected_s is not None and not low <= way.expected_s <= high:
        return "takes longer than expected" if way.expected_s < low else "takes less than expected"
    return ""


def learn(run: Path, site: Site) -> tuple[Offsets, list[Way], pd.DataFrame]:
    """Clocks and ways by the people of a finished run, and their walks.

    Raises:
        UserError: the run has not told people apart yet, or nobody walked between its cameras.
    """
    path = run / "identify" / IDENTITIES.file
    if not path.is_file():
        raise UserError(f"{path}: not there; run `make identify RUN={run}` first.")
    found = walks(schema.read(TRACKLETS, run / "isolate" / TRACKLETS.file), schema.read(IDENTITIES, path))
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
    offsets = clock_offsets(found, str(reference), declared_s=declared, window_s=WINDOW_S)
    return offsets, ways(found, site), found


def told(offsets: Offsets, found: list[Way]) -> list[str]:
    """Lines for a terminal."""
    lines = [f"clocks, against that of {offsets.reference}:"]
    wrong = offsets.wrong()
    for camera in sorted(offsets.ahead_s):
        if camera == offsets.reference:
            continue
        if camera not in offsets.known():
            lines.append(f"  {camera}: nothing tells (people walk one way only, and no distance is declared)")
            continue
        ahead, std_s = offsets.ahead_s[camera], offsets.std_s[camera]
        word = "ahead" if ahead >= 0 else "behind"
        mark = "  ← off" if camera in wrong else ""
        lines.append(f"  {camera}: {abs(ahead):.1f} s {word}, ± {1.96 * std_s:.1f} s (95 %){mark}")
    lines.append("ways, walks seen, seconds (10 to 90 %), and what the site file expects:")
    for way in found:
        low, middle, high = way.likely
        seen = (
            f"{way.walks:>5} walks, {middle:.0f} s ({low:.0f} to {high:.0f})" if way.walks else "    0 walks"
        )
        expected = way.declared if way.expected_s is None else f"{way.expected_s:.0f} s"
        strange = doubtful(way, found)
        if way.walks >= _LEAST_WALKS or strange:
            lines.append(f"  {way.from_} → {way.to}: {seen}; {expected}{f'  ← {strange}' if strange else ''}")
    return lines


def patch(offsets: Offsets, found: list[Way], site: Site) -> str:
    """YAML of the proposed changes, each with its evidence as a comment; to be read and copied, never merged unseen."""
    text = [
        "# Proposed by `topology learn`; copy what you believe into the site file. Nothing was changed there.\n"
    ]
    wrong = offsets.wrong()
    if wrong:
        text.append("cameras:\n")
    for camera in wrong:
        ahead, std_s = offsets.ahead_s[camera], offsets.std_s[camera]
        clock = {
            "offset_s": round(site.camera(camera).clock.offset_s - ahead, 1),
            "offset_std_s": round(max(std_s, 0.1), 1),
        }
        entry = yaml.safe_dump(
            {"id": camera, "clock": clock}, default_flow_style=True, allow_unicode=True, width=10_000
        )
        text.append(
            f"  - {entry.strip()}  # {ahead:+.1f} s against {offsets.reference}, ± {1.96 * std_s:.1f}\n"
        )
    strange = [(way, why) for way in found if (why := doubtful(way, found))]
    if strange:
        text.append("links:\n")
    for way, why in strange:
        low, middle, high = way.likely
        if why == "nobody took it":
            text.append(f"  # {way.from_} → {way.to}: {why}; take it out if it is no way\n")
            continue
        least, typical, most = (round(max(seconds, 0.0)) for seconds in (low, middle, max(high, low)))
        transit = {"min": least, "typical": typical, "max": most + 1}
        link = {"from": way.from_, "to": way.to, "bidirectional": False, "transit_s": transit}
        line = yaml.safe_dump(
            link, default_flow_style=True, allow_unicode=True, width=10_000, sort_keys=False
        )
        text.append(f"  - {line.strip()}  # {why}: {way.walks} walks\n")
    return (
        "".join(text)
        if wrong or strange
        else text[0] + "# Nothing to change: clocks and ways are as the site file says.\n"
    )
