"""The one reader of checkpoint files: the weights inside whatever a trainer wrapped around them.

Only tensors are taken. What stands beside them (numpy scalars, arguments, settings, paths) is of an allow-list of modules
and becomes an inert stand-in: nothing named in a file is ever imported or run.
"""

from __future__ import annotations

import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pipeline.errors import UserError

# What trainers keep beside weights, by the beginning of its full name.
_BESIDE = (
    "numpy.", "argparse.Namespace", "pathlib.", "types.SimpleNamespace", "yacs.config.", "omegaconf.",
    "pytorch_lightning.", "lightning.", "lightning_fabric.", "typing.Any", "datetime.",
)  # fmt: skip
# Under which keys they keep the weights, the averaged ones not first: they are not what was asked for.
_HOLDERS = (
    "state_dict", "model", "model_state_dict", "model_state", "net", "network", "weights", "params",
    "student", "state_dict_ema", "model_ema", "ema",
)  # fmt: skip
# What wrappers put before every name.
_WRAPPERS = ("module.", "_orig_mod.", "backbone.", "model.", "base.", "net.", "network.", "encoder.")
_MOST_STAND_INS = 64


class _StandIn:
    """In place of an object that is no tensor: takes anything, does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> _StandIn:
        return object.__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass

    def __setitem__(self, _: Any, __: Any) -> None:
        pass


class Weights(NamedTuple):
    """state: by the network's own names; left_out: names in the file that are outside of the wrapped network."""

    state: dict[str, Tensor]
    left_out: list[str]


def read(path: Path) -> dict[str, Any]:
    """The dictionary in a checkpoint file; what is no tensor, number, text or container in it is a stand-in.

    Raises:
        UserError: no such file, or not readable without running code.
    """
    if not os.path.isfile(path):
        raise UserError(f"WEIGHTS={path}: no such file; give a .pth checkpoint, 'random' or 'pretrained'.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _refuse_bomb(path)
            given = _unpickled(path)
    except Exception as error:  # on bytes that are no weights the unpickler trips over anything
        asked = (
            re.search(r"GLOBAL ([\w.]+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        )
        if asked and asked[1].startswith(("ultralytics.", "models.yolo.")):
            raise UserError(
                f"WEIGHTS={path}: holds a whole network of ultralytics ({asked[1]}), which cannot be read without running its "
                "code; give a detector as DETECTOR=, and as WEIGHTS= a state dict saved by torch.save."
            ) from error
        reason = first_line(error)
        if isinstance(
            error, pickle.UnpicklingError
        ):  # torch's own words tell how to run that code all the same
            reason = f"it asks for {asked[1]}, which is no tensor and may run code" if asked else "no tensors"
        raise UserError(
            f"WEIGHTS={path}: cannot be read as PyTorch weights ({reason}); give a state dict saved by torch.save."
        ) from error
    if not isinstance(given, dict):
        raise UserError(f"WEIGHTS={path}: holds a {type(given).__name__}, wanted a state dict.")
    return given


def _unpickled(path: Path) -> Any:
    stand_ins: list[Any] = []
    while True:
        try:
            with torch.serialization.safe_globals(stand_ins):
                return torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            asked = re.search(r"GLOBAL ([\w.]+)", str(error))
            known = {name for _, name in stand_ins}
            if not asked or asked[1] in known or len(known) >= _MOST_STAND_INS:
                raise
            if not asked[1].startswith(_BESIDE):
                raise
            stand_ins.append((_StandIn, asked[1]))


def unwrap(given: Mapping[str, Any], wanted: Mapping[str, Tensor]) -> Weights | None:
    """The weights in a checkpoint, by the names of the network that wants them; None where it holds none.

    Of all wrappers the one is taken under which most of the network's names stand.
    """
    states = [state for state in _states(given, 3) if state]
    if not states:
        return None
    return max((_bared(state, wanted) for state in states), key=lambda w: len(w.state.keys() & wanted.keys()))


def _states(given: Any, depth: int) -> list[dict[str, Tensor]]:
    """Every mapping of names to tensors in it, the likeliest first."""
    if not isinstance(given, Mapping):
        return []
    if given and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in given.items()):
        return [dict(given)]
    inner = [given[key] for key in _HOLDERS if key in given] if depth else []
    return [state for value in inner for state in _states(value, depth - 1)]


def _bared(state: dict[str, Tensor], wanted: Mapping[str, Tensor]) -> Weights:
    counts: dict[str, int] = {"": 0}
    for key in state:
        rest = key
        while rest not in wanted and (wrapper := next((w for w in _WRAPPERS if rest.startswith(w)), "")):
            rest = rest.removeprefix(wrapper)
        if rest in wanted:
            prefix = key[: len(key) - len(rest)]
            counts[prefix] = counts.get(prefix, 0) + 1
    prefix = max(counts, key=lambda p: (counts[p], -len(p)))
    inside = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return Weights(inside, [key for key in state if not key.startswith(prefix)])


def _refuse_bomb(path: Path) -> None:
    """Raise ValueError where the archive would unpack to more than it is: torch.save compresses nothing."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > path.stat().st_size:
            raise ValueError(f"it would unpack to {unpacked >> 20} MB")


def first_line(error: Exception) -> str:
    """The first sentence of an error's text, or its kind where it has none."""
    text = str(error).strip()
    text = text.splitlines()[0].partition(". ")[0] if any(map(str.isalpha, text)) else type(error).__name__
    return text[:160].rstrip(".")
