"""A gallery of all tracklets, and the search for a person in it.

The index is faiss's exact inner product: a site has tens of thousands of tracklets, of which a search takes
milliseconds; approximate indexes begin to pay at millions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pipeline.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

INDEX = "gallery.faiss"


def rows(tracklets: pd.DataFrame, identities: pd.DataFrame, crops: pd.DataFrame) -> pd.DataFrame:
    """GALLERY: every tracklet that has a crop, in the order of ``tracklets``."""
    from stages.reporting.thumbs import clearest_crops

    clearest = clearest_crops(crops)[["shard", "offset", "size"]]
    table = tracklets[["tracklet_id", "camera_id", "t_start_us", "t_end_us"]]
    table = table.merge(identities, on="tracklet_id").merge(clearest, left_on="tracklet_id", right_index=True)
    table = table.set_index("tracklet_id").reindex(
        [t for t in tracklets.tracklet_id if t in set(table.tracklet_id)]
    )
    table = table.reset_index().astype({"identity": "int32", "confidence": "float32"})
    table["row"] = np.arange(len(table), dtype=np.int64)
    return table


def write(table: pd.DataFrame, features: npt.NDArray[np.float32], folder: Path) -> None:
    """``gallery.faiss`` of (len(table), D) features of length 1."""
    import faiss

    if len(table) != len(features):
        raise ValueError(f"{len(table)} rows, but {len(features)} features")
    index = faiss.IndexFlatIP(features.shape[1])
    index.add(np.ascontiguousarray(features, np.float32))
    faiss.write_index(index, str(folder / INDEX))


def search(
    folder: Path, features: npt.NDArray[np.float32], count: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Cosine and row of the ``count`` nearest tracklets for each of (Q, D) features; fewer where there are fewer.

    Raises:
        UserError: there is no index, or it was made by another network.
    """
    import faiss

    path = folder / INDEX
    if not path.is_file():
        raise UserError(f"{path}: not there; run `make export RUN={folder.parent}` first.")
    index = faiss.read_index(str(path))
    if index.d != features.shape[1]:
        raise UserError(f"{path}: holds features of {index.d} values, the network gives {features.shape[1]}.")
    cosine, row = index.search(np.ascontiguousarray(features, np.float32), min(count, index.ntotal))
    return cosine, row.astype(np.int64)


def people(table: pd.DataFrame, cosine: npt.NDArray[np.float32], row: npt.NDArray[np.int64]) -> pd.DataFrame:
    """The tracklets found, one line per person, best first: identity, cosine, tracklet (the best), tracklets (how many)."""
    found = table.iloc[row].assign(cosine=cosine)
    best = found.sort_values("cosine", ascending=False, kind="stable").drop_duplicates("identity")
    count = found.groupby("identity").size()
    return best.assign(tracklets=best.identity.map(count)).reset_index(drop=True)
