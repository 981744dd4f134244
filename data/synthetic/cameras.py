"""Drawn cameras: a pinhole above flat ground, a light, a background and one walkway through the view.

Ground coordinates are per camera and in metres: X to the right, Z away from the camera, which stands at (0, 0) at `height_m`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 512, 288


@dataclass(frozen=True)
class Light:
    """What one camera does to colours: `gain` per channel (red, green, blue), gamma, contrast, noise (grey levels), blur (pixels)."""

    gain: tuple[float, float, float]
    gamma: float
    contrast: float
    noise_std: float
    blur_px: float
    azimuth: float  # where light comes from on the screen: -1 left .. +1 right
    shadow: float  # 0 none .. 1 black


@dataclass(frozen=True)
class Occluder:
    kind: str  # pillar | bench | tree | planter
    x_m: float
    z_m: float


@dataclass(frozen=True)
class Camera:
    """`walkway`: points (X, Z) of a smooth path whose two ends lie out of view; `ends` of links are 0 (first) and 1 (last point)."""

    camera_id: str
    position_m: tuple[float, float]  # on the map of the site
    height_m: float
    pitch_rad: float
    focal_px: float
    light: Light
    ground: str  # paving | grass | tiles | asphalt
    wall: str  # brick | hedge | panels | shops
    wall_m: float  # distance of the wall along the viewing direction
    wall_angle_rad: float
    scenery_seed: int
    walkway: tuple[tuple[float, float], ...]
    occluders: tuple[Occluder, ...]

    def project(
        self, x_m: np.ndarray | float, z_m: np.ndarray | float, up_m: np.ndarray | float = 0.0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ground point (and height above it) → pixel u, v and pixels per metre there."""
        c, s = np.cos(self.pitch_rad), np.sin(self.pitch_rad)
        drop = self.height_m - np.asarray(up_m, float)
        depth = np.asarray(z_m, float) * c + drop * s
        scale = self.focal_px / np.maximum(depth, 0.3)
        return (
            WIDTH / 2 + np.asarray(x_m, float) * scale,
            HEIGHT / 2 + (drop * c - np.asarray(z_m, float) * s) * scale,
            scale,
        )


