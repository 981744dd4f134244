"""One sentence for whoever has no truth: better or worse than the start, how sure, and where it is weakest.

Imports nothing heavy: every `make all` ends with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The signals whose order of networks follows the true one (`make bench NAME=signals`). The first that can be read decides. The
# second needs no clock; where everybody finds himself again anyway it falls as easily as it rises, so beside the first it can
# only speak for the model.
WITNESSES = {
    "time_lift": "how well those whom it takes for one person across cameras fit the walking times",
    "split_halves": "how often the first half of a tracklet finds its own second half in its camera",
}


def values(label_free: Mapping[str, Any], signal: str) -> tuple[float | None, float | None]:
    """(start, final) of one signal; None where it could not be read."""
    checkpoints = label_free.get("checkpoints") or []
    if not checkpoints:
        return None, None
    by_name = {s["checkpoint"]: s.get(signal) for s in checkpoints}
    return checkpoints[0].get(signal), by_name.get(label_free.get("final_checkpoint"))


def verdict(label_free: Mapping[str, Any]) -> str:
    """The sentence, ending in a full stop."""
    intervals = label_free.get("final_minus_start") or {}
    read = [name for name in WITNESSES if intervals.get(name) and None not in values(label_free, name)]
    if not read:
        return (
            "Whether the model got better cannot be said: the held-out time has too few long tracklets for any signal that "
            "needs no truth."
        )
    if label_free.get("final_checkpoint") == label_free["checkpoints"][0]["checkpoint"]:
        return f"The model is the start itself: no training on this footage made it better.{_weakest(label_free)}"
    low, high = intervals[read[0]]
    said = _said(label_free, read[0])
    if low > 0:
        how = "Better than the start"
    elif high < 0:
        how = "Worse than the start"
    elif len(read) > 1 and intervals[read[1]][0] > 0:
        how, said = "Probably better than the start", f"{said}, and {_said(label_free, read[1])}"
    else:
        how = "Not surely better than the start"
    return f"{how}: {said}.{_weakest(label_free)}"


def _said(label_free: Mapping[str, Any], name: str) -> str:
    start, final = values(label_free, name)
    assert start is not None and final is not None
    low, high = (100 * v for v in label_free["final_minus_start"][name])
    before, after = f"{100 * start:.1f}", f"{100 * final:.1f}"
    moved = f"{'rose' if final > start else 'fell'} from {before} to" if before != after else "stayed at"
    return f"{WITNESSES[name]} {moved} {after} % (95 % interval of the difference: {low:+.1f} to {high:+.1f} points)"


def _weakest(label_free: Mapping[str, Any]) -> str:
    parts = []
    if len(cameras := label_free.get("cameras") or {}) > 1:
        name = min(cameras, key=lambda c: (cameras[c], c))
        if cameras[name] < max(cameras.values()):
            parts.append(
                f"camera {name} ({100 * cameras[name]:.0f} % of its tracklets find themselves again)"
            )
    if len(links := label_free.get("links") or {}) > 1:
        name = min(links, key=lambda link: (links[link], link))
        parts.append(f"link {name} ({max(0, 100 * links[name]):.0f} % of the way to a perfect fit)")
    return f" Weakest: {', '.join(parts)}." if parts else ""
