"""Who is who by each paper's own label estimation, over the settings that its figures sweep. Nothing is trained.

    make bench NAME=sweeps [METHODS="tastr race reliable_soft tmc"]

tastr          Fig. 8: k of k-means; and lambda, the width of walking times
race           Table 1: without top-k counts (prediction weight), hull or smoothing, and 1-NN and AGR; Fig. 4 and 5a: k, k' of the
               top-k counts, lambda of the smoothing term, the number of anchors
reliable_soft  how many tracklets count as reliable, by share and by lambda, their cosine
tmc            Table 2: eps_inter of the clustering; null: from the data

Links of the training half of market-site by its own tracklets, with the features of either start: precision, recall and F over
pairs of tracklets of two cameras, mean of five seeds where the method draws anything by lot. "Labels" is RACE's own count: of
the tracklets that are no anchors, how many that got an anchor's label are its person, and how many of those whose person has an
anchor got it. A star stands beside the value that the method takes by default. Prints a table, and as its last line one JSON
object.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import table
from benchmarks.result import finish, machine
from camera_topology.site import load
from pipeline import schema
from pipeline.manifests import BOXES, CROPS, GROUND_TRUTH, TRACKLETS, VIDEOS
from stages import methods
from stages.association.population import people_in
from stages.evaluation.link_accuracy import link_scores
from stages.evaluation.matching import persons_of
from stages.network import backbone
from stages.network.embedding import embed_crops
from stages.training.training_part import before, clock_std_s

METHODS = (os.environ.get("METHODS") or "tastr race reliable_soft tmc").split()
SWEEPS: dict[str, dict[str, tuple[Any, ...]]] = {
    "tastr": {"k": (1, 2, 3, 4, 5, 6), "sigma_fraction": (0.3, 0.5, 0.7, 1.0)},
    "race": {
        "prediction": ("top_k_counts", "weight", "nearest", "agr"),
        "hull": (True, False),
        "smoothing": ("far", "printed"),
        "k": (3, 5, 10, 15, 20, 30),
        "top_k": (1, 2, 3, 5),
        "smoothing_weight": (0.0, 0.01, 0.1, 1.0),
        "anchors": (10, 20, 30, 40, 50),
    },
    "reliable_soft": {"reliable_fraction": (0.2, 0.4, 0.6, 0.8, 1.0), "min_cosine": (0.7, 0.8, 0.85, 0.9)},
    "tmc": {"eps": (None, 0.3, 0.4, 0.5, 0.6, 0.7)},
}
LABELS = ("label_precision", "label_recall", "label_f")
SEED = {"race": "anchor_seed", "reliable_soft": "cluster_seed"}
STARTS = {"ImageNet": "market", "MSMT17": "market-msmt17"}


def main() -> None:
    facts = machine()
    rows: list[dict[str, str]] = []
    base = table.base_run("market", "100", Path("runs/table"))
    if base is not None:
        footage, person = labelled(base)
        features, people = {}, {}
        for start, network in start_networks():
            features[start] = embed_crops(network, footage.crops, base, "cpu")
            people[start] = people_in(footage, features[start]).guess
        for method in METHODS:
            for setting, value in ((s, v) for s, values in SWEEPS[method].items() for v in values):
                row = {"method": method, "setting": f"{setting} {'null' if value is None else value}"}
                usual = methods.load(method).AssociateConfig.model_fields[setting].default
                row["setting"] += " *" if value == usual else ""
                for start in STARTS:
                    own = replace(footage, people=lambda start=start: people[start])
                    found = list(links(method, setting, value, own, features[start], person))
                    for name, keys in (("", ("precision", "recall", "f")), (" of labels", LABELS)):
                        shown = [spread([scores[key] for scores in found]) for key in keys]
                        row[f"P / R / F{name}, {start}"] = " / ".join(shown) if any(shown) else "–"
                rows.append(row)
    values = {
        f"{row['method']} {row['setting'].removesuffix(' *')}": row["P / R / F, MSMT17"] for row in rows
    }
    finish("sweeps", values, rows, facts)


def start_networks() -> Iterator[tuple[str, backbone.ReidNetwork]]:
    """Name and network of either start."""
    for start, site in STARTS.items():
        yield start, backbone.build("osnet_x0_25", Path(table.SITES[site]["weights"]), 0)


def labelled(base: Path) -> tuple[methods.Footage, pd.Series]:
    """What the methods may learn from in the training half, and tracklet_id → person."""
    site = load(Path(table.SITES["market"]["topology"]))
    cut = site.cut()
    assert cut is not None
    tracklets, crops, boxes, videos, truth = (
        schema.read(manifest, base / stage / manifest.file)
        for stage, manifest in (
            ("isolate", TRACKLETS), ("isolate", CROPS), ("isolate", BOXES), ("ingest", VIDEOS), ("ground_truth", GROUND_TRUTH)
        )
    )  # fmt: skip
    tracklets, crops = before(tracklets, crops, cut[0])
    return methods.Footage(tracklets, crops, site, clock_std_s(videos)), persons_of(boxes, truth)


def links(
    method: str, setting: str, value: Any, footage: methods.Footage, features: np.ndarray, person: pd.Series
) -> Iterator[dict[str, Any]]:
    """Precision, recall and F of the links of one value, for each seed."""
    module = methods.load(method)
    camera = footage.tracklets.set_index("tracklet_id").camera_id
    own = person.reindex(camera.index).fillna(-1).astype(int)
    for seed in range(5 if method in SEED else 1):
        more = {SEED[method]: seed} if method in SEED else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of k-means, where there are fewer distinct points than clusters
            config = module.AssociateConfig.model_validate({setting: value, **more})
            found, labels = module.associate(footage, lambda: features, 1, config)
        yield link_scores(found, own, camera) | dict.fromkeys(LABELS)
        if method == "race":
            _, anchors = module.associate(footage, lambda: features, 0, config)
            yield dict.fromkeys(("precision", "recall", "f")) | label_scores(labels, anchors, own)


def label_scores(labels: pd.DataFrame, anchors: pd.DataFrame, person: pd.Series) -> dict[str, float]:
    """RACE's count, see above. ``labels``, ``anchors``: PSEUDO_LABELS of a round and of round 0; person: tracklet_id → pid."""
    of_label = anchors.set_index("pseudo_label").tracklet_id.map(person)
    given = labels.set_index("tracklet_id").pseudo_label.map(of_label).drop(anchors.tracklet_id)
    others = person.drop(anchors.tracklet_id)
    right = int(((others.reindex(given.index) == given) & (given >= 0)).sum())
    known = int((others.isin(of_label) & (others >= 0)).sum())
    counts = (right / max(len(given), 1), right / max(known, 1), 2 * right / max(len(given) + known, 1))
    return dict(zip(LABELS, counts, strict=True))


def spread(shares: list[float | None]) -> str:
    """The mean in per cent, empty where nothing was counted."""
    known = [share for share in shares if share is not None]
    return f"{100 * np.mean(known):.1f}" if known else ""


if __name__ == "__main__":
    main()
