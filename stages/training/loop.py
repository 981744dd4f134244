"""The training loop: augment, forward, loss, Adam; nothing in it knows a method."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipeline.errors import UserError
from stages.network.backbone import ReidNetwork
from stages.network.images import Augmentation, CropStore, augment, normalise
from stages.training.samplers import Batch

Loss = Callable[[Tensor, Batch], tuple[Tensor, Tensor]]
Schedule = Callable[[int], float]


def constant(epoch: int) -> float:
    """The start rate throughout."""
    return 1.0


def steps_down(*epochs: int, factor: float = 0.1) -> Schedule:
    """The rate times ``factor`` at each of ``epochs`` (zero-based)."""
    return lambda epoch: factor ** sum(epoch >= e for e in epochs)


def cosine(total: int, floor: float = 0.01) -> Schedule:
    """From the start rate down to ``floor`` of it in the last of ``total`` epochs."""
    last = max(total - 1, 1)
    return lambda epoch: floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(epoch / last, 1.0)))


def fit(
    network: ReidNetwork,
    images: CropStore,
    epochs: Iterable[Iterable[Batch]],
    loss: Loss,
    *,
    learning_rate: float,
    weight_decay: float,
    seed: int,
    device: str,
    schedule: Schedule = constant,
    warmup_steps: int = 0,
    augmentation: Augmentation = Augmentation(),  # noqa: B008 (immutable)
    average_decay: float | None = None,
    bf16: bool | None = None,
    saved: Path | None = None,
    save_every_s: float = 120.0,
    memory: Mapping[str, Tensor] | None = None,
    head: torch.nn.Module | None = None,
    mean: MeanNetwork | None = None,
    norm_group: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Train ``network`` in place; yields one TRAIN_LOG row per step. The work is done when the iterator is used up.

    Args:
        epochs: batches of each epoch, drawn when their turn comes.
        loss: (pooled features (B, D) float32, their batch) to (loss, active share).
        learning_rate: Adam's, times ``schedule(epoch)``; rises linearly over the first ``warmup_steps``.
        average_decay: end on the exponential average of the weights over steps instead of the last ones. The decay
            is ramped, min(decay, (1 + t) / (10 + t)), so that a short training does not end on its start. BN running
            statistics are averaged alike: they belong to weights near the average, and a batch of one camera pair
            moves them a tenth of the way to that pair. Counters are copied.
        bf16: forward and backward in bfloat16, weights and loss in float32; None means where it is fast.
        saved: file that holds the state of this very training while it goes on: written every ``save_every_s``, found
            again after a kill, removed at the end. Batches must come out the same when they are drawn again.
        head: what the loss puts on top of the features; trained with the network and left behind.
        mean: past average that the loss learns from; sees every batch before the loss, and is what the network ends as.
        norm_group: batch norm takes its statistics over so many images at a time; None: over the batch.
        memory: tensors that the loss changes in place, by name; they belong to that state.

    Raises:
        UserError: the loss is not a number.
    """
    small = min(network.image_size) < _LEAST_BF16_PX  # type: ignore[arg-type]
    bf16 = fast_bf16(device) and not small if bf16 is None else bf16
    kind = torch.device(device).type
    network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    head = (torch.nn.Identity() if head is None else head).to(device).train()
    weights = [p for p in (*network.parameters(), *head.parameters()) if p.requires_grad]
    optimiser = torch.optim.Adam(weights, lr=learning_rate, weight_decay=weight_decay)
    generator = torch.Generator().manual_seed(seed)
    average = WeightAverage(network, average_decay) if average_decay is not None else None
    memory = {**(memory or {}), **{f"head.{name}": value for name, value in head.state_dict().items()}}
    memory |= mean.memory() if mean else {}
    log: list[dict[str, Any]] = []
    done = 0
    if saved is not None and saved.is_file():
        log = _restore(saved, network, optimiser, generator, average, memory)
        done = len(log)
        yield from log
    step, last_saved = 0, time.monotonic()
    for epoch, batches in enumerate(epochs):
        for batch in batches:
            if step < done:  # drawn again only so that the next ones are the same
                step += 1
                continue
            if saved is not None and time.monotonic() - last_saved > save_every_s:
                _save(saved, network, optimiser, generator, average, memory, log)
                last_saved = time.monotonic()
            rate = learning_rate * schedule(epoch) * min(1.0, (step + 1) / (warmup_steps + 1))
            for group in optimiser.param_groups:
                group["lr"] = rate
            pixels = augment(images.batch(batch.crops).to(device), augmentation, generator, network.mean)
            with torch.autocast(kind, torch.bfloat16, enabled=bf16):
                seen = normalise(pixels, network)
                pooled = forward_in_groups(network, seen, norm_group)
                if mean:
                    mean.see(seen, norm_group)
            value, active = loss(pooled.float(), batch)
            if not torch.isfinite(value):
                raise UserError(
                    f"training: the loss is {value.item()} at step {step} of epoch {epoch}; "
                    f"lower the learning rate (it is {rate:.2g}), or start from other weights (WEIGHTS=)."
                )
            optimiser.zero_grad(set_to_none=True)
            value.backward()
            optimiser.step()
            if average:
                average.update()
            if mean:
                mean.update(network, head)
            row = {
                "step": step, "epoch": epoch, "loss": value.item(), "active_fraction": active.item(), "learning_rate": rate,
            }  # fmt: skip
            log.append(row)
            yield row
            step += 1
    if average:
        average.into(network)
    if mean:
        mean.into(network)
    network.eval()
    if saved is not None:
        saved.unlink(missing_ok=True)


