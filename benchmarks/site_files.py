"""What is a site file worth on footage, and what do wrong ones cost? Of finished runs with truth, association only.

    make bench NAME=site_files [RUNS="runs/demo"]

For each run, and each state of its network: all tracklets are put together into people by looks and times, with times across
cameras left out, with no site file, with the run's own, and with wrong ones (`wrong_files`). Pairs of tracklets of two
cameras in one person, held against the truth: precision, recall and F, and how F differs from leaving times out, with its 95 %
interval over people (paired bootstrap: both are scored on the same people drawn again).
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.pairs import f_score, pair_counts, scores
from benchmarks.result import finish, machine
from camera_topology.site import Site, load, without_file
from camera_topology.site_schema import SiteFile
from data.tracklet_rows import evenly
from pipeline import schema
from pipeline.manifests import BOXES, CROPS, GROUND_TRUTH, IDENTITIES, TRACKLETS, VIDEOS
from stages.association.grouping import GroupingConfig, halves, identify, score_pairs
from stages.association.time_prior import dense_prior
from stages.evaluation.matching import persons_of
from stages.network.embedding import cached_features, tracklet_features
from stages.training.training_part import clock_std_s

RUNS = (os.environ.get("RUNS") or "runs/demo").split()
CROPS_PER_TRACKLET = 16


class Case(NamedTuple):
    """name; site: what is told; late: camera → seconds its tracklets are late; times: False leaves them out; wrong: the ways
    in question, None for all."""

    name: str
    site: Site
    late: dict[str, float]
    times: bool = True
    wrong: tuple[tuple[str, str], ...] | None = None


def main() -> None:
    facts = machine()
    rows, values = [], {}
    for run in map(Path, RUNS):
        for state, checkpoint in states(run):
            for row in measure(run, checkpoint):
                rows.append({"run": "/".join(run.parts[-2:]), "network": state, **row})
                values[f"{'/'.join(run.parts[-2:])} {state} {row['site file']}"] = row["F"]
    finish("site_files", values, rows, facts)


def states(run: Path) -> Iterator[tuple[str, Path]]:
    """The start's network and the last round's."""
    starts = sorted((run / "start").glob("*/model.pt"))
    rounds = sorted(
        (run / "train").glob("*/round-*/model.pt"), key=lambda p: int(p.parent.name.split("-")[1])
    )
    yield "start", starts[0]
    yield "last round", rounds[-1]


def measure(run: Path, checkpoint: Path) -> Iterator[dict[str, str]]:
    """A row for each case."""
    tracklets = table(run, "isolate", TRACKLETS).sort_values("tracklet_id", ignore_index=True)
    crops = table(run, "isolate", CROPS).sort_values(["tracklet_id", "t_utc_us"], ignore_index=True)
    crops = crops[evenly(crops.tracklet_id, CROPS_PER_TRACKLET)].reset_index(drop=True)
    features = cached_features(checkpoint, crops, run, "cpu")
    means = tracklet_features(features, list(crops.tracklet_id), list(tracklets.tracklet_id))
    parts = halves(features, crops, tracklets)
    clocks = clock_std_s(table(run, "ingest", VIDEOS))
    person = persons_of(table(run, "isolate", BOXES), table(run, "ground_truth", GROUND_TRUTH))
    pid = person.reindex(tracklets.tracklet_id).fillna(-1).to_numpy(np.int64)
    camera = tracklets.camera_id.to_numpy(str)
    off = None
    for case in cases(run):
        ahead_us = tracklets.camera_id.map(case.late).fillna(0).to_numpy() * 1e6
        own = tracklets.assign(
            t_start_us=(tracklets.t_start_us + ahead_us).astype("int64"),
            t_end_us=(tracklets.t_end_us + ahead_us).astype("int64"),
        )
        prior = dense_prior(case.site, own, clocks)
        config = GroupingConfig.model_validate({"prior": "evidence" if case.times else "off"})
        evidence = score_pairs(means, parts, own, prior, config)
        found = identify(own, evidence.log_odds).set_index("tracklet_id").identity
        counts = pair_counts(found[own.tracklet_id].to_numpy(), pid, camera)
        off = counts if off is None else off
        shares = {name: f"{100 * share:.1f}" for name, share in zip("PRF", scores(counts), strict=True)}
        yield {"site file": case.name, **shares, "F less without times": difference(counts, off)}


def cases(run: Path) -> Iterator[Case]:
    """Without times, no file, the right one, and `wrong_files`."""
    import json

    right = load(Path(json.loads((run / "request.json").read_text(encoding="utf-8"))["topology"]))
    nothing = without_file(right.cameras)
    yield Case("no times", nothing, {}, times=False)
    yield Case("none", nothing, {})
    yield Case("right", right, {})
    values = right.facts.model_dump(mode="json", by_alias=True, exclude_unset=True)
    tracklets, identities = table(run, "isolate", TRACKLETS), table(run, "identify", IDENTITIES)
    yield from wrong_files(values, busiest_way(tracklets, identities))


def busiest_way(tracklets: pd.DataFrame, identities: pd.DataFrame) -> tuple[str, str]:
    """The two cameras that most people were seen in one after the other."""
    from stages.topology.learn import walks

    found = walks(tracklets, identities)
    count = pd.Series(
        [tuple(sorted(pair)) for pair in zip(found.from_, found.to, strict=True)]
    ).value_counts()
    a, b = count.index[0]
    return a, b


def wrong_files(values: dict[str, Any], way: tuple[str, str]) -> Iterator[Case]:
    """Each a right file with one thing wrong: lengths, a clock, and ``way`` (two cameras) left out or forbidden."""
    for name, times in (("ways twice as long", 2.0), ("ways half as long", 0.5)):
        changed = copy.deepcopy(values)
        for link in changed["links"]:
            link["distance_m"] *= times
        yield Case(name, site_of(changed), {})
    yield Case("one clock 5 s off", site_of(values), {way[0]: 5.0})
    missing = copy.deepcopy(values)
    missing["links"] = [link for link in missing["links"] if {link["from"], link["to"]} != set(way)]
    yield Case("busiest way missing", site_of(missing), {})
    missing["links"].append({"from": way[0], "to": way[1], "relation": "forbidden"})
    yield Case("busiest way forbidden", site_of(missing), {}, wrong=(way, way[::-1]))


def site_of(values: dict[str, Any]) -> Site:
    return Site(SiteFile.model_validate(values))


def difference(counts: np.ndarray, others: np.ndarray, draws: int = 2000) -> str:
    """'+3.1 (+1.0 to +5.2)', points of F, over people drawn again."""
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), draws)
    low, high = np.quantile(f_score(drawn @ counts) - f_score(drawn @ others), [0.025, 0.975])
    middle = f_score(counts.sum(axis=0)) - f_score(others.sum(axis=0))
    return f"{100 * middle:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def table(run: Path, stage: str, manifest: Any) -> pd.DataFrame:
    return schema.read(manifest, run / stage / manifest.file)


if __name__ == "__main__":
    main()
