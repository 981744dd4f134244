"""Motion: a walker before a still, noisy wall is found; a change of light, a car's shape and stillness are not."""

import numpy as np
import pytest

from stages.detectors.motion import MotionDetector, moving_boxes


def scene(n, walker, light=0.0, seed=0):
    rng = np.random.default_rng(seed)
    wall = rng.integers(60, 180, (120, 200, 3)).astype(float)
    for k in range(n):
        picture = wall + rng.normal(0, 2, wall.shape) + light * (k >= n // 2)
        if walker is not None:
            x, y, w, h = walker(k)
            picture[y : y + h, x : x + w] = (200, 30, 40)
        yield np.clip(picture, 0, 255).astype(np.uint8)


def test_a_walker_is_found_where_he_is():
    def walker(k):
        return 5 + 2 * k, 40, 18, 50

    boxes = MotionDetector().detect(list(scene(80, walker)))
    assert len(boxes) == 80
    found = 0
    for k in range(30, 80):
        x, y, w, h = walker(k)
        for x1, y1, x2, y2, score in boxes[k]:
            inter = max(0, min(x2, x + w) - max(x1, x)) * max(0, min(y2, y + h) - max(y1, y))
            found += inter / ((x2 - x1) * (y2 - y1) + w * h - inter) > 0.7
            assert 0.5 <= score <= 1
    assert found >= 48  # of 50, and never two boxes for him
    assert max(len(b) for b in boxes[30:]) == 1


def test_stillness_and_a_change_of_light_are_nobody():
    assert sum(len(b) for b in MotionDetector().detect(list(scene(60, None)))[5:]) == 0
    assert sum(len(b) for b in MotionDetector().detect(list(scene(60, None, light=60)))[5:]) == 0


@pytest.mark.parametrize(("shape", "people"), [((60, 20), 1), ((20, 60), 0), ((4, 2), 0), ((100, 15), 0)])
def test_only_upright_regions_are_people(shape, people):
    mask = np.zeros((120, 200), np.uint8)
    mask[10 : 10 + shape[0], 30 : 30 + shape[1]] = 1
    assert len(moving_boxes(mask)) == people


def test_boxes_are_in_pixels_of_the_image_and_cut_to_the_most_wanted():
    mask = np.zeros((120, 200), np.uint8)
    mask[10:70, 30:50] = 1
    np.testing.assert_array_equal(moving_boxes(mask)[0, :4], [30, 10, 50, 70])

    def big(k):
        return 20 + 4 * k, 100, 90, 300

    wall = np.full((480, 960, 3), 90, np.uint8)
    images = []
    for k in range(60):
        picture = wall.copy()
        x, y, w, h = big(k)
        picture[y : y + h, x : x + w] = (200, 30, 40)
        images.append(picture)
    last = MotionDetector(max_detections=1).detect(images)[-1]
    assert len(last) == 1
    np.testing.assert_allclose(last[0, :4], [256, 100, 346, 400], atol=12)
