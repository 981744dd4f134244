"""Static backgrounds and foreground occluders of a drawn camera. Textures live in metres on the ground and the wall, so they foreshorten."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from data.synthetic.appearance import RGB
from data.synthetic.cameras import HEIGHT, WIDTH, Camera, Occluder, walkway_curve


def _noise(rng: np.random.Generator, size: int = 256, octaves: int = 5) -> np.ndarray:
    """Smooth noise (size, size) float32 in about -1..1 that tiles."""
    out: np.ndarray = np.zeros((size, size), np.float32)
    for k in range(octaves):
        cells = 4 << k
        grid = np.pad(rng.uniform(-1, 1, (cells, cells)).astype(np.float32), 2, mode="wrap")
        step = size // cells
        out += (
            cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)[
                2 * step : -2 * step, 2 * step : -2 * step
            ]
            / 1.6**k
        )
    return out / 1.8


def _sample(noise: np.ndarray, x: np.ndarray, y: np.ndarray, metres: float) -> np.ndarray:
    """Noise at world coordinates, one tile every `metres`."""
    size = noise.shape[0]
    u, v = (
        (np.mod(x / metres, 1.0) * size).astype(np.float32),
        (np.mod(y / metres, 1.0) * size).astype(np.float32),
    )
    return cv2.remap(noise, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def _cell(i: np.ndarray, j: np.ndarray, salt: int) -> np.ndarray:
    """A fixed pseudo-random number 0..1 per integer cell."""
    mixed = (
        (np.floor(i).astype(np.int64) * 73856093)
        ^ (np.floor(j).astype(np.int64) * 19349663)
        ^ (salt * 83492791)
    )
    return ((mixed * 2654435761) % 4096 / 4096.0).astype(np.float32)


def _joint(x: np.ndarray, width: float) -> np.ndarray:
    """True within `width` (share of a cell) of an integer line."""
    return np.mod(x, 1.0) < width


def _paint(shape: tuple[int, ...], base: tuple[int, int, int]) -> np.ndarray:
    return np.broadcast_to(np.array(base, np.float32), (*shape, 3)).copy()


def _wall(
    kind: str, w: np.ndarray, up: np.ndarray, noise: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """RGB of a wall at w metres along and `up` metres high."""
    salt = int(rng.integers(1, 1 << 20))
    n = _sample(noise, w, up, 3.0)[..., None]
    sky = _paint(w.shape, (186, 204, 222)) + 14 * _sample(noise, w, up * 2, 19.0)[..., None]
    tint = rng.uniform(-14, 14, 3).astype(np.float32)
    if kind == "brick":
        row = up / 0.16
        col = w / 0.36 + 0.5 * np.mod(np.floor(row), 2)
        tone = _cell(col, row, salt)[..., None]
        image = np.array((146, 82, 64), np.float32) + tint + (tone - 0.5) * 38 + n * 12
        image[_joint(row, 0.13) | _joint(col, 0.06)] = (168, 158, 146)
        bay = np.mod(w + 20.6, 4.4)  # windows with a frame
        frame = (bay > 1.3) & (bay < 2.9) & (up > 1.25) & (up < 3.0)
        glass = (
            (bay > 1.4)
            & (bay < 2.8)
            & (up > 1.35)
            & (up < 2.9)
            & (abs(bay - 2.1) > 0.04)
            & (abs(up - 2.2) > 0.04)
        )
        image[frame] = (222, 216, 204)
        shine = (70 + 46 * np.mod(w * 0.7 + up * 0.5, 1.0))[..., None] * np.array(
            (0.8, 0.95, 1.08), np.float32
        )
        image[glass] = shine[glass]
        image[up < 0.35] = (112, 106, 102)
        return image
    if kind == "hedge":
        n2, n3 = _sample(noise, w, up, 1.1)[..., None], _sample(noise, up * 1.3, w, 0.45)[..., None]
        image = np.array((62, 98, 52), np.float32) + tint * 0.6 + 26 * n + 24 * n2 + 16 * n3
        top = 2.3 + 0.35 * _sample(noise, w, np.zeros_like(w), 7.0)
        far = 4.4 + 1.5 * _sample(noise, w, np.ones_like(w), 26.0)
        trees = np.array((96, 122, 92), np.float32) + 22 * n + 10 * n2
        image = np.where((up < top)[..., None], image, np.where((up < far)[..., None], trees, sky))
        image[up < 0.18] *= 0.6
        return image
    if kind == "panels":
        i, j = w / 1.6, up / 1.15
        tone = _cell(i, j, salt)[..., None]
        image = np.array((192, 190, 184), np.float32) + tint + (tone - 0.5) * 20 + 7 * n
        image[_joint(i, 0.018) | _joint(j, 0.022)] = (138, 136, 132)
        poster = (np.mod(i, 3.0) > 1.18) & (np.mod(i, 3.0) < 1.82) & (up > 1.25) & (up < 2.25)
        hue = np.stack([_cell(i / 3, i * 0 + 1, salt + k) for k in range(3)], -1) * 150 + 60
        image[poster] = hue[poster]
        inner = poster & (np.mod(up * 5, 1.0) < 0.4) & (np.mod(i, 3.0) > 1.3) & (np.mod(i, 3.0) < 1.65)
        image[inner] = 235
        image[(up > 2.9) & (np.mod(w, 2.4) < 1.5) & (up < 3.05)] = (250, 250, 240)
        image[up < 0.12] = (84, 84, 86)
        return image
    unit = 3.4
    i = w / unit
    shop = np.stack([_cell(i, i * 0, salt + k) for k in range(3)], -1)
    image = np.array((96, 92, 90), np.float32) + 60 * (shop - 0.5) + 6 * n
    x = np.mod(i, 1.0) * unit
    glass = (x > 0.25) & (x < 2.2) & (up > 0.5) & (up < 2.35)
    door = (x > 2.45) & (x < 3.2) & (up < 2.2)
    inside = (58 + 70 * _sample(noise, w * 3 + 2, up * 3, 5.0))[..., None] + 40 * np.mod(w * 0.6 + up, 1.0)[
        ..., None
    ]
    goods = _cell(w / 0.32, up / 0.42, salt + 9)
    inside = inside + 90 * (goods > 0.72)[..., None] * np.stack(
        [_cell(w / 0.32, up / 0.42, salt + 20 + k) for k in range(3)], -1
    )
    image[glass], image[door] = inside[glass], inside[door] * 0.6
    sign = (up > 2.5) & (up < 3.05)
    image[sign] = (70 + 150 * shop)[sign]
    letters = sign & (up > 2.65) & (up < 2.9) & (x > 0.6) & (x < 2.4) & (np.mod(w / 0.2, 1.0) < 0.6)
    image[letters] = 240
    image[up > 3.05] = (np.array((176, 160, 138), np.float32) + tint + 8 * n)[up > 3.05]
    return image


def _ground(
    kind: str, x: np.ndarray, z: np.ndarray, on_path: np.ndarray, noise: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """RGB of the ground; `on_path` is the distance in metres from the middle of the walkway."""
    salt = int(rng.integers(1, 1 << 20))
    n, fine = _sample(noise, x, z, 4.5)[..., None], _sample(noise, x, z, 0.9)[..., None]
    tint = rng.uniform(-12, 12, 3).astype(np.float32)
    if kind == "paving":
        i, j = x / 0.62, z / 0.62
        tone = _cell(i, j, salt)[..., None]
        image = np.array((152, 148, 140), np.float32) + tint + (tone - 0.5) * 26 + 9 * n + 6 * fine
        image[_joint(i, 0.05) | _joint(j, 0.07)] -= 30
        return image
    if kind == "grass":
        image = np.array((92, 128, 66), np.float32) + 18 * n + 20 * fine
        path = np.array((178, 164, 138), np.float32) + tint + 10 * n + 12 * fine
        soft = np.clip((1.75 + 0.15 * n[..., 0] - on_path) / 0.25, 0, 1)[..., None]
        return image * (1 - soft) + path * soft
    if kind == "tiles":
        i, j = (x + z) / 1.27, (x - z) / 1.27
        check = np.mod(np.floor(i) + np.floor(j), 2)[..., None]
        image = np.array((176, 172, 166), np.float32) + tint - 34 * check + 5 * n
        image[_joint(i, 0.025) | _joint(j, 0.025)] = (120, 118, 116)
        return image
    image = np.array((88, 89, 94), np.float32) + tint * 0.6 + 8 * n + 13 * fine
    stripe = (np.mod(x, 1.1) < 0.55) & (z > 7.0) & (z < 9.4)
    image[stripe] = 0.85 * np.array((205, 205, 200), np.float32) + 12 * fine[stripe] + 10
    curb = (z > 12.1) & (z < 12.35)
    image[curb] = (170, 168, 164)
    beyond = z >= 12.35
    image[beyond] = (np.array((150, 146, 140), np.float32) + 8 * n + 6 * fine)[beyond]
    return image


@dataclass(frozen=True)
class Layer:
    """A foreground thing: `alpha` (h, w) uint8 at pixel (x, y); whoever is farther than z_m is hidden behind it."""

    z_m: float
    x: int
    y: int
    alpha: np.ndarray


def _draw_occluder(
    occluder: Occluder, camera: Camera, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """→ RGB and alpha, full frame."""
    rgb, alpha = np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
    u, v, scale = (float(k) for k in camera.project(occluder.x_m, occluder.z_m))
    upright = float(np.cos(camera.pitch_rad)) * scale

    def box(x0: float, x1: float, y0: float, y1: float, colour: RGB, shade: float = 0.8) -> None:
        a, b = (
            (round(u + x0 * scale), round(v - y1 * upright)),
            (round(u + x1 * scale), round(v - y0 * upright)),
        )
        cv2.rectangle(rgb, a, b, colour, -1)
        cv2.rectangle(alpha, a, b, 255, -1)
        third = (round(u + (x0 + 0.68 * (x1 - x0)) * scale), a[1])
        cv2.rectangle(rgb, third, b, tuple(int(c * shade) for c in colour), -1)

    def blob(x: float, y: float, radius: float, colour: RGB, count: int) -> None:
        for _ in range(count):
            angle, r = rng.uniform(0, 2 * np.pi), radius * np.sqrt(rng.uniform(0, 1))
            at = (
                round(u + (x + r * np.cos(angle)) * scale),
                round(v - (y + 0.8 * r * np.sin(angle)) * upright),
            )
            size = max(2, round(rng.uniform(0.16, 0.34) * radius * scale))
            light = 1.0 + 0.28 * np.sin(angle) + rng.uniform(-0.14, 0.14)
            cv2.circle(rgb, at, size, tuple(int(np.clip(c * light, 0, 255)) for c in colour), -1, cv2.LINE_AA)
            cv2.circle(alpha, at, size, 255, -1, cv2.LINE_AA)

    if occluder.kind == "pillar":
        box(-0.16, 0.16, 0.0, 5.0, (128, 126, 122))
        box(-0.21, 0.21, 0.0, 0.22, (96, 94, 92))
    elif occluder.kind == "tree":
        box(-0.11, 0.11, 0.0, 2.2, (92, 70, 52))
        blob(0.0, 2.75, 0.75, (72, 108, 54), 46)
    elif occluder.kind == "bench":
        for leg in (-0.62, 0.55):
            box(leg, leg + 0.07, 0.0, 0.45, (58, 58, 60))
        for y in (0.40, 0.56, 0.70):
            box(-0.75, 0.75, y, y + 0.09, (134, 92, 56), 0.95)
    else:
        box(-0.48, 0.48, 0.0, 0.42, (142, 128, 116))
        blob(0.0, 0.58, 0.34, (70, 118, 60), 30)
    return rgb, alpha


def build_scenery(camera: Camera) -> tuple[np.ndarray, list[Layer]]:
    """→ background (H, W, 3) BGR uint8 before the camera's light, and its occluders."""
    rng = np.random.Generator(np.random.PCG64(camera.scenery_seed))
    noise = _noise(rng)
    v, u = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    rx, ry = (u + 0.5 - WIDTH / 2) / camera.focal_px, (v + 0.5 - HEIGHT / 2) / camera.focal_px
    c, s = float(np.cos(camera.pitch_rad)), float(np.sin(camera.pitch_rad))
    down, ahead = ry * c + s, c - ry * s
    with np.errstate(divide="ignore", invalid="ignore"):
        to_ground = np.where(down > 1e-4, camera.height_m / down, np.inf).astype(np.float32)
        ca, sa = float(np.cos(camera.wall_angle_rad)), float(np.sin(camera.wall_angle_rad))
        to_wall = (camera.wall_m * ca / (rx * sa + ahead * ca)).astype(np.float32)
    on_wall = to_wall < to_ground
    t = np.where(on_wall, to_wall, to_ground)
    x, z, up = rx * t, ahead * t, camera.height_m - down * t
    points, _ = walkway_curve(camera, 60)
    on_path = np.full(x.shape, 99.0, np.float32)
    for px, pz in points:
        on_path = np.minimum(on_path, np.hypot(x - px, z - pz).astype(np.float32))
    image = np.where(
        on_wall[..., None],
        _wall(camera.wall, (x * ca - z * sa).astype(np.float32), up.astype(np.float32), noise, rng),
        _ground(camera.ground, x.astype(np.float32), z.astype(np.float32), on_path, noise, rng),
    )
    # Where ground and wall meet it is darker.
    image *= (1 - 0.35 * np.exp(-np.where(on_wall, up, np.hypot(0, (to_wall - t)) * 0.6) / 0.5))[..., None]
    image = cv2.GaussianBlur(np.clip(image, 0, 255).astype(np.uint8), (3, 3), 0.6)
    layers = []
    for occluder in sorted(camera.occluders, key=lambda o: -o.z_m):
        rgb, alpha = _draw_occluder(occluder, camera, rng)
        a = alpha[..., None] / 255.0
        image = (image * (1 - a) + rgb * a).astype(np.uint8)
        ys, xs = np.nonzero(alpha)
        if len(ys):
            x0, y0 = int(xs.min()), int(ys.min())
            layers.append(Layer(occluder.z_m, x0, y0, alpha[y0 : ys.max() + 1, x0 : xs.max() + 1].copy()))
    return np.ascontiguousarray(image[..., ::-1]), layers
