"""Settings: class defaults < file < SET, and a mistake is one sentence with file, line and a suggestion."""

import pytest
from pydantic import Field

from pipeline import config, yaml_text
from pipeline.errors import UserError
from pipeline.stage import Settings, runtime_only, what_settings


class TrackConfig(Settings):
    max_gap_s: float = Field(2.0, gt=0, description="longest gap")
    workers: int = runtime_only(2, description="processes")


SECTIONS = {"track": TrackConfig, "run": config.RunSettings}


def write(tmp_path, text):
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_one_set_holds_many_settings_and_spaces():
    assert config.split_sets(" a.b=1 c.d=[2, 3]  e.f = 4") == ["a.b=1", "c.d=[2, 3]", "e.f=4"]
    assert config.split_sets("") == []


@pytest.mark.parametrize("size", ["[0,0]", "[-32,16]", "[1,1]", "7"])
def test_image_size_that_no_network_takes(size):
    with pytest.raises(UserError, match=r"run\.image_size"):
        config.load(SECTIONS, None, [f"run.image_size={size}"])


def test_set_wins_over_file_wins_over_default(tmp_path):
    file = write(tmp_path, "track:\n  max_gap_s: 3\n")
    assert config.load(SECTIONS, None, [])["track"].max_gap_s == 2
    assert config.load(SECTIONS, file, [])["track"].max_gap_s == 3
    assert config.load(SECTIONS, file, ["track.max_gap_s=4"])["track"].max_gap_s == 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("track:\n  max_gap: 3\n", ["my.yaml:2", "'max_gap'", "Did you mean 'max_gap_s'?"]),
        ("trak:\n  max_gap_s: 3\n", ["my.yaml", "'trak'", "Did you mean 'track'?"]),
        ("track:\n  max_gap_s: soon\n", ["my.yaml:2", "track.max_gap_s", "'soon'"]),
        ("track:\n  max_gap_s: -1\n", ["my.yaml:2", "greater than 0"]),
        ("track: [\n", ["my.yaml:", "not valid YAML"]),
        ("- a\n", ["my.yaml", "sections"]),
        ("track:\n  max_gap_s: 3\n  max_gap_s: 4\n", ["my.yaml:3", "'max_gap_s' stands there twice"]),
        ("track: 3\n", ["my.yaml", "wants keys below it"]),
    ],
)
def test_mistakes_in_a_file_name_the_file_line_and_key(tmp_path, text, words):
    with pytest.raises(UserError) as error:
        config.load(SECTIONS, write(tmp_path, text), [])
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("text", ["track.max_gap_s", "max_gap_s=3", "track.gap=3", "track.max_gap_s=x"])
def test_mistakes_in_set_name_set(text):
    with pytest.raises(UserError, match="SET"):
        config.load(SECTIONS, None, [text])


def test_speed_settings_are_not_fingerprinted():
    assert what_settings(TrackConfig(workers=8)) == {"max_gap_s": 2.0}


def test_unknown_config_name_says_which_exist():
    with pytest.raises(UserError, match="CONFIG=demoo"):
        config.named("demoo")


def test_every_setting_of_the_chain_has_a_meaning():
    from pipeline import graph

    for name, section in graph.sections("tastr").items():
        for key, info in section.model_fields.items():
            assert info.description, f"{name}.{key} has no description"


def test_off_is_a_word_and_true_is_true() -> None:
    assert yaml_text.word("off") == "off" and yaml_text.word("no") == "no" and yaml_text.word("ON") == "ON"
    assert yaml_text.word("true") is True and yaml_text.word("False") is False
    assert yaml_text.word("null") is None and yaml_text.word("1e-3") in (1e-3, "1e-3")
