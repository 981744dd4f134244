"""detect: one row per person box per frame, from a network or from files of finished detections.

Every video is one piece of work: one more video costs one video, and a killed run resumes at the last whole one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from pydantic import Field

from pipeline.errors import UserError
from pipeline.manifests import DETECTIONS, KEYPOINTS, VIDEOS
from pipeline.shards import Shard
from pipeline.stage import Context, Settings, Stage

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from data.video import Frame
    from stages.detectors.yolo import Detector


T = TypeVar("T")
_FRAMES_AT_ONCE = 1000


class DetectConfig(Settings):
    min_score: float = Field(
        0.1, gt=0, lt=1, description="Boxes below are dropped; low ones feed the tracker's second stage."
    )
    image_size_px: int = Field(
        640, ge=64, description="Long side of the network's input; an exported network keeps its own."
    )
    nms_iou: float = Field(
        0.7, gt=0, le=1, description="Of two boxes that overlap more, the weaker is dropped."
    )
    max_detections: int = Field(300, ge=1, description="Most people kept per frame, the best ones.")
    min_person_height_px: float = Field(
        16.0, ge=0, description="Smaller boxes are dropped: no one can tell who it is."
    )
    target_fps: float | None = Field(
        None, gt=0, description="Look at so many frames per second of media only; null: at every frame."
    )
    batch: int = Field(16, ge=1, description="Frames per forward pass on a GPU.")
    box_from: Literal["network", "keypoints"] = Field(
        "network", description="Of a pose network: its own box, or one around the keypoints (TASTR)."
    )
    half_precision: bool = Field(
        True,
        description="Compute a .pt network in half precision, on a GPU or a processor with bfloat16: up to twice as "
        "fast, boxes a little different. An exported network keeps its own precision.",
    )


class Moment(NamedTuple):
    """A frame without its picture, so that a long video does not stay in memory."""

    frame: int
    media_time_s: float


def run(ctx: Context) -> None:
    import pandas as pd

    from pipeline import schema
    from stages.detectors.precomputed import is_precomputed

    videos = ctx.read(VIDEOS)
    videos = videos[videos.status == "ok"].sort_values("video_id")
    source: Path | str = ctx.source("detector")
    finished = is_precomputed(Path(source))
    shards = []
    for row in videos.to_dict("records"):
        video = {str(name): value for name, value in row.items()}
        key = {"video": video["digest"], "video_id": video["video_id"], "t_start_us": int(video["t_start_us"]),
               "clock_scale": float(video["clock_scale"])}  # fmt: skip
        if seen := window_s(video):
            key["window_s"] = seen
        about = str(video["camera_id"]), expected(video, ctx.settings.target_fps)
        if finished:
            key["stem"] = Path(video["path"]).stem
            shards.append(Shard(key, partial(read_boxes, Path(source), video, ctx.settings), *about))
        else:
            networks = ctx.run_dir / "shard_cache" / "networks"
            make = partial(detect_people, source, video, ctx.settings, ctx.device, networks)
            shards.append(Shard(key, make, *about))
    # One network has all cores, or the GPU, for itself.
    folders = ctx.shards(shards, workers=None if finished else 1)
    _opened.cache_clear()
    tables = [schema.read(DETECTIONS, folder / DETECTIONS.file) for folder in folders]
    found = pd.concat(tables, ignore_index=True) if tables else DETECTIONS.empty()
    if found.empty:
        raise UserError(
            f"no person found in {len(videos)} videos by DETECTOR={source} at detect.min_score="
            f"{ctx.settings.min_score}; look whether it is a detector of persons, or lower it with "
            f'SET="detect.min_score=0.05".'
        )
    ctx.write(DETECTIONS, found)
    poses = [schema.read(KEYPOINTS, folder / KEYPOINTS.file) for folder in folders]
    ctx.write(KEYPOINTS, pd.concat(poses, ignore_index=True))
    ctx.add_metadata(detections=len(found), videos=len(videos))


def detect_people(
    source: Path | str,
    video: dict[str, Any],
    settings: DetectConfig,
    device: str,
    networks: Path,
    folder: Path,
) -> str:
    """A shard: the people a network finds in one video.

    Args:
        source: its weights, or 'motion'; video: a row of VIDEOS; networks: folder of those exported here.
    """
    import pandas as pd

    from data.video import read_frames
    from pipeline import schema
    from pipeline.progress import bar
    from stages.detectors.pose import boxes_from_keypoints

    started = time.perf_counter()
    detector = _opened(source, (int(video["height"]), int(video["width"])), settings, device, networks)
    looked_at: list[Moment] = []

    def images() -> Iterator[np.ndarray]:
        frames = every(within(read_frames(Path(video["path"])), window_s(video)), settings.target_fps)
        for frame in bar(frames, video["video_id"], expected(video, settings.target_fps)):
            looked_at.append(Moment(frame.index, frame.media_time_s))
            yield frame.rgb()

    parts: list[tuple[pd.DataFrame, pd.DataFrame]] = []
    n_frames = 0
    size = (int(video["height"]), int(video["width"]))
    # Tables a part at a time: a Python object for each frame of a long video would be most of the memory.
    for boxes in batched(detector.stream(images()), _FRAMES_AT_ONCE):
        if settings.box_from == "keypoints":
            boxes = [boxes_from_keypoints(b, size) for b in boxes]
        seen, looked_at[: len(boxes)] = looked_at[: len(boxes)], []
        parts.append(to_tables(video, seen, list(boxes), settings.min_person_height_px))
        n_frames += len(boxes)
    table = pd.concat([DETECTIONS.empty(), *(part[0] for part in parts)], ignore_index=True)
    poses = pd.concat([KEYPOINTS.empty(), *(part[1] for part in parts)], ignore_index=True)
    schema.write(DETECTIONS, table, folder / DETECTIONS.file)
    schema.write(KEYPOINTS, poses, folder / KEYPOINTS.file)
    return _sentence(video, n_frames, len(table), started)


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of ``size`` items, the last one shorter (itertools.batched is younger than Python 3.11)."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch


@lru_cache(maxsize=1)  # one network in memory at a time
def _opened(
    source: Path | str, frame_size: tuple[int, int], s: DetectConfig, device: str, networks: Path
) -> Detector:
    from stages.detectors.yolo import DetectorSettings, open_detector

    settings = DetectorSettings(
        s.image_size_px, s.min_score, s.nms_iou, s.max_detections, s.batch, s.half_precision
    )
    return open_detector(source, settings, frame_size=frame_size, device=device, cache=networks)


def read_boxes(source: Path, video: dict[str, Any], settings: DetectConfig, folder: Path) -> str:
    """A shard: the finished detections of one video, held against its frames."""
    import numpy as np

    from data.video import read_frames
    from pipeline import schema
    from pipeline.progress import bar
    from stages.detectors.precomputed import read_detections

    started = time.perf_counter()
    table = read_detections(source, video["video_id"], Path(video["path"]).stem)
    centre_x, centre_y = (table.x1 + table.x2) / 2, (table.y1 + table.y2) / 2
    outside = ~(centre_x.between(0, video["width"]) & centre_y.between(0, video["height"]))
    if len(table) and outside.mean() > 0.2:
        raise UserError(
            f"DETECTOR={source}: {outside.mean():.0%} of the boxes for '{video['video_id']}' lie outside its "
            f"{video['width']}x{video['height']} px; were they made on the video in another size?"
        )
    frames = every(within(read_frames(Path(video["path"])), window_s(video)), settings.target_fps)
    frames = bar(frames, video["video_id"], expected(video, settings.target_fps))
    looked_at = [Moment(frame.index, frame.media_time_s) for frame in frames]
    last = max((f.frame for f in looked_at), default=-1)
    late = 0 if settings.target_fps or window_s(video) else int(np.count_nonzero(table.frame > last))
    table = table[table.score >= settings.min_score].sort_values(
        ["frame", "score"], ascending=[True, False], kind="stable"
    )
    rows = {f: t for f, t in table.groupby("frame")}
    none = np.zeros((0, 5), np.float32)
    boxes = [
        rows[f.frame][["x1", "y1", "x2", "y2", "score"]].to_numpy(np.float32)[: settings.max_detections]
        if f.frame in rows
        else none
        for f in looked_at
    ]
    found, poses = to_tables(video, looked_at, boxes, settings.min_person_height_px)
    schema.write(DETECTIONS, found, folder / DETECTIONS.file)
    schema.write(KEYPOINTS, poses, folder / KEYPOINTS.file)
    beyond = f"; {late} boxes of {source} lie after the video's last frame and are left out" if late else ""
    return _sentence(video, len(looked_at), len(found), started) + beyond


def _sentence(video: dict[str, Any], frames: int, boxes: int, started: float) -> str:
    seconds = max(time.perf_counter() - started, 1e-9)
    return f"{video['video_id']}: {frames} frames, {boxes / max(frames, 1):.1f} people per frame, {frames / seconds:.0f} frames/s"


def window_s(video: dict[str, Any]) -> tuple[float, float] | None:
    """The media time that is to be looked at, s from the first frame; None where that is all of it."""
    start, end, scale = (video[name] for name in ("t_start_us", "t_end_us", "clock_scale"))
    if (video["t_from_us"], video["t_until_us"]) == (start, end):
        return None
    return (video["t_from_us"] - start) / 1e6 / scale, (video["t_until_us"] - start) / 1e6 / scale


def within(frames: Iterable[Frame], window_s: tuple[float, float] | None) -> Iterator[Frame]:
    """The frames of a window of media time; all for None. What comes before is decoded and passed over."""
    for frame in frames:
        if window_s is not None and frame.media_time_s > window_s[1]:
            return
        if window_s is None or frame.media_time_s >= window_s[0]:
            yield frame


def every(frames: Iterable[Frame], target_fps: float | None) -> Iterator[Frame]:
    """The first frame in each interval of ``1 / target_fps`` seconds of media time; all of them for None."""
    last = -1
    for frame in frames:
        if target_fps is not None:
            # A little early is on time: frame times are rounded to the container's time base.
            interval = int(frame.media_time_s * target_fps + 0.01)
            if interval == last:
                continue
            last = interval
        yield frame


def to_tables(
    video: dict[str, Any], frames: list[Moment], boxes: list[np.ndarray], min_person_height_px: float = 0.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """DETECTIONS and KEYPOINTS from the boxes (n, 5 + 3K) of each frame, with the frames' true times."""
    import numpy as np
    import pandas as pd

    boxes = [b[(b[:, 3] - b[:, 1]) >= min_person_height_px] for b in boxes]
    width = max((b.shape[1] for b in boxes), default=5)
    counts = np.array([len(b) for b in boxes], np.int64)
    index = np.array([f.frame for f in frames], np.int32)
    media_time_s = np.array([f.media_time_s for f in frames], np.float64)
    after_us = np.round(media_time_s * float(video["clock_scale"]) * 1e6).astype(np.int64)
    values = np.concatenate([np.zeros((0, width)), *(b for b in boxes if len(b))]).astype(np.float32)
    table = pd.DataFrame(values[:, :5], columns=["x1", "y1", "x2", "y2", "score"])
    table.insert(0, "video_id", video["video_id"])
    table["frame"] = np.repeat(index, counts)
    table["t_utc_us"] = np.repeat(video["t_start_us"] + after_us, counts)
    table["detection"] = np.concatenate([np.zeros(0, np.int32), *(np.arange(n) for n in counts)]).astype(
        "int32"
    )
    if width == 5:
        return table, KEYPOINTS.empty()
    return table, table[["video_id", "frame", "detection"]].assign(points=list(values[:, 5:]))


def expected(video: dict[str, Any], target_fps: float | None) -> int:
    """How many frames of a video there are to look at, about."""
    frames = int(video["frames"])
    if (seen := window_s(video)) is not None:
        frames = min(frames, round((seen[1] - seen[0]) * video["fps"]))
    if target_fps and video["fps"] > target_fps:
        frames = int(frames * target_fps / video["fps"])
    return frames


STAGE = Stage(
    name="detect",
    inputs=(VIDEOS,),
    outputs=(DETECTIONS, KEYPOINTS),
    config=DetectConfig,
    version=3,
    run=run,
    sources=("detector", "device"),
)
