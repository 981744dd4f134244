"""Features of crops and tracklets, their cache, and the images they come from."""

import os

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from stages.network import backbone, embedding, inference
from stages.network.images import Augmentation, CropStore, augment, normalise, read_images, to_tensor

SIZE = (64, 32)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Images of 64×32 px are no work for two threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_shard(path, images):
    """JPEGs one after the other, and the rows that find them: all a reader of crops needs."""
    rows, content = [], b""
    for i, image in enumerate(images):
        data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
        rows.append(
            {"tracklet_id": f"t{i // 3}", "shard": path.name, "offset": len(content), "size": len(data)}
        )
        content += data
    path.write_bytes(content)
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    """A run folder with twelve crops of plain colours in various sizes."""
    folder = tmp_path_factory.mktemp("run")
    random = np.random.default_rng(0)
    colours = random.integers(20, 235, (12, 3))
    sizes = [(40 + 7 * i, 20 + 3 * i) for i in range(12)]
    images = [np.full((*s, 3), c, np.uint8) for s, c in zip(sizes, colours, strict=True)]
    for image in images:  # an edge, so that networks have something to see
        image[: len(image) // 2] //= 2
    return folder, write_shard(folder / "a.tar", images), colours


@pytest.fixture(scope="module")
def network():
    return backbone.build("osnet_x0_25", None, seed=0, image_size=SIZE)


def test_images_are_read_in_order_and_in_rgb(material):
    folder, crops, colours = material
    images = read_images(crops, folder, SIZE)
    assert images.shape == (12, *SIZE, 3)
    assert np.abs(images[:, -5, 16].astype(int) - colours).max() <= 4
    order = np.array([7, 2, 7, 0])
    assert np.array_equal(read_images(crops.iloc[order], folder, SIZE), images[order])


def test_store_gives_the_same_in_memory_and_on_disk(material):
    folder, crops, _ = material
    images = to_tensor(read_images(crops, folder, SIZE))
    for limit in (1 << 30, 0):
        store = CropStore(crops, folder, size=SIZE, limit_bytes=limit)
        assert len(store) == 12
        assert torch.equal(store.batch([3, 3, 11]), images[[3, 3, 11]])
        store.batch([0]).zero_()  # a batch is a copy
        assert torch.equal(store.batch([0]), images[[0]])
    assert {p.name for p in folder.iterdir()} <= {"a.tar", "features"}


def test_normalise_is_that_of_the_network(network):
    images = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    wanted = (images / 255 - torch.tensor(network.mean)[:, None, None]) / torch.tensor(network.std)[
        :, None, None
    ]
    assert torch.allclose(normalise(images, network), wanted, atol=1e-5)


def test_rows_are_unit_vectors_in_order_whatever_the_batch(material, network, monkeypatch):
    folder, crops, _ = material
    x = embedding.embed_crops(network, crops, folder, "cpu")
    assert x.shape == (12, 512) and x.dtype == np.float32
    assert np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
    monkeypatch.setattr(embedding, "BATCH", 5)
    monkeypatch.setattr(embedding, "_DECODED_AT_ONCE", 7)
    order = np.random.default_rng(1).permutation(12)
    assert np.allclose(embedding.embed_crops(network, crops.iloc[order], folder, "cpu"), x[order], atol=1e-5)


def test_features_are_the_pooled_output_in_eval_mode(material, network):
    folder, crops, _ = material
    images = read_images(crops, folder, SIZE)
    network.train()
    x = embedding.embed_images(network, images, "cpu")
    assert network.training
    network.eval()
    with torch.no_grad():
        pooled, _ = network(normalise(to_tensor(images), network))
    assert np.allclose(x, torch.nn.functional.normalize(pooled).numpy(), atol=1e-5)


def test_flip_makes_mirrored_crops_the_same(network):
    images = np.random.default_rng(2).integers(0, 256, (3, *SIZE, 3)).astype(np.uint8)
    mirrored = images[:, :, ::-1].copy()
    one, other = (embedding.embed_images(network, i, "cpu", flip=True) for i in (images, mirrored))
    assert np.allclose(one, other, atol=1e-5)
    assert not np.allclose(one, embedding.embed_images(network, images, "cpu"), atol=1e-4)


@pytest.mark.parametrize("name", ["osnet_x0_25", pytest.param("resnet10t", marks=pytest.mark.slow)])
def test_openvino_gives_the_features_of_pytorch(name, monkeypatch):
    pytest.importorskip("openvino")
    network = backbone.build(name, None, seed=1, image_size=SIZE)
    images = np.random.default_rng(3).integers(0, 256, (70, *SIZE, 3)).astype(np.uint8)
    plain = embedding.embed_images(network, images, "cpu")
    assert inference.openvino_pass(network) is not None
    monkeypatch.setattr(inference, "OPENVINO_FROM", 1)
    fast = embedding.embed_images(network, images, "cpu")
    assert (plain * fast).sum(1).min() > 0.99999
    assert not np.array_equal(plain, fast)  # else the fast path was not taken


def test_a_conversion_that_fails_falls_back(network, monkeypatch):
    def broken():
        raise ImportError("no openvino here")

    monkeypatch.setattr("stages.detectors.quiet.import_openvino", broken)
    monkeypatch.setattr(inference, "OPENVINO_FROM", 1)
    assert embedding.embed_images(network, np.zeros((2, *SIZE, 3), np.uint8), "cpu").shape == (2, 512)


def test_cache_is_by_content_and_written_whole(material, network, tmp_path, monkeypatch):
    folder, crops, _ = material
    backbone.save(network, tmp_path / "model.pt")
    x = embedding.cached_features(tmp_path / "model.pt", crops, folder, "cpu")
    assert np.allclose(x, embedding.embed_crops(network, crops, folder, "cpu"), atol=1e-3)
    assert len(list((folder / "features").iterdir())) == 1

    real = embedding.embed_crops
    asked = []
    monkeypatch.setattr(embedding, "embed_crops", lambda *a, **k: asked.append(1) or real(*a, **k))
    again = embedding.cached_features(tmp_path / "model.pt", crops, folder, "cpu")
    assert np.array_equal(again, x) and again.dtype == np.float32 and not asked
    (tmp_path / "copy.pt").write_bytes((tmp_path / "model.pt").read_bytes())
    embedding.cached_features(tmp_path / "copy.pt", crops, folder, "cpu")
    assert not asked  # the same content under another name
    other_order = embedding.cached_features(tmp_path / "model.pt", crops.iloc[::-1], folder, "cpu")
    assert len(asked) == 1 and np.allclose(other_order, x[::-1], atol=2e-3)
    backbone.save(backbone.build("osnet_x0_25", None, seed=1, image_size=SIZE), tmp_path / "model.pt")
    assert not np.allclose(
        embedding.cached_features(tmp_path / "model.pt", crops, folder, "cpu"), x, atol=1e-2
    )
    assert len(asked) == 2
    shard = folder / "a.tar"
    stat = shard.stat()
    os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))
    embedding.cached_features(tmp_path / "copy.pt", crops, folder, "cpu")
    assert len(asked) == 3  # a shard made anew
    assert all(p.suffix == ".npy" for p in (folder / "features").iterdir())


