"""Are the ways between cameras found where no site file describes any?

    make bench NAME=links [SEEDS="0 1 2 3 4 5"]

Made-up networks of tracklets without pixels (`data.synthetic.network`): eight, ten and twelve cameras, and ten of which half of the
ways beyond those that join all cameras go one way only; and, kept apart, two that are harder than what is asked: cameras that
miss a fifth of all visits, and 60 people. People are put together with no site file, by looks and by times
learned from looks (`stages.association.grouping`), and `camera_topology.discovery` finds ways in their walks; the limit is the same
with true identities, and beside it the same people's ways by a share of walks (three in a hundred of those at either camera,
and five). Precision and recall of ways, held against those that people of the world walk, in whatever direction
and direction by direction: mean over seeds (lowest to highest).
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.result import finish, machine
from camera_topology.discovery import discover_links
from camera_topology.site import without_file
from data.synthetic.network import Network, NetworkSettings, build_network
from stages.association.grouping import GroupingConfig, identify, score_pairs
from stages.association.time_prior import dense_prior
from stages.topology.learn import walks

SEEDS = tuple(int(word) for word in (os.environ.get("SEEDS") or "0 1 2 3 4 5").split())
NOISES = (0.9, 1.1)
WORLDS: dict[str, dict[str, Any]] = {
    "8 cameras": {"cameras": 8, "people": 150},
    "10 cameras": {},
    "12 cameras": {"cameras": 12, "people": 200},
    "10 cameras, one-way": {"one_way": 0.5},
    "a fifth missed": {"missed": 0.2},
    "60 people": {"people": 60},
}
HARDER = ("a fifth missed", "60 people")
Ways = set[tuple[str, str]]
MEASURES = ("P", "R", "P of directions", "R of directions")


def main() -> None:
    facts = machine()
    rows: list[dict[str, Any]] = []
    found: dict[str, list[np.ndarray]] = {}
    for name, settings in WORLDS.items():
        for noise in NOISES:
            networks = [build_network(seed, NetworkSettings(noise=noise, **settings)) for seed in SEEDS]
            tools = [walks(n.tracklets, put_together(n)) for n in networks]
            true = [
                walks(n.tracklets, n.tracklets[["tracklet_id"]].assign(identity=n.tracklets.pid))
                for n in networks
            ]
            for whose, people, ways in (
                ("tool", tools, discovered), ("truth", true, discovered), ("tool, by share", tools, by_fraction),
            ):  # fmt: skip
                scores = np.array([scores_of(n, ways(w)) for n, w in zip(networks, people, strict=True)])
                shown = {m: spread(column) for m, column in zip(MEASURES, scores.T, strict=True)}
                rows.append({"world": name, "noise": noise, "identities": whose, **shown})
                if name not in HARDER:
                    found.setdefault(whose, []).append(scores)
    values: dict[str, Any] = {"seeds": list(SEEDS)}
    for whose, several in found.items():
        every = np.concatenate(several)
        for m, mean, low in zip(MEASURES, every.mean(axis=0), every.min(axis=0), strict=True):
            values[f"{whose} {m}"], values[f"{whose} {m}, lowest"] = (
                round(float(mean), 4),
                round(float(low), 4),
            )
    finish("links", values, rows, facts)


def put_together(network: Network) -> pd.DataFrame:
    """IDENTITIES as the tool makes them with no site file."""
    prior = dense_prior(without_file(network.cameras), network.tracklets, dict.fromkeys(network.cameras, 0.5))
    none = np.zeros((0, network.features.shape[1]))
    halves = none, none, np.zeros(0, np.int64)
    evidence = score_pairs(network.features, halves, network.tracklets, prior, GroupingConfig())
    return identify(network.tracklets, evidence.log_odds)


def discovered(found: pd.DataFrame) -> Ways:
    return {(link.from_, link.to) for link in discover_links(found) if link.exists}


def by_fraction(found: pd.DataFrame) -> Ways:
    """Ways that at least five walks took, and three in a hundred of all that begin or end at the busier camera."""
    counts = Counter(zip(found.from_, found.to, strict=True))
    at = Counter([*found.from_, *found.to])
    return {way for way, n in counts.items() if n >= max(5, 0.03 * max(at[way[0]], at[way[1]]))}


def scores_of(network: Network, said: Ways) -> tuple[float, float, float, float]:
    """Precision and recall of ways in whatever direction, and of directed ones."""
    either, true = ({frozenset(pair) for pair in pairs} for pairs in (said, network.ways_m))
    both = said & set(network.ways_m)
    return (
        len(either & true) / max(len(either), 1), len(either & true) / len(true),
        len(both) / max(len(said), 1), len(both) / len(network.ways_m),
    )  # fmt: skip


def spread(values: np.ndarray) -> str:
    return f"{values.mean():.3f} ({values.min():.3f}–{values.max():.3f})"


if __name__ == "__main__":
    main()
