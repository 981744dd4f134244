"""One identity per person across all cameras and files, from the best of the trained models."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.manifests import BOXES, CROPS, IDENTITIES, MODEL, SELECTION, TRACKLETS, VIDEOS
from pipeline.stage import Context, Stage
from stages.association.grouping import GroupingConfig, identify, score_tracklet_pairs

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from stages.association.time_prior import TimePrior


_LONGEST_NAME = 255  # bytes, on every file system in use


class IdentifyConfig(GroupingConfig):
    """Which model, how appearance and time are weighed, and how sure two tracklets must be."""

    signal: Literal["true_matches", "prior_lift", "split_rank1", "last"] = Field(
        "true_matches",
        description="label-free signal that selects the states: estimated true matches across cameras, their lift over "
        "shuffled times, single-crop split-tracklet rank-1 (also where times are not known), or simply the last round",
    )
    average_from: float = Field(
        0.8,
        ge=0,
        description="rounds whose signal is at least this fraction of the best are averaged into one network; above 1: "
        "the best alone",
    )
    crops_per_tracklet: int = Field(
        16, ge=1, description="crops whose mean describes a tracklet, evenly spread in time"
    )
    min_transfer_probability: float = Field(
        0.5, gt=0, lt=1, description="with MODEL=: from this probability on a person is one the old run knows"
    )


def run(context: Context) -> None:
    from data.tracklet_rows import evenly
    from stages.association.foot_points import feet_of
    from stages.association.time_prior import dense_prior
    from stages.network.embedding import cached_features
    from stages.network.run_models import CHECKPOINT
    from stages.training.training_part import clock_std_s

    config: IdentifyConfig = context.settings
    site = context.source("site")
    chosen = context.out / CHECKPOINT
    _select(context, chosen)
    tracklets = context.read(TRACKLETS).sort_values("tracklet_id").reset_index(drop=True)
    crops = context.read(CROPS).sort_values(["tracklet_id", "t_utc_us"]).reset_index(drop=True)
    crops = crops[evenly(crops.tracklet_id, config.crops_per_tracklet)].reset_index(drop=True)
    features = cached_features(chosen, crops, context.run_dir, context.device)
    videos = context.read(VIDEOS)
    boxes = context.read(BOXES)
    feet = feet_of(site, tracklets, boxes)
    prior = dense_prior(site, tracklets, clock_std_s(videos), feet, config.sigma_fraction)
    means, evidence = score_tracklet_pairs(
        features, crops, tracklets, prior, config, context.source("annotations")
    )
    identities = identify(tracklets, evidence.log_odds, config.min_log_odds)
    known = context.source("gallery")
    if known is not None:
        from stages.association.identity_transfer import transfer_identities

        identities, again = transfer_identities(
            identities, tracklets, means, known, config.min_transfer_probability
        )
        context.add_metadata(known_people_again=again)
        context.log(f"{again} of {identities.identity.nunique()} people are known from {known.parent}")
    context.write(IDENTITIES, identities)
    write_files(context.out, identities, tracklets, boxes, videos)
    people = identities.groupby("identity").tracklet_id.agg(list)
    camera = tracklets.set_index("tracklet_id").camera_id
    shared = sum(camera[members].nunique() > 1 for members in people)
    context.add_metadata(
        identities=len(people), in_several_cameras=shared, matches_by_looks=len(evidence.matches.pairs),
        prior_sharpness=evidence.matches.sharpness,
    )  # fmt: skip
    context.log(f"{len(tracklets)} tracklets are {len(people)} people, {shared} of them in several cameras")
    doubted = sorted(
        way for way, prior_reliability in evidence.prior_reliability.items() if prior_reliability < 0.5
    )
    context.add_metadata(
        links_described=len(evidence.prior_reliability), ways_doubted=[f"{a} → {b}" for a, b in doubted]
    )
    if doubted:
        context.log(
            f"for {len(doubted)} of {len(evidence.prior_reliability)} ways the times learned here fit better than the site file's and are "
            f"used instead; `trackweave topology learn --run {context.run_dir}` shows both"
        )


def _select(context: Context, out: Path) -> None:
    """Write SELECTION and the network of the chosen states to ``out``. Sees the training part of the footage only."""
    import numpy as np
    import pandas as pd

    from stages.network import backbone
    from stages.network.run_models import checkpoint_beside, start_checkpoint
    from stages.training.averaging import mean_network
    from stages.training.training_part import training_footage
    from stages.validation.label_free import select_rounds

    config: IdentifyConfig = context.settings
    checkpoints = [(-1, start_checkpoint(context))]
    for path in context.paths(MODEL):
        checkpoints.append((int(path.parent.name.rpartition("-")[2]), checkpoint_beside(path)))
    footage = training_footage(context)
    used, signals = "last", [float("nan")] * len(checkpoints)
    if config.signal != "last" and len(footage.tracklets) > 1:
        prior = footage.time_prior(config.sigma_fraction)
        for used in dict.fromkeys((config.signal, "split_rank1")):
            signals = [
                health_signal(context, used, checkpoint, footage.tracklets, footage.crops, prior)
                for _, checkpoint in context.progress(checkpoints, "selecting the model")
            ]
            if np.isfinite(signals).any():
                break
    numbers = np.array([round_ for round_, _ in checkpoints], np.int32)
    at = select_rounds(numbers.tolist(), signals, config.average_from)
    context.write(
        SELECTION,
        pd.DataFrame(
            {
                "round": numbers,
                "signal": np.nan_to_num(np.array(signals, np.float64), nan=-1.0),
                "chosen": np.isin(np.arange(len(checkpoints)), at),
            }
        ),
    )
    if len(at) == 1:
        shutil.copyfile(checkpoints[at[0]][1], out)
    else:
        backbone.save(mean_network([checkpoints[i][1] for i in at]), out)
    shown = ", ".join("–" if np.isnan(s) else f"{s:.3g}" for s in signals)
    context.log(f"the model of {state_name(numbers[at].tolist())}, by '{used}': {shown}")


def state_name(rounds: list[int]) -> str:
    """'the start', 'round 2', 'rounds 1, 2 and 3, averaged'."""
    if len(rounds) == 1:
        return "the start" if rounds[0] < 0 else f"round {rounds[0]}"
    return f"rounds {', '.join(map(str, rounds[:-1]))} and {rounds[-1]}, averaged"


def health_signal(
    context: Context,
    signal: str,
    checkpoint: Path,
    tracklets: pd.DataFrame,
    crops: pd.DataFrame,
    prior: TimePrior,
) -> float:
    """One label-free signal of one checkpoint, by its name in the settings; NaN where the footage does not allow it."""
    import pandas as pd

    from stages.network.embedding import cached_features, tracklet_features
    from stages.validation import label_free

    features = cached_features(checkpoint, crops, context.run_dir, context.device)
    if signal == "split_rank1":
        row = pd.Series(range(len(tracklets)), index=tracklets.tracklet_id)
        return label_free.split_rank1_hard(
            features, row[crops.tracklet_id].to_numpy(), crops.t_utc_us.to_numpy()
        )
    measure = {"true_matches": label_free.true_matches_per_tracklet, "prior_lift": label_free.prior_lift}
    means = tracklet_features(features, list(crops.tracklet_id), list(tracklets.tracklet_id))
    return measure[signal](means, tracklets.camera_id.to_numpy(str), prior.log_prior, prior.possible)


def write_files(
    folder: Path, identities: pd.DataFrame, tracklets: pd.DataFrame, boxes: pd.DataFrame, videos: pd.DataFrame
) -> None:
    """``mot/<video_id>.txt`` for every readable video (frames from one, the identity as id) and ``identities.csv``."""
    import pandas as pd

    from data import spreadsheet
    from data.datasets.mot import write_mot

    of = identities.set_index("tracklet_id")
    boxes = boxes.assign(id=boxes.tracklet_id.map(of.identity))
    (folder / "mot").mkdir(parents=True, exist_ok=True)
    for video in sorted(videos.video_id[videos.status == "ok"]):
        write_mot(folder / "mot" / mot_name(video), boxes[boxes.video_id == video])
    seen = boxes.groupby(["tracklet_id", "video_id"], sort=True).t_utc_us.agg(["min", "max"]).reset_index()
    table = pd.DataFrame(
        {
            "identity": seen.tracklet_id.map(of.identity),
            "tracklet": seen.tracklet_id,
            "camera": seen.tracklet_id.map(tracklets.set_index("tracklet_id").camera_id),
            "video": seen.video_id,
            "start": _iso(seen["min"]),
            "end": _iso(seen["max"]),
            "confidence": seen.tracklet_id.map(of.confidence).round(4),
        }
    )
    table = table.sort_values(["identity", "start", "tracklet", "video"], kind="stable")
    names = ["tracklet", "camera", "video"]
    table[names] = table[names].astype(object).map(spreadsheet.cell)
    table.to_csv(folder / "identities.csv", index=False, lineterminator="\n")


def mot_name(video_id: str) -> str:
    """``<video_id>.txt``; of an id longer than names of files may be the beginning, and a digest that tells it apart."""
    if len(video_id.encode()) <= _LONGEST_NAME - len(".txt"):
        return f"{video_id}.txt"
    digest = hashlib.sha256(video_id.encode()).hexdigest()[:16]
    begin = video_id.encode()[: _LONGEST_NAME - len(f"-{digest}.txt")].decode(errors="ignore")
    return f"{begin}-{digest}.txt"


def _iso(t_utc_us: pd.Series) -> pd.Series:
    import pandas as pd

    return pd.to_datetime(t_utc_us, unit="us", utc=True).dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


STAGE = Stage(
    name="identify",
    inputs=(TRACKLETS, BOXES, CROPS, VIDEOS),
    extra_inputs=(MODEL,),
    outputs=(IDENTITIES, SELECTION),
    config=IdentifyConfig,
    version=4,
    run=run,
    sources=(
        "site.prior",
        "cut",
        "weights",
        "backbone",
        "image_size",
        "gallery",
        "annotations",
        "seed",
        "device",
    ),
)
