"""One paper, one file. A method is a module with these names; `METHODS` finds it.

AssociateConfig, TrainConfig   settings of its two halves, each field with the paper's symbol and section
VERSION                        bumped by hand when the same inputs give another result
ROUNDS                         rounds after round 0, where the user does not say
associate(...), train(...)     bodies that read as the paper's algorithm box
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from pydantic import Field

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import pandas as pd

    from camera_topology.feet import Feet
    from camera_topology.site import Site
    from pipeline.stage import Settings
    from stages.association.time_prior import TimePrior

ColorJitter = Annotated[
    float,
    Field(
        ge=0, lt=1, description="white balance, exposure, gamma and contrast are varied by up to this factor"
    ),
]

Way = Literal["off", "cannot_links", "joint"]  # see `stages.association.prior_use`


def prior_setting(default: str, description: str) -> Any:
    """The setting `prior` of a method: in which of the ways of `stages.association.prior_use` it uses time and place.

    The default, which is what the paper does, is left out of fingerprints: what was made before there was the setting stays
    fresh.
    """
    return Field(default, description=description, exclude_if=lambda way: way == default)


METHODS = {
    name: f"stages.methods.{name}"
    for name in ("weave", "dal", "pul", "race", "reliable_soft", "tastr", "tmc")
}


@dataclass(frozen=True)
class Footage:
    """What a method may learn from: nothing after the evaluation cut, and no truth.

    tracklets: TRACKLETS rows (T,), sorted by id; crops: CROPS rows (N,), sorted by tracklet and time.
    site: where and when; clock_std_s: camera → uncertainty of its clock, s, as `ingest` found it.
    people: estimates how many there are, without labels; 0 where nobody knows.
    judged: tracklets a, b and whether they are one person, as a person said (`judge`); methods of papers do not look.
    feet: where the tracklets stood, where the site file asks for it.
    """

    tracklets: pd.DataFrame
    crops: pd.DataFrame
    site: Site
    clock_std_s: dict[str, float]
    people: Callable[[], int] = lambda: 0
    annotated: Sequence[tuple[str, str, bool]] = ()
    feet: Feet | None = None

    def time_prior(self, sigma_fraction: float | None = 0.7) -> TimePrior:
        """What time and place say of every pair of tracklets, see `stages.association.time_prior`."""
        from stages.association.time_prior import dense_prior

        return dense_prior(self.site, self.tracklets, self.clock_std_s, self.feet, sigma_fraction)

    def certain_negatives(self) -> np.ndarray:
        """(P, 2) rows i < j of tracklets that are certainly two people, see `camera_topology.prior`."""
        from camera_topology.prior import certain_negatives

        t = self.tracklets
        return certain_negatives(
            self.site, t.camera_id.to_numpy(), t.t_start_us.to_numpy(), t.t_end_us.to_numpy(),
            clock_std_s=self.clock_std_s,
        )  # fmt: skip


class Method(Protocol):
    AssociateConfig: type[Settings]
    TrainConfig: type[Settings]
    VERSION: int
    ROUNDS: int

    def associate(
        self, footage: Footage, features: Callable[[], np.ndarray], round_: int, settings: Any
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """ASSOCIATIONS and PSEUDO_LABELS of a round. ``features()`` is (N, D): the last model on the crops."""
        ...

    def train(
        self,
        network: Any,
        images: Any,
        footage: Footage,
        pseudo_labels: pd.DataFrame,
        round_: int,
        settings: Any,
        *,
        seed: int,
        device: str,
        saved: Path | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Train ``network`` in place on crops ``images``; yields TRAIN_LOG rows. ``saved``: see `training.fit`."""
        ...


def load(name: str) -> Any:
    """The method's module (a `Method`)."""
    return importlib.import_module(METHODS[name])
