"""What a person should know about the footage before hours are spent on it: an inventory, and sentences of warning."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from camera_topology.site import Site

# Nearer than that, one file follows another; a time written in whole seconds tells no more.
_TOUCHING_US = 1_000_000
# A camera that delivers so much less than it stamps loses frames, or its clock runs wrong.
_RATE_TOLERANCE = 0.05
_NIGHT = 0.02


@dataclass(frozen=True)
class Recorded:
    """One camera's footage. Times in µs UTC, lengths in s; counts of files where nothing else is said.

    gaps: between one file and the next; overlaps: files that begin before an earlier one ends.
    fps: what is delivered, stamped_fps: what the timestamps claim (medians over files).
    """

    camera_id: str
    files: int
    recorded_s: float
    start_us: int
    end_us: int
    gaps: int
    gaps_s: float
    overlaps: int
    repeated: int
    unreadable: int
    outside: int
    damaged: int
    repaired_times: int
    fps: float
    stamped_fps: float
    sizes: tuple[tuple[int, int], ...]
    grey_fraction: float
    clock: str


def by_camera(videos: pd.DataFrame) -> list[Recorded]:
    """The inventory of VIDEOS, one entry for each camera, in order of their names."""
    found = []
    for camera_id, every in videos.groupby("camera_id", sort=True):
        counts = every.status.value_counts()
        own = every[every.status == "ok"].sort_values("t_start_us")
        # Beside files whose time is known, one whose time was assumed stands nowhere.
        timed = own[own.time_source != "assumed"] if (own.time_source != "assumed").any() else own
        reached = timed.t_end_us.cummax().shift()
        gap_us = (timed.t_start_us - reached - _one_frame_us(timed)).fillna(0)
        length_s = (own.t_until_us - own.t_from_us) / 1e6
        found.append(
            Recorded(
                camera_id=str(camera_id),
                files=len(own),
                recorded_s=float(length_s.sum()),
                start_us=int(timed.t_from_us.min()) if len(own) else 0,
                end_us=int(timed.t_until_us.max()) if len(own) else 0,
                gaps=int((gap_us > _TOUCHING_US).sum()),
                gaps_s=float(gap_us[gap_us > _TOUCHING_US].sum()) / 1e6,
                overlaps=int((gap_us < -_TOUCHING_US).sum()),
                repeated=int(counts.get("repeated", 0)),
                unreadable=int(counts.get("unreadable", 0)),
                outside=int(counts.get("outside", 0)),
                damaged=int(own.damaged.sum()),
                repaired_times=int(own.repaired_times.sum()),
                fps=float((own.fps / own.clock_scale).median()) if len(own) else 0.0,
                stamped_fps=float(own.stamped_fps.median()) if len(own) else 0.0,
                sizes=tuple(sorted({(int(w), int(h)) for w, h in zip(own.width, own.height, strict=True)})),
                grey_fraction=float((own.grey_fraction * length_s).sum() / max(length_s.sum(), 1e-9)),
                clock=_clock(own),
            )
        )
    return found


def _one_frame_us(videos: pd.DataFrame) -> pd.Series:
    """How long a file's last frame stays: t_end_us is when it appears."""
    fps = videos.fps.where(videos.fps > 0)
    return (1e6 * videos.clock_scale / fps).fillna(0).shift().fillna(0)


def _clock(videos: pd.DataFrame) -> str:
    """'file name ± 1 s, rate 1.19'."""
    if videos.empty:
        return "–"
    source = ", ".join(sorted(videos.time_source.unique()))
    known = videos[videos.time_source != "assumed"]
    spread = f" ± {known.time_std_s.max():.3g} s" if len(known) else ""
    scale = float(videos.clock_scale.median())
    return source + spread + (f", rate {scale:.3f}" if abs(scale - 1) > 0.001 else "")


