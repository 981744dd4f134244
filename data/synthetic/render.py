"""Videos, truth and site file of a drawn world."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import yaml

from data.synthetic.appearance import Person
from data.synthetic.cameras import HEIGHT, WIDTH, Camera
from data.synthetic.figure import draw_figure
from data.synthetic.scenery import Layer, build_scenery
from data.synthetic.world import FPS, Recording, World, build_world, place, site_description, video_stem

MIN_VISIBILITY = 0.1
_SOLID = 96  # alpha from which a pixel counts as person


@dataclass(frozen=True)
class Stand:
    """One person in one frame: ground position (m), heading, metres walked."""

    person: Person
    x_m: float
    z_m: float
    hx: float
    hz: float
    walked_m: float


@dataclass(frozen=True)
class TruthBox:
    """Box in whole pixels (right and bottom exclusive), clipped to the frame; visibility is the share of the person's pixels one sees."""

    pid: int
    x1: int
    y1: int
    x2: int
    y2: int
    visibility: float


@dataclass(frozen=True)
class Drawn:
    """A figure in the frame: patch at pixel (x, y), what of it is solid, and its whole box in the patch (x1, y1, x2, y2)."""

    patch: np.ndarray
    x: int
    y: int
    z_m: float
    solid: np.ndarray
    box: tuple[int, int, int, int]


