"""The measures as sentences and tables. Fractions in, per cent out; what was not measured is left out or said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from stages.reporting import svg
from stages.reporting.footage import recorded_s
from stages.reporting.local_time import duration
from stages.reporting.people import NOBODY
from stages.validation import verdict as signals

Metrics = Mapping[str, Any]

# section, key, name, meaning, kind
_MEANINGS = (
    ("association", "precision", "Association precision", "share of linked tracklet pairs of two cameras that are one person", "share"),
    ("association", "recall", "Association recall", "share of all true tracklet pairs of two cameras that were linked", "share"),
    ("identities", "hota", "Identities HOTA", "who is who over the whole camera network, found and kept apart", "share"),
    ("identities", "idf1", "Identities IDF1", "share of boxes with the right person over the whole camera network", "share"),
    ("identities", "pair_precision", "Identity pair precision", "share of tracklet pairs shown as one person below that are one", "share"),
    ("identities", "pair_recall", "Identity pair recall", "share of tracklet pairs of one person that are shown together", "share"),
    ("tracking", "hota", "Tracking HOTA", "people found and kept apart over time, inside one camera", "share"),
    ("tracking", "mota", "Tracking MOTA", "1 less misses, false boxes and switches, per true box", "share"),
    ("tracking", "idf1", "Tracking IDF1", "share of boxes with the right person over time, inside one camera", "share"),
    ("tracking", "purity", "Tracklet purity", "share of a tracklet's boxes that are its main person", "share"),
    ("tracking", "switches", "Switches", "times a tracklet went over to another person", "count"),
    ("tracking", "r_fm", "Fragmentation", "tracklets per person and camera; 1 is perfect", "ratio"),
    ("tracking", "r_sw", "Mixing", "persons per tracklet; 1 is perfect", "ratio"),
    ("isolation", "purity", "Purity after isolation", "the same, after tracklets of two persons were cut", "share"),
    ("detection", "precision", "Detection precision", "share of our boxes that show a person", "share"),
    ("detection", "recall", "Detection recall", "share of true boxes that were found", "share"),
)  # fmt: skip


def headline(videos: pd.DataFrame, table: pd.DataFrame, people: pd.DataFrame) -> str:
    """One sentence of what was found. ``table``, ``people``: from `people.gather` and `people.rank`."""
    good = videos[videos.status == "ok"]
    footage = f"{_many(good.camera_id.nunique(), 'camera')}, {duration(recorded_s(good))} of footage"
    if table.empty:
        return f"{footage}: no person was found in it."
    if people.empty:
        return f"{footage}, {_many(len(table), 'tracklet')}: none of them was given an identity."
    found = f"{footage}, {_many(len(table), 'tracklet')}: {_many(len(people), 'person')}"
    if good.camera_id.nunique() < 2:
        return f"{found}. With one camera there is nobody to find again in another."
    again = int((people.n_cameras > 1).sum())
    return f"{found}, {svg.number(again)} of them seen by two or more cameras."


def verdict(metrics: Metrics) -> str:
    """What the measures say about the model, or what is not known without labels; empty where nothing was measured."""
    reid = metrics.get("reid") or {}
    final, start, supervised = (
        _get(reid, checkpoint, "rank1") for checkpoint in ("final", "start", "supervised")
    )
    if final is None or start is None:
        return _verdict_without_truth(metrics)
    change = 100 * (final - start)
    how = (
        "stayed where it was"
        if abs(change) < 0.05
        else f"{'rose' if change > 0 else 'fell'} by {abs(change):.1f} points"
    )
    text = (
        f"Asked to find a person of the held-out time in another camera, the model's first answer is right in "
        f"{_percent(final)} of cases; without the training it was {_percent(start)}, so it {how}"
    )
    between = _get(metrics.get("intervals") or {}, "final_minus_start", "rank1")
    text += (
        f" (95 % interval of the difference: {100 * between[0]:+.1f} to {100 * between[1]:+.1f} points)."
        if between
        else "."
    )
    if supervised is not None:
        text += f" The same network trained with the truth reaches {_percent(supervised)}."
    return text


def _verdict_without_truth(metrics: Metrics) -> str:
    if not metrics or (metrics.get("people") or {}).get("test") is not None:
        return ""
    said = signals.verdict(metrics.get("label_free") or {})
    return f"No labels were given, so how often this is right is not known. {said}"


def checkpoint_rows(metrics: Metrics) -> list[dict[str, Any]]:
    """Rows of the re-ID table: name, meaning, rank1, mean_ap (texts), interval, share (0 to 1, for the bar), strong."""
    reid = metrics.get("reid") or {}
    intervals = metrics.get("intervals") or {}
    chosen = metrics.get("final_checkpoint")
    rows = []

    def add(key: str, name: str, meaning: str, values: Any, strong: bool = False) -> None:
        if _get({"v": values}, "v", "rank1") is None:
            return
        between = (intervals.get(key) or {}).get("rank1")
        rows.append(
            {
                "name": name,
                "meaning": meaning,
                "rank1": _percent(values["rank1"]),
                "mean_ap": _percent(values.get("mean_ap")),
                "interval": f"{_percent(between[0])} – {_percent(between[1])}" if between else "",
                "share": round(float(values["rank1"]), 4),
                "strong": strong,
            }
        )

    add("start", "Start", "the network before any training on this footage", reid.get("start"))
    for i, values in enumerate(reid.get("rounds") or []):
        number = (values or {}).get("round", i)
        taken = " (chosen as final)" if chosen == f"round-{number}" else ""
        add(f"round-{number}", f"After round {number}{taken}", "", values)
    add(
        "final",
        "Final",
        (str(chosen) if str(chosen).startswith("mean") else "the state the run ended on")
        + ", chosen without looking at truth",
        reid.get("final"),
        True,
    )
    add(
        "supervised",
        "With labels",
        "the same network trained with the truth: the reference",
        reid.get("supervised"),
    )
    add(
        "end_to_end",
        "End to end",
        "final, on our own tracklets; missed people count as wrong",
        reid.get("end_to_end"),
    )
    return rows


def measure_rows(metrics: Metrics) -> list[dict[str, str]]:
    """Rows name, value, meaning of everything else that was measured."""
    rows = []
    for section, key, name, meaning, kind in _MEANINGS:
        value = _get(metrics, section, key)
        if value is not None:
            text = _percent(value) if kind == "share" else f"{value:.2f}" if kind == "ratio" else f"{value:g}"
            rows.append({"name": name, "value": text, "meaning": meaning})
    for key, name, meaning in (
        ("gap_closed", "Gap closed", "of the way from the start to training with labels, in rank-1"),
        (
            "fraction_of_supervised",
            "Share of supervised",
            "rank-1 of the final state over that of training with labels",
        ),
    ):
        value = _get(metrics, key, "rank1")
        if value is not None:
            rows.insert(0, {"name": name, "value": _percent(value), "meaning": meaning})
    return rows


def label_free_rows(metrics: Metrics) -> list[dict[str, str]]:
    """Rows name, value, meaning of the signals that need no truth, of the final state and of the start."""
    read = metrics.get("label_free") or {}
    rows = []
    for key, meaning in signals.WITNESSES.items():
        start, final = signals.values(read, key)
        if final is None:
            continue
        name = key.replace("_", " ").capitalize()
        meaning = f"{meaning} ({read['tracklets']} tracklets of the held-out time)"
        rows.append({"name": name, "value": _percent(final), "meaning": meaning})
        if start is not None:
            rows.append(
                {"name": "the same at the start", "value": _percent(start), "meaning": "before any training"}
            )
    for camera, share in _weakest(read.get("cameras")):
        meaning = "its tracklets that find themselves again"
        rows.append({"name": f"Camera {camera}", "value": _percent(share), "meaning": meaning})
    for link, share in _weakest(read.get("links")):
        meaning = "how well those taken for one person there fit the walking times"
        rows.append({"name": f"Link {link}", "value": _percent(share), "meaning": meaning})
    return rows


def _weakest(shares: Mapping[str, float] | None, max_items: int = 6) -> list[tuple[str, float]]:
    return sorted((shares or {}).items(), key=lambda item: (item[1], item[0]))[:max_items]


def basis(metrics: Metrics, has_truth: bool) -> str:
    """What the figures rest on: queries and people, or that there is no truth."""
    counts = metrics.get("people") or {}
    if not has_truth:
        return (
            "No labels were given, so nothing here says how often a person is truly recognised: rank-1, mAP, and the "
            "precision of the links and of the people below are unknown. The signals above compare states of the model; "
            "they are no accuracy."
        )
    if not counts.get("queries"):
        return "Nobody was seen by two cameras in the held-out time, so re-identification cannot be measured."
    people = (counts.get("test") or 0) - (counts.get("distractors") or 0)
    return (
        f"Measured on {_many(counts['queries'], 'query')} of {_many(people, 'person')} in time that training did not see: one "
        f"query per person and camera, the same camera removed from the answers. "
        f"{_many(counts.get('distractors') or 0, 'more person')} seen by one camera only stand among the answers."
    )


def unassigned(table: pd.DataFrame) -> int:
    """Tracklets in no person."""
    return int((table.identity == NOBODY).sum())


def _many(count: int, word: str) -> str:
    plural = {"person": "people", "more person": "more people", "query": "queries"}.get(word, word + "s")
    return f"{svg.number(count)} {word if count == 1 else plural}"


def _get(tree: Mapping[str, Any], section: str, key: str) -> Any:
    return (tree.get(section) or {}).get(key)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
