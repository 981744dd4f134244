"""Batch-hard triplets against loops, and where nothing is left to compare."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.training.losses import batch_hard_triplet


def naive(features, labels, margin, not_negative=None):
    terms, n = [], len(labels)
    for a in range(n):
        distance = [math.dist(features[a], features[j]) for j in range(n)]
        near = [distance[j] for j in range(n) if j != a and labels[j] == labels[a]]
        far = [
            distance[j]
            for j in range(n)
            if labels[j] != labels[a] and not (not_negative is not None and not_negative[a][j])
        ]
        if near and far:
            gap = max(near) - min(far)
            terms.append(
                (math.log1p(math.exp(gap)), gap >= 0)
                if margin is None
                else (max(0.0, margin + gap), margin + gap > 0)
            )
    if not terms:
        return 0.0, 0.0
    return sum(t for t, _ in terms) / len(terms), sum(a for _, a in terms) / len(terms)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=12),
    margin=st.sampled_from([None, 0.0, 0.3, 2.0]),
    masked=st.booleans(),
)
def test_equals_the_loops(seed, labels, margin, masked):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(len(labels), 3, generator=generator, dtype=torch.float64)
    mask = torch.rand(len(labels), len(labels), generator=generator) < 0.3 if masked else None
    mask = mask | mask.T if mask is not None else None
    loss, active = batch_hard_triplet(features, torch.tensor(labels), margin, not_negative=mask)
    wanted = naive(features.tolist(), labels, margin, None if mask is None else mask.tolist())
    assert loss.item() == pytest.approx(wanted[0], abs=1e-9)
    assert active.item() == pytest.approx(wanted[1], abs=1e-6)


def test_order_and_names_of_labels_do_not_matter():
    features, labels = torch.randn(12, 5), torch.arange(12) // 3
    order = torch.randperm(12)
    a, b = batch_hard_triplet(features, labels), batch_hard_triplet(features[order], 100 - labels[order])
    assert torch.allclose(a[0], b[0], atol=1e-6) and torch.equal(a[1], b[1])


@pytest.mark.parametrize("labels", [[0] * 6, list(range(6)), [4]])
def test_nothing_to_compare_is_zero_with_a_gradient(labels):
    """One identity only, no positive at all, one image."""
    features = torch.randn(len(labels), 4, requires_grad=True)
    loss, active = batch_hard_triplet(features, torch.tensor(labels))
    loss.backward()
    assert loss.item() == 0 and active.item() == 0
    assert torch.equal(features.grad, torch.zeros_like(features))


@pytest.mark.parametrize("margin", [0.3, None])
def test_identical_features_give_the_margin_and_a_finite_gradient(margin):
    features = torch.ones(8, 4, requires_grad=True)
    loss, active = batch_hard_triplet(features, torch.arange(8) // 2, margin)
    loss.backward()
    assert loss.item() == pytest.approx(0.3 if margin else math.log(2)) and active.item() == 1
    assert torch.isfinite(features.grad).all()


def test_gradient_is_that_of_finite_differences():
    features = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.arange(6) // 2
    assert torch.autograd.gradcheck(lambda x: batch_hard_triplet(x, labels, None)[0], features)


def test_a_step_down_the_gradient_pulls_positives_and_pushes_negatives():
    features = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.5, 0.5], [1.5, 0.5]], requires_grad=True)
    labels = torch.tensor([0, 0, 1, 1])
    before = batch_hard_triplet(features, labels, 1.0)[0]
    before.backward()
    after = batch_hard_triplet(features - 0.05 * features.grad, labels, 1.0)[0]
    assert after < before


def test_masked_pairs_are_no_negatives():
    features = torch.tensor([[0.0], [0.1], [0.2], [0.3], [5.0], [5.1]])
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    unsure = (labels[:, None] < 2) & (labels[None, :] < 2)  # 0 and 1 may be one person
    assert batch_hard_triplet(features, labels)[0] > 0
    assert batch_hard_triplet(features, labels, not_negative=unsure)[0] == 0
