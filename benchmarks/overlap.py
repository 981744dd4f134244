"""Real people in four views of one campus (ucla-campus): who is who across cameras, by where they stand at one time.

    make bench NAME=overlap [SEEDS="0 1 2 3 4"]

Boxes and ids are real, pictures there are none, so looks are made up: a person's own vector and noise (`NOISES`, as a share of
its length). Tracklets are the annotated tracks, cut wherever a person was out of view for a second. Views HC3 and HC4 overlap
and are calibrated, IP2 and IP5 overlap and are not; some people walk between the two places. Pairs of tracklets of two views in one
person: precision, recall and F, mean (lowest–highest) over seeds of the looks, of all views and of the calibrated two alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.pairs import Scores, pair_counts, scores, spread
from benchmarks.result import finish, machine
from benchmarks.site_files import site_of
from camera_topology.site import Site, without_file
from stages.association.foot_points import feet_of
from stages.association.grouping import GroupingConfig, identify, score_pairs
from stages.association.time_prior import dense_prior

FOOTAGE = Path("../shared/footage/ucla-campus")
SEEDS = tuple(int(word) for word in (os.environ.get("SEEDS") or "0 1 2 3 4").split())
NOISES = (1.0, 2.0, 4.0)
VIEWS = ("HC3", "HC4", "IP2", "IP5")
FPS = 30
CUT_FRAMES = FPS  # out of view for longer, a track is two tracklets


def main() -> None:
    facts = machine()
    tracklets, boxes = campus(FOOTAGE)
    rows: list[dict[str, Any]] = []
    values: dict[str, Any] = {"tracklets": len(tracklets), "people": int(tracklets.pid.nunique())}
    for noise in NOISES:
        for name, site, late_s, times in cases(FOOTAGE):
            found = [score(tracklets, boxes, site, late_s, times, noise, seed) for seed in SEEDS]
            every, calibrated = (np.array(part) for part in zip(*found, strict=True))
            shown = {k: spread(v) for k, v in zip("PRF", every.T, strict=True)}
            shown |= {f"{k}, HC3 – HC4": spread(v) for k, v in zip("PRF", calibrated.T, strict=True)}
            rows.append({"noise": noise, "site file": name, **shown})
            values[f"{name}, noise {noise:g}"] = [
                round(float(part[:, 2].mean()), 4) for part in (every, calibrated)
            ]
    finish("overlap", values, rows, facts)


def campus(folder: Path, every: int = 5) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tracklets (tracklet_id, camera_id, t_start_us, t_end_us, pid) and their boxes, of every fifth frame."""
    names = ["pid", "x1", "y1", "x2", "y2", "frame", "lost", "occluded", "generated", "label"]
    views = []
    for view in VIEWS:
        rows = pd.read_csv(folder / f"view-{view}.txt", sep=" ", names=names)
        views.append(rows[(rows.lost == 0) & (rows.frame % every == 0)].assign(camera_id=view))
    boxes = pd.concat(views).sort_values(["camera_id", "pid", "frame"], ignore_index=True)
    track = [boxes.camera_id, boxes.pid]
    piece = (boxes.groupby(track).frame.diff() > CUT_FRAMES).groupby(track).cumsum()
    boxes["tracklet_id"] = boxes.camera_id + "_" + boxes.pid.astype(str) + "_" + piece.astype(str)
    boxes["t_utc_us"] = (boxes.frame * (1e6 / FPS)).round().astype("int64")
    tracklets = boxes.groupby("tracklet_id", as_index=False).agg(
        camera_id=("camera_id", "first"),
        t_start_us=("t_utc_us", "min"),
        t_end_us=("t_utc_us", "max"),
        pid=("pid", "first"),
    )
    return tracklets, boxes


