"""From the cosine of two features to the probability that they show one person, without any label.

`stages.association.evidence` estimates how far apart tracklets of one person and of two persons lie (two normal
distributions of one deviation), so the log-odds are linear in the distance; the user adds how rare a same pair is
among the pairs compared: in a gallery of N others of which one is right, about 1 in N.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from stages.association.evidence import Appearance

# The tails of two normal distributions promise more than a few hundred pairs can show: on the demo 0.97 was one in three.
MOST = 0.9


@dataclass(frozen=True)
class Calibration:
    """appearance: the two distributions of distances; same_fraction: of all pairs compared, those of one person, 0 to 1."""

    appearance: Appearance
    same_fraction: float

    def probability(self, cosine: npt.NDArray[np.floating] | float) -> npt.NDArray[np.float64]:
        """p(same person | cosine of two unit features), of the same shape, at most `MOST`."""
        distance = np.sqrt(np.maximum(2 - 2 * np.asarray(cosine, np.float64), 0))
        found = expit(self.appearance.log_odds(distance) + logit(self.same_fraction))
        return np.minimum(np.asarray(found, np.float64), MOST)

    def cosine(self, probability: float) -> float | None:
        """The cosine at which the probability is reached; None where even equal crops do not reach it."""
        slope = (self.appearance.different - self.appearance.same) / self.appearance.deviation**2
        if slope <= 0:
            return None
        wanted = logit(probability) - logit(self.same_fraction)
        distance = (self.appearance.same + self.appearance.different) / 2 - wanted / slope
        return float(1 - distance**2 / 2) if 0 <= distance <= 2 else None


def reliability(
    probability: npt.NDArray[np.floating],
    same: npt.NDArray[np.bool_],
    edges: tuple[float, ...] = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 1.0),
) -> list[tuple[float, float, int]]:
    """Mean predicted probability, true fraction and count of pairs in every bin that has any."""
    at = np.clip(np.searchsorted(edges, probability, side="right") - 1, 0, len(edges) - 2)
    return [
        (float(probability[at == k].mean()), float(same[at == k].mean()), int((at == k).sum()))
        for k in range(len(edges) - 1)
        if (at == k).any()
    ]
