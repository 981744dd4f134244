"""Batches of P tracklets or identities × K crops for triplet training: TCSCC, TCCPC and whole-site identities.

Source: Xie et al. (TASTR), 2019: §IV-B, *Triplet Construction with Single Camera Constraint*, and §IV-D, *Triplet
Construction with Camera Pair Constraint*. Every function yields one epoch, in which each tracklet (or identity) is
drawn about once; short batches are filled up with ones already drawn. A group that offers fewer than P is capped, one
that offers no negative at all cannot be trained; both are said in a warning, never passed over in silence.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.tracklet_rows import rows_by_tracklet

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.floating]


class Batch(NamedTuple):
    """crops: (P*K,) rows of the crops; labels: (P*K,), comparable inside this batch only; tracklets: (P*K,)."""

    crops: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    tracklets: npt.NDArray[np.int64]


def may_share_batch(
    t_start_s: Floats, t_end_s: Floats, one: int, others: Ints | Sequence[int], min_gap_s: float
) -> npt.NDArray[np.bool_]:
    """Whether tracklet ``one`` may be a negative of each of ``others`` (M,) of the same camera. TASTR's gap T.

    Either they overlap in time, so that two people stood there at once, or more than ``min_gap_s`` lies between them.
    """
    others = np.asarray(others, np.int64)
    gap = np.maximum(t_start_s[others] - t_end_s[one], t_start_s[one] - t_end_s[others])
    return np.asarray((gap <= 0) | (gap > min_gap_s))


def single_camera_batches(
    crop_tracklet: Ints,
    camera: npt.NDArray[np.generic],
    t_start_s: Floats,
    t_end_s: Floats,
    *,
    tracklets_per_batch: int,
    crops_per_tracklet: int,
    min_gap_s: float,
    rng: np.random.Generator,
    max_crops_per_tracklet: int = 60,
) -> Iterator[Batch]:
    """One epoch of TCSCC: each batch is of one camera, its tracklets pairwise at once or more than T apart in time.

    Args:
        crop_tracklet: (N,) tracklet of each crop, 0 … T-1; -1 for crops that take no part.
        camera: (T,) camera of each tracklet; t_start_s, t_end_s: (T,) its time in s.
        tracklets_per_batch: P; crops_per_tracklet: K, drawn with replacement where a tracklet has fewer.
        min_gap_s: T, about the longest usual dwell in a camera; `float("-inf")` lifts the constraint.
        max_crops_per_tracklet: so many random crops of a tracklet take part in an epoch.

    Labels are the tracklet numbers.
    """
    pools = _pools(crop_tracklet, len(camera), max_crops_per_tracklet, rng)
    filled = np.flatnonzero([len(p) > 0 for p in pools])
    camera = np.asarray(camera)
    batches: list[npt.NDArray[np.int64]] = []
    capped, alone = [], []
    for group in np.unique(camera[filled]):
        members = filled[camera[filled] == group]
        allowed = np.stack([may_share_batch(t_start_s, t_end_s, int(i), members, min_gap_s) for i in members])
        np.fill_diagonal(allowed, False)
        lonely = ~allowed.any(1)
        if lonely.any():
            alone.append(f"{group}: {int(lonely.sum())}")
        packed = _pack_epoch(allowed, tracklets_per_batch, rng)
        if packed and max(map(len, packed)) < tracklets_per_batch:
            capped.append(str(group))
        batches += [members[b] for b in packed]
    _warn_capped("cameras", capped, tracklets_per_batch)
    if alone:
        warnings.warn(
            f"Tracklets without a certain negative within {min_gap_s:g} s take no part in training "
            f"({'; '.join(alone)}); lower the gap or add footage.",
            stacklevel=2,
        )
    for index in rng.permutation(len(batches)):
        yield _tracklet_batch(batches[index], pools, crops_per_tracklet, rng)


def _pack_epoch(
    allowed: npt.NDArray[np.bool_], size: int, rng: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """Batches of pairwise allowed members so that each member with any allowed partner is drawn about once.

    A batch starts from a random member not drawn yet, prefers others not drawn yet, and is greedy; of a few tries the
    largest is taken, since a random order packs intervals badly where the gap is long.
    """
    waiting = set(np.flatnonzero(allowed.any(1)).tolist())
    batches = []
    while waiting:
        best: list[int] = []
        seed = int(rng.choice(sorted(waiting)))
        for _ in range(4):
            order = rng.permutation(len(allowed))
            order = np.concatenate(
                [order[[i in waiting for i in order]], order[[i not in waiting for i in order]]]
            )
            chosen = [seed]
            free = allowed[seed].copy()
            for i in order:
                if len(chosen) == size:
                    break
                if free[i]:
                    chosen.append(int(i))
                    free &= allowed[i]
            if len(chosen) > len(best):
                best = chosen
            if len(best) == size:
                break
        batches.append(np.array(best, np.int64))
        waiting -= set(best)
    return batches


def identity_batches(
    crop_tracklet: Ints,
    row_tracklet: Ints,
    row_label: Ints,
    row_group: npt.NDArray[np.generic],
    camera: npt.NDArray[np.generic],
    *,
    labels_per_batch: int,
    crops_per_label: int,
    rng: np.random.Generator,
    max_crops_per_tracklet: int = 60,
) -> Iterator[Batch]:
    """One epoch of labelled batches, each from one group; a label's crops are spread over its cameras and tracklets.

    With camera pairs as groups and one label per matched pair this is TCCPC; with one group for the whole site it
    trains on identities (union-find over pairs, or the truth in the supervised reference).

    Args:
        crop_tracklet: (N,) tracklet of each crop, 0 … T-1, or -1.
        row_tracklet, row_label, row_group: (R,) one row per labelled tracklet and group; label -1 is unassigned.
        camera: (T,) camera of each tracklet.
        labels_per_batch: P; crops_per_label: K.
    """
    pools = _pools(crop_tracklet, len(camera), max_crops_per_tracklet, rng)
    camera = np.asarray(camera)
    row_tracklet, row_label, row_group = (
        np.asarray(row_tracklet),
        np.asarray(row_label),
        np.asarray(row_group),
    )
    usable = (row_label >= 0) & np.array([len(pools[t]) > 0 for t in row_tracklet], bool)
    batches: list[list[tuple[int, npt.NDArray[np.int64]]]] = []
    capped, single = [], []
    for group in np.unique(row_group[usable]):
        here = usable & (row_group == group)
        labels = np.unique(row_label[here])
        if len(labels) < 2:
            single.append(str(group))
            continue
        if len(labels) < labels_per_batch:
            capped.append(str(group))
        members = {int(label): row_tracklet[here & (row_label == label)] for label in labels}
        for chosen in _chunks(labels, min(labels_per_batch, len(labels)), rng):
            batches.append([(int(label), members[int(label)]) for label in chosen])
    _warn_capped("groups", capped, labels_per_batch)
    if single:
        warnings.warn(
            f"Groups with one label only have no negative and take no part in training: {_listed(single)}.",
            stacklevel=2,
        )
    for index in rng.permutation(len(batches)):
        drawn = [_spread(members, camera, crops_per_label, rng) for _, members in batches[index]]
        tracklets = np.concatenate(drawn)
        labels = np.repeat([label for label, _ in batches[index]], crops_per_label).astype(np.int64)
        yield Batch(_draw_crops(tracklets, pools, rng), labels, tracklets)


def _chunks(values: Ints, size: int, rng: np.random.Generator) -> Iterator[npt.NDArray[np.int64]]:
    """A random permutation in pieces of ``size``; the last is filled up with values drawn before it."""
    order = rng.permutation(np.asarray(values, np.int64))
    for start in range(0, len(order), size):
        piece = order[start : start + size]
        missing = size - len(piece)
        yield np.concatenate([piece, rng.choice(order[:start], missing, replace=False)]) if missing else piece


def _spread(
    members: Ints, camera: npt.NDArray[np.generic], count: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """``count`` tracklets out of ``members``: cameras in turn, inside a camera its tracklets in turn, both shuffled."""
    queues = []
    for group in rng.permutation(np.unique(camera[members])):
        queues.append(rng.permutation(np.asarray(members, np.int64)[camera[members] == group]))
    return np.array(
        [queues[i % len(queues)][(i // len(queues)) % len(queues[i % len(queues)])] for i in range(count)]
    )


def _tracklet_batch(
    chosen: npt.NDArray[np.int64], pools: list[npt.NDArray[np.int64]], k: int, rng: np.random.Generator
) -> Batch:
    tracklets = np.repeat(chosen, k)
    return Batch(_draw_crops(tracklets, pools, rng), tracklets, tracklets)


def _draw_crops(
    tracklets: npt.NDArray[np.int64], pools: list[npt.NDArray[np.int64]], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """One crop per entry; a tracklet's crops differ as long as it has enough of them."""
    crops = np.empty(len(tracklets), np.int64)
    for t in np.unique(tracklets):
        at = np.flatnonzero(tracklets == t)
        crops[at] = rng.choice(pools[t], len(at), replace=len(pools[t]) < len(at))
    return crops


