"""The demo's re-ID start: OSNet x0.25 trained by itself on crops of *other* drawn people, with no identity of anybody.

Instance discrimination (Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020, Eq. 1): two augmentations
of one crop are a positive pair, all other crops of the batch are negatives. A batch holds crops of few cameras, because between cameras the
background and the light alone would tell crops apart.
"""

from __future__ import annotations

import importlib
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from data.synthetic.others import other_pictures
from data.synthetic.render import TruthBox, stands_at, studio
from data.synthetic.world import DEFAULT_SEED, build_world

START_PATH = Path(__file__).with_name("start_osnet_x0_25.pth")
IMAGE_SIZE = (128, 64)  # height, width: the figures are 40 to 130 pixels tall
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CROP_SEED = 601
TEMPERATURE = 0.15
STEPS, CAMERAS_PER_BATCH, CROPS_PER_CAMERA = 350, 3, 24


def _cut(image: np.ndarray, box: TruthBox, size: tuple[int, int]) -> np.ndarray:
    """BGR picture and truth box → RGB crop of size (height, width)."""
    crop = image[box.y1 : box.y2, box.x1 : box.x2, ::-1]
    return cv2.resize(crop, (size[1], size[0]), interpolation=cv2.INTER_LINEAR)


def other_crops(cameras: int = 60, per_camera: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """→ (N, H, W, 3) RGB uint8 of other people who are at least 60 % visible, and the camera index of each."""
    crops, where = [], []
    for index, (image, boxes) in enumerate(other_pictures(CROP_SEED, cameras, per_camera)):
        for box in boxes:
            if box.visibility >= 0.6:
                crops.append(_cut(image, box, IMAGE_SIZE))
                where.append(index // per_camera)
    return np.stack(crops), np.array(where)


def _to_unit(crops: np.ndarray) -> Tensor:
    """(N, H, W, 3) RGB uint8 → (N, 3, H, W) float32 in 0..1."""
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255


def normalise(x: Tensor) -> Tensor:
    """RGB in 0..1 → ImageNet's mean and deviation taken out."""
    return (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """RGB in 0..1 → the same, shifted, zoomed, flipped, under another light, with an erased rectangle; each row on its own."""
    n, _, height, width = x.shape

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=generator) * (high - low) + low

    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0] = uniform(0.82, 1.08) * torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
    matrix[:, 1, 1] = uniform(0.82, 1.06)
    matrix[:, 0, 2], matrix[:, 1, 2] = uniform(-0.14, 0.14), uniform(-0.1, 0.1)
    x = F.grid_sample(
        x,
        F.affine_grid(matrix, list(x.shape), align_corners=False),
        padding_mode="border",
        align_corners=False,
    )
    # What another camera would do to it: white balance, exposure, gamma, contrast, grain.
    x = x * uniform(0.72, 1.3, 3, 1, 1) * uniform(0.75, 1.25, 1, 1, 1)
    x = x.clamp(1e-3, 1.0) ** torch.exp(uniform(-0.35, 0.35, 1, 1, 1))
    level = x.mean((1, 2, 3), keepdim=True)
    x = ((x - level) * uniform(0.75, 1.25, 1, 1, 1) + level).clamp(0, 1)
    x = x + torch.randn(x.shape, generator=generator) * uniform(0, 0.03, 1, 1, 1)
    rows, columns = torch.arange(height).view(1, -1, 1), torch.arange(width).view(1, 1, -1)
    top, left = uniform(0, 0.85, 1, 1) * height, uniform(0, 0.7, 1, 1) * width
    hole = (rows >= top) & (rows < top + uniform(0.08, 0.3, 1, 1) * height)
    hole = hole & (
        (columns >= left) & (columns < left + uniform(0.2, 0.6, 1, 1) * width) & (uniform(0, 1, 1, 1) < 0.5)
    )
    return x.masked_fill(hole[:, None], 0.45)


def contrastive_loss(a: Tensor, b: Tensor, temperature: float) -> Tensor:
    """NT-Xent (SimCLR, Eq. 1) of (N, D) projections: row i of a and row i of b are a pair, all other 2N − 2 rows are negatives."""
    z = F.normalize(torch.cat([a, b]))
    similarity = (z @ z.T / temperature).masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf)
    return F.cross_entropy(similarity, torch.arange(len(z)).roll(len(a)))


def _new_osnet(seed: int) -> nn.Module:
    # By name and only here: this command makes a file that is shipped. Nothing that reads material needs a network.
    osnet = importlib.import_module("stages.network.osnet")
    torch.manual_seed(seed)
    return osnet.OSNet(osnet.WIDTHS["osnet_x0_25"])


