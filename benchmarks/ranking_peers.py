"""Runs in the peers' own environment, called by `benchmarks.ranking`: torchreid's compiled ranking of the same distances."""

import sys
import time

import numpy as np

sys.path.insert(0, sys.argv[2])
from rank_cy import evaluate_cy

data = np.load(sys.argv[1])
distance, query, gallery = data["distance"], data["query"], data["gallery"]
start = time.perf_counter()
cmc, mean_ap = evaluate_cy(distance, query[:, 0], gallery[:, 0], query[:, 1], gallery[:, 1], 50)
print(time.perf_counter() - start, cmc[0], mean_ap)