class Studio:
    """A camera ready to take pictures: background, occluders, colour curves, noise."""

    def __init__(self, camera: Camera):
        self.camera = camera
        self.background, self.layers = build_scenery(camera)
        light = camera.light
        level = np.arange(256) / 255.0
        curve = [
            np.clip((level * g) ** light.gamma * light.contrast + 0.5 * (1 - light.contrast) * 0.4, 0, 1)
            for g in light.gain[::-1]
        ]
        self.curves = np.rint(np.stack(curve, -1) * 255).astype(np.uint8)[None]
        rng = np.random.Generator(np.random.PCG64([camera.scenery_seed, 1]))
        grain = [
            rng.normal(0, light.noise_std, (HEIGHT, WIDTH, 1))
            + rng.normal(0, 0.3 * light.noise_std, (HEIGHT, WIDTH, 3))
            for _ in range(6)
        ]
        self.grain = [
            (np.clip(np.rint(g), 0, 255).astype(np.uint8), np.clip(np.rint(-g), 0, 255).astype(np.uint8))
            for g in grain
        ]
        disc = np.hypot(*np.meshgrid(np.linspace(-1, 1, 48), np.linspace(-1, 1, 48)))
        self.shadow = (np.clip(1 - disc, 0, 1) ** 0.8).astype(np.float32)

    def picture(self, stands: list[Stand], frame: int) -> tuple[np.ndarray, list[TruthBox]]:
        """→ (H, W, 3) BGR uint8 as this camera records it, and one truth box per person who can be seen (visibility ≥ MIN_VISIBILITY)."""
        image = self.background.copy()
        stands = sorted(stands, key=lambda k: (-k.z_m, k.person.pid))
        for stand in stands:
            self._shade_ground(image, stand)
        drawn = [self._draw(stand) for stand in stands]
        for figure in drawn:
            _hide(figure, self.layers)
            _blend(image, figure)
        boxes = [_truth(stand.person.pid, drawn[k], drawn[k + 1 :]) for k, stand in enumerate(stands)]
        cv2.LUT(image, self.curves, image)
        if self.camera.light.blur_px > 0:
            cv2.GaussianBlur(image, (3, 3), self.camera.light.blur_px, image)
        plus, minus = self.grain[(frame * 7 + frame // 6) % len(self.grain)]
        cv2.add(image, plus, image)
        cv2.subtract(image, minus, image)
        return image, sorted((b for b in boxes if b and b.visibility >= MIN_VISIBILITY), key=lambda b: b.pid)

    def _draw(self, stand: Stand) -> Drawn:
        camera, light = self.camera, self.camera.light
        bearing = np.arctan2(stand.x_m, stand.z_m)
        c, s = float(np.cos(bearing)), float(np.sin(bearing))
        heading = (stand.hx * c - stand.hz * s, stand.hx * s + stand.hz * c)
        u, v, _ = camera.project(stand.x_m, stand.z_m)
        _, _, scale = camera.project(stand.x_m, stand.z_m, 0.9)
        pitch = float(np.arctan2(camera.height_m - 0.9, stand.z_m))
        patch, anchor = draw_figure(
            stand.person, stand.walked_m, heading, pitch, float(scale), light.azimuth, light.shadow
        )
        solid = patch[..., 3] >= _SOLID
        x, y, w, h = cv2.boundingRect(solid.view(np.uint8))
        return Drawn(
            patch,
            round(float(u) - anchor[0]),
            round(float(v) - anchor[1]),
            stand.z_m,
            solid,
            (x, y, x + w, y + h),
        )

    def _shade_ground(self, image: np.ndarray, stand: Stand) -> None:
        u, v, scale = (float(k) for k in self.camera.project(stand.x_m, stand.z_m))
        light = self.camera.light
        lean = -light.azimuth * 0.35 * scale
        w, h = max(4, int(1.25 * scale)), max(3, int(1.25 * scale * np.sin(self.camera.pitch_rad + 0.18)))
        x, y = round(u + lean - w / 2), round(v - h / 2)
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, WIDTH), min(y + h, HEIGHT)
        if x1 <= x0 or y1 <= y0:
            return
        mask = cv2.resize(self.shadow, (w, h))[y0 - y : y1 - y, x0 - x : x1 - x, None]
        region = image[y0:y1, x0:x1]
        region[:] = (region * (1 - (0.25 + 0.5 * light.shadow) * mask)).astype(np.uint8)


def _overlap(
    ax: int, ay: int, a: np.ndarray, bx: int, by: int, b: np.ndarray
) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """Slices into a and into b of the rectangle that both cover, or None."""
    x0, y0 = max(ax, bx), max(ay, by)
    x1, y1 = min(ax + a.shape[1], bx + b.shape[1]), min(ay + a.shape[0], by + b.shape[0])
    if x1 <= x0 or y1 <= y0:
        return None
    return (slice(y0 - ay, y1 - ay), slice(x0 - ax, x1 - ax)), (
        slice(y0 - by, y1 - by),
        slice(x0 - bx, x1 - bx),
    )


def _hide(figure: Drawn, layers: list[Layer]) -> None:
    """Clear what nearer occluders hide."""
    for layer in layers:
        if layer.z_m < figure.z_m and (
            both := _overlap(figure.x, figure.y, figure.patch, layer.x, layer.y, layer.alpha)
        ):
            region = figure.patch[both[0]]
            keep = cv2.merge([255 - layer.alpha[both[1]]] * 4)
            region[:] = cv2.multiply(region, keep, scale=1 / 255.0)


def _blend(image: np.ndarray, figure: Drawn) -> None:
    both = _overlap(0, 0, image, figure.x, figure.y, figure.patch)
    if both:
        region, top = image[both[0]], figure.patch[both[1]]
        rest = cv2.merge([255 - top[..., 3]] * 3)
        region[:] = cv2.add(cv2.multiply(region, rest, scale=1 / 255.0), np.ascontiguousarray(top[..., :3]))


def _truth(pid: int, figure: Drawn, nearer: list[Drawn]) -> TruthBox | None:
    """Box of the whole figure within the frame, and which share of the figure is seen: in the frame, before occluders and nearer people."""
    x1, y1 = max(figure.x + figure.box[0], 0), max(figure.y + figure.box[1], 0)
    x2, y2 = min(figure.x + figure.box[2], WIDTH), min(figure.y + figure.box[3], HEIGHT)
    if x2 - x1 < 2 or y2 - y1 < 2:
        return None
    seen = figure.patch[..., 3] >= _SOLID
    for other in nearer:
        if both := _overlap(figure.x, figure.y, seen, other.x, other.y, other.patch):
            seen[both[0]] &= other.patch[both[1]][..., 3] < _SOLID
    inside = seen[max(-figure.y, 0) : max(HEIGHT - figure.y, 0), max(-figure.x, 0) : max(WIDTH - figure.x, 0)]
    return TruthBox(pid, x1, y1, x2, y2, round(float(inside.sum() / max(figure.solid.sum(), 1)), 3))


@lru_cache(maxsize=16)
def studio(camera: Camera) -> Studio:
    return Studio(camera)


def stands_at(recording: Recording, camera: Camera) -> list[list[Stand]]:
    """Who stands where, per frame of `camera`'s recording."""
    people = {p.pid: p for p in recording.people}
    frames: list[list[Stand]] = [[] for _ in range(recording.frames)]
    for a in recording.appearances:
        if a.camera_id != camera.camera_id:
            continue
        first, last = int(np.ceil(a.enter_s * FPS)), int(np.floor(a.leave_s * FPS))
        numbers = np.arange(max(first, 0), min(last, recording.frames - 1) + 1)
        for frame, *values in zip(numbers, *place(a, camera, numbers / FPS), strict=True):
            frames[frame].append(Stand(people[a.pid], *(float(v) for v in values)))
    return frames


def render_frames(recording: Recording, camera: Camera) -> Iterator[tuple[np.ndarray, list[TruthBox]]]:
    scene = studio(camera)
    for frame, stands in enumerate(stands_at(recording, camera)):
        yield scene.picture(stands, frame)


def _render_video(folder: str, recording: Recording, camera: Camera) -> None:
    """One video (h264, constant 10 frames a second) and its MOT truth, `gt/<stem>.txt`: frame (from 1), id, x, y, w, h, 1, 1, visibility."""
    cv2.setNumThreads(1)
    stem = video_stem(camera.camera_id, recording)
    rows = []
    with av.open(str(Path(folder) / f"{stem}.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"preset": "superfast", "crf": "27", "threads": "1"}
        stream.time_base = Fraction(1, FPS)
        for index, (image, boxes) in enumerate(render_frames(recording, camera)):
            frame = av.VideoFrame.from_ndarray(
                np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420), np.uint8), format="yuv420p"
            )
            frame.pts, frame.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(frame))
            for b in boxes:
                rows.append(
                    f"{index + 1},{b.pid},{b.x1},{b.y1},{b.x2 - b.x1},{b.y2 - b.y1},1,1,{b.visibility:g}\n"
                )
        container.mux(stream.encode())
    (Path(folder) / "gt" / f"{stem}.txt").write_text("".join(rows))


