"""Where a box will be: a Kalman filter for many tracks at once, for any time between frames.

The centre moves with constant velocity under white-noise acceleration, width and height are random walks, and all
noise grows with the person's height in the picture (Wojke et al. 2017, DeepSORT) and with the time since the last
frame (Bar-Shalom et al. 2001, §6.2.2), so that 5 and 25 frames per second describe the same world.

Coordinates do not interact, so each has a 2x2 covariance of position and velocity, kept as three arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass
class State:
    """n tracks: mean and covariance of cx, cy, width, height (px) and of their velocities (px/s); all (n, 4)."""

    position: Array
    velocity: Array
    var_position: Array
    covariance: Array
    var_velocity: Array

    def __len__(self) -> int:
        return len(self.position)

    def keep(self, chosen: npt.NDArray[np.bool_]) -> State:
        """The chosen tracks."""
        return State(
            self.position[chosen], self.velocity[chosen],
            self.var_position[chosen], self.covariance[chosen], self.var_velocity[chosen],
        )  # fmt: skip

    def join(self, other: State) -> State:
        """These tracks, then the others."""
        return State(
            np.concatenate([self.position, other.position]),
            np.concatenate([self.velocity, other.velocity]),
            np.concatenate([self.var_position, other.var_position]),
            np.concatenate([self.covariance, other.covariance]),
            np.concatenate([self.var_velocity, other.var_velocity]),
        )


def start(measured: Array, noise: Noise) -> State:
    """Tracks of unknown velocity at ``measured`` (n, 4) cx, cy, width, height."""
    height = measured[:, 3:4]
    return State(
        measured.astype(np.float64),
        np.zeros_like(measured, dtype=np.float64),
        (height * noise.measurement) ** 2,
        np.zeros_like(measured, dtype=np.float64),
        (height * noise.first_velocity_per_s) ** 2,
    )


def predict(state: State, dt_s: float, noise: Noise) -> State:
    """The tracks ``dt_s`` seconds later."""
    height = state.position[:, 3:4]
    q = (height * noise.acceleration_per_s15) ** 2
    wander = (height * noise.wander_per_s05) ** 2
    return State(
        state.position + dt_s * state.velocity,
        state.velocity,
        state.var_position + dt_s * (2 * state.covariance + dt_s * state.var_velocity) + q * (dt_s**3 / 3) + wander * dt_s,
        state.covariance + dt_s * state.var_velocity + q * (dt_s**2 / 2),
        state.var_velocity + q * dt_s,
    )  # fmt: skip


def update(state: State, rows: npt.NDArray[np.int64], measured: Array, noise: Noise) -> State:
    """The tracks, of which ``rows`` (m,) were seen at ``measured`` (m, 4) cx, cy, width, height."""
    position, velocity = state.position.copy(), state.velocity.copy()
    var_position, covariance = state.var_position.copy(), state.covariance.copy()
    var_velocity = state.var_velocity.copy()
    pp, pv = var_position[rows], covariance[rows]
    innovation_var = pp + (measured[:, 3:4] * noise.measurement) ** 2
    gain, gain_velocity = pp / innovation_var, pv / innovation_var
    innovation = measured - position[rows]
    position[rows] += gain * innovation
    velocity[rows] += gain_velocity * innovation
    var_position[rows] = (1 - gain) * pp
    covariance[rows] = (1 - gain) * pv
    var_velocity[rows] -= gain_velocity * pv
    return State(position, velocity, var_position, covariance, var_velocity)
