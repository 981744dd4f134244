"""Checkpoints as trainers write them open as the bare state dict does."""

import argparse
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from stages.network.backbone import build


@pytest.fixture(scope="module")
def plain():
    return build("osnet_x0_25", None, seed=1).backbone.state_dict()


WRAPPED = {
    "torchreid": lambda sd: {"state_dict": sd, "epoch": 60, "rank1": np.float32(0.61), "mAP": np.float64(0.4)},
    "timm": lambda sd: {"arch": "x", "state_dict": sd, "args": argparse.Namespace(lr=0.1), "out": Path("/x")},
    "compiled": lambda sd: {"_orig_mod." + k: v for k, v in sd.items()},
    "ddp compiled": lambda sd: {"state_dict": {"module._orig_mod." + k: v for k, v in sd.items()}},
    "lightning": lambda sd: {"state_dict": {"model.net." + k: v for k, v in sd.items()}, "x": np.zeros(3)},
    "transreid": lambda sd: {"module.base." + k: v for k, v in sd.items()} | {"module.bottleneck.weight": torch.ones(512)},
    "fast-reid": lambda sd: {"model": {"backbone." + k: v for k, v in sd.items()} | {"heads.weight": torch.ones(3, 512)}},
    "accelerate": lambda sd: {"model_state_dict": sd, "epoch": 1, "seen": np.int64(3)},
}  # fmt: skip


@pytest.mark.parametrize("kind", WRAPPED)
def test_wrapped_weights_are_the_plain_ones(kind, plain, tmp_path, capsys):
    torch.save(WRAPPED[kind](plain), tmp_path / "w.pth")
    found = build("osnet_x0_25", tmp_path / "w.pth", seed=2).backbone.state_dict()
    assert all(torch.equal(found[k], v) for k, v in plain.items())
    said = capsys.readouterr().err
    assert ("left out" in said) == (kind in ("transreid", "fast-reid"))
    assert not said or f"fills {len(plain)} of the {len(plain)}" in said


class _Runs:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_code_in_a_checkpoint_is_not_run(plain, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": plain, "args": _Runs()}, "w.pth")
    with pytest.raises(UserError, match=r"WEIGHTS=w\.pth: .*may run code"):
        build("osnet_x0_25", Path("w.pth"), seed=2)
    assert not Path("ran").exists()