def _truth_table(world: World) -> dict[str, Any]:
    """Who was where, when: the schedule behind the videos."""
    recordings = {}
    for r in world.recordings:
        recordings[f"{r.start_utc:%Y%m%dT%H%M%SZ}"] = {
            "frames": r.frames,
            "people": len(r.people),
            "multi_camera_people": sum(
                len({a.camera_id for a in r.appearances if a.pid == p.pid}) > 1 for p in r.people
            ),
            "outfits": {str(p.pid): p.outfit_id for p in r.people},
            "walks": [
                {
                    "pid": a.pid,
                    "camera": a.camera_id,
                    "enter_s": a.enter_s,
                    "leave_s": a.leave_s,
                    "group": a.group,
                }
                for a in r.appearances
            ],
        }
    return {"fps": FPS, "seed": world.seed, "recordings": recordings}


def render_site(out_dir: Path, seed: int, workers: int = 1) -> None:
    """Write the demo site: videos, gt/, site.yaml, truth.json. Rendered beside `out_dir` and renamed whole; an old `out_dir` gives way."""
    out_dir = out_dir.absolute()
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    world = build_world(seed)
    scratch = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}-", dir=out_dir.parent))
    try:
        (scratch / "gt").mkdir()
        jobs = [
            (str(scratch), recording, camera) for recording in world.recordings for camera in world.cameras
        ]
        if workers > 1:
            with ProcessPoolExecutor(workers) as pool:
                list(pool.map(_render_video, *zip(*jobs, strict=True)))
        else:
            for job in jobs:
                _render_video(*job)
        (scratch / "site.yaml").write_text(yaml.safe_dump(site_description(world), sort_keys=False))
        (scratch / "truth.json").write_text(json.dumps(_truth_table(world), indent=1))
        os.chmod(scratch, 0o755)
        if out_dir.exists():
            shutil.rmtree(out_dir)
        scratch.rename(out_dir)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def site_picture(path: Path, seed: int) -> None:
    """One busy moment of every camera, two by two: what the README shows."""
    world = build_world(seed)
    views = []
    for camera in world.cameras:
        frames = stands_at(world.recordings[0], camera)
        pictures = ((k, studio(camera).picture(frames[k], k)) for k in range(0, len(frames), 20))
        _, (image, _) = max(
            pictures, key=lambda item: (sum(b.visibility > 0.8 for b in item[1][1]), -item[0])
        )
        views.append(cv2.resize(image, None, fx=1.25, fy=1.25, interpolation=cv2.INTER_CUBIC))
    rows = [np.hstack(views[k : k + 2]) for k in range(0, len(views), 2)]
    cv2.imwrite(str(path), np.vstack(rows))