def inventory(videos: pd.DataFrame) -> list[str]:
    """The lines of the table for a terminal."""
    head = (
        "camera",
        "files",
        "recorded",
        "from (UTC)",
        "to",
        "gaps",
        "overlaps",
        "fps (stamped)",
        "picture",
        "night",
        "clock",
    )
    rows = [_cells(camera) for camera in by_camera(videos)]
    widths = [max(len(line[i]) for line in (head, *rows)) for i in range(len(head))]
    right = {1, 2, 5, 6, 7, 9}
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (head, *rows)
    ]


def _cells(camera: Recorded) -> tuple[str, ...]:
    if not camera.files:
        return (camera.camera_id, "0", *["–"] * 9)
    start, end = (datetime.fromtimestamp(t / 1e6, UTC) for t in (camera.start_us, camera.end_us))
    timed = camera.clock != "assumed"
    one_day = start.date() == end.date()
    return (
        camera.camera_id,
        str(camera.files),
        _length(camera.recorded_s),
        f"{start:%Y-%m-%d %H:%M:%S}" if timed else "unknown",
        "" if not timed else f"{end:%H:%M:%S}" if one_day else f"{end:%Y-%m-%d %H:%M:%S}",
        f"{camera.gaps} ({_length(camera.gaps_s)})" if camera.gaps else "0",
        str(camera.overlaps),
        f"{camera.fps:.1f}" + (f" ({camera.stamped_fps:.1f})" if slow(camera) else ""),
        ", ".join(f"{w}×{h}" for w, h in camera.sizes[:2]) + (" …" if len(camera.sizes) > 2 else ""),
        f"{100 * camera.grey_fraction:.0f} %",
        camera.clock,
    )


def _length(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )


def slow(camera: Recorded) -> bool:
    """Whether fewer frames are delivered than the timestamps claim."""
    return camera.stamped_fps > 0 and abs(camera.fps / camera.stamped_fps - 1) > _RATE_TOLERANCE


def problems(videos: pd.DataFrame) -> list[str]:
    """Files that are not whole, one sentence each: what `--strict` does not put up with."""
    lines = [
        f"{row.path}: unreadable: {row.note}; left out."
        for row in videos[videos.status == "unreadable"].itertuples()
    ]
    lines += [
        f"{row.path}: {row.note}; left out." for row in videos[videos.status == "repeated"].itertuples()
    ]
    good = videos[videos.status == "ok"]
    lines += [f"{row.path}: {row.note}." for row in good[~good.whole].itertuples()]
    for camera_id, own in good.sort_values("t_start_us").groupby("camera_id"):
        late = own.t_end_us.cummax().shift() > own.t_start_us + _TOUCHING_US
        lines += [f"{path}: overlaps an earlier file of {camera_id} in time." for path in own.path[late]]
    return lines


def worth_knowing(videos: pd.DataFrame, site: Site) -> list[str]:
    """Sentences about the footage as a whole that a person should read before believing the result."""
    good = videos[videos.status == "ok"]
    lines = []
    if site.path and site.cameras:
        strange = sorted(set(good.camera_id) - set(site.cameras))
        lines += [f"camera '{c}' is not in {site.path}; its links are taken as unlisted." for c in strange]
    outside = videos[videos.status == "outside"]
    if len(outside):
        untimed = int((outside.time_source == "assumed").sum())
        why = f", {untimed} of them because nothing tells when they were recorded" if untimed else ""
        lines.append(f"{len(outside)} files lie outside of ingest.start and ingest.end{why}.")
    assumed = sorted(good.camera_id[good.time_source == "assumed"].unique())
    if assumed:
        lines.append(
            f"no start time is known for {some(assumed, 6)}; taken to start together. Times then say nothing across "
            "cameras: give start_time or filename in a site file (`make names` shows what each file was taken for)."
        )
    for camera in by_camera(videos):
        own = good[good.camera_id == camera.camera_id]
        rate = float(own.clock_scale.median()) if len(own) else 1.0
        if abs(rate - 1) > 0.01 and not site.rate_is_declared(camera.camera_id):
            lines.append(
                f"{camera.camera_id}: a second of its files lasts {rate:.3f} true ones, by the names of files that follow one "
                "another; taken so (if it does not: clock: {scale: 1} in a site file)."
            )
        if camera.grey_fraction > _NIGHT:
            lines.append(
                f"{camera.camera_id}: {100 * camera.grey_fraction:.0f} % of its footage has no colour (infra-red at night); clothes of "
                "one person look different there, and matches between the two are less sure."
            )
        if slow(camera) and camera.files:
            lines.append(
                f"{camera.camera_id}: {camera.fps:.1f} frames a second arrive where the timestamps claim {camera.stamped_fps:.1f}."
            )
    days = n_days(good, site)
    if days > 1 and not site.across_days:
        lines.append(
            f"the footage is of {days} days; clothes change over night, so nobody is joined across days (a site file can "
            "say defaults: {across_days: true})."
        )
    if good.camera_id.nunique() == 1:
        lines.append(
            f"only one camera ('{good.camera_id.iloc[0]}'): there is nothing to associate across cameras."
        )
    return lines


