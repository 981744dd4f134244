"""The trained network as files that run without this project: ONNX and OpenVINO.

Both take (N, 3, H, W) float32 RGB images with values 0 to 1, any N, and give (N, D) features of length 1: the
normalisation of the images and of the features is inside, so that nobody can forget it.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from stages.network.backbone import ReidNetwork

INPUT, OUTPUT = "images", "features"


class Embedder(nn.Module):
    """RGB images 0..1 in, features of length 1 out: what `stages.network.embedding` computes, as one network."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: ReidNetwork) -> None:
        super().__init__()
        self.backbone = network.backbone
        self.register_buffer("mean", torch.tensor(network.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(network.std).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.normalize(self.backbone((images - self.mean) / self.std), dim=1)


def write_onnx(network: ReidNetwork, path: Path) -> None:
    """One file, weights inside, the number of images left open."""
    example = torch.zeros(2, 3, *network.image_size)
    with _quiet():
        torch.onnx.export(
            Embedder(network).eval(), (example,), str(path), input_names=[INPUT], output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},), external_data=False, verbose=False,
        )  # fmt: skip
    _forget_where(path)


def _forget_where(path: Path) -> None:
    """Take out the stack trace that torch notes at every node: a file to pass on must not tell this machine's folders."""
    import onnx

    model = onnx.load(str(path))
    parts = [
        model,
        model.graph,
        *model.functions,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.initializer,
    ]
    for part in [
        *parts,
        *model.graph.input,
        *model.graph.output,
        *(n for f in model.functions for n in f.node),
    ]:
        part.ClearField("metadata_props")
    onnx.save(model, str(path))


def write_openvino(network: ReidNetwork, path: Path) -> None:
    """``path`` (.xml) and the weights beside it (.bin), in half precision as OpenVINO stores them by default."""
    from stages.detectors.quiet import import_openvino

    openvino = import_openvino()
    with _quiet():
        model = openvino.convert_model(
            Embedder(network).eval(), example_input=torch.zeros(2, 3, *network.image_size)
        )
        model.reshape([-1, 3, *network.image_size])
        model.inputs[0].get_tensor().set_names({INPUT})
        model.outputs[0].get_tensor().set_names({OUTPUT})
        openvino.save_model(model, path)


def run_exported(path: Path, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """(N, D) of an exported file, by OpenVINO's runtime, which reads both formats. ``images``: (N, 3, H, W), 0..1."""
    from stages.detectors.quiet import import_openvino

    openvino = import_openvino()
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.asarray(compiled({0: images})[0], np.float32).copy()


def least_cosine(network: ReidNetwork, path: Path, images: npt.NDArray[np.float32]) -> float:
    """The worst agreement of an exported file with PyTorch over ``images``, given one by one and all at once."""
    with torch.inference_mode():
        wanted = Embedder(network.eval().cpu())(torch.from_numpy(images)).numpy()
    found = run_exported(path, images)
    single = np.concatenate([run_exported(path, images[:1]), found[1:]])
    return float(min((wanted * f).sum(1).min() for f in (found, single)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters talk; what they say concerns whoever writes operators."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
