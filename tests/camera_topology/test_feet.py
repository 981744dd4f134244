"""Where people stood: zones, homographies, and what they make of the prior."""

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camera_topology.check import doubts
from camera_topology.feet import Feet, ground_matrix, inside, metres_apart, on_ground
from camera_topology.prior import pair_prior
from camera_topology.site import Site, load
from camera_topology.site_schema import Camera, SiteFile
from camera_topology.tracklet_prior import GROUND_STD_M, tracklet_prior
from camera_topology.transit import LOG_FLOOR, WEAK_LOG_PRIOR
from pipeline.errors import UserError
from stages.association.foot_points import feet_of

# A camera four metres up that looks down a street: pixel → metre, by hand from its pose.
FOCAL, HEIGHT, TILT = 800.0, 4.0, 0.35


def street_pixels(world: np.ndarray, shift=(0.0, 0.0)) -> np.ndarray:
    """(N, 2) pixels of (N, 2) points of the ground, metres right and ahead."""
    x, y = (world - np.array(shift)).T
    depth = y * np.cos(TILT) + HEIGHT * np.sin(TILT)
    down = HEIGHT * np.cos(TILT) - y * np.sin(TILT)
    return np.stack([640 + FOCAL * x / depth, 360 + FOCAL * down / depth], axis=1)


def surveyed(camera_id: str, shift=(0.0, 0.0), count: int = 8, noise_px: float = 0.0) -> dict:
    rng = np.random.default_rng(0)
    world = rng.uniform([-6, 4], [6, 25], (count, 2)) + np.array(shift)
    image = street_pixels(world, shift) + noise_px * rng.normal(size=(count, 2))
    points = [
        {"image": tuple(i), "world": tuple(w)} for i, w in zip(image.tolist(), world.tolist(), strict=True)
    ]
    return {"id": camera_id, "points": points}


def site_of(**values) -> Site:
    return Site(SiteFile.model_validate(values))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_inside_is_opencvs_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    polygons = [tuple(map(tuple, rng.uniform(0, 100, (rng.integers(3, 8), 2)))) for _ in range(2)]
    points = rng.uniform(-10, 110, (40, 2))
    # OpenCV counts by winding where a polygon crosses itself, so the convex hulls are compared.
    hulls = [cv2.convexHull(np.float32(p))[:, 0] for p in polygons]
    expected = [any(cv2.pointPolygonTest(h, tuple(map(float, p)), False) >= 0 for h in hulls) for p in points]
    found = inside(points, [tuple(map(tuple, h.astype(float))) for h in hulls])
    assert (found == np.array(expected)).all()


def test_inside_even_odd_and_nowhere() -> None:
    bow = (
        (0.0, 0.0),
        (10.0, 10.0),
        (10.0, 0.0),
        (0.0, 10.0),
    )  # crosses itself: left and right are in, top and bottom out
    points = np.array([[2.0, 5.0], [8.0, 5.0], [5.0, 9.0], [5.0, 1.0], [np.nan, 5.0]])
    assert inside(points, [bow]).tolist() == [True, True, False, False, False]
    assert not inside(points, []).any()


@pytest.mark.parametrize("count", [4, 9])
def test_points_give_the_homography(count: int) -> None:
    matrix = ground_matrix(Camera.model_validate(surveyed("a", (100.0, -40.0), count)))
    assert matrix is not None
    world = np.random.default_rng(1).uniform([-6, 4], [6, 25], (50, 2)) + np.array([100, -40])
    np.testing.assert_allclose(on_ground(matrix, street_pixels(world, (100, -40))), world, atol=1e-5)


def test_noisy_points_agree_with_opencv() -> None:
    camera = Camera.model_validate(surveyed("a", count=20, noise_px=2.0))
    matrix = ground_matrix(camera)
    image, world = (np.array([getattr(p, s) for p in camera.points]) for s in ("image", "world"))
    theirs, _ = cv2.findHomography(image, world)
    assert matrix is not None
    ours_m, theirs_m = (on_ground(m, image) for m in (matrix, theirs))
    assert np.median(np.hypot(*(ours_m - theirs_m).T)) < 0.3  # they minimise in metres, we algebraically
    assert np.median(np.hypot(*(ours_m - world).T)) < 0.5