def test_no_crops_are_no_rows(material, network):
    folder, crops, _ = material
    assert embedding.embed_crops(network, crops.iloc[:0], folder, "cpu").shape == (0, 512)
    assert len(CropStore(crops.iloc[:0], folder, size=SIZE)) == 0


def test_tracklet_features_are_unit_means():
    x = np.array([[1, 0], [0, 1], [0, -1], [3, 4], [9, 9]], np.float32)
    of = ["b", "b", "a", "a", "other"]
    got = embedding.tracklet_features(x, of, ["a", "b", "none"])
    assert got.dtype == np.float32
    assert np.allclose(got, [np.array([3, 3]) / np.sqrt(18), np.array([1, 1]) / np.sqrt(2), [0, 0]])
    assert np.allclose(embedding.tracklet_features(x, pd.Series(of), pd.Series(["a", "b", "none"])), got)


def augmented(images, seed, **settings):
    return augment(images, Augmentation(**settings), torch.Generator().manual_seed(seed))


def test_augmentation_draws_from_its_generator_for_each_image():
    image = torch.randint(0, 256, (1, 3, 32, 16), dtype=torch.uint8).expand(32, -1, -1, -1)
    one = augmented(image, 0, erase=0.5, color_jitter=0.2)
    assert torch.equal(one, augmented(image, 0, erase=0.5, color_jitter=0.2))
    assert not torch.equal(one, augmented(image, 1, erase=0.5, color_jitter=0.2))
    assert (
        len({i.numpy().tobytes() for i in one}) > 25 and one.shape == image.shape and one.dtype == torch.uint8
    )


def test_without_augmentation_nothing_changes():
    images = torch.randint(0, 256, (4, 3, 32, 16), dtype=torch.uint8)
    assert torch.equal(augmented(images, 0, flip=False, shift_px=0), images)


def test_shift_and_flip_are_pad_crop_and_mirror():
    """Every result is one of the 2 × 5 × 5 images that the loops produce, and many of them occur."""
    image = torch.randint(1, 256, (3, 12, 8), dtype=torch.uint8)
    padded = torch.zeros(3, 16, 12, dtype=torch.uint8)
    padded[:, 2:14, 2:10] = image
    mirrored = padded.flip(2)
    possible = {
        p[:, y : y + 12, x : x + 8].numpy().tobytes()
        for p in (padded, mirrored)
        for y in range(5)
        for x in range(5)
    }
    got = augment(
        image.expand(400, -1, -1, -1), Augmentation(shift_px=2), torch.Generator().manual_seed(0), (0, 0, 0)
    )
    found = {i.contiguous().numpy().tobytes() for i in got}
    assert found <= possible and len(found) == len(possible) == 50


def test_erasing_paints_2_to_40_percent_of_its_share_of_images():
    images = torch.full((400, 3, 64, 32), 200, dtype=torch.uint8)
    erased = (augmented(images, 0, flip=False, shift_px=0, erase=0.5) != 200).any(1).float().mean((1, 2))
    assert 0.4 < (erased > 0).float().mean() < 0.6
    assert erased[erased > 0].min() > 0.005 and erased.max() < 0.45


def test_jitter_changes_brightness_both_ways_and_keeps_the_mean_about():
    images = torch.randint(60, 180, (200, 3, 16, 8), dtype=torch.uint8)
    change = augmented(images, 0, flip=False, shift_px=0, color_jitter=0.2).float().mean(
        (1, 2, 3)
    ) / images.float().mean((1, 2, 3))
    assert change.min() < 0.9 and change.max() > 1.1 and abs(change.mean() - 1) < 0.03
