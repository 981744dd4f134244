"""The model card: what the network was fitted to, how good it is, and what it must not be used for."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

from stages.evaluation.text_table import format_metrics


def model_card(facts: dict[str, Any]) -> str:
    """Markdown of the facts that `stages.export.card_facts` gathers."""
    footage, model, same = facts["footage"], facts["model"], facts["same_person"]
    height, width = model["image_size"]
    rounds = model["rounds"]
    checkpoint = "the start weights" if rounds == [-1] else f"round {', '.join(map(str, rounds))}"
    checkpoint += ", averaged" if len(rounds) > 1 else ""
    lines = [
        f"# Person re-identification for “{_name(facts['name'])}”",
        "",
        f"{model['backbone']}, {model['parameters'] / 1e6:.2f} M parameters. Of {footage['hours']:.2f} hours of "
        f"{len(footage['cameras'])} cameras ({', '.join(map(_name, footage['cameras']))}), {_day(footage['from_us'])} to "
        f"{_day(footage['until_us'])} UTC, the {footage['hours_trained']:.2f} hours up to "
        f"{_day(footage['train_until_us'])} were there to learn from, without labels; the rest to measure on. Start: "
        f"`{_code(model['weights'])}`; method: {model['method']}; chosen without labels: {checkpoint}.",
        "",
        "## Use",
        "",
        f"Input: (N, 3, {height}, {width}) float32, RGB, 0 to 1, one person per picture, cropped to the body. "
        f"Output: (N, {model['dim']}), length 1; the inner product of two is their cosine. Normalisation is inside "
        "the exported files; `model.pt` is this project's own checkpoint (weights only).",
        "",
        "| file | format | agreement with PyTorch (least cosine) |",
        "|---|---|---|",
        *(
            f"| `{_with_weights(f['file'])}` | {f['format']} | {f['least_cosine']:.5f} |"
            for f in facts["files"]
        ),
        "",
        "## Same person?",
        "",
        *_same_person(same),
        "",
        "## Measured",
        "",
        *_fenced(format_metrics(facts["metrics"]).strip("\n")),
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


def _name(text: str) -> str:
    """A name as Markdown that shows it: other people's names must be no markup, links or pictures."""
    return re.sub(r"([\\`*\[\]|<>&#])", r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    return " ".join(text.split()).replace("`", "'")


def _fenced(text: str) -> list[str]:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return [fence, text, fence]


_KINDS = {
    "pictures": "One picture against a tracklet (the mean of several pictures) of another camera",
    "tracklets": "Two tracklets of two cameras",
}


def _same_person(same: dict[str, Any]) -> list[str]:
    if not same:
        return [
            "One camera, or nobody alike in two: there is nothing to tell from how near two pictures must be."
        ]
    lines = [
        "Estimated without labels, for pairs across cameras. Pairs of one camera look more alike than this says."
    ]
    for kind, title in _KINDS.items():
        facts = same[kind]
        lines += [
            "",
            f"{title}, {100 * facts['same_fraction']:.1f} % of all pairs being one person; where they are rarer, ask for more:",
            "",
            "| probability of “same person” | cosine from |",
            "|---|---|",
            *(
                f"| {100 * float(p):.0f} % | {'not reached' if c is None else f'{c:.3f}'} |"
                for p, c in facts["cosine"].items()
            ),
        ]
        if facts["reliability"]:
            lines += [
                "",
                "Checked with the truth, on the test time:",
                "",
                "| predicted | true | pairs |",
                "|---|---|---|",
                *(f"| {100 * p:.1f} % | {100 * t:.1f} % | {n} |" for p, t, n in facts["reliability"]),
            ]
    return lines


def _with_weights(file: str) -> str:
    return f"{file}` with `{file.removesuffix('.xml')}.bin" if file.endswith(".xml") else file


def _day(t_us: int | None) -> str:
    return "–" if t_us is None else f"{dt.datetime.fromtimestamp(t_us / 1e6, dt.UTC):%Y-%m-%d %H:%M}"
