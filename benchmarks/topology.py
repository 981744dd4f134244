"""What is a site file worth, and what do wrong ones cost? On made-up networks of tracklets, without pixels.

    make bench NAME=topology [SEEDS="0 1 2 3 4 5"]

Ten cameras, 160 people, looks that tell some of them apart (`data.synthetic.network`). All tracklets are put together into
people (`stages.reid.grouping`) without times across cameras, with no file, with the right file, and with wrong ones: all ways twice as long; one
clock five seconds off; the busiest way missing; the same way called forbidden. Pairs of two cameras that were put into one
person: precision, recall and F over seeds, mean (lowest to highest), and the difference in F to having no file, with its
95 % bootstrap interval over worlds.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.result import finish, machine
from camera_topology.schema import SiteFile
from camera_topology.site import Site, without_file
from data.synthetic.network import Network, NetworkSettings, build_network, site_values
from stages.reid.grouping import GroupingConfig, identify, weigh
from stages.reid.time_prior import dense_prior
from stages.topology.learn import walks

Scores = tuple[float, float, float]
SEEDS = tuple(int(word) for word in (os.environ.get("SEEDS") or "0 1 2 3 4 5").split())
NOISES = (0.9, 1.1)


def main() -> None:
    facts = machine()
    found: dict[str, list[Scores]] = {}
    for seed in SEEDS:
        for noise in NOISES:
            for name, network, site in worlds(seed, noise):
                found.setdefault(name, []).append(put_together(network, site, times=name != "no times"))
    without = np.array(found["no file"])[:, 2]
    rows = []
    for name, scores in found.items():
        precision, recall, f = np.array(scores).T
        low, high = interval(f - without)
        rows.append(
            {"site file": name, "P": spread(precision), "R": spread(recall), "F": spread(f),
             "F less no file's": f"{100 * (f - without).mean():+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"}
        )  # fmt: skip
    values = {name: round(float(np.array(scores)[:, 2].mean()), 4) for name, scores in found.items()}
    gain = values["right file"] - values["no times"]
    values |= {
        "worlds": len(without),
        "no_file_share_of_gain": (values["no file"] - values["no times"]) / gain,
    }
    finish("topology", values, rows, facts)


def worlds(seed: int, noise: float) -> Iterator[tuple[str, Network, Site]]:
    """Name, network and what is known of it."""
    network = build_network(seed, NetworkSettings(noise=noise))
    nothing, right = without_file(network.cameras), site_values(network)
    yield "no times", network, nothing
    yield "no file", network, nothing
    yield "right file", network, site_of(right)
    longer: Any = copy.deepcopy(right)
    for link in longer["links"]:
        link["distance_m"] *= 2
    yield "all ways twice as long", network, site_of(longer)
    yield (
        "one clock 5 s off",
        build_network(seed, NetworkSettings(noise=noise, clock_offset_s={4: 5.0})),
        site_of(right),
    )
    taken = walks(
        network.tracklets, network.tracklets[["tracklet_id"]].assign(identity=network.tracklets.pid)
    )
    busiest = set(taken.groupby(["from_", "to"]).size().idxmax())
    missing: Any = copy.deepcopy(right)
    missing["links"] = [link for link in missing["links"] if {link["from"], link["to"]} != busiest]
    yield "busiest way missing", network, site_of(missing)
    a, b = sorted(busiest)
    missing["links"].append({"from": a, "to": b, "relation": "forbidden"})
    yield "busiest way forbidden", network, site_of(missing)


def site_of(values: dict[str, Any]) -> Site:
    return Site(SiteFile.model_validate(values))


def put_together(network: Network, site: Site, times: bool = True) -> Scores:
    """Precision, recall and F of pairs of two cameras put into one person; ``times`` False learns nothing from times."""
    tracklets = network.tracklets
    prior = dense_prior(site, tracklets, dict.fromkeys(network.cameras, 0.5))
    none = np.zeros((0, network.features.shape[1]))
    halves = none, none, np.zeros(0, np.int64)
    with nullcontext() if times else patch("stages.reid.evidence.learned_times", return_value=None):
        evidence = weigh(network.features, halves, tracklets, prior, GroupingConfig())
    identities = identify(tracklets, evidence.log_odds).set_index("tracklet_id").identity
    return pair_scores(
        identities[tracklets.tracklet_id].to_numpy(),
        tracklets.pid.to_numpy(),
        tracklets.camera_id.to_numpy(str),
    )


def pair_scores(identity: np.ndarray, pid: np.ndarray, camera: np.ndarray) -> Scores:
    """Precision, recall and F over pairs of two cameras."""
    across = np.triu(camera[:, None] != camera[None, :], 1)
    said, true = (across & (x[:, None] == x[None, :]) for x in (identity, pid))
    both = float((said & true).sum())
    precision, recall = both / max(said.sum(), 1), both / max(true.sum(), 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-9)


def interval(differences: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    rng = np.random.default_rng(0)
    means = differences[rng.integers(0, len(differences), (draws, len(differences)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def spread(values: np.ndarray) -> str:
    return f"{100 * values.mean():.1f} ({100 * values.min():.1f}–{100 * values.max():.1f})"


if __name__ == "__main__":
    main()
