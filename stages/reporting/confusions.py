"""The queries the model answers worst, as pictures: asked, answered, and what would have been right."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stages.reporting import thumbs
from stages.reporting.local_time import Clock
from stages.reporting.people import rows as rows_of


@dataclass(frozen=True)
class Shown:
    """One picture: thumb (None where it is gone), and two short lines under it."""

    thumb: thumbs.Thumb | None
    person: str
    where: str


@dataclass(frozen=True)
class Confusion:
    """place: where the right one stood among the answers ('2nd')."""

    place: str
    query: Shown
    answer: Shown
    match: Shown


def confusions(
    table: pd.DataFrame, clock: Clock, run_dir: Path, files: Path, height_px: int, hide: bool
) -> list[Confusion]:
    """The rows of CONFUSIONS, the worst first, with their pictures in sheets ``confused-<n>.jpg`` in ``files``."""
    pictures = table.drop_duplicates("tracklet_id").set_index("tracklet_id")
    made = thumbs.write_sheets(
        thumbs.places(pictures), list(pictures.index), run_dir, files, "confused", height_px, hide
    )
    found = []
    for _, rows in table.groupby("place", sort=True):
        shown = {row.role: _shown(row, made, clock) for row in rows_of(rows)}
        found.append(
            Confusion(ordinal(int(rows["rank"].max()) + 1), shown["query"], shown["answer"], shown["match"])
        )
    return found


def ordinal(n: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st"""
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def _shown(row: Any, made: dict[str, thumbs.Thumb], clock: Clock) -> Shown:
    when = clock.moment(row.t_utc_us, row.video_id)
    return Shown(made.get(row.tracklet_id), f"person {row.pid}", f"{row.camera_id}, {when}")
