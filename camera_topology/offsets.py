"""How far each camera's clock is ahead, learned from people who walked between cameras.

Of a way that people take in both directions the walk is as long one way as the other, so what the two directions differ
by is twice what the two clocks do. Over a whole network that is one least-squares problem: for every walk from a to b

    seconds = T_way + ahead_b - ahead_a + rest,

with one length T for both directions of a way. The rest has long tails (people stop, matches are wrong), so it is
Student's t with four degrees of freedom beside a uniform share of walks that never were, fitted by EM. Intervals are of a
bootstrap over people, since one person's pace is in all of their walks. A way taken in one direction only tells nothing,
unless its length is known; which cameras can be compared at all is read off the rank of the problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_FREEDOM = 4.0
# A declared way and the mean walking speed tell the time of a walk within this share of it.
_DECLARED_SHARE = 0.15
_LEAST_STD_S = 0.3
_ROUNDS = 60


@dataclass(frozen=True)
class Offsets:
    """ahead_s: camera → seconds its clock is ahead of the reference's; std_s: their standard deviation, infinite where
    nothing tells. walk_s: (a, b) with a < b → seconds of the walk. wrong_share: of walks that never were."""

    reference: str
    ahead_s: dict[str, float]
    std_s: dict[str, float]
    walk_s: dict[tuple[str, str], float]
    wrong_share: float

    def known(self) -> list[str]:
        """Cameras whose clock can be compared with the reference's."""
        return [c for c, std in self.std_s.items() if np.isfinite(std)]

    def wrong(self, sigmas: float = 3.0, least_s: float = 0.5) -> list[str]:
        """Cameras whose clock is off by more than chance and by more than anybody minds."""
        return [
            c for c in self.known()
            if c != self.reference and abs(self.ahead_s[c]) > max(sigmas * self.std_s[c], least_s)
        ]  # fmt: skip


def clock_offsets(
    walks: pd.DataFrame,
    reference: str,
    *,
    declared_s: Mapping[tuple[str, str], float] | None = None,
    window_s: float = 900.0,
    draws: int = 200,
    seed: int = 0,
) -> Offsets:
    """Offsets of all cameras that ``walks`` name, against one of them.

    Args:
        walks: columns from_, to (cameras), seconds (from leaving the one to entering the other, by their clocks) and
            person (who it was thought to be: walks of one are drawn together).
        declared_s: (a, b) → seconds that the walk takes by the site file, either way round.
        window_s: longest time within which two sightings were taken for a walk.
        draws: of the bootstrap, from ``seed``.
    """
    problem = _Problem.of(walks, reference, declared_s or {}, window_s)
    if not len(problem.seconds):
        alone = {c: 0.0 if c == reference else np.inf for c in problem.cameras}
        return Offsets(reference, dict.fromkeys(problem.cameras, 0.0), alone, {}, 0.0)
    whole = np.ones(len(problem.seconds))
    solution, spread_s, share = problem.fit(whole)
    rng = np.random.default_rng(seed)
    people, person = np.unique(walks.person.to_numpy(), return_inverse=True)
    n = len(problem.cameras)
    drawn = np.array(
        [
            problem.fit(_drawn(rng, len(people))[person],
                        (solution, spread_s, share))[0][:n]
            for _ in range(draws)
        ]
    )  # fmt: skip
    # A bootstrap of few people is too sure of itself: the usual correction of a variance.
    std_s = drawn.std(axis=0) * np.sqrt(len(people) / max(len(people) - 1, 1))
    told = problem.identifiable()
    return Offsets(
        reference,
        {c: float(x) if ok else 0.0 for c, x, ok in zip(problem.cameras, solution[:n], told, strict=True)},
        {c: float(x) if ok else float("inf") for c, x, ok in zip(problem.cameras, std_s, told, strict=True)},
        {way: float(x) for way, x in zip(problem.ways, solution[n:], strict=True)},
        1 - share,
    )


