"""Weak supervision: who is who inside each camera, where somebody said so; across cameras nothing is said.

Read by `associate` and `train` alone: the tracklets of one person in one camera are trained on as one (TASTR's weakly
supervised setting, Xie et al. 2019, Table V). Not to be confused with the truth, which nothing that trains may read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from data.datasets.labels import PERSON_CLASSES, PersonClasses
from pipeline.manifests import BOXES, CAMERA_LABELS, TRACKLETS, VIDEOS
from pipeline.stage import Context, Settings, Stage

if TYPE_CHECKING:
    import pandas as pd


class CameraLabelsConfig(Settings):
    min_iou: float = Field(0.5, gt=0, le=1, description="overlap from which a box is the labelled person's")
    person_classes: PersonClasses = Field(
        PERSON_CLASSES,
        min_length=1,
        description="labels that mean a person, in any case, separated by commas; boxes of others are left out",
    )


def run(ctx: Context) -> None:
    import pandas as pd

    from data.datasets import labelled_frames
    from data.datasets.truth import read_truth, sentences

    videos = ctx.read(VIDEOS)
    videos = videos[videos.status == "ok"]
    files = read_truth(ctx.source("camera_labels"), videos, "CAMERA_LABELS", ctx.settings.person_classes)
    n_frames = dict(zip(videos.video_id, videos.frames, strict=True))
    for line in sentences(files, n_frames, "camera_labels.person_classes"):
        ctx.log(line)
    parts = []
    for video_id, camera_id in zip(videos.video_id, videos.camera_id, strict=True):
        if video_id in files:
            rows = files[video_id].rows
            parts.append(rows[rows.flag].assign(video_id=video_id, camera_id=camera_id))
    tracklets, boxes = ctx.read(TRACKLETS), ctx.read(BOXES)
    # A box in a frame that nobody labelled says nothing of whom it shows.
    partly = {video: found.labelled for video, found in files.items() if found.labelled is not None}
    boxes = boxes[labelled_frames.that_count(boxes, labelled_frames.as_table(partly))]
    labels = tracklet_labels(tracklets, boxes, pd.concat(parts, ignore_index=True), ctx.settings.min_iou)
    ctx.write(CAMERA_LABELS, labels)
    people = len(labels[labels.label >= 0].drop_duplicates(["camera_id", "label"]))
    ctx.log(f"{int((labels.label >= 0).sum())} of {len(labels)} tracklets are {people} labelled people")
    ctx.add_metadata(labelled=int((labels.label >= 0).sum()), people=people)


def tracklet_labels(
    tracklets: pd.DataFrame, boxes: pd.DataFrame, labelled: pd.DataFrame, min_iou: float
) -> pd.DataFrame:
    """CAMERA_LABELS: the labelled person of each tracklet of a labelled camera, by majority of its boxes.

    Args:
        labelled: labelled boxes: video_id, camera_id, frame, id, x1, y1, x2, y2. An id of one camera says nothing about
            the same id of another: labels are counted anew in each camera, so that none can leak.
    """
    from stages.evaluation.matching import persons_of

    own = tracklets[tracklets.camera_id.isin(labelled.camera_id.unique())]
    seen = boxes[boxes.tracklet_id.isin(own.tracklet_id)].reset_index(drop=True)
    labelled = labelled.assign(pid=labelled.groupby("camera_id").id.transform(_count).astype("int32"))
    person = persons_of(seen, labelled, min_iou).reindex(own.tracklet_id, fill_value=-1)
    table = own[["tracklet_id", "camera_id"]].assign(label=person.to_numpy("int32"))
    return table.sort_values("tracklet_id", ignore_index=True)


def _count(ids: pd.Series) -> pd.Series:
    """0, 1, … in order of the ids."""
    return ids.rank(method="dense") - 1


STAGE = Stage(
    name="camera_labels",
    inputs=(VIDEOS, TRACKLETS, BOXES),
    outputs=(CAMERA_LABELS,),
    config=CameraLabelsConfig,
    version=2,
    run=run,
    sources=("camera_labels",),
)
