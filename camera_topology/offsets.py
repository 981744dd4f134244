"""How far each camera's clock is ahead and how fast it gains, learned from people who walked between cameras.

Of a way that people take in both directions the walk is as long one way as the other, so what the two directions differ
by is twice what the two clocks do. Over a whole network that is one least-squares problem: for every walk from a to b

    seconds = T_way + ahead_b(entered) - ahead_a(left) + rest,    ahead(t) = ahead + rate · (t - middle),

with one length T for both directions of a way. The rest has long tails (people stop, matches are wrong), so it is
Student's t with four degrees of freedom beside a uniform share of walks that never were, fitted by EM (Lange, Little and
Taylor 1989). Clocks gain some hundred parts in a million and seldom more: a Student prior, so that a short recording
invents no rate and a file that is stamped too fast shows all the same. Intervals are of a bootstrap over people, since one
person's pace is in all of their walks, that also draws anew what was taken for known.

A way taken in one direction only tells no offset, unless its length is known; it does tell rates. Each walk touches two
clocks and one length, so all that is needed of a way are the sums of `_Problem.solve`, and lengths are eliminated from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FREEDOM = 4.0
# A declared way and the mean walking speed tell the time of a walk within this share of it.
_DECLARED_SHARE = 0.15
_LEAST_STD_S = 0.3
_ROUNDS, _ROUNDS_AGAIN = 60, 8
# Crystals differ by tens of parts in a million; stamps of a recorder by hundreds and, in the tails, by anything.
_RATE_STD, _RATE_FREEDOM = 150e-6, 1.0
# Adds to every diagonal: clocks that nothing tells stay where they are.
_RIDGE = 1e-9


@dataclass(frozen=True)
class Offsets:
    """What walks tell of clocks, against that of ``reference``.

    ahead_s: camera → seconds its clock is ahead at ``middle_s``; std_s: their standard deviation, infinite where nothing
    tells. walk_s: (a, b) with a < b → seconds of the walk. wrong_fraction: of walks that never were. rate: camera → seconds
    its clock gains a second; rate_std, covariance_s: standard deviation of that, and its covariance with ahead_s.
    middle_s, half_s: the middle of the recording (seconds since 1970) and half of its length. began_s: camera → instant from
    which its scale in the site file counts, for those that have one; not learned, but added by who knows the files.
    """

    reference: str
    ahead_s: dict[str, float]
    std_s: dict[str, float]
    walk_s: dict[tuple[str, str], float]
    wrong_fraction: float
    rate: dict[str, float] = field(default_factory=dict)
    rate_std: dict[str, float] = field(default_factory=dict)
    covariance_s: dict[str, float] = field(default_factory=dict)
    middle_s: float = 0.0
    half_s: float = 0.0
    began_s: dict[str, float] = field(default_factory=dict)

    def known(self) -> list[str]:
        """Cameras whose clock can be compared with the reference's."""
        return [c for c, std in self.std_s.items() if np.isfinite(std)]

    def wrong(self, sigmas: float = 3.0, least_s: float = 0.5) -> list[str]:
        """Cameras whose clock is off at the middle by more than chance and by more than anybody minds."""
        return [
            c for c in self.known()
            if c != self.reference and abs(self.ahead_s[c]) > max(sigmas * self.std_s[c], least_s)
        ]  # fmt: skip

    def drifting(self, sigmas: float = 3.0, least_s: float = 0.5) -> list[str]:
        """Cameras whose clock gains or loses by more than chance, and from middle to end by more than anybody minds."""
        return [
            c for c, rate in self.rate.items()
            if abs(rate) > sigmas * self.rate_std[c] and abs(rate) * self.half_s > least_s
        ]  # fmt: skip

    def off(self) -> list[str]:
        """Cameras whose clock is wrong or drifts."""
        return sorted({*self.wrong(), *self.drifting()})

    def ahead_at(self, camera: str, t_s: float) -> float:
        """Seconds the camera's clock is ahead when it shows ``t_s``."""
        return self.ahead_s[camera] + self.rate.get(camera, 0.0) * (t_s - self.middle_s)

    def std_at(self, camera: str, t_s: float) -> float:
        """Standard deviation of that."""
        apart = t_s - self.middle_s
        drift = 2 * self.covariance_s.get(camera, 0.0) * apart + (self.rate_std.get(camera, 0.0) * apart) ** 2
        return float(np.sqrt(max(self.std_s[camera] ** 2 + drift, 0.0)))


