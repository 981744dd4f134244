"""The k-reciprocal Jaccard distance: sparse throughout, against the way the public clustering methods compute it.

    make bench NAME=jaccard [SIZES="12936 32621"] [LARGE=200000] [ROWS=4000]

The peer is what OpenUnReID and ClusterContrast do, written here from their description: neighbours by faiss, then a dense
N x N float32 matrix filled row by row in Python, query expansion by averaging rows, and for each row the sum of minima
through an inverted index. At the larger sizes its last loop is run on ROWS rows and scaled up, which is said in the table; its
memory is that of its two dense matrices. Ours is called as TMC calls it, distances under FAR alone, and once for every pair
that shares a neighbour; our memory is the highest of the whole process. Features are clusters of unit vectors, 12 members
each, in 256 independent dimensions: strangers' neighbourhoods overlap more than those of real features do.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.result import finish, machine
from stages.association.jaccard import jaccard_distances, nearest
from stages.methods.tmc import FAR

SIZES = [int(n) for n in (os.environ.get("SIZES") or "12936 32621").split()]
LARGE, ROWS = int(os.environ.get("LARGE") or 200_000), int(os.environ.get("ROWS") or 2000)
K1, K2, DIM = 30, 6, 256


def main() -> None:
    facts = machine()
    rows: list[dict[str, Any]] = []
    values: dict[str, Any] = {}
    difference = compared(2000)
    for n in SIZES:
        ours, whole = child(n, FAR), child(n, 1.0)
        peer_s, peer_gb = peer(people(n))
        rows.append({"points": n, "ours, s": ours["seconds"], "ours, GB": ours["gb"], "every pair, s": whole["seconds"],
                     "every pair, GB": whole["gb"], "dense, s (scaled up)": peer_s, "dense, GB": peer_gb,
                     "times faster": peer_s / ours["seconds"]})  # fmt: skip
        values |= {f"speedup_{n}": peer_s / ours["seconds"], f"memory_ratio_{n}": ours["gb"] / peer_gb}
    values["max_abs_difference"] = difference
    if LARGE:
        ours = child(LARGE, FAR)
        none = float("nan")
        rows.append({"points": LARGE, "ours, s": ours["seconds"], "ours, GB": ours["gb"], "every pair, s": none,
                     "every pair, GB": none, "dense, s (scaled up)": none, "dense, GB": 2 * 4 * LARGE**2 / 2**30,
                     "times faster": none})  # fmt: skip
        values |= {f"seconds_{LARGE}": ours["seconds"], f"rss_gb_{LARGE}": ours["gb"]}
    finish("jaccard", values, rows, facts)


def people(n: int, seed: int = 0) -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=(n // 12 + 1, DIM)).astype(np.float32)
    x = centre[np.arange(n) // 12] + 0.8 * rng.normal(size=(n, DIM)).astype(np.float32)
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


def child(n: int, below: float) -> dict[str, float]:
    """Seconds and highest resident memory of our own, in a process of its own."""
    code = f"from benchmarks.jaccard import measure; measure({n}, {below})"
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.split()
    return {"seconds": float(said[0]), "gb": float(said[1])}


def measure(n: int, below: float) -> None:
    x = people(n)
    start = time.perf_counter()
    jaccard_distances(x, K1, K2, below)
    print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def peer(x: npt.NDArray[np.float32]) -> tuple[float, float]:
    """Seconds of the dense way, its last loop scaled up from ROWS rows, and GB of its matrices."""
    start = time.perf_counter()
    v = dense_rows(x)
    inverted = [np.flatnonzero(v[:, i]) for i in range(len(x))]
    before = time.perf_counter() - start
    start = time.perf_counter()
    some = min(ROWS, len(x))
    minima(v, inverted, some)
    return before + (time.perf_counter() - start) * len(x) / some, 2 * v.nbytes / 2**30


def dense_rows(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """V after query expansion, dense."""
    n = len(x)
    ranks = nearest(x, min(K1 + 1, n))

    def mutual(i: int, k: int) -> npt.NDArray[np.int64]:
        forward = ranks[i, : k + 1]
        return np.asarray(forward[(ranks[forward, : k + 1] == i).any(1)])

    whole = [mutual(i, K1) for i in range(n)]
    half = [mutual(i, round(K1 / 2)) for i in range(n)]
    v = np.zeros((n, n), np.float32)
    for i in range(n):
        members = whole[i]
        for j in whole[i]:
            if len(np.intersect1d(half[j], whole[i])) > 2 / 3 * len(half[j]):
                members = np.append(members, half[j])
        members = np.unique(members)
        weight = np.exp(-(2 - 2 * x[i] @ x[members].T))
        v[i, members] = weight / weight.sum()
    expanded = np.zeros_like(v)
    for i in range(n):
        expanded[i] = v[ranks[i, :K2]].mean(0)
    return expanded


def minima(
    v: npt.NDArray[np.float32], inverted: list[npt.NDArray[np.int64]], rows: int
) -> npt.NDArray[np.float32]:
    """(rows, N) distances of the first rows."""
    n = len(v)
    found = np.zeros((rows, n), np.float32)
    for i in range(rows):
        shared = np.zeros(n, np.float32)
        for column in np.flatnonzero(v[i]):
            images = inverted[column]
            shared[images] += np.minimum(v[i, column], v[images, column])
        found[i] = 1 - shared / (2 - shared)
    return found


def compared(n: int) -> float:
    """The largest difference between the two, in distances of different points."""
    x = people(n)
    v = dense_rows(x)
    theirs = minima(v, [np.flatnonzero(v[:, i]) for i in range(n)], n)
    off = ~np.eye(n, dtype=bool)
    worst = 0.0
    for below in (1.0, FAR):
        ours, entries = np.full((n, n), below, np.float32), jaccard_distances(x, K1, K2, below).tocoo()
        ours[entries.row, entries.col] = entries.data
        worst = max(worst, float(np.abs(ours - np.minimum(theirs, below))[off].max()))
    return worst


if __name__ == "__main__":
    main()
