"""A few seconds of every camera with the people's numbers drawn in: the quickest way to see whether tracking works."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

from data.redaction import painted
from data.redaction_list import Piece
from data.video import UnreadableVideo, read_frames
from stages.reporting.privacy import redact_heads
from stages.reporting.thumbs import write_private

_SEARCHED_S = (
    120.0  # only the beginning of a file is looked at, or an hour would be decoded to show ten seconds
)
_HELD_S = 0.25  # a box stands this long where detection skipped frames
_HIDDEN_S = 0.5  # heads stay hidden this long before and after a box was found there
_GREY = (150, 150, 150)


class Window(NamedTuple):
    """video_id and the part of it to show, in µs UTC."""

    video_id: str
    t_start_us: int
    t_end_us: int


def busiest(boxes: pd.DataFrame, videos: pd.DataFrame, length_s: float) -> dict[str, Window]:
    """camera_id → the window with the most tracklets among the first minutes of its files; cameras without any have none.

    Args:
        boxes: tracklet_id, video_id, t_utc_us; videos: VIDEOS.
    """
    good = videos[videos.status == "ok"].set_index("video_id")
    boxes = boxes[boxes.video_id.isin(good.index)]
    if boxes.empty:
        return {}
    start = boxes.video_id.map(good.t_start_us)
    near = boxes[(boxes.t_utc_us - start) <= _SEARCHED_S * 1e6].assign(start=start)
    near = near.assign(slot=((near.t_utc_us - near.start) / (length_s * 1e6)).astype("int64"))
    counts = near.groupby(["video_id", "slot"]).tracklet_id.nunique().rename("n").reset_index()
    counts["camera_id"] = counts.video_id.map(good.camera_id)
    best = counts.sort_values(["n", "video_id", "slot"], ascending=[False, True, True]).drop_duplicates(
        "camera_id"
    )
    found = {}
    for camera, video, slot in zip(best.camera_id, best.video_id, best.slot, strict=True):
        begin = int(good.t_start_us[video] + slot * length_s * 1e6)
        found[str(camera)] = Window(str(video), begin, int(begin + length_s * 1e6))
    return dict(sorted(found.items()))


def write_clip(
    path: Path,
    video: Path,
    window: Window,
    start_us: int,
    clock_scale: float,
    boxes: pd.DataFrame,
    identity: Mapping[str, int],
    hue: Mapping[int, float],
    width_px: int,
    hidden: pd.DataFrame | None,
    gone: Sequence[Piece] = (),
) -> bool:
    """An H.264 file of the window, at most ``width_px`` wide; False where the video is gone or shows nothing there.

    Args:
        start_us, clock_scale: when the video began, and true seconds per second of it.
        boxes: tracklet_id, frame, t_utc_us, x1, y1, x2, y2 of this video; hidden: boxes (t_utc_us, x1 …) whose heads are hidden
            in every frame half a second around them; gone: where purged people stood, who are painted over.
        identity: of each tracklet; hue: of each identity, below 0 for people of one camera.
    """
    own = boxes[(boxes.t_utc_us >= window.t_start_us - 1_000_000) & (boxes.t_utc_us < window.t_end_us)]
    by_frame = {int(str(f)): rows for f, rows in own.groupby("frame")}
    heads = None if hidden is None else hidden.sort_values("t_utc_us", ignore_index=True)
    made = io.BytesIO()
    stream = None
    shown, shown_at, last_ms = own.iloc[:0], -np.inf, -1
    try:
        with av.open(made, "w", format="mp4") as file:
            for frame in painted(read_frames(video), gone):
                t_us = start_us + frame.media_time_s * clock_scale * 1e6
                if frame.index in by_frame:
                    shown, shown_at = by_frame[frame.index], t_us
                elif t_us - shown_at > _HELD_S * 1e6:
                    shown = own.iloc[:0]
                if t_us < window.t_start_us:
                    continue
                if t_us >= window.t_end_us:
                    break
                picture = _drawn(frame.rgb(), shown, identity, hue, width_px, _around(heads, t_us))
                if stream is None:
                    stream = file.add_stream("libx264", rate=25, options={"crf": "27", "preset": "veryfast"})
                    stream.width, stream.height, stream.pix_fmt = (
                        picture.shape[1],
                        picture.shape[0],
                        "yuv420p",
                    )
                    stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
                encoded = av.VideoFrame.from_ndarray(picture, format="rgb24")
                last_ms = max(last_ms + 1, round((t_us - window.t_start_us) / 1e3))  # no two frames at once
                encoded.pts, encoded.time_base = last_ms, Fraction(1, 1000)
                file.mux(stream.encode(encoded))
            if stream is not None:
                file.mux(stream.encode())
    except (UnreadableVideo, av.FFmpegError):
        return False  # a page with a gap beats no page
    if stream is not None:
        write_private(path, made.getvalue())
    return stream is not None


def _around(heads: pd.DataFrame | None, t_us: float) -> npt.NDArray[np.float64]:
    """(N, 4) boxes whose heads are hidden at an instant."""
    if heads is None:
        return np.zeros((0, 4))
    first = np.searchsorted(heads.t_utc_us, t_us - _HIDDEN_S * 1e6)
    last = np.searchsorted(heads.t_utc_us, t_us + _HIDDEN_S * 1e6, side="right")
    return np.asarray(heads[["x1", "y1", "x2", "y2"]].iloc[first:last].to_numpy(np.float64))


def _drawn(
    image: npt.NDArray[np.uint8],
    boxes: pd.DataFrame,
    identity: Mapping[str, int],
    hue: Mapping[int, float],
    width_px: int,
    heads: npt.NDArray[np.float64],
) -> npt.NDArray[np.uint8]:
    sides = ["x1", "y1", "x2", "y2"]
    if len(heads):
        image = redact_heads(image, heads)
    scale = min(1.0, width_px / image.shape[1])
    size = tuple(max(2, round(side * scale) // 2 * 2) for side in (image.shape[1], image.shape[0]))
    picture = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    for tracklet, box in zip(boxes.tracklet_id, boxes[sides].to_numpy(float), strict=True):
        person = identity.get(tracklet, -1)
        colour = _colour(hue.get(person, -1.0))
        (x1, y1), (x2, y2) = (box[:2] * scale).astype(int), (box[2:] * scale).astype(int)
        cv2.rectangle(picture, (x1, y1), (x2, y2), colour, 2)
        if person >= 0:
            (wide, high), _ = cv2.getTextSize(str(person), cv2.FONT_HERSHEY_SIMPLEX, 0.45, 1)
            top = max(y1 - high - 6, 0)
            cv2.rectangle(picture, (x1, top), (x1 + wide + 6, top + high + 6), colour, -1)
            cv2.putText(
                picture,
                str(person),
                (x1 + 3, top + high + 2),
                cv2.FONT_HERSHEY_SIMPLEX,
                0.45,
                (20, 20, 20),
                1,
                cv2.LINE_AA,
            )
    return np.asarray(picture, np.uint8)


def _colour(hue: float) -> tuple[int, int, int]:
    if hue < 0:
        return _GREY
    pixel = np.array([[[hue / 2, 140, 235]]], np.uint8)
    red, green, blue = cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0]
    return int(red), int(green), int(blue)