def clock_offsets(
    walks: pd.DataFrame,
    reference: str,
    *,
    declared_s: Mapping[tuple[str, str], float] | None = None,
    window_s: float = 900.0,
    draws: int = 200,
    seed: int = 0,
) -> Offsets:
    """Offsets and rates of all cameras that ``walks`` name, against one of them.

    Args:
        walks: columns from_, to (cameras), seconds (from leaving the one to entering the other, by their clocks), person
            (who it was thought to be: walks of one are drawn together) and left_us (when the one was left, µs by its clock;
            without it clocks are taken to run at one rate).
        declared_s: (a, b) → seconds that the walk takes by the site file, either way round.
        window_s: longest time within which two sightings were taken for a walk.
        draws: of the bootstrap, from ``seed``.
    """
    problem = _Problem.of(walks, reference, declared_s or {}, window_s)
    n = len(problem.cameras)
    if not len(problem.seconds):
        alone = {c: 0.0 if c == reference else np.inf for c in problem.cameras}
        return Offsets(reference, dict.fromkeys(problem.cameras, 0.0), alone, {}, 0.0)
    whole = problem.whole()
    held = problem.touching(whole.clocks[n:])
    people, beforehand = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    n_people = int(problem.person.max()) + 1
    drawn = np.array(
        [
            problem.fit(
                _drawn(people, n_people)[problem.person], whole, _ROUNDS_AGAIN, held, beforehand
            ).clocks
            for _ in range(draws)
        ]
    )
    # A bootstrap of few people is too sure of itself: the usual correction of a variance.
    apart = (drawn - drawn.mean(axis=0)) * np.sqrt(n_people / max(n_people - 1, 1))
    std_s = np.sqrt((apart**2).mean(axis=0))
    both_s = (apart[:, :n] * apart[:, n:]).mean(axis=0)
    told = problem.identifiable()

    def named(values: Floats) -> dict[str, float]:
        return {c: float(x) for c, x in zip(problem.cameras, values, strict=True)}

    return Offsets(
        reference,
        named(np.where(told, whole.clocks[:n], 0.0)),
        named(np.where(told, std_s[:n], np.inf)),
        {way: float(x) for way, x in zip(problem.ways, whole.walk_s, strict=True)},
        1 - whole.share,
        named(whole.clocks[n:] / problem.half_s),
        named(std_s[n:] / problem.half_s),
        named(np.where(told, both_s, 0.0) / problem.half_s),
        problem.middle_s,
        problem.half_s,
    )


def information(walks: pd.DataFrame, reference: str, std_s: Floats) -> tuple[list[str], Floats]:
    """Cameras but the reference, and the Fisher information of walks whose normal error is known, (2 C, 2 C): first of seconds
    ahead, then of rates (s/s), lengths of ways being unknown. std_s: (N,), of each walk; the rest as in `clock_offsets`."""
    problem = _Problem.of(walks, reference, {}, np.inf)
    n = len(problem.cameras)
    normal, _, _ = problem.normal(1 / np.asarray(std_s)[problem.order] ** 2, problem.known_s)
    unit = np.repeat([1.0, problem.half_s], n)
    free = np.arange(2 * n) % n != problem.reference
    others = [c for c in problem.cameras if c != reference]
    return others, (unit[:, None] * normal * unit)[np.ix_(free, free)]


@dataclass(frozen=True)
class _Fit:
    """clocks: (2 C,) seconds ahead at the middle, then seconds gained from there to the end; walk_s, spread_s: (W,) length of
    each way's walks and how they spread; share: of walks that were."""

    clocks: Floats
    walk_s: Floats
    spread_s: Floats
    share: float


