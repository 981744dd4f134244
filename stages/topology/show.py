"""A page that a site manager understands: the map, the ways with expected and observed times, and clocks that look wrong."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from stages.reporting import template, transit_links
from stages.topology.learn import Way, doubtful, drift

if TYPE_CHECKING:
    import pandas as pd

    from camera_topology.offsets import Offsets
    from camera_topology.site import Site

_MOST_WAYS = 60


def write_page(
    folder: Path,
    name: str,
    walks: pd.DataFrame,
    offsets: Offsets,
    ways: list[Way],
    site: Site,
    clock_std_s: Mapping[str, float],
) -> Path:
    """``index.html`` and its style into ``folder``; returns the page.

    Args:
        walks: of `stages.topology.learn.walks`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cameras = sorted({*offsets.ahead_s, *site.cameras})
    template.write_style(folder)
    context = {
        "name": name, "base": "", "hidden": False, "n_walks": len(walks), "reference": offsets.reference,
        "file": f"Held against {site.path}." if site.path else "There is no site file.",
        "doubts": [*(f"{c}: {said(offsets, c)}" for c in offsets.off()), *_strange(ways)],
        "map": transit_links.site_map(cameras, walks, site),
        "clocks": [
            {"camera": c, "said": said(offsets, c), "interval": _interval(offsets, c), "verdict": _verdict(offsets, c)}
            for c in cameras
        ],
        "links": transit_links.links(walks, site, clock_std_s, _MOST_WAYS),
    }  # fmt: skip
    template.write(template.environment(), "topology.html", folder / "index.html", context)
    return folder / "index.html"


def said(offsets: Offsets, camera: str) -> str:
    """'4.7 s ahead', or that nothing tells; and how fast it gains or loses, where it does."""
    if camera == offsets.reference:
        return "taken for right"
    if camera in offsets.known():
        ahead = offsets.ahead_s[camera]
        text = f"{abs(ahead):.1f} s {'ahead' if ahead >= 0 else 'behind'}"
    else:
        text = "nothing tells: people walk one way only, or not at all"
    return f"{text}; {drift(offsets, camera)}" if camera in offsets.drifting() else text


def _interval(offsets: Offsets, camera: str) -> str:
    if camera == offsets.reference or camera not in offsets.known():
        return "–"
    return f"± {1.96 * offsets.std_s[camera]:.1f}"


def _verdict(offsets: Offsets, camera: str) -> str:
    return "off" if camera in offsets.off() else ""


def _strange(ways: list[Way]) -> list[str]:
    found = ((way, doubtful(way)) for way in ways)
    return [f"{way.from_} → {way.to}: {why} ({way.walks} walks)" for way, why in found if why]
