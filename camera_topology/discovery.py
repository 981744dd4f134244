"""Which ways join the cameras of a site that nobody described, from people's consecutive sightings.

Who was seen at a and next at c walked there, or came through cameras that missed the person, or is two people. So the
times from a to c are a Poisson process of three parts:

    direct    some walks, their times Student's t about one time for both directions,
    detours   for every person seen at a, b and c one after another as many more that b missed: the odds of a miss at b,
              at the times of those that it did not miss (and the same through two cameras),
    chance    a share of all walks, over the pairs as their totals of leaving and entering have it, at times of their own.

Shares, odds and the times of chance are fitted to all pairs at once by EM, in turn with the choice of pairs that have a way;
what is expected of a single pair is known to within a factor only (gamma priors). A way exists where the best fit with it is so
much better than the best without that its parameters are paid for (Laplace's approximation of the Bayes factor) a hundred times
over, and several people took it. No truth and no site file is looked at. The clocks must agree to within some seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Log Bayes factors from which a way exists, and from which people take it in one direction as well as in the other.
SURE, LIKELY = float(np.log(100.0)), float(np.log(10.0))
_LEAST_PEOPLE = 3  # one wrong walk at an odd time is no way, and one person goes there and back
_FREEDOM = 4.0
# Detours differ in time by this share of it where one alone was seen, and by so much at least.
_DETOUR_SHARE, _DETOUR_STD_S = 0.15, 3.0
# What is expected of one pair is as uncertain as if so many walks had told it; a camera's odds lean on all by so many visits.
_CHANCE_WALKS, _DETOUR_WALKS, _MISS_VISITS = 2.0, 5.0, 20.0
_CHOICES, _ROUNDS = 6, 20


@dataclass(frozen=True)
class Link:
    """What walks tell of the way from one camera to another.

    walks: seen. direct: of these, how many took it, as estimated; by_chance, by_detour: how many are expected if there is
    no way. transit_s: quantiles 10, 50 and 90 per cent of the seconds of the direct ones, or of all where there are none.
    evidence: log Bayes factor of a way between the two cameras, in whatever direction; direction: of this direction, given
    that way. exists: whether people take it.
    """

    from_: str
    to: str
    walks: int
    direct: float
    by_chance: float
    by_detour: float
    transit_s: tuple[float, float, float]
    evidence: float
    direction: float
    exists: bool


def discover_links(walks: pd.DataFrame, window_s: float = 900.0) -> list[Link]:
    """Every directed pair of cameras that somebody was seen in one after the other, the surest first.

    Args:
        walks: columns from_, to (cameras), seconds (from leaving the one to entering the other; below 0 where both saw),
            left_us (when the one was left, µs) and person.
        window_s: longest time within which two sightings were taken for a walk.
    """
    if walks.empty:
        return []
    seen = _Sightings.of(walks, window_s)
    # Whether a camera misses people or there is a way past it may hang on where one begins: that few are missed, or half.
    both = (_choose(seen, _Common.beginning(seen, odds), window_s) for odds in (0.2, 1.0))
    return _links(seen, *max(both, key=lambda choice: choice[2])[:2])


def _choose(seen: _Sightings, common: _Common, window_s: float) -> tuple[_Fit, Floats, float]:
    """The fit with a way for every pair, log Bayes factors (C²,) of pairs, -inf where too few people took the way, and the log
    posterior of the ways so chosen; by turns of choosing ways and learning what they leave to be explained."""
    every = np.bincount(seen.pair, minlength=len(seen.pair_of)) > 0
    none, on, odds = np.zeros_like(every), every, common.odds
    common = replace(_fit(seen, common, every, learn=True).common, odds=odds)
    for _ in range(_CHOICES):
        lacking = _fit(seen, common, none)
        having = _fit(seen, common, every)
        evidence = having.log_likelihood - lacking.log_likelihood - _price(seen, having, window_s)
        evidence[_people(seen, having) < _LEAST_PEOPLE] = -np.inf
        before, on = on, evidence > SURE
        if (before == on).all():
            break
        common = _fit(seen, common, on, learn=True).common
    return having, evidence, float((lacking.log_likelihood + np.where(on, evidence, 0.0)).sum())


@dataclass(frozen=True)
class _Sightings:
    """N walks between C cameras, numbered; a way a → b is a·C + b, a pair the way from its lower to its higher camera.

    seconds, person, way, pair, bin: (N,), the last of the times of chance. pair_of: (C²,) the pair of each way. width_s: (B,).
    detour, detour_s: (D,) the way of each detour that was seen, and its time; via: (D, 2) its cameras between, C for none.
    Each walk beside each detour of its way: beside (E, 2), and density (E,), 1/s, of the walk's time about the detour's.
    """

    cameras: list[str]
    seconds: Floats
    person: Ints
    way: Ints
    pair: Ints
    bin: Ints
    pair_of: Ints
    width_s: Floats
    detour: Ints
    detour_s: Floats
    via: Ints
    beside: Ints
    density: Floats

    @classmethod
    def of(cls, walks: pd.DataFrame, window_s: float) -> _Sightings:
        walks = walks.sort_values(["person", "left_us", "from_"], kind="stable")
        cameras = sorted({*walks.from_, *walks.to})
        n = len(cameras)
        a, b = (pd.Categorical(walks[name], cameras).codes.astype(np.int64) for name in ("from_", "to"))
        person = pd.factorize(walks.person, sort=True)[0].astype(np.int64)
        seconds, left_s = walks.seconds.to_numpy(np.float64), walks.left_us.to_numpy(np.float64) / 1e6
        way = a * n + b
        low, high = np.divmod(np.arange(n * n), n)
        pair_of = np.minimum(low, high) * n + np.maximum(low, high)
        edges = np.geomspace(4, max(window_s, 8), 12)
        edges = np.concatenate([-edges[::-1], [0.0], edges])
        at = np.clip(np.searchsorted(edges, seconds, side="right") - 1, 0, len(edges) - 2)

        goes_on = np.append((person[1:] == person[:-1]) & (b[:-1] == a[1:]), False)
        one = np.flatnonzero(goes_on)
        two = one[goes_on[np.minimum(one + 1, len(a) - 1)]]
        first, last = np.concatenate([one, two]), np.concatenate([one + 1, two + 2])
        via = np.stack([b[first], np.where(last == first + 2, a[last], n)], axis=1)
        taken_s = left_s[last] + seconds[last] - left_s[first]
        kept = (a[first] != b[last]) & (np.abs(taken_s) <= window_s)
        detour, via, taken_s = (a[first] * n + b[last])[kept], via[kept], taken_s[kept]

        order = np.argsort(detour, kind="stable")
        begin, end = (np.searchsorted(detour[order], way, side=side) for side in ("left", "right"))
        walk = np.repeat(np.arange(len(way)), end - begin)
        place = np.arange(len(walk)) - np.repeat(np.cumsum(end - begin) - (end - begin), end - begin)
        beside = np.stack([walk, order[np.repeat(begin, end - begin) + place]], axis=1).astype(np.int64)
        # Kernels narrow as Silverman's do, the more detours of a way were seen.
        share = _DETOUR_SHARE * np.bincount(detour, minlength=n * n)[detour] ** -0.2
        std_s = np.maximum(share * np.abs(taken_s), _DETOUR_STD_S)[beside[:, 1]]
        density = _student((seconds[beside[:, 0]] - taken_s[beside[:, 1]]) / std_s) / std_s
        return cls(
            cameras, seconds, person, way, pair_of[way], at, pair_of, np.diff(edges), detour, taken_s, via, beside, density
        )  # fmt: skip


@dataclass(frozen=True)
class _Common:
    """What all pairs share. chance: number of walks that are two people; shape: (B,) their times; odds: (C + 1,) of a miss
    at each camera, 1 for none."""

    chance: float
    shape: Floats
    odds: Floats

    @classmethod
    def beginning(cls, seen: _Sightings, odds: float) -> _Common:
        n_bins = len(seen.width_s)
        every = np.append(np.full(len(seen.cameras), odds), 1.0)
        return cls(0.2 * len(seen.seconds), np.full(n_bins, 1 / n_bins), every)

    def by_chance(self, seen: _Sightings) -> Floats:
        """(C²,) walks of two people expected of each way: as if who leaves a camera entered any other."""
        n = len(seen.cameras)
        share = np.outer(*(np.bincount(c, minlength=n).astype(float) for c in np.divmod(seen.way, n)))
        np.fill_diagonal(share, 0.0)
        return np.asarray(self.chance * (share / share.sum()).ravel())

    def missed(self, seen: _Sightings) -> Floats:
        """(D,) how many more took each detour and were missed on it."""
        return np.asarray(self.odds[seen.via].prod(axis=1))


@dataclass(frozen=True)
class _Fit:
    """Of ways: walks (C²,) that took each. Of pairs (C²,): their time and how it spreads, and the log-likelihood. Of walks:
    direct (N,), the probability that each took its way."""

    common: _Common
    walks: Floats
    middle_s: Floats
    spread_s: Floats
    log_likelihood: Floats
    direct: Floats


def _fit(seen: _Sightings, common: _Common, on: Bools, learn: bool = False, held: _Fit | None = None) -> _Fit:
    """EM. on: (C²,) pairs that may have a way, or with ``held`` the directions that may; learn: fit ``common``, too; held: keep
    the times of ways as they are there."""
    n_links, way, pair = len(seen.pair_of), seen.way, seen.pair

    def of_ways(values: Floats) -> Floats:
        return np.asarray(np.bincount(way, values, n_links), np.float64)

    def of_pairs(values: Floats) -> Floats:
        return np.asarray(np.bincount(pair, values, n_links), np.float64)

    on = on if held else on[seen.pair_of]
    middle_s = held.middle_s if held else _densest_s(seen, common.missed(seen))
    spread_s = held.spread_s if held else np.full(n_links, 5.0)
    walks = np.where(on, of_ways(np.full(len(way), 0.5)), 0.0)
    more_chance, more_detours = np.ones(n_links), np.ones(n_links)
    for _ in range(2 * _ROUNDS if learn else _ROUNDS):
        by_chance, missed = common.by_chance(seen), common.missed(seen)
        of_chance = np.bincount(seen.pair_of, by_chance, n_links)
        of_detours = np.bincount(seen.pair_of[seen.detour], missed, n_links)
        walk, which = seen.beside.T
        through = missed[which] * seen.density
        z = (seen.seconds - middle_s[pair]) / spread_s[pair]
        parts = np.stack([
            walks[way] * _student(z) / spread_s[pair],
            more_detours[pair] * np.bincount(walk, through, len(way)),
            more_chance[pair] * by_chance[way] * (common.shape / seen.width_s)[seen.bin],
        ])  # fmt: skip
        density = parts.sum(axis=0) + 1e-300
        direct, detour, chance = parts / density
        more_chance = (of_pairs(chance) + _CHANCE_WALKS) / (of_chance + _CHANCE_WALKS)
        more_detours = (of_pairs(detour) + _DETOUR_WALKS) / (of_detours + _DETOUR_WALKS)
        walks = np.where(on, of_ways(direct), 0.0)
        if held is None:
            pull = direct * (_FREEDOM + 1) / (_FREEDOM + z**2)
            total = of_pairs(pull)
            middle_s = np.where(
                total > 1e-6, of_pairs(pull * seen.seconds) / np.maximum(total, 1e-6), middle_s
            )
            # Two walks' worth of a spread of five seconds keep ways of few walks sober.
            square = of_pairs(pull * (seen.seconds - middle_s[pair]) ** 2) + 2 * 25.0
            spread_s = np.sqrt(square / (of_pairs(direct) + 2))
        if learn:
            parted = detour[walk] * through / np.maximum(np.bincount(walk, through, len(way)), 1e-300)[walk]
            unseen = np.asarray(np.bincount(which, parted, len(seen.detour)), np.float64)
            common = _learned(seen, common, chance, unseen)
    log_likelihood = (
        of_pairs(np.log(density))
        - np.bincount(seen.pair_of, walks, n_links) - more_chance * of_chance - more_detours * of_detours
        + _CHANCE_WALKS * (np.log(more_chance) - more_chance) + _DETOUR_WALKS * (np.log(more_detours) - more_detours)
    )  # fmt: skip
    return _Fit(common, walks, middle_s, spread_s, log_likelihood, direct)


def _learned(seen: _Sightings, common: _Common, chance: Floats, detours: Floats) -> _Common:
    """chance: (N,) probability that each walk is two people; detours: (D,) walks that took each detour and were missed."""
    n = len(seen.cameras)
    shape = np.bincount(seen.bin, chance, len(seen.width_s)) + 1
    cameras = seen.via.ravel()
    missed = np.bincount(cameras, np.repeat(detours, 2), n + 1)[:n]
    visits = np.bincount(cameras, np.repeat(common.missed(seen), 2), n + 1)[:n] / common.odds[:n]
    usual = (missed.sum() + 1) / (visits.sum() + 5)
    odds = np.clip((missed + _MISS_VISITS * usual) / (visits + _MISS_VISITS), 1e-3, 3.0)
    return _Common(float(chance.sum()) + 1, shape / shape.sum(), np.append(odds, 1.0))


def _price(seen: _Sightings, having: _Fit, window_s: float) -> Floats:
    """(C²,) what a way's parameters cost: its time may be any of the window, and two numbers of walks are free."""
    n = np.bincount(seen.pair_of, having.walks, len(seen.pair_of))
    counts = np.bincount(seen.pair_of, np.log1p(having.walks) / 2, len(seen.pair_of))
    return np.asarray(np.log(window_s * np.sqrt((n + 1) / (2 * np.pi)) / having.spread_s) + counts)


