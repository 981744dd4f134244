"""Which tracklets are one person: average-linkage clustering that never joins a cannot-link.

Distances may be log-odds (`stages.association.evidence`), so that the threshold has a meaning of its own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stages.association.pairing import first_member_labels

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.integer]


def cluster_tracklets(distance: Floats, cannot_link: Ints, threshold: float) -> npt.NDArray[np.int64]:
    """Average-linkage agglomerative clustering under cannot-links.

    Repeatedly joins the two clusters of smallest mean distance, as long as that is at most ``threshold`` and no member
    of one may not be with a member of the other. Runs as a nearest-neighbour chain (Murtagh, 1983), O(N²) time and
    memory: 3,000 tracklets take a second or two. The chain is exact because an infinite distance stays infinite under
    averaging, which makes the constrained linkage reducible too.

    Args:
        distance: (N, N) symmetric, may be negative (log-odds); inf is a cannot-link; the diagonal is ignored.
        cannot_link: (C, 2) pairs that must not share a cluster.
        threshold: largest mean distance at which two clusters are joined.

    Returns:
        (N,) labels 0, 1, … in order of first member.

    Raises:
        ValueError: distance is not square or holds NaN.
    """
    n = len(distance)
    if np.shape(distance) != (n, n):
        raise ValueError(f"distance is {np.shape(distance)}, wanted a square matrix")
    if n == 0:
        return np.zeros(0, np.int64)
    d = np.array(distance, np.float64)
    if np.isnan(d).any():
        raise ValueError("distance holds NaN")
    links = np.asarray(cannot_link, np.int64).reshape(-1, 2)
    d[links[:, 0], links[:, 1]] = d[links[:, 1], links[:, 0]] = np.inf
    np.fill_diagonal(d, np.inf)
    member_of = np.arange(n)
    size = np.ones(n)
    open_ = np.ones(n, bool)
    chain: list[int] = []
    while True:
        if not chain:
            left = np.flatnonzero(open_)
            if not len(left):
                break
            chain.append(int(left[0]))
        a = chain[-1]
        row = d[a]
        b = int(row.argmin())
        if len(chain) > 1 and row[chain[-2]] <= row[b]:
            b = chain[-2]  # on a tie go back, or equal distances could make the chain run in a circle
        if not row[b] <= threshold or row[b] == np.inf:
            # Means never fall below the smallest of their parts: no other cluster can join this one later.
            open_[a] = False
            d[a, :] = d[:, a] = np.inf
            chain.pop()
            continue
        if len(chain) > 1 and b == chain[-2]:
            chain = chain[:-2]
            keep, gone = min(a, b), max(a, b)
            merged = (size[a] * d[a] + size[b] * d[b]) / (size[a] + size[b])
            d[keep, :] = d[:, keep] = merged
            d[keep, keep] = np.inf
            d[gone, :] = d[:, gone] = np.inf
            size[keep] += size[gone]
            open_[gone] = False
            member_of[member_of == gone] = keep
        else:
            chain.append(b)
    return first_member_labels(member_of)
