"""The demo site without pixels: every promised ingredient is there, and the schedule is physically possible."""

import collections
import hashlib
import itertools

import numpy as np
import pytest

from data.synthetic.appearance import PATTERNS
from data.synthetic.cameras import (
    HEIGHT,
    SITE_CAMERAS,
    WIDTH,
    unseen_end_m,
    walkway_curve,
    walkway_length_m,
)
from data.synthetic.world import (
    CUT_UTC,
    FPS,
    LOCALS,
    MAX_IN_VIEW,
    RECORDING_S,
    SITE_LINKS,
    TRAVELLERS,
    build_world,
    place,
    site_description,
)


@pytest.fixture(scope="module")
def world():
    return build_world()


def _digest(world):
    text = "\n".join(
        f"{a.pid} {a.camera_id} {a.enter_s:.2f} {a.leave_s:.2f} {a.direction} {a.lane_m:.2f} {a.group}"
        for r in world.recordings
        for a in r.appearances
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_same_seed_same_world(world):
    assert build_world() == world
    assert build_world(world.seed + 1).recordings != world.recordings


def test_description_is_fixed(world):
    # The demo's figures are compared across versions of the project: the site must not move under them.
    assert _digest(world) == "46e517fb9970115d"


def test_parts_share_no_person_and_lie_on_their_side_of_the_cut(world):
    first, second = world.recordings
    assert not {p.pid for p in first.people} & {p.pid for p in second.people}
    assert (
        first.start_utc.timestamp() + first.duration_s < CUT_UTC.timestamp() <= second.start_utc.timestamp()
    )
    for r in world.recordings:
        assert all(0 < a.enter_s < a.leave_s < RECORDING_S for a in r.appearances)
        assert {a.pid for a in r.appearances} == {p.pid for p in r.people}


def test_cameras_per_person(world):
    for r in world.recordings:
        seen = collections.defaultdict(list)
        for a in r.appearances:
            seen[a.pid].append(a.camera_id)
        counts = collections.Counter(len(set(c)) for c in seen.values())
        assert all(len(c) == len(set(c)) for c in seen.values())
        assert counts[1] == LOCALS and sum(counts[k] for k in (2, 3, 4)) == TRAVELLERS


def test_lookalikes_differ_by_little(world):
    for r in world.recordings:
        dressed = collections.defaultdict(list)
        for p in r.people:
            dressed[p.outfit_id].append(p)
        trios = [t for t in dressed.values() if len(t) > 1]
        assert len(trios) == 4
        for trio in trios:
            assert len(trio) == 3
            assert len({(p.outfit.top, p.outfit.bottom, p.outfit.shoes) for p in trio}) == 1
            assert len({(p.bag, p.hat, p.outfit.top_pattern) for p in trio}) == 3
    everybody = [p for r in world.recordings for p in r.people]
    assert {p.bag for p in everybody} == {"none", "rucksack", "shoulder", "hand"}
    assert {p.hat for p in everybody} == {"none", "cap", "beanie", "brim"}
    assert {p.outfit.top_pattern for p in everybody} == set(PATTERNS)


def test_groups_walk_together_and_meet_others(world):
    for r in world.recordings:
        groups = collections.defaultdict(list)
        for a in r.appearances:
            if a.group >= 0:
                groups[a.group].append(a)
        assert len(groups) == 4
        for walks in groups.values():
            by_camera = collections.defaultdict(list)
            for a in walks:
                by_camera[a.camera_id].append(a)
            assert all(
                len(v) >= 2 and max(a.enter_s for a in v) - min(a.enter_s for a in v) < 1.2
                for v in by_camera.values()
            )
        crossings = [
            (a, b)
            for a in r.appearances
            for b in r.appearances
            if 0 <= a.group < b.group
            and a.camera_id == b.camera_id
            and a.direction != b.direction
            and min(a.leave_s, b.leave_s) - max(a.enter_s, b.enter_s) > 3
        ]
        assert crossings
        busiest = 0
        for camera in world.cameras:
            spans = [(a.enter_s, a.leave_s) for a in r.appearances if a.camera_id == camera.camera_id]
            busiest = max(busiest, *(sum(s <= t <= e for s, e in spans) for t, _ in spans))
        assert 4 <= busiest <= MAX_IN_VIEW


def test_speeds_fit_path_lengths(world):
    distance = {}
    for link in SITE_LINKS:
        distance[link.a, link.b] = distance[link.b, link.a] = link.distance_m
    length = {c.camera_id: walkway_length_m(c) for c in world.cameras}
    ratios = []
    for r in world.recordings:
        speed = {p.pid: p.speed_m_per_s for p in r.people}
        walks = collections.defaultdict(list)
        for a in r.appearances:
            walks[a.pid].append(a)
            assert 0.7 < length[a.camera_id] / (a.leave_s - a.enter_s) < 2.0
        for pid, seen in walks.items():
            seen.sort(key=lambda a: a.enter_s)
            for a, b in itertools.pairwise(seen):
                walked = distance[a.camera_id, b.camera_id] / (b.enter_s - a.leave_s)
                assert walked < 2.5  # the site file's maximum speed
                if a.group < 0:
                    ratios.append(speed[pid] / walked)
    # Most keep their pace, some dawdle.
    assert 0.95 < np.median(ratios) < 1.1 and 0.05 < np.mean(np.array(ratios) > 1.3) < 0.35


def test_walkway_ends_are_out_of_view(world):
    for r in world.recordings:
        cameras = {c.camera_id: c for c in world.cameras}
        for a in r.appearances:
            camera = cameras[a.camera_id]
            for t in (a.enter_s, a.leave_s):
                x, z, hx, hz, _ = place(a, camera, t)
                u, _, scale = camera.project(x, z, 0.9)
                assert u + 0.4 * scale < 0 or u - 0.4 * scale > WIDTH
                assert np.hypot(hx, hz) == pytest.approx(1.0)
            x, z, *_ = place(a, camera, (a.enter_s + a.leave_s) / 2)
            u, v, _ = camera.project(x, z)
            assert 0 < u < WIDTH and 0 < v < HEIGHT + 10


def test_walking_position_moves_at_walking_speed(world):
    a = world.recordings[0].appearances[5]
    camera = next(c for c in world.cameras if c.camera_id == a.camera_id)
    t = np.arange(a.enter_s + 1, a.leave_s - 1, 1 / FPS)
    x, z, hx, hz, walked = place(a, camera, t)
    step = np.hypot(np.diff(x), np.diff(z)) * FPS
    assert np.all((step > 0.4) & (step < 2.8)) and np.all(np.diff(walked) > 0)
    along = (np.diff(x) * hx[:-1] + np.diff(z) * hz[:-1]) * FPS
    assert np.allclose(along, step, rtol=0.05)  # people walk where they look


def test_site_description_matches_the_world(world):
    site = site_description(world)
    assert site["version"] == 1 and site["evaluation"]["train_until"] == "2026-03-01T08:30:00Z"
    assert [c["id"] for c in site["cameras"]] == [c.camera_id for c in world.cameras]
    described = {(k["from"], k["to"]): k["distance_m"] for k in site["links"]}
    assert described.keys() == {(k.a, k.b) for k in SITE_LINKS}
    for link in SITE_LINKS:  # the unseen ends of two walkways come on top
        assert 2 < described[link.a, link.b] - link.distance_m < 7


@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("camera", SITE_CAMERAS, ids=lambda c: c.camera_id)
def test_unseen_end_of_a_walkway_is_where_the_middle_of_a_walker_enters(camera, end):
    points, length = walkway_curve(camera)
    along = length if end == 0 else length[-1] - length
    hidden = unseen_end_m(camera, end)
    for (x, z), metres in zip(points, along, strict=True):
        u, v, _ = camera.project(x, z, 0.85)
        if metres < hidden - 1e-9:
            assert not (0 <= u < WIDTH and 0 <= v < HEIGHT)
