"""The prior of pairs of tracklets: times as `camera_topology.prior` weighs them, refined by where people's feet were.

- A link from or to a zone is the way of those who leave or appear there. Whoever does so elsewhere took another way: the pair
  counts as one of an unlisted link.
- Two views of one place: whoever is seen in both at once stands at one point of the ground. The distance between the two, by
  each camera's homography, takes the place of the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camera_topology.feet import Feet, ground_matrix, inside, metres_apart, on_ground
from camera_topology.prior import PairPrior, came_first, camera_clock_std_s, pair_prior
from camera_topology.site import Site
from camera_topology.transit import LOG_FLOOR, FloatArray, unlisted_model

Rows = NDArray[np.int64]

# Feet in a box, and a homography made by hand, are right within this.
GROUND_STD_M = 1.0


def tracklet_prior(
    site: Site,
    camera: NDArray[Any],
    start_us: Rows,
    end_us: Rows,
    a: Rows,
    b: Rows,
    *,
    feet: Feet | None = None,
    clock_std_s: Mapping[str, float] | None = None,
    sigma_fraction: float | None = 0.7,
) -> PairPrior:
    """Spatio-temporal prior of the pairs (a, b) of N tracklets, see `pair_prior`.

    Args:
        camera: (N,) ids; start_us, end_us: (N,) µs; a, b: (P,) rows.
        feet: of the N tracklets; None: zones and the ground say nothing.
    """
    camera = np.asarray(camera).astype(str)
    prior = pair_prior(
        site, camera[a], start_us[a], end_us[a], camera[b], start_us[b], end_us[b],
        sigma_fraction=sigma_fraction, clock_std_s=clock_std_s,
    )  # fmt: skip
    if feet is None or not len(a):
        return prior
    first = came_first(start_us[b] - end_us[a], start_us[a] - end_us[b], camera[a], camera[b])
    earlier, later = np.where(first, a, b), np.where(first, b, a)
    prior = _as_unlisted(site, prior, ~_through_zones(site, camera, feet, earlier, later))
    at_once, apart = _on_shared_ground(site, camera, start_us, end_us, feet, a, b, clock_std_s)
    log_prior, log_time, has_prior = prior.log_prior.copy(), prior.log_time.copy(), prior.has_prior.copy()
    log_prior[at_once], log_time[at_once], has_prior[at_once] = apart, apart, True
    return replace(prior, log_prior=log_prior, log_time=log_time, has_prior=has_prior)


def _as_unlisted(site: Site, prior: PairPrior, other_way: NDArray[np.bool_]) -> PairPrior:
    """The prior with some pairs as the site file has those that it does not list; clocks and days as they are."""
    model = unlisted_model(site)
    constant = model.ceiling if model.possible else LOG_FLOOR
    certain = prior.gate | prior.ruled_out
    return replace(
        prior,
        log_prior=np.where(other_way, constant, prior.log_prior),
        log_time=np.where(other_way, constant, prior.log_time),
        gate=np.where(other_way, certain & model.possible, prior.gate),
        ruled_out=np.where(other_way, certain & (not model.possible), prior.ruled_out),
        has_prior=np.where(other_way, not model.possible, prior.has_prior),
    )


def _through_zones(
    site: Site, camera: NDArray[Any], feet: Feet, earlier: Rows, later: Rows
) -> NDArray[np.bool_]:
    """(P,) False where a link names a zone that the earlier tracklet did not leave by, or the later did not come by."""
    through = np.ones(len(earlier), bool)
    last, first = feet.last(), feet.first()
    for (from_, to), link in site.links.items():
        for zone, where, own, row in (
            (link.from_zone, last, from_, earlier),
            (link.to_zone, first, to, later),
        ):
            if zone is not None:
                here = np.flatnonzero((camera[earlier] == from_) & (camera[later] == to))
                known = np.isfinite(where[row[here]]).all(axis=1)
                polygons = [z.polygon for z in site.camera(own).zones if z.id == zone]
                through[here] &= inside(where[row[here]], polygons) | ~known
    return through


def _on_shared_ground(
    site: Site,
    camera: NDArray[Any],
    start_us: Rows,
    end_us: Rows,
    feet: Feet,
    a: Rows,
    b: Rows,
    clock_std_s: Mapping[str, float] | None,
) -> tuple[Rows, FloatArray]:
    """Which pairs of overlapping views can be compared on the ground, and their log prior: Gaussian in metres."""
    names, code = np.unique(camera, return_inverse=True)
    matrix = {c: ground_matrix(site.camera(c)) for c in names.tolist()}
    overlapping = {
        pair for pair, link in site.links.items()
        if link.relation == "overlap" and all(matrix.get(c) is not None for c in pair)
    }  # fmt: skip
    if not overlapping:
        return np.zeros(0, np.int64), np.zeros(0)
    table = np.array([[(x, y) in overlapping or (y, x) in overlapping for y in names] for x in names])
    linked = table[code[a], code[b]]
    at_once = np.minimum(end_us[a], end_us[b]) >= np.maximum(start_us[a], start_us[b])
    rows = np.flatnonzero(linked & at_once)
    ground: list[FloatArray | None] = [None] * len(camera)
    for c, m in matrix.items():
        # All of the camera's samples at once: which side of the horizon is the ground must not depend on the pairs asked.
        mine = np.flatnonzero(camera == c)
        parts = [feet.uv[feet.begin[k] : feet.begin[k + 1]] for k in mine]
        if m is not None and parts:
            placed = on_ground(m, np.concatenate(parts))
            cuts = np.cumsum([len(part) for part in parts])[:-1]
            for k, part in zip(mine, np.split(placed, cuts), strict=True):
                ground[k] = part
    metres = metres_apart(feet, ground, a[rows], b[rows])
    known = np.isfinite(metres)
    rows, metres = rows[known], metres[known]
    std_s = np.array([camera_clock_std_s(site, c, clock_std_s) for c in names])[code]
    # A clock that is off puts a walker as far off as they walked meanwhile.
    std_m = np.hypot(GROUND_STD_M, site.walking_speed.mean * np.hypot(std_s[a[rows]], std_s[b[rows]]))
    return rows, np.maximum(-(metres**2) / (2 * std_m**2), LOG_FLOOR)
