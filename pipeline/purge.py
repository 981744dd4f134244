"""``make purge``: what shows or describes people removed from a run, of everybody or of some identities for good.

A picture, a feature or a clip can be made anew from the footage, so that is what goes; times, boxes, poses, measures and
networks stay, and so do receipts: what lacks its files is made again when it is asked for. Only places that this
pipeline fills are looked at, since people keep footage beside their runs.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError
from pipeline.receipts import RECEIPT
from pipeline.request import Request
from pipeline.run_folder import refuse_earlier_version
from pipeline.runner import locked, published_output
from pipeline.shards import DONE

if TYPE_CHECKING:
    import pandas as pd

# Kind → where it lies in a run; what lists other files before these, so that after a kill no stage takes them for there.
# Whoever keeps pictures, features or clips in a new place adds it; a test looks for any.
CROPS = "crops"
PLACES = {
    "lists of crops": (
        "crop/crops.parquet", "crop.old/crops.parquet", "evaluate/confusions.parquet", "evaluate.old/confusions.parquet",
    ),
    CROPS: ("shard_cache/crop",),
    "crops of true boxes": ("shard_cache/evaluate",),
    "features": ("features",),
    "gallery": (
        "export/gallery.faiss", "export/gallery.parquet", "export.old/gallery.faiss", "export.old/gallery.parquet",
    ),
    "interrupted training": ("shard_cache/training",),
    "report and clips": ("report", "report.old", "report.zip"),
    "contact sheets": ("search",),
    "unfinished work": (".scratch",),
}  # fmt: skip
_KEPT = (
    "What stays: times, boxes and poses, tracklets, identities, measures, judgements and networks. The original footage "
    "was not touched."
)


@dataclass(frozen=True)
class Removed:
    """What of one kind went; size in bytes."""

    kind: str
    files: int
    size: int


def purge(run: Path, identities: Iterable[str]) -> None:
    """The command: of the whole run, or of the people whose numbers are given.

    Raises:
        UserError: no run, one of an earlier version, or an identity that is none of it.
    """
    if not (run / "request.json").is_file():
        raise UserError(f"RUN={run}: no run's folder, there is no request.json in it.")
    refuse_earlier_version(run)  # its pictures lie elsewhere and would stay
    numbers = identities_of(identities)
    with locked(run):
        if numbers:
            _purge_people(run, numbers)
        else:
            _purge_all(run)


def identities_of(texts: Iterable[str]) -> list[int]:
    """The numbers in ``7 12`` or ``7,12``.

    Raises:
        UserError: a word is no number.
    """
    numbers = []
    for word in (w for text in texts for w in text.replace(",", " ").split()):
        if not word.isdecimal():
            raise UserError(
                f'IDENTITY={word}: wants numbers of people as in the report, e.g. IDENTITY="7 12".'
            )
        numbers.append(int(word))
    return sorted(set(numbers))


def _purge_all(run: Path) -> None:
    removed = remove(run)
    print(table(run, removed))
    print(f"{_KEPT} What was removed is made again from it when asked for: `make report RUN={run}`.")


def _purge_people(run: Path, numbers: list[int]) -> None:
    from data import redaction_list
    from data.redaction import pieces_of

    tracklets, boxes, videos = people(run, numbers)
    print(who(numbers, tracklets))
    # The list first: a kill after it leaves too many pictures for a while, but lets nobody back in.
    redaction_list.add(run / redaction_list.PLACE, pieces_of(boxes, videos))
    print(table(run, remove(run, spared=shards_of_others(run, boxes, videos))))
    model = Request.load(run)["model"]
    learnt = (
        f"`make all RUN={run}` makes everything anew without them; the network is that of {model}: purge them there, too, "
        "if they are in it."
        if model
        else f"`make all RUN={run}` makes everything anew without them, the network included, which may have learnt from "
        "them."
    )
    print(
        f"{_KEPT}\n{run / redaction_list.PLACE} keeps where they stood: no picture of them is made again, and clips and pictures of "
        f"others have grey in their place.\n{learnt}\nTracklets that were not taken for them may still show them: look "
        "through the new report."
    )


def remove(run: Path, spared: Callable[[Path], bool] = lambda shard: False) -> list[Removed]:
    """Take away everything in `PLACES`; purging again finishes what a kill cut short.

    spared: whether a folder of crops shows nobody who has to go.
    """
    found = []
    for kind, places in PLACES.items():
        files = [file for place in places for file in _files(run / place, spared if kind == CROPS else None)]
        # A shard without this mark is cut anew, whatever a kill left of it.
        sizes = [_unlink(file) for file in sorted(files, key=lambda file: file.name != DONE)]
        if sizes:
            found.append(Removed(kind, len(sizes), sum(sizes)))
        for place in places:
            _drop_empty(run / place)
    return found


def _files(place: Path, spared: Callable[[Path], bool] | None) -> Iterator[Path]:
    """Files at or below a place, but receipts; of a folder of shards, those of shards that are not spared."""
    if place.is_file() or (place.is_symlink() and not place.is_dir()):
        yield place
    elif place.is_dir():
        shards = [p for p in sorted(place.iterdir()) if p.is_dir() and spared and spared(p)]
        for path in sorted(place.rglob("*")):
            outside = not any(shard in path.parents for shard in shards)
            if outside and path.name != RECEIPT and (path.is_symlink() or not path.is_dir()):
                yield path


def _unlink(file: Path) -> int:
    """Remove a file, or a link but not what it points to; returns the bytes that went.

    Raises:
        UserError: the system does not let us.
    """
    try:
        size = file.lstat().st_size
        file.unlink()
    except OSError as error:
        raise UserError(f"{file}: cannot be removed ({error.strerror}); mend that and purge again.") from None
    return size


def _drop_empty(place: Path) -> None:
    if not place.is_dir() or place.is_symlink():
        return
    for folder in sorted((p for p in place.rglob("*") if p.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    if not any(place.iterdir()):
        place.rmdir()


def people(run: Path, numbers: list[int]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The tracklets (TRACKLETS with identity) and boxes (BOXES) of identities, and VIDEOS.

    Raises:
        UserError: nobody was identified yet, one of the numbers is nobody's, or the tables are of different footage.
    """
    from pipeline import manifests, schema

    def read(manifest: schema.Manifest, stage: str) -> pd.DataFrame:
        path = published_output(run / stage) / manifest.file
        if not path.is_file():
            raise UserError(
                f"IDENTITY: nobody is identified in {run}; without IDENTITY everybody's pictures go."
            )
        return schema.read(manifest, path)

    identities = read(manifests.IDENTITIES, "identify")
    known = identities.identity.unique().tolist()
    for number in numbers:
        if number not in known:
            raise UserError(f"IDENTITY={number}: {run} has no such person; {_known(known)}.")
    own = identities[identities.identity.isin(numbers)]
    tracklets = read(manifests.TRACKLETS, "isolate").merge(own[["tracklet_id", "identity"]], on="tracklet_id")
    boxes, videos = read(manifests.BOXES, "isolate"), read(manifests.VIDEOS, "ingest")
    boxes = boxes[boxes.tracklet_id.isin(own.tracklet_id)]
    if len(tracklets) < len(own) or not boxes.video_id.isin(videos.video_id).all():
        raise UserError(
            f"IDENTITY={numbers[0]}: {run} was tracked anew since people were numbered; run `make identify RUN={run}` and "
            "look the person up again."
        )
    return tracklets, boxes, videos


