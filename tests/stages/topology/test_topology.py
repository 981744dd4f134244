"""`topology init | validate | schema | learn`."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from camera_topology.check import doubts
from camera_topology.offsets import Offsets
from camera_topology.scaffold import scaffold
from camera_topology.site import Site, load, without_file
from camera_topology.site_schema import SiteFile, json_schema
from data.synthetic.network import T0_US, Network, NetworkSettings, build_network, site_values
from pipeline.errors import UserError
from stages.ingest import IngestConfig, to_table
from stages.recording.starts import Recording, declared_scale
from stages.topology import learn
from stages.topology.patch import patch
from tests.tiny_site import pipeline

ROOT = Path(__file__).resolve().parents[3]


def site_of(**facts: object) -> Site:
    return Site(SiteFile.model_validate(facts))


def test_the_published_schema_is_the_schema() -> None:
    assert (ROOT / "docs" / "site.schema.json").read_text(encoding="utf-8") == json_schema()
    values = json.loads(json_schema())
    assert values["additionalProperties"] is False and "links" in values["properties"]


@pytest.mark.parametrize("names", [("gate", "hall"), ("1", "2"), ("yes", "no: really"), ("Tür-Süd", "it's")])
def test_what_init_writes_is_a_site_file(tmp_path: Path, names: tuple[str, ...]) -> None:
    text = scaffold({n: f"{n}/*" for n in names}, "Europe/Berlin")
    (tmp_path / "site.yaml").write_text(text, encoding="utf-8")
    site = load(tmp_path / "site.yaml")
    assert list(site.cameras) == list(names) and site.timezone == "Europe/Berlin"


def test_init_from_a_folder(site: Path) -> None:
    said = pipeline("topology", "init", "--videos", site / "videos").stdout
    (site / "videos" / "new.yaml").write_text(said)
    made = load(site / "videos" / "new.yaml")
    found = [made.match_camera(p) for p in sorted((site / "videos").glob("*.mp4"))]
    assert found == ["east", "east", "west", "west"]
    (site / "videos" / "new.yaml").unlink()
    wrong = pipeline("topology", "init", "--videos", site / "videos", "--timezone", "Mars", check=False)
    assert wrong.returncode == 2 and "'Mars' is no time zone" in wrong.stderr


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"cameras": [{"id": "a"}, {"id": "b"}, {"id": "c"}], "links": [{"from": "a", "to": "b", "distance_m": 9}]},
         "camera 'c' has no link"),
        ({"cameras": [{"id": c} for c in "abcd"],
          "links": [{"from": "a", "to": "b", "distance_m": 9}, {"from": "c", "to": "d", "distance_m": 9}]},
         "fall into 2 groups with no way between them: a, b; c, d"),
        ({"cameras": [{"id": "a"}, {"id": "b"}], "links": [{"from": "a", "to": "b", "distance_m": 9, "bidirectional": False}]},
         "link a → b has no way back"),
        ({"cameras": [{"id": "a"}, {"id": "b"}], "links": [{"from": "a", "to": "b"}]}, "neither distance_m nor transit_s"),
        ({"cameras": [{"id": "a", "position": {"x_m": 0, "y_m": 0}}, {"id": "b", "position": {"x_m": 30, "y_m": 40}}],
          "links": [{"from": "a", "to": "b", "distance_m": 20}]}, "shorter than the 50 m between"),
        ({"cameras": [{"id": "a", "clock": {"offset_std_s": 1}}, {"id": "b"}]}, "b: no clock.offset_std_s"),
        ({"cameras": [{"id": "a", "mask": "none.png"}]}, "its mask none.png is not there"),
        ({"cameras": [{"id": "a"}, {"id": "b"}],
          "links": [{"from": "a", "to": "b", "distance_m": 9, "bidirectional": False},
                    {"from": "b", "to": "a", "relation": "forbidden", "bidirectional": False}]},
         "link a → b is adjacent, the way back forbidden"),
    ],
)  # fmt: skip
def test_what_looks_wrong_is_said(facts: dict[str, object], sentence: str) -> None:
    assert any(sentence in line for line in doubts(site_of(**facts)))


def test_a_right_file_has_nothing_to_complain_of() -> None:
    assert doubts(site_of(**site_values(build_network(0)))) == []


def test_a_late_clock_a_forgotten_way_and_one_that_nobody_walks_are_found() -> None:
    network = build_network(1, NetworkSettings(clock_offset_s={4: 5.0}))
    identities = network.tracklets[["tracklet_id"]].assign(identity=network.tracklets.pid)
    found = learn.walks(network.tracklets, identities)
    missing = found.groupby(["from_", "to"]).size().idxmax()
    absent = next(
        (a, b) for a in network.cameras for b in network.cameras if a < b and (a, b) not in network.ways_m
    )
    values = site_values(network)
    values["links"] = [link for link in values["links"] if {link["from"], link["to"]} != set(missing)]
    values["links"].append({"from": absent[0], "to": absent[1], "distance_m": 50})
    site = site_of(**values)
    declared = {
        pair: seconds for pair in site.links if (seconds := learn._expected_s(site, *pair)) is not None
    }
    offsets = learn.clock_offsets(found, "cam01", declared_s=declared, draws=60)
    ways = learn.ways(found, site)
    assert offsets.wrong() == ["cam05"] and offsets.ahead_s["cam05"] == pytest.approx(5, abs=2)
    why = {(way.from_, way.to): learn.doubtful(way) for way in ways}
    assert why[missing] == why[missing[::-1]] == "walked, and not in the site file"
    assert set(missing) == {
        c for pair, s in why.items() if s == "walked, and not in the site file" for c in pair
    }
    assert why[absent] == "nobody took it" or not network.ways_m.get(absent)
    proposed = yaml.safe_load(patch(offsets, ways, site))
    (camera,) = proposed["cameras"]
    assert camera["id"] == "cam05" and camera["clock"]["offset_s"] == pytest.approx(-5, abs=2)
    (link,) = [link for link in proposed["links"] if {link["from"], link["to"]} == set(missing)]
    assert link["bidirectional"] and link["transit_s"]["typical"] == pytest.approx(
        network.ways_m[missing] / 1.3, rel=0.2
    )
    site_of(cameras=[{"id": c} for c in network.cameras], links=proposed["links"])
    (line,) = [line for line in learn.summary(offsets, ways) if line.startswith("  cam05: ")]
    assert "s ahead" in line and line.endswith("← off")


def test_walks_are_from_one_sighting_to_the_next() -> None:
    rows = [
        ("t1", "a", 0, 10),
        ("t2", "b", 40, 50),
        ("t3", "b", 60, 70),
        ("t4", "a", 2000, 2010),
        ("t5", "c", 5, 8),
    ]
    tracklets = pd.DataFrame(rows, columns=["tracklet_id", "camera_id", "t_start_us", "t_end_us"])
    tracklets[["t_start_us", "t_end_us"]] *= 1_000_000
    identities = pd.DataFrame({"tracklet_id": ["t1", "t2", "t3", "t4", "t5"], "identity": [7, 7, 7, 7, 8]})
    found = learn.walks(tracklets, identities)
    (walk,) = found.to_dict("records")
    assert walk == {"from_": "a", "to": "b", "seconds": 30.0, "person": 7, "left_us": 10_000_000}


def identified(network: Network) -> pd.DataFrame:
    return network.tracklets.assign(identity=network.tracklets.pid)


def test_clocks_set_right_are_the_true_times() -> None:
    settings = NetworkSettings(people=20, clock_offset_s={1: 7.0}, clock_rate={1: 1e-3, 2: -2e-4})
    shown, true = build_network(3, settings).tracklets, build_network(3, NetworkSettings(people=20)).tracklets
    rates = {"cam02": 1e-3 / (1 + 1e-3), "cam03": -2e-4 / (1 - 2e-4)}
    clocks = Offsets(
        "cam01",
        {"cam02": 7 - 7 * rates["cam02"], "cam03": 0.0},
        {},
        {},
        0.0,
        rates,
        middle_s=T0_US / 1e6 + 0.0,
    )
    found = learn.set_right(shown, clocks, ["cam02", "cam03"])
    # At T0 the second clock shows T0 + 7 s, and the line is one of what a clock shows.
    assert (found.t_start_us - true.t_start_us).abs().max() <= 2 and (
        found.t_end_us - true.t_end_us
    ).abs().max() <= 2
    assert (shown.t_start_us - true.t_start_us).abs().max() > 7_000_000
    assert learn.set_right(shown, clocks, []).equals(shown)


def test_a_clock_that_turns_round_who_came_first_is_found_in_passes() -> None:
    network = build_network(2, NetworkSettings(hours=8.0, people=480, clock_rate={4: 2e-3}))
    table = identified(network)
    once = learn.clock_offsets(learn._walks(table, 900.0), "cam01", draws=20)
    offsets, found = learn.clocks(table, "cam01", {}, draws=20)
    assert offsets.off() == ["cam05"] and offsets.rate["cam05"] == pytest.approx(2e-3, rel=0.05)
    assert abs(once.rate["cam05"] - 2e-3) > 2 * abs(offsets.rate["cam05"] - 2e-3)
    right = learn._walks(identified(build_network(2, NetworkSettings(hours=8.0, people=480))), 900.0)
    assert len(found) == pytest.approx(len(right), abs=5)
    assert found.seconds.median() == pytest.approx(right.seconds.median(), abs=0.5)


@pytest.mark.parametrize("before", [{}, {"offset_s": 100.0, "scale": 0.98}])
def test_the_proposed_rate_sets_a_file_right(before: dict[str, float]) -> None:
    """Through `ingest`'s own table: media time to true time, with the file as it was and as it is proposed."""
    settings = NetworkSettings(hours=8.0, people=480, clock_offset_s={4: 3.0}, clock_rate={4: 5e-4})
    network = build_network(0, settings)
    # A file of ten hours; what its clock shows is what the present site file makes of its media.
    name_us = T0_US - 600_000_000 - round(before.get("offset_s", 0.0) * 1e6)
    length_s = 36_000 / before.get("scale", 1.0)

    def ingested(clock: dict[str, float]) -> pd.DataFrame:
        site = site_of(cameras=[{"id": "cam05", "clock": clock}])
        facts = {"duration_s": length_s, "frames": 1, "stamped_fps": 25.0}
        recording = Recording(Path("cam05.mp4"), "d", "cam05", facts, name_us, "file name")
        recording.scale = declared_scale(recording, site)
        return to_table([recording], [], site, IngestConfig())

    def true_s(shown_s: float) -> float:
        return (shown_s - 3.0) / (1 + 5e-4)  # since T0

    offsets, _ = learn.clocks(identified(network), "cam01", {}, draws=60)
    offsets = replace(offsets, began_s=learn.began_s(ingested(before)))
    site = site_of(cameras=[{"id": c, "clock": before if c == "cam05" else {}} for c in network.cameras])
    text = patch(offsets, [], site)
    (camera,) = yaml.safe_load(text)["cameras"]
    assert camera["id"] == "cam05" and "s an hour (" in text and "ppm)" in text
    was, proposed = ingested(before).iloc[0], ingested({**before, **camera["clock"]}).iloc[0]
    for media_s in (0.0, 10_000.0, 30_000.0):
        shown_s = (was.t_start_us - T0_US) / 1e6 + was.clock_scale * media_s
        right_s = (proposed.t_start_us - T0_US) / 1e6 + proposed.clock_scale * media_s
        assert right_s == pytest.approx(shown_s - offsets.ahead_at("cam05", T0_US / 1e6 + shown_s), abs=0.02)
        assert abs(right_s - true_s(shown_s)) < 3 * camera["clock"]["offset_std_s"]
        assert abs(right_s - true_s(shown_s)) < abs(shown_s - true_s(shown_s))


