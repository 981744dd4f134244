"""Cut tracklets where the tracker switched persons (TMC's intra-tracklet isolation), before anything is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.manifests import BOXES, CROPS, TRACKLETS
from pipeline.stage import Context, Settings, Stage

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt
    import pandas as pd


class IsolateConfig(Settings):
    """TMC's intra-tracklet isolation; symbols are the paper's."""

    enabled: bool = Field(True, description="cut tracklets at all")
    min_overlap: float = Field(
        0.35, ge=0, le=1,
        description="a tracklet ends where its next box overlaps less with where it was expected; 0: never",
    )  # fmt: skip
    min_margin: float = Field(
        0.03, ge=-1, le=1,
        description="a tracklet ends where another fits its box by less than this overlap worse; -1: never",
    )  # fmt: skip
    min_length_s: float = Field(0.5, ge=0, description="s; shorter pieces between two such ends are left out")
    eps: float | None = Field(
        None,
        gt=0,
        description="DBSCAN radius eps_intra on L2-normalised features; null: read from certain negatives",
    )
    min_samples: int = Field(4, ge=2, description="DBSCAN core size, in crops; 4 fits five crops a second")
    noise: Literal["attach", "drop"] = Field(
        "attach", description="crops in no cluster: 'attach' to the nearest piece in time, or 'drop'"
    )
    only_at_contact: bool = Field(
        True,
        description="cut only where another tracklet's box touched or the person was lost; false: anywhere (the paper)",
    )
    contact_window_s: float = Field(1.0, ge=0, description="how near to such an instant a cut must be, s")
    lost_s: float = Field(0.5, gt=0, description="a tracklet without a box for longer counts as lost, s")
    calibration: Literal["separation", "violation"] = Field(
        "separation",
        description="how eps is read: best at taking made-up switches apart without cutting tracklets, or the largest "
        "that joins fewer than max_violated_fraction of certainly different pairs",
    )
    switch_fraction: float = Field(
        0.1, gt=0, lt=1, description="'separation': expected fraction of switched tracklets"
    )
    max_violated_fraction: float = Field(
        0.005, gt=0, le=1, description="'violation': fraction of certainly different pairs that eps may join"
    )
    max_cut_fraction: float = Field(
        0.2,
        ge=0,
        le=1,
        description="'violation' and fallback_eps: fraction of tracklets that may be cut before eps is raised",
    )
    fallback_eps: float = Field(
        0.5, gt=0, description="eps where too few tracklets are in one camera at once (the paper's value)"
    )


def run(context: Context) -> None:
    import numpy as np

    from data.tracklet_rows import rows_by_tracklet
    from stages.isolation.crop_clusters import calibrate_eps, co_occurring
    from stages.network.embedding import cached_features
    from stages.network.run_models import start_checkpoint

    config: IsolateConfig = context.settings
    train_until_us, _ = context.source("cut")
    tables = context.read(TRACKLETS), context.read(BOXES), context.read(CROPS)
    followed = len(tables[0])
    tables = split_unclear(*tables, config.min_overlap, config.min_margin, config.min_length_s)
    context.log(f"{followed} tracklets are {len(tables[0])} where unclear matches end one")
    tracklets, boxes, crops = split_at(*tables, train_until_us)
    crops = crops.sort_values(["tracklet_id", "t_utc_us"]).reset_index(drop=True)
    if not config.enabled or not len(crops):
        _write(context, tracklets, boxes, crops)
        return
    features = cached_features(start_checkpoint(context), crops, context.run_dir, context.device)
    touching, possible = set[tuple[int, int]](), None
    if config.only_at_contact or config.eps is None:
        touching, contact = contacts(tracklets, boxes, config.lost_s)
        possible = contact if config.only_at_contact else None
    eps = config.eps
    if eps is None:
        # Nothing after the cut may influence the training data.
        before = (tracklets.t_start_us <= train_until_us).to_numpy()
        pairs = co_occurring(
            tracklets.camera_id.to_numpy(), tracklets.t_start_us.to_numpy(), tracklets.t_end_us.to_numpy()
        )
        pairs = pairs[before[pairs].all(1)]
        position = {t: i for i, t in enumerate(tracklets.tracklet_id)}
        rows = rows_by_tracklet(crops.tracklet_id.map(position).to_numpy(), len(tracklets))
        found = calibrate_eps(
            features, [r if b else r[:0] for r, b in zip(rows, before, strict=True)],
            apart(pairs, touching), t_us=crops.t_utc_us.to_numpy(), contact_us=possible, rule=config.calibration,
            min_samples=config.min_samples, switch_fraction=config.switch_fraction,
            max_violated_fraction=config.max_violated_fraction, max_cut_fraction=config.max_cut_fraction,
            fallback_eps=config.fallback_eps, rng=np.random.default_rng(context.seed),
        )  # fmt: skip
        eps = found.eps
        context.log(f"eps {eps:.3g} from {found.reason}")
        context.add_metadata(
            eps_reason=found.reason, certain_pairs=found.pairs, cut_fraction=found.cut_fraction
        )
    new = cut_tracklets(
        tracklets, boxes, crops, features, eps=eps, min_samples=config.min_samples, noise=config.noise,
        contact_us=dict(zip(tracklets.tracklet_id, possible, strict=True)) if possible is not None else None,
        contact_window_us=round(config.contact_window_s * 1e6),
    )  # fmt: skip
    cut = int((~tracklets.tracklet_id.isin(new[0].tracklet_id)).sum())
    context.add_metadata(eps=eps, tracklets_before=followed, tracklets_after=len(new[0]), tracklets_cut=cut)
    context.log(f"{cut} of {len(tracklets)} tracklets cut; {len(new[0])} tracklets go on")
    _write(context, *new)


def split_unclear(
    tracklets: pd.DataFrame,
    boxes: pd.DataFrame,
    crops: pd.DataFrame,
    min_overlap: float,
    min_margin: float,
    min_length_s: float,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The same tables, each tracklet ended and started again wherever its box fits badly, or fits another track almost as well.

    The tracker keeps a track even on a weak match, which helps tracking metrics. But a tracklet of two persons harms re-identification more than two tracklets of one, and while two people pass each
    other their crops show both: pieces shorter than ``min_length_s`` are left out, with their boxes and crops.
    """
    boxes = boxes.sort_values(["tracklet_id", "t_utc_us"], kind="stable").reset_index(drop=True)
    unclear = (boxes.margin < min_margin) | (boxes.overlap < min_overlap)
    piece = unclear.groupby(boxes.tracklet_id).cumsum()
    whole = piece.groupby(boxes.tracklet_id).transform("nunique") == 1
    name = boxes.tracklet_id.where(whole, boxes.tracklet_id + "-" + piece.astype(str))
    t = boxes.t_utc_us.groupby(name)
    long = t.transform("max") - t.transform("min") >= min_length_s * 1e6 - 1
    kept = whole | long
    key = ["tracklet_id", "video_id", "frame"]
    named = boxes[key].assign(piece=name)[kept]
    parent = dict(zip(name[~whole], boxes.tracklet_id[~whole], strict=True))
    boxes = boxes.assign(tracklet_id=name)[kept].reset_index(drop=True)
    crops = crops.merge(named, on=key).drop(columns="tracklet_id").rename(columns={"piece": "tracklet_id"})
    return with_children(tracklets, boxes, parent), boxes, crops


