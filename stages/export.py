"""What one takes away: the network as ONNX and OpenVINO, a card that says what it is good for, and a gallery to search."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import Field

from pipeline.manifests import (
    BOXES,
    CROPS,
    EXPORTS,
    GALLERY,
    GROUND_TRUTH,
    IDENTITIES,
    LABELLED_FRAMES,
    MEASURES,
    MODEL,
    SELECTION,
    TRACKLETS,
    VIDEOS,
)
from pipeline.stage import Context, Settings, Stage

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from stages.association.same_person import Calibration
    from stages.network.backbone import ReidNetwork

LEAST_COSINE = 0.999


class ExportConfig(Settings):
    formats: list[Literal["onnx", "openvino"]] = Field(
        ["onnx", "openvino"], description="formats beside model.pt: onnx, openvino"
    )
    crops_per_tracklet: int = Field(
        16, ge=1, description="crops whose mean describes a tracklet in the gallery"
    )
    parity_crops: int = Field(
        64, ge=2, description="crops on which an exported file is compared with PyTorch"
    )


def run(ctx: Context) -> None:
    from data.tracklet_rows import evenly
    from stages.network import backbone
    from stages.network.embedding import cached_features, tracklet_features
    from stages.network.run_models import CHECKPOINT
    from stages.search import gallery

    chosen = ctx.paths(SELECTION)[-1].parent / CHECKPOINT
    network = backbone.load(chosen)
    tracklets = ctx.read(TRACKLETS).sort_values("tracklet_id").reset_index(drop=True)
    crops = ctx.read(CROPS).sort_values(["tracklet_id", "t_utc_us"]).reset_index(drop=True)
    crops = crops[evenly(crops.tracklet_id, ctx.settings.crops_per_tracklet)].reset_index(drop=True)
    features = cached_features(chosen, crops, ctx.run_dir, ctx.device)
    means = tracklet_features(features, list(crops.tracklet_id), list(tracklets.tracklet_id))

    calibration = calibrate(ctx, tracklets, crops, features, means)
    exports = write_formats(ctx, chosen, network, crops)
    table = gallery.rows(tracklets, ctx.read(IDENTITIES), ctx.read(CROPS))
    gallery.write(table, means[tracklets.tracklet_id.isin(table.tracklet_id)], ctx.out)

    ctx.write(EXPORTS, exports)
    ctx.write(GALLERY, table)
    same_person = same_person_facts(ctx, tracklets, crops, features, means, calibration)
    facts = card_facts(ctx, network, tracklets, same_person, exports)
    from stages.reporting.card import model_card

    (ctx.out / "model_card.md").write_text(model_card(facts), encoding="utf-8")
    (ctx.out / "model_card.json").write_text(json.dumps(facts, indent=1, default=str), encoding="utf-8")
    worst = exports.least_cosine.min()
    ctx.log(
        f"{', '.join(exports.file)}: features as PyTorch's (cosine ≥ {worst:.5f}); {len(table)} tracklets to search"
    )
    ctx.add_metadata(least_cosine=float(worst), searchable=len(table))


def calibrate(
    ctx: Context, tracklets: pd.DataFrame, crops: pd.DataFrame, features: np.ndarray, means: np.ndarray
) -> dict[str, Calibration] | None:
    """From cosine to "same person", for two tracklets and for one picture against a tracklet; None for one camera.

    Across cameras, and read where training did not look if there is enough.
    """
    import numpy as np
    import pandas as pd

    from stages.association.evidence import picture_appearance
    from stages.association.foot_points import feet_of
    from stages.association.grouping import GroupingConfig, score_tracklet_pairs
    from stages.association.same_person import Calibration
    from stages.association.time_prior import dense_prior
    from stages.training.training_part import clock_std_s

    train_until_us, _ = ctx.source("cut")
    unseen = (tracklets.t_start_us > train_until_us).to_numpy()
    rows = unseen if unseen.sum() >= 30 else np.ones(len(tracklets), bool)
    part, x = tracklets[rows].reset_index(drop=True), means[rows]
    of_part = crops.tracklet_id.isin(part.tracklet_id).to_numpy()
    tracklet_crops, own = crops[of_part].reset_index(drop=True), features[of_part]
    # The user's pictures come without their camera's mean, so it stays in here too.
    as_they_are = GroupingConfig.model_validate({"centre_cameras": False})
    clocks = clock_std_s(ctx.read(VIDEOS))
    site = ctx.source("site")
    prior = dense_prior(site, part, clocks, feet_of(site, part, ctx.read(BOXES)))
    evidence = score_tracklet_pairs(own, tracklet_crops, part, prior, as_they_are).evidence
    if not len(evidence.matches.pairs):
        return None
    identity = part.merge(ctx.read(IDENTITIES), on="tracklet_id", how="left").identity.to_numpy()
    camera = part.camera_id.to_numpy(str)
    i, j = np.triu_indices(len(part), 1)
    same = float((identity[i] == identity[j])[camera[i] != camera[j]].mean())
    same_fraction = min(max(same, 1e-4), 0.5)
    row = pd.Series(range(len(part)), index=part.tracklet_id)
    pictures = picture_appearance(
        own, x, row[tracklet_crops.tracklet_id].to_numpy(), camera, evidence.matches
    )
    return {
        "tracklets": Calibration(evidence.across, same_fraction),
        "pictures": Calibration(pictures, same_fraction),
    }


def write_formats(ctx: Context, chosen: Path, network: ReidNetwork, crops: pd.DataFrame) -> pd.DataFrame:
    """EXPORTS: every format written and compared with PyTorch.

    Raises:
        RuntimeError: an exported file gives other features.
    """
    import hashlib
    import shutil

    import numpy as np
    import pandas as pd

    from stages.network import deploy
    from stages.network.images import read_images

    shutil.copyfile(chosen, ctx.out / "model.pt")
    rows: list[tuple[str, str, float]] = [("model.pt", "pytorch", 1.0)]
    sample = crops.iloc[
        np.linspace(0, max(len(crops) - 1, 0), min(len(crops), ctx.settings.parity_crops)).astype(int)
    ]
    pictures = np.zeros((4, 3, *network.image_size), np.uint8)
    if len(sample):
        pictures = read_images(sample, ctx.run_dir, network.image_size).transpose(0, 3, 1, 2)
    images = (pictures / 255).astype(np.float32)
    writers = {"onnx": ("model.onnx", deploy.write_onnx), "openvino": ("model.xml", deploy.write_openvino)}
    for name in sorted(set(ctx.settings.formats)):
        file, write = writers[name]
        write(network, ctx.out / file)
        cosine = deploy.least_cosine(network, ctx.out / file, images)
        if cosine < LEAST_COSINE:
            raise RuntimeError(
                f"{file}: its features differ from PyTorch's (cosine {cosine:.4f}); "
                f"leave '{name}' out of export.formats and report this"
            )
        rows.append((file, name, min(cosine, 1.0)))
    table = pd.DataFrame(rows, columns=["file", "format", "least_cosine"])
    table["digest"] = [hashlib.sha256((ctx.out / f).read_bytes()).hexdigest() for f in table.file]
    return table[[c.name for c in EXPORTS.columns]]


def card_facts(
    ctx: Context,
    network: ReidNetwork,
    tracklets: pd.DataFrame,
    same_person: dict[str, Any],
    exports: pd.DataFrame,
) -> dict[str, Any]:
    """All that the model card says, as plain values."""
    videos = ctx.read(VIDEOS)
    good = videos[videos.status == "ok"]
    metrics_file = ctx.paths(MEASURES)[-1].parent / "metrics.json"
    selection = ctx.read(SELECTION)
    until = int(ctx.source("cut")[0]) if len(good) else 0
    return {
        "name": ctx.run_dir.name,
        "footage": {
            "cameras": sorted(set(good.camera_id)),
            "videos": len(good),
            "hours": float((good.t_until_us - good.t_from_us).sum() / 3.6e9),
            "hours_trained": float(
                (good.t_until_us.clip(upper=until) - good.t_from_us).clip(lower=0).sum() / 3.6e9
            ),
            "from_us": int(good.t_from_us.min()) if len(good) else None,
            "until_us": int(good.t_until_us.max()) if len(good) else None,
            "train_until_us": until if len(good) else None,
            "tracklets": len(tracklets),
            "people": int(ctx.read(IDENTITIES).identity.nunique()),
        },
        "model": {
            "backbone": network.name,
            "parameters": sum(p.numel() for p in network.backbone.parameters()),
            "image_size": list(network.image_size),
            "dim": network.dim,
            "method": ctx.method,
            "rounds": [int(r) for r in selection["round"][selection.chosen]],
            "weights": str(ctx.source("weights")),
        },
        "files": exports.to_dict("records"),
        "same_person": same_person,
        "metrics": json.loads(metrics_file.read_text(encoding="utf-8")),
    }


def same_person_facts(
    ctx: Context,
    tracklets: pd.DataFrame,
    crops: pd.DataFrame,
    features: np.ndarray,
    means: np.ndarray,
    calibration: dict[str, Calibration] | None,
) -> dict[str, Any]:
    """kind → fraction of same pairs, distributions, cosines of some probabilities, and the check where there is truth."""
    import numpy as np

    from stages.association.same_person import reliability

    truth = true_persons(ctx, tracklets)
    camera = tracklets.camera_id.to_numpy(str)
    facts = {}
    for kind, found in (calibration or {}).items():
        check: list[tuple[float, float, int]] = []
        if truth is not None:
            known = np.flatnonzero(truth.measured & (np.abs(means).sum(1) > 0))
            if kind == "tracklets":
                asked, owner = means[known], known
            else:
                row = dict(zip(tracklets.tracklet_id, range(len(tracklets)), strict=True))
                of_crop = np.array([row[t] for t in crops.tracklet_id])
                one = np.flatnonzero(np.isin(of_crop, known) & ~crops.tracklet_id.duplicated().to_numpy())
                asked, owner = features[one], of_crop[one]
            pairs = (camera[owner][:, None] != camera[known][None, :]).nonzero()
            cosine = (asked @ means[known].T)[pairs]
            a, b = truth.pid[owner[pairs[0]]], truth.pid[known[pairs[1]]]
            check = reliability(found.probability(cosine), (a == b) & (a >= 0))
        facts[kind] = {
            "same_fraction": found.same_fraction,
            "appearance": asdict(found.appearance),
            "cosine": {str(p): found.cosine(p) for p in (0.2, 0.5, 0.8)},
            "reliability": check,
        }
    return facts


class Persons(NamedTuple):
    """pid: (T,) true person of each tracklet, -1 for nobody; measured: (T,) of the test time, in a video with truth."""

    pid: np.ndarray
    measured: np.ndarray


def true_persons(ctx: Context, tracklets: pd.DataFrame) -> Persons | None:
    """Whom the tracklets show; None without truth."""
    from data.datasets.labelled_frames import that_count
    from stages.evaluation.matching import persons_of

    truth, boxes = ctx.read(GROUND_TRUTH), ctx.read(BOXES)
    if truth.empty:
        return None
    counted = boxes.video_id.isin(truth.video_id) & that_count(boxes, ctx.read(LABELLED_FRAMES))
    boxes = boxes[counted].reset_index(drop=True)
    person = persons_of(boxes, truth)
    measured = tracklets.tracklet_id.isin(person.index) & (tracklets.t_start_us > ctx.source("cut")[0])
    return Persons(person.reindex(tracklets.tracklet_id).fillna(-1).to_numpy(), measured.to_numpy())


STAGE = Stage(
    name="export",
    inputs=(VIDEOS, TRACKLETS, BOXES, CROPS, IDENTITIES, SELECTION, GROUND_TRUTH, LABELLED_FRAMES, MEASURES),
    extra_inputs=(MODEL,),
    outputs=(EXPORTS, GALLERY),
    config=ExportConfig,
    version=4,
    run=run,
    sources=("site.prior", "cut", "weights", "device"),
)