def test_a_rate_of_files_timed_one_by_one_is_told_and_not_mapped() -> None:
    offsets = Offsets(
        "a", {"a": 0.0, "b": 4.0, "c": 0.0}, {"a": 0.0, "b": 0.5, "c": float("inf")}, {}, 0.0,
        {"a": 0.0, "b": 5e-4, "c": -4e-4}, {"a": 0.0, "b": 2e-5, "c": 2e-5}, {}, 1e9, 14400.0,
    )  # fmt: skip
    text = patch(offsets, [], site_of())
    (camera,) = yaml.safe_load(text)["cameras"]
    assert camera == {"id": "b", "clock": {"offset_s": -4.0, "offset_std_s": 4.2}}  # hypot(0.5, 7.2 / √3)
    assert "gains 1.80 s an hour (500 ± 39 ppm)" in text and "timed one by one" in text
    assert "  # c: " in text and "loses 1.44 s an hour" in text
    alone = replace(offsets, rate=offsets.rate | {"b": 0.0}, ahead_s=offsets.ahead_s | {"b": 0.0})
    assert yaml.safe_load(patch(alone, [], site_of())) is None, "comments alone are no key without a value"
    began = replace(offsets, began_s={"b": 1e9 - 14400, "c": 1e9 - 14400})
    clocks = {c["id"]: c["clock"] for c in yaml.safe_load(patch(began, [], site_of()))["cameras"]}
    assert clocks["b"] == {"offset_s": 3.2, "offset_std_s": 0.6, "scale": 0.9995}
    assert clocks["c"] == {"offset_s": -5.76, "scale": 1.0004}, "right at the middle, as nothing else is told"


