"""Ingest: what was recorded, by which camera, when (UTC), and how healthy each file is.

Each file is decoded once, so that its number of frames is real; the result is kept per file content. Its start is
taken from the site file, else from its name, else from the container, else assumed: all cameras begin together, and
a camera's files follow one another in natural order of their names.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pipeline.errors import UserError
from pipeline.manifests import VIDEOS
from pipeline.shards import Shard
from pipeline.stage import Context, Settings, Stage

if TYPE_CHECKING:
    import pandas as pd

    from camera_topology.site import Site

# Where nothing tells the time: far enough from any real recording to be seen at once.
ASSUMED_EPOCH_US = 0
_FPS_TOLERANCE = 0.01


class IngestConfig(Settings):
    """How far each kind of clock is believed; a camera's own ``clock.offset_std_s`` goes before."""

    named_std_s: float = Field(1.0, ge=0, description="uncertainty of a start from file name or site file, s")
    container_std_s: float = Field(60.0, ge=0, description="uncertainty of a container's creation time, s")
    assumed_std_s: float = Field(86400.0, ge=0, description="uncertainty of an assumed start, s")


@dataclass
class Recording:
    """One file on its way into the table; times before the camera's clock offset."""

    path: Path
    digest: str
    camera_id: str
    facts: dict[str, Any]  # of data.video.VideoFacts; {'unreadable': reason} where it is
    start_us: int = ASSUMED_EPOCH_US
    time_source: str = "assumed"

    @property
    def readable(self) -> bool:
        return "unreadable" not in self.facts

    @property
    def duration_s(self) -> float:
        return self.facts["duration_s"] if self.readable else 0.0


def run(ctx: Context) -> None:
    from data.digest import file_digest

    site: Site = ctx.source("site")
    paths: list[Path] = ctx.source("videos")
    known = ctx.digest_of("videos")
    digests = (
        {str(path): digest for path, digest in known} if known and not isinstance(known[0], Path) else {}
    )
    root = Path(os.path.commonpath([p.parent for p in paths])) if paths else Path()
    for path in paths:
        digests.setdefault(str(path), file_digest(path, ctx.run_dir / "digests.json"))
    folders = ctx.shards([Shard({"video": digests[str(path)]}, partial(probe_video, path)) for path in paths])
    recordings = []
    for path, folder in zip(paths, folders, strict=True):
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        camera_id = re.sub(r"[|/\\]", "-", site.match_camera(path, root))
        recordings.append(Recording(path, digests[str(path)], camera_id, facts))
    recordings, repeated = without_repeats(recordings)
    for recording in repeated:
        ctx.say(
            f"warning: {recording.path}: the same content as another file of {recording.camera_id}; left out."
        )
    set_starts(recordings, site)
    videos = to_table(recordings, site, ctx.settings)
    for line in warnings(videos, site):
        ctx.say(f"warning: {line}")
    if not (videos.status == "ok").any():
        raise UserError(
            f"VIDEOS: none of the {len(videos)} files can be read, the first of them is {videos.path.iloc[0]}: "
            f"{videos.note.iloc[0]}; name recordings that a video player opens."
        )
    for line in (*inventory(videos), together(videos)):
        ctx.say(line)
    good = videos[videos.status == "ok"]
    ctx.note(
        videos=len(good), unreadable=len(videos) - len(good), cameras=good.camera_id.nunique(), frames=int(good.frames.sum())
    )  # fmt: skip
    ctx.write(VIDEOS, videos)


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


def set_starts(recordings: list[Recording], site: Site) -> None:
    """Fill in ``start_us`` and ``time_source`` of every recording, camera by camera."""
    from data.videos import natural_key

    for camera_id in sorted({r.camera_id for r in recordings}):
        own = sorted((r for r in recordings if r.camera_id == camera_id), key=lambda r: natural_key(r.path))
        declared = site.camera(camera_id).start_time
        if declared is not None:
            _one_after_another(own, site.to_us(declared), clock_scales(own, site), "topology")
            continue
        unnamed = []
        for recording in own:
            named = site.named_start(recording.path, camera_id)
            if named is None:
                unnamed.append(recording)
            else:
                recording.start_us, recording.time_source = named.start_us, "file name"
        if not _from_containers(unnamed):
            _one_after_another(unnamed, ASSUMED_EPOCH_US, clock_scales(unnamed, site), "assumed")


def clock_scales(recordings: list[Recording], site: Site) -> list[float]:
    """True seconds per second of media, per recording: the clock's scale, and the true frame rate where it is given.

    A declared ``fps`` is held against the median spacing of the timestamps, so dropped frames do not stretch time.
    """
    scales = []
    for recording in recordings:
        camera = site.camera(recording.camera_id)
        stamped = recording.facts.get("stamped_fps") or 0.0
        wrong = camera.fps and stamped and abs(stamped / camera.fps - 1) > _FPS_TOLERANCE
        scales.append(camera.clock.scale * (stamped / camera.fps if wrong and camera.fps else 1.0))
    return scales


