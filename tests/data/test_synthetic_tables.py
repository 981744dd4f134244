"""The table world: deterministic, possible, hard but not hopeless."""

import collections
import itertools

import numpy as np
import pytest

from data.synthetic.tables import CAMERAS, PATHS, build_tables, table_site


@pytest.fixture(scope="module")
def tables():
    return build_tables(0)


def test_same_seed_same_tables(tables):
    again, other = build_tables(0), build_tables(1)
    assert tables.tracklets.equals(again.tracklets) and np.array_equal(tables.features, again.features)
    assert not np.array_equal(tables.features[:50], other.features[:50])


def test_shapes_types_and_order(tables):
    t = tables.tracklets
    assert list(t.columns) == ["tracklet_id", "camera_id", "t_start_us", "t_end_us", "n_boxes"]
    assert t.t_start_us.dtype == t.t_end_us.dtype == np.int64
    assert tables.features.dtype == np.float32 and tables.features.shape == (len(t), 64)
    assert len(tables.pids) == len(tables.is_test) == len(t)
    assert t.tracklet_id.is_unique and t.tracklet_id.is_monotonic_increasing
    assert (t.t_end_us > t.t_start_us).all() and (t.n_boxes > 0).all()
    assert np.allclose(np.linalg.norm(tables.features, axis=1), 1, atol=1e-5)


def test_people(tables):
    assert not set(tables.pids[tables.is_test]) & set(tables.pids[~tables.is_test])
    cameras = collections.defaultdict(set)
    for pid, camera in zip(
        tables.pids[tables.is_test], tables.tracklets.camera_id[tables.is_test], strict=True
    ):
        cameras[pid].add(camera)
    assert sum(len(c) > 1 for c in cameras.values()) >= 150
    assert sum(len(c) == 1 for c in cameras.values()) >= 20
    assert set(tables.tracklets.camera_id) == set(CAMERAS)


def test_everybody_walks_on_existing_paths_at_a_human_speed(tables):
    distance = {(CAMERAS[a], CAMERAS[b]): d for a, b, d in PATHS} | {
        (CAMERAS[b], CAMERAS[a]): d for a, b, d in PATHS
    }
    assert len(distance) < len(CAMERAS) * (len(CAMERAS) - 1) / 2  # most pairs have no path
    walks = collections.defaultdict(list)
    for pid, row in zip(tables.pids, tables.tracklets.itertuples(), strict=True):
        walks[pid].append(row)
    broken = 0
    for rows in walks.values():
        rows.sort(key=lambda r: r.t_start_us)
        for a, b in itertools.pairwise(rows):
            gap_s = (b.t_start_us - a.t_end_us) / 1e6
            if a.camera_id == b.camera_id:
                broken += 1
                assert 0 < gap_s < 2
            else:
                assert 0.2 < distance[a.camera_id, b.camera_id] / gap_s < 2.5
    assert broken > 50


def test_features_are_hard_but_not_hopeless(tables):
    test = tables.is_test
    x, pid, camera = tables.features[test], tables.pids[test], tables.tracklets.camera_id[test].to_numpy(str)
    similarity = x @ x.T
    similarity[camera[:, None] == camera] = -2
    answerable = [((pid == p) & (camera != c)).any() for p, c in zip(pid, camera, strict=True)]
    rank1 = np.mean((pid[similarity.argmax(1)] == pid)[answerable])
    assert 0.55 < rank1 < 0.8


def test_site():
    site = table_site()
    known = {c["id"] for c in site["cameras"]}
    assert len(known) == 10 and all(k["from"] in known and k["to"] in known for k in site["links"])
