"""Where a box will be: a Kalman filter for many tracks at once, for any time between frames.

The centre moves with constant velocity under white-noise acceleration, width and height are random walks, and all
noise grows with the person's height in the picture (Wojke et al. 2017, DeepSORT) and with the time since the last
frame (Bar-Shalom et al. 2001, §6.2.2), so that 5 and 25 frames per second describe the same world.

Coordinates do not interact, so each has a 2x2 covariance of position and velocity, kept as three arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """Standard deviations in heights of the person, for (cx, cy, width, height)."""

    acceleration_per_s15: tuple[float, float, float, float] = (0.15, 0.1, 0.0, 0.0)  # h / s^1.5
    wander_per_s05: tuple[float, float, float, float] = (0.1, 0.1, 0.15, 0.15)  # h / s^0.5
    first_velocity_per_s: tuple[float, float, float, float] = (
        0.8,
        0.4,
        0.0,
        0.0,
    )  # h / s, of a track just begun
    measurement: tuple[float, float, float, float] = (0.08, 0.08, 0.08, 0.08)  # h

    @cached_property
    def acceleration_squared(self) -> Array:
        """(4,)"""
        return np.square(self.acceleration_per_s15)

    @cached_property
    def wander_squared(self) -> Array:
        """(4,)"""
        return np.square(self.wander_per_s05)

    @cached_property
    def measurement_of_place(self) -> Array:
        """(2,)"""
        return np.array(self.measurement[:2])


@dataclass
class State:
    """n tracks: cx, cy, width, height (px), their velocities (px/s), and the covariance of the two.

    values: (5, n, 4) in one array, for it is the number of calls that costs: position, velocity, variance of the position,
    covariance, variance of the velocity.
    """

    values: Array

    def __len__(self) -> int:
        return self.values.shape[1]

    @property
    def position(self) -> Array:
        """(n, 4)"""
        return self.values[0]

    @property
    def velocity(self) -> Array:
        """(n, 4)"""
        return self.values[1]

    @property
    def var_position(self) -> Array:
        """(n, 4)"""
        return self.values[2]

    @property
    def covariance(self) -> Array:
        """(n, 4)"""
        return self.values[3]

    @property
    def var_velocity(self) -> Array:
        """(n, 4)"""
        return self.values[4]

    def keep(self, chosen: npt.NDArray[np.bool_]) -> State:
        """The chosen tracks."""
        return State(self.values[:, chosen])

    def join(self, other: State) -> State:
        """These tracks, then the others."""
        return State(np.concatenate([self.values, other.values], axis=1))


def start(measured: Array, noise: Noise) -> State:
    """Tracks of unknown velocity at ``measured`` (n, 4) cx, cy, width, height."""
    height, values = measured[:, 3:4], np.zeros((5, *measured.shape))
    values[0] = measured
    values[2] = (height * noise.measurement) ** 2
    values[4] = (height * noise.first_velocity_per_s) ** 2
    return State(values)


def predict(state: State, dt_s: float, noise: Noise) -> State:
    """The tracks ``dt_s`` seconds later."""
    _, velocity, _, covariance, var_velocity = state.values
    height_squared = state.values[0, :, 3:4] ** 2
    acceleration, wander = noise.acceleration_squared, noise.wander_squared
    moved, gained = dt_s * velocity, dt_s * var_velocity
    values = state.values.copy()
    values[0] += moved
    values[2] += dt_s * (2 * covariance + gained)
    values[2] += height_squared * (acceleration * (dt_s**3 / 3) + wander * dt_s)
    values[3] += gained
    values[3] += height_squared * (acceleration * (dt_s**2 / 2))
    values[4] += height_squared * (acceleration * dt_s)
    return State(values)


def update(state: State, rows: npt.NDArray[np.int64], measured: Array, noise: Noise) -> State:
    """The tracks, of which ``rows`` (m,) were seen at ``measured`` (m, 4) cx, cy, width, height."""
    values = state.values.copy()
    seen = values[:, rows]
    variances = seen[2:4].copy()  # of the position, and its covariance with the velocity
    gain = variances / (
        variances[0] + (measured[:, 3:4] * noise.measurement) ** 2
    )  # of position and velocity
    seen[:2] += gain * (measured - seen[0])
    seen[2:4] *= 1 - gain[0]
    seen[4] -= gain[1] * variances[1]
    values[:, rows] = seen
    return State(values)
