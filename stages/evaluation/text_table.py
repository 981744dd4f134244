"""The measures as a short text for a terminal. Imports nothing heavy: every `make all` ends with it."""

from __future__ import annotations

from typing import Any

from stages.validation.verdict import verdict


def empty_metrics() -> dict[str, Any]:
    """The documented keys, all null: what is measured is filled in, what cannot be measured stays null."""
    pair: dict[str, Any] = dict.fromkeys(("rank1", "rank5", "rank10", "mean_ap", "mean_inp"))
    followed = ("idf1", "hota", "mota", "purity", "switches", "r_fm", "r_sw")
    return {
        "reid": {
            "start": dict(pair),
            "rounds": [],
            "final": dict(pair),
            "supervised": None,
            "end_to_end": dict(pair),
            "camera_pairs": {},
        },
        "association": {"precision": None, "recall": None, "f": None, "rounds": []},
        "identities": dict.fromkeys(("idf1", "hota", "pair_precision", "pair_recall")),
        "detection": {"precision": None, "recall": None},
        "tracking": {**dict.fromkeys(followed), "cameras": {}},
        "isolation": dict.fromkeys(followed),
        "label_free": {
            "tracklets": 0,
            "checkpoints": [],
            "final_checkpoint": None,
            "final_minus_start": {},
            "cameras": {},
            "links": {},
        },
        "people": {"train": None, "test": None, "both": None, "distractors": None, "queries": None},
        "gap_closed": dict(pair),
        "fraction_of_supervised": dict(pair),
        "intervals": {},
        "final_checkpoint": None,
    }


def format_metrics(metrics: dict[str, Any]) -> str:
    """The measures of ``metrics.json`` for a person: per cent, a dash where there is no truth."""
    m = metrics
    lines = ["", f"  {'re-identification':<32}{'rank-1':>8}{'mAP':>8}{'mINP':>8}   95 % interval of rank-1"]

    def reid(name: str, values: dict[str, Any] | None, interval: Any = None) -> None:
        values = values or {}
        spread = f"   {_percent(interval[0])} to {_percent(interval[1])}" if interval else ""
        shown = "".join(f"{_percent(values.get(key)):>8}" for key in ("rank1", "mean_ap", "mean_inp"))
        lines.append(f"  {name:<32}{shown}{spread}")

    def rank1_interval(checkpoint: str) -> Any:
        return (m["intervals"].get(checkpoint) or {}).get("rank1")

    if m["people"]["queries"]:
        reid("start", m["reid"]["start"], rank1_interval("start"))
        for entry in m["reid"]["rounds"]:
            reid(f"after round {entry['round']}", entry)
        reid(f"final ({m['final_checkpoint']})", m["reid"]["final"], rank1_interval("final"))
        if m["reid"]["supervised"]:
            reid("trained with the truth", m["reid"]["supervised"], rank1_interval("supervised"))
            reid("gap closed", m["gap_closed"])
        reid("end to end, own tracklets", m["reid"]["end_to_end"], rank1_interval("end_to_end"))
        lines.append(
            f"  on {m['people']['queries']} queries of {m['people']['test'] - m['people']['distractors']} people; "
            f"{m['people']['distractors']} more seen by one camera only"
        )
        if pairs := m["reid"]["camera_pairs"]:
            weakest = sorted(pairs, key=lambda p: (pairs[p]["rank1"], p))[:3]
            said = (f"{p} {_percent(pairs[p]['rank1'])} ({pairs[p]['queries']} queries)" for p in weakest)
            lines.append("  weakest from one camera to another: " + ", ".join(said))
    elif m["people"]["test"] is None:
        lines[-1] = "  no truth was given: only what needs none is measured"
    else:
        lines[-1] = "  re-identification: nobody was seen by two cameras in the test time"
    lines += ["", "  without truth: " + verdict(m["label_free"])]
    if m["people"]["test"] is None:
        return "\n".join(lines)
    lines.append("")
    for label, section, keys in (
        ("detection", "detection", (("precision", "precision"), ("recall", "recall"))),
        ("tracking", "tracking", _FOLLOWED),
        ("  after isolation", "isolation", _FOLLOWED),
        ("association", "association", _LINKED),
        (
            "identities",
            "identities",
            (
                ("HOTA", "hota"),
                ("IDF1", "idf1"),
                ("pair precision", "pair_precision"),
                ("recall", "pair_recall"),
            ),
        ),
    ):
        values = ", ".join(f"{name} {_value(key, m[section][key])}" for name, key in keys)
        lines.append(f"  {label:<20}{values}")
        if section == "tracking" and len(cameras := m["tracking"].get("cameras") or {}) > 1:
            lines += [
                f"    {camera:<18}" + ", ".join(f"{name} {_value(key, own[key])}" for name, key in _FOLLOWED)
                for camera, own in sorted(cameras.items(), key=lambda item: (item[1]["hota"] or 0, item[0]))[
                    :_CAMERAS
                ]
            ]
        if section == "association":
            lines += [
                f"    of round {r['round']:<7}"
                + ", ".join(f"{name} {_percent(r[key])}" for name, key in _LINKED)
                for r in m["association"]["rounds"]
                if r["pairs"]
            ]
    return "\n".join(lines)