def n_days(videos: pd.DataFrame, site: Site) -> int:
    """On how many days of the site the files lie whose time is known."""
    timed = videos[(videos.status == "ok") & (videos.time_source != "assumed")]
    if timed.empty:
        return 0
    return len(
        {*site.day(timed.t_from_us.to_numpy()).tolist(), *site.day(timed.t_until_us.to_numpy()).tolist()}
    )


def together(videos: pd.DataFrame, reach_s: float = 3600.0) -> str:
    """Can people of these recordings be found again in another camera? One sentence, before anybody was looked for.

    reach_s: two recordings farther apart in time than this share nobody, or nobody who could be told.
    """
    good = videos[videos.status == "ok"]
    if good.camera_id.nunique() < 2:
        return "One camera: people will be followed, and there is no second one to find them again in."
    unknown = sorted(good.camera_id[good.time_source == "assumed"].unique())
    timed = good[~good.camera_id.isin(unknown)]
    clocks = "" if not unknown else f" {some(unknown)}: clock not known, so walking times say nothing there."
    if timed.camera_id.nunique() < 2:
        return f"Walking times cannot help:{clocks} Give start times in the site file or in the file names."
    groups = _in_reach(timed, round(reach_s * 1e6))
    within = f"within {reach_s / 3600:g} h of each other"
    if len(groups) == 1:
        return (
            f"{len(groups[0])} cameras recorded {within}; whether enough people pass by, the report says when they have been "
            f"found.{clocks}"
        )
    parts = "; ".join(some(group) for group in groups[:4]) + ("; …" if len(groups) > 4 else "")
    return f"Not all cameras recorded {within}, and people can be found again only inside each of these groups: {parts}.{clocks}"


def _in_reach(videos: pd.DataFrame, reach_us: int) -> list[list[str]]:
    """Groups of cameras whose recordings are linked by less than ``reach_us`` between two of them, the largest first."""
    import numpy as np
    from scipy.sparse.csgraph import connected_components

    cameras = sorted(videos.camera_id.unique())
    number = videos.camera_id.map({c: i for i, c in enumerate(cameras)}).to_numpy()
    start, end = videos.t_from_us.to_numpy(), videos.t_until_us.to_numpy()
    near = np.zeros((len(cameras), len(cameras)), bool)
    order = np.argsort(start, kind="stable")
    reached = np.full(len(cameras), -(10**18))  # until when each camera's recordings so far reach
    for i in order:
        near[number[i], reached >= start[i] - reach_us] = True
        reached[number[i]] = max(reached[number[i]], end[i])
    _, label = connected_components(near, directed=False)
    groups = [[c for c, own in zip(cameras, label, strict=True) if own == g] for g in range(label.max() + 1)]
    return sorted(groups, key=lambda group: (-len(group), group))


def some(names: list[str], max_items: int = 5) -> str:
    """'a, b', or 'a, b, c, d, e and 2 more'."""
    return ", ".join(names[:max_items]) + (
        f" and {len(names) - max_items} more" if len(names) > max_items else ""
    )
