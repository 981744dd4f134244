"""The cache: what is fresh is not run, what runs says why, and a kill or an error leaves nothing half-written."""

import pandas as pd
import pyarrow as pa
import pytest
from pydantic import Field

from pipeline.config import RunSettings
from pipeline.errors import UserError
from pipeline.graph import Node
from pipeline.runner import Runner, differences
from pipeline.schema import Column, Manifest, ManifestError
from pipeline.shards import Shard
from pipeline.stage import Settings, Stage, runtime_only

NUMBERS = Manifest("numbers", 1, "Numbers.", (Column("n", pa.int64(), "a number"),), ("n",))
SUMS = Manifest("sums", 1, "Sums.", (Column("total", pa.int64(), "their sum"),), ("total",))


class MakeConfig(Settings):
    count: int = Field(3, description="how many")
    noise: int = runtime_only(0, description="changes nothing")


class AddConfig(Settings):
    factor: int = Field(1, description="times")


class FakeSources:
    seed, device = 0, "cpu"

    def __init__(self):
        self.values = {"videos": ["a", "b"]}

    def value(self, name):
        return self.values[name]

    def fingerprint(self, name):
        return self.values[name]


class World:
    """Two stages on a scratch folder, counting how often each ran."""

    def __init__(self, folder):
        self.folder, self.sources, self.made, self.calls = folder, FakeSources(), [], []
        self.settings = {"make": MakeConfig(), "add": AddConfig(), "run": RunSettings(workers=1)}
        self.fail = None

    def make(self, ctx):
        self.calls.append("make")
        ctx.shards([Shard({"word": w}, lambda _, w=w: self.made.append(w)) for w in ctx.source("videos")])
        ctx.write(NUMBERS, pd.DataFrame({"n": range(ctx.settings.count)}))
        if self.fail:
            raise self.fail

    def add(self, ctx):
        self.calls.append("add")
        total = int(ctx.read(NUMBERS).n.clip(upper=3).sum()) * ctx.settings.factor
        ctx.write(SUMS, pd.DataFrame({"total": [total]}))

    def runner(self):
        make = Stage("make", (), (NUMBERS,), MakeConfig, 1, self.make, sources=("videos",))
        add = Stage("add", (NUMBERS,), (SUMS,), AddConfig, 1, self.add)
        nodes = [Node("make", make, "make", -1, {}), Node("add", add, "add", -1, {"numbers": ("make",)})]
        return Runner(self.folder, nodes, self.settings, self.sources)

    def run(self, force=()):
        self.calls = []
        runner = self.runner()
        with runner.lock():
            runner.run(runner.nodes, set(force))
        return self.calls


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path / "run")
    world.run()
    return world


def test_second_run_does_nothing(world):
    assert world.run() == []


def test_changed_setting_reruns_from_there_and_says_which(world):
    world.settings["add"] = AddConfig(factor=2)
    plans = world.runner().plan(world.runner().nodes, set())
    assert [p.reasons for p in plans] == [[], ["add.factor 1 → 2"]]
    assert world.run() == ["add"]


def test_speed_setting_reruns_nothing(world):
    world.settings["make"] = MakeConfig(noise=5)
    assert world.run() == []


def test_unchanged_result_stops_the_cascade(world):
    world.settings["make"] = MakeConfig(count=3, noise=1)
    world.sources.values["videos"] = ["a", "b", "c"]
    assert world.run() == ["make"]


def test_changed_result_goes_on(world):
    world.settings["make"] = MakeConfig(count=4)
    assert world.run() == ["make", "add"]


def test_one_more_word_makes_one_piece(world):
    assert world.made == ["a", "b"]
    world.sources.values["videos"] = ["a", "b", "c"]
    world.run()
    assert world.made == ["a", "b", "c"]


def test_force_runs_a_fresh_stage(world):
    assert world.run(force=["add"]) == ["add"]


def test_lost_output_is_made_again(world):
    (world.folder / "add" / "sums.parquet").unlink()
    assert world.run() == ["add"]


@pytest.mark.parametrize("error", [UserError("no person found"), RuntimeError("boom")])
def test_an_error_leaves_the_old_output_and_is_remembered(world, error):
    world.settings["make"], world.fail = MakeConfig(count=9), error
    with pytest.raises(type(error)):
        world.run()
    assert len(pd.read_parquet(world.folder / "make" / "numbers.parquet")) == 3
    assert not (world.folder / ".scratch" / "make").exists()
    world.fail = None
    assert world.run() == ["make", "add"]
    assert not list((world.folder / "failures").iterdir())


def test_full_disk_names_the_stage_and_what_to_do(world):
    world.settings["make"] = MakeConfig(count=9)
    world.fail = OSError(28, "No space left on device", "numbers.parquet")
    with pytest.raises(UserError, match=r"make: No space left on device .* run the same command again"):
        world.run()


def test_kill_between_the_two_renames_heals(world):
    (world.folder / "add").rename(world.folder / "add.old")
    runner = world.runner()
    assert not [p for p in runner.plan(runner.nodes, set()) if p.reasons]
    assert not (world.folder / "add").exists()  # who only looks must not undo a swap that goes on
    with runner.lock():
        assert (world.folder / "add").is_dir()
    assert world.run() == []


def test_undeclared_or_missing_output_is_a_defect(tmp_path):
    def run(ctx):
        with pytest.raises(KeyError):
            ctx.write(SUMS, pd.DataFrame({"total": [1]}))

    node = Node("make", Stage("make", (), (NUMBERS,), MakeConfig, 1, run), "make", -1, {})
    settings = {"make": MakeConfig(), "run": RunSettings(workers=1)}
    runner = Runner(tmp_path, [node], settings, FakeSources())
    with pytest.raises(ManifestError, match="without writing its output 'numbers'"):
        runner.run([node], set())
    assert not (tmp_path / "make").exists()


def test_second_run_in_one_folder_fails_clearly(world):
    runner = world.runner()
    with runner.lock(), pytest.raises(UserError, match="another run"), world.runner().lock():
        pass
    world.run()


def test_a_folder_that_cannot_be_written_is_said(world, tmp_path):
    (tmp_path / "file").write_text("")
    world.folder = tmp_path / "file"
    with pytest.raises(UserError, match="cannot be written"), world.runner().lock():
        pass


def test_a_damaged_receipt_counts_as_not_run(world):
    (world.folder / "add" / "receipt.json").write_text("{}")
    assert world.run() == ["add"]


def test_differences_name_the_leaf():
    old = {"settings": {"max_gap_s": 2.0, "a": 1}, "version": 1, "inputs": {"boxes of track": "x"}}
    new = {
        "settings": {"max_gap_s": 3.0, "a": 1},
        "version": 1,
        "inputs": {"boxes of track": "y"},
        "stage": "crop",
    }
    assert differences(old, new) == ["crop.max_gap_s 2.0 → 3.0", "boxes of track changed"]


def test_a_stage_is_at_least_as_new_as_the_tables_it_writes():
    """Pieces are kept by the stage's version; one that was left behind would hand out tables of an older kind."""
    from pipeline import graph

    for node in graph.build("weave", 1, optional={"supervised"}):
        for manifest in node.stage.outputs:
            assert node.stage.version >= manifest.version, (
                f"{node.stage.name} writes {manifest.name} {manifest.version}"
            )
