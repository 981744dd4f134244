"""Cut tracklets where the tracker switched persons (TMC's intra-tracklet isolation), before anything is learned."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.manifests import BOXES, CROPS, TRACKLETS
from pipeline.stage import Context, Settings, Stage

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd


class IsolateConfig(Settings):
    """TMC's intra-tracklet isolation; symbols are the paper's."""

    enabled: bool = Field(True, description="cut tracklets at all")
    eps: float | None = Field(
        None,
        gt=0,
        description="DBSCAN radius eps_intra on L2-normalised features; null: read from certain negatives",
    )
    min_samples: int = Field(4, ge=2, description="DBSCAN core size, in crops; 4 fits five crops a second")
    noise: Literal["attach", "drop"] = Field(
        "attach", description="crops in no cluster: 'attach' to the nearest piece in time, or 'drop'"
    )
    max_violated_share: float = Field(
        0.005, gt=0, le=1, description="share of certainly different pairs that eps may join, 0 to 1"
    )
    max_cut_share: float = Field(
        0.2, ge=0, le=1, description="share of tracklets that may be cut before eps is raised, 0 to 1"
    )
    fallback_eps: float = Field(
        0.5, gt=0, description="eps where too few tracklets are in one camera at once (the paper's value)"
    )


def run(context: Context) -> None:
    import numpy as np

    from stages.reid.features import cached_features
    from stages.reid.isolation import calibrate_eps, co_occurring
    from stages.reid.model import start_checkpoint

    config: IsolateConfig = context.settings
    tracklets, boxes, crops = context.read(TRACKLETS), context.read(BOXES), context.read(CROPS)
    if not config.enabled or not len(crops):
        _write(context, tracklets, boxes, crops)
        return
    features = cached_features(start_checkpoint(context), crops, context.run_dir, context.device)
    position = {t: i for i, t in enumerate(tracklets.tracklet_id)}
    crop_tracklet = crops.tracklet_id.map(position).to_numpy()
    rows = rows_by_tracklet(crop_tracklet, len(tracklets))
    if config.eps is None:
        pairs = co_occurring(
            tracklets.camera_id.to_numpy(), tracklets.t_start_us.to_numpy(), tracklets.t_end_us.to_numpy()
        )
        pairs = apart(pairs, tracklets, boxes)
        found = calibrate_eps(
            features, rows, pairs, min_samples=config.min_samples, max_violated_share=config.max_violated_share,
            max_cut_share=config.max_cut_share, fallback_eps=config.fallback_eps,
            rng=np.random.default_rng(context.seed),
        )  # fmt: skip
        eps = found.eps
        context.say(f"eps {eps:.3g} from {found.reason}; it cuts {found.cut_share:.1%} of the tracklets")
        context.note(eps=eps, eps_reason=found.reason, certain_pairs=found.pairs, cut_share=found.cut_share)
    else:
        eps = config.eps
        context.note(eps=eps, eps_reason="set by hand")
    new = cut_tracklets(
        tracklets, boxes, crops, features, eps=eps, min_samples=config.min_samples, noise=config.noise
    )
    context.note(tracklets_before=len(tracklets), tracklets_after=len(new[0]))
    _write(context, *new)


def cut_tracklets(
    tracklets: pd.DataFrame,
    boxes: pd.DataFrame,
    crops: pd.DataFrame,
    features: npt.NDArray[np.floating],
    *,
    eps: float,
    min_samples: int = 4,
    noise: Literal["attach", "drop"] = "attach",
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The same three tables, with each tracklet of several pieces replaced by ``{tracklet_id}.{i}``, in time order.

    Args:
        tracklets, boxes, crops: columns as in the manifests.
        features: (len(crops), D) L2-normalised, row i for row i.
        eps, min_samples, noise: see `stages.reid.isolation.pieces`. A box that was not cropped goes the way of its
            tracklet's nearest crop in time.

    A tracklet in one piece keeps its id, and one without crops is left as it is.
    """
    import numpy as np
    import pandas as pd

    from stages.reid.isolation import nearest_in_time, pieces

    crops, boxes = crops.reset_index(drop=True), boxes.reset_index(drop=True)
    crop_name = crops.tracklet_id.to_numpy(object).copy()
    box_name = boxes.tracklet_id.to_numpy(object).copy()
    crop_kept, box_kept = np.ones(len(crops), bool), np.ones(len(boxes), bool)
    box_rows = boxes.groupby("tracklet_id", sort=False).indices
    touched: dict[str, list[str]] = {}
    for key, at in sorted(crops.groupby("tracklet_id", sort=False).indices.items()):
        name = str(key)
        crop_t = crops.t_utc_us.to_numpy()[at]
        piece = pieces(features[at], crop_t, eps=eps, min_samples=min_samples, noise=noise)
        if piece.max() == 0 and piece.min() == 0:
            continue
        ids = [name] if piece.max() == 0 else [f"{name}.{k}" for k in range(piece.max() + 1)]
        touched[name] = ids
        its_boxes = box_rows[name]
        box_piece = piece[nearest_in_time(boxes.t_utc_us.to_numpy()[its_boxes], crop_t)]
        crop_kept[at], box_kept[its_boxes] = piece >= 0, box_piece >= 0
        crop_name[at] = np.array([*ids, ""], object)[piece]
        box_name[its_boxes] = np.array([*ids, ""], object)[box_piece]
    crops = crops.assign(tracklet_id=crop_name)[crop_kept]
    boxes = boxes.assign(tracklet_id=box_name)[box_kept]
    if not touched:
        return tracklets, boxes, crops
    camera = dict(zip(tracklets.tracklet_id, tracklets.camera_id, strict=True))
    parent = {i: name for name, ids in touched.items() for i in ids}
    cut = boxes[boxes.tracklet_id.isin(list(parent))].groupby("tracklet_id", sort=True)
    new = cut.agg(
        t_start_us=("t_utc_us", "min"), t_end_us=("t_utc_us", "max"), n_boxes=("frame", "size"),
        mean_score=("score", "mean"),
    ).reset_index()  # fmt: skip
    new["parent_id"] = new.tracklet_id.map(parent)
    new["camera_id"] = new.parent_id.map(camera)
    old = tracklets[~tracklets.tracklet_id.isin(list(touched))]
    joined = pd.concat([old, new[list(tracklets.columns)]], ignore_index=True)
    return joined.astype(tracklets.dtypes.to_dict()), boxes, crops