def _save(
    path: Path,
    network: ReidNetwork,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    average: WeightAverage | None,
    memory: Mapping[str, Tensor],
    log: list[dict[str, Any]],
) -> None:
    """Written beside and renamed, so that a kill leaves the old state or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "network": network.state_dict(), "optimiser": optimiser.state_dict(), "generator": generator.get_state(),
        "average": average.state() if average else None, "memory": dict(memory), "log": log,
    }  # fmt: skip
    part = path.with_name(path.name + ".part")
    torch.save(state, part)
    part.rename(path)


def _restore(
    path: Path,
    network: ReidNetwork,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    average: WeightAverage | None,
    memory: Mapping[str, Tensor],
) -> list[dict[str, Any]]:
    """Put a saved state back; returns its TRAIN_LOG rows, none where the file cannot be used."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # a file cut short by a full disk: the training begins anew
        path.unlink(missing_ok=True)
        return []
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    generator.set_state(state["generator"])
    if average:
        average.restore(state["average"])
    for name, tensor in memory.items():
        tensor.copy_(state["memory"][name])
    return list(state["log"])


class WeightAverage:
    """Exponential moving average of a network's parameters and BN statistics; see `fit`."""

    def __init__(self, network: torch.nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.live = [v for v in network.state_dict().values() if v.is_floating_point()]
        self.mean = [v.clone() for v in self.live]

    @torch.no_grad()
    def update(self) -> None:
        """Once after every step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.mean, self.live, 1 - decay)
        self.updates += 1

    def state(self) -> dict[str, Any]:
        """What `restore` wants."""
        return {"updates": self.updates, "mean": self.mean}

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.updates = int(state["updates"])
        torch._foreach_copy_(self.mean, state["mean"])

    @torch.no_grad()
    def into(self, network: torch.nn.Module) -> None:
        """Give ``network``, the one that was averaged, the average."""
        torch._foreach_copy_(self.live, self.mean)


def forward_in_groups(network: ReidNetwork, images: Tensor, group: int | None) -> Tensor:
    """(B, D) pooled features, at most ``group`` images at a time.

    Batches stand in order of people, so a group is every n-th image and holds somebody of everyone: a stretch of the batch
    is one or two people, and batch norm over those alone takes out what tells them from others.
    """
    if group is None or len(images) <= group:
        return network(images)[0]  # type: ignore[no-any-return]
    count = -(-len(images) // group)
    parts = [network(images[i::count])[0] for i in range(count)]
    pooled = parts[0].new_empty(len(images), parts[0].shape[1])
    for i, part in enumerate(parts):
        pooled[i::count] = part
    return pooled


class MeanNetwork:
    """The temporal average of a network and its head, E <- a E + (1 - a) theta, and what it says of a batch.

    Mean teachers (Tarvainen, Valpola, 2017) as in MMT (Ge et al., 2020): parameters are averaged with a = min(1 - 1 /
    (t + 1), momentum) at step t, counted on from ``steps``; batch norm statistics are its own.
    """

    def __init__(self, network: ReidNetwork, head: torch.nn.Module, momentum: float, steps: int = 0) -> None:
        self.network, self.head, self.momentum = copy.deepcopy(network), copy.deepcopy(head), momentum
        for weight in (*self.network.parameters(), *self.head.parameters()):
            weight.requires_grad_(False)
        self.steps = torch.tensor(steps)
        self.features = self.scores = torch.zeros(0)

    @torch.no_grad()
    def see(self, images: Tensor, group: int | None) -> None:
        """Keep its ``features`` and ``scores`` of a normalised batch."""
        self.network.to(images.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.head.to(images.device).train()
        self.features = forward_in_groups(self.network, images, group).float()
        self.scores = self.head(self.features).float()

    @torch.no_grad()
    def update(self, network: ReidNetwork, head: torch.nn.Module) -> None:
        """Once after every step."""
        momentum = min(1 - 1 / (int(self.steps) + 1), self.momentum)
        for own, other in ((self.network, network), (self.head, head)):
            for past, now in zip(own.parameters(), other.parameters(), strict=True):
                past.lerp_(now, 1 - momentum)
        self.steps += 1

    def memory(self) -> dict[str, Tensor]:
        """Its tensors, for `fit` to save."""
        parts = {"network": self.network, "head": self.head}
        found = {f"mean.{p}.{n}": v for p, module in parts.items() for n, v in module.state_dict().items()}
        return {**found, "mean.steps": self.steps}

    @torch.no_grad()
    def into(self, network: ReidNetwork) -> None:
        """Give the network the average."""
        network.load_state_dict(self.network.state_dict())


# Under it a network's last maps are so small that some taps of a kernel see nothing but padding, and oneDNN's bfloat16
# leaves the gradient of those unwritten: whatever stood in memory, NaN at times.
_LEAST_BF16_PX = 64


def fast_bf16(device: str) -> bool:
    """Whether the device multiplies bfloat16 faster than float32: AVX512-BF16 or AMX, a GPU that knows it, not MPS."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return kind == "cpu" and bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
