"""The spacing of frames, told from those that have boxes."""

import numpy as np
import pytest

from stages.tracking.spacing import LONGEST_S, local_steps, steps


def of(frame: list[int], fps: float) -> np.ndarray:
    numbers = np.array(frame)
    return steps(numbers / fps, np.zeros(len(numbers), np.int64), numbers)


def test_a_frame_without_a_box_is_no_longer_step() -> None:
    np.testing.assert_allclose(of([0, 1, 5, 6, 9], 10), 0.1)
    np.testing.assert_allclose(of([3, 40, 91, 200], 10), 0.1)


def test_frames_at_a_rhythm_were_looked_at_alone() -> None:
    np.testing.assert_allclose(of([0, 12, 24, 60, 72], 24), 0.5)
    assert of([0, 13, 25, 38, 50], 25) == pytest.approx(0.5, abs=0.03)


def test_a_pause_changes_no_rate_and_a_slower_rate_is_known_at_its_first_frame() -> None:
    step = np.array([0.1] * 9 + [60.0] + [0.1] * 9)
    np.testing.assert_allclose(local_steps(step), 0.1)
    step = np.array([0.04] * 9 + [1.0] * 9)
    assert local_steps(step)[9] == 1.0 and local_steps(step)[0] == 0.04
    assert local_steps(np.full(9, 60.0)).max() == LONGEST_S
    assert local_steps(np.zeros(0)).size == 0
