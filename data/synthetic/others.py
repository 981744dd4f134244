"""Pictures of *other* drawn people before *other* cameras: what the detector and the self-supervised start may look at.

Nobody here is on the demo site and no camera, background or light is: ids start at FIRST_PID and everything is drawn from streams of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from data.synthetic.appearance import Person, random_person
from data.synthetic.cameras import Camera, random_camera
from data.synthetic.render import Stand, Studio, TruthBox

FIRST_PID = 10_000


def _stand(
    rng: np.random.Generator, person: Person, camera: Camera, near: tuple[float, float] | None
) -> Stand:
    """Somewhere on the ground the camera sees, or beside `near`, with any heading."""
    far = camera.walkway[-1][1]
    z = (
        float(rng.uniform(camera.walkway[0][1] - 0.5, far + 1.0))
        if near is None
        else near[1] + float(rng.uniform(-0.8, 0.8))
    )
    half = 256 / camera.focal_px * z + 0.3
    x = float(rng.uniform(-half, half)) if near is None else near[0] + float(rng.uniform(-0.9, 0.9))
    turn = float(rng.uniform(0, 2 * np.pi))
    return Stand(person, x, z, float(np.sin(turn)), float(np.cos(turn)), float(rng.uniform(0, 50)))


def other_pictures(
    seed: int, cameras: int, per_camera: int, max_people: int = 6
) -> Iterator[tuple[np.ndarray, list[TruthBox]]]:
    """`cameras * per_camera` still pictures (BGR) with their boxes; new people in every picture."""
    pid = FIRST_PID
    for index in range(cameras):
        rng = np.random.Generator(np.random.PCG64([seed, 77, index]))
        studio = Studio(random_camera(rng, f"other{index}"))
        for shot in range(per_camera):
            stands: list[Stand] = []
            for _ in range(int(rng.integers(1, max_people + 1)) if rng.random() < 0.95 else 0):
                company = stands and rng.random() < 0.35  # people who walk close together hide each other
                near = (stands[-1].x_m, stands[-1].z_m) if company else None
                stands.append(_stand(rng, random_person(rng, pid), studio.camera, near))
                pid += 1
            yield studio.picture(stands, shot)