def _one_after_another(recordings: list[Recording], start_us: int, scales: list[float], source: str) -> None:
    for recording, scale in zip(recordings, scales, strict=True):
        recording.start_us, recording.time_source = start_us, source
        fps = recording.facts.get("fps") or 0.0
        # The last frame lasts as long as the others.
        start_us += round((recording.duration_s + (1 / fps if fps else 0.0)) * scale * 1e6)


def _from_containers(recordings: list[Recording]) -> bool:
    """Take the containers' creation times where all have one and one camera's files do not overlap by them.

    Equal or overlapping times are those of a conversion or a copy, not of the recording.
    """
    starts = [_creation_us(r.facts.get("created", "")) for r in recordings if r.readable]
    if not starts or any(s is None for s in starts):
        return False
    spans = sorted(
        (s, r.duration_s) for s, r in zip(starts, (r for r in recordings if r.readable), strict=True)
    )
    if any(a + d * 1e6 > b + 1e6 for (a, d), (b, _) in pairwise(spans)):  # type: ignore[operator]
        return False
    for recording in recordings:
        created = _creation_us(recording.facts.get("created", ""))
        if created is not None:
            recording.start_us, recording.time_source = created, "container"
    return True


def _creation_us(text: str) -> int | None:
    """UTC µs of a creation time; None where it is absent or a recorder's empty clock (before 1990)."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    time = time if time.tzinfo else time.replace(tzinfo=UTC)
    return round(time.timestamp() * 1e6) if time.year >= 1990 else None


def to_table(recordings: list[Recording], site: Site, settings: IngestConfig) -> pd.DataFrame:
    """The VIDEOS table: clock offset and scale applied, one unique id per file."""
    import pandas as pd

    std_s = {"assumed": settings.assumed_std_s, "container": settings.container_std_s}
    rows = []
    taken: set[str] = set()
    for recording, scale in zip(recordings, clock_scales(recordings, site), strict=True):
        facts, clock = recording.facts, site.camera(recording.camera_id).clock
        source = recording.time_source
        uncertainty = std_s.get(source, settings.named_std_s)
        if clock.offset_std_s is not None and source != "assumed":
            uncertainty = clock.offset_std_s
        lead_s = facts.get("lead_s", 0.0)
        start_us = recording.start_us + round((clock.offset_s + lead_s * scale) * 1e6)
        notes = [facts.get("note", ""), facts.get("unreadable", "")]
        notes.append(f"the first {lead_s:.1f} s do not decode" if lead_s > 1 else "")
        notes.append(f"clock runs at {scale:.4f} of its stamps" if scale != 1 else "")
        rows.append({
            "video_id": _unique(video_id(recording), taken),
            "camera_id": recording.camera_id,
            "path": str(recording.path),
            "digest": recording.digest,
            "status": "ok" if recording.readable else "unreadable",
            "t_start_us": start_us,
            "t_end_us": start_us + round(recording.duration_s * scale * 1e6),
            "frames": facts.get("frames", 0),
            "width": facts.get("width", 0),
            "height": facts.get("height", 0),
            "fps": facts.get("fps", 0.0),
            "time_source": source,
            "clock_scale": scale,
            "time_std_s": uncertainty,
            "note": "; ".join(n for n in notes if n),
        })  # fmt: skip
    return pd.DataFrame(rows).sort_values("video_id", ignore_index=True)


def video_id(recording: Recording) -> str:
    """Camera and start as the file tells it, so that a corrected clock renames nothing; else camera and stem."""
    if recording.time_source != "assumed":
        start = datetime.fromtimestamp(recording.start_us // 1_000_000, UTC)
        return f"{recording.camera_id}_{start:%Y%m%dT%H%M%SZ}"
    stem = recording.path.stem
    doubled = stem == recording.camera_id or stem.startswith(f"{recording.camera_id}_")
    return stem if doubled else f"{recording.camera_id}_{stem}"


def _unique(name: str, taken: set[str]) -> str:
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}-{count}"
    taken.add(candidate)
    return candidate


def warnings(videos: pd.DataFrame, site: Site) -> list[str]:
    """Sentences about what a person should look at before believing the result."""
    lines = [
        f"{row.path}: unreadable: {row.note}; left out." for row in videos[videos.status != "ok"].itertuples()
    ]
    good = videos[videos.status == "ok"]
    lines += [f"{row.path}: {row.note}." for row in good[good.note != ""].itertuples()]
    if site.path and site.cameras:
        strange = sorted(set(good.camera_id) - set(site.cameras))
        lines += [f"camera '{c}' is not in {site.path}; its links are taken as unlisted." for c in strange]
    assumed = sorted(good.camera_id[good.time_source == "assumed"].unique())
    if assumed:
        lines.append(
            f"no start time is known for {', '.join(assumed[:6])}{' …' if len(assumed) > 6 else ''}; taken to start "
            f"together. Times then say nothing across cameras: give start_time or filename in a site file."
        )
    for camera_id, own in good.sort_values("t_start_us").groupby("camera_id"):
        late = own.t_end_us.cummax().shift() > own.t_start_us + 1_000_000
        lines += [f"{path}: overlaps an earlier file of {camera_id} in time." for path in own.path[late]]
    if good.camera_id.nunique() == 1:
        lines.append(
            f"only one camera ('{good.camera_id.iloc[0]}'): there is nothing to associate across cameras."
        )
    return lines


def inventory(videos: pd.DataFrame) -> list[str]:
    """A short table: camera, files, hours, fps, from and to."""
    good = videos[videos.status == "ok"]
    width = max(6, *(len(c) for c in good.camera_id))
    lines = [f"{'camera':<{width}}  files  hours    fps  from (UTC)           to"]
    for camera_id, own in good.groupby("camera_id"):
        hours = float((own.t_end_us - own.t_start_us).sum()) / 3.6e9
        start, end = (
            datetime.fromtimestamp(int(t) // 1_000_000, UTC)
            for t in (own.t_start_us.min(), own.t_end_us.max())
        )
        source = ", ".join(sorted(own.time_source.unique()))
        lines.append(
            f"{camera_id:<{width}}  {len(own):>5}  {hours:5.2f}  {own.fps.median():5.1f}  "
            f"{start:%Y-%m-%d %H:%M:%S}  {end:%Y-%m-%d %H:%M:%S}  ({source})"
        )
    return lines


def together(videos: pd.DataFrame, reach_s: float = 3600.0) -> str:
    """Can people of these recordings be found again in another camera? One sentence, before anybody was looked for.

    reach_s: two recordings farther apart in time than this share nobody, or nobody who could be told.
    """
    good = videos[videos.status == "ok"]
    if good.camera_id.nunique() < 2:
        return "One camera: people will be followed, and there is no second one to find them again in."
    timed = good[good.time_source != "assumed"]
    unknown = sorted(set(good.camera_id) - set(timed.camera_id))
    clocks = "" if not unknown else f" {_some(unknown)}: clock not known, so walking times say nothing there."
    if timed.camera_id.nunique() < 2:
        return f"Walking times cannot help:{clocks} Give start times in the site file or in the file names."
    groups = _in_reach(timed, round(reach_s * 1e6))
    within = f"within {reach_s / 3600:g} h of each other"
    if len(groups) == 1:
        return (
            f"{len(groups[0])} cameras recorded {within}; whether enough people pass by, the report says when they have been "
            f"found.{clocks}"
        )
    parts = "; ".join(_some(group) for group in groups[:4]) + ("; …" if len(groups) > 4 else "")
    return f"Not all cameras recorded {within}, and people can be found again only inside each of these groups: {parts}.{clocks}"


def _in_reach(videos: pd.DataFrame, reach_us: int) -> list[list[str]]:
    """Groups of cameras whose recordings are linked by less than ``reach_us`` between two of them, the largest first."""
    import numpy as np
    from scipy.sparse.csgraph import connected_components

    cameras = sorted(videos.camera_id.unique())
    number = videos.camera_id.map({c: i for i, c in enumerate(cameras)}).to_numpy()
    start, end = videos.t_start_us.to_numpy(), videos.t_end_us.to_numpy()
    near = np.zeros((len(cameras), len(cameras)), bool)
    order = np.argsort(start, kind="stable")
    reached = np.full(len(cameras), -(10**18))  # until when each camera's recordings so far reach
    for i in order:
        near[number[i], reached >= start[i] - reach_us] = True
        reached[number[i]] = max(reached[number[i]], end[i])
    _, label = connected_components(near, directed=False)
    groups = [[c for c, own in zip(cameras, label, strict=True) if own == g] for g in range(label.max() + 1)]
    return sorted(groups, key=lambda group: (-len(group), group))


def _some(names: list[str], most: int = 5) -> str:
    """'a, b', or 'a, b, c, d, e and 2 more'."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


STAGE = Stage(
    name="ingest",
    inputs=(),
    outputs=(VIDEOS,),
    config=IngestConfig,
    version=1,
    run=run,
    sources=("videos", "site.clock"),
)
