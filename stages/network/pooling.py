"""Features of a tracklet's pictures to one feature of the tracklet: what a method tests with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Pooling = Annotated[
    Literal["mean", "max", "hull"],
    Field(
        description="how pictures become one feature: their mean, their largest values (DAL), or the point of their affine "
        "hull nearest to their median (RACE)"
    ),
]


def mean(
    features: npt.NDArray[np.floating], of: Sequence[str], tracklet_ids: Sequence[str]
) -> npt.NDArray[np.float32]:
    """(T, D) unit means of the pictures' features (N, D), ``of`` the tracklets (N,); zeros without any picture."""
    from stages.network.embedding import tracklet_features

    return tracklet_features(features, of, tracklet_ids)


def largest(
    features: npt.NDArray[np.floating], of: Sequence[str], tracklet_ids: Sequence[str]
) -> npt.NDArray[np.float32]:
    """As `mean`, of the largest value of each component (DAL, 4.1: max-pooling)."""
    return _each(features, of, tracklet_ids, lambda frames: frames.max(0))


def hull(
    features: npt.NDArray[np.floating], of: Sequence[str], tracklet_ids: Sequence[str]
) -> npt.NDArray[np.float32]:
    """As `mean`, of the robust point of the pictures' affine hull (RACE, Eq. 2)."""
    from stages.methods.race import affine_hull

    return _each(features, of, tracklet_ids, lambda frames: affine_hull(frames, "median", 0.1))


POOLING = {"mean": mean, "max": largest, "hull": hull}


def _each(
    features: npt.NDArray[np.floating],
    of: Sequence[str],
    tracklet_ids: Sequence[str],
    one: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]],
) -> npt.NDArray[np.float32]:
    import numpy as np

    from data.tracklet_rows import rows_by_tracklet

    position = {t: i for i, t in enumerate(tracklet_ids)}
    index = np.array([position.get(t, -1) for t in of], np.int64)
    found = np.zeros((len(tracklet_ids), features.shape[1]))
    for i, rows in enumerate(rows_by_tracklet(index, len(tracklet_ids))):
        if len(rows):
            found[i] = one(features[rows].astype(np.float64))
    return (found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)).astype(np.float32)
