"""`topology init | validate | schema | learn`."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from camera_topology.check import doubts
from camera_topology.scaffold import scaffold
from camera_topology.schema import SiteFile, json_schema
from camera_topology.site import Site, load
from data.synthetic.network import NetworkSettings, build_network, site_values
from pipeline.errors import UserError
from stages.topology import learn
from tests.tiny_site import pipeline

ROOT = Path(__file__).resolve().parents[2]


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
    why = {(way.from_, way.to): learn.doubtful(way, ways) for way in ways}
    assert why[missing] == why[missing[::-1]] == "walked, and not in the site file"
    assert set(missing) == {
        c for pair, s in why.items() if s == "walked, and not in the site file" for c in pair
    }
    assert why[absent] == "nobody took it" or not network.ways_m.get(absent)
    proposed = yaml.safe_load(learn.patch(offsets, ways, site))
    (camera,) = proposed["cameras"]
    assert camera["id"] == "cam05" and camera["clock"]["offset_s"] == pytest.approx(-5, abs=2)
    assert missing in {(link["from"], link["to"]) for link in proposed["links"]}
    site_of(cameras=[{"id": c} for c in network.cameras], links=proposed["links"])
    (line,) = [line for line in learn.told(offsets, ways) if line.startswith("  cam05: ")]
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
    assert found.to_dict("records") == [{"from_": "a", "to": "b", "seconds": 30.0, "person": 7}]


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