def test_the_sky_is_no_ground() -> None:
    matrix = ground_matrix(Camera.model_validate(surveyed("a")))
    assert matrix is not None
    horizon = 360 - FOCAL * np.tan(TILT)
    pixels = np.array([[640, horizon + d] for d in (300, 200, 100, 50, -20, -200)])
    placed = on_ground(matrix, pixels)
    assert np.isfinite(placed[:4]).all() and np.isnan(placed[4:]).all()
    assert ground_matrix(Camera(id="a")) is None


def walkers(rng: np.random.Generator, people: int):
    """Everybody crosses a square that both cameras see, at once: feet of 2 × people tracklets, and their owners."""
    t_s = np.arange(0, 8, 0.5)
    start, step = rng.uniform([-5, 6], [5, 20], (people, 2)), rng.uniform(-1, 1, (people, 2))
    rows = []
    for camera, shift in (("a", (0.0, 0.0)), ("b", (0.5, -1.0))):
        for person in range(people):
            path = start[person] + t_s[:, None] * step[person]
            for t, (u, v) in zip(t_s, street_pixels(path, shift), strict=True):
                rows.append((f"{camera}{person}", camera, int(t * 1e6), u - 20, v - 100, u + 20, v))
    boxes = pd.DataFrame(rows, columns=["tracklet_id", "camera_id", "t_utc_us", "x1", "y1", "x2", "y2"])
    tracklets = boxes.groupby("tracklet_id", as_index=False).agg(
        camera_id=("camera_id", "first"), t_start_us=("t_utc_us", "min"), t_end_us=("t_utc_us", "max")
    )
    return tracklets, boxes


def overlapping(**more) -> Site:
    cameras = [surveyed("a"), surveyed("b", (0.5, -1.0))]
    return site_of(cameras=cameras, links=[{"from": "a", "to": "b", "relation": "overlap"}], **more)


def priors(site: Site, tracklets: pd.DataFrame, boxes: pd.DataFrame, clock: float = 0.0, feet=True):
    n = len(tracklets)
    a, b = (x.astype(np.int64) for x in np.triu_indices(n, 1))
    return tracklet_prior(
        site, tracklets.camera_id.to_numpy(str), tracklets.t_start_us.to_numpy(), tracklets.t_end_us.to_numpy(), a, b,
        feet=feet_of(site, tracklets, boxes) if feet else None, clock_std_s={"a": clock, "b": clock},
    ), a, b  # fmt: skip


def test_two_views_of_one_place_tell_people_apart_by_where_they_stand() -> None:
    tracklets, boxes = walkers(np.random.default_rng(0), 8)
    prior, a, b = priors(overlapping(), tracklets, boxes)
    person = tracklets.tracklet_id.str[1:].astype(int).to_numpy()
    across = tracklets.camera_id.to_numpy()[a] != tracklets.camera_id.to_numpy()[b]
    same = person[a] == person[b]
    assert prior.log_prior[across & same].min() > -0.01
    assert np.median(prior.log_prior[across & ~same]) < -3
    blind, *_ = priors(overlapping(), tracklets, boxes, feet=False)
    assert (blind.log_prior[across] == 0).all()
    unsure, *_ = priors(overlapping(), tracklets, boxes, clock=5.0)
    assert (unsure.log_prior[across] >= prior.log_prior[across]).all()
    assert (unsure.log_prior[across & ~same] > prior.log_prior[across & ~same]).any()


