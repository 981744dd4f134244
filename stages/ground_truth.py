"""True boxes and the part each person plays: read for measuring, by nothing that trains without labels."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from data.datasets.labels import PERSON_CLASSES, PersonClasses
from pipeline.manifests import GROUND_TRUTH, LABELLED_FRAMES, PEOPLE, VIDEOS
from pipeline.shards import Shard
from pipeline.stage import Context, Settings, Stage

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


class GroundTruthConfig(Settings):
    person_classes: PersonClasses = Field(
        PERSON_CLASSES,
        min_length=1,
        description="labels that mean a person, in any case, separated by commas; boxes of others are left out",
    )
    scale: float = Field(
        1.0,
        gt=0,
        description="pixels of the video per pixel of the truth, where it was drawn at another size",
    )


def run(ctx: Context) -> None:
    source: Path | None = ctx.source("ground_truth")
    if source is None:
        ctx.write(GROUND_TRUTH, GROUND_TRUTH.empty())
        ctx.write(PEOPLE, PEOPLE.empty())
        ctx.write(LABELLED_FRAMES, LABELLED_FRAMES.empty())
        return
    import numpy as np
    import pandas as pd

    from data.datasets import labelled_frames
    from data.datasets.truth import read_truth, sentences

    videos = ctx.read(VIDEOS)
    videos = videos[videos.status == "ok"]
    files = read_truth(source, videos, person_classes=ctx.settings.person_classes)
    if without := sorted(set(videos.video_id) - set(files)):
        ctx.log(
            f"no truth for {len(without)} of {len(videos)} videos ({', '.join(without[:3])}): they are not measured"
        )
    parts = [GROUND_TRUTH.empty()]
    labelled: dict[str, np.ndarray] = {}
    n_frames: dict[str, int] = {}
    present = videos[videos.video_id.isin(list(files))]
    recorded = present.to_dict("records")
    shards = [
        Shard({"video": v["digest"]}, partial(frame_times, Path(v["path"])), v["camera_id"], v["frames"])
        for v in recorded
    ]
    for video, folder in zip(recorded, ctx.shards(shards), strict=True):
        file, rows, frames, _, _ = files[video["video_id"]]
        rows = rows[rows.flag]
        times_s = np.load(folder / "times_s.npy")
        n_frames[video["video_id"]] = len(times_s)
        if frames is not None and len(frames := frames[frames < len(times_s)]) < len(times_s):
            labelled[video["video_id"]] = frames
        inside = rows.frame < len(times_s)
        if not inside.all():
            ctx.log(
                f"{file}: {int((~inside).sum())} boxes stand after the last of {len(times_s)} frames and are left out; "
                "have truth and video the same frame rate?"
            )
        boxes = true_boxes(rows[inside], video, times_s, ctx.settings.scale)
        parts.append(boxes[boxes.t_utc_us.between(video["t_from_us"], video["t_until_us"])])
        if doubt := _drawn_at_another_size(parts[-1], int(video["width"]), int(video["height"])):
            ctx.log(f"warning: {file}: {doubt}")
    for line in sentences(files, n_frames, "ground_truth.person_classes"):
        ctx.log(line)
    truth = pd.concat(parts, ignore_index=True)
    if truth.empty:
        ctx.log(f"warning: GROUND_TRUTH={source}: holds no box of a person; nothing is measured against it")
    people = roles(truth, videos.set_index("video_id").camera_id, *ctx.source("cut"))
    ctx.write(GROUND_TRUTH, truth)
    ctx.write(PEOPLE, people)
    ctx.write(LABELLED_FRAMES, labelled_frames.as_table(labelled))
    counts = people.role.value_counts()
    ctx.add_metadata(
        boxes=len(truth), **{f"people_{role}": int(counts.get(role, 0)) for role in ("train", "test", "both")}
    )


def _drawn_at_another_size(boxes: pd.DataFrame, width: int, height: int) -> str:
    """What is strange where many true boxes lie outside the picture, and what may mend it; else nothing."""
    x, y = (boxes.x1 + boxes.x2) / 2, (boxes.y1 + boxes.y2) / 2
    outside = 1 - (x.between(0, width) & y.between(0, height)).mean()
    if not len(boxes) or outside <= 0.05:
        return ""
    fits = min(width / boxes.x2.max(), height / boxes.y2.max())
    return (
        f"{outside:.0%} of its boxes lie outside the {width}x{height} px of the video; if it was drawn at another size, "
        f'say so: SET="ground_truth.scale={fits:.3g}" or a little less or more.'
    )


def true_boxes(
    rows: pd.DataFrame, video: Mapping[Hashable, Any], times_s: np.ndarray, scale: float
) -> pd.DataFrame:
    """Rows of `read_mot` as GROUND_TRUTH.

    Args:
        video: its row of VIDEOS.
        times_s: (frames,) media time of each frame in s.
        scale: video pixels per pixel of the truth.
    """
    import numpy as np

    times_us = video["t_start_us"] + np.round(times_s * video["clock_scale"] * 1e6).astype(np.int64)
    table = rows[["frame", "visibility"]].assign(
        video_id=video["video_id"], t_utc_us=times_us[rows.frame.to_numpy()], pid=rows.id
    )
    for side in ("x1", "y1", "x2", "y2"):
        table[side] = (rows[side] * scale).astype("float32")
    return table[[c.name for c in GROUND_TRUTH.columns]]


def roles(truth: pd.DataFrame, camera: pd.Series, train_until_us: int, test_from_us: int) -> pd.DataFrame:
    """PEOPLE: on which side of the cut each person was seen, and by how many cameras there.

    Up to ``train_until_us`` is training time, from ``test_from_us`` on test time. Who was seen between the two only is
    in no part and in no row. For 'both' the cameras of both sides count.

    Args:
        truth: columns video_id, t_utc_us, pid.
        camera: video_id → camera_id.
    """
    import pandas as pd

    seen = pd.DataFrame({"pid": truth.pid, "camera": truth.video_id.map(camera)})
    seen["side"] = pd.Series("", index=seen.index)
    seen.loc[truth.t_utc_us >= test_from_us, "side"] = "test"
    seen.loc[truth.t_utc_us <= train_until_us, "side"] = (
        "train"  # training may read the frame at the very cut
    )
    persons = seen[seen.side != ""].groupby("pid", sort=True)
    sides = persons.side.agg(lambda s: s.iloc[0] if s.nunique() == 1 else "both")
    return pd.DataFrame(
        {
            "pid": sides.index.astype("int32"),
            "role": sides.to_numpy(str),
            "n_cameras": persons.camera.nunique().to_numpy("int32"),
        }
    )


def frame_times(path: Path, folder: Path) -> None:
    """A shard: (frames,) media time in s of every decoded frame; truth knows frames, the cut knows times."""
    import numpy as np

    from data.video import read_frames

    np.save(folder / "times_s.npy", np.array([frame.media_time_s for frame in read_frames(path)], float))


STAGE = Stage(
    name="ground_truth",
    inputs=(VIDEOS,),
    outputs=(GROUND_TRUTH, PEOPLE, LABELLED_FRAMES),
    config=GroundTruthConfig,
    version=2,
    run=run,
    sources=("ground_truth", "cut"),
)
