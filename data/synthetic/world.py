"""The demo site without pixels: who walks where, when. Fixed once; a seed directs it and the numpy version does not.

Two recordings: the first, before the evaluation cut, shows the people of the training part, the second the *other* people of the test part.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.synthetic.appearance import Person, population
from data.synthetic.cameras import (
    SITE_CAMERAS,
    SITE_LINKS,
    Camera,
    Link,
    unseen_end_m,
    walkway_curve,
    walkway_length_m,
)

DEFAULT_SEED = 20260301
FPS = 10
RECORDING_S = 150.0
STARTS_UTC = (dt.datetime(2026, 3, 1, 8, tzinfo=dt.UTC), dt.datetime(2026, 3, 1, 9, tzinfo=dt.UTC))
CUT_UTC = dt.datetime(2026, 3, 1, 8, 30, tzinfo=dt.UTC)
TRAVELLERS, LOCALS, TRIOS = (
    40,
    6,
    4,
)  # people of several cameras, of one camera only, and look-alike trios among the former
GROUP_SIZES = (3, 2, 2, 2)  # people who walk together, in every part
MAX_IN_VIEW = 6


@dataclass(frozen=True)
class Appearance:
    """One walk through one view. `direction` +1 runs from walkway end 0 to end 1. Times are seconds since the recording's start."""

    pid: int
    camera_id: str
    enter_s: float
    leave_s: float
    direction: int
    lane_m: float
    group: int  # people walking together share it; -1 alone


@dataclass(frozen=True)
class Recording:
    start_utc: dt.datetime
    duration_s: float
    people: tuple[Person, ...]
    appearances: tuple[Appearance, ...]

    @property
    def frames(self) -> int:
        return round(self.duration_s * FPS)


@dataclass(frozen=True)
class World:
    seed: int
    cameras: tuple[Camera, ...]
    links: tuple[Link, ...]
    recordings: tuple[Recording, ...]


def video_stem(camera_id: str, recording: Recording) -> str:
    return f"{camera_id}_{recording.start_utc:%Y%m%dT%H%M%SZ}"