def test_which_files_a_scale_counts_from() -> None:
    rows = [
        ("one", "ok", "file name", 5), ("two", "ok", "file name", 5), ("two", "ok", "file name", 9), ("chain", "ok", "topology", 7),
        ("chain", "ok", "topology", 3), ("left", "repeated", "file name", 1), ("left", "ok", "container", 2),
    ]  # fmt: skip
    videos = pd.DataFrame(rows, columns=["camera_id", "status", "time_source", "t_start_us"])
    assert learn.began_s(videos.assign(t_start_us=videos.t_start_us * 1_000_000)) == {
        "one": 5,
        "chain": 3,
        "left": 2,
    }


def test_without_a_site_file_the_ways_that_there_are_are_proposed() -> None:
    network = build_network(4, NetworkSettings(one_way=0.6, overlap=0.2))
    found = learn._walks(identified(network), 900.0)
    site = without_file(network.cameras)
    ways = learn.ways(found, site)
    text = patch(learn.clock_offsets(found, "cam01", draws=10), ways, site)
    proposed = site_of(cameras=[{"id": c} for c in network.cameras], links=yaml.safe_load(text)["links"])
    assert set(proposed.links) == set(network.ways_m)
    for (a, b), metres in network.ways_m.items():
        if metres < 0:
            assert proposed.relation(a, b) == "overlap"
        else:
            transit = proposed.transit_s(a, b)
            assert transit is not None and transit.min < metres / 1.3 < transit.max  # type: ignore[operator]
    lines = [line for line in text.splitlines() if "walked, and not in the site file" in line]
    assert lines and all(" walks; were there no way, " in line for line in lines)
    summary = learn.summary(learn.clock_offsets(found, "cam01", draws=10), ways)
    assert sum("←" in line for line in summary) == len(network.ways_m)