def test_ground_prior_written_a_second_time_and_whoever_comes_first() -> None:
    tracklets, boxes = walkers(np.random.default_rng(3), 4)
    site = overlapping()
    prior, a, b = priors(site, tracklets, boxes)
    world = {
        t: on_ground(ground_matrix(site.camera(t[0])), np.stack([(g.x1 + g.x2) / 2, g.y2], axis=1))
        for t, g in boxes.sort_values("t_utc_us").groupby("tracklet_id")
    }
    for p, (i, j) in enumerate(zip(a, b, strict=True)):
        s, t = tracklets.tracklet_id[i], tracklets.tracklet_id[j]
        if s[0] != t[0]:
            metres = np.median(np.hypot(*(world[s] - world[t]).T))
            assert prior.log_prior[p] == pytest.approx(
                max(-(metres**2) / 2 / GROUND_STD_M**2, LOG_FLOOR), rel=0.25, abs=0.05
            )
    shuffled = tracklets.sample(frac=1, random_state=1, ignore_index=True)
    again, c, d = priors(site, shuffled, boxes.sample(frac=1, random_state=2))
    ids, new = tracklets.tracklet_id.to_numpy(), shuffled.tracklet_id.to_numpy()
    of = {frozenset((new[i], new[j])): v for i, j, v in zip(c, d, again.log_prior, strict=True)}
    assert all(of[frozenset((ids[i], ids[j]))] == v for i, j, v in zip(a, b, prior.log_prior, strict=True))


def test_apart_needs_shared_time_and_ground() -> None:
    feet = Feet.of(np.array([0, 0, 1, 1, 2]), np.array([0, 10, 20, 30, 5]), np.zeros((5, 4)), 4)
    line = [np.array([[0.0, 0.0], [10.0, 0.0]]), np.zeros((2, 2)), np.array([[5.0, 3.0]]), None]
    found = metres_apart(feet, line, np.array([0, 0, 0]), np.array([1, 2, 3]))
    assert np.isnan(found[[0, 2]]).all() and found[1] == pytest.approx(3.0)
    assert np.isnan(feet.first()[3]).all() and np.isnan(feet.last()[3]).all()


ZONED = {
    "cameras": [
        {"id": "a", "zones": [{"id": "door", "kind": "exit", "polygon": [(0, 0), (50, 0), (50, 100), (0, 100)]}]},
        {"id": "b", "zones": [{"id": "gate", "kind": "both", "polygon": [(0, 0), (50, 0), (50, 100), (0, 100)]}]},
    ],
    "links": [{"from": "a", "to": "b", "distance_m": 25, "from_zone": "door", "to_zone": "gate", "bidirectional": False}],
}  # fmt: skip


def test_who_leaves_by_another_door_took_another_way() -> None:
    rows = [("a", "a", 0, 90, 40), ("a", "a", 10, 20, 40), ("c", "a", 0, 20, 40), ("c", "a", 10, 90, 40),
            ("x", "b", 30, 20, 40), ("x", "b", 40, 90, 40), ("y", "b", 30, 90, 40), ("y", "b", 40, 20, 40)]  # fmt: skip
    boxes = pd.DataFrame(rows, columns=["tracklet_id", "camera_id", "t_utc_us", "x1", "y2"])
    boxes = boxes.assign(t_utc_us=boxes.t_utc_us * 10**6, x2=boxes.x1, y1=0)
    tracklets = boxes.groupby("tracklet_id", as_index=False).agg(
        camera_id=("camera_id", "first"), t_start_us=("t_utc_us", "min"), t_end_us=("t_utc_us", "max")
    )
    prior, a, b = priors(site_of(**ZONED), tracklets, boxes)
    ids = tracklets.tracklet_id.to_numpy()
    of = {ids[i] + ids[j]: v for i, j, v in zip(a, b, prior.log_prior, strict=True)}
    assert of["ax"] > -0.1  # out by the door, in by the gate, in twenty seconds
    assert of["ay"] == of["cx"] == of["cy"] == WEAK_LOG_PRIOR
    plain = site_of(cameras=[{"id": "a"}, {"id": "b"}], links=[{"from": "a", "to": "b", "distance_m": 25}])
    assert not plain.needs_feet and feet_of(plain, tracklets, boxes) is None


