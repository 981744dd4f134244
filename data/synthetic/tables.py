"""A larger world of the demo's kind as tables, without pixels: for measurements of association, priors and clustering.

Ten cameras on a map of paths, some pairs of which no path joins. 160 people in the training hour and 160 others in the test hour.

The feature of tracklet i of person p in camera c, walking in direction d = ±1 through it:

    x_i = identity_p + view_gain * (d * view_c + 0.5 * d * side_p) + camera_gain * bias_c + noise_i / sqrt(n_boxes / 40)

identity_p, bias_c, view_c, side_p and noise_i are standard normal times 1/sqrt(D). People who share an outfit share most of their identity vector:
identity_p = sqrt(1 - own) * outfit + sqrt(own) * private, own = 0.25. `side_p` makes a person's front unlike the back; `bias_c` is the camera's light.
The gains are set so that plain nearest neighbours in other cameras find the right person in two of three cases (rank-1 about 0.67), as a network
trained elsewhere does on real footage. Rows are L2-normalised. One tracklet in eight is broken in two in its middle (fragmentation); nothing is switched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

CAMERAS = tuple(f"cam{k:02d}" for k in range(1, 11))
VIEW_LENGTH_M = 10.0
SPEED_MEAN_M_PER_S, SPEED_STD_M_PER_S = 1.25, 0.2
# Paths between neighbouring views (metres walked unseen). Every other pair is joined only through these, so nobody goes there directly.
PATHS: tuple[tuple[int, int, float], ...] = (
    (0, 1, 18.0),
    (1, 2, 35.0),
    (2, 3, 22.0),
    (3, 4, 60.0),
    (4, 5, 14.0),
    (5, 6, 41.0),
    (6, 7, 27.0),
    (7, 0, 52.0),
    (2, 8, 30.0),
    (8, 6, 24.0),
    (8, 9, 75.0),
    (9, 4, 33.0),
)
POSITIONS_M = (
    (0, 0),
    (25, 5),
    (62, 0),
    (90, 10),
    (150, 20),
    (160, 45),
    (115, 60),
    (80, 62),
    (85, 35),
    (140, 90),
)
DAY_START_US = 1_772_352_000_000_000  # 2026-03-01T08:00:00Z
HOUR_US = 3_600_000_000
PART_S = 1500.0


@dataclass(frozen=True)
class TableWorld:
    """tracklets: tracklet_id, camera_id, t_start_us, t_end_us (int64), n_boxes (int32), sorted by id; features (N, D) float32, pids (N,) and
    is_test (N,) are in the same order. site: a site file as a dictionary."""

    tracklets: pd.DataFrame
    features: np.ndarray
    pids: np.ndarray
    is_test: np.ndarray
    site: dict


def _itinerary(rng: np.random.Generator, length: int) -> list[tuple[int, float]]:
    """Cameras in order and the unseen metres before each; nobody turns round on a path."""
    here = int(rng.integers(len(CAMERAS)))
    steps = [(here, 0.0)]
    while len(steps) < length:
        ways = [(b, d) for a, b, d in PATHS if a == here] + [(a, d) for a, b, d in PATHS if b == here]
        ways = [w for w in ways if w[0] not in {s[0] for s in steps}]
        if not ways:
            break
        here, distance = ways[int(rng.integers(len(ways)))]
        steps.append((here, distance))
    return steps


def build_tables(
    seed: int = 0,
    people_per_part: int = 160,
    singles_per_part: int = 24,
    dim: int = 64,
    camera_gain: float = 0.8,
    view_gain: float = 0.8,
    noise_gain: float = 1.0,
) -> TableWorld:
    """`people_per_part` of several cameras and `singles_per_part` of one camera, before the cut and others after it."""
    rng = np.random.Generator(np.random.PCG64([seed, 4]))

    def vectors(count: int) -> np.ndarray:
        return rng.normal(0, dim**-0.5, (count, dim))

    bias, view = vectors(len(CAMERAS)), vectors(len(CAMERAS))
    rows, features, pids, is_test = [], [], [], []
    for part in (0, 1):
        count = people_per_part + singles_per_part
        outfits = vectors(count)
        wears = np.arange(count)
        wears[: count // 3] = (
            np.arange(count // 3) // 3 * 3
        )  # a third of the people come in trios dressed alike
        wears = wears[rng.permutation(count)]
        identity = np.sqrt(0.75) * outfits[wears] + np.sqrt(0.25) * vectors(count)
        side = vectors(count)
        for index in range(count):
            pid = 1 + part * count + index
            pace = float(np.clip(rng.normal(SPEED_MEAN_M_PER_S, SPEED_STD_M_PER_S), 0.7, 2.0))
            steps = _itinerary(rng, 1 if index >= people_per_part else int(rng.integers(2, 6)))
            t = float(rng.uniform(0, PART_S))
            for camera, distance in steps:
                dawdle = rng.uniform(1.4, 2.5) if rng.random() < 1 / 6 else max(rng.normal(1.0, 0.06), 0.85)
                t += distance / pace * float(dawdle)
                stay = VIEW_LENGTH_M / (pace * float(rng.uniform(0.9, 1.1)))
                direction = 1.0 if rng.random() < 0.5 else -1.0
                cuts = [(0.0, 1.0)] if rng.random() >= 1 / 8 else [(0.0, 0.48), (0.53, 1.0)]
                for start, stop in cuts:
                    boxes = max(int(10 * stay * (stop - start)), 2)
                    noise = noise_gain * vectors(1)[0] / np.sqrt(boxes / 40)
                    look = view_gain * direction * (view[camera] + 0.5 * side[index])
                    features.append(identity[index] + look + camera_gain * bias[camera] + noise)
                    begin = DAY_START_US + part * HOUR_US + round((t + start * stay) * 1e6)
                    end = DAY_START_US + part * HOUR_US + round((t + stop * stay) * 1e6)
                    rows.append((CAMERAS[camera], begin, end, boxes))
                    pids.append(pid)
                    is_test.append(part == 1)
                t += stay
    table = pd.DataFrame(rows, columns=["camera_id", "t_start_us", "t_end_us", "n_boxes"])
    table = table.astype({"t_start_us": "int64", "t_end_us": "int64", "n_boxes": "int32"})
    order = np.lexsort(
        [
            np.array(pids),
            table.t_end_us.to_numpy(),
            table.t_start_us.to_numpy(),
            table.camera_id.to_numpy(str),
        ]
    )
    table = table.iloc[order].reset_index(drop=True)
    table.insert(
        0,
        "tracklet_id",
        [f"{c}-{k:04d}" for c, k in zip(table.camera_id, table.groupby("camera_id").cumcount(), strict=True)],
    )
    x = np.stack(features)[order]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return TableWorld(
        table, x.astype(np.float32), np.array(pids)[order], np.array(is_test)[order], table_site()
    )


def table_site() -> dict:
    """The site file of the table world. Links it lists exist; pairs it does not list have no direct path."""
    return {
        "version": 1,
        "site": {
            "name": "table-site",
            "timezone": "UTC",
            "walking_speed_m_per_s": {"mean": SPEED_MEAN_M_PER_S, "std": SPEED_STD_M_PER_S, "max": 2.5},
        },
        "cameras": [
            {"id": c, "fps": 10, "position": {"x_m": float(x), "y_m": float(y)}}
            for c, (x, y) in zip(CAMERAS, POSITIONS_M, strict=True)
        ],
        "links": [
            {"from": CAMERAS[a], "to": CAMERAS[b], "relation": "adjacent", "distance_m": d}
            for a, b, d in PATHS
        ],
        "evaluation": {"train_until": "2026-03-01T08:45:00Z", "test_from": "2026-03-01T08:45:00Z"},
    }
