"""The training loop on tiny worlds: it learns, repeats itself, and stops with a sentence."""

import numpy as np
import pytest
import torch

from pipeline.errors import UserError
from stages.network import backbone
from stages.network.embedding import embed_images
from stages.network.images import Augmentation
from stages.training.loop import WeightAverage, cosine, fast_bf16, fit, steps_down
from stages.training.losses import batch_hard_triplet
from stages.training.samplers import Batch

SIZE = (32, 16)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Images of 32×16 px are no work for two threads: beside other jobs they would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Store:
    """Images in memory, with the one method that training asks for."""

    def __init__(self, images):
        self.images = images

    def batch(self, index):
        return torch.from_numpy(self.images[index]).permute(0, 3, 1, 2)


def people(n=4, each=6, seed=0, cast=0.4, crops_seed=1):
    """Each person two colours, each crop its own noise and colour cast."""
    random = np.random.default_rng(seed)
    clothes = random.integers(40, 216, (n, 2, 1, 1, 3))
    images = np.concatenate(
        [np.repeat(c, SIZE[0] // 2, axis=1).repeat(SIZE[1], axis=2).reshape(1, *SIZE, 3) for c in clothes]
    )
    random = np.random.default_rng(crops_seed)
    images = images.repeat(each, axis=0) * random.uniform(1 - cast, 1 + cast, (n * each, 1, 1, 3))
    images = images + random.normal(0, 20, images.shape)
    return images.clip(0, 255).astype(np.uint8), np.arange(n).repeat(each)


def batches(labels, count, seed=0, size=16):
    random = np.random.default_rng(seed)
    for _ in range(count):
        rows = random.choice(len(labels), size, replace=False)
        yield Batch(rows, labels[rows], labels[rows])


def network():
    return backbone.build("osnet_x0_25", None, seed=0, image_size=SIZE)


def hinge(features, batch):
    return batch_hard_triplet(features, torch.from_numpy(batch.labels), margin=0.3)


def trained(epochs=2, steps=2, start=None, **settings):
    images, labels = people()
    net = start or network()
    settings = {
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "seed": 0,
        "device": "cpu",
        "bf16": False,
    } | settings
    log = list(fit(net, Store(images), (batches(labels, steps, e) for e in range(epochs)), hinge, **settings))
    return net, log


def state(net):
    return {k: v.clone() for k, v in net.state_dict().items()}


def rank1(net, images, labels):
    x = embed_images(net, images, "cpu")
    similarity = x @ x.T
    np.fill_diagonal(similarity, -1)
    return (labels[similarity.argmax(1)] == labels).mean()


@pytest.mark.slow
def test_it_learns_to_tell_people_apart():
    """Colour casts leave a random network unsure; after training it knows other crops of the same people."""
    images, labels = people(n=8, each=12, seed=3, cast=0.3)
    others, who = people(n=8, each=6, seed=3, cast=0.3, crops_seed=2)
    net = network()
    before = rank1(net, others, who)
    log = list(
        fit(
            net, Store(images), (batches(labels, 14, e, size=32) for e in range(5)),
            lambda f, b: hinge(torch.nn.functional.normalize(f), b),
            learning_rate=2e-3, weight_decay=0.0, seed=0, device="cpu", average_decay=0.9,
            augmentation=Augmentation(shift_px=2),
        )
    )  # fmt: skip
    assert np.mean([r["loss"] for r in log[-5:]]) < 0.6 * np.mean([r["loss"] for r in log[:5]])
    assert rank1(net, others, who) > max(before + 0.05, 0.8)


def test_log_rows_and_end_state():
    net, log = trained(epochs=3, steps=2)
    assert [r["step"] for r in log] == list(range(6)) and [r["epoch"] for r in log] == [0, 0, 1, 1, 2, 2]
    assert all(set(r) == {"step", "epoch", "loss", "active_fraction", "learning_rate"} for r in log)
    assert all(np.isfinite(r["loss"]) and 0 <= r["active_fraction"] <= 1 for r in log)
    assert not net.training


def test_the_same_seed_gives_the_same_weights_and_another_does_not():
    one, same, other = (state(trained(seed=s)[0]) for s in (4, 4, 5))
    assert all(torch.equal(one[k], same[k]) for k in one)
    assert any(not torch.equal(one[k], other[k]) for k in one)


def test_nothing_to_train_on_leaves_the_network_as_it_was():
    net = network()
    before = state(net)
    images, _ = people()
    settings = {"learning_rate": 1e-3, "weight_decay": 0.0, "seed": 0, "device": "cpu"}
    assert list(fit(net, Store(images), iter([iter(())]), hinge, average_decay=0.9, **settings)) == []
    assert all(torch.equal(before[k], v) for k, v in net.state_dict().items())


def test_bf16_weights_stay_float32_and_losses_are_near():
    _, log = trained()
    rough, rough_log = trained(bf16=True)
    assert all(p.dtype == torch.float32 for p in rough.parameters())
    assert rough_log[0]["loss"] == pytest.approx(log[0]["loss"], rel=0.1)


def test_schedules_and_warm_up_reach_the_optimiser():
    _, log = trained(epochs=3, steps=2, schedule=steps_down(1, 2), warmup_steps=1)
    assert [r["learning_rate"] for r in log] == pytest.approx([5e-4, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5])
    assert [round(cosine(5, floor=0.0)(e), 3) for e in range(5)] == [1.0, 0.854, 0.5, 0.146, 0.0]
    assert cosine(1)(0) == 1.0


def test_a_loss_that_is_not_a_number_is_one_sentence():
    images, labels = people()
    with pytest.raises(UserError, match=r"loss is nan at step 0.*learning rate"):
        list(
            fit(network(), Store(images), [batches(labels, 2)], lambda f, b: (f.sum() * torch.nan, f.sum()),
                learning_rate=1e-3, weight_decay=0.0, seed=0, device="cpu")
        )  # fmt: skip


def test_average_is_the_recursion_over_the_trajectory():
    """Parameters and BN statistics: m ← d m + (1 - d) w with d = min(decay, (1 + t) / (10 + t))."""
    images, labels = people()
    settings = {"learning_rate": 1e-3, "weight_decay": 0.0, "seed": 0, "device": "cpu", "bf16": False}
    net = network()
    mean = {k: v.double() for k, v in state(net).items()}
    for t, _ in enumerate(fit(net, Store(images), [batches(labels, 4)], hinge, **settings)):
        decay = min(0.2, (1 + t) / (10 + t))
        mean = {k: decay * mean[k] + (1 - decay) * v.double() for k, v in state(net).items()}
    last = state(net)
    averaged = state(trained(epochs=1, steps=4, average_decay=0.2)[0])
    for key, value in averaged.items():
        if value.is_floating_point():
            assert torch.allclose(value.double(), mean[key], atol=1e-5), key
        else:
            assert torch.equal(value, last[key])
    assert any(not torch.allclose(averaged[k].float(), last[k].float(), atol=1e-5) for k in last)


def test_a_long_average_forgets_its_start():
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(layer.weight, 100.0)
    average = WeightAverage(layer, 0.9999)
    torch.nn.init.constant_(layer.weight, 1.0)
    for _ in range(30):
        average.update()
    average.into(layer)
    assert 1.0 <= layer.weight.item() < 1.01


def test_precision_follows_the_device():
    assert fast_bf16("mps") is False
    assert fast_bf16("cpu") == (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@pytest.mark.gpu
def test_training_runs_on_a_gpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    net, log = trained(device="cuda", bf16=None)
    assert all(np.isfinite(r["loss"]) for r in log) and next(net.parameters()).is_cuda


@pytest.mark.parametrize("stop_after", [1, 3, 5])
@pytest.mark.parametrize("average", [None, 0.9])
def test_a_killed_training_goes_on_where_it_was(tmp_path, stop_after, average):
    images, labels = people()

    def training(net, saved):
        epochs = [list(batches(labels, 3, seed=s)) for s in (1, 2)]
        return fit(
            net, Store(images), epochs, hinge, learning_rate=1e-3, weight_decay=0.0, seed=5, device="cpu", bf16=False,
            schedule=cosine(2), average_decay=average, augmentation=Augmentation(color_jitter=0.2, shift_px=2),
            saved=saved, save_every_s=0.0,
        )  # fmt: skip

    whole = network()
    wanted = list(training(whole, None))
    file = tmp_path / "state" / "training.pt"
    killed = training(network(), file)
    for _ in range(stop_after + 1):
        next(killed)
    killed.close()
    assert file.is_file()
    net = network()
    assert list(training(net, file)) == wanted
    assert all(
        torch.equal(a, b) for a, b in zip(net.state_dict().values(), whole.state_dict().values(), strict=True)
    )
    assert not file.exists()


def test_a_damaged_state_begins_anew(tmp_path):
    images, labels = people()
    file = tmp_path / "training.pt"
    file.write_bytes(b"cut short")
    log = list(
        fit(network(), Store(images), [batches(labels, 2)], hinge, learning_rate=1e-3, weight_decay=0.0, seed=5,
            device="cpu", saved=file)
    )  # fmt: skip
    assert [row["step"] for row in log] == [0, 1] and not file.exists()