def _known(numbers: list[int]) -> str:
    numbers = sorted(numbers)
    if numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"there are {numbers[0]} to {numbers[-1]}"
    shown = ", ".join(map(str, numbers[:20]))
    return f"there are {shown}{' …' if len(numbers) > 20 else ''}"


def who(numbers: list[int], tracklets: pd.DataFrame) -> str:
    """'person 7: 5 tracklets in 3 cameras, 2026-03-01 08:01:12 to 09:30:05 UTC', a line each."""
    lines = []
    for number in numbers:
        own = tracklets[tracklets.identity == number]
        start, end = (
            dt.datetime.fromtimestamp(t / 1e6, dt.UTC) for t in (own.t_start_us.min(), own.t_end_us.max())
        )
        lines.append(
            f"person {number}: {len(own)} tracklets in {own.camera_id.nunique()} cameras, {start:%Y-%m-%d %H:%M:%S} to "
            f"{end:%Y-%m-%d %H:%M:%S} UTC"
        )
    return "\n".join(lines)


def shards_of_others(run: Path, boxes: pd.DataFrame, videos: pd.DataFrame) -> Callable[[Path], bool]:
    """Whether a folder of crops is certainly of recordings in which none of the people with these boxes was seen."""
    import pandas as pd

    seen = videos.digest[videos.video_id.isin(boxes.video_id)]
    others = set(videos.video_id[~videos.digest.isin(seen)])

    def spared(shard: Path) -> bool:
        try:
            shown = pd.read_parquet(shard / "crops.parquet", columns=["video_id"], partitioning=None).video_id
        except (OSError, ValueError, KeyError):
            return False
        # A name of before the cameras or clocks were described otherwise may be that of any recording.
        return bool(len(shown)) and set(shown) <= others

    return spared


def table(run: Path, removed: list[Removed]) -> str:
    """One line a kind: files and MB."""
    if not removed:
        return f"{run}: nothing was left to remove."
    lines = [f"removed from {run}:"]
    lines += [
        f"  {r.kind:<21}{r.files:>7} file{'s' if r.files != 1 else ' '} {r.size / 1e6:>10.1f} MB"
        for r in removed
    ]
    return "\n".join(lines)
