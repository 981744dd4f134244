"""How far a site file is believed: right ones are, wrong ones are healed by what people did."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.site_files import site_of
from benchmarks.topology import put_together
from camera_topology.site import without_file
from data.synthetic.network import Network, NetworkSettings, build_network, site_values
from stages.association.grouping import GroupingConfig, score_pairs
from stages.association.pairing import euclidean_distances
from stages.association.prior_reliability import directed_links, file_reliability
from stages.association.time_prior import dense_prior


def by_hand(described, learned, way, forbidden, n_links, wrong):
    """The same, one match and one way after the other."""
    factor = [0.0] * n_links
    for t, p, w, s in zip(described, learned, way, forbidden, strict=True):
        file = 1.0 if s else (1 - wrong) * t + wrong
        factor[w] += np.log(file / ((1 - wrong) * p + wrong)) / 2
    belief, seen = 0.9, sorted(set(way))
    for _ in range(100):
        trust = [1 / (1 + (1 - belief) / belief * np.exp(-f)) for f in factor]
        belief = (sum(trust[w] for w in seen) + 1.8) / (len(seen) + 2)
    return np.array(trust)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.floats(0.05, 0.9))
def test_trust_equals_its_second_writing(seed: int, matches: int, wrong: float) -> None:
    rng = np.random.default_rng(seed)
    described, learned = np.exp(rng.normal(size=(2, matches)))
    way, forbidden = rng.integers(0, 5, matches), rng.random(5) < 0.3
    found = file_reliability(described, learned, way, forbidden[way], 5, wrong)
    np.testing.assert_allclose(found, by_hand(described, learned, way, forbidden[way], 5, wrong), atol=1e-9)
    assert ((found >= 0) & (found <= 1)).all()


def test_nobody_walked_so_the_file_is_believed() -> None:
    none = np.zeros(0)
    found = file_reliability(none, none, none.astype(np.int64), none.astype(bool), 3, 0.3)
    np.testing.assert_allclose(found, 0.9, atol=1e-9)


def test_the_other_ways_count_where_few_walked() -> None:
    """One match says the same of way 0 in both worlds; the others decide how far it is believed."""
    way = np.repeat([0, 1, 2, 3], [1, 20, 20, 20])
    good, bad = np.full(61, 6.0), np.full(61, 0.2)
    good[0] = bad[0] = 1.0
    usual, forbidden = np.full(61, 2.0), np.zeros(61, bool)
    right, wrong = (file_reliability(described, usual, way, forbidden, 4, 0.3) for described in (good, bad))
    assert right[1:].min() > 0.99 > 0.01 > wrong[1:].max()
    assert right[0] > 0.8 > wrong[0] + 0.3


def test_ways_are_directed_by_who_was_seen_first() -> None:
    names, way = directed_links(
        np.array(["b", "a", "b"]), np.array([0.0, 10.0, 30.0]), np.array([5.0, 15.0, 40.0])
    )
    assert names == ["a", "b"]
    assert way[0, 1] == way[1, 0] == 1 * 2 + 0  # b first, then a
    assert way[1, 2] == way[2, 1] == 0 * 2 + 1


@pytest.fixture(scope="module", params=[0, 1])
def network(request) -> Network:
    return build_network(request.param, NetworkSettings(noise=1.1, people=100))


def trust_of(network: Network, values) -> dict[tuple[str, str], float]:
    tracklets = network.tracklets
    prior = dense_prior(site_of(values), tracklets, dict.fromkeys(network.cameras, 0.5))
    none = np.zeros((0, network.features.shape[1]))
    config = GroupingConfig.model_validate({})
    return score_pairs(
        network.features, (none, none, np.zeros(0, np.int64)), tracklets, prior, config
    ).prior_reliability


def test_wrong_files_cost_next_to_nothing_and_are_doubted(network: Network) -> None:
    right = site_values(network)
    nobody = put_together(network, without_file(network.cameras))[2]
    longer = copy.deepcopy(right)
    for link in longer["links"]:
        link["distance_m"] *= 2
    forbidden = copy.deepcopy(right)
    forbidden["links"][0] = {k: forbidden["links"][0][k] for k in ("from", "to")} | {"relation": "forbidden"}
    for values in (right, longer, forbidden):
        assert put_together(network, site_of(values))[2] > nobody - 0.03
    assert np.mean([t < 0.5 for t in trust_of(network, longer).values()]) > 0.8
    a, b = forbidden["links"][0]["from"], forbidden["links"][0]["to"]
    found = trust_of(network, forbidden)
    assert min(found[way] for way in ((a, b), (b, a)) if way in found) < 0.5


def test_what_is_forbidden_and_not_walked_stays_believed(network: Network) -> None:
    """Cameras at opposite ends of the map: whoever seems to go there is somebody else, or went through others."""
    values = site_values(network)
    place = {c["id"]: (c["position"]["x_m"], c["position"]["y_m"]) for c in values["cameras"]}
    linked = {frozenset((link["from"], link["to"])) for link in values["links"]}
    far = sorted(
        (tuple(sorted((a, b))) for a in place for b in place if a < b and frozenset((a, b)) not in linked),
        key=lambda w: -np.hypot(*np.subtract(place[w[0]], place[w[1]])),
    )[:3]
    values["links"] += [{"from": a, "to": b, "relation": "forbidden"} for a, b in far]
    found = trust_of(network, values)
    own = [found[way] for a, b in far for way in ((a, b), (b, a)) if way in found]
    assert not own or np.mean(own) > 0.5


def test_the_prior_may_be_left_out_or_only_forbid(network: Network) -> None:
    """off: looks alone, and that nobody is in two places at once; cannot_links: also what the file rules out."""
    tracklets, values = network.tracklets, site_values(network)
    values["links"][0] = {k: values["links"][0][k] for k in ("from", "to")} | {"relation": "forbidden"}
    prior = dense_prior(site_of(values), tracklets, dict.fromkeys(network.cameras, 0.5))
    none = np.zeros((0, network.features.shape[1]))
    camera = tracklets.camera_id.to_numpy()
    across = camera[:, None] != camera[None, :]
    assert (prior.ruled_out & across).any()
    for use, possible in (("off", prior.possible | prior.ruled_out), ("cannot_links", prior.possible)):
        config = GroupingConfig.model_validate({"prior": use, "centre_cameras": False})
        found = score_pairs(network.features, (none, none, np.zeros(0, np.int64)), tracklets, prior, config)
        assert (np.isfinite(found.log_odds) == possible)[across].all()
        described = found.log_odds - found.across.log_odds(
            euclidean_distances(network.features, network.features)
        )
        np.testing.assert_allclose(described[across & possible], 0, atol=1e-6)


def test_evidence_is_symmetric_where_two_were_seen_for_the_same_time() -> None:
    """Whole-second stamps make ties; a table that is not symmetric could send the clustering round in circles."""
    network = build_network(3, NetworkSettings(people=60, hours=0.2, noise=1.3, one_way=0.5))
    tracklets = network.tracklets.assign(
        **{c: network.tracklets[c] // 20_000_000 * 20_000_000 for c in ("t_start_us", "t_end_us")}
    )
    tracklets["t_end_us"] += 20_000_000
    prior = dense_prior(site_of(site_values(network)), tracklets, dict.fromkeys(network.cameras, 0.5))
    none = np.zeros((0, network.features.shape[1]))
    config = GroupingConfig.model_validate({})
    found = score_pairs(
        network.features, (none, none, np.zeros(0, np.int64)), tracklets, prior, config
    ).log_odds
    middle = (tracklets.t_start_us + tracklets.t_end_us).to_numpy()
    assert (middle[:, None] == middle[None, :]).sum() > 2 * len(middle), "there are ties"
    assert (np.isfinite(found) == np.isfinite(found).T).all()
    np.testing.assert_allclose(found, found.T, atol=1e-9)