def test_no_feet_is_the_plain_prior() -> None:
    tracklets, boxes = walkers(np.random.default_rng(0), 3)
    site = overlapping()
    prior, a, b = priors(site, tracklets, boxes, feet=False)
    c, s, e = (tracklets[k].to_numpy() for k in ("camera_id", "t_start_us", "t_end_us"))
    plain = pair_prior(site, c[a], s[a], e[a], c[b], s[b], e[b])
    assert (prior.log_prior == plain.log_prior).all() and (prior.gate == plain.gate).all()


def test_zones_are_checked(tmp_path) -> None:
    text = """cameras:
  - {id: a, zones: [{id: door, kind: entry, polygon: [[0, 0], [9, 0], [9, 9]]}]}
  - {id: b}
links:
  - {from: a, to: b, from_zone: %s}
"""
    path = tmp_path / "site.yaml"
    path.write_text(text % "dor")
    with pytest.raises(
        UserError,
        match=r"site.yaml:5:.*links\[0\].from_zone: camera 'a' has no zone 'dor'. Did you mean.*door",
    ):
        load(path)
    path.write_text(text % "door")
    with pytest.raises(
        UserError, match="zone 'door' of camera 'a' is an entry; from_zone wants an exit or both"
    ):
        load(path)


def test_validate_doubts_bad_homographies() -> None:
    flat = [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [0.0, 0.0, 1.0]]
    bent = surveyed("c")
    bent["points"][3] = {**bent["points"][3], "world": (0.0, 60.0)}
    site = site_of(
        cameras=[
            {"id": "a", "homography": flat},
            {"id": "b", "points": surveyed("b")["points"][:3]},
            bent,
            surveyed("d"),
        ],
        links=[
            {"from": "a", "to": "b", "relation": "overlap"},
            {"from": "c", "to": "d", "relation": "overlap"},
        ],
    )
    found = "\n".join(doubts(site))
    assert "camera 'a': its homography maps the picture to a line" in found
    assert "camera 'b': 3 points are too few" in found
    assert "camera 'c': its point at pixel" in found
    assert "camera 'd'" not in found and "link c → d" not in found
    assert "link a → b: the views overlap, and without a homography of both" in found


@pytest.mark.parametrize(
    ("unlisted", "gate", "log_prior"),
    [("weak", True, WEAK_LOG_PRIOR), ("allow", True, 0.0), ("forbid", False, LOG_FLOOR)],
)
def test_another_door_is_as_good_as_no_link(unlisted: str, gate: bool, log_prior: float) -> None:
    """The listed way is too long for the time; who left elsewhere did not walk it, and is not gated by its length."""
    rows = [("c", "a", 0, 20, 40), ("c", "a", 10, 90, 40), ("x", "b", 12, 20, 40), ("x", "b", 20, 90, 40)]
    boxes = pd.DataFrame(rows, columns=["tracklet_id", "camera_id", "t_utc_us", "x1", "y2"])
    boxes = boxes.assign(t_utc_us=boxes.t_utc_us * 10**6, x2=boxes.x1, y1=0)
    tracklets = boxes.groupby("tracklet_id", as_index=False).agg(
        camera_id=("camera_id", "first"), t_start_us=("t_utc_us", "min"), t_end_us=("t_utc_us", "max")
    )
    far = {
        **ZONED,
        "links": [{**ZONED["links"][0], "distance_m": 5000}],
        "defaults": {"unlisted_pairs": unlisted},
    }
    prior, _, _ = priors(site_of(**far), tracklets, boxes)
    assert prior.gate[0] == gate and prior.log_prior[0] == prior.log_time[0] == log_prior
    assert prior.ruled_out[0] == prior.has_prior[0] == (not gate)


def test_an_overlap_said_one_way_is_one_both_ways() -> None:
    tracklets, boxes = walkers(np.random.default_rng(0), 4)
    site = overlapping()
    one_way = Site(
        site.facts.model_copy(
            update={"links": (site.facts.links[0].model_copy(update={"bidirectional": False}),)}
        )
    )
    for where, table in ((one_way, tracklets), (one_way, tracklets[::-1].reset_index(drop=True))):
        prior, a, b = priors(where, table, boxes)
        across = table.camera_id.to_numpy()[a] != table.camera_id.to_numpy()[b]
        assert prior.has_prior[across].all()
