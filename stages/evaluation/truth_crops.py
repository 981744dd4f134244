"""Crops at true boxes: the headline's material, so that no detector or tracker of ours can flatter the model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from data.crops import cut_boxes
from data.redaction import painted
from data.redaction_list import Piece
from data.tracklet_rows import evenly
from data.video import read_frames
from pipeline.digest import text_digest
from pipeline.shards import Shard
from pipeline.stage import Context


def choose(truth: pd.DataFrame, per_appearance: int = 8, min_visibility: float = 0.4) -> pd.DataFrame:
    """Evenly spread boxes of each (person, camera), hidden ones aside.

    Args:
        truth: GROUND_TRUTH of the time wanted, with camera_id.
        per_appearance: boxes per (person, camera), over all its visits.
        min_visibility: boxes seen less are not used; a (person, camera) without any other is no query.

    Returns:
        the chosen rows with query_id ``camera/pid``, sorted by query_id and time.
    """
    seen = truth[truth.visibility >= min_visibility].copy()
    seen["query_id"] = seen.camera_id + "/" + seen.pid.astype(str)
    seen = seen.sort_values(["query_id", "t_utc_us", "video_id", "frame"], kind="stable").reset_index(
        drop=True
    )
    return seen[evenly(seen.query_id, per_appearance)].reset_index(drop=True)


def cut(
    ctx: Context,
    chosen: pd.DataFrame,
    truth: pd.DataFrame,
    videos: pd.DataFrame,
    gone: Mapping[str, list[Piece]],
) -> pd.DataFrame:
    """Cut the chosen boxes, one shard per video, kept as a piece of the stage.

    Args:
        chosen: rows of :func:`choose`.
        truth: all true boxes, for measuring coverage.
        videos: VIDEOS.
        gone: video_id → where purged people stood, who are painted over.

    Returns:
        the rows that could be cut, as CROPS with tracklet_id = query_id, and pid, camera_id.
    """
    by_id = {str(v["video_id"]): v for v in videos.to_dict("records")}
    whom, crowd = ctx.out / "chosen.parquet", ctx.out / "crowd.parquet"
    chosen.rename(columns={"query_id": "tracklet_id"}).to_parquet(whom)
    truth.to_parquet(crowd)
    shards = []
    for video_id, rows in chosen.groupby("video_id", sort=True):
        video = by_id[str(video_id)]
        hashed = hashlib.sha256(rows.to_csv(index=False).encode()).hexdigest()
        pieces = gone.get(str(video_id), [])
        make = partial(cut_video, Path(video["path"]), str(video_id), whom, crowd, pieces)
        key = {"video": video["digest"], "boxes": hashed, "columns": "grey"}
        shards.append(Shard(key | ({"purged": text_digest(pieces)} if pieces else {}), make))
    found = [
        pd.read_parquet(folder / "crops.parquet").assign(shard=str((folder / "crops.tar").relative_to(ctx.run_dir)))
        for folder in ctx.shards(shards)
    ]  # fmt: skip
    whom.unlink()
    crowd.unlink()
    return (
        pd.concat(found, ignore_index=True) if found else chosen.rename(columns={"query_id": "tracklet_id"})
    )


def cut_video(path: Path, video_id: str, chosen: Path, crowd: Path, gone: list[Piece], folder: Path) -> None:
    """A shard: the chosen true boxes of one video into ``folder/crops.tar``, with their rows beside it."""
    own = [("video_id", "==", video_id)]
    rows, others = (pd.read_parquet(p, filters=own, partitioning=None) for p in (chosen, crowd))
    frames = painted(read_frames(path), gone)
    cut = cut_boxes(path, rows, folder / "crops.tar", others=others, frames=frames)
    cut.to_parquet(folder / "crops.parquet")
