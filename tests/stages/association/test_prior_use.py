"""The ways of using the prior: each formula a second time, its limits, and what they are for in each method."""

import math
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from camera_topology.prior import pair_prior
from camera_topology.site import Site
from camera_topology.site_schema import SiteFile
from pipeline import config
from pipeline.manifests import ASSOCIATIONS, PSEUDO_LABELS
from pipeline.schema import validate
from pipeline.stage import what_settings
from stages.association import prior_use
from stages.association.link_tables import label_of_tracklets
from stages.methods import Footage, dal, load, pul, race, reliable_soft, tastr, tmc

NETWORK = {
    "version": 1,
    "site": {"walking_speed_m_per_s": {"mean": 1.25, "max": 2.0}},
    "cameras": [{"id": c, "clock": {"offset_s": 0, "offset_std_s": 0}} for c in "abc"],
    "links": [
        {"from": "a", "to": "b", "distance_m": 25},
        {"from": "b", "to": "c", "distance_m": 40},
        {"from": "a", "to": "c", "distance_m": 65},
    ],
}
SITE = Site(SiteFile.model_validate(NETWORK))
ANYWHERE = Site(SiteFile.model_validate({**NETWORK, "links": [], "defaults": {"unlisted_pairs": "allow"}}))


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def footage(times, site=SITE, people=2, crops=3):
    """times: (camera, start s, end s) per tracklet, in the order of their ids."""
    rows = [(f"t{i:02d}", c, int(s * 1e6), int(e * 1e6)) for i, (c, s, e) in enumerate(times)]
    tracklets = pd.DataFrame(rows, columns=["tracklet_id", "camera_id", "t_start_us", "t_end_us"])
    cut = pd.DataFrame({"tracklet_id": np.repeat(tracklets.tracklet_id.to_numpy(), crops)})
    cut["t_utc_us"] = np.repeat(tracklets.t_start_us.to_numpy(), crops) + np.tile(np.arange(crops), len(rows))
    return Footage(tracklets, cut, site, {}, lambda: people)


def possible(made, i, j):
    """Whether two tracklets may be one person: written for one pair, from the site file's numbers."""
    t = made.tracklets
    apart_s = max(t.t_start_us[j] - t.t_end_us[i], t.t_start_us[i] - t.t_end_us[j]) / 1e6
    if t.camera_id[i] == t.camera_id[j]:
        return apart_s > 0
    metres = {"ab": 25, "bc": 40, "ac": 65}["".join(sorted(t.camera_id[i] + t.camera_id[j]))]
    return made.site is not SITE or apart_s >= metres / 2.0


def random_world(seed, n=14, people=4, site=SITE, noise=0.4, apart=False):
    """Tracklets of a few people at random times; apart: none of one camera at once."""
    rng = np.random.default_rng(seed)
    who = rng.integers(0, people, n)
    start = np.arange(n) * 30 if apart else rng.integers(0, 150, n)
    times = [(str(rng.choice(list("abc"))), s, s + float(rng.integers(2, 25))) for s in start]
    x = unit(unit(rng.normal(size=(people, 12)))[who] + noise * unit(rng.normal(size=(n, 12))))
    made = footage(times, site, people)
    return made, np.repeat(x, 3, axis=0).astype(np.float32)


# The formulas.


def naive_ratios(log_prior, allowed, camera, way):
    n = len(camera)
    found, known = np.zeros((n, n)), []
    for i, j in combinations(range(n), 2):
        r = 1.0 if way == "cannot_links" else max(1e-4, math.exp(log_prior[i, j]))
        if camera[i] != camera[j] and allowed[i, j]:
            known.append(r)
            found[i, j] = found[j, i] = r
    for i, j in combinations(range(n), 2):
        if camera[i] == camera[j] and allowed[i, j]:
            found[i, j] = found[j, i] = sum(known) / len(known) if known else 1
    for i in range(n):
        found[i, i] = 1
    return found


