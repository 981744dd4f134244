"""Paired bootstrap over people: persons are drawn, not queries, for the queries of one person stand and fall together."""

from __future__ import annotations

import numpy as np


def person_weights(pid: np.ndarray, seed: int, draws: int = 2000) -> np.ndarray:
    """(draws, Q) how often each query counts in each resample of its P persons with replacement.

    The same weights serve every state, which is what makes differences paired.
    """
    persons, index = np.unique(pid, return_inverse=True)
    p = len(persons)
    return np.random.default_rng(seed).multinomial(p, np.full(p, 1 / p), size=draws)[:, index]


def interval(values: np.ndarray, weights: np.ndarray, level: float = 0.95) -> list[float] | None:
    """[low, high] percentile interval of the mean of ``values`` (Q,); None without queries.

    For a difference of two states pass the difference of their values.
    """
    if not len(values):
        return None
    means = weights @ values / weights.sum(1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return [float(low), float(high)]
