"""Exported networks give PyTorch's features; the probability of "same person"; the gallery and its search."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.errors import UserError
from stages.association.evidence import Appearance
from stages.association.same_person import Calibration, reliability
from stages.network import backbone, deploy
from stages.search import gallery


@pytest.fixture(scope="module")
def network():
    return backbone.build("osnet_x0_25", None, seed=3, image_size=(64, 32))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random((5, 3, 64, 32), dtype=np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(("write", "file"), [(deploy.write_onnx, "m.onnx"), (deploy.write_openvino, "m.xml")])
def test_exported_file_gives_pytorchs_features_for_any_number_of_images(
    network, images, tmp_path, write, file
):
    write(network, tmp_path / file)
    assert deploy.least_cosine(network, tmp_path / file, images) > 0.999
    for n in (1, 3):
        found = deploy.run_exported(tmp_path / file, images[:n])
        assert found.shape == (n, network.dim)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("write", "file"), [(deploy.write_onnx, "m.onnx"), (deploy.write_openvino, "m.xml")])
def test_a_file_to_pass_on_tells_no_folder_of_this_machine(network, tmp_path, write, file):
    write(network, tmp_path / file)
    written = (tmp_path / file).read_bytes()
    for word in (
        str(Path(__file__).resolve().parents[2]),
        "stages/network",
        "site-packages",
        str(tmp_path),
        ".py",
    ):
        assert word.encode() not in written


@pytest.mark.slow
def test_onnx_is_one_file_that_another_runtime_runs(network, images, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    deploy.write_onnx(network, tmp_path / "m.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
    found = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(None, {deploy.INPUT: images})[0]
    with torch.inference_mode():
        wanted = network.eval()((torch.from_numpy(images) - torch.tensor(network.mean).view(1, 3, 1, 1))
                                / torch.tensor(network.std).view(1, 3, 1, 1))[0]  # fmt: skip
    wanted = torch.nn.functional.normalize(wanted, dim=1).numpy()
    assert (found * wanted).sum(1).min() > 0.9999


@pytest.mark.slow
def test_a_wrong_file_is_noticed(network, images, tmp_path):
    deploy.write_onnx(
        backbone.build("osnet_x0_25", None, seed=4, image_size=(64, 32)), tmp_path / "other.onnx"
    )
    assert deploy.least_cosine(network, tmp_path / "other.onnx", images) < 0.999


def test_probability_of_known_distributions():
    """Distances drawn from the very distributions: predicted and true shares agree."""
    rng = np.random.default_rng(0)
    appearance, n = Appearance(0.6, 1.1, 0.15), 400_000
    same = rng.random(n) < 0.05
    distance = np.where(
        same,
        rng.normal(appearance.same, appearance.deviation, n),
        rng.normal(appearance.different, appearance.deviation, n),
    )
    calibration = Calibration(appearance, 0.05)
    probability = calibration.probability(1 - distance**2 / 2)
    assert probability.max() == 0.9  # more is not promised
    for predicted, true, count in reliability(probability, same)[:-2]:
        assert abs(predicted - true) < 0.02 + 2 / np.sqrt(count)


def test_cosine_is_the_inverse_of_probability():
    calibration = Calibration(Appearance(0.6, 1.1, 0.15), 0.02)
    for p in (0.01, 0.5, 0.89):
        assert calibration.probability(calibration.cosine(p)) == pytest.approx(p)
    assert Calibration(Appearance(1.0, 1.0, 0.1), 0.02).cosine(0.5) is None
    assert (
        Calibration(Appearance(0.9, 1.0, 0.3), 1e-4).cosine(0.99) is None
    )  # not even equal pictures get there


def test_reliability_counts_every_pair_once():
    rows = reliability(np.array([0.0, 0.5, 1.0, 0.99]), np.array([False, True, True, False]))
    assert sum(n for *_, n in rows) == 4
    assert rows[-1] == (pytest.approx(0.995), 0.5, 2)


def test_a_picture_is_farther_from_its_person_than_a_tracklet_is():
    """Tracklet means with noise, and single pictures with more of it: both distributions are found."""
    from stages.association.evidence import Matches, picture_appearance

    rng = np.random.default_rng(0)
    unit = lambda x: (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)  # noqa: E731
    person = rng.normal(size=(60, 32))
    means = unit(np.concatenate([person + 0.3 * rng.normal(size=person.shape) for _ in range(2)]))
    camera = np.repeat(["a", "b"], 60)
    pairs = np.stack([np.arange(60), np.arange(60, 120)], 1)
    pictures = unit(np.repeat(means, 4, axis=0) * np.sqrt(32) + 0.8 * rng.normal(size=(480, 32)))
    owner = np.repeat(np.arange(120), 4)
    found = picture_appearance(pictures, means, owner, camera, Matches(pairs, 1.0, 1.0, np.ones(60)))
    other = (np.arange(120) + 60) % 120
    true_same = np.linalg.norm(pictures - means[other[owner]], axis=1).mean()
    assert found.same == pytest.approx(true_same, abs=0.02)
    assert found.same > np.linalg.norm(means[:60] - means[60:], axis=1).mean()
    assert found.different == pytest.approx(np.sqrt(2), abs=0.06)


def _table(n):
    return pd.DataFrame({"tracklet_id": [f"t{i}" for i in range(n)], "identity": [i // 2 for i in range(n)]})


def test_search_is_the_order_of_cosines_and_one_line_per_person(tmp_path):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20, 8)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    gallery.write(_table(20), x, tmp_path)
    cosine, row = gallery.search(tmp_path, x[7:8], 50)
    np.testing.assert_array_equal(row[0], np.argsort(-(x @ x[7]), kind="stable"))
    found = gallery.people(_table(20), cosine[0], row[0])
    assert found.identity.iloc[0] == 3 and found.identity.is_unique and (found.tracklets == 2).all()
    best = pd.Series(x @ x[7]).groupby(np.arange(20) // 2).max().sort_values(ascending=False)
    assert list(found.identity) == list(best.index)


def test_a_gallery_of_another_network_is_refused(tmp_path):
    gallery.write(_table(2), np.eye(2, 8, dtype=np.float32), tmp_path)
    with pytest.raises(UserError, match="features of 8 values, the network gives 4"):
        gallery.search(tmp_path, np.zeros((1, 4), np.float32), 1)
    with pytest.raises(UserError, match="make export"):
        gallery.search(tmp_path / "none", np.zeros((1, 8), np.float32), 1)
