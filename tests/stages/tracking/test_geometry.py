"""Boxes, Kalman filter and assignment against second, naive writings."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.tracking import kalman
from stages.tracking.assignment import assign
from stages.tracking.boxes import centre_size, corners, grown_iou_matrix, iou_matrix


def random_boxes(rng: np.random.Generator, n: int) -> np.ndarray:
    top_left = rng.uniform(0, 100, (n, 2))
    return np.concatenate([top_left, top_left + rng.uniform(1, 60, (n, 2))], axis=1)


def pixel_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Counted on a grid, for boxes with whole coordinates."""
    canvas = np.zeros((2, 200, 200), bool)
    for layer, (x1, y1, x2, y2) in enumerate((a, b)):
        canvas[layer, int(y1) : int(y2), int(x1) : int(x2)] = True
    return (canvas[0] & canvas[1]).sum() / (canvas[0] | canvas[1]).sum()


@given(st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_iou_is_what_counting_pixels_gives_and_symmetric(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = np.round(random_boxes(rng, 3)), np.round(random_boxes(rng, 4))
    iou = iou_matrix(a, b)
    np.testing.assert_allclose(iou, iou_matrix(b, a).T)
    for i, j in itertools.product(range(3), range(4)):
        assert iou[i, j] == pytest.approx(pixel_iou(a[i], b[j]))
    np.testing.assert_allclose(np.diag(iou_matrix(a, a)), 1)


def test_grown_overlap_is_the_overlap_of_boxes_grown_one_by_one() -> None:
    rng = np.random.default_rng(1)
    a, b, share = random_boxes(rng, 4), random_boxes(rng, 5), np.array([0, 0.1, 0.3, 1.0])

    def grow(box: np.ndarray, s: float) -> np.ndarray:
        x, y, w, h = centre_size(box[None])[0]
        return corners(np.array([[x, y, w * (1 + 2 * s), h * (1 + 2 * s)]]))

    at = centre_size(a)
    grown = grown_iou_matrix(at[:, :2], at[:, 2:], b, share)
    for i, j in itertools.product(range(4), range(5)):
        assert grown[i, j] == pytest.approx(iou_matrix(grow(a[i], share[i]), grow(b[j], share[i]))[0, 0])
    np.testing.assert_allclose(grown[0], iou_matrix(a[:1], b)[0])


def test_corners_and_centres_are_inverse() -> None:
    boxes = random_boxes(np.random.default_rng(2), 10)
    np.testing.assert_allclose(corners(centre_size(boxes)), boxes)


@pytest.mark.parametrize("seed", range(3))
def test_batched_filter_equals_filterpy_track_by_track(seed: int) -> None:
    from filterpy.kalman import KalmanFilter

    rng = np.random.default_rng(seed)
    noise = kalman.Noise()
    n = 4
    measured = np.concatenate([rng.uniform(0, 500, (n, 2)), rng.uniform(20, 200, (n, 2))], axis=1)
    state = kalman.start(measured, noise)
    naive = []
    for z in measured:
        f = KalmanFilter(dim_x=8, dim_z=4)
        f.x = np.concatenate([z, np.zeros(4)])[:, None]
        f.H = np.eye(4, 8)
        std = z[3] * np.concatenate([noise.measurement, noise.first_velocity_per_s])
        f.P = np.diag(std**2)
        naive.append(f)
    for _ in range(20):
        dt = float(rng.uniform(0.02, 0.8))
        state = kalman.predict(state, dt, noise)
        for f in naive:
            h = f.x[3, 0]
            f.F = np.eye(8) + dt * np.eye(8, k=4)
            q = np.diag((h * np.array(noise.acceleration_per_s15)) ** 2)
            wander = np.diag((h * np.array(noise.wander_per_s05)) ** 2) * dt
            f.Q = np.block([[q * dt**3 / 3 + wander, q * dt**2 / 2], [q * dt**2 / 2, q * dt]])
            f.predict()
        rows = np.flatnonzero(rng.random(n) < 0.7)
        measured = state.position[rows] + rng.normal(0, 5, (len(rows), 4))
        measured[:, 2:] = measured[:, 2:].clip(10)
        state = kalman.update(state, rows, measured, noise)
        for row, z in zip(rows, measured, strict=True):
            f = naive[row]
            f.R = np.diag((z[3] * np.array(noise.measurement)) ** 2)
            f.update(z[:, None])
        for i, f in enumerate(naive):
            np.testing.assert_allclose(state.position[i], f.x[:4, 0], rtol=1e-6)
            np.testing.assert_allclose(state.velocity[i], f.x[4:, 0], rtol=1e-6, atol=1e-8)
            np.testing.assert_allclose(state.var_position[i], np.diag(f.P)[:4], rtol=1e-6)
            np.testing.assert_allclose(state.var_velocity[i], np.diag(f.P)[4:], rtol=1e-6, atol=1e-8)
            np.testing.assert_allclose(state.covariance[i], np.diag(f.P, k=4), rtol=1e-6, atol=1e-8)


def test_two_short_predictions_are_one_long_one() -> None:
    """Time steps must not matter; heights do not move, so the noise is the same on both ways."""
    noise = kalman.Noise()
    begin = kalman.start(np.array([[100.0, 50.0, 20.0, 60.0]]), noise)
    begin.velocity[:] = [[30.0, -10.0, 0.0, 0.0]]
    long = kalman.predict(begin, 0.7, noise)
    short = kalman.predict(kalman.predict(begin, 0.3, noise), 0.4, noise)
    for name in ("position", "velocity", "var_position", "covariance", "var_velocity"):
        np.testing.assert_allclose(getattr(long, name), getattr(short, name), rtol=1e-12)


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_assignment_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, m = rng.integers(1, 5, 2)
    similarity, allowed = rng.uniform(0.05, 1, (n, m)), rng.random((n, m)) < 0.6
    rows, columns = assign(similarity, allowed)
    assert allowed[rows, columns].all()
    assert len(set(columns)) == len(columns)
    best = 0.0
    for picks in itertools.product(range(-1, m), repeat=int(n)):
        used = [p for p in picks if p >= 0]
        if len(set(used)) == len(used) and all(allowed[i, p] for i, p in enumerate(picks) if p >= 0):
            best = max(best, sum(similarity[i, p] for i, p in enumerate(picks) if p >= 0))
    assert similarity[rows, columns].sum() == pytest.approx(best)


def test_nothing_allowed_assigns_nothing() -> None:
    rows, columns = assign(np.ones((2, 3)), np.zeros((2, 3), bool))
    assert len(rows) == len(columns) == 0
    rows, columns = assign(np.ones((0, 3)), np.zeros((0, 3), bool))
    assert len(rows) == 0
