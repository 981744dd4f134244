"""What each file is taken for by its name and the site file, before anything is decoded."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from camera_topology.site import Site


def explained(paths: list[Path], site: Site) -> list[str]:
    """Lines: path, camera, start (UTC), and what told the start."""
    from stages.ingest import camera_of, common_root

    root = common_root(paths)
    rows = [("file", "camera", "start (UTC)", "by")]
    for path in paths:
        camera_id = camera_of(path, root, site)
        shown = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
        rows.append((shown, camera_id, *_start(path, camera_id, site)))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return [f"in {root}:"] + [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    ]


def _start(path: Path, camera_id: str, site: Site) -> tuple[str, str]:
    declared = site.camera(camera_id).start_time
    if declared is not None:
        return _shown(
            site.to_us(declared)
        ), "start_time of the site file (its camera's first file; the others follow)"
    named = site.named_start(path, camera_id)
    if named is None:
        if site.camera(camera_id).filename is not None:
            return "–", "filename of the site file does not fit; the container's time, if it has one"
        return (
            "–",
            "no time in the name that we know; the container's, if it has one (a site file can say filename or start_time)",
        )
    zone = site.camera(camera_id).filename
    local = (
        (zone.timezone if zone and zone.timezone else site.timezone) if named.pattern != "frigate" else "UTC"
    )
    twice = " (an hour that passed twice; which one, the neighbours tell)" if named.again_us else ""
    never = " (a time that clocks were put forward over)" if named.skipped else ""
    return _shown(
        named.start_us
    ), f"pattern {named.pattern}, time of {local} where no zone is written{twice}{never}"


def _shown(t_us: int) -> str:
    return f"{datetime.fromtimestamp(t_us / 1e6, UTC):%Y-%m-%d %H:%M:%S}"