def train_start(out_path: Path = START_PATH, steps: int = STEPS, threads: int = 2) -> dict[str, float]:
    """Train and write a plain state dict → rank-1 and mAP on the demo's test truth boxes, of a random network and of this start."""
    torch.set_num_threads(threads)
    began = time.monotonic()
    crops, where = other_crops()
    print(f"{len(crops)} crops of {where.max() + 1} cameras: {time.monotonic() - began:.0f} s", flush=True)
    images = _to_unit(crops)
    network = _new_osnet(0)
    test = demo_crops(part=1)
    random_rank1, random_map = rank(features(_settled(_new_osnet(0), images), test[0]), *test[1:])
    head = nn.Sequential(nn.Linear(512, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Linear(256, 128))
    parameters = [*network.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=steps, pct_start=0.15)
    rng, generator = np.random.Generator(np.random.PCG64(0)), torch.Generator().manual_seed(0)
    network.train()
    for step in range(steps):
        chosen = rng.choice(where.max() + 1, CAMERAS_PER_BATCH, replace=False)
        pools = [np.flatnonzero(where == c) for c in chosen]
        rows = np.concatenate([rng.choice(p, min(CROPS_PER_CAMERA, len(p)), replace=False) for p in pools])
        batch = images[torch.from_numpy(rows)]
        z = head(network(normalise(torch.cat([augment(batch, generator), augment(batch, generator)]))))
        loss = contrastive_loss(z[: len(batch)], z[len(batch) :], TEMPERATURE)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 25 == 0 or step == steps - 1:
            print(f"step {step}  loss {loss.item():.3f}  {time.monotonic() - began:.0f} s", flush=True)
    torch.save({k: v.contiguous() for k, v in network.eval().state_dict().items()}, out_path)
    rank1, mean_ap = rank(features(network, test[0]), *test[1:])
    return {
        "random_rank1": random_rank1,
        "random_map": random_map,
        "start_rank1": rank1,
        "start_map": mean_ap,
        "seconds": time.monotonic() - began,
    }


def _settled(network: nn.Module, images: Tensor) -> nn.Module:
    """Batch statistics of a random network from a few batches: without them its features are arbitrary."""
    network.train()
    with torch.inference_mode():
        for k in range(4):
            network(normalise(images[k * 64 : (k + 1) * 64]))
    return network.eval()


def features(network: nn.Module, crops: np.ndarray) -> np.ndarray:
    """(N, H, W, 3) RGB uint8 → (N, 512) L2-normalised."""
    network.eval()
    with torch.inference_mode():
        parts = [
            F.normalize(network(normalise(_to_unit(crops[k : k + 128])))) for k in range(0, len(crops), 128)
        ]
    return torch.cat(parts).numpy()


def demo_crops(
    part: int, per_walk: int = 8, size: tuple[int, int] = IMAGE_SIZE, seed: int = DEFAULT_SEED
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth boxes of one part of the demo site → crops (N, H, W, 3), pids (N,), camera indices (N,); at most `per_walk` of each walk."""
    world = build_world(seed)
    recording = world.recordings[part]
    crops, pids, cameras = [], [], []
    for index, camera in enumerate(world.cameras):
        found: dict[int, list[np.ndarray]] = {}
        for frame, stands in enumerate(stands_at(recording, camera)):
            if frame % 8 == 0 and stands:
                image, boxes = studio(camera).picture(stands, frame)
                for box in boxes:
                    if box.visibility >= 0.4:
                        found.setdefault(box.pid, []).append(_cut(image, box, size))
        for pid in sorted(found):
            for k in np.unique(np.linspace(0, len(found[pid]) - 1, per_walk).astype(int)):
                crops.append(found[pid][k])
                pids.append(pid)
                cameras.append(index)
    return np.stack(crops), np.array(pids), np.array(cameras)


def rank(x: np.ndarray, pids: np.ndarray, cameras: np.ndarray) -> tuple[float, float]:
    """Rank-1 and mAP with one mean feature per person and camera; other cameras only."""
    walks = sorted(set(zip(pids.tolist(), cameras.tolist(), strict=True)))
    means = np.stack([x[(pids == p) & (cameras == c)].mean(0) for p, c in walks])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    who, where = (np.array(column) for column in zip(*walks, strict=True))
    first, precision = [], []
    for q in range(len(walks)):
        gallery = np.flatnonzero(where != where[q])
        order = gallery[np.argsort(-(means[gallery] @ means[q]), kind="stable")]
        hits = np.flatnonzero(who[order] == who[q])
        if len(hits):
            first.append(hits[0] == 0)
            precision.append(np.mean((np.arange(len(hits)) + 1) / (hits + 1)))
    return float(np.mean(first)), float(np.mean(precision))
