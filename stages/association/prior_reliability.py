"""How reliable the site file is about each link, estimated from the people who walked it.

Matches by appearance do not use the site file. For each directed link that the file describes, we compare their times with two
models: the file's, and what is learned from all matches (`stages.association.learned_times`). The ratio of the two likelihoods says
which model fits; a file that is right about its other links counts as more reliable about this one. A link that is forbidden
predicts that all matches on it are wrong ones.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from camera_topology.prior import came_first
from stages.association.pairing import Bools, Floats

Matrix = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

_PRIOR_RELIABILITY = 0.9  # prior probability that the file is right about a link
_PRIOR_LINKS = 2.0  # weight of this prior, in links
# One person is in several matches, so two of them count as about one observation.
_MATCHES_PER_OBSERVATION = 2.0


def directed_links(
    camera: npt.NDArray[np.generic], t_start_s: Floats, t_end_s: Floats
) -> tuple[list[str], Codes]:
    """Camera names (K,), and (N, N) the link of each pair of tracklets: from × K + to, from the one that was seen first."""
    names, codes = np.unique(np.asarray(camera), return_inverse=True)
    forth = t_start_s[None, :] - t_end_s[:, None]
    a, b = codes[:, None], codes[None, :]
    first = came_first(forth, forth.T, a, b)
    return [str(name) for name in names], np.where(first, a * len(names) + b, b * len(names) + a)


def file_reliability(
    described: Matrix, learned: Matrix, way: Codes, forbidden: Bools, n_links: int, wrong_fraction: float
) -> Matrix:
    """(W,) probability that the site file is right about each link.

    Args:
        described, learned: (M,) likelihood ratio of each match's time, one person against any two, by either model;
            the learned model must leave out the match itself.
        way: (M,) number of its link. forbidden: (M,) whether the file says that nobody takes that link.
        n_links: W. wrong_fraction: fraction of matches that are two people.
    """
    by_file = np.where(forbidden, 1.0, (1 - wrong_fraction) * described + wrong_fraction)
    by_matches = (1 - wrong_fraction) * learned + wrong_fraction
    factor = np.bincount(way, np.log(by_file / by_matches) / _MATCHES_PER_OBSERVATION, n_links)
    walked = np.bincount(way, minlength=n_links) > 0
    mean_reliability = _PRIOR_RELIABILITY
    for _ in range(100):
        reliability = expit(logit(mean_reliability) + factor)
        mean_reliability = (reliability[walked].sum() + _PRIOR_RELIABILITY * _PRIOR_LINKS) / (
            walked.sum() + _PRIOR_LINKS
        )
    return np.asarray(reliability, np.float64)
