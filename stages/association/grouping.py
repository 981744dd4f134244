"""Group tracklets into people: score appearance and time as log-odds, then cluster under constraints.

The stage `identify` and the pseudo-labels of our own method use the same functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

from pipeline.stage import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from stages.association.evidence import Evidence
    from stages.association.time_prior import TimePrior


CERTAIN = 100.0  # log-odds of an annotated same pair; large, but finite, so that average linkage can still join others to it


class GroupingConfig(Settings):
    """How appearance and time are scored, and how sure two tracklets must be."""

    min_log_odds: float = Field(
        0.0,
        description="mean log-odds of 'same person' at which two groups of tracklets are joined; higher is stricter",
    )
    centre_cameras: bool = Field(True, description="subtract the mean feature of each camera")
    outlier_fraction: float = Field(
        0.02,
        gt=0,
        lt=1,
        description="fraction of true pairs across cameras whose times do not follow the prior",
    )
    prior: Literal["evidence", "cannot_links", "off"] = Field(
        "evidence",
        description="walking times are scored as evidence; cannot_links: they only forbid what the site file and the clocks "
        "rule out; off: only appearance links cameras, and nobody is in two places at once",
    )
    sigma_fraction: float | None = Field(
        0.7,
        gt=0,
        description="deviation of walking times as a fraction of the expected, where the site file gives a distance (TASTR's "
        "lambda); null: log-normal, as wide as the site's walking speeds",
    )
    fragment_gap_s: float = Field(
        3.0,
        gt=0,
        description="usual gap between two tracklets of one person lost and found in one camera, s; the site file's "
        "same_camera_reentry_s wins",
    )
    reentry_fraction: float = Field(
        0.001,
        gt=0,
        lt=1,
        description="fraction of true pairs of one camera that are farther apart in time than that",
    )
    within_min_log_odds: float = Field(
        3.0, description="log-odds that two tracklets of one camera need of their own to be one person"
    )


class Weighed(NamedTuple):
    """What `score_tracklet_pairs` makes of T tracklets.

    means: (T, D) L2-normalised mean features; evidence: log-odds and what they rest on.
    """

    means: npt.NDArray[np.float32]
    evidence: Evidence


def score_tracklet_pairs(
    features: npt.NDArray[np.floating],
    crops: pd.DataFrame,
    tracklets: pd.DataFrame,
    prior: TimePrior,
    config: GroupingConfig,
    annotated: Sequence[tuple[str, str, bool]] = (),
) -> Weighed:
    """From features (N, D) of CROPS rows, sorted by tracklet and time, to log-odds of "same person" of TRACKLETS rows.

    prior: of all pairs of tracklets; annotated: see `apply_constraints`.
    """
    from stages.network.embedding import tracklet_features

    means = tracklet_features(features, list(crops.tracklet_id), list(tracklets.tracklet_id))
    evidence = score_pairs(means, halves(features, crops, tracklets), tracklets, prior, config)
    apply_constraints(evidence.log_odds, list(tracklets.tracklet_id), annotated)
    return Weighed(means, evidence)


def apply_constraints(
    log_odds: npt.NDArray[np.floating],
    tracklet_ids: Sequence[str],
    annotated: Sequence[tuple[str, str, bool]],
) -> None:
    """Write annotations into ``log_odds`` (T, T), in place: same becomes a must-link, different a cannot-link.

    Impossible pairs (two tracklets seen at once) stay impossible; pairs with an unknown tracklet are skipped.
    """
    import numpy as np

    row = {tracklet: i for i, tracklet in enumerate(tracklet_ids)}
    for a, b, same in annotated:
        if a in row and b in row:
            i, j = row[a], row[b]
            sure = CERTAIN if same and np.isfinite(log_odds[i, j]) else -np.inf
            log_odds[i, j] = log_odds[j, i] = sure


def score_pairs(
    features: npt.NDArray[np.floating],
    halves: tuple[npt.NDArray[np.floating], npt.NDArray[np.floating], npt.NDArray[np.integer]],
    tracklets: pd.DataFrame,
    prior: TimePrior,
    config: GroupingConfig,
) -> Evidence:
    """Log-odds of "same person" for every pair of tracklets; see `stages.association.evidence`.

    Args:
        features: (T, D) L2-normalised, row i for tracklet i; a row of zeros (no crops) is linked to nobody.
        halves: first and last part of K tracklets, (K, D) each, and (K,) which tracklets they are.
        prior: see `stages.association.time_prior`.
    """
    import numpy as np

    from stages.association.evidence import camera_centres, centred, pair_evidence
    from stages.association.time_prior import untimed

    camera = tracklets.camera_id.to_numpy(str)
    seen = np.linalg.norm(features, axis=1) > 0
    both = seen[:, None] & seen[None, :]
    if config.prior != "evidence":
        prior = untimed(prior, config.prior == "cannot_links")
    centres = np.zeros(features.shape)
    if config.centre_cameras and seen.any():
        centres[seen] = camera_centres(features[seen], camera[seen])
    first, last, which = halves
    start = (tracklets.t_start_us - tracklets.t_start_us.min()).to_numpy(np.float64) / 1e6
    end = (tracklets.t_end_us - tracklets.t_start_us.min()).to_numpy(np.float64) / 1e6
    return pair_evidence(
        centred(features, centres), (centred(first, centres[which]), centred(last, centres[which])),
        camera, start, end, prior._replace(possible=prior.possible & both, ruled_out=prior.ruled_out & both),
        outlier_fraction=config.outlier_fraction, fragment_gap_s=config.fragment_gap_s,
        reentry_fraction=config.reentry_fraction, within_min_log_odds=config.within_min_log_odds,
        learn_times=config.prior == "evidence",
    )  # fmt: skip


def identify(
    tracklets: pd.DataFrame, log_odds: npt.NDArray[np.floating], min_log_odds: float = 0.0
) -> pd.DataFrame:
    """IDENTITIES from pairwise log-odds: constrained average linkage, numbered from 1 in order of first appearance.

    Args:
        tracklets: tracklet_id, t_start_us; row i of ``log_odds`` is tracklet i.
        log_odds: (T, T) symmetric, -inf where two tracklets cannot be one person.
        min_log_odds: mean log-odds at which two groups are joined.
    """
    import numpy as np
    import pandas as pd

    from stages.association.clustering import cluster_tracklets

    # Order breaks ties, so sort by properties of the tracklets, not by input order.
    order = np.lexsort((tracklets.tracklet_id.to_numpy(str), tracklets.t_start_us.to_numpy()))
    cost = -log_odds[np.ix_(order, order)]
    labels = cluster_tracklets(cost, np.zeros((0, 2), np.int64), -min_log_odds)
    return pd.DataFrame(
        {
            "tracklet_id": tracklets.tracklet_id.to_numpy()[order],
            "identity": (labels + 1).astype(np.int32),
            "confidence": confidences(-cost, labels, min_log_odds).astype(np.float32),
        }
    )


def confidences(
    log_odds: npt.NDArray[np.floating], labels: npt.NDArray[np.integer], min_log_odds: float = 0.0
) -> npt.NDArray[np.float64]:
    """(T,) how clearly each tracklet belongs to its own group rather than to the next best, 0 to 1.

    Like a silhouette, in log-odds: the mean towards the other members of the own group minus the best mean towards
    another group, through a logistic. For a lone tracklet or group the threshold stands in for the mean: a lone tracklet far from
    everybody is near 1, one that barely failed to be joined is near 0.5.
    """
    import numpy as np
    from scipy.special import expit

    n = len(labels)
    if n == 0:
        return np.zeros(0)
    member = np.eye(int(labels.max()) + 1)[labels]
    finite = np.isfinite(log_odds) & ~np.eye(n, dtype=bool)
    sums = np.where(finite, log_odds, 0.0) @ member
    barred = ((~finite & ~np.eye(n, dtype=bool)).astype(float) @ member) > 0
    sizes = member.sum(0)
    own_size = sizes[labels] - 1
    own = np.where(own_size > 0, sums[np.arange(n), labels] / np.maximum(own_size, 1), min_log_odds)
    means = np.where(barred, -np.inf, sums / sizes)
    means[np.arange(n), labels] = -np.inf
    rival = means.max(1)
    return np.asarray(expit(own - np.where(own_size > 0, np.maximum(rival, min_log_odds), rival)))


def halves(
    features: npt.NDArray[np.floating], crops: pd.DataFrame, tracklets: pd.DataFrame
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Mean features of the first and the last part of each tracklet long enough, and which tracklets those are."""
    import numpy as np

    from data.tracklet_rows import split_halves
    from stages.network.embedding import tracklet_features

    part = split_halves(crops)
    ids = tracklets.tracklet_id.to_numpy()
    which = np.flatnonzero(np.isin(ids, crops.tracklet_id[part == 0].unique()))
    first, last = (
        tracklet_features(features[part == p], list(crops.tracklet_id[part == p]), list(ids[which]))
        for p in (0, 1)
    )
    return first, last, which