def walkway_curve(camera: Camera, samples: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Catmull-Rom curve through the walkway → points (samples, 2) and their arc length (samples,) in metres."""
    p = np.array(camera.walkway, float)
    p = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
    t = np.linspace(0, len(p) - 3 - 1e-9, samples)
    k, u = t.astype(int), (t - t.astype(int))[:, None]
    a, b, c, d = p[k], p[k + 1], p[k + 2], p[k + 3]
    points = 0.5 * (2 * b + (c - a) * u + (2 * a - 5 * b + 4 * c - d) * u**2 + (3 * b - a - 3 * c + d) * u**3)
    length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    return points, length


def unseen_end_m(camera: Camera, end: int) -> float:
    """Metres of the walkway between its end (0 or 1) and where a walker's middle comes into the picture."""
    points, length = walkway_curve(camera)
    u, v, _ = camera.project(points[:, 0], points[:, 1], 0.85)
    seen = np.flatnonzero((u >= 0) & (u < WIDTH) & (v >= 0) & (v < HEIGHT))
    return float(length[seen[0]] if end == 0 else length[-1] - length[seen[-1]])


def walkway_length_m(camera: Camera) -> float:
    return float(walkway_curve(camera)[1][-1])


SITE_CAMERAS: tuple[Camera, ...] = (
    Camera(
        "cam1",
        (0.0, 0.0),
        2.6,
        math.radians(9.0),
        370.0,
        Light((1.08, 1.0, 0.86), 0.95, 1.02, 1.8, 0.0, -0.7, 0.45),
        "paving",
        "brick",
        9.2,
        math.radians(4.0),
        11,
        ((-6.5, 6.3), (-2.0, 6.4), (2.0, 6.6), (6.7, 6.9)),
        (Occluder("pillar", 1.2, 4.6), Occluder("bench", -2.2, 4.9)),
    ),
    Camera(
        "cam2",
        (26.0, 6.0),
        3.2,
        math.radians(17.0),
        380.0,
        Light((0.9, 1.06, 0.92), 1.12, 0.96, 2.2, 0.5, 0.5, 0.3),
        "grass",
        "hedge",
        15.5,
        math.radians(-12.0),
        12,
        ((9.4, 11.2), (1.4, 10.2), (0.2, 6.2), (-4.9, 4.4)),
        (Occluder("tree", 2.5, 4.8), Occluder("planter", -2.6, 6.6)),
    ),
    Camera(
        "cam3",
        (24.0, 38.0),
        3.6,
        math.radians(20.0),
        350.0,
        Light((0.84, 0.96, 1.14), 0.84, 0.9, 3.0, 0.8, 0.1, 0.2),
        "tiles",
        "panels",
        12.5,
        math.radians(16.0),
        13,
        ((-9.1, 9.6), (-2.2, 8.2), (1.6, 5.9), (5.6, 4.8)),
        (Occluder("pillar", -1.1, 4.9), Occluder("planter", 2.2, 3.9)),
    ),
    Camera(
        "cam4",
        (2.0, 34.0),
        4.2,
        math.radians(22.0),
        400.0,
        Light((1.0, 0.94, 1.02), 1.3, 1.12, 2.5, 0.4, 0.8, 0.55),
        "asphalt",
        "shops",
        14.0,
        math.radians(-6.0),
        14,
        ((-5.0, 5.0), (-0.7, 5.3), (0.9, 8.4), (8.9, 10.6)),
        (Occluder("tree", 2.9, 6.3), Occluder("bench", -1.9, 4.4)),
    ),
)


@dataclass(frozen=True)
class Link:
    """A path between two walkway ends, which lie a little out of view; `distance_m` runs from end to end."""

    a: str
    a_end: int
    b: str
    b_end: int
    distance_m: float


# A block with a path round it (cam1 → cam2 → cam3 → cam4 → cam1, always from end 1 to end 0) and two short cuts across.
SITE_LINKS: tuple[Link, ...] = (
    Link("cam1", 1, "cam2", 0, 16.0),
    Link("cam2", 1, "cam3", 0, 23.0),
    Link("cam3", 1, "cam4", 0, 12.0),
    Link("cam4", 1, "cam1", 0, 27.0),
    Link("cam1", 1, "cam3", 0, 36.0),
    Link("cam2", 1, "cam4", 0, 31.0),
)


def random_camera(rng: np.random.Generator, camera_id: str) -> Camera:
    """A camera that is none of the site's: other optics, light, scenery. For the detector's and the start's *other* people."""
    pitch = rng.uniform(6, 25)
    height = 1.6 + 0.115 * pitch + rng.uniform(-0.2, 0.3)
    near, far = rng.uniform(4.6, 5.6), rng.uniform(8.0, 12.0)
    kinds = ("pillar", "bench", "tree", "planter")
    occluders = tuple(
        Occluder(
            kinds[int(rng.integers(4))], float(rng.uniform(-3.2, 3.2)), float(rng.uniform(near - 0.6, 7.5))
        )
        for _ in range(int(rng.integers(0, 4)))
    )
    walls, grounds = ("brick", "hedge", "panels", "shops"), ("paving", "grass", "tiles", "asphalt")
    return Camera(
        camera_id,
        (0.0, 0.0),
        float(height),
        math.radians(pitch),
        float(rng.uniform(320, 430)),
        Light(
            tuple(float(v) for v in rng.uniform(0.82, 1.16, 3)),  # type: ignore[arg-type]
            float(np.exp(rng.uniform(-0.28, 0.3))),
            float(rng.uniform(0.85, 1.15)),
            float(rng.uniform(1.0, 4.0)),
            float(rng.uniform(0.0, 0.9)),
            float(rng.uniform(-1, 1)),
            float(rng.uniform(0.1, 0.6)),
        ),
        grounds[int(rng.integers(4))],
        walls[int(rng.integers(4))],
        float(rng.uniform(far + 1.0, far + 4.0)),
        float(math.radians(rng.uniform(-20, 20))),
        int(rng.integers(1, 2**31)),
        ((-near, near), (near, far)),
        occluders,
    )
