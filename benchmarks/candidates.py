"""Candidate pairs of a huge site: seconds, memory, and how both grow.

    make bench NAME=candidates [SIZES="62500 250000 1000000"] [DAYS="1 2 7"] [NOTE="what else the machine did"]

Made-up sites: 100 cameras on a triangular grid, at most six ways each, 60 to 250 m; people enter by day more than by night,
stay 15 s in each view (log-normal), walk at 1.25 m/s (log-normal, too) and leave after eight views on average. *busier* is one
week with more and more people, where the pairs themselves grow by the square; *longer* is as busy as the largest of these,
over more and more days. ``linked_pairs`` is asked with the site's ways, unlisted ones forbidden; ``nearest_in_window`` and
``neighbour_pairs`` with 128 float16 features in a memory-mapped file, for the 20 nearest within 900 s, as of a site without
ways. Each measurement is a process of its own, with its highest resident memory, that of the input and of the pages of its
file included. Growth is the slope over tracklets, both as logarithms; of seconds of the processor, which other work beside
disturbs less than the clock's. Pairs of ``nearest_in_window`` are those it compares. *walks found* is the share of people's
ways from one view to the next that is among the pairs: how alike people look here is made up, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.result import finish, machine
from camera_topology.candidates import Pairs, linked_pairs, nearest_in_window, neighbour_pairs
from camera_topology.site import Site
from camera_topology.site_schema import SiteFile

SIZES = [int(n) for n in (os.environ.get("SIZES") or "62500 250000 1000000").split()]
DAYS = [int(n) for n in (os.environ.get("DAYS") or "1 2 7").split()]
SIDE, DIM, K, WINDOW_S, VISITS, DWELL_S = 10, 128, 20, 900.0, 8, 15.0
T0_US = 1_772_323_200_000_000  # 2026-03-01T00:00:00Z
Array = npt.NDArray[Any]


def main() -> None:
    facts = machine() | {"threads": os.environ.get("OMP_NUM_THREADS"), "note": os.environ.get("NOTE", "")}
    rows: list[dict[str, Any]] = []
    sites = [("busier", n, 7) for n in SIZES] + [("longer", max(SIZES) * days // 7, days) for days in DAYS]
    for kind, tracklets, days in sites:
        with tempfile.TemporaryDirectory() as folder:
            child("make", folder, tracklets, days)
            for name in ("linked_pairs", "nearest_in_window", "neighbour_pairs"):
                rows.append({"site": kind, "days": days, "of": name, **child(name, folder)})
                print(rows[-1], flush=True)
    values: dict[str, Any] = {}
    for name in ("linked_pairs", "nearest_in_window", "neighbour_pairs"):
        for kind in ("busier", "longer"):
            some = [row for row in rows if (row["site"], row["of"]) == (kind, name)]
            for column in ("cpu_s", "pairs"):
                values[f"{name}_{kind}_{column}_growth"] = slope(some, column)
        largest = max((row for row in rows if row["of"] == name), key=lambda row: row["tracklets"])
        values |= {
            f"{name}_{key}": largest[key] for key in ("tracklets", "pairs", "seconds", "cpu_s", "rss_gb")
        }
    finish("candidates", values, rows, facts)


def slope(rows: list[dict[str, Any]], column: str) -> float:
    """Exponent of a measure's growth with the number of tracklets."""
    if len({row["tracklets"] for row in rows}) < 2:
        return float("nan")
    x, y = (np.log([row[c] for row in rows]) for c in ("tracklets", column))
    return float(np.polyfit(x, y, 1)[0])


def child(name: str, folder: str, *numbers: int) -> dict[str, Any]:
    code = f"import benchmarks.candidates as b, sys; b.part({name!r}, sys.argv[1], *map(int, sys.argv[2:]))"
    words = [sys.executable, "-c", code, folder, *map(str, numbers)]
    said = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    return dict(json.loads(said.splitlines()[-1]))


def part(name: str, folder: str, *numbers: int) -> None:
    """What one process does; the last line it prints is JSON."""
    if name == "make":
        make(Path(folder), *numbers)
        print("{}")
        return
    world = np.load(Path(folder) / "world.npz")
    code, start, end, walk = (world[c] for c in ("camera", "start", "end", "walk"))
    ids = np.array([f"cam{i:03d}" for i in range(SIDE**2)], object)
    camera = ids[code]
    features = np.load(Path(folder) / "features.npy", mmap_mode="r")
    begun, begun_cpu = time.perf_counter(), time.process_time()
    if name == "linked_pairs":
        site = grid(ids, np.load(Path(folder) / "ways.npy"))
        pairs, found = counted(linked_pairs(site, camera, start, end), walk)
        seconds, cpu_s = time.perf_counter() - begun, time.process_time() - begun_cpu
    elif name == "neighbour_pairs":
        site = Site(SiteFile.model_validate({"cameras": [{"id": c} for c in ids]}))
        found_in = neighbour_pairs(site, features, camera, start, end, k=K, window_s=WINDOW_S)
        pairs, found = counted(found_in, walk)
        seconds, cpu_s = time.perf_counter() - begun, time.process_time() - begun_cpu
    else:
        near, _ = nearest_in_window(features, camera, start, end, window_s=WINDOW_S, k=K)
        seconds, cpu_s = time.perf_counter() - begun, time.process_time() - begun_cpu
        pairs = in_window(start, end)
        found = int((near == walk[:, None])[walk >= 0].any(1).sum())
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    rss_kb = int(status.split("VmHWM:")[1].split()[0])
    print(json.dumps({"tracklets": len(start), "pairs": pairs, "seconds": seconds, "cpu_s": cpu_s, "rss_gb": rss_kb / 2**20,
                      "walks found": found / int((walk >= 0).sum())}))  # fmt: skip


