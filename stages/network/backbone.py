"""The re-ID network: a backbone from images to features, a BN neck on top, and its checkpoints.

The pooled feature is what distances and triplets are taken on, in training and at test; the necked one is for
classifiers (Luo et al.: Bag of Tricks and a Strong Baseline for Deep Person Re-identification, CVPRW 2019, §3.5).

A checkpoint is a dictionary that ``torch.load(weights_only=True)`` reads: format, backbone (its name), image_size
(height, width in px), mean and std of the normalisation, state_dict.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pipeline.errors import UserError, closest, shown
from stages.network import osnet
from stages.network.checkpoints import first_line, read, unwrap

FORMAT = "trackweave-reid-1"
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGE_SIZE = (256, 128)  # height and width of the input, px, where nobody says another
_MOST_PX = 2048  # of a side of the input; what run.image_size allows
_CLASSIFIERS = ("classifier.", "head.fc.", "head.", "fc.")  # timm drops its own with num_classes=0


class ReidNetwork(nn.Module):
    """(B, 3, H, W) normalised images to (pooled, necked), each (B, dim).

    name: of the backbone, as in `build`; image_size: (height, width) in px; mean, std: of RGB in 0..1.
    """

    def __init__(
        self,
        name: str,
        backbone: nn.Module,
        dim: int,
        image_size: tuple[int, int] = (256, 128),
        mean: tuple[float, ...] = IMAGENET_MEAN,
        std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        self.name, self.dim, self.image_size, self.mean, self.std = name, dim, image_size, mean, std
        self.backbone = backbone
        self.neck = nn.BatchNorm1d(dim)
        self.neck.bias.requires_grad_(
            False
        )  # the neck may rescale features, but not shift them off the origin

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        pooled = self.backbone(images).float()
        return pooled, self.neck(pooled)


def build(
    name: str, weights: Path | str | None, seed: int, image_size: tuple[int, int] = IMAGE_SIZE
) -> ReidNetwork:
    """A network by name, from ``weights``.

    Args:
        name: 'osnet_x0_25' … 'osnet_x1_0', or any model that timm creates.
        weights: one of our checkpoints, a bare state dict (torchreid's, timm's), None for a random start, or
            'pretrained' for the weights that timm downloads.
        seed: of the random start, and of whatever the weights leave open. The global generator is left as it was.
        image_size: (height, width) in px, where the weights do not say it.

    Raises:
        UserError: no such backbone, weights that are missing, unreadable or of another network, or another size than the usual
            asked of weights that were made for theirs.
    """
    pretrained = weights == "pretrained"
    if isinstance(weights, str) and weights not in ("pretrained", "random"):
        weights = Path(weights)
    given = read(weights) if isinstance(weights, Path) else None
    if given and given.get("format") == FORMAT:
        network = _from_checkpoint(given, Path(str(weights)), expected=name)
        if image_size not in (IMAGE_SIZE, network.image_size):
            own, asked = ("×".join(map(str, size)) for size in (network.image_size, image_size))
            raise UserError(
                f"WEIGHTS={weights}: made for images of {own}, and run.image_size asks for {asked}; "
                f"set run.image_size={list(network.image_size)}, or make weights of that size (make pretrain)."
            )
        return network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _create(name, image_size, pretrained)
    if given is not None:
        _load_bare(network, given, Path(str(weights)))
    return network.eval()


def save(network: ReidNetwork, path: Path) -> None:
    """Write a checkpoint: everything `load` needs, and nothing that runs code."""
    # Plain strides and a nameless file: the same weights give the same bytes, whatever trained them.
    state = {
        k: v.detach().cpu().clone(memory_format=torch.contiguous_format)
        for k, v in network.state_dict().items()
    }
    content = {
        "format": FORMAT,
        "backbone": network.name,
        "image_size": list(network.image_size),
        "mean": list(network.mean),
        "std": list(network.std),
        "state_dict": state,
    }
    with path.open("wb") as file:
        torch.save(content, file)


def load(path: Path) -> ReidNetwork:
    """The network that `save` wrote, in eval mode on the CPU.

    Raises:
        UserError: the file is missing, no checkpoint of ours, or does not fit its own backbone.
    """
    given = read(path)
    if given.get("format") != FORMAT:
        raise UserError(
            f"{path}: holds bare weights without a backbone name; give them as WEIGHTS= with BACKBONE=."
        )
    return _from_checkpoint(given, path)


def _from_checkpoint(given: Mapping[str, Any], path: Path, expected: str = "") -> ReidNetwork:
    facts = _facts(given, path)
    if expected and facts.name != expected:
        raise UserError(
            f"WEIGHTS={path}: holds a {facts.name}, but BACKBONE is {expected}; set BACKBONE={facts.name}."
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # every value is overwritten below
        try:
            network = _create(facts.name, facts.image_size, pretrained=False)
        except UserError as error:
            raise UserError(f"WEIGHTS={path}: of a network that is not there: {error}") from None
    network.mean, network.std = facts.mean, facts.std
    _fill(network, given.get("state_dict"), path)
    if why := _not_finite(network, path):
        # Our own training can write such a file: in bfloat16 oneDNN leaves the gradient of what saw padding alone unwritten.
        warnings.warn(why, stacklevel=2)
    return network.eval()


class _Facts(NamedTuple):
    """What a checkpoint says beside its weights."""

    name: str
    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def _facts(given: Mapping[str, Any], path: Path) -> _Facts:
    def numbers(key: str, count: int, max_items: float) -> list[float]:
        found = given.get(key)
        fit = isinstance(found, list | tuple) and len(found) == count
        if not fit or not all(isinstance(v, int | float) and abs(v) <= max_items for v in found or ()):
            raise UserError(
                f"WEIGHTS={path}: damaged or made by hand: its {key} is {shown(found)}; give another file."
            )
        return list(found or ())

    name = given.get("backbone")
    if not isinstance(name, str):
        raise UserError(
            f"WEIGHTS={path}: damaged or made by hand: its backbone is {shown(name)}; give another file."
        )
    height, width = numbers("image_size", 2, _MOST_PX)
    mean, std = numbers("mean", 3, 1e6), numbers("std", 3, 1e6)
    if min(height, width) < 1 or min(std) <= 0:
        raise UserError(
            f"WEIGHTS={path}: damaged or made by hand: its image_size is {height:g}×{width:g} and its std {shown(std)}; "
            "give another file."
        )
    return _Facts(name[:80], (int(height), int(width)), tuple(mean), tuple(std))


def _fill(module: nn.Module, state: Any, path: Path) -> None:
    """Load a state dict.

    Raises:
        UserError: it is none, or does not fit.
    """
    if not isinstance(state, Mapping) or not all(isinstance(k, str) for k in state):
        raise UserError(f"WEIGHTS={path}: holds no weights by name; give a state dict saved by torch.save.")
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise UserError(
            f"WEIGHTS={path}: its weights do not fit their backbone ({_second_line(error)}); the file is damaged or was "
            "made by hand, give another."
        ) from error


def _not_finite(network: ReidNetwork, path: Path) -> str:
    """A sentence where weights that are not finite reach the features: nobody would find out before the end; else nothing."""
    state = network.state_dict()
    if wrong := [name for name, values in state.items() if not torch.isfinite(values).all()]:
        with torch.no_grad():
            features = network.eval()(torch.zeros(1, 3, *network.image_size))
        if not all(torch.isfinite(f).all() for f in features):
            return (
                f"WEIGHTS={path}: {_some(wrong)} hold values that are not finite numbers, and so do its features; the training "
                "that wrote it had failed, give another file."
            )
    return ""


def _create(name: str, image_size: tuple[int, int], pretrained: bool) -> ReidNetwork:
    if name in osnet.WIDTHS:
        if pretrained:
            raise UserError(
                f"WEIGHTS=pretrained: {name} has no weights to download here; "
                "name a checkpoint file as WEIGHTS=, or start from WEIGHTS=random."
            )
        return ReidNetwork(name, osnet.OSNet(osnet.WIDTHS[name]), osnet.DIM, image_size)
    return _create_timm(name, image_size, pretrained)


def _create_timm(name: str, image_size: tuple[int, int], pretrained: bool) -> ReidNetwork:
    import timm

    if name.split(".")[0] not in timm.list_models():
        hint = closest(name, [*osnet.WIDTHS, *timm.list_models()])
        hint = hint if hint.startswith("Did") else "Use osnet_x0_25 … osnet_x1_0 or a model name of timm."
        raise UserError(f"BACKBONE={name}: neither an OSNet nor a timm model. {hint}")
    try:
        backbone = timm.create_model(name, pretrained=pretrained, num_classes=0)
    except Exception as error:  # timm, its hub client and the network each raise their own
        if not pretrained:
            raise UserError(f"BACKBONE={name}: timm cannot build it: {error}") from error
        raise UserError(
            f"WEIGHTS=pretrained: the weights of {name} cannot be downloaded ({first_line(error)}); "
            "name a file as WEIGHTS=, or start from WEIGHTS=random."
        ) from error
    backbone.eval()
    try:
        with torch.no_grad():
            shape = backbone(torch.zeros(1, 3, *image_size)).shape
    except (AssertionError, RuntimeError):  # a transformer of fixed input size
        try:
            backbone = timm.create_model(name, pretrained=pretrained, num_classes=0, img_size=image_size)
        except Exception as error:
            raise UserError(
                f"BACKBONE={name}: cannot take images of {image_size[0]}×{image_size[1]}: {first_line(error)}"
            ) from error
        with torch.no_grad():
            shape = backbone.eval()(torch.zeros(1, 3, *image_size)).shape
    if len(shape) != 2:
        raise UserError(
            f"BACKBONE={name}: gives features of shape {tuple(shape)}, wanted one vector per image."
        )
    facts: Any = backbone.pretrained_cfg
    return ReidNetwork(name, backbone, shape[1], image_size, tuple(facts["mean"]), tuple(facts["std"]))


def _load_bare(network: ReidNetwork, given: Mapping[str, Any], path: Path) -> None:
    """Fill the backbone from a state dict; a classifier in it is dropped, anything else must fit."""
    wanted = network.backbone.state_dict()
    if (weights := unwrap(given, wanted)) is None:
        raise UserError(f"WEIGHTS={path}: holds no state dict of a network; give a .pth of {network.name}.")
    state = weights.state
    missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    misshapen = [k for k in wanted if k in state and state[k].shape != wanted[k].shape]
    extra = [k for k in state if k not in wanted and not k.startswith(_CLASSIFIERS)]
    wrong = [(missing, "lacks"), (misshapen, "has other shapes of"), (extra, "has the unknown")]
    if problems := [f"{what} {_some(keys)}" for keys, what in wrong if keys]:
        raise UserError(
            f"WEIGHTS={path}: not weights of BACKBONE={network.name}: it {' and '.join(problems)}; "
            "set BACKBONE to the network they were trained for."
        )
    _fill(network.backbone, {k: state.get(k, v) for k, v in wanted.items()}, path)
    if why := _not_finite(network, path):
        raise UserError(why)
    if weights.left_out:
        print(
            f"WEIGHTS={path}: fills {sum(k in state for k in wanted)} of the {len(wanted)} values of {network.name}; left out: "
            f"{_some(weights.left_out)}.",
            file=sys.stderr,
        )


def _some(keys: list[str], max_items: int = 3) -> str:
    return ", ".join(key[:80] for key in keys[:max_items]) + (
        f" and {len(keys) - max_items} more" if len(keys) > max_items else ""
    )


def _second_line(error: Exception) -> str:
    """Where load_state_dict says which keys; the line above only says that there are errors."""
    return " ".join(str(error).splitlines()[1:2]).strip()[:160]
