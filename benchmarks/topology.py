"""What is a site file worth, and what do wrong ones cost? On made-up networks of tracklets, without pixels.

    make bench NAME=topology [SEEDS="0 1 2 3 4 5"]

Ten cameras, 160 people in an hour or 40 in a quarter of one, looks that tell some of them apart (`data.synthetic.network`).
All tracklets are put together into people (`stages.association.grouping`) without times across cameras, with no file, with the right
file, and with the wrong ones of `benchmarks.site_files`. Pairs of two cameras that were put into one person: precision, recall
and F over worlds, mean (lowest to highest), the difference in F to having no file, with its 95 % bootstrap interval, and how
many of the ways in question (all that are listed and walked; of a forbidden one, that alone) the tool does not believe.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping

import numpy as np
import pandas as pd

from benchmarks.pairs import Scores, pair_counts, scores, spread
from benchmarks.result import finish, machine
from benchmarks.site_files import Case, busiest_way, site_of, wrong_files
from camera_topology.site import Site, without_file
from data.synthetic.network import Network, NetworkSettings, build_network, site_values
from stages.association.evidence import Evidence
from stages.association.grouping import GroupingConfig, identify, score_pairs
from stages.association.time_prior import dense_prior

SEEDS = tuple(int(word) for word in (os.environ.get("SEEDS") or "0 1 2 3 4 5").split())
WORLDS = ((160, 0.9), (160, 1.1), (40, 1.3), (40, 1.6))  # people, noise of their looks


def main() -> None:
    facts = machine()
    found: dict[str, list[Scores]] = {}
    doubts: dict[str, list[tuple[int, int]]] = {}
    for seed in SEEDS:
        for people, noise in WORLDS:
            network = build_network(seed, NetworkSettings(people=people, hours=people / 160, noise=noise))
            for case in cases(network):
                tracklets, evidence = weighed(network, case.site, case.times, case.late)
                found.setdefault(case.name, []).append(score(tracklets, evidence))
                doubts.setdefault(case.name, []).append(doubted(evidence.prior_reliability, case.wrong))
    without = np.array(found["none"])[:, 2]
    rows = []
    for name, worlds in found.items():
        precision, recall, f = np.array(worlds).T
        low, high = interval(f - without)
        rows.append(
            {"site file": name, "P": spread(precision), "R": spread(recall), "F": spread(f),
             "F less no file's": f"{100 * (f - without).mean():+.1f} ({100 * low:+.1f} to {100 * high:+.1f})",
             "ways doubted": " of ".join(str(n) for n in np.sum(doubts[name], axis=0))}
        )  # fmt: skip
    values = {name: round(float(np.array(scores)[:, 2].mean()), 4) for name, scores in found.items()}
    gain = values["right"] - values["no times"]
    values |= {
        "worlds": len(without),
        "no_file_share_of_gain": (values["none"] - values["no times"]) / gain,
    }
    finish("topology", values, rows, facts)


def cases(network: Network) -> Iterator[Case]:
    """Without times, no file, the right one, and the wrong ones of `benchmarks.site_files`."""
    nothing, right = without_file(network.cameras), site_values(network)
    yield Case("no times", nothing, {}, times=False)
    yield Case("none", nothing, {})
    yield Case("right", site_of(right), {})
    people = network.tracklets[["tracklet_id"]].assign(identity=network.tracklets.pid)
    yield from wrong_files(right, busiest_way(network.tracklets, people))


def put_together(
    network: Network, site: Site, times: bool = True, late: Mapping[str, float] | None = None
) -> Scores:
    """Precision, recall and F of pairs of two cameras put into one person; see `weighed`."""
    tracklets, evidence = weighed(network, site, times, late)
    return score(tracklets, evidence)


def weighed(
    network: Network, site: Site, times: bool = True, late: Mapping[str, float] | None = None
) -> tuple[pd.DataFrame, Evidence]:
    """The network's tracklets, by clocks that may be wrong, and the log-odds of each pair.

    times: False leaves times across cameras out. late: camera → seconds that its clock is ahead.
    """
    ahead_us = network.tracklets.camera_id.map(dict(late or {})).fillna(0).to_numpy() * 1e6
    moved = {c: (network.tracklets[c] + ahead_us).astype("int64") for c in ("t_start_us", "t_end_us")}
    tracklets = network.tracklets.assign(**moved)
    prior = dense_prior(site, tracklets, dict.fromkeys(network.cameras, 0.5))
    none = np.zeros((0, network.features.shape[1]))
    halves = none, none, np.zeros(0, np.int64)
    config = GroupingConfig.model_validate({"prior": "evidence" if times else "off"})
    return tracklets, score_pairs(network.features, halves, tracklets, prior, config)


def score(tracklets: pd.DataFrame, evidence: Evidence) -> Scores:
    identities = identify(tracklets, evidence.log_odds).set_index("tracklet_id").identity
    said, pid = identities[tracklets.tracklet_id].to_numpy(), tracklets.pid.to_numpy()
    return scores(pair_counts(said, pid, tracklets.camera_id.to_numpy(str)))


def doubted(
    prior_reliability: Mapping[tuple[str, str], float], ways: Collection[tuple[str, str]] | None
) -> tuple[int, int]:
    """How many of the ways that were walked are not believed, and how many there are; ``ways``: only these."""
    own = [t for way, t in prior_reliability.items() if ways is None or way in ways]
    return sum(t < 0.5 for t in own), len(own)


def interval(differences: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    rng = np.random.default_rng(0)
    means = differences[rng.integers(0, len(differences), (draws, len(differences)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    main()