def counted(blocks: Iterator[Pairs], walk: Array) -> tuple[int, int]:
    """How many pairs there are, and how many of the true walks are among them."""
    pairs = found = 0
    for block in blocks:
        pairs += len(block.i)
        found += int((walk[block.i] == block.j).sum())
    return pairs, found


def in_window(start: Array, end: Array) -> int:
    """Pairs of tracklets with at most the window between them."""
    window_us = int(WINDOW_S * 1e6)
    after = np.searchsorted(np.sort(start), end + window_us, "right")
    before = np.searchsorted(np.sort(end), start - window_us)
    return int((after - before - 1).sum()) // 2


def grid(ids: Array, ways: Array) -> Site:
    """Rows of ``ways``: two cameras and the distance between them, m."""
    links = [{"from": ids[int(a)], "to": ids[int(b)], "distance_m": float(m)} for a, b, m in ways]
    cameras = [{"id": c} for c in ids]
    return Site(
        SiteFile.model_validate(
            {"cameras": cameras, "links": links, "defaults": {"unlisted_pairs": "forbid"}}
        )
    )


def make(folder: Path, tracklets: int, days: int, seed: int = 0) -> None:
    """A world: camera, start, end and the person's next tracklet (-1 for none) of each tracklet; its ways; features."""
    rng = np.random.default_rng(seed)
    ways, beside = triangular(rng)
    distance_m = np.zeros((SIDE**2, SIDE**2))
    for a, b, m in ways:
        distance_m[int(a), int(b)] = distance_m[int(b), int(a)] = m
    visits = rng.geometric(1 / VISITS, 2 * tracklets // VISITS + 100)
    people = int(np.searchsorted(np.cumsum(visits), tracklets)) + 1
    visits = visits[:people]
    visits[-1] -= visits.sum() - tracklets
    at_s, at = entering_s(rng, people, days), rng.integers(0, SIDE**2, people)
    speed = 1.25 * rng.lognormal(0, 0.2, people)
    camera, start_s, end_s = np.zeros(tracklets, np.int64), np.zeros(tracklets), np.zeros(tracklets)
    first = np.cumsum(visits) - visits
    for step in range(int(visits.max())):
        who = np.flatnonzero(visits > step)
        row = first[who] + step
        camera[row], start_s[row] = at[who], at_s[who]
        end_s[row] = at_s[who] + DWELL_S * rng.lognormal(-0.1, 0.45, len(who))
        onward = np.array([len(b) for b in beside])[at[who]] * rng.random(len(who))
        there = np.array([beside[a][int(x)] for a, x in zip(at[who], onward, strict=True)])
        pause = rng.lognormal(0, 0.15, len(who))
        at_s[who] = end_s[row] + distance_m[at[who], there] / speed[who] * pause
        at[who] = there
    last = np.zeros(tracklets, bool)
    last[first + visits - 1] = True
    walk = np.where(last, -1, np.arange(1, tracklets + 1))
    # Rows as a table has them: by camera, and then by time.
    order = np.lexsort((start_s, camera))
    new = np.empty(tracklets + 1, np.int64)
    new[order], new[-1] = np.arange(tracklets), -1
    start, end = (T0_US + np.round(s[order] * 1e6).astype(np.int64) for s in (start_s, end_s))
    np.savez(folder / "world.npz", camera=camera[order], start=start, end=end, walk=new[walk[order]])
    np.save(folder / "ways.npy", ways)
    person = np.repeat(np.arange(people), visits)[order]
    appearance = rng.normal(size=(people, DIM)).astype(np.float16)
    features = np.lib.format.open_memmap(folder / "features.npy", "w+", np.float16, (tracklets, DIM))
    for begin in range(0, tracklets, 1 << 16):
        some = person[begin : begin + (1 << 16)]
        features[begin : begin + len(some)] = appearance[some] + 1.2 * rng.normal(size=(len(some), DIM))
    features.flush()


def triangular(rng: np.random.Generator) -> tuple[Array, list[list[int]]]:
    """Ways of a triangular grid as rows (camera, camera, m), and the cameras beside each camera."""
    ways: list[tuple[int, int, float]] = []
    beside: list[list[int]] = [[] for _ in range(SIDE**2)]
    for x in range(SIDE):
        for y in range(SIDE):
            for u, v in ((x + 1, y), (x, y + 1), (x + 1, y + 1)):
                if u < SIDE and v < SIDE:
                    a, b = x * SIDE + y, u * SIDE + v
                    ways.append((a, b, rng.uniform(60, 250)))
                    beside[a].append(b)
                    beside[b].append(a)
    return np.array(ways), beside


def entering_s(rng: np.random.Generator, people: int, days: int) -> Array:
    """When people enter: a hump from 6 to 22 o'clock, and a twentieth of its height by night; s since the first midnight."""
    hours = np.arange(0, 24 * days, 0.1)
    rate = 0.05 + np.maximum(np.sin(np.pi * (hours % 24 - 6) / 16), 0)
    share = np.concatenate([[0], np.cumsum(rate)]) / rate.sum()
    return np.interp(rng.random(people), share, 360.0 * np.arange(len(share)))


if __name__ == "__main__":
    main()
