"""Cross-camera tracklet pairs against the truth: precision of what was linked, recall over all true pairs.

A true pair is two tracklets of one person in different cameras. Pairs of one camera count nowhere, a linked pair
with a tracklet of nobody counts as wrong.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from stages.evaluation.tracking import ratio

LINK_SCORES = ("precision", "recall", "f")


def count_pairs(label: np.ndarray, camera: np.ndarray) -> int:
    """Number of unordered pairs of the same label and different cameras; label, camera (N,), no pair is built."""

    def same(*keys: np.ndarray) -> int:
        n = pd.DataFrame(dict(enumerate(keys))).groupby(list(range(len(keys)))).size().to_numpy(np.int64)
        return int((n * (n - 1) // 2).sum())

    return same(label) - same(label, camera) if len(label) else 0


def identity_scores(identity: np.ndarray, pid: np.ndarray, camera: np.ndarray) -> dict[str, float | None]:
    """Precision and recall where tracklets of one identity are the linked pairs; all (N,), pid -1 for nobody."""
    real = pid >= 0
    both = pd.DataFrame({"identity": identity[real], "pid": pid[real]}).groupby(["identity", "pid"]).ngroup()
    hits = count_pairs(both.to_numpy(), camera[real])
    return {
        "precision": ratio(hits, count_pairs(identity, camera)),
        "recall": ratio(hits, count_pairs(pid[real], camera[real])),
    }


def link_scores(links: pd.DataFrame, person: pd.Series, camera: pd.Series) -> dict[str, float | int | None]:
    """Precision and recall of the kept links of one round.

    Args:
        links: tracklet_a, tracklet_b, kept.
        person, camera: tracklet_id → pid (-1 for nobody), camera_id, of all tracklets the round could have linked.

    Returns:
        precision, recall, f (their harmonic mean), pairs (how many cross-camera links were kept).
    """
    kept = links[links.kept]
    kept = kept[kept.tracklet_a.map(camera).to_numpy() != kept.tracklet_b.map(camera).to_numpy()]
    a, b = (kept[c].map(person).fillna(-1).to_numpy() for c in ("tracklet_a", "tracklet_b"))
    hits = int(((a == b) & (a >= 0)).sum())
    real = person[person >= 0]
    true = count_pairs(real.to_numpy(), camera.reindex(real.index).to_numpy())
    return {
        "precision": ratio(hits, len(kept)),
        "recall": ratio(hits, true),
        "f": ratio(2 * hits, len(kept) + true),
        "pairs": len(kept),
    }
