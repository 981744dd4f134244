"""The model card: what the network was fitted to, how good it is, and what it must not be used for."""

from __future__ import annotations

import datetime as dt
from typing import Any

from stages.evaluation.table import format_metrics


def model_card(facts: dict[str, Any]) -> str:
    """Markdown of the facts that `stages.export.card_facts` gathers."""
    footage, model, same = facts["footage"], facts["model"], facts["same_person"]
    height, width = model["image_size"]
    state = "the start weights" if model["round"] < 0 else f"round {model['round']}"
    lines = [
        f"# Person re-identification for “{facts['name']}”",
        "",
        f"{model['backbone']}, {model['parameters'] / 1e6:.2f} M parameters, fitted without labels to "
        f"{footage['hours']:.2f} hours of {len(footage['cameras'])} cameras ({', '.join(footage['cameras'])}), "
        f"{_day(footage['from_us'])} to {_day(footage['until_us'])} UTC. Nothing after "
        f"{_day(footage['train_until_us'])} was trained on. Start: `{model['weights']}`; method: {model['method']}; "
        f"chosen without labels: {state}.",
        "",
        "## Use",
        "",
        f"Input: (N, 3, {height}, {width}) float32, RGB, 0 to 1, one person per picture, cropped to the body. "
        f"Output: (N, {model['dim']}), length 1; the inner product of two is their cosine. Normalisation is inside "
        "the exported files; `model.pt` is this project's own checkpoint (weights only).",
        "",
        "| file | format | agreement with PyTorch (least cosine) |",
        "|---|---|---|",
        *(f"| `{f['file']}` | {f['format']} | {f['least_cosine']:.5f} |" for f in facts["files"]),
        "",
        "## Same person?",
        "",
        f"Calibrated without labels on tracklets (means of several pictures) of two cameras, where "
        f"{100 * same['same_share']:.1f} % of all pairs show one person. Where pairs are rarer, ask for more.",
        "",
        "| probability of “same person” | cosine from |",
        "|---|---|",
        *(
            f"| {100 * float(p):.0f} % | {'not reached' if c is None else f'{c:.3f}'} |"
            for p, c in same["cosine"].items()
        ),
        *_reliability(same["reliability"]),
        "",
        "## Measured",
        "",
        "```",
        format_metrics(facts["metrics"]).strip("\n"),
        "```",
        "",
        "## Limits",
        "",
        "It knows these cameras, their light and the clothes of these days. Elsewhere it is a start, not a result. "
        "It compares clothing and build, so it confuses people dressed alike and loses people who change.",
        "",
        "Must not be used to identify, follow, profile or score people without a legal basis and their knowledge, "
        "nor to decide anything about a person. The features are personal data of the people in the footage.",
        "",
    ]
    return "\n".join(lines)


def _reliability(rows: list[Any]) -> list[str]:
    if not rows:
        return []
    return [
        "",
        "Checked with the truth, on pairs across cameras of the test time:",
        "",
        "| predicted | true | pairs |",
        "|---|---|---|",
        *(f"| {100 * p:.1f} % | {100 * t:.1f} % | {n} |" for p, t, n in rows),
    ]


def _day(t_us: int | None) -> str:
    return "–" if t_us is None else f"{dt.datetime.fromtimestamp(t_us / 1e6, dt.UTC):%Y-%m-%d %H:%M}"