def frame_batches(
    crop_tracklet: Ints,
    crop_label: Ints,
    size: int,
    steps: int,
    rng: np.random.Generator,
    *,
    max_crops_per_tracklet: int = 60,
) -> Iterator[Batch]:
    """``steps`` batches of ``size`` crops at random, every crop once before any comes again.

    Args:
        crop_tracklet: (N,) tracklet of each crop, 0 … T-1; -1 for crops that take no part.
        crop_label: (N,) what the batch calls it.
    """
    tracklet, label = np.array(crop_tracklet, np.int64), np.array(crop_label, np.int64)
    pools = _pools(tracklet, int(tracklet.max(initial=-1)) + 1, max_crops_per_tracklet, rng)
    usable = np.sort(np.concatenate([np.zeros(0, np.int64), *pools]))
    queue = np.zeros(0, np.int64)
    for _ in range(steps if len(usable) else 0):
        while len(queue) < size:
            queue = np.concatenate([queue, rng.permutation(usable)])
        chosen, queue = queue[:size], queue[size:]
        yield Batch(chosen, label[chosen], tracklet[chosen])


def in_tenths(batches: Sequence[Batch]) -> list[Sequence[Batch]]:
    """The batches as at most ten epochs of equal length, the last one shorter: for a rate that falls by epochs."""
    tenth = max(1, -(-len(batches) // 10))
    return [batches[start : start + tenth] for start in range(0, len(batches), tenth)]


def clip_batches(
    crop_tracklet: Ints,
    crop_t_us: Ints,
    label: Ints,
    camera: npt.NDArray[np.generic],
    *,
    people: int,
    clips: int,
    frames: int,
    steps: int,
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """``steps`` batches of ``people`` labels x ``clips`` clips x ``frames`` consecutive crops, clip after clip.

    The clips of a label come from different cameras, and inside a camera from different tracklets, as far as it has
    them; a tracklet with fewer crops than a clip repeats its own. TMC (Teng et al., 2022), after MMT.

    Args:
        crop_tracklet: (N,) tracklet of each crop, 0 … T-1; crop_t_us: (N,) its time.
        label: (T,) of each tracklet, -1 for none; camera: (T,).
    """
    crop_tracklet, label, camera = np.asarray(crop_tracklet), np.asarray(label), np.asarray(camera)
    order = np.lexsort((crop_t_us, crop_tracklet))
    ends = np.searchsorted(crop_tracklet[order], np.arange(len(label) + 1))
    filled = (np.diff(ends) > 0) & (label >= 0)
    known = np.unique(label[filled])
    if len(known) < 2:
        return
    if len(known) < people:
        _warn_capped("groups", ["site"], people)
    members = {int(k): np.flatnonzero(filled & (label == k)) for k in known}
    queue: list[npt.NDArray[np.int64]] = []
    for _ in range(steps):
        if not queue:
            queue = list(_chunks(known, min(people, len(known)), rng))
        crops, tracklets = [], []
        for k in queue.pop(0):
            for t in _spread(members[int(k)], camera, clips, rng):
                begin = ends[t] + int(rng.integers(0, max(ends[t + 1] - ends[t] - frames, 0) + 1))
                crops.append(order[ends[t] + (begin - ends[t] + np.arange(frames)) % (ends[t + 1] - ends[t])])
                tracklets.append(np.full(frames, t))
        chosen = np.concatenate(tracklets).astype(np.int64)
        yield Batch(np.concatenate(crops).astype(np.int64), label[chosen].astype(np.int64), chosen)


def _pools(
    crop_tracklet: Ints, n_tracklets: int, max_items: int, rng: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    """The crops of each tracklet that take part, at most ``most`` at random."""
    pools = rows_by_tracklet(np.asarray(crop_tracklet), n_tracklets)
    return [rng.choice(p, max_items, replace=False) if len(p) > max_items else p for p in pools]


def _warn_capped(kind: str, capped: list[str], wanted: int) -> None:
    if capped:
        warnings.warn(
            f"{len(capped)} {kind} offer fewer than {wanted} for a batch and train with smaller ones: {_listed(capped)}.",
            stacklevel=3,
        )


def _listed(names: list[str], max_items: int = 8) -> str:
    return ", ".join(names[:max_items]) + (
        f" and {len(names) - max_items} more" if len(names) > max_items else ""
    )
