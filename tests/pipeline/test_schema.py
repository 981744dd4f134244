"""Manifests: what is written is checked, what is read is checked again, and the same rows give the same digest."""

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import schema
from pipeline.manifests import ALL
from pipeline.schema import Column, Manifest, ManifestError

POINTS = Manifest(
    "points", 2, "Points.",
    (Column("name", pa.string(), "its name"), Column("x", pa.float32(), "place", "m"), Column("n", pa.int32(), "how many")),
    ("name",),
    {"n >= 0": lambda t: t.n >= 0},
)  # fmt: skip


def table(**changes):
    return pd.DataFrame({"name": ["b", "a"], "x": [1.0, 2.0], "n": [1, 2], **changes})


def test_round_trip_is_sorted_by_key(tmp_path):
    schema.write(POINTS, table(), tmp_path / "p.parquet")
    assert schema.read(POINTS, tmp_path / "p.parquet").name.tolist() == ["a", "b"]


def test_empty_table_keeps_types(tmp_path):
    schema.write(POINTS, POINTS.empty(), tmp_path / "p.parquet")
    assert schema.read(POINTS, tmp_path / "p.parquet").n.dtype == "int32"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": [1, -1]}, "n >= 0"),
        ({"name": ["a", "a"]}, "(name) is unique"),
        ({"x": [1.0, float("nan")]}, "x is never null"),
        ({"more": [1, 2]}, "does not declare the columns ['more']"),
        ({"n": ["one", "two"]}, "points"),
    ],
)
def test_broken_tables_are_refused_with_the_rule_and_the_path(tmp_path, change, words):
    with pytest.raises((ManifestError, TypeError)) as error:
        schema.write(POINTS, table(**change), tmp_path / "p.parquet")
    if error.type is ManifestError:
        assert words in str(error.value) and "p.parquet" in str(error.value)


def test_missing_column_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="lacks the columns"):
        schema.write(POINTS, table().drop(columns="x"), tmp_path / "p.parquet")


def test_another_version_is_refused(tmp_path):
    schema.write(POINTS, table(), tmp_path / "p.parquet")
    newer = Manifest("points", 3, POINTS.doc, POINTS.columns, POINTS.key)
    with pytest.raises(ManifestError, match="version 2, wanted 'points' version 3"):
        schema.read(newer, tmp_path / "p.parquet")


def test_no_parquet_at_all_is_refused(tmp_path):
    (tmp_path / "p.parquet").write_bytes(b"not a table")
    with pytest.raises(ManifestError, match="cannot be read"):
        schema.read(POINTS, tmp_path / "p.parquet")


@given(st.permutations(range(6)))
def test_digest_is_blind_to_row_order_and_facts(tmp_path_factory, order):
    folder = tmp_path_factory.mktemp("digest")
    frame = pd.DataFrame({"name": list("abcdef"), "x": range(6), "n": range(6)})
    schema.write(POINTS, frame, folder / "one.parquet")
    schema.write(POINTS, frame.iloc[list(order)], folder / "two.parquet", {"host": "elsewhere"})
    assert schema.content_digest(folder / "one.parquet") == schema.content_digest(folder / "two.parquet")
    schema.write(POINTS, frame.assign(n=[9, 1, 2, 3, 4, 5]), folder / "three.parquet")
    assert schema.content_digest(folder / "one.parquet") != schema.content_digest(folder / "three.parquet")


def test_facts_travel_inside_the_file(tmp_path):
    schema.write(POINTS, table(), tmp_path / "p.parquet", {"seconds": 3})
    assert schema.facts(tmp_path / "p.parquet") == {"seconds": 3}


@pytest.mark.parametrize("manifest", ALL, ids=lambda m: m.name)
def test_every_manifest_of_ours_is_well_formed(manifest, tmp_path):
    names = [c.name for c in manifest.columns]
    assert len(set(names)) == len(names) and set(manifest.key) <= set(names)
    assert all(c.doc for c in manifest.columns) and manifest.doc
    schema.write(manifest, manifest.empty(), tmp_path / manifest.file)