def apart(
    pairs: npt.NDArray[np.integer], tracklets: pd.DataFrame, boxes: pd.DataFrame
) -> npt.NDArray[np.integer]:
    """The (M, 2) pairs whose boxes never touch, where at least 30 such pairs are left; else all of them.

    Where two people cross, crops show both and the tracker swaps ids: exactly there "certainly different" is not.
    """
    import numpy as np

    from stages.reid.isolation import MIN_PAIRS

    position = {t: i for i, t in enumerate(tracklets.tracklet_id)}
    touching: set[tuple[int, int]] = set()
    index = boxes.tracklet_id.map(position).to_numpy()
    corners = boxes[["x1", "y1", "x2", "y2"]].to_numpy(np.float64)
    for at in boxes.groupby(["video_id", "frame"], sort=False).indices.values():
        if len(at) < 2:
            continue
        b = corners[at]
        low, high = np.maximum(b[:, None, :2], b[None, :, :2]), np.minimum(b[:, None, 2:], b[None, :, 2:])
        i, j = np.nonzero(np.triu((high > low).all(2), 1))
        touching.update(zip(index[at[i]].tolist(), index[at[j]].tolist(), strict=True))
    clean = np.array(
        [(int(i), int(j)) not in touching and (int(j), int(i)) not in touching for i, j in pairs], bool
    )
    return pairs[clean] if clean.sum() >= MIN_PAIRS else pairs


def rows_by_tracklet(tracklet: npt.NDArray[np.integer], n: int) -> list[npt.NDArray[np.int64]]:
    """For each of n tracklets the rows that are its own; rows of -1 are nobody's."""
    import numpy as np

    order = np.argsort(tracklet, kind="stable")
    ends = np.searchsorted(tracklet[order], np.arange(n + 1))
    return [order[a:b].astype(np.int64) for a, b in pairwise(ends)]


def _write(context: Context, tracklets: pd.DataFrame, boxes: pd.DataFrame, crops: pd.DataFrame) -> None:
    context.write(TRACKLETS, tracklets)
    context.write(BOXES, boxes)
    context.write(CROPS, crops)


STAGE = Stage(
    name="isolate",
    inputs=(TRACKLETS, BOXES, CROPS),
    outputs=(TRACKLETS, BOXES, CROPS),
    config=IsolateConfig,
    version=1,
    run=run,
    sources=("weights", "backbone", "seed", "device"),
)