def format_published(metrics: dict[str, Any]) -> str:
    """The measures of a published benchmark for a person, with the paper's beside ours where it reports any."""
    trial = f", trial {metrics['trial']} of 0 to {metrics['trials'] - 1}" if metrics["trials"] > 1 else ""
    names = ("rank1", "rank5", "rank10", "rank20", "mean_ap", "mean_inp")
    head = "".join(f"{word:>9}" for word in ("rank-1", "rank-5", "rank-10", "rank-20", "mAP", "mINP"))
    lines = ["", f"  {metrics['dataset']}{trial}, {metrics['method']}".ljust(34) + head]
    for row in (metrics["reid"]["start"], *metrics["reid"]["rounds"]):
        lines.append(
            f"  {row['checkpoint']}".ljust(34) + "".join(f"{_percent(row[name]):>9}" for name in names)
        )
    paper = published(metrics["dataset"], metrics["method"])
    if paper:
        values = (None if paper.get(name) is None else paper[name] / 100 for name in names)
        lines.append(
            "  the paper".ljust(34) + "".join(f"{_percent(v):>9}" for v in values) + f"   {paper['from']}"
        )
    lines += ["", f"  {metrics['queries']} queries, {metrics['gallery']} in the gallery"]
    for row in metrics["labels"]:
        if row["pairs"]:
            linked = ", ".join(f"{name} {_percent(row[key])}" for name, key in _LINKED)
            lines.append(f"  labels of round {row['round']}: {linked}, {row['pairs']} pairs")
    return "\n".join(lines)


def published(dataset: str, method: str) -> dict[str, Any]:
    """The paper's figures, per cent, and where they stand; empty where it has none."""
    from pathlib import Path

    import yaml

    import data.datasets

    path = Path(data.datasets.__path__[0]) / "published.yaml"
    known: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return known.get(dataset, {}).get(method, {})


_CAMERAS = 8  # printed, those followed worst first
_LINKED = (("precision", "precision"), ("recall", "recall"), ("F", "f"))
_FOLLOWED = (("HOTA", "hota"), ("IDF1", "idf1"), ("MOTA", "mota"), ("purity", "purity"), ("switches", "switches"),
             ("tracklets per person and camera", "r_fm"), ("persons per tracklet", "r_sw"))  # fmt: skip


def _value(key: str, value: Any) -> str:
    if value is None:
        return "–"
    if key in ("r_fm", "r_sw"):
        return f"{value:.2f}"
    return str(value) if key == "switches" else _percent(value)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
