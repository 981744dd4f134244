"""Assign people of new footage to the people of an old run.

Each person is the mean of their tracklets. Nobody can be two people, on either side, so the pairs are an assignment
(Kuhn, 1955) over the old run's own calibrated log-odds of "same person", and pairs below the threshold are dropped.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from scipy.special import logit

from pipeline.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


def transfer_identities(
    identities: pd.DataFrame,
    tracklets: pd.DataFrame,
    means: npt.NDArray[np.floating],
    folder: Path,
    probability: float,
) -> tuple[pd.DataFrame, int]:
    """IDENTITIES with the old numbers for known people and new ones, after the old, for the others; and how many are known.

    Args:
        identities: of the new footage, numbered from 1; tracklets, means: its (T,) tracklets and (T, D) features.
        folder: the old run's export.
        probability: of "same person" from which on a person is taken for a known one.

    Raises:
        UserError: the old run's gallery is missing or of another network.
    """
    number = tracklets[["tracklet_id"]].merge(identities, on="tracklet_id", how="left").identity.to_numpy()
    old_number, old_means = known_people(folder)
    if len(old_means) and old_means.shape[1] != means.shape[1]:
        raise UserError(
            f"MODEL={folder}: its gallery has features of {old_means.shape[1]} values, the network gives {means.shape[1]}."
        )
    people, new_means = person_means(number, means)
    pairs = assigned(new_means, old_means, *_scale(folder), probability)
    renamed = {int(people[i]): int(old_number[j]) for i, j in pairs}
    following = int(old_number.max(initial=0))
    for person in people:
        if int(person) not in renamed:
            following += 1
            renamed[int(person)] = following
    return identities.assign(identity=identities.identity.map(renamed).astype("int32")), len(pairs)


def known_people(folder: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """(P,) numbers and (P, D) mean features of the people in an old run's gallery."""
    import faiss

    from pipeline import schema
    from pipeline.manifests import GALLERY
    from stages.search.gallery import INDEX

    if not (folder / INDEX).is_file():
        raise UserError(f"MODEL={folder}: holds no {INDEX}; name the model.pt of a run's folder `export`.")
    table = schema.read(GALLERY, folder / GALLERY.file)
    index = faiss.read_index(str(folder / INDEX))
    features = index.reconstruct_n(0, index.ntotal) if index.ntotal else np.zeros((0, index.d), np.float32)
    return person_means(table.identity.to_numpy(), features)


def person_means(
    number: npt.NDArray[np.integer], features: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Sorted numbers and the L2-normalised mean of each one's rows."""
    people, row = np.unique(number, return_inverse=True)
    sums = np.zeros((len(people), features.shape[1]))
    np.add.at(sums, row, features)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    return people.astype(np.int64), (sums / np.maximum(length, 1e-12)).astype(np.float32)


def assigned(
    new: npt.NDArray[np.floating],
    old: npt.NDArray[np.floating],
    slope: float,
    middle: float,
    probability: float,
) -> list[tuple[int, int]]:
    """Rows (new, old) of one person: the best one-to-one assignment, without pairs below the probability.

    Log-odds are slope * (middle - distance), plus those of one in ``len(old)``: anyone could be any of the known.
    """
    if not len(new) or not len(old):
        return []
    distance = np.sqrt(np.maximum(2 - 2 * (new.astype(np.float64) @ old.T.astype(np.float64)), 0))
    log_odds = slope * (middle - distance) - np.log(len(old))
    gain = np.maximum(log_odds - float(logit(probability)), 0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if gain[i, j] > 0]


def _scale(folder: Path) -> tuple[float, float]:
    """Slope and middle of the old run's log-odds over distance; (0, 0), no evidence, where the run has no calibration."""
    card = folder / "model_card.json"
    if not card.is_file():
        raise UserError(f"MODEL={folder}: holds no {card.name}; make it again with FORCE=export.")
    facts = json.loads(card.read_text(encoding="utf-8"))["same_person"].get("tracklets")
    if not facts:
        return 0.0, 0.0
    appearance = facts["appearance"]
    return (appearance["different"] - appearance["same"]) / appearance["deviation"] ** 2, (
        appearance["same"] + appearance["different"]
    ) / 2
