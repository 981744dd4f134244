"""Which pairs of tracklets to ask about.

Two kinds, kept apart. *Probe*: pairs that the run shows as one person in two cameras, drawn uniformly, so that the share of
right ones estimates their precision without bias. *Link*: the pairs the run is least sure of, where an answer teaches most.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.pair_annotations import PairAnnotation

RESERVED = 400  # of the probe's order: no question of the other kind is taken from these


class Precision(NamedTuple):
    """right of answered pairs are one person; low to high: 95 % Wilson interval; unsure ones are not among them."""

    right: int
    answered: int
    unsure: int
    low: float
    high: float


def probe_pairs(identities: pd.DataFrame, tracklets: pd.DataFrame, seed: int = 0) -> list[tuple[str, str]]:
    """All pairs of one identity in two cameras, in an order that is random and stays when pairs come and go.

    Every pair has a number of its own, a digest of its ids and the seed; so the first n are a uniform draw of n from
    whatever pairs there are, and answers given before a rerun keep counting.

    Args:
        identities: IDENTITIES; tracklets: TRACKLETS.
    """
    camera = tracklets.set_index("tracklet_id").camera_id
    pairs = []
    for _, members in identities.groupby("identity").tracklet_id:
        ids = sorted(members)
        pairs += [(a, b) for i, a in enumerate(ids) for b in ids[i + 1 :] if camera[a] != camera[b]]
    return sorted(pairs, key=lambda pair: hashlib.sha256(f"{seed} {pair[0]} {pair[1]}".encode()).digest())


def link_pairs(
    tracklets: pd.DataFrame,
    log_odds: npt.NDArray[np.floating],
    threshold: float,
    leave_out: set[tuple[str, str]],
    max_items: int = 300,
) -> list[tuple[str, str]]:
    """Pairs of two cameras whose log-odds are nearest to the threshold; each tracklet in at most three of them.

    Args:
        tracklets: TRACKLETS; row i of ``log_odds`` (T, T) is tracklet i, -inf where two cannot be one person.
        leave_out: pairs a < b that are kept for the other kind of question.
    """
    ids, camera = tracklets.tracklet_id.to_numpy(str), tracklets.camera_id.to_numpy(str)
    i, j = np.triu_indices(len(ids), 1)
    asked = (camera[i] != camera[j]) & np.isfinite(log_odds[i, j])
    i, j = i[asked], j[asked]
    found: list[tuple[str, str]] = []
    used: dict[str, int] = {}
    for k in np.argsort(np.abs(log_odds[i, j] - threshold), kind="stable"):
        a, b = sorted((str(ids[i[k]]), str(ids[j[k]])))
        if (a, b) in leave_out or max(used.get(a, 0), used.get(b, 0)) >= 3:
            continue
        used[a], used[b] = used.get(a, 0) + 1, used.get(b, 0) + 1
        found.append((a, b))
        if len(found) == max_items:
            break
    return found


def precision(probe: list[tuple[str, str]], judgements: list[PairAnnotation]) -> Precision:
    """Of the probe's pairs, in their order up to the first that nobody was asked about."""
    said = {(j.a, j.b): j.answer for j in judgements}
    right = answered = unsure = 0
    for pair in probe:
        if pair not in said:
            break
        unsure += said[pair] == "unsure"
        answered += said[pair] != "unsure"
        right += said[pair] == "same"
    return Precision(right, answered, unsure, *wilson(right, answered))


def wilson(right: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of a share (Wilson, 1927); 0 to 1 where nothing was asked."""
    if not n:
        return 0.0, 1.0
    share, square = right / n, z * z / n
    middle = (share + square / 2) / (1 + square)
    half = z / (1 + square) * ((share * (1 - share) + square / 4) / n) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)
