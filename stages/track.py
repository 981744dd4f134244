"""track: boxes of one camera joined to tracklets, across the files it recorded.

The tracker runs over a camera's frames in order of true time, whatever files they lie in: it carries on from one
chunk to the next where the gap is short, and cutting a recording into chunks changes nothing.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from pipeline.digest import table_digest
from pipeline.errors import UserError
from pipeline.manifests import BOXES, DETECTIONS, KEYPOINTS, TRACKLETS, VIDEOS
from pipeline.shards import Shard
from pipeline.stage import Context, Settings, Stage

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from camera_topology.site import Site
    from camera_topology.view import View


class TrackConfig(Settings):
    track_high_threshold: float = Field(0.5, ge=0, le=1, description="Boxes from here on are matched first.")
    new_track_threshold: float = Field(
        0.5, ge=0, le=1, description="Boxes from here on may begin a tracklet."
    )
    min_iou: float = Field(
        0.15, gt=0, lt=1, description="Least overlap of a box with where its track is expected."
    )
    min_iou_low: float = Field(0.5, gt=0, lt=1, description="The same for boxes below track_high_threshold.")
    min_height_ratio: float = Field(
        0.5, ge=0, le=1, description="Least ratio of the smaller to the larger height."
    )
    max_gap_s: float = Field(
        1.0,
        gt=0,
        description="s; a tracklet ends when its person was unseen for longer, and in at least two frames.",
    )
    min_duration_s: float = Field(
        0.2, ge=0, description="s; a track that did not live this long leaves no tracklet."
    )
    keypoint_weight: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of the poses' likeness in the overlap, with a pose network; 0: boxes alone.",
    )
    min_length_s: float = Field(
        0.5,
        ge=0,
        description="s from first to last box, at few frames per second up to the next frames; shorter tracklets are dropped.",
    )
    static_after_s: float | None = Field(
        None,
        gt=0,
        description="s; drop what stands perfectly still for longer (posters, mannequins). null: keep all.",
    )
    static_wander: float = Field(
        0.02, ge=0, description="Perfectly still: the centre stays within this share of its height."
    )


def run(ctx: Context) -> None:
    import pandas as pd

    from pipeline import schema

    site: Site = ctx.source("site")
    videos = ctx.read(VIDEOS).set_index("video_id")
    detections = ctx.read(DETECTIONS)
    detections["camera_id"] = detections.video_id.map(videos.camera_id)
    detections = with_poses(detections, ctx.read(KEYPOINTS))
    source, poses = ctx.paths(DETECTIONS)[-1], ctx.paths(KEYPOINTS)[-1]
    shards = []
    for camera_id, mine in detections.groupby("camera_id", sort=True):
        own = mine.drop(columns="camera_id").reset_index(drop=True)
        key = {"camera": camera_id, "detections": table_digest(own)}
        if seen := (ctx.source_digests.get("site.view") or {}).get(camera_id):
            key["view"] = seen
        view = site.view(str(camera_id))
        files = sorted(own.video_id.unique())
        sizes = dict(zip(files, videos.loc[files, ["width", "height"]].to_numpy().tolist(), strict=True))
        make = partial(track_files, str(camera_id), sizes, source, poses, view, ctx.settings)
        shards.append(Shard(key, make, str(camera_id), own.frame.nunique()))
    tracklets, boxes = [TRACKLETS.empty()], [BOXES.empty()]
    for folder in ctx.shards(shards):
        tracklets.append(schema.read(TRACKLETS, folder / TRACKLETS.file))
        boxes.append(schema.read(BOXES, folder / BOXES.file))
    joined = pd.concat(tracklets, ignore_index=True)
    if joined.empty:
        raise UserError(
            f"none of {len(detections)} boxes could be followed for {ctx.settings.min_length_s} s: lower "
            f"track.min_length_s or track.new_track_threshold, or look at the detections with `status`."
        )
    ctx.write(TRACKLETS, joined)
    ctx.write(BOXES, pd.concat(boxes, ignore_index=True))
    ctx.add_metadata(tracklets=len(joined))


def track_files(
    camera_id: str,
    sizes: dict[str, tuple[int, int]],
    detections: Path,
    poses: Path,
    view: View,
    settings: TrackConfig,
    folder: Path,
) -> str:
    """A shard: the tracklets of one camera, through all its videos.

    Args:
        sizes: video_id → width and height of its frames, px.
        detections, poses: the manifests' files.
        view: the part of its picture that counts.
    """
    from pipeline import schema

    found = schema.read(DETECTIONS, detections, list(sizes))
    own = counted(with_poses(found, schema.read(KEYPOINTS, poses, list(sizes))), view, sizes)
    tracklets, boxes, doubled = track_camera(camera_id, own, settings)
    schema.write(TRACKLETS, tracklets, folder / TRACKLETS.file)
    schema.write(BOXES, boxes, folder / BOXES.file)
    length_s = (tracklets.t_end_us - tracklets.t_start_us).median() / 1e6
    half = f", half of them longer than {length_s:.1f} s" if len(tracklets) else ""
    twice = f"; {doubled} boxes lie in a time that another of its files covers; left out" if doubled else ""
    hidden = (
        f"; {len(found) - len(own)} boxes lie outside of its view in the site file"
        if len(own) < len(found)
        else ""
    )
    slow = too_slow(own, boxes)
    return f"{camera_id}: {len(tracklets)} tracklets{half}{twice}{hidden}{slow}"


def counted(detections: pd.DataFrame, view: View, sizes: dict[str, tuple[int, int]]) -> pd.DataFrame:
    """The detections that lie in the part of the camera's picture that counts, in their order.

    Args:
        sizes: video_id → width and height of its frames, px.
    """
    import numpy as np

    if view.whole:
        return detections
    kept = np.zeros(len(detections), bool)
    for video_id, rows in detections.groupby("video_id").indices.items():
        width, height = sizes[str(video_id)]
        boxes = detections[["x1", "y1", "x2", "y2"]].to_numpy(np.float64)[rows]
        kept[rows] = view.counts(boxes, (int(width), int(height)))
    return detections[kept].reset_index(drop=True)


def with_poses(detections: pd.DataFrame, poses: pd.DataFrame) -> pd.DataFrame:
    """DETECTIONS with the column ``points`` of KEYPOINTS, where there are any."""
    return detections.merge(poses, on=list(KEYPOINTS.key), validate="1:1") if len(poses) else detections


def track_camera(
    camera_id: str, detections: pd.DataFrame, settings: TrackConfig
) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Tracklets and boxes of one camera from the detections manifest's rows of all its videos, `with_poses` or without.

    Returns:
        rows of the tracklets manifest, rows of the boxes manifest, and how many boxes were left out because two
        videos of the camera cover the same time (the one that began first is kept).
    """
    import numpy as np

    from stages.tracking.spacing import FEW_S
    from stages.tracking.tracker import Tracker, TrackerSettings

    shared = set(TrackConfig.model_fields) & set(TrackerSettings.__dataclass_fields__)
    tracker = Tracker(TrackerSettings(**{name: getattr(settings, name) for name in sorted(shared)}))
    rows, doubled = in_order_of_time(detections)
    if rows.empty:
        return TRACKLETS.empty(), BOXES.empty(), doubled
    track = np.full(len(rows), -1, np.int64)
    overlap, margin = np.ones((2, len(rows)), np.float32)
    t_us = rows.t_utc_us.to_numpy()
    corners = rows[["x1", "y1", "x2", "y2"]].to_numpy(np.float64)
    scores = rows.score.to_numpy(np.float64)
    poses = np.stack(rows.points.to_list()).reshape(len(rows), -1, 3) if "points" in rows else None
    first = np.flatnonzero(np.diff(t_us, prepend=t_us[0] - 1))
    # From the first box on: seconds since 1970 would cost the filter digits.
    times_s = ((t_us[first] - t_us[0]) / 1e6).tolist()
    step = frame_steps(rows, first)
    reach_s = reach(step).tolist()
    ends = [*first[1:].tolist(), len(rows)]
    for t_s, reach_now, begin, end in zip(times_s, reach_s, first.tolist(), ends, strict=True):
        now = slice(begin, end)
        of_now = None if poses is None else poses[now]
        found = tracker.update(t_s, corners[now], scores[now], of_now, reach_now)
        track[now], overlap[now], margin[now] = found
    rows = rows.assign(track=track, overlap=overlap, margin=margin)
    rows["unseen_s"] = np.repeat(unseen(step), np.diff([*first, len(rows)]))
    rows = rows[rows.track >= 0]
    confirmed = rows.track.isin(list(tracker.ever_confirmed))
    # Where most people are seen once, being seen twice cannot be asked of anybody.
    rare = typical_step(step) > FEW_S and alone(rows.track) >= 0.5
    if not rare:
        rows = rows[confirmed | long_in_few_frames(rows, settings.min_duration_s)]
        long = long_enough(rows, settings.min_length_s)
        rows = rows[long | long_in_few_frames(rows, settings.min_length_s)]
    if settings.static_after_s is not None:
        rows = moving(rows, settings.static_after_s, settings.static_wander)
    return *to_tables(camera_id, rows), doubled


