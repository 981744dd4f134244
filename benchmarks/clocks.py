"""Are the intervals of learned clocks honest, and how near is the error to what is possible at all?

    make bench NAME=clocks [WORLDS=50]

Made-up networks of ten cameras (`data.synthetic.network`): 160 people in an hour, one clock of each world two or five seconds
off; 480 people in eight hours, one such clock and another that gains or loses 200 parts in a million; and 160 people between
cameras whose views overlap by some metres, one clock 0.4 or one second off. The walks are the true ones from sighting to
sighting, and a fifth of them is replaced by times that never were. Against the first camera's clock: how often the stated 95 %
interval covers the truth (of offsets at the middle of the recording and at its end, and of rates), the error against the
Cramér-Rao bound for the number of true walks and their spread, and how many clocks that are right are called wrong. Last, how
long forty cameras take.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.result import finish, machine
from camera_topology.offsets import clock_offsets, information
from data.synthetic.network import T0_US, Network, NetworkSettings, build_network
from stages.reporting.transit_links import timed_crossings

Rng = np.random.Generator


def one_clock_off(seed: int, rng: Rng) -> Network:
    offset = {int(rng.integers(1, 10)): float(rng.choice([-5, -2, 2, 5]))}
    return build_network(seed, NetworkSettings(clock_offset_s=offset))


def one_clock_drifts(seed: int, rng: Rng) -> Network:
    off, drifting = rng.permutation(np.arange(1, 10))[:2]
    settings = NetworkSettings(
        hours=8.0, people=480, clock_offset_s={int(off): float(rng.choice([-5, -2, 2, 5]))},
        clock_rate={int(drifting): float(rng.choice([-2e-4, 2e-4]))},
    )  # fmt: skip
    return build_network(seed, settings)


def views_overlap(seed: int, rng: Rng) -> Network:
    offset = {int(rng.integers(1, 10)): float(rng.choice([-1, -0.4, 0.4, 1]))}
    return build_network(seed, NetworkSettings(overlap=1.0, clock_offset_s=offset))


def main() -> None:
    facts = machine()
    count = int(os.environ.get("WORLDS") or 50)
    rows = [
        {"world": world.__name__.replace("_", " "), **over_worlds(count, world=world)}
        for world in (one_clock_off, one_clock_drifts, views_overlap)
    ]
    values: dict[str, Any] = {name: value for name, value in rows[0].items() if name != "world"}
    finish("clocks", values | forty_cameras(), rows, facts)


def over_worlds(
    count: int,
    wrong_fraction: float = 0.2,
    draws: int = 100,
    world: Callable[[int, Rng], Network] = one_clock_off,
) -> dict[str, float]:
    """The measures over worlds of seeds 0 to ``count`` - 1."""
    covered, at_end, errors, bounds, rates_covered, rate_errors, rate_bounds = ([] for _ in range(7))
    right = accused = late = found_late = drifting = found_drifting = 0
    for seed in range(count):
        rng = np.random.default_rng(seed)
        network = world(seed, rng)
        walks = true_walks(network)
        bound, rate_bound = bounds_of(walks, "cam01")
        wrong = rng.random(len(walks)) < wrong_fraction
        walks.loc[wrong, "seconds"] = rng.uniform(-20, 900, wrong.sum())
        found = clock_offsets(walks, "cam01", seed=seed, draws=draws)
        middle_s, end_s = found.middle_s, found.middle_s + found.half_s
        for camera in network.cameras[1:]:
            off = camera in found.off()
            steady = network.rates[camera] == 0
            right += network.offsets_s[camera] == 0 and steady
            accused += network.offsets_s[camera] == 0 and steady and off
            late += abs(network.offsets_s[camera]) == 5
            found_late += abs(network.offsets_s[camera]) == 5 and off
            drifting += not steady
            found_drifting += not steady and camera in found.drifting()
            if np.isfinite(found.std_s[camera]):
                error, last = (
                    found.ahead_at(camera, t) - truth(network, camera, t) for t in (middle_s, end_s)
                )
                covered.append(abs(error) <= 1.96 * found.std_s[camera])
                at_end.append(abs(last) <= 1.96 * found.std_at(camera, end_s))
                errors.append(error)
                bounds.append(bound[camera])
                rate_errors.append(found.rate[camera] - network.rates[camera])
                rates_covered.append(abs(rate_errors[-1]) <= 1.96 * found.rate_std[camera])
                rate_bounds.append(rate_bound[camera])
    rmse, bound_rms, rate_rmse, rate_rms = (
        float(np.sqrt(np.mean(np.square(x)))) for x in (errors, bounds, rate_errors, rate_bounds)
    )
    return {
        "worlds": count, "offsets": len(covered), "covered_by_95_percent": float(np.mean(covered)), "rmse_s": rmse,
        "cramer_rao_s": bound_rms, "times_the_bound": rmse / bound_rms, "right_clocks": right, "of_these_called_wrong": accused,
        "clocks_5_s_off": late, "of_these_found": found_late, "covered_at_the_end": float(np.mean(at_end)),
        "rates_covered": float(np.mean(rates_covered)), "rate_rmse_ppm": 1e6 * rate_rmse,
        "rate_cramer_rao_ppm": 1e6 * rate_rms, "clocks_that_drift": drifting, "of_these_said_to_drift": found_drifting,
    }  # fmt: skip


def true_walks(network: Network) -> pd.DataFrame:
    """From each sighting to the person's next one in another camera."""
    return timed_crossings(network.tracklets.assign(identity=network.tracklets.pid))