def _links(seen: _Sightings, having: _Fit, evidence: Floats) -> list[Link]:
    n, n_links = len(seen.cameras), len(seen.pair_of)
    every = np.ones(n_links, bool)
    upward = seen.pair_of == np.arange(n_links)
    both = _fit(seen, having.common, every, held=having).log_likelihood
    direction = np.zeros(n_links)
    for one in (upward, ~upward):
        gain = (both - _fit(seen, having.common, ~one, held=having).log_likelihood)[seen.pair_of]
        direction[one] = (gain - np.log1p(having.walks) / 2)[one]
    # Of a pair that has a way, the likelier direction is taken by somebody.
    opposite = np.arange(n_links).reshape(n, n).T.ravel()
    taken = (direction > LIKELY) | (direction > direction[opposite])
    by_chance = having.common.by_chance(seen)
    by_detour = np.bincount(seen.detour, having.common.missed(seen), n_links)
    found = []
    for w in np.unique(seen.way):
        here = seen.way == w
        direct = here & (having.direct > 0.5)
        low, middle, high = np.quantile(seen.seconds[direct if direct.any() else here], [0.1, 0.5, 0.9])
        found.append(Link(
            seen.cameras[w // n], seen.cameras[w % n], int(here.sum()), float(having.walks[w]), float(by_chance[w]),
            float(by_detour[w]), (float(low), float(middle), float(high)), float(evidence[seen.pair_of[w]]),
            float(direction[w]), bool(evidence[seen.pair_of[w]] > SURE and taken[w]),
        ))  # fmt: skip
    return sorted(found, key=lambda link: (-link.evidence, -link.walks, link.from_, link.to))


def _people(seen: _Sightings, having: _Fit) -> Ints:
    """(C²,) different people who took the way of each pair."""
    sure = having.direct > 0.5
    met = np.unique(np.stack([seen.pair[sure], seen.person[sure]]), axis=1)[0]
    return np.bincount(met, minlength=len(seen.pair_of))


def _densest_s(seen: _Sightings, missed: Floats) -> Floats:
    """(C²,) the mean of the times of each pair where, within a fifth or four seconds, walks most outnumber detours; missed: (D,)
    how many of these are expected."""
    found = np.zeros(len(seen.pair_of))
    pair_of_detour = seen.pair_of[seen.detour]
    for p in np.unique(seen.pair):
        s = np.sort(seen.seconds[seen.pair == p])
        own = np.flatnonzero(pair_of_detour == p)
        own = own[np.argsort(seen.detour_s[own])]
        expected = np.append(0.0, np.cumsum(missed[own]))
        reach = np.maximum(4.0, 0.2 * np.abs(s))
        first, last = np.searchsorted(s, s - reach), np.searchsorted(s, s + reach, "right")
        begin = np.searchsorted(seen.detour_s[own], s - reach)
        end = np.searchsorted(seen.detour_s[own], s + reach, "right")
        best = int((last - first - expected[end] + expected[begin]).argmax())
        found[p] = s[first[best] : last[best]].mean()
    return found


def _student(z: Floats) -> Floats:
    """Density of Student's t with four degrees of freedom."""
    return np.asarray(0.375 * (1 + z**2 / _FREEDOM) ** (-(_FREEDOM + 1) / 2))
