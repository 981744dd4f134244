"""Networks by name, starts and checkpoints."""

import pytest
import torch

from pipeline.errors import UserError
from stages.network import backbone


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Small images are no work for two threads: beside other jobs they would wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def images():
    return torch.randn(3, 3, 64, 32, generator=torch.Generator().manual_seed(5))


def used(network):
    """The network after a step in train mode, so that BN statistics and neck are no defaults."""
    network.train()
    network(torch.randn(8, 3, 64, 32, generator=torch.Generator().manual_seed(6)) * 2 + 1)
    return network.eval()


def test_saved_and_loaded_gives_the_same_features(tmp_path, images):
    network = used(backbone.build("osnet_x0_25", None, seed=3, image_size=(64, 32)))
    network.mean = (0.1, 0.2, 0.3)
    backbone.save(network, tmp_path / "model.pt")
    again = backbone.load(tmp_path / "model.pt")
    with torch.no_grad():
        for one, other in zip(network(images), again(images), strict=True):
            assert torch.equal(one, other)
    assert (again.name, again.dim, again.image_size, again.mean) == (
        "osnet_x0_25",
        512,
        (64, 32),
        (0.1, 0.2, 0.3),
    )
    assert not again.training and not again.neck.bias.requires_grad


def test_a_channels_last_network_saves_the_same_bytes(tmp_path):
    network = backbone.build("osnet_x0_25", None, seed=3)
    backbone.save(network, tmp_path / "a.pt")
    backbone.save(network.to(memory_format=torch.channels_last), tmp_path / "b.pt")
    assert (tmp_path / "a.pt").read_bytes() == (tmp_path / "b.pt").read_bytes()


def test_random_starts_follow_the_seed_and_leave_the_global_generator(images):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, same, other = (backbone.build("osnet_x0_25", None, seed=s) for s in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    with torch.no_grad():
        assert torch.equal(one(images)[0], same(images)[0])
        assert not torch.allclose(one(images)[0], other(images)[0])


def test_timm_model_by_name(images):
    network = backbone.build("resnet18", None, seed=0)
    pooled, necked = network(images)
    assert pooled.shape == necked.shape == (3, network.dim) == (3, 512)


def test_transformers_are_built_for_the_image_size(tmp_path):
    network = backbone.build("vit_tiny_patch16_224", None, seed=0)
    assert network.image_size == (256, 128) and network.dim == 192
    assert network(torch.zeros(1, 3, 256, 128))[0].shape == (1, 192)
    backbone.save(network, tmp_path / "vit.pt")
    assert backbone.load(tmp_path / "vit.pt").dim == 192


def test_the_neck_normalises_a_batch_and_has_no_shift(images):
    network = backbone.build("osnet_x0_25", None, seed=0).train()
    _, necked = network(torch.randn(16, 3, 64, 32))
    assert torch.allclose(necked.mean(0), torch.zeros(512), atol=1e-4)
    assert "neck.bias" not in [n for n, p in network.named_parameters() if p.requires_grad]


def test_bare_weights_drop_the_classifier_and_wrappers(tmp_path, images):
    network = used(backbone.build("osnet_x0_25", None, seed=4))
    bare = network.backbone.state_dict() | {"classifier.weight": torch.zeros(7, 512)}
    torch.save({"state_dict": {f"module.{k}": v for k, v in bare.items()}, "epoch": 3}, tmp_path / "w.pth")
    loaded = backbone.build("osnet_x0_25", tmp_path / "w.pth", seed=9)
    with torch.no_grad():
        assert torch.equal(loaded(images)[0], network(images)[0])


def test_our_checkpoint_is_a_start_too(tmp_path, images):
    network = used(backbone.build("osnet_x0_25", None, seed=4, image_size=(64, 32)))
    backbone.save(network, tmp_path / "m.pt")
    start = backbone.build("osnet_x0_25", tmp_path / "m.pt", seed=9)
    with torch.no_grad():
        assert torch.equal(start(images)[1], network(images)[1])
    with pytest.raises(
        UserError,
        match=r"m\.pt: made for images of 64×32, and run\.image_size asks for 32×16; set run\.image_size=\[64, 32\]",
    ):
        backbone.build("osnet_x0_25", tmp_path / "m.pt", seed=0, image_size=(32, 16))
    with pytest.raises(UserError, match=r"m\.pt.*osnet_x0_25.*BACKBONE"):
        backbone.build("osnet_x0_5", tmp_path / "m.pt", seed=0)


def bad_files(folder):
    torch.save([1, 2], folder / "list.pth")
    torch.save({"a": 1}, folder / "values.pth")
    torch.save(backbone.build("osnet_x0_5", None, 0).backbone.state_dict(), folder / "wide.pth")
    part = backbone.build("osnet_x0_25", None, 0).backbone.state_dict()
    torch.save({k: v for k, v in part.items() if not k.startswith("conv4.1.gate")}, folder / "part.pth")
    torch.save({"format": backbone.FORMAT, "backbone": "osnet_x0_25", "image_size": [256, 128],
                "mean": [0.0] * 3, "std": [1.0] * 3, "state_dict": {}}, folder / "hollow.pth")  # fmt: skip
    (folder / "text.pth").write_text("these are no weights")
    (folder / "empty.pth").touch()
    whole = (folder / "wide.pth").read_bytes()
    (folder / "cut.pth").write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("none.pth", "no such file"),
        ("list.pth", "list"),
        ("values.pth", "state dict"),
        ("wide.pth", "other shapes of conv1"),
        ("part.pth", "lacks conv4.1.gate"),
        ("hollow.pth", "do not fit"),
        ("text.pth", "cannot be read"),
        ("empty.pth", "cannot be read"),
        ("cut.pth", "cannot be read"),
    ],
)
def test_bad_weights_are_one_sentence(tmp_path, file, says):
    bad_files(tmp_path)
    with pytest.raises(UserError) as caught:
        backbone.build("osnet_x0_25", tmp_path / file, seed=0)
    assert says in str(caught.value) and file in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_weights_that_run_code_are_refused(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"a": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(UserError, match="cannot be read"):
        backbone.build("osnet_x0_25", tmp_path / "trap.pth", seed=0)
    assert not (tmp_path / "sprung").exists()


def test_unknown_names_get_a_suggestion():
    with pytest.raises(UserError, match="osnet_x0_25"):
        backbone.build("osnet_x0_26", None, seed=0)
    with pytest.raises(UserError, match="resnet50"):
        backbone.build("resnett50", None, seed=0)


def test_pretrained_osnet_says_what_to_do():
    with pytest.raises(UserError, match="WEIGHTS=random"):
        backbone.build("osnet_x0_25", "pretrained", seed=0)


def test_pretrained_without_a_network_says_what_to_do(monkeypatch):
    import timm

    def offline(name, pretrained=False, **kwargs):
        raise OSError("cannot connect")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(UserError, match=r"cannot be downloaded.*WEIGHTS="):
        backbone.build("resnet18", "pretrained", seed=0)
