"""Degrees of latitude and longitude ↔ metres around an origin, x to the east and y to the north.

Both scales are those of the WGS 84 ellipsoid at the origin, so the map is linear and its way back exact; over a site of
a kilometre the earth's curvature makes less than a decimetre. The origin stands in the site's name, for a site file
has no other place that survives a rewriting: ``S01 (origin 42.52568, -90.72360)``.
"""

from __future__ import annotations

import math
import re

import numpy as np

from camera_topology.convert.reading import Matrix

Origin = tuple[float, float]  # latitude, longitude in degrees

_EQUATOR_M, _ECCENTRICITY_2 = 6378137.0, 6.69437999014e-3  # WGS 84
_NAMED = re.compile(r"\(origin (-?\d{1,2}(?:\.\d+)?), (-?\d{1,3}(?:\.\d+)?)\)")


def metres_per_degree(latitude: float) -> tuple[float, float]:
    """Length of one degree of latitude and of longitude there, m.

    M = a(1 - e²)/W³ and N cos φ = a cos φ/W with W² = 1 - e² sin² φ (the ellipsoid's two radii of curvature).
    """
    phi = math.radians(latitude)
    w2 = 1 - _ECCENTRICITY_2 * math.sin(phi) ** 2
    meridian_m = _EQUATOR_M * (1 - _ECCENTRICITY_2) / w2**1.5
    parallel_m = _EQUATOR_M * math.cos(phi) / math.sqrt(w2)
    return math.radians(meridian_m), math.radians(parallel_m)


def from_metres(origin: Origin) -> Matrix:
    """The map (x_m, y_m, 1) → (latitude, longitude, 1) as a matrix (3, 3)."""
    latitude, longitude = origin
    per_latitude, per_longitude = metres_per_degree(latitude)
    return np.array([[0, 1 / per_latitude, latitude], [1 / per_longitude, 0, longitude], [0, 0, 1.0]])


def to_metres(origin: Origin) -> Matrix:
    """The map (latitude, longitude, 1) → (x_m, y_m, 1) as a matrix (3, 3)."""
    latitude, longitude = origin
    per_latitude, per_longitude = metres_per_degree(latitude)
    return np.array(
        [
            [0, per_longitude, -longitude * per_longitude],
            [per_latitude, 0, -latitude * per_latitude],
            [0, 0, 1.0],
        ]
    )


def with_origin(name: str, origin: Origin) -> str:
    """The site's name with the origin in it."""
    return f"{_NAMED.sub('', name).strip()} (origin {origin[0]:.5f}, {origin[1]:.5f})".strip()


def origin_in(name: str) -> Origin | None:
    """The origin that a site's name tells, None where it tells none on earth (short of the poles)."""
    found = _NAMED.search(name)
    if found is None:
        return None
    latitude, longitude = float(found[1]), float(found[2])
    return (latitude, longitude) if abs(latitude) < 89 and abs(longitude) <= 180 else None


def rounded(latitude: float, longitude: float) -> Origin:
    """An origin near there, as it stands in a name: to five decimals, a metre."""
    return round(latitude, 5), round(longitude, 5)
