"""Findings to files: ``index.html``, and beside it ``report_files/`` with style, thumbnails and further pages.

Templates escape everything. The pages load nothing but their own files, and say so to the browser: a content policy
forbids any other source and any script but ours. Files are for their owner only, since they show people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from camera_topology.site import Site
from data import redaction
from data.redaction_list import Piece
from stages.reporting import (
    clips,
    confusions,
    curves,
    footage,
    measures,
    people,
    svg,
    template,
    thumbs,
    timeline,
    transit_links,
)
from stages.reporting.data_sufficiency import enough
from stages.reporting.local_time import Clock, duration

FILES = "report_files"
_DENSITY = 1.5  # stored px per px shown: sharp on today's screens without four times the bytes
_MAX_MATRIX = 24


@dataclass(frozen=True)
class Findings:
    """All a report tells. Tables as declared; ``crops`` one row per tracklet; logs and links as (round, …); ``heads``: boxes
    whose heads are hidden, None for none; ``gone``: video_id → where purged people stood."""

    name: str
    videos: pd.DataFrame
    tracklets: pd.DataFrame
    identities: pd.DataFrame
    crops: pd.DataFrame
    selection: pd.DataFrame
    rankings: pd.DataFrame
    logs: Sequence[tuple[int, pd.DataFrame]]
    links: Sequence[tuple[int, int, int]]
    metrics: Mapping[str, Any]
    stages: list[dict[str, str]]
    settings: list[dict[str, str]]
    seconds: float
    clock: Clock
    cut: tuple[int, int] | None
    site: Site
    clock_std_s: Mapping[str, float]
    boxes: pd.DataFrame
    heads: pd.DataFrame | None
    confusions: pd.DataFrame
    gone: Mapping[str, list[Piece]]


def write(found: Findings, run_dir: Path, out: Path, settings: Any) -> int:
    """Write the whole report into the empty folder ``out``. Returns the number of pages."""
    files = out / FILES
    files.mkdir()
    for folder in (out, files):
        folder.chmod(0o700)
    table = people.gather(found.tracklets, found.identities, found.crops)
    order = people.rank(table)
    persons = people.by_person(table)
    places = thumbs.places(found.crops)
    pages = people.page_count(len(order), settings.people_per_page)
    templates = template.environment()
    common = {
        "name": found.name,
        "pages": _page_links(order, settings.people_per_page),
        "density": _DENSITY,
        "hidden": found.heads is not None,
        "doubtful_below": settings.doubtful_below,
    }

    def cards(page: int) -> list[people.Person]:
        ids = [int(i) for i in order.index[order.place // settings.people_per_page == page]]
        shown = {i: people.shown_tracklets(persons[i], settings.max_crops_per_person) for i in ids}
        pictures = thumbs.write_sheets(
            places, [t for i in ids for t in shown[i]], run_dir, files, f"people-{page + 1}", settings.thumb_height_px,
            found.heads is not None,
        )  # fmt: skip
        return [
            people.make_person(
                persons[i], float(order.hue[i]), pictures, shown[i], found.clock, settings.doubtful_below
            )
            for i in ids
        ]

    template.write_style(files)
    for page in range(1, pages):
        context = {**common, "people": cards(page), "page": page, "base": ""}
        template.write(templates, "people.html", files / f"people-{page + 1}.html", context)
    doubtful, more_doubtful = _doubtful(found, order, persons, places, run_dir, files, settings)
    context = {
        **common,
        **_facts(found, table, order, settings),
        "clips": _clips(found, order, files, settings),
        "confusions": confusions.confusions(
            found.confusions, found.clock, run_dir, files, settings.thumb_height_px, found.heads is not None
        ),
        "people": cards(0),
        "page": 0,
        "base": f"{FILES}/",
        "doubtful": doubtful,
        "more_doubtful": more_doubtful,
        "links_to": {i: _href(order, i, settings.people_per_page) for i in (p.identity for p in doubtful)},
    }
    template.write(templates, "index.html", out / "index.html", context)
    return pages


def _facts(found: Findings, table: pd.DataFrame, order: pd.DataFrame, settings: Any) -> dict[str, Any]:
    """Everything of the index but the pictures."""
    has_truth = (found.metrics.get("people") or {}).get("test") is not None
    unknown = (
        measures.basis(found.metrics, has_truth)
        if has_truth
        else "This needs ground truth, and none was given."
    )
    good = found.videos[found.videos.status == "ok"]
    matrix_cameras, matrix = (
        people.shared_people(table) if table.camera_id.nunique() <= _MAX_MATRIX else ([], [])
    )
    moves = transit_links.crossings(table)
    cameras = sorted(str(c) for c in good.camera_id.unique())
    files = footage.files(found.videos, found.clock)
    problems = [row for row in files if row["note"]]
    return {
        "headline": measures.headline(found.videos, table, order),
        "verdict": measures.verdict(found.metrics),
        "basis": measures.basis(found.metrics, has_truth),
        "checkpoints": measures.checkpoint_rows(found.metrics),
        "measured": measures.measure_rows(found.metrics),
        "label_free": measures.label_free_rows(found.metrics),
        "cameras": footage.cameras(found.videos, found.tracklets, found.clock),
        "files": files[: settings.max_files],
        "more_files": max(0, len(files) - settings.max_files),
        "problems": problems[: settings.max_files],
        "days": footage.days(found.videos, found.site),
        "untimed": bool(found.clock.untimed),
        "zone": found.clock.zone_name,
        "n_people": len(order),
        "n_tracklets": len(table),
        "unassigned": measures.unassigned(table),
        "spread": _spread_plot(order),
        "enough": enough(_learned_from(found, table), cameras) if len(table) else "",
        "map": transit_links.site_map(cameras, moves, found.site),
        "links": transit_links.links(moves, found.site, found.clock_std_s, settings.max_links),
        "n_links": len(moves.drop_duplicates(["from_", "to"])),
        "matrix_cameras": matrix_cameras if len(matrix_cameras) > 1 else [],
        "matrix": matrix,
        "matrix_top": max((v for i, row in enumerate(matrix) for j, v in enumerate(row) if i != j), default=0),
        "panels": timeline.panels(
            good, _bars(table, order, found.clock, settings.people_per_page), found.clock, found.cut, settings.max_bars
        ),
        "dense": len(table) > settings.max_bars,
        "plots": [
            curves.checkpoints(found.metrics, unknown),
            curves.cmc(found.rankings, unknown),
            curves.training(found.logs, "loss", "Training loss", "loss", "Mean loss of each batch."),
            curves.training(
                found.logs, "active_fraction", "Active triplets", "per cent",
                "Share of triplets that still teach something: zero means training has nothing left to learn from.",
            ),
            curves.links_per_round(found.links),
            curves.health(found.selection),
            curves.signals(found.metrics),
        ],
        "stages": found.stages,
        "settings": found.settings,
        "seconds": duration(found.seconds),
    }  # fmt: skip


def _learned_from(found: Findings, table: pd.DataFrame) -> pd.DataFrame:
    """The tracklets that began before the cut."""
    return table if found.cut is None else table[table.t_start_us <= found.cut[0]]


def _clips(found: Findings, order: pd.DataFrame, files: Path, settings: Any) -> list[dict[str, str]]:
    """Rows camera, file, when of the clips that could be made."""
    if not settings.clip_s:
        return []
    identity = dict(zip(found.identities.tracklet_id, found.identities.identity.tolist(), strict=True))
    hue = dict(zip(order.index.tolist(), order.hue.tolist(), strict=True))
    rows: list[dict[str, str]] = []
    windows = clips.busiest(found.boxes, found.videos, settings.clip_s)
    for camera, window in list(windows.items())[: settings.max_clips]:
        video = next(people.rows(found.videos[found.videos.video_id == window.video_id]))
        name = f"clip-{len(rows) + 1}.mp4"
        of_video = found.boxes[found.boxes.video_id == window.video_id]
        gone = found.gone.get(window.video_id, [])
        of_video = redaction.without(of_video, {window.video_id: gone})
        heads = None if found.heads is None else found.heads[found.heads.video_id == window.video_id]
        if clips.write_clip(
            files / name, Path(video.path), window, video.t_start_us, video.clock_scale, of_video, identity, hue,
            settings.clip_width_px, heads, gone,
        ):  # fmt: skip
            when = found.clock.moment(window.t_start_us, window.video_id)
            rows.append({"camera": camera, "file": name, "when": when})
    return rows


def _doubtful(
    found: Findings,
    order: pd.DataFrame,
    persons: Mapping[int, list[people.Seen]],
    places: Mapping[str, thumbs.Place],
    run_dir: Path,
    files: Path,
    settings: Any,
) -> tuple[list[people.Person], int]:
    """The persons with the least certain members: these members, and some clear pictures of the rest. And how many
    more there are."""
    low = order[order.lowest < settings.doubtful_below].sort_values(["lowest", "place"], kind="stable")
    ids = [int(i) for i in low.index[: settings.max_doubtful]]
    shown: dict[int, list[str]] = {}
    for i in ids:
        members = sorted(persons[i], key=lambda m: (m.confidence, m.tracklet_id))
        unsure = [m.tracklet_id for m in members if m.confidence < settings.doubtful_below][:3]
        rest = people.shown_tracklets([m for m in members if m.tracklet_id not in unsure], 6)
        shown[i] = [*unsure, *rest]
    pictures = thumbs.write_sheets(
        places,
        [t for i in ids for t in shown[i]],
        run_dir,
        files,
        "doubtful",
        settings.thumb_height_px,
        found.heads is not None,
    )
    rows = [
        people.make_person(
            persons[i], float(order.hue[i]), pictures, shown[i], found.clock, settings.doubtful_below
        )
        for i in ids
    ]
    return rows, len(low) - len(rows)


def _bars(table: pd.DataFrame, order: pd.DataFrame, clock: Clock, per_page: int) -> pd.DataFrame:
    bars = table[["camera_id", "t_start_us", "t_end_us", "identity"]].copy()
    bars["hue"] = bars.identity.map(order.hue).astype("float64").fillna(-1.0)
    hrefs = {int(str(i)): _href(order, int(str(i)), per_page) for i in order.index}
    bars["href"] = bars.identity.map(hrefs).astype("object").fillna("")
    bars["tip"] = [
        ("in no person" if row.identity == people.NOBODY else f"Person {row.identity}")
        + f", {row.camera_id}, {clock.moment(row.t_start_us, row.video_id)}, {(row.t_end_us - row.t_start_us) / 1e6:.1f} s"
        for row in people.rows(table)
    ]
    return bars


def _spread_plot(order: pd.DataFrame) -> Markup | None:
    if order.empty or order.n_cameras.max() < 2:
        return None
    counts = order.n_cameras.value_counts()
    numbers = range(1, int(counts.index.max()) + 1)
    return svg.bar_chart(
        [str(n) for n in numbers], [int(counts.get(n, 0)) for n in numbers],
        title="People by number of cameras", x_label="cameras that saw the person", y_label="people",
    )  # fmt: skip


def _href(order: pd.DataFrame, identity: int, per_page: int) -> str:
    page = int(order.place[identity]) // per_page
    return f"#person-{identity}" if page == 0 else f"{FILES}/people-{page + 1}.html#person-{identity}"


def _page_links(order: pd.DataFrame, per_page: int) -> list[dict[str, Any]]:
    links = []
    for page in range(people.page_count(len(order), per_page)):
        first, last = page * per_page + 1, min((page + 1) * per_page, len(order))
        links.append({"page": page, "name": f"{first} – {last}", "file": f"people-{page + 1}.html"})
    return links
