"""The plots of training and retrieval: a drawing, or the sentence that says why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from stages.reporting import svg
from stages.validation.verdict import WITNESSES

_MAX_POINTS = 400


@dataclass(frozen=True)
class Plot:
    """legend: (class of the style sheet, name); missing: said in place of an empty plot."""

    title: str
    caption: str
    drawing: Markup | None = None
    legend: list[tuple[str, str]] = field(default_factory=list)
    missing: str = ""


def training(
    logs: Sequence[tuple[int, pd.DataFrame]], column: str, title: str, y_label: str, caption: str
) -> Plot:
    """One column of TRAIN_LOG over the steps of all rounds.

    Args:
        logs: (round, table), in order. ``active_fraction`` is drawn in per cent from 0 to 100.
    """
    share = column == "active_fraction"
    series, dividers, offset = [], [], 0
    total = sum(len(log) for _, log in logs)
    for number, log in logs:
        if log.empty:
            continue
        x, y = thinned(log[column].to_numpy(np.float64), max(1, total // _MAX_POINTS))
        dividers.append((float(offset), f"round {number}"))
        series.append(svg.Series("each batch", offset + x, y, "s0", faint=True))
        window = max(3, len(y) // 12)
        series.append(svg.Series("moving mean", offset + x, moving_mean(y, window), "s0"))
        offset += len(log)
    if not series:
        return Plot(title, caption, missing="Nothing was trained in this run, so there is no curve.")
    drawing = svg.line_chart(
        series, title=title, x_label="training step, all rounds", y_label=y_label, dividers=dividers,
        y_range=(0.0, 1.0) if share else None, y_format=svg.percent if share else svg.number,
    )  # fmt: skip
    return Plot(title, caption, drawing, [("s0 faint", "batches"), ("s0", "moving mean")])


def links_per_round(rounds: Sequence[tuple[int, int, int]]) -> Plot:
    """rounds: (round, kept, considered)."""
    title = "Links between cameras, per round"
    caption = "Pairs of tracklets that the round took for one person and trained on."
    if not any(kept for _, kept, _ in rounds):
        return Plot(title, caption, missing="No round linked tracklets of two cameras.")
    names = [f"{number}" for number, _, _ in rounds]
    drawing = svg.bar_chart(
        names, [kept for _, kept, _ in rounds], title=title, x_label="round", y_label="links kept"
    )
    considered = ", ".join(f"{n}: {svg.number(all_)}" for n, _, all_ in rounds if all_)
    return Plot(title, f"{caption} Candidates considered in round {considered}.", drawing)


def health(selection: pd.DataFrame) -> Plot:
    """The label-free signal that chose the final state."""
    title = "Health signal that chose the state"
    caption = "Computed without labels, larger is better; the ringed state is the best one."
    rows = selection.sort_values("round")
    if len(rows) < 2:
        return Plot(title, caption, missing="The run has one state only, so there was nothing to choose.")
    names = ["start" if r < 0 else f"{r}" for r in rows["round"]]
    x, y = list(range(len(rows))), [float(v) for v in rows.signal]
    used = [i for i, c in enumerate(rows.chosen) if c]
    chosen = max(used, key=lambda i: y[i], default=None)
    if len(used) > 1:
        caption += f" The run ends on the mean of the networks of rounds {', '.join(names[i] for i in used)}."
    drawing = svg.line_chart(
        [svg.Series("signal", x, y, "s2", dots=True)], title=title, x_label="round", y_label="signal",
        x_names=names, ring=None if chosen is None else (chosen, y[chosen]),
    )  # fmt: skip
    return Plot(title, caption, drawing)


def checkpoints(metrics: Mapping[str, Any], missing: str) -> Plot:
    """Rank-1 and mAP from the start over the rounds, with the supervised rank-1 as the line to reach."""
    title = "Re-identification per state"
    caption = "On held-out time. The dashed line is the rank-1 of the same network trained with labels."
    reid = metrics.get("reid") or {}
    found = [("start", reid.get("start") or {})]
    found += [(str((r or {}).get("round", i)), r or {}) for i, r in enumerate(reid.get("rounds") or [])]
    found = [(name, values) for name, values in found if values.get("rank1") is not None]
    if not found:
        return Plot(title, caption, missing=missing)
    x = list(range(len(found)))
    lines = [
        svg.Series(label, x, [float(values.get(key) or 0) for _, values in found], colour, dots=True)
        for key, label, colour in (("rank1", "rank-1", "s0"), ("mean_ap", "mAP", "s1"))
    ]
    reference = (reid.get("supervised") or {}).get("rank1")
    names = [name for name, _ in found]
    final = metrics.get("final_checkpoint")
    at = next((i for i, n in enumerate(names) if final in (n, f"round-{n}")), None)
    drawing = svg.line_chart(
        lines, title=title, x_label="round", y_label="per cent", y_range=(0.0, 1.0), y_format=svg.percent, x_names=names,
        levels=[(float(reference), "with labels")] if reference is not None else [],
        ring=None if at is None else (at, lines[0].y[at]),
    )  # fmt: skip
    if reference is None:
        caption = "On held-out time."
    if at is not None:
        caption += " The ring marks the final state."
    elif final:
        caption += f" The final network is the {final}: rank-1 {100 * ((reid.get('final') or {}).get('rank1') or 0.0):.1f} %."
    return Plot(title, caption, drawing, [("s0", "rank-1"), ("s1", "mAP")])


def signals(metrics: Mapping[str, Any]) -> Plot:
    """The signals without truth from the start over the rounds, on the held-out time."""
    title = "Signals without truth per state"
    read = metrics.get("label_free") or {}
    found = [
        s
        for s in read.get("checkpoints") or []
        if s["checkpoint"] == "start" or s["checkpoint"].startswith("round-")
    ]
    lines = []
    for colour, name in zip(("s0", "s1", "s2"), WITNESSES, strict=False):
        at = [i for i, checkpoint in enumerate(found) if checkpoint.get(name) is not None]
        if at:
            y = [float(found[i][name]) for i in at]
            lines.append(svg.Series(name.replace("_", " "), at, y, colour, dots=True))
    if not lines:
        return Plot(title, "", missing="The held-out time has too few long tracklets for these signals.")
    drawing = svg.line_chart(
        lines, title=title, x_label="round", y_label="per cent", y_format=svg.percent,
        x_names=["start" if s["checkpoint"] == "start" else str(s["round"]) for s in found],
    )  # fmt: skip
    caption = f"On {read['tracklets']} tracklets that training did not see; larger is better."
    return Plot(title, caption, drawing, [(s.colour, s.label) for s in lines])


def cmc(rankings: pd.DataFrame, missing: str, last_rank: int = 20) -> Plot:
    """Share of queries with a true match within the first k answers, for the states that matter."""
    title = "CMC: found within the first k answers"
    wanted = (
        ("start", "start", "s3"), ("final", "final", "s0"), ("supervised", "with labels", "s1"),
        ("end_to_end", "end to end", "s2"),
    )  # fmt: skip
    k = np.arange(1, last_rank + 1)
    lines = []
    for checkpoint, label, colour in wanted:
        ranks = rankings.first_match_rank[rankings.checkpoint == checkpoint].to_numpy()
        if len(ranks):
            lines.append(svg.Series(label, k, match_curve(ranks, last_rank), colour))
    if not lines:
        return Plot(title, "", missing=missing)
    drawing = svg.line_chart(
        lines, title=title, x_label="answers looked at (k)", y_label="per cent of queries", y_range=(0.0, 1.0),
        y_format=svg.percent,
    )  # fmt: skip
    queries = int((rankings.checkpoint == "final").sum())
    return Plot(title, f"{queries} queries.", drawing, [(s.colour, s.label) for s in lines])


def match_curve(first_match_rank: np.ndarray, last_rank: int) -> np.ndarray:
    """(last_rank,) CMC: share of queries whose first true match is among the first k = 1 … ``last_rank`` answers."""
    found = first_match_rank[first_match_rank >= 0]
    counts = np.bincount(np.minimum(found, last_rank), minlength=last_rank + 1)[:last_rank]
    return np.asarray(np.cumsum(counts) / max(len(first_match_rank), 1))


def thinned(values: np.ndarray, every: int) -> tuple[np.ndarray, np.ndarray]:
    """Means of runs of ``every`` values: (their middle positions, means); a short last run counts as one."""
    starts = np.arange(0, len(values), every)
    sizes = np.diff(np.append(starts, len(values)))
    return starts + (sizes - 1) / 2, np.add.reduceat(values, starts) / sizes


def moving_mean(values: np.ndarray, window: int) -> np.ndarray:
    """Centred mean over ``window`` values, over fewer at the ends."""
    half = window // 2
    total = np.concatenate([[0.0], np.cumsum(values)])
    low = np.maximum(np.arange(len(values)) - half, 0)
    high = np.minimum(np.arange(len(values)) + half + 1, len(values))
    return np.asarray((total[high] - total[low]) / (high - low))
