"""What is proposed for the site file, as YAML with its evidence: to be read and copied, never merged unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from stages.topology.learn import NEW, Way, doubtful, said

if TYPE_CHECKING:
    from camera_topology import site_schema as site_schema
    from camera_topology.offsets import Offsets
    from camera_topology.site import Site


def patch(offsets: Offsets, found: list[Way], site: Site) -> str:
    """YAML of the proposed changes, each with its evidence as a comment; to be read and copied, never merged unseen.

    Transit times are those by clocks set right, so clocks and ways are to be copied together.
    """
    cameras, links = [], []
    for camera in offsets.off():
        clock, why = proposed_clock(offsets, camera, site.camera(camera).clock)
        entry = f"- {_flow({'id': camera, 'clock': clock})}" if clock else f"# {camera}:"
        cameras.append(f"  {entry}  # {why}\n")
    strange = [(way, why) for way in found if (why := doubtful(way))]
    new = {(way.from_, way.to): way for way, why in strange if why == NEW}
    for way, why in strange:
        back = new.get((way.to, way.from_)) if why == NEW else None
        if back and not _alike(way, back):
            back = None
        if back and (way.walks, way.from_) < (back.walks, back.from_):
            continue  # stands with the other direction
        links.append(_link_line(way, back, why))
    if cameras and links:
        links.append("  # Times of ways are those by the clocks above.\n")
    proposed = [*_section("cameras", cameras), *_section("links", links)]
    return "".join([
        "# Proposed by `topology learn`; copy what you believe into the site file. Nothing was changed there.\n",
        *(proposed or ["# Nothing to change: clocks and ways are as the site file says.\n"]),
    ])  # fmt: skip


def _section(key: str, lines: list[str]) -> list[str]:
    """The lines under their key, which is a comment itself where they all are."""
    entries = any(line.startswith("  - ") for line in lines)
    return [f"{'' if entries else '# '}{key}:\n", *lines] if lines else []


def proposed_clock(offsets: Offsets, camera: str, clock: site_schema.Clock) -> tuple[dict[str, float], str]:
    """``clock`` of a camera as it should stand in the site file, and the evidence.

    A file's time is start + offset_s + scale · media, so a clock that shows t and is ahead(t) is right with a scale of
    (1 - rate) times the present one, and an offset less what it was ahead when the file began.
    """
    why = said(offsets, camera)
    known = camera in offsets.known()
    if camera not in offsets.drifting():
        std_s = max(offsets.std_s[camera], 0.1)
        return {
            "offset_s": round(clock.offset_s - offsets.ahead_s[camera], 2),
            "offset_std_s": round(std_s, 1),
        }, why
    began = offsets.began_s.get(camera)
    if began is None:
        why += "; its files are timed one by one by that clock, so no scale sets it right"
        if not known:
            return {}, why
        # Between the middle and the ends of the recording the clock runs away from the one offset that there is.
        left_s = (offsets.std_s[camera] ** 2 + (offsets.rate[camera] * offsets.half_s) ** 2 / 3) ** 0.5
        values = {
            "offset_s": round(clock.offset_s - offsets.ahead_s[camera], 2),
            "offset_std_s": round(left_s, 1),
        }
        return values, why + ": offset_s is that at the middle, offset_std_s holds the rest"
    values = {"offset_s": round(clock.offset_s - offsets.ahead_at(camera, began), 2)}
    if known:
        ends = (offsets.middle_s - offsets.half_s, offsets.middle_s + offsets.half_s)
        values["offset_std_s"] = round(max(0.1, *(offsets.std_at(camera, t) for t in ends)), 1)
    return values | {"scale": round(clock.scale * (1 - offsets.rate[camera]), 7)}, why


def _alike(forth: Way, back: Way) -> bool:
    """Whether one transit time says both directions."""
    return all(a.likely[0] <= b.likely[1] <= a.likely[2] for a, b in ((forth, back), (back, forth)))


def _link_line(way: Way, back: Way | None, why: str) -> str:
    if way.link is None:
        return f"  # {way.from_} → {way.to}: {why}; take it out if it is no way\n"
    both = [w for w in (way, back) if w is not None]
    low, high = min(w.likely[0] for w in both), max(w.likely[2] for w in both)
    middle = sum(w.likely[1] * w.walks for w in both) / sum(w.walks for w in both)
    link: dict[str, Any] = {"from": way.from_, "to": way.to, "bidirectional": back is not None}
    if middle < 0:
        link["relation"] = "overlap"
    else:
        least, typical, most = round(max(low, 0.0)), round(middle), round(high) + 1
        link["transit_s"] = {"min": min(least, typical), "typical": typical, "max": max(most, typical + 1)}
    seen = " + ".join(str(w.walks) for w in both)
    links = [w.link for w in both if w.link is not None]
    chance, detours = sum(x.by_chance for x in links), sum(x.by_detour for x in links)
    explained = f"; were there no way, {chance:.1f} by chance and {detours:.1f} round about"
    return f"  - {_flow(link)}  # {why}: {seen} walks{explained if why == NEW else ''}\n"


def _flow(values: dict[str, Any]) -> str:
    text = yaml.safe_dump(values, default_flow_style=True, allow_unicode=True, width=10_000, sort_keys=False)
    return str(text).strip()
