"""The pieces of the self-supervised start, and the two weight files the demo ships."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from data.synthetic.detector import DETECTOR_PATH, _iou, measure_on_site
from data.synthetic.start import IMAGE_SIZE, START_PATH, augment, contrastive_loss, rank


def test_contrastive_loss_is_the_papers_sum():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(5, 7, generator=generator), torch.randn(5, 7, generator=generator)
    z = [F.normalize(row, dim=0) for row in torch.cat([a, b])]
    total = 0.0
    for i in range(10):
        j = (i + 5) % 10
        weights = [float(torch.exp(z[i] @ z[k] / 0.3)) for k in range(10) if k != i]
        total -= np.log(float(torch.exp(z[i] @ z[j] / 0.3)) / sum(weights))
    assert contrastive_loss(a, b, 0.3).item() == pytest.approx(total / 10, rel=1e-5)
    assert contrastive_loss(a, a, 0.05) < contrastive_loss(a, b, 0.05)


def test_augment_keeps_shape_changes_rows_apart_and_follows_its_generator():
    crop = torch.rand(1, 3, *IMAGE_SIZE, generator=torch.Generator().manual_seed(1)).repeat(4, 1, 1, 1)
    first = augment(crop, torch.Generator().manual_seed(2))
    assert first.shape == crop.shape and torch.isfinite(first).all()
    assert torch.equal(first, augment(crop, torch.Generator().manual_seed(2)))
    assert all(not torch.equal(first[0], first[k]) for k in (1, 2, 3))


def test_rank_by_hand():
    x = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.8, 0.2], [0.95, 0.05]])
    pids, cameras = np.array([1, 1, 2, 2, 3]), np.array([0, 1, 0, 1, 1])
    # Person 1 in camera 0 finds 3 first, itself second; in camera 1 itself. Person 2 in camera 0: itself; in camera 1: person 1 first.
    assert rank(x, pids, cameras) == (pytest.approx(2 / 4), pytest.approx((1 / 2 + 1 + 1 + 1 / 2) / 4))


def test_iou():
    a = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], float)
    assert np.allclose(_iou(a, np.array([[5, 0, 15, 10]], float)), [[1 / 3], [0]])
    assert _iou(a, np.zeros((0, 4))).shape == (2, 0)


def test_shipped_start_fits_its_network():
    from stages.network.osnet import WIDTHS, OSNet

    state = torch.load(START_PATH, weights_only=True, map_location="cpu")
    OSNet(WIDTHS["osnet_x0_25"]).load_state_dict(state)
    assert START_PATH.stat().st_size < 2e6
    assert all(torch.isfinite(v).all() for v in state.values())


def test_shipped_detector_finds_the_people_of_the_demo():
    assert DETECTOR_PATH.stat().st_size <= 6e6
    figures = measure_on_site(DETECTOR_PATH, every=200)
    assert figures["site_precision"] > 0.88 and figures["site_recall"] > 0.75