@given(st.integers(0, 10**6), st.integers(0, 9), st.sampled_from(["cannot_links", "joint", "jaccard"]))
@settings(max_examples=60, deadline=None)
def test_ratios_a_second_time(seed, n, way):
    rng = np.random.default_rng(seed)
    camera = rng.choice(list("abc"), n)
    log_prior = -rng.exponential(4, (n, n))
    log_prior = np.maximum(log_prior, log_prior.T)
    allowed = np.triu(rng.random((n, n)) < 0.7, 1)
    allowed |= allowed.T
    found = prior_use.ratios(log_prior, allowed, camera, way)
    np.testing.assert_allclose(found, naive_ratios(log_prior, allowed, camera, way), rtol=1e-12)
    assert (found == found.T).all() and ((found == 0) | (found >= 1e-4)).all() and (found <= 1).all()


def test_ratios_are_those_of_the_site_file():
    made = footage([("a", 0, 4), ("b", 24, 28), ("b", 8, 10), ("a", 2, 9), ("c", 120, 121)])
    found = prior_use.time_ratios(made, "joint")
    assert prior_use.time_ratios(made, "off") is None
    assert found[0, 1] == 1.0  # 25 m in 20 s
    assert found[0, 2] == 0.0  # in 4 s
    assert found[0, 3] == 0.0  # seen at once
    t = made.tracklets
    alone = pair_prior(
        SITE, ["b"], t.t_start_us[1:2], t.t_end_us[1:2], ["c"], t.t_start_us[4:], t.t_end_us[4:]
    )
    assert found[1, 4] == pytest.approx(math.exp(-((92 - 32) ** 2) / (2 * (0.7 * 32) ** 2)))
    assert found[1, 4] == pytest.approx(math.exp(alone.log_prior[0]))


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_both_distances_a_second_time_and_at_their_limits(seed):
    rng = np.random.default_rng(seed)
    d = rng.uniform(0, 1, (4, 5)).astype(rng.choice([np.float32, np.float64]))
    r = np.where(rng.random((4, 5)) < 0.3, 0, rng.uniform(1e-4, 1, (4, 5)))
    joint, weighted = prior_use.joint_distances(d, r), prior_use.weighted_distances(d, r)
    for i in range(4):
        for j in range(5):
            assert joint[i, j] == (float(d[i, j]) / r[i, j] if r[i, j] else math.inf)
            assert weighted[i, j] == pytest.approx(1 - (1 - float(d[i, j])) * r[i, j])
    assert (weighted >= d - 1e-12).all() and (weighted <= 1 + 1e-12).all() and (joint >= d).all()
    # R = 1 changes no digit; R at its floor for all but one candidate picks that one.
    one = np.ones(d.shape)
    assert (prior_use.joint_distances(d, one) == d).all() and (
        prior_use.weighted_distances(d, one) == d
    ).all()
    only = np.where(np.arange(5) == 3, 1.0, prior_use.FLOOR)[None, :]
    clear = np.clip(d, 0.01, 0.9)
    assert (prior_use.joint_distances(clear, only).argmin(1) == 3).all()
    assert (prior_use.weighted_distances(clear, only).argmin(1) == 3).all()


@given(st.integers(0, 10**6), st.sampled_from(["cannot_links", "joint", "jaccard"]))
@settings(max_examples=40, deadline=None)
def test_the_sparse_table_is_the_dense_formula(seed, way):
    rng = np.random.default_rng(seed)
    dense = np.where(rng.random((7, 7)) < 0.5, rng.uniform(0.05, 0.95, (7, 7)), 1.0).astype(np.float32)
    dense = np.minimum(dense, dense.T)
    np.fill_diagonal(dense, 0)
    rows, columns = np.nonzero(dense < 1)
    table = sparse.csr_matrix((dense[rows, columns], (rows, columns)), shape=(7, 7))
    r = rng.choice([0.0, 1.0] if way == "cannot_links" else [0.0, 0.3, 1.0], (7, 7))
    r = np.minimum(r, r.T)
    np.fill_diagonal(r, 1)
    found = prior_use.under_prior(table, r, way, 0.95)
    stored = {(i, j): v for i, j, v in zip(*sparse.find(found)[:2], sparse.find(found)[2], strict=True)}
    for i in range(7):
        assert (
            found[i, i] == 0 and i in found.indices[found.indptr[i] : found.indptr[i + 1]]
        )  # noughts are kept
        for j in set(range(7)) - {i}:
            d = float(dense[i, j])
            wanted = {
                "joint": d / r[i, j] if r[i, j] else 9,
                "jaccard": 1 - (1 - d) * r[i, j],
                "cannot_links": d,
            }[way]
            kept = d < 1 and r[i, j] > 0 and wanted < 0.95
            assert ((i, j) in stored) == kept
            assert not kept or stored[i, j] == pytest.approx(wanted, rel=1e-6)
    same = prior_use.under_prior(table, np.ones((7, 7)), way, 1.0)
    assert (same != table).nnz == 0 and same.nnz == table.nnz and same.dtype == table.dtype


