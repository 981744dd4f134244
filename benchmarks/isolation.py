"""What intra-tracklet isolation does to noisy tracklets, and to who TMC then takes for whom. Nothing is trained.

    make bench NAME=isolation

True tracklets of the training half of market-site, fragmented and switched at the rates of TMC's Table 1 (r_FM_r_SW), are cut
by DBSCAN on the features of either start, at a radius eps_intra or not at all (Teng et al., 2022, Table 4 and Fig. 7): how many
there are, how many persons each shows, what share of its crops is not of its main person ("noise"); and TMC's links of them,
the number of people being told: precision, recall and F over pairs of tracklets of two cameras, each taken for its main person.
Prints a table, and as its last line one JSON object.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import table
from benchmarks.ablation import noisy_tables
from benchmarks.result import finish, machine
from benchmarks.sweeps import labelled, start_networks
from pipeline import schema
from pipeline.manifests import BOXES, CROPS, GROUND_TRUTH, TRACKLETS
from stages import methods
from stages.evaluation.link_accuracy import link_scores
from stages.evaluation.matching import match, matched_pids
from stages.isolate import cut_tracklets
from stages.methods import tmc
from stages.network.embedding import embed_crops

RATES = ("1.7_1.2", "2.5_1.2", "2.5_1.5")
RADII = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
WHOLE = 2.0  # no unit vectors are farther apart


def main() -> None:
    facts = machine()
    rows: list[dict[str, str]] = []
    base = table.base_run("market", "100", Path("runs/table"))
    if base is not None:
        clean, _ = labelled(base)
        for start, network in start_networks():
            for rates in RATES:
                tables = noisy(base, clean, rates)
                features = embed_crops(network, tables[2], base, "cpu")
                for row in measured(clean, tables, features):
                    rows.append({"start": start, "r_FM_r_SW": rates, **row})
    values = {f"{row['start']} {row['r_FM_r_SW']} {row['eps_intra']}": row["F"] for row in rows}
    finish("isolation", values, rows, facts)


def noisy(base: Path, clean: methods.Footage, rates: str) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """TRACKLETS, BOXES and CROPS of the noisy training half; crops have their person, pid."""
    cut = clean.site.cut()
    assert cut is not None
    made = noisy_tables(base, cut[0], *map(float, rates.split("_")))
    tracklets = made[TRACKLETS][made[TRACKLETS].t_end_us <= cut[0]].reset_index(drop=True)
    boxes, crops = (
        made[m][made[m].tracklet_id.isin(tracklets.tracklet_id)].reset_index(drop=True)
        for m in (BOXES, CROPS)
    )
    truth = schema.read(GROUND_TRUTH, base / "ground_truth" / GROUND_TRUTH.file)
    key = ["video_id", "frame", "tracklet_id"]
    crops = crops.merge(boxes[key].assign(pid=matched_pids(match(boxes, truth), truth)), on=key)
    return tracklets, boxes, crops.sort_values(["tracklet_id", "t_utc_us"], ignore_index=True)


def measured(
    clean: methods.Footage, tables: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame], features: np.ndarray
) -> Iterator[dict[str, str]]:
    """A row for each radius."""
    people = int(tables[2].pid.nunique())
    told = replace(clean, people=lambda: people)
    for eps in (*RADII, WHOLE):
        tracklets, _, crops = cut_tracklets(*tables, features, eps=eps)
        crops = crops.sort_values(["tracklet_id", "t_utc_us"])  # its index still says which feature is whose
        x, shown = features[crops.index.to_numpy()], crops.groupby("tracklet_id").pid
        footage = replace(
            told, tracklets=tracklets.sort_values("tracklet_id", ignore_index=True), crops=crops.reset_index(drop=True)
        )  # fmt: skip
        found, _ = tmc.associate(footage, lambda x=x: x, 1, tmc.AssociateConfig())
        main_person = shown.agg(lambda pids: pids.mode().iloc[0])
        scores = link_scores(found, main_person, tracklets.set_index("tracklet_id").camera_id)
        noise = (crops.pid != crops.tracklet_id.map(main_person)).mean()
        yield {
            "eps_intra": "whole" if eps == WHOLE else f"{eps}",
            "tracklets": str(len(tracklets)),
            "persons in each": f"{shown.nunique().mean():.2f}",
            "noise": f"{100 * noise:.1f} %",
            **{k[0].upper(): f"{100 * (scores[k] or 0):.1f}" for k in ("precision", "recall", "f")},
        }


if __name__ == "__main__":
    main()
