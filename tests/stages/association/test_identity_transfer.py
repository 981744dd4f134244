"""People an old run knows keep their numbers: a one-to-one assignment over calibrated log-odds."""

import json
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from pipeline import schema
from pipeline.errors import UserError
from pipeline.manifests import GALLERY
from stages.association.identity_transfer import assigned, person_means, transfer_identities
from stages.search import gallery


def unit(x):
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def old_run(folder, numbers, features, appearance=(0.4, 1.4, 0.2)):
    table = GALLERY.empty().reindex(range(len(numbers)))
    table = table.assign(row=np.arange(len(numbers)), tracklet_id=[f"t{i}" for i in range(len(numbers))], identity=numbers,
                         confidence=1.0, camera_id="a", t_start_us=0, t_end_us=1, shard="", offset=0, size=0)  # fmt: skip
    table = table.astype(GALLERY.empty().dtypes.to_dict())
    schema.write(GALLERY, table, folder / GALLERY.file)
    gallery.write(table, features, folder)
    same = {
        "tracklets": {
            "appearance": dict(zip(("same", "different", "deviation"), appearance, strict=True)),
            "same_fraction": 0.01,
        }
    }
    (folder / "model_card.json").write_text(json.dumps({"same_person": same}))


def new_run(people, features):
    tracklets = pd.DataFrame({"tracklet_id": [f"n{i}" for i in range(len(people))]})
    # In another order than the tracklets, as `identify` writes them.
    identities = tracklets.assign(identity=np.array(people, np.int32), confidence=1.0)[::-1].reset_index(
        drop=True
    )
    return identities, tracklets, features


def test_the_known_keep_their_numbers_and_the_others_follow(tmp_path):
    rng = np.random.default_rng(0)
    person = unit(rng.normal(size=(5, 64)))
    near = lambda rows: unit(person[rows] + 0.03 * rng.normal(size=(len(rows), 64)))  # noqa: E731
    old_run(tmp_path, [7, 7, 3, 12], near([0, 0, 1, 2]))
    identities, again = transfer_identities(*new_run([1, 1, 2, 3], near([2, 2, 3, 0])), tmp_path, 0.5)
    of = identities.set_index("tracklet_id").identity
    assert again == 2
    assert list(of[["n0", "n1", "n3"]]) == [12, 12, 7]
    assert of["n2"] == 13 and identities.identity.dtype == np.int32


def test_two_people_never_get_one_number(tmp_path):
    rng = np.random.default_rng(1)
    person = unit(rng.normal(size=(1, 64)))
    old_run(tmp_path, [5], person)
    twins = unit(np.repeat(person, 2, axis=0) + 0.02 * rng.normal(size=(2, 64)))
    identities, again = transfer_identities(*new_run([1, 2], twins), tmp_path, 0.5)
    assert again == 1 and sorted(identities.identity) == [5, 6]


def test_assignment_is_the_best_of_all(tmp_path):
    rng = np.random.default_rng(2)
    new, old = unit(rng.normal(size=(3, 4))), unit(rng.normal(size=(4, 4)))
    slope, middle, probability = 8.0, 1.3, 0.3
    distance = np.linalg.norm(new[:, None] - old[None], axis=2)
    gain = np.maximum(slope * (middle - distance) - np.log(4) - np.log(probability / (1 - probability)), 0)
    best = max(sum(gain[i, c] for i, c in enumerate(order)) for order in permutations(range(4), 3))
    pairs = assigned(new, old, slope, middle, probability)
    assert sum(gain[i, j] for i, j in pairs) == pytest.approx(best)
    assert all(gain[i, j] > 0 for i, j in pairs)


def test_nothing_known_nothing_joined(tmp_path):
    empty = np.zeros((0, 8), np.float32)
    assert assigned(empty, unit(np.eye(8)), 5, 1, 0.5) == [] == assigned(unit(np.eye(8)), empty, 5, 1, 0.5)
    old_run(tmp_path, [1], unit(np.ones((1, 8))))
    with pytest.raises(UserError, match="features of 8 values, the network gives 4"):
        transfer_identities(*new_run([1], unit(np.ones((1, 4)))), tmp_path, 0.5)
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match=r"gallery\.faiss"):
        transfer_identities(*new_run([1], unit(np.ones((1, 8)))), tmp_path / "none", 0.5)


def test_person_means():
    number, means = person_means(np.array([4, 2, 4]), np.array([[1.0, 0], [0, 2], [0, 1]]))
    np.testing.assert_array_equal(number, [2, 4])
    np.testing.assert_allclose(means, [[0, 1], [np.sqrt(0.5), np.sqrt(0.5)]], atol=1e-6)
