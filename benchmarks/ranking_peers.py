"""Runs in the peers' own environment, called by `benchmarks.ranking`: torchreid's ranking of the same distances.

Compiled, timed; and its plain writing in Python, slow and exact in double precision, on the first queries.
"""

import sys
import time

import numpy as np

sys.path.insert(0, sys.argv[2])
from rank import eval_market1501
from rank_cy import evaluate_cy

data = np.load(sys.argv[1])
distance, query, gallery = data["distance"], data["query"], data["gallery"]
start = time.perf_counter()
cmc, mean_ap = evaluate_cy(distance, query[:, 0], gallery[:, 0], query[:, 1], gallery[:, 1], 50)
seconds = time.perf_counter() - start
n = int(sys.argv[3])
exact_cmc, exact = eval_market1501(distance[:n], query[:n, 0], gallery[:, 0], query[:n, 1], gallery[:, 1], 50)
print(seconds, cmc[0], mean_ap, repr(float(exact)), *map(repr, map(float, exact_cmc)))