def in_order_of_time(detections: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Rows by time, then by falling score and place, so that their order on entry cannot matter.

    Where two videos cover the same time, as copies and overlapping chunks do, the rows of the one that began later
    are left out up to the end of the other; returns how many.
    """
    import numpy as np

    if detections.empty:
        return detections, 0
    rows, doubled = detections, 0
    if detections.video_id.nunique() > 1:
        spans = detections.groupby("video_id").t_utc_us.agg(["min", "max"]).reset_index()
        from_us: dict[str, int] = {}
        covered_until = np.iinfo(np.int64).min
        spans = spans.sort_values(["min", "max", "video_id"])
        for video_id, last in zip(spans.video_id, spans["max"], strict=True):
            from_us[video_id] = covered_until
            covered_until = max(covered_until, last)
        late = detections.t_utc_us > detections.video_id.map(from_us)
        rows, doubled = detections[late], int((~late).sum())
    t_us, score = rows.t_utc_us.to_numpy(), rows.score.to_numpy()
    order = np.lexsort([-score, t_us])
    equal = (np.diff(t_us[order]) == 0) & (np.diff(score[order]) == 0)
    if equal.any():  # rare, and four keys more cost as much again
        order = np.lexsort([*(rows[c].to_numpy() for c in ("y2", "x2", "y1", "x1")), -score, t_us])
    return rows.iloc[order].reset_index(drop=True), doubled


def frame_steps(rows: pd.DataFrame, first: np.ndarray) -> np.ndarray:
    """(frames,) s from the frame looked at before, of rows in order of time of which ``first`` begin a frame."""
    import numpy as np

    from stages.tracking.spacing import steps

    t_us = rows.t_utc_us.to_numpy()[first]
    video = rows.video_id.astype("category").cat.codes.to_numpy(np.int64)[first]
    return steps((t_us - t_us[0]) / 1e6, video, rows.frame.to_numpy(np.int64)[first])


def reach(step: np.ndarray) -> np.ndarray:
    """(frames,) s that no track may be cut within: two steps and a half, 0 at the usual rates.

    A person may be missed in one frame and found in the next. A pause up to `spacing.LONGEST_S`, in which nobody looked,
    cuts no track either.
    """
    import numpy as np

    from stages.tracking.spacing import FEW_S, LONGEST_S, NORMAL_S, local_steps

    local = local_steps(step)
    pause = np.where((step > FEW_S) & (step <= LONGEST_S), step * 1.01, 0.0)
    return np.maximum(np.where(local > NORMAL_S, 2.5 * local, 0.0), pause)


def unseen(step: np.ndarray) -> np.ndarray:
    """(frames,) s about each frame in which nobody looked, three quarters of the longer step; 0 at the usual rates.

    A box stands for more than its moment where frames are rare: a person is there before the first and after the last.
    The whole step is what to expect; of less, one box alone makes half a second at 1.5 frames per second only.
    """
    import numpy as np

    from stages.tracking.spacing import FEW_S, LONGEST_S

    longer = np.maximum(step, np.append(step[1:], step[-1:]))
    return np.where(longer > FEW_S, 0.75 * np.minimum(longer, LONGEST_S), 0.0)


def typical_step(step: np.ndarray) -> float:
    """s; the median over a camera's frames of the typical step about each."""
    import numpy as np

    from stages.tracking.spacing import local_steps

    return float(np.median(local_steps(step)))


def alone(track: pd.Series) -> float:
    """The fraction of boxes whose track, or tracklet, has no other."""
    return float((track.groupby(track).transform("size") == 1).mean()) if len(track) else 0.0


def long_enough(rows: pd.DataFrame, min_length_s: float) -> pd.Series:
    """Which rows belong to tracks (column ``track``) that are so long from first to last box."""
    t = rows.groupby("track").t_utc_us
    return t.transform("max") - t.transform("min") >= min_length_s * 1e6 - 1


def long_in_few_frames(rows: pd.DataFrame, min_length_s: float) -> pd.Series:
    """The same with the time about its frames in which nobody looked (column ``unseen_s``); False where there is none."""
    track = rows.groupby("track")
    spare_s = track.unseen_s.transform("max")
    span_us = track.t_utc_us.transform("max") - track.t_utc_us.transform("min")
    return (spare_s > 0) & (span_us + spare_s * 1e6 >= min_length_s * 1e6 - 1)


def too_slow(detections: pd.DataFrame, boxes: pd.DataFrame) -> str:
    """A sentence where a camera's frames are too far apart to follow people who walk, else nothing.

    They are where people leave their box from one frame to the next: their centres move by more than its width, or
    half of the boxes are alone in their tracklet.
    """
    import numpy as np

    from stages.tracking.spacing import FEW_S

    rows, _ = in_order_of_time(detections)
    if rows.empty or boxes.empty:
        return ""
    t_us = rows.t_utc_us.to_numpy()
    first = np.flatnonzero(np.diff(t_us, prepend=t_us[0] - 1))
    step_s = typical_step(frame_steps(rows, first))
    if step_s <= FEW_S:
        return ""
    seen = boxes.sort_values(["tracklet_id", "t_utc_us"], kind="stable")
    x = (seen.x1 + seen.x2) / 2
    moved = (x.groupby(seen.tracklet_id).diff().abs() / (seen.x2 - seen.x1)).dropna()
    if alone(seen.tracklet_id) < 0.5 and not (len(moved) and float(moved.median()) > 1.0):
        return ""
    return (
        f"; about {1 / step_s:.2g} frames a second are too few to follow people who walk: they leave their box from "
        f"one frame to the next, and their tracklets may be short or change persons. Record this camera at 5 frames "
        f"a second or more, or raise detect.target_fps if it is set"
    )


def moving(rows: pd.DataFrame, after_s: float, wander: float) -> pd.DataFrame:
    """Without the tracks that live longer than ``after_s`` and never leave their place by ``wander`` heights.

    Judged by the inner 98 % of each coordinate of the centre. People who stand or sit sway by more than a poster
    does, but some by little, hence a setting and no default.
    """
    import pandas as pd

    centre = pd.DataFrame(
        {"track": rows.track, "x": (rows.x1 + rows.x2) / 2, "y": (rows.y1 + rows.y2) / 2, "t": rows.t_utc_us}
    ).groupby("track")
    height = (rows.y2 - rows.y1).groupby(rows.track).median()
    spread = (centre[["x", "y"]].quantile(0.99) - centre[["x", "y"]].quantile(0.01)).max(axis=1) / height
    length_s = (centre.t.max() - centre.t.min()) / 1e6
    still = spread.index[(length_s > after_s) & (spread < wander)]
    return rows[~rows.track.isin(still)]


def to_tables(camera_id: str, rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of the tracklets and boxes manifests from boxes with a column ``track``.

    A tracklet is called camera_YYYYmmddTHHMMSSmmm_k, k counting from the left those that begin in one millisecond.
    """
    import pandas as pd

    if rows.empty:
        return TRACKLETS.empty(), BOXES.empty()
    ordered = rows.sort_values(["track", "t_utc_us"], kind="stable")
    first = ordered.drop_duplicates("track").sort_values(["t_utc_us", "x1", "y1", "x2", "y2"]).copy()
    first["ms"] = first.t_utc_us // 1000
    k = first.sort_values(["ms", "x1", "y1", "x2", "y2"], kind="stable").groupby("ms").cumcount()
    when = pd.to_datetime(first.ms, unit="ms")
    first["tracklet_id"] = [
        f"{camera_id}_{t:%Y%m%dT%H%M%S}{t.microsecond // 1000:03d}_{n}"
        for t, n in zip(when, k[first.index], strict=True)
    ]
    boxes = ordered.assign(tracklet_id=ordered.track.map(first.set_index("track").tracklet_id))
    groups = boxes.groupby("tracklet_id", sort=True)
    tracklets = pd.DataFrame(
        {
            "t_start_us": groups.t_utc_us.min(),
            "t_end_us": groups.t_utc_us.max(),
            "n_boxes": groups.size().astype("int32"),
            "mean_score": groups.score.mean().astype("float32"),
        }
    ).reset_index()
    tracklets["parent_id"] = tracklets.tracklet_id
    tracklets["camera_id"] = camera_id
    names = [c.name for c in TRACKLETS.columns]
    return tracklets[names], boxes[[c.name for c in BOXES.columns]].reset_index(drop=True)


STAGE = Stage(
    name="track",
    inputs=(VIDEOS, DETECTIONS, KEYPOINTS),
    outputs=(TRACKLETS, BOXES),
    config=TrackConfig,
    version=3,
    run=run,
    sources=("site.view",),
)
