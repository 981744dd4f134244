"""Where something comes from: a table back to the files it was made of, a tracklet or a person back to video and frame."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import receipts, schema
from pipeline.errors import UserError
from pipeline.manifests import BOXES, IDENTITIES, TRACKLETS, VIDEOS

if TYPE_CHECKING:
    import pandas as pd


def of_table(path: Path) -> Iterator[str]:
    """What a Parquet file says of itself, then every step before it, back to the recordings.

    Raises:
        UserError: not a table of a run.
    """
    try:
        facts = schema.facts(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as Parquet: {error}.") from None
    run = next((folder for folder in path.resolve().parents if (folder / "request.json").is_file()), None)
    if run is None or "node" not in facts:
        raise UserError(
            f"{path}: not a table that a step of a run wrote; give runs/…/<step>/<table>.parquet."
        )
    known = receipts.of_run(run)
    yield f"{path}: written by {facts['node']}"
    yield from (f"  {line}" for line in json.dumps(facts, indent=1, sort_keys=True).splitlines())
    yield "made of, step by step:"
    for node in _before(str(facts["node"]), known):
        receipt = known[node]
        version = receipt["fingerprint"]["version"]
        notes = ", ".join(
            f"{k} {v}" for k, v in receipt["metadata"].items() if isinstance(v, int | float | str)
        )
        yield f"  {node} (version {version}, {receipt['seconds']:.1f} s on {receipt['host']}, {receipt['device']}): {notes}"
    yield from _recordings(run)


def _before(node: str, known: dict[str, dict[str, Any]]) -> list[str]:
    """The node and all it came from, the latest first, each once."""
    found: list[str] = []
    todo = [node]
    while todo:
        name = todo.pop(0)
        if name in found or name not in known:
            continue
        found.append(name)
        # 'tracklets of isolate' → isolate
        todo += [key.rpartition(" of ")[2] for key in known[name]["fingerprint"]["inputs"]]
    return found


def _recordings(run: Path, max_items: int = 20) -> Iterator[str]:
    if not (run / "ingest" / VIDEOS.file).is_file():  # a published benchmark has none
        return
    videos = schema.read(VIDEOS, run / "ingest" / VIDEOS.file)
    good = videos[videos.status == "ok"]
    yield f"{len(good)} recordings:"
    for row in good.head(max_items).to_dict("records"):
        yield f"  {row['path']} ({row['camera_id']}, from {_time(row['t_start_us'])}, {row['frames']} frames)"
    if len(good) > max_items:
        yield f"  … and {len(good) - max_items} more, in {run / 'ingest' / VIDEOS.file}"


def of_tracklet(run: Path, name: str) -> Iterator[str] | None:
    """Videos and frames of a tracklet, by its id, or of a person, as ``identity:7``; None where the run has no such.

    Raises:
        UserError: no such person, or people were not told apart yet.
    """
    at = run / "isolate" / TRACKLETS.file
    if not at.is_file():
        return None
    tracklets = schema.read(TRACKLETS, at)
    if name.startswith("identity:"):
        members = _members(run, name.removeprefix("identity:"))
    elif name in set(tracklets.tracklet_id):
        members = [name]
    else:
        return None
    return _places(run, tracklets[tracklets.tracklet_id.isin(members)])


def _members(run: Path, number: str) -> list[str]:
    path = run / "identify" / IDENTITIES.file
    if not path.is_file():
        raise UserError(f"{path}: not there; run `make identify RUN={run}` first.")
    identities = schema.read(IDENTITIES, path)
    if not number.isdecimal() or len(number) > 9 or int(number) not in set(identities.identity):
        raise UserError(
            f"identity:{number}: no such person; they are {identities.identity.min()} to {identities.identity.max()}."
        )
    return list(identities.tracklet_id[identities.identity == int(number)])


def _places(run: Path, tracklets: pd.DataFrame) -> Iterator[str]:
    boxes = schema.read(BOXES, run / "isolate" / BOXES.file)
    videos = schema.read(VIDEOS, run / "ingest" / VIDEOS.file).set_index("video_id")
    for row in tracklets.sort_values("t_start_us").to_dict("records"):
        name, parent = row["tracklet_id"], row["parent_id"]
        yield f"{name}: {row['camera_id']}, {row['n_boxes']} boxes{'' if parent == name else f', cut from {parent}'}"
        for video_id, own in boxes[boxes.tracklet_id == name].groupby("video_id"):
            yield (
                f"  {videos.path[video_id]}: frames {own.frame.min()} to {own.frame.max()}, "
                f"{_time(own.t_utc_us.min())} to {_time(own.t_utc_us.max())}"
            )


def _time(t_utc_us: int) -> str:
    return f"{datetime.fromtimestamp(t_utc_us / 1e6, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"


def printed(lines: Iterable[str]) -> None:
    for line in lines:
        print(line)
