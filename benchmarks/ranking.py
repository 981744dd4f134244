"""CMC and mAP at Market-1501's size, beside torchreid's compiled ranking.

    make bench NAME=ranking [PEERS=/tmp/peers] [TORCHREID=/tmp/torchreid-rank]

TORCHREID is a folder with torchreid's ``rank_cy`` compiled: take ``torchreid/metrics/rank_cylib`` of its repository and run
``python setup.py build_ext --inplace`` there with the Python of PEERS, a virtual environment with numpy and cython; and put
its ``torchreid/metrics/rank.py`` beside it.
Persons and cameras are Market-1501's own lists (3,368 queries, 15,913 + 3,819 junk in the gallery), distances are random, a true
match nearer than a wrong one on average. Both are timed in one run, turn by turn, the best of three. The compiled one adds up in single precision, so the values are held
against torchreid's plain Python too, on the first 500 queries.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.result import finish, machine
from data.datasets.market1501 import named
from stages.evaluation.ranking import cmc, mean_average_precision, rank

PEERS = Path(os.environ.get("PEERS") or "/tmp/peers")
TORCHREID = Path(os.environ.get("TORCHREID") or "/tmp/torchreid-rank")
EXACT = 500  # queries of the plain one
LISTS = Path("../shared/footage/reid/lists")


def main() -> None:
    if not list(TORCHREID.glob("rank_cy*.so")) or not (TORCHREID / "rank.py").is_file():
        sys.exit(
            f"error: TORCHREID={TORCHREID}: no compiled rank_cy or no rank.py there; see benchmarks/ranking.py."
        )
    facts = machine()
    query, gallery = people("query"), people("test")
    rng = np.random.default_rng(0)
    distance = rng.random((len(query), len(gallery)), dtype=np.float32)
    distance -= 0.3 * (query[:, :1] == gallery[None, :, 0])
    kept = gallery[:, 0] >= 0  # torchreid's reader leaves junk out before it ranks
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data.npz"
        np.savez(data, distance=distance[:, kept], query=query, gallery=gallery[kept])
        ours, theirs, measured, exact = [], [], np.zeros(2), np.zeros(51)
        for _ in range(3):
            start = time.perf_counter()
            found = rank(distance, query[:, 0], gallery[:, 0], query[:, 1], gallery[:, 1])
            ours.append(time.perf_counter() - start)
            script = Path(__file__).with_name("ranking_peers.py")
            command = [
                str(PEERS / "bin" / "python"),
                "-W",
                "ignore",
                str(script),
                str(data),
                str(TORCHREID),
                str(EXACT),
            ]
            said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
            theirs.append(float(said[0]))
            measured, exact = np.array(said[1:3], np.float64), np.array(said[3:], np.float64)
    own = np.array([cmc(found.first_match_rank)[1], mean_average_precision(found)])
    first = rank(distance[:EXACT], query[:EXACT, 0], gallery[:, 0], query[:EXACT, 1], gallery[:, 1])
    curve = [cmc(first.first_match_rank, (r,))[r] for r in range(1, 51)]
    rows = [
        {"ranking": "ours", "s": min(ours), "rank-1": own[0], "mAP": own[1]},
        {"ranking": "torchreid, compiled", "s": min(theirs), "rank-1": measured[0], "mAP": measured[1]},
    ]
    values = {"vs_torchreid": min(theirs) / min(ours), "map_difference_compiled": float(abs(own[1] - measured[1])),
              "map_difference": float(abs(mean_average_precision(first) - exact[0])),
              "cmc_difference": float(np.abs(np.array(curve) - exact[1:]).max())}  # fmt: skip
    finish("ranking", values, rows, facts)


def people(part: str) -> np.ndarray:
    """(N, 2) person and camera of Market-1501's list."""
    lines = (LISTS / f"market1501_{part}.list").read_text(encoding="utf-8").splitlines()
    found = [named(line.split()[0]) for line in lines]
    return np.array([(f[0], int(f[1][1:])) for f in found if f], np.int64)


if __name__ == "__main__":
    main()
