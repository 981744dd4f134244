"""Ingest: what was recorded, by which camera, when (UTC), and how healthy each file is.

Each file is decoded once, so that its number of frames is real; the result is kept per file content. When it began says
`stages.recording.starts`.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, field_validator

from pipeline.errors import UserError, closest
from pipeline.manifests import VIDEOS
from pipeline.shards import Shard
from pipeline.stage import Context, Settings, Stage
from stages.recording.starts import Recording, set_starts

if TYPE_CHECKING:
    import pandas as pd

    from camera_topology.site import Site


# Files that are not whole and are named one by one.
_MOST_SAID = 20


class IngestConfig(Settings):
    """What of the footage is meant, and how far each kind of clock is believed (a camera's ``clock.offset_std_s`` goes before)."""

    cameras: tuple[str, ...] = Field(
        (), description="only these cameras, separated by commas; empty: all of them"
    )
    start: datetime | None = Field(
        None,
        description="footage before is left out, e.g. 2026-05-01T08:00; the site's time where no zone is written",
    )
    end: datetime | None = Field(None, description="footage after is left out")
    named_std_s: float = Field(1.0, ge=0, description="uncertainty of a start from file name or site file, s")
    container_std_s: float = Field(60.0, ge=0, description="uncertainty of a container's creation time, s")
    assumed_std_s: float = Field(86400.0, ge=0, description="uncertainty of an assumed start, s")

    @field_validator("start", "end")
    @classmethod
    def _of_this_age(cls, value: datetime | None) -> datetime | None:
        if value is not None and not 1900 <= value.year <= 2200:
            raise ValueError("wants a time between the years 1900 and 2200")
        return value

    @field_validator("cameras", mode="before")
    @classmethod
    def _by_commas(cls, value: Any) -> Any:
        if isinstance(value, str | int):
            return [word.strip() for word in str(value).split(",") if word.strip()]
        return [str(word) for word in value] if isinstance(value, list | tuple) else value


def run(ctx: Context) -> None:
    from stages.recording.inventory import inventory, n_days, problems, together, worth_knowing

    site: Site = ctx.source("site")
    window = [t and site.to_us(t) for t in (ctx.settings.start, ctx.settings.end)]
    if all(window) and window[1] <= window[0]:  # type: ignore[operator]
        raise UserError("ingest.end lies before ingest.start; nothing is between them.")
    paths = of_cameras(ctx.source("videos"), site, ctx.settings.cameras)
    recordings, repeated = without_repeats(probed(ctx, paths))
    set_starts(recordings, site)
    videos = to_table(recordings, repeated, site, ctx.settings)
    videos = within_window(videos, *window)
    good = videos[videos.status == "ok"]
    found = problems(videos)
    for line in (*found[:_MOST_SAID], *worth_knowing(videos, site)):
        ctx.log(f"warning: {line}")
    if len(found) > _MOST_SAID:
        ctx.log(
            f"warning: {len(found) - _MOST_SAID} more files are not whole; the table {VIDEOS.file} has a note for each."
        )
    if good.empty:
        raise UserError(nothing_left(videos))
    for line in (*inventory(videos), together(videos)):
        ctx.log(line)
    ctx.add_metadata(
        videos=len(good), unreadable=int((videos.status == "unreadable").sum()), cameras=good.camera_id.nunique(),
        frames=int(good.frames.sum()), days=n_days(videos, site), problems=found,
    )  # fmt: skip
    ctx.write(VIDEOS, videos)


def of_cameras(paths: list[Path], site: Site, wanted: tuple[str, ...]) -> dict[Path, str]:
    """Path → camera, of the cameras that `ingest.cameras` names; all for none.

    Raises:
        UserError: a camera that recorded nothing.
    """
    root = common_root(paths)
    found = {path: camera_of(path, root, site) for path in paths}
    there = sorted(set(found.values()))
    for camera_id in wanted:
        if camera_id not in there:
            raise UserError(
                f"CAMERA={camera_id}: recorded none of these videos. {closest(camera_id, there)} CAMERA=all takes all of them."
            )
    return {path: camera for path, camera in found.items() if not wanted or camera in wanted}


def probed(ctx: Context, cameras: dict[Path, str]) -> list[Recording]:
    """Every file with its camera and what decoding it once told."""
    from data.file_digest import file_digest

    known = ctx.digest_of("videos")
    digests = (
        {str(path): digest for path, digest in known} if known and not isinstance(known[0], Path) else {}
    )
    for path in cameras:
        if str(path) not in digests:
            digests[str(path)] = file_digest(path, ctx.run_dir / "digests.json")
    shards = [
        Shard({"video": digests[str(path)]}, partial(probe_video, path), camera, path.stat().st_size)
        for path, camera in cameras.items()
    ]
    recordings = []
    for (path, camera), folder in zip(cameras.items(), ctx.shards(shards, unit="bytes"), strict=True):
        recordings.append(Recording(path, digests[str(path)], camera, _facts(folder / "facts.json")))
    return recordings


def _facts(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        raise UserError(f"{path}: damaged; delete its folder, and the video is looked at again.") from None


def common_root(paths: list[Path]) -> Path:
    """The folder that all recordings have in common."""
    return Path(os.path.commonpath({p.parent for p in paths}))


def camera_of(path: Path, root: Path, site: Site) -> str:
    """The camera of a recording below ``root``."""
    return plain(site.match_camera(path, root))


def plain(name: str) -> str:
    """A name without what separates folders, pairs of cameras and lines: it becomes part of file names and of tables."""
    return re.sub(r"[|/\\\x00-\x1f\x7f-\x9f\u2028\u2029]", "-", name)


def probe_video(path: Path, folder: Path) -> None:
    """A shard: what decoding the file once tells of it, into ``folder/facts.json``."""
    from data.video import UnreadableVideo, probe

    try:
        facts: dict[str, Any] = asdict(probe(path))
    except UnreadableVideo as error:
        facts = {"unreadable": error.reason}
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def without_repeats(recordings: list[Recording]) -> tuple[list[Recording], list[Recording]]:
    """(kept, left out): one camera's files of equal content count once."""
    kept: list[Recording] = []
    repeated: list[Recording] = []
    seen: set[tuple[str, str]] = set()
    for recording in recordings:
        key = (recording.camera_id, recording.digest)
        (repeated if key in seen else kept).append(recording)
        seen.add(key)
    return kept, repeated


def to_table(
    recordings: list[Recording], repeated: list[Recording], site: Site, settings: IngestConfig
) -> pd.DataFrame:
    """The VIDEOS table: clock offset and scale applied, one unique id per file."""
    import pandas as pd

    std_s = {"assumed": settings.assumed_std_s, "container": settings.container_std_s}
    first = {(r.camera_id, r.digest): r for r in recordings}
    for recording in repeated:
        original = first[recording.camera_id, recording.digest]
        recording.start_us, recording.time_source = original.start_us, original.time_source
        recording.notes.append(f"the same content as {original.path.name}")
    left_out = {id(r) for r in repeated}
    rows = []
    taken: set[str] = set()
    for recording in (*recordings, *repeated):
        facts, clock, scale = recording.facts, site.camera(recording.camera_id).clock, recording.scale
        source = recording.time_source
        uncertainty = std_s.get(source, settings.named_std_s)
        if clock.offset_std_s is not None and source != "assumed":
            uncertainty = clock.offset_std_s
        lead_s = facts.get("lead_s", 0.0)
        start_us = recording.start_us + round((clock.offset_s + lead_s * scale) * 1e6)
        end_us = start_us + round(recording.duration_s * scale * 1e6)
        notes = [facts.get("note", ""), facts.get("unreadable", ""), *recording.notes]
        notes.append(f"the first {lead_s:.1f} s do not decode" if lead_s > 1 else "")
        status = "unreadable" if not recording.readable else "repeated" if id(recording) in left_out else "ok"
        rows.append({
            "video_id": _unique(video_id(recording), taken),
            "camera_id": recording.camera_id,
            "path": str(recording.path),
            "digest": recording.digest,
            "status": status,
            "t_start_us": start_us, "t_end_us": end_us, "t_from_us": start_us, "t_until_us": end_us,
            "time_source": source,
            "clock_scale": scale,
            "time_std_s": uncertainty,
            "whole": bool(facts.get("whole", False)) and lead_s <= 1,
            "note": "; ".join(n for n in notes if n),
            **{name: facts.get(name, 0) for name in ("frames", "width", "height", "damaged", "repaired_times")},
            **{name: facts.get(name, 0.0) for name in ("fps", "stamped_fps", "grey_fraction")},
        })  # fmt: skip
    return pd.DataFrame(rows).sort_values("video_id", ignore_index=True)


def within_window(videos: pd.DataFrame, start_us: int | None, end_us: int | None) -> pd.DataFrame:
    """VIDEOS with what lies before ``start_us`` or after ``end_us`` (µs UTC) marked as not to be looked at.

    A file whose time nothing tells is outside of every window.
    """
    if start_us is None and end_us is None:
        return videos
    from_us = videos.t_from_us.clip(lower=start_us)
    until_us = videos.t_until_us.clip(upper=end_us)
    outside = (videos.status == "ok") & ((from_us > until_us) | (videos.time_source == "assumed"))
    return videos.assign(
        t_from_us=from_us.where(~outside, videos.t_from_us),
        t_until_us=until_us.where(~outside, videos.t_until_us),
        status=videos.status.where(~outside, "outside"),
    )


def nothing_left(videos: pd.DataFrame) -> str:
    """Why there is no file to go on with, and what to do."""
    if (videos.status == "outside").any():
        timed = videos[(videos.status == "outside") & (videos.time_source != "assumed")]
        if timed.empty:
            return (
                "ingest.start, ingest.end: no file tells when it was recorded, so none is inside of them; give start_time "
                "or filename in a site file (`make names` shows what each file was taken for)."
            )
        first, last = (
            datetime.fromtimestamp(t / 1e6, UTC) for t in (timed.t_start_us.min(), timed.t_end_us.max())
        )
        return f"ingest.start, ingest.end: all footage lies outside of them; it is from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC."
    return (
        f"VIDEOS: none of the {len(videos)} files can be read, the first of them is {videos.path.iloc[0]}: "
        f"{videos.note.iloc[0]}; name recordings that a video player opens."
    )


def video_id(recording: Recording) -> str:
    """Camera and start as the file tells it, so that a corrected clock renames nothing; else camera and stem."""
    if recording.time_source != "assumed":
        start = datetime.fromtimestamp(recording.start_us // 1_000_000, UTC)
        return f"{recording.camera_id}_{start:%Y%m%dT%H%M%SZ}"
    stem = plain(recording.path.stem)
    doubled = stem == recording.camera_id or stem.startswith(f"{recording.camera_id}_")
    return stem if doubled else f"{recording.camera_id}_{stem}"


def _unique(name: str, taken: set[str]) -> str:
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}-{count}"
    taken.add(candidate)
    return candidate


STAGE = Stage(
    name="ingest",
    inputs=(),
    outputs=(VIDEOS,),
    config=IngestConfig,
    version=2,
    run=run,
    sources=("videos", "site.clock"),
)