def split_at(
    tracklets: pd.DataFrame, boxes: pd.DataFrame, crops: pd.DataFrame, t_us: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The same tables, with whoever was in view at ``t_us`` as two tracklets, ``{id}.before`` and ``{id}.after``.

    The instant itself belongs to the time before. The children's parent_id is the tracklet they come from.
    """
    import numpy as np

    over = tracklets[(tracklets.t_start_us <= t_us) & (tracklets.t_end_us > t_us)]
    if over.empty:
        return tracklets, boxes, crops

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        part = np.where(table.t_utc_us <= t_us, ".before", ".after")
        halved = table.tracklet_id.isin(over.tracklet_id)
        return table.assign(tracklet_id=(table.tracklet_id + part).where(halved, table.tracklet_id))

    boxes, crops = renamed(boxes), renamed(crops)
    parent = {name + suffix: name for name in over.tracklet_id for suffix in (".before", ".after")}
    return with_children(tracklets, boxes, parent), boxes, crops


def cut_tracklets(
    tracklets: pd.DataFrame,
    boxes: pd.DataFrame,
    crops: pd.DataFrame,
    features: npt.NDArray[np.floating],
    *,
    eps: float,
    min_samples: int = 4,
    noise: Literal["attach", "drop"] = "attach",
    contact_us: dict[str, npt.NDArray[np.int64]] | None = None,
    contact_window_us: int = 1_000_000,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The same three tables, with each tracklet of several pieces replaced by ``{tracklet_id}.{i}``, in time order.

    Args:
        tracklets, boxes, crops: columns as in the manifests.
        features: (len(crops), D) L2-normalised, row i for row i.
        eps, min_samples, noise, contact_window_us: see `stages.isolation.crop_clusters.pieces`; contact_us: tracklet_id → the
            same, None: anywhere. A box that was not cropped joins the piece of its
            tracklet's nearest crop in time.

    A tracklet in one piece keeps its id, and one without crops is left as it is.
    """
    import numpy as np

    from stages.isolation.crop_clusters import nearest_in_time, pieces

    crops, boxes = crops.reset_index(drop=True), boxes.reset_index(drop=True)
    crop_name = crops.tracklet_id.to_numpy(object).copy()
    box_name = boxes.tracklet_id.to_numpy(object).copy()
    crop_kept, box_kept = np.ones(len(crops), bool), np.ones(len(boxes), bool)
    box_rows = boxes.groupby("tracklet_id", sort=False).indices
    touched: dict[str, list[str]] = {}
    for key, at in sorted(crops.groupby("tracklet_id", sort=False).indices.items()):
        name = str(key)
        crop_t = crops.t_utc_us.to_numpy()[at]
        piece = pieces(
            features[at], crop_t, eps=eps, min_samples=min_samples, noise=noise,
            contact_us=None if contact_us is None else contact_us[name], contact_window_us=contact_window_us,
        )  # fmt: skip
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
    parent = {i: name for name, ids in touched.items() for i in ids}
    return with_children(tracklets, boxes, parent), boxes, crops


def with_children(tracklets: pd.DataFrame, boxes: pd.DataFrame, parent: Mapping[str, str]) -> pd.DataFrame:
    """TRACKLETS with the pieces in place of the tracklets they come from, whose parents stay their parents.

    Args:
        tracklets: as they were; boxes: with the pieces' ids already; parent: piece → tracklet it comes from. A piece
            without boxes is left out.
    """
    import pandas as pd

    new = boxes[boxes.tracklet_id.isin(list(parent))].groupby("tracklet_id", sort=True).agg(
        t_start_us=("t_utc_us", "min"), t_end_us=("t_utc_us", "max"), n_boxes=("frame", "size"),
        mean_score=("score", "mean"),
    ).reset_index()  # fmt: skip
    whole = tracklets.set_index("tracklet_id").loc[[parent[piece] for piece in new.tracklet_id]]
    new["parent_id"], new["camera_id"] = whole.parent_id.to_numpy(), whole.camera_id.to_numpy()
    old = tracklets[~tracklets.tracklet_id.isin(list(parent.values()))]
    joined = pd.concat([old, new[list(tracklets.columns)]], ignore_index=True)
    return joined.astype(tracklets.dtypes.to_dict())


def contacts(
    tracklets: pd.DataFrame, boxes: pd.DataFrame, lost_s: float = 0.5
) -> tuple[set[tuple[int, int]], list[npt.NDArray[np.int64]]]:
    """Where a tracker can have taken one person for another.

    Returns:
        The pairs i < j of tracklets (row numbers) whose boxes touch in some frame; and for each tracklet the instants
        (µs, sorted) at which another's box touches its own, or before and after which it has no box for ``lost_s``.
    """
    import numpy as np

    from data.tracklet_rows import rows_by_tracklet

    position = {t: i for i, t in enumerate(tracklets.tracklet_id)}
    boxes = boxes.sort_values(["tracklet_id", "t_utc_us"]).reset_index(drop=True)
    index, t = boxes.tracklet_id.map(position).to_numpy(), boxes.t_utc_us.to_numpy()
    corners = boxes[["x1", "y1", "x2", "y2"]].to_numpy(np.float64)
    contact = np.zeros(len(boxes), bool)
    lost = (np.diff(t) > lost_s * 1e6) & (np.diff(index) == 0)
    contact[:-1] |= lost
    contact[1:] |= lost
    touching: set[tuple[int, int]] = set()
    for at in boxes.groupby(["video_id", "frame"], sort=False).indices.values():
        if len(at) < 2:
            continue
        b = corners[at]
        low, high = np.maximum(b[:, None, :2], b[None, :, :2]), np.minimum(b[:, None, 2:], b[None, :, 2:])
        i, j = np.nonzero(np.triu((high > low).all(2), 1))
        contact[at[i]] = contact[at[j]] = True
        touching.update(
            (min(p), max(p)) for p in zip(index[at[i]].tolist(), index[at[j]].tolist(), strict=True)
        )
    return touching, [t[rows[contact[rows]]] for rows in rows_by_tracklet(index, len(tracklets))]


def apart(pairs: npt.NDArray[np.integer], touching: set[tuple[int, int]]) -> npt.NDArray[np.integer]:
    """The (M, 2) pairs i < j whose boxes never touch, where at least 30 such pairs are left; else all of them.

    Where two people cross, crops show both and the tracker swaps ids: exactly there "certainly different" is not.
    """
    import numpy as np

    from stages.isolation.crop_clusters import MIN_PAIRS

    clean = np.array([(int(i), int(j)) not in touching for i, j in pairs], bool)
    return pairs[clean] if clean.sum() >= MIN_PAIRS else pairs


def _write(context: Context, tracklets: pd.DataFrame, boxes: pd.DataFrame, crops: pd.DataFrame) -> None:
    context.write(TRACKLETS, tracklets)
    context.write(BOXES, boxes)
    context.write(CROPS, crops)


STAGE = Stage(
    name="isolate",
    inputs=(TRACKLETS, BOXES, CROPS),
    outputs=(TRACKLETS, BOXES, CROPS),
    config=IsolateConfig,
    version=3,
    run=run,
    sources=("cut", "weights", "backbone", "image_size", "seed", "device"),
)
