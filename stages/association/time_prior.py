"""What the site file and the clocks say about every pair of a few thousand tracklets, as dense tables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from pipeline.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from camera_topology.feet import Feet
    from camera_topology.site import Site


# Peak memory of all tables that score the same pairs (`stages.association.evidence`); measured at 2,000 and 4,000 tracklets.
_BYTES_A_PAIR = 120
_BLOCK_PAIRS = 1 << 20


class TimePrior(NamedTuple):
    """What the site file and the clocks say about every pair of N tracklets, all (N, N).

    log_prior: spatio-temporal, across cameras, with peak 0 (without the links' weights). possible: False where they cannot be one person.
    ruled_out: where only the site file's link between their cameras forbids it. has_prior: where the file describes the link.
    reentry_s: usual gap between two tracklets of one person in one camera; None where the file does not give it.
    """

    log_prior: npt.NDArray[np.float64]
    possible: npt.NDArray[np.bool_]
    ruled_out: npt.NDArray[np.bool_]
    has_prior: npt.NDArray[np.bool_]
    reentry_s: float | None = None


def dense_prior(
    site: Site,
    tracklets: pd.DataFrame,
    clock_std_s: Mapping[str, float] | None = None,
    feet: Feet | None = None,
    sigma_fraction: float | None = 0.7,
) -> TimePrior:
    """The site file's and the clocks' prior for every pair of tracklets (T, T).

    clock_std_s: camera → uncertainty of its clock, s; feet, sigma_fraction: see `camera_topology.tracklet_prior`.

    Raises:
        UserError: tables of so many pairs do not fit into this machine's memory.
    """
    from camera_topology.prior import camera_clock_std_s, certain_negatives, same_day
    from camera_topology.tracklet_prior import tracklet_prior

    n = len(tracklets)
    check_pairs_fit(
        n,
        "to weigh every two of them",
        'take less of the recordings at a time: SET="ingest.start=… ingest.end=…"',
    )
    camera = tracklets.camera_id.to_numpy()
    start, end = tracklets.t_start_us.to_numpy(), tracklets.t_end_us.to_numpy()
    log_prior, possible = np.zeros((n, n)), ~np.eye(n, dtype=bool)
    ruled_out, has_prior = np.zeros((n, n), bool), np.zeros((n, n), bool)
    for rows in np.array_split(np.arange(n), max(1, n * n // _BLOCK_PAIRS)):
        later = np.arange(n)[None, :] > rows[:, None]
        i, j = np.nonzero(later & (camera[rows][:, None] != camera[None, :]))
        i = rows[i]
        prior = tracklet_prior(
            site, camera, start, end, i, j, feet=feet, clock_std_s=clock_std_s, sigma_fraction=sigma_fraction
        )
        log_prior[i, j] = log_prior[j, i] = prior.log_time
        possible[i, j] = possible[j, i] = prior.gate
        ruled_out[i, j] = ruled_out[j, i] = prior.ruled_out
        has_prior[i, j] = has_prior[j, i] = prior.has_prior
    if n:
        own = np.array([camera_clock_std_s(site, c, clock_std_s) for c in camera])
        possible &= same_day(site, start[:, None], start[None, :], np.hypot(own[:, None], own[None, :]))
        a, b = certain_negatives(site, camera, start, end, clock_std_s=clock_std_s).T
        possible[a, b] = possible[b, a] = False
        ruled_out[a, b] = ruled_out[b, a] = False
    return TimePrior(log_prior, possible, ruled_out, has_prior, site.reentry_s)


def check_pairs_fit(count: int, what: str, instead: str) -> None:
    """Raise UserError where what is asked of all pairs of ``count`` tracklets needs more memory than this machine has."""
    needed, there = _BYTES_A_PAIR * count**2, memory_bytes()
    if needed > there:
        raise UserError(
            f"{count:,} tracklets: {what} takes some {needed / 1e9:,.0f} GB, and this machine has {there / 1e9:,.0f}; {instead}."
        )


def memory_bytes() -> int:
    """All memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def untimed(prior: TimePrior, keep_gate: bool) -> TimePrior:
    """The same pairs without walking times; ``keep_gate``: pairs that the site file rules out stay ruled out."""
    nothing = np.zeros(prior.possible.shape, bool)
    possible = prior.possible if keep_gate else prior.possible | prior.ruled_out
    return TimePrior(np.zeros(prior.log_prior.shape), possible, nothing, nothing, prior.reentry_s)