def place(
    appearance: Appearance, camera: Camera, t_s: float | np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Where the walker of `appearance` is at `t_s` → X, Z (m), heading (hx, hz) of unit length, metres walked so far."""
    points, length = walkway_curve(camera)
    share = (np.asarray(t_s, float) - appearance.enter_s) / (appearance.leave_s - appearance.enter_s)
    walked = share * length[-1]
    along = walked if appearance.direction > 0 else length[-1] - walked
    x, z = np.interp(along, length, points[:, 0]), np.interp(along, length, points[:, 1])
    tangent = np.gradient(points, axis=0)
    tx, tz = np.interp(along, length, tangent[:, 0]), np.interp(along, length, tangent[:, 1])
    norm = np.hypot(tx, tz)
    tx, tz = tx / norm, tz / norm
    # The lane is to the right of direction +1, whichever way one walks: two people in one lane can meet.
    return (
        x + appearance.lane_m * tz,
        z - appearance.lane_m * tx,
        tx * appearance.direction,
        tz * appearance.direction,
        walked,
    )


def _itinerary(rng: np.random.Generator, length: int) -> list[tuple[str, int, float]]:
    """A walk of `length` different cameras → (camera_id, direction, metres from the camera before)."""
    ids = [c.camera_id for c in SITE_CAMERAS]
    while True:
        direction = 1 if rng.random() < 0.5 else -1
        steps = [(ids[int(rng.integers(len(ids)))], direction, 0.0)]
        while len(steps) < length:
            here = steps[-1][0]
            ways = [(link.b, link.distance_m) for link in SITE_LINKS if direction > 0 and link.a == here]
            ways += [(link.a, link.distance_m) for link in SITE_LINKS if direction < 0 and link.b == here]
            ways = [w for w in ways if w[0] not in {s[0] for s in steps}]
            if not ways:
                break
            camera, distance = ways[int(rng.integers(len(ways)))]
            steps.append((camera, direction, distance))
        if len(steps) == length:
            return steps


def _walk(
    rng: np.random.Generator, people: list[Person], group: int, steps: list[tuple[str, int, float]]
) -> list[Appearance]:
    """Times of a walk that starts at 0 s; who walks in a group keeps the pace of its slowest member."""
    lengths = {c.camera_id: walkway_length_m(c) for c in SITE_CAMERAS}
    pace = min(p.speed_m_per_s for p in people)
    lanes = [float(rng.uniform(-0.9, 0.9))] if len(people) == 1 else list(np.linspace(-0.7, 0.7, len(people)))
    behind = [0.0] + [float(v) for v in rng.uniform(0.2, 1.1, len(people) - 1)]
    t, out = 0.0, []
    for camera_id, direction, distance in steps:
        if distance:
            # Most keep their pace within a few per cent; one in six dawdles (a shop window, a telephone call).
            dawdle = rng.uniform(1.35, 2.0) if rng.random() < 1 / 6 else rng.normal(1.0, 0.05)
            t += distance / pace * float(max(dawdle, 0.9))
        speed = pace * float(rng.uniform(0.95, 1.05))
        for person, lane, lag in zip(people, lanes, behind, strict=True):
            out.append(
                Appearance(
                    person.pid,
                    camera_id,
                    t + lag,
                    t + lag + lengths[camera_id] / speed,
                    direction,
                    float(lane),
                    group,
                )
            )
        t += lengths[camera_id] / speed
    return out


def _shifted(walk: list[Appearance], by_s: float) -> list[Appearance]:
    return [
        Appearance(
            a.pid,
            a.camera_id,
            round(a.enter_s + by_s, 2),
            round(a.leave_s + by_s, 2),
            a.direction,
            round(a.lane_m, 2),
            a.group,
        )
        for a in walk
    ]


def _crowded(walks: list[Appearance]) -> bool:
    for camera in {a.camera_id for a in walks}:
        spans = [(a.enter_s, a.leave_s) for a in walks if a.camera_id == camera]
        if any(sum(s <= t <= e for s, e in spans) > MAX_IN_VIEW for t, _ in spans):
            return True
    return False


def _schedule(rng: np.random.Generator, people: list[Person]) -> list[Appearance]:
    """Everybody's walk in one recording: groups that cross each other first, then single walkers, then people of one camera."""
    order = [int(k) for k in rng.permutation(TRAVELLERS)]
    parties: list[list[Person]] = []
    for size in GROUP_SIZES:
        parties.append([people[order.pop()] for _ in range(size)])
    parties += [[people[k]] for k in order]
    parties += [[p] for p in people[TRAVELLERS:]]
    done: list[Appearance] = []
    meet: tuple[str, int, float] | None = (
        None  # camera, direction and middle time of the group before: the next one walks into it
    )
    for index, party in enumerate(parties):
        group = index if len(party) > 1 else -1
        local = party[0].pid >= people[TRAVELLERS].pid
        for _ in range(10_000):
            walk = _walk(
                rng,
                party,
                group,
                _itinerary(rng, 1 if local else int(rng.choice((2, 3, 4), p=(0.25, 0.35, 0.4)))),
            )
            end = max(a.leave_s for a in walk)
            if end > RECORDING_S - 4:
                continue
            start = float(rng.uniform(2, RECORDING_S - 2 - end))
            if meet is not None:
                there = [a for a in walk if a.camera_id == meet[0] and a.direction == -meet[1]]
                if not there:
                    continue
                start = meet[2] - (there[0].enter_s + there[0].leave_s) / 2
            walk = _shifted(walk, start)
            if (
                min(a.enter_s for a in walk) < 1
                or max(a.leave_s for a in walk) > RECORDING_S - 1
                or _crowded(done + walk)
            ):
                continue
            break
        else:  # cannot happen for the sizes above; better loud than a missing person
            raise RuntimeError(f"no place in the schedule for the people {[p.pid for p in party]}")
        done += walk
        if group >= 0:
            first = walk[0]
            meet = None if meet else (first.camera_id, first.direction, (first.enter_s + first.leave_s) / 2)
        else:
            meet = None
    return sorted(done, key=lambda a: (a.camera_id, a.enter_s, a.pid))


def build_world(seed: int = DEFAULT_SEED) -> World:
    """The demo site. Person ids run from 1; the parts share none."""
    recordings = []
    for part, start in enumerate(STARTS_UTC):
        rng = np.random.Generator(np.random.PCG64([seed, part]))
        people = population(rng, 1 + part * (TRAVELLERS + LOCALS), TRAVELLERS + LOCALS, TRIOS)
        recordings.append(Recording(start, RECORDING_S, tuple(people), tuple(_schedule(rng, people))))
    return World(seed, SITE_CAMERAS, SITE_LINKS, tuple(recordings))


def path_between_views_m(link: Link) -> float:
    """What who installs the cameras would measure: from where one picture ends to where the other begins."""
    camera = {c.camera_id: c for c in SITE_CAMERAS}
    return (
        link.distance_m + unseen_end_m(camera[link.a], link.a_end) + unseen_end_m(camera[link.b], link.b_end)
    )


def site_description(world: World) -> dict[str, Any]:
    """The world as a site file (camera topology YAML): cameras, path lengths, walking speed, evaluation cut."""
    filename = {"regex": r"_(?P<start>\d{8}T\d{6}Z)\.mp4$", "strptime": "%Y%m%dT%H%M%SZ", "timezone": "UTC"}
    return {
        "version": 1,
        "site": {
            "name": "synthetic-site",
            "timezone": "UTC",
            "walking_speed_m_per_s": {"mean": 1.25, "std": 0.2, "max": 2.5},
        },
        "cameras": [
            {
                "id": c.camera_id,
                "videos": [f"{c.camera_id}_*.mp4"],
                "filename": dict(filename),
                "fps": FPS,
                "position": {"x_m": c.position_m[0], "y_m": c.position_m[1]},
            }
            for c in world.cameras
        ],
        "links": [
            {"from": k.a, "to": k.b, "relation": "adjacent", "distance_m": round(path_between_views_m(k), 1)}
            for k in world.links
        ],
        "evaluation": {
            "train_until": f"{CUT_UTC:%Y-%m-%dT%H:%M:%SZ}",
            "test_from": f"{CUT_UTC:%Y-%m-%dT%H:%M:%SZ}",
        },
    }
