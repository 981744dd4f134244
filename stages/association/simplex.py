"""Least squares over the simplex, many small problems at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]


def project_simplex(v: Floats) -> npt.NDArray[np.float64]:
    """The nearest point of {w >= 0, sum w = 1} to each row of ``v`` (N, K), by sorting.

    rho = max{j : u_j - (sum of the j largest - 1) / j > 0} with u sorted downwards, theta = (sum of the rho largest - 1)
    / rho, w = max(v - theta, 0) (Duchi et al.: Efficient Projections onto the l1-Ball, ICML 2008).
    """
    v = np.asarray(v, np.float64)
    u = -np.sort(-v, axis=1)
    excess = np.cumsum(u, axis=1) - 1
    count = np.arange(1, v.shape[1] + 1)
    rho = (u - excess / count > 0).sum(1)
    theta = np.take_along_axis(excess, rho[:, None] - 1, axis=1) / rho[:, None]
    return np.asarray(np.maximum(v - theta, 0))


def simplex_least_squares(
    gram: Floats, linear: Floats, penalty: Floats, *, steps: int = 500, tolerance: float = 1e-9
) -> npt.NDArray[np.float64]:
    """argmin over the simplex of w' G w - 2 b' w + |p * w|², for N problems of K unknowns: (N, K).

    Projected gradients with momentum (FISTA, Beck and Teboulle 2009, restarted where the momentum points uphill), from
    equal weights, with step 1 / L, L = 2 (largest eigenvalue of G + max p²).

    Args:
        gram: (N, K, K) G, positive semi-definite; linear: (N, K) b; penalty: (N, K) p.
        tolerance: stops when no weight moves by more.
    """
    g = np.asarray(gram, np.float64) + np.asarray(penalty, np.float64)[:, :, None] ** 2 * np.eye(
        gram.shape[1]
    )
    b = np.asarray(linear, np.float64)
    if not len(b):
        return np.zeros(b.shape)
    rate = 1 / np.maximum(2 * np.linalg.eigvalsh(g)[:, -1:], 1e-12)
    w = np.full(b.shape, 1 / b.shape[1])
    y, t = w.copy(), np.ones((len(b), 1))
    for _ in range(steps):
        gradient = 2 * (np.einsum("nij,nj->ni", g, y) - b)
        moved = project_simplex(y - rate * gradient)
        uphill = ((y - moved) * (moved - w)).sum(1, keepdims=True) > 0
        t = np.where(uphill, 1.0, t)
        faster = (1 + np.sqrt(1 + 4 * t**2)) / 2
        y = moved + np.where(uphill, 0.0, (t - 1) / faster) * (moved - w)
        done = np.abs(moved - w).max() < tolerance
        w, t = moved, faster
        if done:
            break
    return w
