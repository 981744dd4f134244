"""Losses on features of a batch."""

from __future__ import annotations

import torch
from torch import Tensor


def batch_hard_triplet(
    features: Tensor, labels: Tensor, margin: float | None = 0.3, *, not_negative: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Batch-hard triplet loss (Hermans, Beyer, Leibe: In Defense of the Triplet Loss, 2017, Eq. 5; TASTR Eq. 1).

    For every anchor, the farthest of its label against the nearest of another: max(0, margin + d_ap - d_an), and the
    mean over the anchors that have both. An anchor alone with its label is left out; it has nothing to pull.

    Args:
        features: (B, D), distances are Euclidean.
        labels: (B,), equal means the same person.
        margin: of the hinge; None for the soft margin log(1 + exp(d_ap - d_an)).
        not_negative: (B, B) bool, pairs that may be the same person and so must not be pushed apart.

    Returns:
        the loss, a scalar that has a gradient also where no anchor counts (then zero), and the active share: the
        share of counted anchors whose hinge is above zero (for the soft margin, with d_ap >= d_an).
    """
    # Differences, not |a|² + |b|² - 2ab: near pairs keep their digits, and the gradient at distance 0 is 0.
    distance = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
    same = labels[:, None] == labels[None, :]
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    negative = ~same if not_negative is None else ~(same | not_negative)
    counts = positive.any(1) & negative.any(1)
    if not counts.any():
        return features.sum() * 0.0, torch.zeros((), device=features.device)
    hardest_positive = distance.masked_fill(~positive, -torch.inf).amax(1)[counts]
    hardest_negative = distance.masked_fill(~negative, torch.inf).amin(1)[counts]
    gap = hardest_positive - hardest_negative
    if margin is None:
        return torch.nn.functional.softplus(gap).mean(), (gap >= 0).float().mean()
    return torch.relu(gap + margin).mean(), (gap + margin > 0).float().mean()
