"""Who is who: tracklets grouped into persons, doubtful ones marked, and split over pages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from stages.reporting.local_time import Clock, duration
from stages.reporting.thumbs import Thumb

NOBODY = -1


class Seen(NamedTuple):
    """A row of :func:`gather`."""

    tracklet_id: str
    camera_id: str
    t_start_us: int
    t_end_us: int
    n_boxes: int
    identity: int
    confidence: float
    quality: float
    video_id: str


@dataclass(frozen=True)
class Member:
    """One tracklet of a person, as the page shows it."""

    tracklet_id: str
    when: str
    confidence: str
    doubtful: bool
    tip: str
    thumb: Thumb | None


@dataclass(frozen=True)
class Person:
    """cameras: name → shown members; hidden: tracklets left out of a crowded card; hue -1: one camera only."""

    identity: int
    hue: float
    summary: str
    in_view: str
    cameras: dict[str, list[Member]]
    hidden: int


def gather(tracklets: pd.DataFrame, identities: pd.DataFrame, crops: pd.DataFrame) -> pd.DataFrame:
    """One row per tracklet with all a page says about it.

    Args:
        tracklets, identities: as declared; crops: one per tracklet, from ``thumbs.clearest_crops``.

    Returns:
        the columns of TRACKLETS and identity (-1: in none), confidence (0 there), quality and video_id (-1 and ''
        without a crop); sorted by camera and time.
    """
    table = tracklets.merge(identities, on="tracklet_id", how="left")
    table["identity"] = table.identity.fillna(NOBODY).astype("int64")
    table["confidence"] = table.confidence.fillna(0.0)
    table["quality"] = table.tracklet_id.map(crops.quality).astype("float64").fillna(-1.0)
    table["video_id"] = table.tracklet_id.map(crops.video_id).astype("object").fillna("")
    return table.sort_values(["camera_id", "t_start_us", "tracklet_id"], kind="stable").reset_index(drop=True)


def rank(table: pd.DataFrame) -> pd.DataFrame:
    """Persons in the order of the pages: most cameras first, then most tracklets.

    Returns:
        index identity; n_cameras, n_tracklets, lowest (confidence; persons of one tracklet count as 1), hue (degrees,
        -1 where only one camera saw the person), place (0, 1, … on the pages).
    """
    known = table[table.identity != NOBODY].groupby("identity")
    people = pd.DataFrame(
        {
            "n_cameras": known.camera_id.nunique(),
            "n_tracklets": known.size(),
            "lowest": known.confidence.min(),
        }
    )
    # A person of one tracklet has nobody to be confused with inside the person.
    people.loc[people.n_tracklets < 2, "lowest"] = 1.0
    people = people.reset_index().sort_values(
        ["n_cameras", "n_tracklets", "identity"], ascending=[False, False, True], kind="stable"
    )
    people["place"] = range(len(people))
    golden_angle = 137.508
    people["hue"] = (people.place * golden_angle % 360).round(1).where(people.n_cameras > 1, -1.0)
    return people.set_index("identity")


def page_count(n_people: int, per_page: int) -> int:
    return max(1, math.ceil(n_people / per_page))


def by_person(table: pd.DataFrame) -> dict[int, list[Seen]]:
    """identity → its tracklets, in the order of :func:`gather`; those in no person are left out."""
    persons: dict[int, list[Seen]] = {}
    for row in zip(*(table[name].tolist() for name in Seen._fields), strict=True):
        seen = Seen(*row)
        if seen.identity != NOBODY:
            persons.setdefault(seen.identity, []).append(seen)
    return persons


def shown_tracklets(members: Sequence[Seen], max_items: int) -> list[str]:
    """At most ``most`` of a person's tracklets: the least certain one, then cameras in turn, clearest crops first."""
    if len(members) <= max_items:
        return [m.tracklet_id for m in members]
    turns: dict[str, int] = {}
    order = []
    for m in sorted(members, key=lambda m: (-m.quality, m.tracklet_id)):
        turns[m.camera_id] = turns.get(m.camera_id, 0) + 1
        order.append((turns[m.camera_id], m.camera_id, m.tracklet_id))
    doubtful = min(members, key=lambda m: (m.confidence, m.tracklet_id)).tracklet_id
    return list(dict.fromkeys([doubtful, *(tracklet_id for _, _, tracklet_id in sorted(order))]))[:max_items]


def make_person(
    members: Sequence[Seen],
    hue: float,
    thumbs: dict[str, Thumb],
    shown: Sequence[str],
    clock: Clock,
    doubtful_below: float,
) -> Person:
    """The card of one person; ``members`` are all tracklets of the person, ``shown`` the ids on the card."""
    cameras: dict[str, list[Member]] = {}
    alone = len(members) < 2
    for m in members:
        if m.tracklet_id not in shown:
            continue
        seconds = (m.t_end_us - m.t_start_us) / 1e6
        member = Member(
            tracklet_id=m.tracklet_id,
            when=clock.moment(m.t_start_us, m.video_id),
            confidence="" if alone else f"{100 * m.confidence:.0f} %",
            doubtful=not alone and m.confidence < doubtful_below,
            tip=f"{m.tracklet_id}: {m.camera_id}, {seconds:.1f} s, {m.n_boxes} boxes",
            thumb=thumbs.get(m.tracklet_id),
        )
        cameras.setdefault(m.camera_id, []).append(member)
    n_cameras = len({m.camera_id for m in members})
    summary = f"in {n_cameras} camera{'s' * (n_cameras > 1)}"
    if len(members) > n_cameras:
        summary += f", {len(members)} tracklets"
    in_view = duration(sum(m.t_end_us - m.t_start_us for m in members) / 1e6) + " in view"
    return Person(members[0].identity, hue, summary, in_view, cameras, len(members) - len(shown))


def shared_people(table: pd.DataFrame) -> tuple[list[str], list[list[int]]]:
    """Cameras, and for each pair how many persons both saw (on the diagonal: persons the camera saw)."""
    seen = table[table.identity != NOBODY][["camera_id", "identity"]].drop_duplicates()
    cameras = sorted(seen.camera_id.unique())
    counts = seen.merge(seen, on="identity").groupby(["camera_id_x", "camera_id_y"]).size()
    return cameras, [[int(counts.get((a, b), 0)) for b in cameras] for a in cameras]


def rows(frame: pd.DataFrame) -> Iterator[Any]:
    """``itertuples``, whose fields the type stubs hold to be any scalar there is."""
    return iter(frame.itertuples())
