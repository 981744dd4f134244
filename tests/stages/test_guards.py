"""What the public implementations crash on or learn garbage from: every method backs off, or stops with a sentence."""

from __future__ import annotations

import warnings
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from camera_topology.site import without_file
from pipeline.errors import UserError
from pipeline.manifests import ASSOCIATIONS, PSEUDO_LABELS
from pipeline.schema import write
from stages import methods
from stages.methods import Footage
from stages.network import backbone
from stages.network.images import CropStore

SIZE = (32, 16)
FRAMES = 6
SHORT = {
    "weave": {"epochs": 1, "round_steps": 2, "batch_tracklets": 4, "batch_images": 2},
    "tastr": {"epochs": 1, "round_epochs": 1, "batch_tracklets": 4, "batch_images": 2},
    "dal": {"steps": 2, "round_steps": 2, "batch_images": 8},
    "race": {"steps": 2, "round_steps": 2, "batch_images": 8},
    "reliable_soft": {"steps": 2, "round_steps": 2, "batch_images": 8},
    "pul": {"steps": 2, "round_steps": 2, "batch_images": 8},
    "tmc": {"round_steps": 2, "batch_people": 2, "batch_clips": 2, "clip_frames": 2},
}
# Cameras of the tracklets, and what their features are: noise, all the same, or a person each.
WORLDS = {
    "nobody": ("", "noise"),
    "one tracklet": ("a", "noise"),
    "two of one camera": ("aa", "noise"),
    "one camera": ("aaaaaaaaaaaa", "people"),
    "one of each camera": ("abcd", "people"),
    "fewer than a batch wants": ("aab", "people"),
    "everybody looks the same": ("aaaabbbbcccc", "same"),
    "nothing but noise": ("aaaabbbbcccc", "noise"),
    "people": ("aaaabbbbcccc", "people"),
}


def footage(cameras: str, folder: Path) -> Footage:
    """Tracklets one after the other, ten seconds each; the crops of one are one colour."""
    ids = [f"{camera}_{i:02d}" for i, camera in enumerate(cameras)]
    starts = [10_000_000 * i for i in range(len(cameras))]
    tracklets = pd.DataFrame(
        {
            "tracklet_id": ids, "parent_id": ids, "camera_id": list(cameras), "t_start_us": starts,
            "t_end_us": [t + 5_000_000 for t in starts], "n_boxes": FRAMES, "mean_score": 1.0,
        }
    ).astype({"t_start_us": "int64", "t_end_us": "int64"})  # fmt: skip
    random = np.random.default_rng(0)
    rows = []
    for i, name in enumerate(ids):
        path = folder / f"{name}.jpg"
        cv2.imwrite(str(path), np.full((48, 24, 3), random.integers(0, 256, 3), np.uint8))
        rows += [
            (name, starts[i] + 1_000_000 * n // 2, str(path), 0, path.stat().st_size) for n in range(FRAMES)
        ]
    crops = pd.DataFrame(rows, columns=["tracklet_id", "t_utc_us", "shard", "offset", "size"])
    order = tracklets.sort_values("tracklet_id").reset_index(drop=True)
    crops = crops.sort_values(["tracklet_id", "t_utc_us"]).reset_index(drop=True)
    return Footage(order, crops, without_file(sorted(set(cameras))), {}, people=lambda: max(2, len(ids) // 3))


def features(made: Footage, kind: str) -> np.ndarray:
    """(N, 8) unit vectors of the crops; tracklet i is person i mod 4."""
    random = np.random.default_rng(1)
    people = random.normal(size=(4, 8))
    number = (
        made.crops.tracklet_id.str[2:].astype(int).to_numpy() % 4 if len(made.crops) else np.zeros(0, int)
    )
    x = {"noise": random.normal(size=(len(made.crops), 8)), "same": np.ones((len(made.crops), 8)),
         "people": people[number] + 0.05 * random.normal(size=(len(made.crops), 8))}[kind]  # fmt: skip
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def rounds(method: str, made: Footage, kind: str, folder: Path, **settings: object) -> torch.nn.Module:
    """Rounds 0 and 1 of a method, its tables held against their manifests."""
    module = methods.load(method)
    network = backbone.build("osnet_x0_25", None, seed=0, image_size=SIZE)
    images = CropStore(made.crops, folder, SIZE)
    for round_ in (0, 1):
        links, labels = module.associate(made, lambda: features(made, kind), round_, module.AssociateConfig())
        write(ASSOCIATIONS, links, folder / "links.parquet")
        write(PSEUDO_LABELS, labels, folder / "labels.parquet")
        assert set(labels.tracklet_id) <= set(made.tracklets.tracklet_id)
        chosen = module.TrainConfig(**(SHORT[method] | settings))
        for row in module.train(network, images, made, labels, round_, chosen, seed=0, device="cpu"):
            assert np.isfinite(row["loss"])
    return network


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("method", methods.METHODS)
def test_every_method_survives(method: str, world: str, tmp_path: Path) -> None:
    cameras, kind = WORLDS[world]
    made = footage(cameras, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "batches are smaller than asked": said, and right
        network = rounds(method, made, kind, tmp_path)
    assert all(bool(torch.isfinite(v).all()) for v in network.state_dict().values() if v.is_floating_point())


@pytest.mark.parametrize("method", methods.METHODS)
def test_a_loss_that_is_no_number_stops_with_a_sentence(method: str, tmp_path: Path) -> None:
    made = footage("aaaabbbbcccc", tmp_path)
    module = methods.load(method)
    network = backbone.build("osnet_x0_25", None, seed=0, image_size=SIZE)
    with torch.no_grad():
        next(p for p in network.parameters() if p.ndim == 4).fill_(torch.nan)
    _, labels = module.associate(made, lambda: features(made, "people"), 0, module.AssociateConfig())
    if method == "tmc" and labels.empty:
        labels = pd.DataFrame({"tracklet_id": made.tracklets.tracklet_id, "group": "site",
                               "pseudo_label": [int(t[2:]) % 4 for t in made.tracklets.tracklet_id], "weight": 1.0})  # fmt: skip
    images = CropStore(made.crops, tmp_path, SIZE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        with pytest.raises(UserError, match=r"the loss is nan at step 0 .*lower the learning rate"):
            list(
                module.train(
                    network,
                    images,
                    made,
                    labels,
                    0,
                    module.TrainConfig(**SHORT[method]),
                    seed=0,
                    device="cpu",
                )
            )


@pytest.mark.parametrize("method", ["race", "reliable_soft", "pul", "tmc"])
def test_more_tracklets_than_memory_holds_pairs_of_is_a_sentence(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace
    from typing import Any, cast

    from stages import associate
    from stages.association import time_prior

    monkeypatch.setattr(time_prior, "memory_bytes", lambda: 120 * 9**2)
    tracklets = pd.DataFrame({"tracklet_id": [f"t{i}" for i in range(10)]})
    with pytest.raises(UserError, match=r"^10 tracklets: to weigh every two .*SET=.ingest.start="):
        time_prior.dense_prior(without_file([]), tracklets)
    footage = Footage(tracklets, pd.DataFrame(), without_file([]), {})
    ctx = cast(Any, SimpleNamespace(method=method))
    with pytest.raises(
        UserError, match=r"^10 tracklets: to estimate how many people they show takes .* GB.*say it: SET="
    ) as told:
        associate.estimated_people(ctx, footage)
    words = str(told.value).partition('SET="')[2].partition('"')[0].replace("…", "2").split()
    assert words
    for word in words:
        name, _, value = word.removeprefix("associate.").partition("=")
        methods.load(method).AssociateConfig.model_validate({name: value})