@dataclass(frozen=True)
class _Problem:
    """Unknowns: (2 C,) clocks as in `_Fit`, then (W,) lengths of walks. Rows are walks, in ``order`` (N,) of their way.

    first: (W,) a way's first row. ends: (W, 4) which clocks a way touches; row: (N, 4) by how much each walk does.
    known_s, precision: (W,) what is known beforehand of each length, and 1 / variance of that, 0 for nothing.
    """

    cameras: list[str]
    reference: int
    ways: list[tuple[str, str]]
    seconds: Floats
    person: Ints
    order: Ints
    way: Ints
    first: Ints
    ends: Ints
    row: Floats
    known_s: Floats
    precision: Floats
    window_s: float
    middle_s: float
    half_s: float

    @classmethod
    def of(
        cls, walks: pd.DataFrame, reference: str, declared_s: Mapping[tuple[str, str], float], window_s: float
    ) -> _Problem:
        cameras = sorted({reference, *walks.from_, *walks.to})
        n = len(cameras)
        from_, to = (pd.Categorical(walks[name], cameras).codes.astype(np.int64) for name in ("from_", "to"))
        seconds = walks.seconds.to_numpy(np.float64)
        timed = "left_us" in walks and len(walks) > 0
        left_s = walks.left_us.to_numpy(np.float64) / 1e6 if timed else np.zeros(len(walks))
        entered_s = left_s + seconds * timed
        first_s, last_s = (float(left_s.min()), float(entered_s.max())) if timed else (0.0, 0.0)
        middle_s, half_s = (first_s + last_s) / 2, max((last_s - first_s) / 2, 1.0)
        pair = np.minimum(from_, to) * n + np.maximum(from_, to)
        order = np.argsort(pair, kind="stable")
        pairs, first, way = np.unique(pair[order], return_index=True, return_inverse=True)
        low, high = pairs // n, pairs % n
        forth = np.where(from_ < to, 1.0, -1.0)
        left, entered = ((t_s - middle_s) / half_s for t_s in (left_s, entered_s))
        at_low, at_high = np.where(forth > 0, left, entered), np.where(forth > 0, entered, left)
        row = forth[:, None] * np.stack([-np.ones(len(walks)), np.ones(len(walks)), -at_low, at_high], axis=1)
        ways = [(cameras[i], cameras[j]) for i, j in zip(low, high, strict=True)]
        said = [declared_s.get((a, b), declared_s.get((b, a))) for a, b in ways]
        known_s = np.array([0.0 if s is None else s for s in said])
        precision = np.array(
            [0.0 if s is None else 1 / max(_DECLARED_SHARE * s, 1.0) ** 2 for s in said], np.float64
        )
        return cls(
            cameras, cameras.index(reference), ways, seconds[order], pd.factorize(walks.person, sort=True)[0][order],
            order, way, first, np.stack([low, high, n + low, n + high], axis=1), row[order], known_s, precision,
            window_s, middle_s, half_s,
        )  # fmt: skip

    def identifiable(self) -> NDArray[np.bool_]:
        """(C,) whether the walks and what is known beforehand fix each camera's offset.

        They do where ways lead from it to the reference that were walked in both directions, or whose length is known.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        n = len(self.cameras)
        forth = np.bincount(self.way, self.row[:, 1] > 0, len(self.ways)) > 0
        back = np.bincount(self.way, self.row[:, 1] < 0, len(self.ways)) > 0
        low, high = self.ends[(forth & back) | (self.precision > 0), :2].T
        _, group = connected_components(coo_array((np.ones(len(low)), (low, high)), shape=(n, n)), False)
        return np.asarray(group == group[self.reference])

    def whole(self) -> _Fit:
        """The best fit to all walks: from clocks that run alike, and from rates that at first nothing holds, so that those of
        a file stamped a per cent too fast are found, too."""
        once, n = np.ones(len(self.seconds)), len(self.cameras)
        right = self.fit(once, self._beginning(10.0), _ROUNDS)
        loose = self.fit(once, self._beginning(40.0), _ROUNDS, np.zeros(n))
        return max((right, self.fit(once, loose, _ROUNDS)), key=self._log_posterior)

    def fit(
        self,
        times: Floats,
        start: _Fit,
        rounds: int,
        held: Floats | None = None,
        rng: np.random.Generator | None = None,
    ) -> _Fit:
        """EM from ``start``. times: (N,) each walk counts so often; held: (C,) precision of rates, by Student's prior where
        None; rng: what is known beforehand is drawn from what is known of it."""
        n, n_links, now = len(self.cameras), len(self.ways), start
        error = np.zeros(n + n_links) if rng is None else rng.normal(size=n + n_links)
        known_s = self.known_s + error[n:] / np.sqrt(np.maximum(self.precision, _RIDGE))
        for _ in range(rounds):
            spread_s = now.spread_s[self.way]
            z = (self.rest(now.clocks, now.walk_s) / spread_s) ** 2
            walked = now.share * _student(z) / spread_s
            real = walked / (walked + (1 - now.share) / self.window_s) * times
            pull = real * (_FREEDOM + 1) / (_FREEDOM + z)
            drift = self.touching(now.clocks[n:]) if held is None else held
            drift_s = error[:n] / np.sqrt(np.maximum(drift, _RIDGE))
            clocks, walk_s = self.solve(pull / spread_s**2, drift, drift_s, known_s)
            # Two walks' worth of a spread of five seconds keep ways of few walks sober.
            total = np.bincount(self.way, pull * self.rest(clocks, walk_s) ** 2, n_links) + 2 * 25.0
            spread_s = np.sqrt(total / (np.bincount(self.way, real, n_links) + 2))
            share = float(np.clip((real.sum() + 4) / (times.sum() + 5), 0.05, 0.999))
            now = _Fit(clocks, walk_s, np.maximum(spread_s, _LEAST_STD_S), share)
        return now

    def touching(self, gained_s: Floats) -> Floats:
        """(C,) precision of the normal prior that touches Student's at these seconds gained from middle to end."""
        return (_RATE_FREEDOM + 1) / (_RATE_FREEDOM * (_RATE_STD * self.half_s) ** 2 + gained_s**2)

    def _log_posterior(self, fit: _Fit) -> float:
        """What EM makes larger, but for a constant."""
        z = (self.rest(fit.clocks, fit.walk_s) / fit.spread_s[self.way]) ** 2
        walked = fit.share * _student(z) / fit.spread_s[self.way]
        gained = fit.clocks[len(self.cameras) :] / (_RATE_STD * self.half_s)
        return float(
            np.log(walked + (1 - fit.share) / self.window_s).sum()
            - (_RATE_FREEDOM + 1) / 2 * np.log1p(gained**2 / _RATE_FREEDOM).sum()
            - (self.precision * (fit.walk_s - self.known_s) ** 2).sum() / 2
            - (2 * np.log(fit.spread_s) + 25 / fit.spread_s**2).sum()
            + 4 * np.log(fit.share)
            + np.log(1 - fit.share)
        )

    def rest(self, clocks: Floats, walk_s: Floats) -> Floats:
        """(N,) what is left of each walk's seconds."""
        return self.seconds - walk_s[self.way] - (self.row * clocks[self.ends][self.way]).sum(axis=1)

    def solve(self, weight: Floats, drift: Floats, drift_s: Floats, known_s: Floats) -> tuple[Floats, Floats]:
        """Least squares: (2 C,) clocks and (W,) lengths. weight: (N,); drift, drift_s: (C,) precision of what is known
        beforehand of the second half of the clocks, and that; known_s: (W,) the same of lengths."""
        n = len(self.cameras)
        normal, right, eliminated = self.normal(weight, known_s)
        np.fill_diagonal(normal, normal.diagonal() + _RIDGE)
        normal[range(n, 2 * n), range(n, 2 * n)] += drift
        right[n:] += drift * drift_s
        free = np.arange(2 * n) % n != self.reference
        clocks = np.zeros(2 * n)
        clocks[free] = np.linalg.solve(normal[np.ix_(free, free)], right[free])
        touched, constant_s = eliminated
        return clocks, constant_s - (touched * clocks[self.ends]).sum(axis=1)

    def normal(self, weight: Floats, known_s: Floats) -> tuple[Floats, Floats, tuple[Floats, Floats]]:
        """Normal equations of the clocks once lengths are eliminated (Schur complement): (2 C, 2 C), (2 C,), and for each way
        what its length is: a constant less (W, 4) times the clocks it touches."""
        n = len(self.cameras)
        full = np.concatenate([self.row, np.ones((len(weight), 1)), self.seconds[:, None]], axis=1)
        sums = np.add.reduceat(
            (weight[:, None] * full)[:, :, None] * full[:, None, :], self.first, axis=0
        )  # (W, 6, 6)
        own = sums[:, 4, 4] + self.precision + _RIDGE
        touched = sums[:, :4, 4] / own[:, None]
        constant_s = (sums[:, 4, 5] + self.precision * known_s) / own
        block = sums[:, :4, :4] - touched[:, :, None] * sums[:, None, :4, 4]
        side = sums[:, :4, 5] - sums[:, :4, 4] * constant_s[:, None]
        cell = self.ends[:, :, None] * 2 * n + self.ends[:, None, :]
        normal = np.bincount(cell.ravel(), block.ravel(), 4 * n * n).reshape(2 * n, 2 * n).astype(np.float64)
        right = np.bincount(self.ends.ravel(), side.ravel(), 2 * n).astype(np.float64)
        return normal, right, (touched, constant_s)

    def _beginning(self, spread_s: float) -> _Fit:
        """Clocks that are right, and each walk as long as the middle of its times."""
        middle = pd.Series(self.seconds).groupby(self.way).median().to_numpy(np.float64)
        walk_s = np.where(self.precision > 0, self.known_s, middle)
        return _Fit(np.zeros(2 * len(self.cameras)), walk_s, np.full(len(self.ways), spread_s), 0.8)


def _drawn(rng: np.random.Generator, n: int) -> Floats:
    """How often each of n is drawn when n are drawn with replacement."""
    return np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)


def _student(z: Floats) -> Floats:
    """Density of Student's t with four degrees of freedom at the square root of ``z``."""
    return np.asarray(0.375 * (1 + z / _FREEDOM) ** (-(_FREEDOM + 1) / 2))
