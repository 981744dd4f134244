"""OSNet against its paper and against public checkpoints."""

import pytest
import torch

from stages.network import backbone
from stages.network.osnet import DIM, WIDTHS, AggregationGate, OmniScaleBlock, OSNet


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small images are no work for two threads: beside other jobs they would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_parameters_are_those_of_the_paper():
    """Table 1 of the paper: 2.2 million parameters at full width, without a classifier."""
    counted = sum(p.numel() for p in OSNet(WIDTHS["osnet_x1_0"]).parameters())
    assert 2.15e6 < counted < 2.25e6


@pytest.mark.parametrize("name", sorted(WIDTHS))
def test_any_image_size_gives_512_non_negative_numbers(name):
    network = OSNet(WIDTHS[name]).eval()
    with torch.no_grad():
        for size in ((64, 32), (96, 48)):
            features = network(torch.randn(2, 3, *size))
            assert features.shape == (2, DIM) and (features >= 0).all()


def naive_stream(lites, x):
    """Lite 3×3 after Lite 3×3, each written out as sums."""
    for lite in lites:
        x = torch.einsum("oi,bihw->bohw", lite.conv1.weight[:, :, 0, 0], x)
        padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
        h, w = x.shape[2:]
        x = sum(
            lite.conv2.weight[None, :, 0, dy, dx, None, None] * padded[:, :, dy : dy + h, dx : dx + w]
            for dy in range(3)
            for dx in range(3)
        )
        bn = lite.bn
        scale = (bn.weight / (bn.running_var + bn.eps).sqrt())[None, :, None, None]
        x = ((x - bn.running_mean[None, :, None, None]) * scale + bn.bias[None, :, None, None]).clamp(min=0)
    return x


def test_block_is_equation_2():
    """x + sum over t = 1 … 4 of G(x_t) * x_t, with one gate for all streams."""
    torch.manual_seed(0)
    block = OmniScaleBlock(32, 64).eval()
    for module in block.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 1.5)
    x = torch.randn(3, 32, 9, 5)
    with torch.no_grad():
        squeezed = block.conv1(x)
        streams = [[block.conv2a], block.conv2b, block.conv2c, block.conv2d]
        assert [len(s) for s in streams] == [1, 2, 3, 4]
        mixed = 0
        for stream in streams:
            y = naive_stream(stream, squeezed)
            hidden = (y.mean((2, 3)) @ block.gate.fc1.weight[:, :, 0, 0].T + block.gate.fc1.bias).clamp(min=0)
            gate = 1 / (1 + torch.exp(-(hidden @ block.gate.fc2.weight[:, :, 0, 0].T + block.gate.fc2.bias)))
            mixed = mixed + y * gate[:, :, None, None]
        wanted = (block.conv3(mixed) + block.downsample(x)).clamp(min=0)
        assert torch.allclose(block(x), wanted, atol=1e-5)


def test_gate_weighs_each_image_on_its_own():
    gate = AggregationGate(32).eval()
    x = torch.randn(4, 32, 6, 3)
    with torch.no_grad():
        alone = torch.cat([gate(x[i : i + 1]) for i in range(4)])
        assert torch.allclose(gate(x), alone, atol=1e-6)


def test_every_parameter_receives_a_gradient():
    torch.manual_seed(1)
    network = OSNet(WIDTHS["osnet_x0_25"]).train()
    network(torch.randn(8, 3, 128, 64)).square().sum().backward()
    idle = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # The gate squeezes x0.25 to one or two hidden units, which ReLU may switch off for a whole batch.
    assert [n for n in idle if ".gate." not in n] == []


@pytest.mark.footage
@pytest.mark.parametrize("weights", ["osnet_x0_25_imagenet.pth", "osnet_x0_25_msmt17.pth"])
def test_public_checkpoints_load_strictly(footage, weights):
    path = footage / "weights" / weights
    network = backbone.build("osnet_x0_25", path, seed=0)
    given = torch.load(path, weights_only=True)
    own = network.backbone.state_dict()
    assert set(given) - set(own) == {"classifier.weight", "classifier.bias"}
    assert all(torch.equal(own[k], given[k]) for k in own)


@pytest.mark.footage
def test_labelled_weights_tell_people_apart(footage):
    """Crops of one person in two cameras are nearer than crops of two: the weights sit where they belong."""
    import cv2
    import numpy as np

    from stages.network.embedding import embed_images

    first = {}
    for path in sorted((footage / "reid" / "market100").rglob("*.jpg")):
        pid, camera = path.name.split("_")[0], path.name.split("_")[1][:2]
        first.setdefault((pid, camera), path)
    people = sorted({pid for pid, _ in first if (pid, "c1") in first and (pid, "c2") in first})[:20]
    paths = [first[pid, camera] for camera in ("c1", "c2") for pid in people]
    images = np.stack([cv2.resize(cv2.imread(str(p))[:, :, ::-1], (128, 256)) for p in paths])
    network = backbone.build("osnet_x0_25", footage / "weights" / "osnet_x0_25_msmt17.pth", seed=0)
    x = embed_images(network, images, "cpu")
    similarity = x[: len(people)] @ x[len(people) :].T
    assert len(people) >= 10
    assert (similarity.argmax(1) == np.arange(len(people))).mean() >= 0.5