@dataclass(frozen=True)
class _Problem:
    """Unknowns: (C,) seconds ahead, then (W,) lengths of walks. design: (N, C + W), one row a walk."""

    cameras: list[str]
    ways: list[tuple[str, str]]
    seconds: Floats
    way: NDArray[np.int64]
    design: Floats
    known: Floats  # (C + W,) what is known beforehand of each unknown
    precision: Floats  # (C + W,) and 1 / variance of that; 0 for nothing
    window_s: float

    @classmethod
    def of(
        cls, walks: pd.DataFrame, reference: str, declared_s: Mapping[tuple[str, str], float], window_s: float
    ) -> _Problem:
        cameras = sorted({reference, *walks.from_, *walks.to})
        place = {c: i for i, c in enumerate(cameras)}
        named = [(min(a, b), max(a, b)) for a, b in zip(walks.from_, walks.to, strict=True)]
        ways = sorted(set(named))
        number = {w: i for i, w in enumerate(ways)}
        way = np.array([number[w] for w in named], np.int64)
        n, rows = len(cameras), np.arange(len(walks))
        design = np.zeros((len(walks), n + len(ways)))
        design[rows, [place[c] for c in walks.to]] += 1
        design[rows, [place[c] for c in walks.from_]] -= 1
        design[rows, n + way] = 1
        known, precision = np.zeros(n + len(ways)), np.zeros(n + len(ways))
        precision[place[reference]] = 1e12
        for i, (a, b) in enumerate(ways):
            seconds = declared_s.get((a, b), declared_s.get((b, a)))
            if seconds is not None:
                known[n + i] = seconds
                precision[n + i] = 1 / max(_DECLARED_SHARE * seconds, 1.0) ** 2
        return cls(cameras, ways, walks.seconds.to_numpy(np.float64), way, design, known, precision, window_s)

    def identifiable(self) -> NDArray[np.bool_]:
        """(C,) whether the walks and what is known beforehand fix each camera's offset: whether it is in the row space."""
        n = len(self.cameras)
        rows = np.concatenate([np.unique(self.design, axis=0), np.diag(self.precision > 0).astype(float)])
        _, values, directions = np.linalg.svd(rows, full_matrices=True)
        rank = int((values > 1e-9 * values.max(initial=1.0)).sum())
        free = directions[rank:, :n]
        return np.asarray((np.abs(free) < 1e-9).all(axis=0))

    def fit(
        self, times: Floats, start: tuple[Floats, Floats, float] | None = None
    ) -> tuple[Floats, Floats, float]:
        """EM: the unknowns, (W,) spread of each way's walks, and the share of walks that were; ``times``: each walk counts so often."""
        if start is None:
            x, spread_s, share = self._beginning(), np.full(len(self.ways), 10.0), 0.8
        else:
            x, spread_s, share = start
        for _ in range(_ROUNDS if start is None else 8):
            rest = self.seconds - self.design @ x
            z = (rest / spread_s[self.way]) ** 2
            walked = share * _student(z) / spread_s[self.way]
            real = walked / (walked + (1 - share) / self.window_s) * times
            pull = real * (_FREEDOM + 1) / (_FREEDOM + z)
            weight = pull / spread_s[self.way] ** 2
            normal = (self.design * weight[:, None]).T @ self.design + np.diag(self.precision + 1e-9)
            x = np.linalg.solve(normal, self.design.T @ (weight * self.seconds) + self.precision * self.known)
            rest = self.seconds - self.design @ x
            # Two walks' worth of a spread of five seconds keep ways of few walks sober.
            total = np.bincount(self.way, pull * rest**2, len(self.ways)) + 2 * 25.0
            spread_s = np.maximum(
                np.sqrt(total / (np.bincount(self.way, real, len(self.ways)) + 2)), _LEAST_STD_S
            )
            share = float(np.clip((real.sum() + 4) / (times.sum() + 5), 0.05, 0.999))
        return x, spread_s, share

    def _beginning(self) -> Floats:
        """Clocks that are right, and each walk as long as the middle of its times."""
        n = len(self.cameras)
        x = np.zeros(n + len(self.ways))
        for i in range(len(self.ways)):
            x[n + i] = np.median(self.seconds[self.way == i])
        return np.where((self.precision > 0) & (np.arange(len(x)) >= n), self.known, x)


def _drawn(rng: np.random.Generator, n: int) -> Floats:
    """How often each of n is drawn when n are drawn with replacement."""
    return np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)


def _student(z: Floats) -> Floats:
    """Density of Student's t with four degrees of freedom at the square root of ``z``."""
    return np.asarray(0.375 * (1 + z / _FREEDOM) ** (-(_FREEDOM + 1) / 2))