def cases(folder: Path) -> Iterator[tuple[str, Site, float, bool]]:
    """Name, what is told, seconds that HC4 is late, and whether times across cameras are used at all."""
    ids = [{"id": view} for view in VIEWS]
    overlap = [
        {"from": "HC3", "to": "HC4", "relation": "overlap"},
        {"from": "IP2", "to": "IP5", "relation": "overlap"},
    ]
    grounds = homographies(folder)
    calibrated = [{**c, **({"homography": grounds[c["id"]]} if c["id"] in grounds else {})} for c in ids]
    yield "no times", without_file(VIEWS), 0.0, False
    yield "none", without_file(VIEWS), 0.0, True
    yield "overlaps", site_of({"cameras": ids, "links": overlap}), 0.0, True
    yield "overlaps, calibrated", site_of({"cameras": calibrated, "links": overlap}), 0.0, True
    yield "the same, HC4 2 s late", site_of({"cameras": calibrated, "links": overlap}), 2.0, True
    other = {"HC3": "HC4", "HC4": "HC3"}
    crossed = [{**c, **({"homography": grounds[other[c["id"]]]} if c["id"] in other else {})} for c in ids]
    yield "the same, homographies swapped", site_of({"cameras": crossed, "links": overlap}), 0.0, True


def homographies(folder: Path) -> dict[str, list[list[float]]]:
    """View → 3 × 3 from pixels to metres on the ground, by the data's own README: K R (p - T) at height 0."""
    from scipy.io import loadmat

    found = {}
    for view in loadmat(folder / "cam_param.mat", squeeze_me=True, struct_as_record=False)["cam_param"]:
        turned = np.array(view.K, float) @ np.array(view.R, float)
        to_image = np.column_stack([turned[:, 0], turned[:, 1], -turned @ np.array(view.T, float)])
        centre = np.array([[1, 0, view.center[0]], [0, 1, view.center[1]], [0, 0, 1.0]])
        matrix: list[list[float]] = np.linalg.inv(centre @ to_image).tolist()
        found[str(view.name).removeprefix("view-")] = matrix
    return found


def score(
    tracklets: pd.DataFrame,
    boxes: pd.DataFrame,
    site: Site,
    late_s: float,
    times: bool,
    noise: float,
    seed: int,
) -> tuple[Scores, Scores]:
    """Precision, recall and F of pairs of two views put into one person: of all views, and of HC3 and HC4."""
    late_us = np.where(tracklets.camera_id == "HC4", late_s * 1e6, 0).astype("int64")
    own = tracklets.assign(t_start_us=tracklets.t_start_us + late_us, t_end_us=tracklets.t_end_us + late_us)
    shown = boxes.assign(t_utc_us=boxes.t_utc_us + np.where(boxes.camera_id == "HC4", int(late_s * 1e6), 0))
    features = appearance(tracklets, noise, seed)
    prior = dense_prior(site, own, dict.fromkeys(VIEWS, 0.1), feet_of(site, own, shown))
    none = np.zeros((0, features.shape[1]))
    config = GroupingConfig.model_validate({"prior": "evidence" if times else "off"})
    evidence = score_pairs(features, (none, none, np.zeros(0, np.int64)), own, prior, config)
    identity = identify(own, evidence.log_odds).set_index("tracklet_id").identity[own.tracklet_id].to_numpy()
    camera = own.camera_id.to_numpy(str)
    two = np.isin(camera, ("HC3", "HC4"))
    pid = own.pid.to_numpy()
    return scores(pair_counts(identity, pid, camera)), scores(
        pair_counts(identity[two], pid[two], camera[two])
    )


def appearance(tracklets: pd.DataFrame, noise: float, seed: int, size: int = 64) -> Any:
    """(T, D) of unit length: the person's own vector, and noise."""
    rng = np.random.default_rng(seed)
    people, which = np.unique(tracklets.pid, return_inverse=True)
    person, own = rng.normal(size=(len(people), size)), rng.normal(size=(len(tracklets), size))
    x = person[which] / np.linalg.norm(person, axis=1)[which, None] + noise * own / np.linalg.norm(
        own, axis=1, keepdims=True
    )
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


if __name__ == "__main__":
    main()
