import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.datasets.mot import read_mot
from pipeline import schema
from pipeline.manifests import BOXES, IDENTITIES, TRACKLETS, VIDEOS
from stages.association.evidence import (
    Appearance,
    appearance_matches,
    background,
    camera_centres,
    centred,
    pair_evidence,
    z_score,
)
from stages.association.grouping import confidences, identify, score_pairs
from stages.association.pairing import first_member_labels
from stages.association.time_prior import TimePrior
from stages.identify import IdentifyConfig, write_files
from stages.validation import label_free
from tests.tables import whole_files


def unit(x):
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def walkway(seed, people=14, cameras=3, noise=0.35, every_s=25.0, walk_s=60.0, dim=32):
    """People who walk past cameras in a row; looks are a person's own plus a camera's tint plus noise.

    Returns a table in random order (pid, camera_id, times, features), and the log-prior and what is possible.
    """
    rng = np.random.default_rng(seed)
    look, tint = rng.normal(size=(people, dim)), 1.5 * rng.normal(size=(cameras, dim))
    rows = []
    for pid in range(people):
        enter = every_s * pid + rng.uniform(-10, 10)
        for camera in range(cameras):
            rows.append((pid, camera, enter, enter + 8.0))
            enter += 8.0 + walk_s * rng.normal(1, 0.1)
    table = pd.DataFrame(rows, columns=["pid", "camera", "start", "end"]).sample(frac=1, random_state=seed)
    table = table.reset_index(drop=True)
    n = len(table)
    mean = look[table.pid] + tint[table.camera]
    first, last = (unit(mean + noise * rng.normal(size=(n, dim))) for _ in range(2))
    camera = table.camera.to_numpy()
    start, end = table.start.to_numpy(), table.end.to_numpy()
    gap = np.maximum(start[None] - end[:, None], start[:, None] - end[None])
    mean_s = walk_s * np.abs(camera[:, None] - camera[None])
    log_prior = -0.5 * ((gap - mean_s) / np.maximum(0.7 * mean_s, 5)) ** 2
    possible = ~((camera[:, None] == camera[None]) & (gap <= 0))
    tracklets = pd.DataFrame(
        {
            "tracklet_id": [f"c{c}_{i:03d}" for i, c in enumerate(camera)],
            "parent_id": [f"c{c}_{i:03d}" for i, c in enumerate(camera)],
            "camera_id": [f"c{c}" for c in camera],
            "t_start_us": (1e9 + 1e6 * start).astype(np.int64),
            "t_end_us": (1e9 + 1e6 * end).astype(np.int64),
            "n_boxes": np.int32(8),
            "mean_score": np.float32(0.9),
        }
    )
    return table, tracklets, unit(first + last), (first, last, np.arange(n)), log_prior, possible


def prior_of(log_prior, possible):
    """What the clocks and the file say, the file ruling nothing out on its own."""
    return TimePrior(log_prior, possible, np.zeros(possible.shape, bool), np.ones(possible.shape, bool))


def pair_f1(labels, pid):
    same = labels[:, None] == labels[None]
    true = pid[:, None] == pid[None]
    np.fill_diagonal(same, False)
    np.fill_diagonal(true, False)
    return 2 * (same & true).sum() / (same.sum() + true.sum())


def identities_of(world, config=None):
    _, tracklets, features, halves, log_prior, possible = world
    evidence = score_pairs(
        features, halves, tracklets, prior_of(log_prior, possible), config or IdentifyConfig()
    )
    found = identify(tracklets, evidence.log_odds)
    return found.set_index("tracklet_id").loc[tracklets.tracklet_id]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_people_who_walk_from_camera_to_camera_are_found(seed):
    world = walkway(seed)
    found = identities_of(world)
    assert pair_f1(found.identity.to_numpy(), world[0].pid.to_numpy()) > 0.9


def test_time_helps_where_people_look_alike():
    world = walkway(0, noise=2.0)
    pid = world[0].pid.to_numpy()
    timeless = (*world[:4], np.zeros_like(world[4]), world[5])
    with_time, without = (pair_f1(identities_of(w).identity.to_numpy(), pid) for w in (world, timeless))
    assert with_time > without + 0.1


def test_centring_helps_where_cameras_tint():
    world = walkway(1, noise=0.6)
    pid = world[0].pid.to_numpy()
    plain = identities_of(world, IdentifyConfig(centre_cameras=False)).identity.to_numpy()
    assert pair_f1(identities_of(world).identity.to_numpy(), pid) > pair_f1(plain, pid)


