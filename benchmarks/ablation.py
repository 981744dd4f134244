"""The papers' own findings, in direction, on market-site: what each part of a method is worth.

    make bench NAME=ablation [STUDIES="tastr tastr-msmt17 dal tmc"] [SEEDS="100 101 102"]

tastr         its Table IV: walking times, k-means and iteration, with and without; and batches without the constraint
tastr-msmt17  not in the paper: its first round across cameras from weights that know people, with wider batches and slower
dal           its Table 2: one loss or both
tmc           its Table 3: true tracklets of the training time, fragmented and switched at the paper's rates, with and without
              intra-tracklet isolation; with the paper's neighbourhoods, and from MSMT17's weights, from which TMC learns
              something here. What isolation does at which radius, and to the links, is in `benchmarks.isolation`

From ImageNet's weights where nothing else is said. Budgets are the table's (`benchmarks.table`); cells that share a
beginning share its rounds. Results, cell by cell, are in ``benchmarks/results/ablation.json``. Prints a table per study, and as
its last line one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks import table
from benchmarks.result import RESULTS
from benchmarks.seeds import copy_run
from benchmarks.substitution import Tables, substitute
from data.datasets.noise import noisy_tracklets
from pipeline import schema
from pipeline.manifests import BOXES, CROPS, GROUND_TRUTH, TRACKLETS, VIDEOS
from pipeline.opening import open_run
from stages.evaluation.matching import match, matched_pids


class Study(NamedTuple):
    """A method, per row the settings that differ, and the site of the table."""

    method: str
    rows: dict[str, str]
    site: str = "market"


# For the thirteen tracklets that a person has there.
ON_MARS = "associate.k1=30 associate.k2=6 associate.min_samples=4 associate.pairs_per_tracklet=13"
STUDIES = {
    "tastr": Study(
        "tastr",
        {
            "walking times and k-means": "",
            "walking times": "associate.kmeans=false",
            "k-means": "associate.spatio_temporal=false",
            "neither": "associate.kmeans=false associate.spatio_temporal=false",
            "batches without the constraint": "train.constrained=false run.rounds=0",
        },
    ),
    "tastr-msmt17": Study(
        "tastr",
        {
            "walking times and k-means": "run.rounds=1",
            "one label a person": "run.rounds=1 associate.labels=site",
            "a tenth of the rate": "run.rounds=1 train.round_learning_rate=5e-5",
            "walking times": "run.rounds=1 associate.kmeans=false",
            "walking times, one label a person": "run.rounds=1 associate.kmeans=false associate.labels=site",
        },
        "market-msmt17",
    ),
    "dal": Study("dal", {"L_I and L_C": "", "L_I": "train.cross_weight=0", "L_C": "train.intra=false"}),
    "tmc": Study(
        "tmc",
        {
            f"{rates}, {how}": f"{ON_MARS} {sets}"
            for rates in ("1.7_1.2", "2.5_1.2", "2.5_1.5")
            for how, sets in (
                ("without isolation", "isolate.enabled=false"),
                ("with", "isolate.only_at_contact=false"),
            )
        },
        "market-msmt17",
    ),
}


_WRITING = threading.Lock()


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--studies", default=os.environ.get("STUDIES") or " ".join(STUDIES))
    words.add_argument("--seeds", default=os.environ.get("SEEDS") or "100 101 102")
    words.add_argument("--runs", type=Path, default=Path("runs/table"))
    words.add_argument("--results", type=Path, default=RESULTS / "ablation.json")
    options = words.parse_args()
    if unknown := [word for word in options.studies.split() if word not in STUDIES]:
        words.error(f"STUDIES={' '.join(unknown)}: choose among {' '.join(STUDIES)}")
    places = {
        (STUDIES[study].site, seed) for seed in options.seeds.split() for study in options.studies.split()
    }
    bases = {place: table.base_run(*place, options.runs) for place in sorted(places)}
    cells = table.read_cells(options.results)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = [
            pool.submit(run_study, base, study, seed, cells, options.results)
            for seed in options.seeds.split()
            for study in options.studies.split()
            if (base := bases[STUDIES[study].site, seed])
        ]
        for job in jobs:
            job.result()
    for study in options.studies.split():
        print(f"\n### {study}\n\n" + markdown(study, cells, options.seeds.split()))
    print(json.dumps({"benchmark": "ablation", "cells": len(cells)}))


def run_study(base: Path, study: str, seed: str, cells: dict[str, Any], results: Path) -> None:
    """All rows of a study with one seed, one after the other; a row begins with what the row before has in common."""
    method, rows, site = STUDIES[study]
    before, noisy = base, method == "tmc"
    for row, more in rows.items():
        name, sets = f"{study}/{row}/{seed}", table.settings(site, method, seed, more)
        start = noisy_base(base, row.split(",")[0]) if noisy else before
        key = table.cell_key(start if noisy else base, method, sets)
        if cells.get(name, {}).get("key") == key:
            continue
        run = base.parent / f"{study}-{list(rows).index(row)}-{seed}"
        found = {"key": key, **table.measure(start, run, method, sets)}
        with _WRITING:
            cells[name] = found
            table.write_cells(results, cells)
        print(f"{name}: {table.short(cells[name])}", flush=True)
        before = run
    for i in range(len(rows)):
        shutil.rmtree(base.parent / f"{study}-{i}-{seed}", ignore_errors=True)


def noisy_base(base: Path, rates: str) -> Path:
    """A copy of the base whose tracklets of the training time are the true ones, made as bad as the rates say."""
    copy = copy_run(base, base.parent / f"{base.name}-noise-{rates}")
    runner, _ = open_run(copy)
    if json.loads((copy / "track" / "receipt.json").read_text(encoding="utf-8"))["metadata"].get(
        "substituted"
    ):
        return copy
    made = noisy_tables(base, runner.sources.cut[0], *map(float, rates.split("_")))
    with runner.lock():
        for node in ("track", "crop"):
            substitute(runner, node, {m: t for m, t in made.items() if m in runner.by_id[node].stage.outputs})
    return copy


def noisy_tables(run: Path, cut_us: int, r_fm: float, r_sw: float) -> Tables:
    """TRACKLETS, BOXES and CROPS in which what was seen before the cut is noise of `data.datasets.noise`, the rest ours.

    A noisy tracklet's frames are a fifth of a second apart, and no two of them were seen at once.
    """
    tracklets, boxes, crops = (
        schema.read(m, run / stage / m.file)
        for m, stage in ((TRACKLETS, "track"), (BOXES, "track"), (CROPS, "crop"))
    )
    camera = schema.read(VIDEOS, run / "ingest" / VIDEOS.file).set_index("video_id").camera_id
    truth = schema.read(GROUND_TRUTH, run / "ground_truth" / GROUND_TRUTH.file)
    key = ["video_id", "frame", "tracklet_id"]
    person = pd.DataFrame(boxes[key]).assign(
        pid=matched_pids(match(boxes, truth.assign(camera_id=truth.video_id.map(camera))), truth)
    )
    seen = crops[crops.t_utc_us <= cut_us].merge(person, on=key)
    seen = (
        seen[seen.pid >= 0]
        .sort_values(["video_id", "pid", "t_utc_us"])
        .drop_duplicates(["video_id", "frame", "pid"])
    )
    number, place = noisy_tracklets(
        seen.pid.to_numpy(), seen.video_id.map(camera).to_numpy(str), r_fm, r_sw, np.random.default_rng(0)
    )
    name = np.array([f"noise-{n:04d}" for n in number])
    # A tracklet of two people may hold both out of one frame, which no tracker's could.
    single = ~pd.DataFrame(
        {"name": name, "video": seen.video_id.to_numpy(), "frame": seen.frame.to_numpy()}
    ).duplicated()
    seen, name, number, place = seen[single.to_numpy()], name[single], number[single], place[single]
    # Hours apart, and all of it long before the cut.
    times = int(tracklets.t_start_us.min()) - (number + 1) * 3_600_000_000 + place * 200_000
    noise = seen.assign(tracklet_id=name, t_utc_us=times)
    followed = boxes.merge(seen[key], on=key)[key + [c for c in boxes.columns if c not in key]]
    followed = followed.merge(
        pd.DataFrame({**{k: seen[k].to_numpy() for k in key}, "name": name, "t": times}), on=key
    )
    followed = followed.assign(
        tracklet_id=followed.name, t_utc_us=followed.t, overlap=np.float32(1), margin=np.float32(1)
    )
    later = tracklets[tracklets.t_start_us > cut_us]
    rows = noise.groupby("tracklet_id").agg(
        t_start_us=("t_utc_us", "min"),
        t_end_us=("t_utc_us", "max"),
        n_boxes=("frame", "size"),
        video=("video_id", "first"),
    )
    made = rows.reset_index().assign(
        parent_id=rows.index, camera_id=rows.video.map(camera).to_numpy(), mean_score=np.float32(1)
    )
    columns = {m: [c.name for c in m.columns] for m in (TRACKLETS, BOXES, CROPS)}

    def joined(manifest: Any, new: pd.DataFrame, old: pd.DataFrame) -> pd.DataFrame:
        table_ = pd.concat([new[columns[manifest]], old[columns[manifest]]], ignore_index=True)
        return table_.astype(old[columns[manifest]].dtypes.to_dict())

    return {
        TRACKLETS: joined(TRACKLETS, made, later),
        BOXES: joined(BOXES, followed, boxes[boxes.tracklet_id.isin(later.tracklet_id)]),
        CROPS: joined(CROPS, noise, crops[crops.tracklet_id.isin(later.tracklet_id)]),
    }


def markdown(study: str, cells: dict[str, Any], seeds: list[str]) -> str:
    """Means over the seeds: rank-1 after each round, the final mAP, and label estimation in the last round."""
    rows = STUDIES[study].rows
    lines = ["| | rank-1 after round 0, 1, … | final mAP | P | R | F | tracklets |", "|---" * 7 + "|"]
    for row in rows:
        own = [cells[f"{study}/{row}/{seed}"] for seed in seeds if f"{study}/{row}/{seed}" in cells]
        if not own:
            continue
        rounds = zip(*([r["rank1"] for r in cell["rounds"]] for cell in own), strict=True)
        curve = ", ".join(f"{100 * statistics.fmean(r):.1f}" for r in rounds)
        last = [cell["rounds"][-1] for cell in own]
        values = [100 * statistics.fmean(cell["mean_ap"] for cell in last)]
        shown = [f"{values[0]:.1f}"]
        for key in ("precision", "recall", "f"):
            known = [100 * r[key] for r in last if r[key] is not None]
            shown.append(f"{statistics.fmean(known):.1f}" if known else "–")
        shown.append(f"{statistics.fmean(cell['tracklets'] for cell in own):.0f}")
        lines.append(f"| {row} | {curve} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
