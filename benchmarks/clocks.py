"""Are the intervals of learned clock offsets honest, and how near is the error to what is possible at all?

    make bench NAME=clocks [WORLDS=50]

Made-up networks of ten cameras and 160 people (`data.synthetic.network`), one clock of each two or five seconds off. The walks
are the true ones from sighting to sighting, and a fifth of them is replaced by times that never were. Against the first
camera's clock: how often the stated 95 % interval covers the truth, the error against the Cramér-Rao bound for the number of
true walks and their spread, and how many clocks that are right are called wrong.
"""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from benchmarks.result import finish, machine
from camera_topology.offsets import _Problem, clock_offsets
from data.synthetic.network import Network, NetworkSettings, build_network
from stages.reporting.links import crossings


def main() -> None:
    facts = machine()
    values = over_worlds(int(os.environ.get("WORLDS") or 50))
    finish("clocks", values, [dict(values)], facts)


def over_worlds(count: int, wrong_share: float = 0.2, draws: int = 100) -> dict[str, float]:
    """The measures over worlds of seeds 0 to ``count`` - 1."""
    covered, errors, bounds = [], [], []
    right = accused = late = found_late = 0
    for seed in range(count):
        rng = np.random.default_rng(seed)
        offset = {int(rng.integers(1, 10)): float(rng.choice([-5, -2, 2, 5]))}
        network = build_network(seed, NetworkSettings(clock_offset_s=offset))
        walks = true_walks(network)
        bound = bound_s(network, walks, "cam01")
        wrong = rng.random(len(walks)) < wrong_share
        walks.loc[wrong, "seconds"] = rng.uniform(-20, 900, wrong.sum())
        found = clock_offsets(walks, "cam01", seed=seed, draws=draws)
        for camera in network.cameras[1:]:
            truth = network.offsets_s[camera]
            right += truth == 0
            accused += truth == 0 and camera in found.wrong()
            late += abs(truth) == 5
            found_late += abs(truth) == 5 and camera in found.wrong()
            if np.isfinite(found.std_s[camera]):
                error = found.ahead_s[camera] - truth
                covered.append(abs(error) <= 1.96 * found.std_s[camera])
                errors.append(error)
                bounds.append(bound[camera])
    rmse, bound_rms = (float(np.sqrt(np.mean(np.square(x)))) for x in (errors, bounds))
    return {
        "worlds": count, "offsets": len(covered), "covered_by_95_percent": float(np.mean(covered)), "rmse_s": rmse,
        "cramer_rao_s": bound_rms, "times_the_bound": rmse / bound_rms, "right_clocks": right, "of_these_called_wrong": accused,
        "clocks_5_s_off": late, "of_these_found": found_late,
    }  # fmt: skip


def true_walks(network: Network) -> pd.DataFrame:
    """From each sighting to the person's next one in another camera."""
    return crossings(network.tracklets.assign(identity=network.tracklets.pid))


def bound_s(network: Network, walks: pd.DataFrame, reference: str) -> dict[str, float]:
    """Cramér-Rao: the least standard deviation of each offset, knowing which walks were and how they spread about each way."""
    problem = _Problem.of(walks, reference, {}, 900.0)
    # Spread of a walk in the core of its way's times; stops make tails, which a bound for normal errors must not see.
    rest = walks.seconds - walks.groupby(["from_", "to"]).seconds.transform("median")
    spread = 1.4826 * rest.abs().groupby(pd.Series(problem.way)).transform("median")
    weight = 1 / np.maximum(spread.to_numpy(), 0.5) ** 2
    information = (problem.design * weight[:, None]).T @ problem.design + np.diag(problem.precision + 1e-9)
    return dict(zip(problem.cameras, np.sqrt(np.diag(np.linalg.inv(information))), strict=False))


if __name__ == "__main__":
    main()