def truth(network: Network, camera: str, t_s: float) -> float:
    """Seconds the camera's clock is ahead at ``t_s``, seconds since 1970."""
    return network.offsets_s[camera] + network.rates[camera] * (t_s - T0_US / 1e6)


def bounds_of(walks: pd.DataFrame, reference: str) -> tuple[dict[str, float], dict[str, float]]:
    """Cramér-Rao: the least standard deviation of each offset, all clocks running alike, and of each rate, where they may not;
    knowing which walks were and how they spread about each way."""
    # Spread of a walk in the core of its way's times; stops make tails, which a bound for normal errors must not see.
    rest = walks.seconds - walks.groupby(["from_", "to"]).seconds.transform("median")
    way = pd.Series(["|".join(sorted(pair)) for pair in zip(walks.from_, walks.to, strict=True)])
    spread_s = 1.4826 * rest.abs().groupby(way).transform("median")
    others, known = information(walks, reference, np.maximum(spread_s.to_numpy(), 0.3))
    n = len(others)
    offset, both = np.linalg.inv(known[:n, :n]), np.linalg.inv(known)
    return (
        dict(zip(others, np.sqrt(np.diag(offset)), strict=True)),
        dict(zip(others, np.sqrt(np.diag(both))[n:], strict=True)),
    )


def forty_cameras() -> dict[str, float]:
    """Seconds that two hours of forty cameras take, 200 draws, a fifth of the walks wrong and between any two cameras."""
    network = build_network(0, NetworkSettings(cameras=40, people=680, hours=2.0, clock_offset_s={3: 5.0}))
    walks, rng = true_walks(network), np.random.default_rng(0)
    wrong = np.flatnonzero(rng.random(len(walks)) < 0.2)
    walks.loc[wrong, "seconds"] = rng.uniform(-20, 900, len(wrong))
    walks.loc[wrong, "to"] = [rng.choice([c for c in network.cameras if c != a]) for a in walks.from_[wrong]]
    begin = time.perf_counter()
    clock_offsets(walks, "cam01")
    return {"forty_cameras_walks": len(walks), "forty_cameras_s": time.perf_counter() - begin}


if __name__ == "__main__":
    main()
