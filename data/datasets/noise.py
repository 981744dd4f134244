"""Tracklets as bad as a tracker's, made from clean ones, at wanted rates of fragmentation and of switches.

Source: Teng et al., TMC (2022), 4.1. r_FM is the mean number of tracklets that a person of a camera is in, r_SW the mean
number of persons in a tracklet. M (person, camera) pairs in M * r_FM segments make M * r_FM / r_SW tracklets. The text
calls its easy and hard settings by each other's name; its Table 1 counts. How many persons a tracklet holds follows an
observed distribution there, which is not printed; here the surplus over one is dealt at random.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from data.datasets.benchmark import Seen

Ints = npt.NDArray[np.int64]


def noisy_rows(rows: Iterable[Seen], r_fm: float, r_sw: float, seed: int = 0) -> Iterator[Seen]:
    """A benchmark's rows, those to train on as `noisy_tracklets` makes them; each is said to be who most of its frames show.

    Times are gone from all of them: what follows in a noisy tracklet was seen at another time.

    Raises:
        ValueError: as `noisy_tracklets`.
    """
    rows = list(rows)
    train = sorted(
        (row for row in rows if row.part == "train"),
        key=lambda row: (row.t_us[0] if row.t_us else 0, row.tracklet_id),
    )
    frames = [
        (row, path)
        for row in train
        for _, path in sorted(zip(row.t_us or range(len(row.paths)), row.paths, strict=True))
    ]
    person = np.array([row.pid for row, _ in frames], np.int64)
    camera = np.array([row.camera_id for row, _ in frames], str)
    tracklet, place = noisy_tracklets(person, camera, r_fm, r_sw, np.random.default_rng(seed))
    order = np.lexsort((place, tracklet))
    for number, own in enumerate(np.split(order, np.flatnonzero(np.diff(tracklet[order])) + 1)):
        most = Counter(person[own].tolist()).most_common(1)[0][0]
        yield Seen(
            f"noise/{number:05d}",
            str(camera[own[0]]),
            most,
            "train",
            False,
            False,
            [frames[n][1] for n in own],
        )
    yield from (row._replace(t_us=None) for row in rows if row.part != "train")


def noisy_tracklets(
    person: npt.NDArray[np.integer],
    camera: npt.NDArray[np.generic],
    r_fm: float,
    r_sw: float,
    rng: np.random.Generator,
    *,
    min_frames: int = 4,
) -> tuple[Ints, Ints]:
    """(N,) the noisy tracklet of each frame, and (N,) its place in that tracklet, counted from nought.

    Every (person, camera) is cut at random instants into segments of ``min_frames`` at least, one for a start and the
    others dealt at random to those long enough. A tracklet takes segments of different people of one camera, the surplus
    over one dealt at random too, and its segments follow one another in random order.

    Args:
        person, camera: (N,) of each frame, the frames of a (person, camera) in order of time.
        r_fm, r_sw: at least 1.

    Raises:
        ValueError: a rate below 1, or sequences too short for so many segments.
    """
    if r_fm < 1 or r_sw < 1:
        raise ValueError(f"rates are at least 1, found r_FM {r_fm} and r_SW {r_sw}")
    _, camera_code = np.unique(camera, return_inverse=True)
    keys, sequence, length = np.unique(
        np.stack([camera_code, np.asarray(person)], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    segment = _fragments(sequence.reshape(-1), length, round(len(keys) * r_fm), min_frames, rng)
    first = np.unique(segment, return_index=True)[1]
    owner = sequence.reshape(-1)[first]  # of each segment
    tracklet, place = _switches(keys[owner, 1], keys[owner, 0], round(len(first) / r_sw), rng)
    # Frames follow in order of tracklet, the segment's place in it, and their own order.
    order = np.lexsort((np.arange(len(segment)), place[segment], tracklet[segment]))
    of_frame = tracklet[segment]
    begins = np.searchsorted(of_frame[order], np.arange(tracklet.max() + 1))
    position = np.empty(len(segment), np.int64)
    position[order] = np.arange(len(segment)) - begins[of_frame[order]]
    return of_frame, position


def _fragments(sequence: Ints, length: Ints, wanted: int, least: int, rng: np.random.Generator) -> Ints:
    """(N,) segment of each frame, of ``wanted`` in all."""
    room = np.maximum(length // least, 1) - 1
    extra = wanted - len(length)
    if extra > room.sum():
        raise ValueError(
            f"{len(length)} sequences of {length.mean():.0f} frames cannot make {wanted} segments of at least {least}"
        )
    cuts = np.bincount(
        rng.permutation(np.repeat(np.arange(len(length)), room))[:extra], minlength=len(length)
    )
    segment = np.empty(len(sequence), np.int64)
    order = np.argsort(sequence, kind="stable")
    begin = following = 0
    for n, pieces in zip(length, cuts + 1, strict=True):
        # Random lengths that are long enough: what is left over is dealt by random borders.
        borders = (
            np.sort(rng.integers(0, n - least * pieces + 1, pieces - 1))
            if pieces > 1
            else np.zeros(0, np.int64)
        )
        starts = borders + least * np.arange(1, pieces)
        segment[order[begin : begin + n]] = following + np.searchsorted(starts, np.arange(n), side="right")
        begin, following = begin + n, following + pieces
    return segment


def _switches(person: Ints, camera: Ints, wanted: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """(S,) tracklet of each segment, of ``wanted`` in all, and its place there; one camera, no person twice."""
    tracklet, place = np.full(len(person), -1), np.zeros(len(person), np.int64)
    inside: list[set[int]] = []
    at: dict[int, list[int]] = {}
    order = rng.permutation(len(person))
    # Every camera begins as many tracklets as its share, at least as many as its busiest person has segments.
    cameras, counts = np.unique(camera, return_counts=True)
    share = np.maximum(np.floor(counts * wanted / len(person)), 1).astype(int)
    for k in np.argsort(-(counts * wanted / len(person) % 1))[: max(wanted - int(share.sum()), 0)]:
        share[k] += 1
    left = dict(zip(cameras.tolist(), share.tolist(), strict=True))
    rest = []
    for s in order:
        c = int(camera[s])
        if left[c] > 0:
            left[c] -= 1
            tracklet[s] = len(inside)
            at.setdefault(c, []).append(len(inside))
            inside.append({int(person[s])})
        else:
            rest.append(s)
    for s in rest:
        c = int(camera[s])
        fitting = [t for t in at[c] if int(person[s]) not in inside[t]]
        if not fitting:  # everyone of this camera has met this person already
            at[c].append(len(inside))
            inside.append(set())
            fitting = [len(inside) - 1]
        tracklet[s] = fitting[int(rng.integers(len(fitting)))]
        inside[tracklet[s]].add(int(person[s]))
    for members in (np.flatnonzero(tracklet == t) for t in range(len(inside))):
        place[members] = rng.permutation(len(members))
    return tracklet.astype(np.int64), place