def test_fragments_of_one_camera_are_joined_and_successors_are_not():
    table, tracklets, features, halves, log_prior, possible = walkway(3, noise=0.2)
    # Cut the first tracklet in two: the same looks, and a second between the pieces.
    first = tracklets.iloc[[0]].assign(tracklet_id="c9_piece", t_start_us=tracklets.t_start_us[0] + 5_000_000)
    tracklets.loc[0, "t_end_us"] = tracklets.t_start_us[0] + 4_000_000
    tracklets = pd.concat([tracklets, first], ignore_index=True)
    copy = np.append(np.arange(len(table)), 0)
    possible = possible[np.ix_(copy, copy)]
    possible[0, -1] = possible[-1, 0] = True
    world = (None, tracklets, features[copy], (halves[0][copy], halves[1][copy], np.arange(len(copy))),
             log_prior[np.ix_(copy, copy)], possible)  # fmt: skip
    found = identities_of(world).identity.to_numpy()
    assert found[0] == found[-1]
    assert pair_f1(found, table.pid.to_numpy()[copy]) > 0.9


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_renumbering_changes_nothing_and_the_impossible_is_never_joined(seed):
    rng = np.random.default_rng(seed)
    _, tracklets, features, halves, log_prior, possible = walkway(seed % 1000, people=5, noise=1.0)
    n = len(tracklets)
    barred = np.triu(rng.random((n, n)) < 0.2, 1)
    possible = possible & ~(barred | barred.T)
    evidence = score_pairs(features, halves, tracklets, prior_of(log_prior, possible), IdentifyConfig())
    found = identify(tracklets, evidence.log_odds)
    label = found.set_index("tracklet_id").identity.loc[tracklets.tracklet_id].to_numpy()
    same = (label[:, None] == label[None]) & ~np.eye(n, dtype=bool)
    assert possible[same].all()
    new = rng.permutation(n)
    again = score_pairs(
        features[new], (halves[0][new], halves[1][new], np.arange(n)), tracklets.iloc[new].reset_index(drop=True),
        prior_of(log_prior[np.ix_(new, new)], possible[np.ix_(new, new)]), IdentifyConfig(),
    )  # fmt: skip
    other = identify(tracklets.iloc[new].reset_index(drop=True), again.log_odds)
    pd.testing.assert_frame_equal(found, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_few_tracklets(n, tmp_path):
    _, tracklets, features, halves, log_prior, possible = walkway(0)
    halves = (halves[0][:n], halves[1][:n], np.arange(n))
    few = tracklets.iloc[:n].reset_index(drop=True)
    evidence = score_pairs(
        features[:n], halves, few, prior_of(log_prior[:n, :n], possible[:n, :n]), IdentifyConfig()
    )
    found = identify(few, evidence.log_odds)
    assert len(found) == n and found.confidence.between(0, 1).all()
    schema.write(IDENTITIES, found, tmp_path / "identities.parquet")


def test_one_camera_only_gives_everybody_an_identity_of_their_own():
    table, tracklets, features, halves, log_prior, possible = walkway(0, people=20, cameras=1, every_s=60)
    found = identities_of((table, tracklets, features, halves, log_prior, possible))
    assert found.identity.nunique() == len(tracklets)


def test_one_person_in_two_cameras_is_one_and_a_companion_is_not():
    # lab-two-views in small: the man of the first view is one of the two people of the second.
    rng = np.random.default_rng(0)
    man, other = unit(np.abs(rng.normal(size=(2, 64))))
    appearance = unit(np.stack([man, man, other]) + 0.03 * rng.normal(size=(3, 64)))
    halves = (unit(appearance + 0.01 * rng.normal(size=appearance.shape)), appearance, np.arange(3))
    tracklets = pd.DataFrame(
        {
            "tracklet_id": list("abc"),
            "camera_id": ["one", "two", "two"],
            "t_start_us": 0,
            "t_end_us": 9_000_000,
        }
    )
    possible = np.ones((3, 3), bool)
    possible[1, 2] = possible[2, 1] = False
    evidence = score_pairs(
        appearance, halves, tracklets, prior_of(np.zeros((3, 3)), possible), IdentifyConfig()
    )
    assert identify(tracklets, evidence.log_odds).identity.tolist() == [1, 1, 2]


def test_a_tracklet_without_crops_is_linked_to_nobody():
    table, tracklets, features, halves, log_prior, possible = walkway(0)
    features = features.copy()
    features[:2] = 0
    found = identities_of((table, tracklets, features, halves, log_prior, possible))
    assert (found.identity.value_counts()[found.identity.iloc[:2]] == 1).all()


def test_identities_are_numbered_from_one_by_first_appearance():
    _, tracklets, *_ = world = walkway(0)
    found = identities_of(world)
    start = tracklets.t_start_us.to_numpy()
    first = pd.Series(start).groupby(found.identity.to_numpy()).min()
    assert first.index.tolist() == list(range(1, len(first) + 1)) and first.is_monotonic_increasing


def test_confidence_is_high_inside_and_low_between():
    log_odds = np.full((4, 4), -8.0)
    log_odds[0, 1] = log_odds[1, 0] = 6.0
    log_odds[2, 0] = log_odds[0, 2] = log_odds[2, 1] = log_odds[1, 2] = -0.1
    found = confidences(log_odds, np.array([0, 0, 1, 2]))
    assert found[0] == pytest.approx(1 / (1 + np.exp(-6.0)))
    assert found[2] == pytest.approx(1 / (1 + np.exp(-0.1)))
    assert found[3] > 0.99
    assert confidences(np.full((1, 1), -np.inf), np.array([0])).tolist() == [1.0]
    # An impossible rival is no rival.
    log_odds[2, 0] = log_odds[0, 2] = -np.inf
    assert confidences(log_odds, np.array([0, 0, 1, 2]))[2] > 0.99


def test_surprise_of_a_gaussian_is_its_deviations():
    z = np.array([0.0, 0.5, 2.0])
    assert np.allclose(z_score(-0.5 * z**2), z)
    assert z_score(np.array([0.3]))[0] == 0


def test_appearance_log_odds_equal_two_normal_densities():
    from scipy.stats import norm

    appearance = Appearance(0.6, 0.9, 0.1)
    d = np.array([0.5, 0.75, 1.0])
    assert np.allclose(appearance.log_odds(d), norm.logpdf(d, 0.6, 0.1) - norm.logpdf(d, 0.9, 0.1))


def test_background_is_a_distribution_over_the_pairs_of_two_cameras():
    rng = np.random.default_rng(0)
    s = rng.exponential(2, (60, 60))
    camera = np.repeat(["a", "b"], 30)
    chance = background(s, camera)
    # Where 900 pairs were seen the assumption hardly counts: chance is the share of pairs in the same bin.
    block, seen = chance[:30, 30:], s[:30, 30:]
    naive = np.array(
        [[np.mean(np.minimum(seen // 0.1, 30) == min(v // 0.1, 30)) for v in row] for row in seen]
    )
    assert np.abs(block - naive).max() < 0.02


def test_precision_of_matches_is_estimated_without_labels():
    for noise, low, high in ((0.3, 0.8, 1.0), (30.0, 0.0, 0.45)):
        table, _, features, _, log_prior, possible = walkway(5, people=60, noise=noise, every_s=12)
        camera = table.camera.to_numpy()
        features = centred(features, camera_centres(features, camera))
        found = label_free.time_fitting_matches(features, camera, log_prior, possible)
        pid = table.pid.to_numpy()
        true = (pid[found.pairs[:, 0]] == pid[found.pairs[:, 1]]).mean()
        assert low <= found.precision <= high and abs(found.precision - true) < 0.35


def test_better_networks_have_better_signals():
    rows = []
    for noise in (0.3, 1.5, 30.0):
        table, _, features, _, log_prior, possible = walkway(5, people=60, noise=noise, every_s=12)
        arguments = (features, table.camera.to_numpy(), log_prior, possible)
        rows.append((label_free.true_matches_per_tracklet(*arguments), label_free.prior_lift(*arguments)))
    for good, middling, bad in zip(*rows, strict=True):
        assert good > middling > bad
    assert abs(rows[2][1]) < 4  # blind matches stand nowhere above shuffled times


def test_signals_are_nan_where_there_is_nothing_to_match():
    table, _, features, _, log_prior, possible = walkway(0, cameras=1)
    arguments = (features, table.camera.to_numpy(), log_prior, possible)
    assert np.isnan(label_free.true_matches_per_tracklet(*arguments)) and np.isnan(
        label_free.prior_lift(*arguments)
    )
    assert np.isnan(label_free.split_rank1_hard(np.ones((3, 4)), np.zeros(3, int), np.arange(3)))
    none = appearance_matches(np.zeros((0, 0)), np.zeros((0, 0)), np.zeros((0, 0)), np.zeros(0))
    assert len(none.pairs) == 0


def test_split_rank1_of_single_crops():
    rng = np.random.default_rng(0)
    who, t = np.repeat(np.arange(6), 12), np.tile(np.arange(12), 6)
    features = unit(np.eye(8)[who] + 0.05 * rng.normal(size=(72, 8)))
    assert label_free.split_rank1_hard(features, who, t) == 1.0
    # Everybody looks like the next one in the second half of their tracklet.
    changed = unit(np.eye(8)[(who + (t >= 6)) % 6] + 0.05 * rng.normal(size=(72, 8)))
    assert label_free.split_rank1_hard(changed, who, t) == 0.0
    assert label_free.split_rank1_hard(np.ones((72, 8)), who, t) == 0.0  # a collapsed network
    order = rng.permutation(72)
    assert label_free.split_rank1_hard(changed[order], who[order], t[order]) == 0.0


def test_select_rounds():
    select = label_free.select_rounds
    nan = float("nan")
    assert select([-1, 0, 1, 2, 3], [0.1, 0.3, 0.5, 0.45, 0.2], 0.8) == [
        2,
        3,
    ]  # what was lost again is left out
    assert select([-1, 0, 1, 2, 3], [0.1, 0.3, 0.5, 0.45, 0.2], 2.0) == [2]  # the best alone
    assert select([-1, 0, 1], [0.1, 0.5, 0.4]) == [1]
    assert select([-1, 0, 1], [0.6, 0.5, 0.6]) == [0]  # the earliest of equals
    assert select([-1, 0, 1, 2], [nan, 0.2, nan, nan]) == [1]
    assert select([-1, 0, 1], [nan] * 3) == [2]
    with pytest.raises(ValueError):
        select([], [])


def test_the_mean_of_networks(tmp_path):
    from stages.network import backbone
    from stages.training.averaging import mean_network

    paths = []
    for seed in (1, 2):
        paths.append(tmp_path / f"{seed}.pt")
        backbone.save(backbone.build("osnet_x0_25", None, seed=seed, image_size=(32, 16)), paths[-1])
    a, b, mean = backbone.load(paths[0]), backbone.load(paths[1]), mean_network(paths)
    for (name, x), y, z in zip(
        a.state_dict().items(), b.state_dict().values(), mean.state_dict().values(), strict=True
    ):
        assert torch.allclose(z.double(), (x.double() + y.double()) / 2, atol=1e-6) or "num_batches" in name
    same = mean_network([paths[0], paths[0]]).state_dict()
    assert all(torch.equal(same[k], v) for k, v in a.state_dict().items())
    backbone.save(backbone.build("osnet_x0_5", None, seed=1, image_size=(32, 16)), paths[1])
    with pytest.raises(ValueError, match="osnet_x0_25, osnet_x0_5"):
        mean_network(paths)


def test_evidence_needs_no_prior_to_be_finite():
    rng = np.random.default_rng(0)
    x = unit(rng.normal(size=(6, 8)))
    none = np.zeros((0, 8))
    found = pair_evidence(
        x, (none, none), np.repeat(["a", "b"], 3), np.arange(6.0) * 60, np.arange(6.0) * 60 + 5,
        prior_of(np.zeros((6, 6)), np.ones((6, 6), bool)),
    )  # fmt: skip
    across = found.log_odds[:3, 3:]
    assert np.isfinite(across).all() and (found.log_odds == found.log_odds.T).all()
    # A flat prior says next to nothing, in either direction.
    d = np.linalg.norm(x[:3, None] - x[None, 3:], axis=2)
    assert np.abs(across - found.across.log_odds(d)).max() < 1.5


def videos_of(*files: tuple[str, str, str]) -> pd.DataFrame:
    """VIDEOS from video, camera and status."""
    table = pd.DataFrame(files, columns=["video_id", "camera_id", "status"]).assign(
        path="/x.mp4", digest="", t_start_us=0, t_end_us=10**9, frames=9000, width=640, height=360, fps=10.0,
        time_source="topology", clock_scale=1.0, time_std_s=0.0, note="",
    )  # fmt: skip
    return whole_files(table)


def test_files_for_users(tmp_path):
    videos = videos_of(("gate_1", "gate", "ok"), ("gate_2", "gate", "ok"), ("gate_3", "gate", "unreadable"))
    empty = BOXES.empty()
    boxes = pd.DataFrame(
        [("t1", "gate_1", f, f * 100_000, 1.0, 2.0, 11.0, 32.0, 0.9, 1.0, 1.0) for f in (8, 9)]
        + [("t1", "gate_2", 0, 1_000_000, 1.0, 2.0, 11.0, 32.0, 0.9, 1.0, 1.0)]
        + [("t2", "gate_1", 3, 300_000, 5.0, 2.0, 11.0, 32.0, 0.9, 1.0, 1.0)],
        columns=list(empty.columns),
    ).astype(empty.dtypes.to_dict())
    empty = TRACKLETS.empty()
    tracklets = pd.DataFrame(
        [("t1", "t1", "gate", 800_000, 1_000_000, 3, 0.9), ("t2", "t2", "gate", 300_000, 300_000, 1, 0.9)],
        columns=list(empty.columns),
    ).astype(empty.dtypes.to_dict())
    identities = pd.DataFrame({"tracklet_id": ["t1", "t2"], "identity": [2, 1], "confidence": [0.75, 1.0]})
    write_files(tmp_path, identities, tracklets, boxes, videos)
    assert sorted(p.name for p in (tmp_path / "mot").iterdir()) == ["gate_1.txt", "gate_2.txt"]
    first = read_mot(tmp_path / "mot" / "gate_1.txt")
    assert first[["frame", "id"]].to_numpy().tolist() == [[3, 1], [8, 2], [9, 2]]
    table = pd.read_csv(tmp_path / "identities.csv")
    assert list(table.columns) == ["identity", "tracklet", "camera", "video", "start", "end", "confidence"]
    assert table.iloc[1].tolist() == [
        2, "t1", "gate", "gate_1", "1970-01-01T00:00:00.800000Z", "1970-01-01T00:00:00.900000Z", 0.75,
    ]  # fmt: skip
    write_files(tmp_path, identities.iloc[:0], tracklets.iloc[:0], boxes.iloc[:0], videos)
    assert (tmp_path / "mot" / "gate_1.txt").read_text() == ""


def test_labels_by_first_member():
    assert first_member_labels(np.array([7, 3, 7, 1])).tolist() == [0, 1, 0, 2]


def coloured_run(tmp_path, cameras, people=6):
    """A run's folder with crops of people in plain clothes, one tracklet per person and camera, and two models."""
    import tarfile

    import cv2

    from data.crops import _add
    from pipeline.manifests import CROPS, MODEL
    from pipeline.stage import Context
    from stages import identify as stage
    from stages.network import backbone

    rng = np.random.default_rng(0)
    colours = rng.integers(30, 226, (people, 2, 3))
    tables = {m.name: [] for m in (TRACKLETS, BOXES, CROPS)}
    for c in range(cameras):
        video = f"cam{c}_v"
        shard = f"crops/cam{c}.tar"
        (tmp_path / "crops").mkdir(exist_ok=True)
        with tarfile.open(tmp_path / shard, "w") as tar:
            for p in range(people):
                start = 1_000_000 * (40 * p + 24 * c)
                name = f"cam{c}_{p}"
                tables["tracklets"].append((name, name, f"cam{c}", start, start + 1_800_000, 10, 0.9))
                for k in range(10):
                    image = np.full((64, 32, 3), 90 + 10 * c, np.uint8)
                    image[8:34, 6:26], image[34:60, 8:24] = colours[p]
                    image = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
                    offset, size = _add(tar, f"{name}__{k}.jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), 92)
                    at = (name, video, start // 100_000 + 2 * k, start + 200_000 * k)
                    tables["boxes"].append((*at, 1.0, 1.0, 33.0, 65.0, 0.9, 1.0, 1.0))
                    tables["crops"].append((*at, shard, offset, size, 32, 64, False, 0.5))
    inputs = {}
    videos = videos_of(*((f"cam{c}_v", f"cam{c}", "ok") for c in range(cameras)))
    schema.write(VIDEOS, videos, tmp_path / VIDEOS.file)
    inputs[VIDEOS.name] = [tmp_path / VIDEOS.file]
    for manifest in (TRACKLETS, BOXES, CROPS):
        empty = manifest.empty()
        frame = pd.DataFrame(tables[manifest.name], columns=list(empty.columns)).astype(
            empty.dtypes.to_dict()
        )
        schema.write(manifest, frame, tmp_path / manifest.file)
        inputs[manifest.name] = [tmp_path / manifest.file]
    inputs["model"] = []
    for round_ in (0, 1):
        folder = tmp_path / "train" / f"round-{round_}"
        folder.mkdir(parents=True)
        network = backbone.build("osnet_x0_25", None, round_ + 1)
        backbone.save(network, folder / "model.pt")
        row = {"weights": "model.pt", "digest": "", "backbone": "osnet_x0_25", "dim": network.dim, "steps": 1}
        schema.write(
            MODEL, pd.DataFrame([row]).astype(MODEL.empty().dtypes.to_dict()), folder / "model.parquet"
        )
        inputs["model"].append(folder / "model.parquet")
    site = tmp_path / "site.yaml"
    site.write_text(
        "version: 1\ncameras:\n" + "".join(f"  - {{id: cam{c}}}\n" for c in range(cameras))
        + ("links:\n  - {from: cam0, to: cam1, distance_m: 30}\n" if cameras > 1 else "")
    )  # fmt: skip
    from camera_topology.site import load

    (tmp_path / "out").mkdir()
    return Context(
        settings=IdentifyConfig(), run_dir=tmp_path, out=tmp_path / "out", seed=0, device="cpu",
        sources={
            "site": load(site), "cut": (10**15, 10**15), "weights": "random", "backbone": "osnet_x0_25",
            "image_size": (256, 128), "gallery": None, "annotations": [], "seed": 0, "device": "cpu",
        },
        inputs=inputs, outputs={m.name: m for m in stage.STAGE.outputs},
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("cameras", [1, 2])
def test_the_stage_runs_on_a_run_folder(tmp_path, cameras):
    from pipeline.manifests import SELECTION
    from stages import identify as stage

    context = coloured_run(tmp_path, cameras)
    stage.run(context)
    found = schema.read(IDENTITIES, tmp_path / "out" / "identities.parquet")
    selection = schema.read(SELECTION, tmp_path / "out" / "selection.parquet")
    assert selection["round"].tolist() == [-1, 0, 1] and selection.chosen.sum() == 1
    assert len(found) == 6 * cameras
    of = found.set_index("tracklet_id").identity
    assert all(of[f"cam0_{p}"] != of[f"cam0_{q}"] for p in range(6) for q in range(p))
    if cameras == 2:  # different clothes and exact walking times: even an untrained network finds most
        assert sum(of[f"cam0_{p}"] == of[f"cam1_{p}"] for p in range(6)) >= 4
    assert {p.name for p in (tmp_path / "out" / "mot").iterdir()} == {f"cam{c}_v.txt" for c in range(cameras)}


def test_a_clock_that_was_assumed_says_nothing_by_the_file(tmp_path, monkeypatch):
    from camera_topology.site import load
    from stages.association.time_prior import dense_prior

    file = tmp_path / "site.yaml"
    file.write_text("cameras: [{id: c0}, {id: c1}, {id: c2}]\nlinks: [{from: c0, to: c1, distance_m: 75}]\n")
    table, tracklets, features, halves, _, _ = walkway(0)
    trusted = dense_prior(load(file), tracklets, {"c0": 0.5, "c1": 0.5})
    assumed = dense_prior(load(file), tracklets, {"c0": 1e6, "c1": 0.5})
    camera = table.camera.to_numpy()
    pair = np.ix_(camera == 0, camera == 1)
    assert np.ptp(trusted.log_prior[pair]) > 1
    # What is learned from looks needs no file, and is another matter: test_learned_times.
    monkeypatch.setattr("stages.association.evidence.learned_times", lambda *_: None)
    for prior in (trusted, assumed):
        evidence = score_pairs(features, halves, tracklets, prior, IdentifyConfig(centre_cameras=False))
        d = np.linalg.norm(features[:, None] - features[None], axis=2)
        time = evidence.log_odds - evidence.across.log_odds(d)
        says = np.ptp(time[pair][np.isfinite(time[pair])]) > 1
        assert says == (prior is trusted)
        unlisted = time[np.ix_(camera == 0, camera == 2)]
        assert np.allclose(unlisted[np.isfinite(unlisted)], 0, atol=1e-3)
    together = (camera[:, None] == camera[None]) & ~trusted.possible
    assert together[np.eye(len(camera), dtype=bool)].all() and trusted.possible[pair].any()
