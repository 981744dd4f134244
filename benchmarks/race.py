"""RACE's label estimation at the size of MARS: 7,673 sequences, 625 anchors, 512 numbers each, k = 15.

    make bench NAME=race

The paper reports 183 s for it, 157 s of them the embedding. Here: hulls of the sequences apart from the rest, since the
paper counts label estimation alone; both are in the table.
"""

from __future__ import annotations

import time

import numpy as np

from benchmarks.result import finish, machine
from stages.methods.race import AssociateConfig, estimate_labels, hulls

SEQUENCES, ANCHORS, FRAMES, DIM = 7673, 625, 30, 512


def main() -> None:
    facts, rng = machine(), np.random.default_rng(0)
    person = rng.normal(size=(ANCHORS, DIM))
    who = rng.integers(0, ANCHORS, SEQUENCES)
    frames = np.repeat(person[who] + 0.7 * rng.normal(size=(SEQUENCES, DIM)), FRAMES, axis=0)
    frames = (frames + 0.5 * rng.normal(size=frames.shape)).astype(np.float32)
    frames /= np.linalg.norm(frames, axis=1, keepdims=True)
    settings = AssociateConfig()
    start = time.perf_counter()
    x = hulls(frames, np.repeat(np.arange(SEQUENCES), FRAMES), SEQUENCES, settings)
    hull_s = time.perf_counter() - start
    start = time.perf_counter()
    label = estimate_labels(x[ANCHORS:], x[:ANCHORS], settings)
    estimate_s = time.perf_counter() - start
    right = who[:ANCHORS][label] == who[ANCHORS:]
    rows = [{"hulls, s": hull_s, "label estimation, s": estimate_s, "labelled": float((label >= 0).mean()),
             "of these right": float(right[label >= 0].mean())}]  # fmt: skip
    finish("race", {"seconds": estimate_s, "hull_seconds": hull_s}, rows, facts)


if __name__ == "__main__":
    main()
