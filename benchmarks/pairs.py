"""Who was put together with whom, counted over pairs of tracklets of two cameras."""

from __future__ import annotations

import numpy as np

Scores = tuple[float, float, float]  # precision, recall, F


def pair_counts(identity: np.ndarray, pid: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """(P, 3) pairs of two cameras by person of their first tracklet: both said and true, said, true.

    Args:
        identity, pid, camera: (N,) who each tracklet is said to be, who it is (-1: nobody), and where.
    """
    across = np.triu(camera[:, None] != camera[None, :], 1)
    said = across & (identity[:, None] == identity[None, :])
    true = across & (pid[:, None] == pid[None, :]) & (pid >= 0)[:, None]
    _, owner = np.unique(pid, return_inverse=True)
    return np.array([np.bincount(owner, part.sum(axis=1)) for part in (said & true, said, true)]).T


def f_score(counts: np.ndarray) -> np.ndarray:
    """F of summed (…, 3) counts: the harmonic mean of precision and recall."""
    return np.asarray(2 * counts[..., 0] / np.maximum(counts[..., 1] + counts[..., 2], 1))


def scores(counts: np.ndarray) -> Scores:
    """Precision, recall and F of (P, 3) counts."""
    both, said, true = counts.sum(axis=0)
    return both / max(said, 1), both / max(true, 1), float(f_score(counts.sum(axis=0)))


def spread(values: np.ndarray) -> str:
    """'61.2 (60.1–62.3)': mean, lowest and highest of shares, per cent."""
    return f"{100 * values.mean():.1f} ({100 * values.min():.1f}–{100 * values.max():.1f})"