def test_a_way_past_a_camera_that_misses_people_is_not_doubted() -> None:
    network = build_network(5, NetworkSettings(missed=0.25, people=300))
    ways = learn.ways(learn._walks(identified(network), 900.0), site_of(**site_values(network)))
    past = [way for way in ways if way.declared == "unlisted"]
    assert max(way.walks for way in past) > 5
    assert [way for way in past if learn.doubtful(way)] == []


def test_a_finished_run_is_learned_from(run: Path) -> None:
    said = pipeline("topology", "learn", "--run", run, check=False)
    if said.returncode:  # random weights may find nobody in two cameras
        assert "nobody was found in two cameras" in said.stderr
    else:
        assert "clocks, against that of" in said.stdout and (run / "topology" / "patch.yaml").is_file()


def test_learning_before_people_are_told_apart_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make identify RUN="):
        learn.learn(tmp_path, site_of())


def test_reordering_tracklets_changes_nothing() -> None:
    network = build_network(2, NetworkSettings(people=40))
    identities = network.tracklets[["tracklet_id"]].assign(identity=network.tracklets.pid)
    shuffled = network.tracklets.sample(frac=1, random_state=np.random.RandomState(0))
    pd.testing.assert_frame_equal(
        learn.walks(network.tracklets, identities), learn.walks(shuffled, identities)
    )


def test_the_page_shows_the_map_the_ways_and_the_late_clock(tmp_path: Path) -> None:
    from stages.topology.show import write_page

    network = build_network(1, NetworkSettings(clock_offset_s={4: 5.0}))
    identities = network.tracklets[["tracklet_id"]].assign(identity=network.tracklets.pid)
    found = learn.walks(network.tracklets, identities)
    site = site_of(**site_values(network))
    offsets, ways = learn.clock_offsets(found, "cam01", draws=60), learn.ways(found, site)
    page = write_page(tmp_path / "topology", "<b>a & b</b>", found, offsets, ways, site, {})
    text = page.read_text(encoding="utf-8")
    assert "<b>a" not in text and "&lt;b&gt;a &amp; b" in text
    assert text.count("<svg") > 10 and (tmp_path / "topology" / "report.css").is_file()
    assert "cam05" in text.split('id="doubts"')[1].split("</section>")[0]
    assert (page.stat().st_mode & 0o077) == 0