def barred(rng, n, share=0.2):
    """(n, n) R that is 0 for some pairs and anything else for the others."""
    r = np.triu(np.where(rng.random((n, n)) < share, 0, rng.uniform(0.1, 1, (n, n))), 1)
    return r + r.T + np.eye(n)


@given(st.integers(0, 10**6), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_who_fits_better_stays(seed, n):
    rng = np.random.default_rng(seed)
    label, cost, r = rng.integers(-1, 3, n), rng.permutation(n).astype(float), barred(rng, n)
    found, stay = prior_use.keep_apart(label, cost, r), []
    for i in sorted(range(n), key=lambda i: cost[i]):
        if label[i] >= 0 and all(label[j] != label[i] or r[i, j] > 0 for j in stay):
            stay.append(i)
    assert found.tolist() == [int(label[i]) if i in stay else -1 for i in range(n)]


@given(st.integers(0, 10**6), st.integers(1, 14))
@settings(max_examples=60, deadline=None)
def test_only_clusters_with_an_impossible_pair_are_taken_apart(seed, n):
    rng = np.random.default_rng(seed)
    label, r = rng.integers(-1, 3, n), barred(rng, n, 0.1)
    dense = rng.uniform(0.1, 0.9, (n, n))
    dense = np.minimum(dense, dense.T)
    found = prior_use.take_apart(label, sparse.csr_matrix(dense), r, 2, 0.95)
    assert not len(prior_use.impossible_pairs(found, r))
    for k in range(3):
        own = np.flatnonzero(label == k)
        if all(r[i, j] > 0 for i, j in combinations(own, 2)):
            assert len(set(found[own])) <= 1 and -1 not in found[own]
        assert all((label[found == f] == k).all() for f in set(found[own]) - {-1})
        if any(r[i, j] == 0 for i, j in combinations(own, 2)):
            assert all((found == f).sum() > 1 for f in set(found[own]) - {-1})


def test_a_cluster_is_taken_apart_along_the_nearest_and_small_parts_are_nobody():
    d = np.full((5, 5), 0.5)
    for i, j, v in ((0, 1, 0.1), (2, 3, 0.1), (4, 0, 0.6), (4, 1, 0.6), (4, 2, 0.7), (4, 3, 0.7)):
        d[i, j] = d[j, i] = v
    np.fill_diagonal(d, 0)
    r = np.ones((5, 5))
    r[0, 2] = r[2, 0] = 0
    table = sparse.csr_matrix(np.where(d == 0, 1e-9, d))
    assert prior_use.take_apart(np.zeros(5, int), table, r, 2, 0.95).tolist() == [0, 0, 1, 1, 0]
    assert prior_use.take_apart(np.zeros(5, int), table, r, 3, 0.95).tolist() == [0, 0, -1, -1, 0]
    assert prior_use.take_apart(np.zeros(5, int), table, r, 2, 0.55).tolist() == [0, 0, 1, 1, -1]
    assert prior_use.take_apart(np.full(5, 7), table, np.ones((5, 5)), 2, 0.95).tolist() == [7] * 5


def naive_regroup(x, label, centre, r):
    """Everything computed anew at every visit."""
    label, centre, n = list(label), [c.copy() for c in centre], len(x)
    for _ in range(20):
        before = list(label)
        fit = [math.dist(x[i], centre[label[i]]) if label[i] >= 0 else 0.0 for i in range(n)]
        d = [[np.float32(math.dist(x[i], c)) for c in centre] for i in range(n)]
        for i in sorted(range(n), key=lambda i: -fit[i]):
            cost = []
            for c in range(len(centre)):
                members = [j for j in range(n) if j != i and label[j] == c]
                everybody = [r[i, j] for j in range(n) if j != i and r[i, j] > 0]
                asked = [r[i, j] for j in members] or everybody or [1.0]
                cost.append(math.inf if 0 in asked and members else d[i][c] / max(np.mean(asked), 1e-4))
            best = min(range(len(centre)), key=lambda c: cost[c])
            if cost[best] == math.inf:
                label[i] = -1
            elif label[i] < 0 or cost[label[i]] > cost[best] * (1 + 1e-6):
                label[i] = best
        if label == before:
            break
        for c in range(len(centre)):
            own = [x[j] for j in range(n) if label[j] == c]
            centre[c] = np.mean(own, axis=0) if own else centre[c]
    return label, np.array(centre)


@pytest.mark.parametrize("seed", range(12))
def test_regrouping_a_second_time(seed):
    rng = np.random.default_rng(seed)
    n, m = 13, 4
    x, r = rng.normal(size=(n, 5)), barred(rng, n, 0.15)
    label = rng.integers(0, m, n)
    label[:m] = np.arange(m)
    centre = np.array([x[label == c].mean(0) for c in range(m)])
    found, mean = prior_use.regroup(x, label, centre, r)
    wanted, middle = naive_regroup(x, label, centre, r)
    assert found.tolist() == wanted and not len(prior_use.impossible_pairs(found, r))
    np.testing.assert_allclose(mean, middle, atol=1e-9)


def test_k_means_is_where_regrouping_ends_without_a_prior():
    from sklearn.cluster import KMeans

    for seed in range(8):
        x = unit(np.random.default_rng(seed).normal(size=(60, 8)))
        made = KMeans(7, n_init=3, random_state=0).fit(x)
        label, mean = prior_use.regroup(x, made.labels_, made.cluster_centers_, np.ones((60, 60)))
        assert (label == made.labels_).all() and (mean == made.cluster_centers_).all()


def test_ratios_of_clusters_a_second_time():
    rng = np.random.default_rng(3)
    r, label = barred(rng, 9), np.array([0, 0, 1, 1, 1, -1, 3, 3, -1])
    found = prior_use.cluster_ratios(r[:5], label, 4)
    for i in range(5):
        for c in range(4):
            own = [r[i, j] for j in range(9) if label[j] == c]
            assert found[i, c] == pytest.approx(0 if 0 in own or not own else sum(own) / len(own))


# What they are for. Two people who look alike, one three minutes after the other: by looks alone each is taken for the other.

TWINS = [("a", 0, 4), ("a", 180, 184), ("b", 24, 28), ("b", 204, 208)]
OF_TWINS = [{0, 2}, {1, 3}]


def twins(seed=0):
    """Features of the four: nearer to the other person's than to their own."""
    rng = np.random.default_rng(seed)
    towards = np.eye(6)[[1, 2, 2, 1]]
    return unit(np.eye(6)[0] + 0.3 * towards + 0.02 * rng.normal(size=(4, 6))).astype(np.float32)


def groups(label):
    label = np.asarray(label)
    return sorted(
        (set(np.flatnonzero(label == v).tolist()) for v in set(label[label >= 0].tolist())), key=min
    )


def linked(links):
    return [{int(a[1:]), int(b[1:])} for a, b in zip(links.tracklet_a, links.tracklet_b, strict=True)]


def hard(made, labels):
    return groups(label_of_tracklets(made.tracklets, labels[labels.weight == 1]))


def race_twins(made, x, way):
    """The two of camera a are the anchors."""
    seed = next(
        s for s in range(99) if race.choose_anchors(made, 2, np.random.default_rng(s)).tolist() == [0, 1]
    )
    chosen = race.AssociateConfig(anchors=2, anchor_seed=seed, prior=way)
    return hard(made, race.associate(made, lambda: x, 1, chosen)[1])


def dal_twins(made, x, way):
    links, _ = dal.associate(made, lambda: x, 1, dal.AssociateConfig(prior=way))
    return sorted(linked(links[links.kept]), key=min)


def tastr_twins(made, x, way):
    chosen = tastr.AssociateConfig(prior=way, labels="site", kmeans=False)
    return hard(made, tastr.associate(made, lambda: x, 1, chosen)[1])


def reliable_twins(made, x, way):
    chosen = reliable_soft.AssociateConfig(prior=way, reliable_fraction=1)
    return hard(made, reliable_soft.associate(made, lambda: x, 0, chosen)[1])


def pul_twins(made, x, way):
    return hard(
        made, pul.associate(made, lambda: x, 0, pul.AssociateConfig(prior=way, reliable_fraction=1))[1]
    )


def tmc_twins(made, x, way):
    chosen = tmc.AssociateConfig(prior=way, k1=2, k2=1, min_samples=2, eps=0.9)
    return hard(made, tmc.associate(made, lambda: x, 0, chosen)[1])


FOR_TWINS = {
    "race": race_twins, "dal": dal_twins, "tastr": tastr_twins, "reliable_soft": reliable_twins, "pul": pul_twins,
    "tmc": tmc_twins,
}  # fmt: skip


@pytest.mark.parametrize("method", [method for method in FOR_TWINS if method != "tmc"])
@pytest.mark.parametrize("seed", range(3))
def test_walking_times_tell_two_apart_who_look_alike(method, seed):
    made, x = footage(TWINS), np.repeat(twins(seed), 3, axis=0)
    told = FOR_TWINS[method]
    assert told(made, x, "off") != OF_TWINS
    assert told(made, x, "cannot_links") == told(made, x, "off")  # nothing here is impossible
    assert told(made, x, "joint") == OF_TWINS


@pytest.mark.parametrize(("way", "noise"), [("joint", 0.15), ("jaccard", 0.05)])
@pytest.mark.parametrize("seed", range(3))
def test_so_they_do_by_shared_neighbours(way, noise, seed):
    # Eight people through three cameras, the first two alike. D / R needs some distance to begin with: of none it makes none.
    rng = np.random.default_rng(seed)
    times = [
        (c, 180 * k + s, 180 * k + s + 4) for k in range(8) for c, s in zip("abc", (0, 24, 60), strict=True)
    ]
    appearance = unit(rng.normal(size=(8, 16)))[[0, 0, *range(2, 8)]]
    x = np.repeat(unit(np.repeat(appearance, 3, axis=0) + noise * rng.normal(size=(24, 16))), 3, axis=0)
    made = footage(times, people=8)

    def told(way):
        chosen = tmc.AssociateConfig(prior=way, k1=6, k2=1, min_samples=2, eps=0.6)
        return hard(made, tmc.associate(made, lambda: x.astype(np.float32), 0, chosen)[1])

    assert any(g & {0, 1, 2} and g & {3, 4, 5} for g in told("off"))
    clear = [g for g in told(way) if g & {0, 1, 2, 3, 4, 5}]
    assert len(clear) == 2 and all(len(g) > 1 and (g <= {0, 1, 2} or g <= {3, 4, 5}) for g in clear)


@pytest.mark.parametrize("method", FOR_TWINS)
def test_nobody_walks_faster_than_people_do(method):
    # The second now follows at once: nobody of a is at b five seconds later, and all other times are as good as any.
    made = footage([("a", 0, 4), ("a", 40, 44), ("b", 45, 49), ("b", 88, 92)])
    x = np.repeat(unit(np.eye(6)[0] + 0.3 * np.eye(6)[[1, 2, 2, 1]] + 0.05 * np.eye(6)[2:]), 3, axis=0)
    x = x.astype(np.float32)
    told = FOR_TWINS[method]
    assert {1, 2} in told(made, x, "off") or any({1, 2} < g for g in told(made, x, "off"))
    assert not any({1, 2} <= g for g in told(made, x, "cannot_links"))


WAYS = [
    (method, way)
    for method in ("race", "dal", "tastr", "reliable_soft", "pul", "tmc")
    for way in ("cannot_links", "joint", *(["jaccard"] if method == "tmc" else []))
]
SMALL = {"tmc": {"k1": 4, "k2": 2, "eps": 0.8, "min_samples": 2}, "tastr": {"kmeans": False}}


@pytest.mark.parametrize(("method", "way"), WAYS)
@given(st.integers(0, 10**6))
@settings(max_examples=12, deadline=None)
def test_who_are_certainly_two_are_never_joined(method, way, seed):
    made, x = random_world(seed)
    chosen = load(method).AssociateConfig(prior=way, **SMALL.get(method, {}))
    if method == "tastr" and way == "cannot_links":
        chosen = chosen.model_copy(update={"labels": "site"})
    links, labels = load(method).associate(made, lambda: x, 1, chosen)
    for pair in linked(links[links.kept]):
        assert possible(made, *sorted(pair))
    settled = labels
    if method == "reliable_soft":  # a soft label may have all the weight, too
        settled = load(method).associate(made, lambda: x, 1, chosen.model_copy(update={"soft": False}))[1]
    members = settled.groupby(["group", "pseudo_label"]).tracklet_id.agg(list)
    for ids in members:
        for i, j in combinations(sorted(int(t[1:]) for t in ids), 2):
            assert possible(made, i, j)
    for row in labels[~labels.tracklet_id.isin(settled.tracklet_id)].itertuples():
        for other in members.get((row.group, row.pseudo_label), []):
            assert possible(made, *sorted((int(row.tracklet_id[1:]), int(other[1:]))))


@pytest.mark.parametrize(("method", "way"), [w for w in WAYS if w[0] != "tastr"])
@pytest.mark.parametrize("seed", range(4))
def test_where_every_time_is_as_good_as_any_each_way_is_off(method, way, seed, tmp_path):
    made, x = random_world(seed, site=ANYWHERE, apart=True)
    settings_of, small = load(method).AssociateConfig, SMALL.get(method, {})
    before = load(method).associate(made, lambda: x, 1, settings_of(**small))
    after = load(method).associate(made, lambda: x, 1, settings_of(prior=way, **small))
    for table, old, new in zip((ASSOCIATIONS, PSEUDO_LABELS), before, after, strict=True):
        validate(table, new, tmp_path)
        pd.testing.assert_frame_equal(old, new, check_dtype=False, check_exact=True)
    assert len(before[1])


@pytest.mark.parametrize("way", ["cannot_links", "joint"])
def test_so_it_is_with_tastr(way):
    made, x = random_world(2, site=ANYWHERE, apart=True)
    before, after = (
        tastr.associate(made, lambda: x, 1, tastr.AssociateConfig(prior=w))[0] for w in ("off", way)
    )
    pd.testing.assert_frame_equal(before, after, check_dtype=False, check_exact=True)
    assert before.kept.any()


@pytest.mark.parametrize("method", ["race", "dal", "tastr", "reliable_soft", "pul", "tmc"])
def test_the_papers_own_way_leaves_no_trace_in_fingerprints(method):
    own = load(method).AssociateConfig()
    assert own.prior == ("joint" if method == "tastr" else "off")
    assert "prior" not in what_settings(own)
    assert what_settings(load(method).AssociateConfig(prior="cannot_links"))["prior"] == "cannot_links"
    read = config.load({"associate": load(method).AssociateConfig}, None, ["associate.prior=off"])
    assert read["associate"].prior == "off"  # a bare off, as YAML 1.2 reads it


@pytest.mark.parametrize(("method", "way"), WAYS)
@pytest.mark.parametrize("times", [[], [("a", 0, 4)], [("a", 0, 4), ("a", 2, 9)], [("a", 0, 4), ("b", 5, 9)]])
def test_nothing_or_only_the_impossible_to_associate_is_no_crash(method, way, times, tmp_path):
    made = footage(times)
    x = np.tile(np.eye(6, dtype=np.float32)[0], (len(made.crops), 1))
    chosen = load(method).AssociateConfig(prior=way, **SMALL.get(method, {}))
    links, labels = load(method).associate(made, lambda: x, 1, chosen)
    validate(ASSOCIATIONS, links, tmp_path)
    validate(PSEUDO_LABELS, labels, tmp_path)
    assert not links.kept.any()
