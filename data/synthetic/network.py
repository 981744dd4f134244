"""A large camera network as tracklets without pixels: who was where, when, and how alike they look.

Cameras stand on a map; some pairs are joined by a way, most are not. People enter somewhere, walk along the ways, are
seen (or missed) by each camera they pass, turn back or leave. A tracklet carries a feature vector: the person's, a few of
whom are dressed alike, with the camera's own cast and noise. Everything about the world is known, so that association,
links, transit times and clocks can be held against the truth.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

T0_US = 1_772_352_000_000_000  # 2026-03-01T08:00:00Z
Pair = tuple[str, str]


@dataclass(frozen=True)
class NetworkSettings:
    """cameras, people: how many; extra_ways: ways beyond those that join all cameras, as a share of the cameras.

    hours: over which people enter. missed: share of visits that no tracklet tells of. one_way: share of the ways walked in
    one direction only. speed_m_per_s, speed_fraction: walking speed and its spread over people; pause_fraction: share of walks
    with a stop of half a minute or so. clothing: number of outfits; likeness: share of a look that is the outfit's.
    noise: of a feature, as a share of its length. clock_offset_s: camera number → seconds its clock is ahead at the
    beginning; clock_rate: camera number → seconds it gains a second from then on. overlap: share of the ways, the shortest,
    whose two cameras see some metres of ground both.
    """

    cameras: int = 10
    people: int = 160
    extra_ways: float = 0.4
    hours: float = 1.0
    missed: float = 0.04
    one_way: float = 0.0
    speed_m_per_s: float = 1.3
    speed_fraction: float = 0.18
    pause_fraction: float = 0.03
    clothing: int = 60
    likeness: float = 0.55
    noise: float = 0.9
    size: int = 64
    clock_offset_s: dict[int, float] = field(default_factory=dict)
    clock_rate: dict[int, float] = field(default_factory=dict)
    overlap: float = 0.0


@dataclass(frozen=True)
class Network:
    """The world.

    positions_m: (C, 2). ways_m: directed pair of cameras → length of the way from view to view, m, below 0 where they
    overlap. tracklets: TRACKLETS columns camera_id, t_start_us, t_end_us, tracklet_id, and pid, by the cameras' own clocks.
    features: (N, D) of unit length, row i for row i. offsets_s: camera → seconds its clock is ahead of true time at
    `T0_US`; rates: camera → seconds it gains a second from then on.
    """

    cameras: tuple[str, ...]
    positions_m: NDArray[np.float64]
    ways_m: dict[Pair, float]
    tracklets: pd.DataFrame
    features: NDArray[np.float32]
    offsets_s: dict[str, float]
    rates: dict[str, float]


def build_network(seed: int = 0, settings: NetworkSettings | None = None) -> Network:
    """A world of its own for each seed."""
    s = settings or NetworkSettings()
    rng = np.random.default_rng(seed)
    cameras = tuple(f"cam{i + 1:02d}" for i in range(s.cameras))
    positions = _spread_out(rng, s.cameras)
    ways = _ways(rng, cameras, positions, s)
    offsets = {c: float(s.clock_offset_s.get(i, 0.0)) for i, c in enumerate(cameras)}
    rates = {c: float(s.clock_rate.get(i, 0.0)) for i, c in enumerate(cameras)}
    table = pd.DataFrame(_visits(rng, cameras, ways, s), columns=["pid", "camera_id", "enter_s", "leave_s"])
    table = table[rng.random(len(table)) >= s.missed].sort_values("enter_s").reset_index(drop=True)
    ahead_s, pace = table.camera_id.map(offsets), 1 + table.camera_id.map(rates)
    table["t_start_us"] = T0_US + ((table.enter_s * pace + ahead_s) * 1e6).round().astype("int64")
    table["t_end_us"] = T0_US + ((table.leave_s * pace + ahead_s) * 1e6).round().astype("int64")
    table["tracklet_id"] = [f"{c}_{i:05d}" for i, c in enumerate(table.camera_id)]
    features = _looks(rng, table.pid.to_numpy(), table.camera_id.to_numpy(str), cameras, s)
    columns = ["tracklet_id", "camera_id", "t_start_us", "t_end_us", "pid"]
    return Network(cameras, positions, ways, table[columns], features, offsets, rates)


def site_values(network: Network, **more: object) -> dict[str, object]:
    """The right site file, as plain values: positions, and every way with its length."""
    both = {pair for pair in network.ways_m if (pair[1], pair[0]) in network.ways_m}
    links = [
        {"from": a, "to": b, "bidirectional": (a, b) in both}
        | ({"distance_m": round(metres, 1)} if metres > 0 else {"relation": "overlap"})
        for (a, b), metres in network.ways_m.items()
        if a < b or (a, b) not in both
    ]
    cameras = [
        {"id": c, "position": {"x_m": float(x), "y_m": float(y)}, "clock": {"offset_std_s": 0.5}}
        for c, (x, y) in zip(network.cameras, network.positions_m, strict=True)
    ]
    return {"version": 1, "cameras": cameras, "links": links, **more}


def _spread_out(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """(n, 2) places on a map of a few hundred metres, none nearer than 25 m to another."""
    side = 40.0 * np.sqrt(n)
    places: list[NDArray[np.float64]] = []
    while len(places) < n:
        place = rng.uniform(0, side, 2)
        if all(np.hypot(*(place - other)) >= 25 for other in places):
            places.append(place)
    return np.array(places)


def _ways(
    rng: np.random.Generator, cameras: tuple[str, ...], positions: NDArray[np.float64], s: NetworkSettings
) -> dict[Pair, float]:
    """The shortest ways that join all cameras, and some of the next shortest; a little longer than the bee line.

    Cameras that are told to overlap stand where they stood: only the way from view to view is another.
    """
    n = len(cameras)
    line_m = np.hypot(*(positions[:, None] - positions[None, :]).transpose(2, 0, 1))
    order = sorted((line_m[i, j], i, j) for i in range(n) for j in range(i + 1, n))
    group = list(range(n))
    chosen, spare = [], []
    for _, i, j in order:
        if group[i] != group[j]:
            chosen.append((i, j))
            old, new = group[i], group[j]
            group = [new if g == old else g for g in group]
        else:
            spare.append((i, j))
    chosen += spare[: round(s.extra_ways * n)]
    ways: dict[Pair, float] = {}
    (apart,) = rng.spawn(1)  # a stream of its own: worlds without overlap stay what they are
    shared = sorted(chosen, key=lambda pair: line_m[pair])[: round(s.overlap * len(chosen))]
    for k, (i, j) in enumerate(chosen):
        metres = float(line_m[i, j] * rng.uniform(1.05, 1.35))
        if (i, j) in shared:
            metres = -float(apart.uniform(2, 4))
        ways[cameras[i], cameras[j]] = metres
        # The ways that join all cameras go both ways, or somebody would be caught.
        if k < n - 1 or rng.random() >= s.one_way:
            ways[cameras[j], cameras[i]] = metres
    return ways


def _visits(
    rng: np.random.Generator, cameras: tuple[str, ...], ways: dict[Pair, float], s: NetworkSettings
) -> list[tuple[int, str, float, float]]:
    """(pid, camera, enter, leave) in true seconds. A view is some metres wide; at its end one goes on, or leaves."""
    next_to = {c: sorted(b for a, b in ways if a == c) for c in cameras}
    rows = []
    for pid in range(1, s.people + 1):
        speed = s.speed_m_per_s * float(np.exp(rng.normal(0, s.speed_fraction)))
        time_s = float(rng.uniform(0, s.hours * 3600))
        here, before = str(rng.choice(cameras)), ""
        for _ in range(int(rng.integers(3, 9))):
            stay_s = float(rng.uniform(5, 12)) / speed
            rows.append((pid, here, time_s, time_s + stay_s))
            # People seldom turn round where they need not.
            choices = [c for c in next_to[here] if c != before] or next_to[here]
            onward = str(rng.choice(choices)) if rng.random() > 0.1 else str(rng.choice(next_to[here]))
            walk_s = ways[here, onward] / (speed * float(np.exp(rng.normal(0, 0.05))))
            if rng.random() < s.pause_fraction and walk_s > 0:
                walk_s += float(rng.exponential(30))
            time_s += stay_s + walk_s
            here, before = onward, here
    return rows


def _looks(
    rng: np.random.Generator,
    pid: NDArray[np.int64],
    camera: NDArray[np.str_],
    cameras: tuple[str, ...],
    s: NetworkSettings,
) -> NDArray[np.float32]:
    """(N, D) features of unit length: outfit and person, the camera's cast, noise."""

    def unit(n: int) -> NDArray[np.float64]:
        x = rng.normal(size=(n, s.size))
        return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True))

    outfits, persons, casts = unit(s.clothing), unit(s.people + 1), unit(len(cameras))
    worn = rng.integers(0, s.clothing, s.people + 1)
    person = np.sqrt(s.likeness) * outfits[worn[pid]] + np.sqrt(1 - s.likeness) * persons[pid]
    cast = 0.4 * casts[[cameras.index(c) for c in camera]]
    x = person + cast + s.noise * unit(len(pid))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)
