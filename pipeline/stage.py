"""What a stage is, and everything its ``run`` may touch.

A stage module ends in one literal, ``STAGE = Stage(name="track", inputs=(…), outputs=(…), config=…, version=…, run=run)``.
``run`` is a thin shell over pure functions; it reads and writes only through the :class:`Context`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from pipeline.digest import text_digest
from pipeline.errors import one_line

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.schema import Manifest
    from pipeline.shards import Shard

T = TypeVar("T")


class Settings(BaseModel):
    """Base of every stage's Config: immutable, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


def runtime_only(default: Any, **kwargs: Any) -> Any:
    """A field that changes how fast a result comes, never what it is (workers, device index): not fingerprinted."""
    return Field(default, json_schema_extra={"runtime_only": True}, **kwargs)


def what_settings(settings: Settings) -> dict[str, Any]:
    """The settings that decide the result, as plain JSON values."""
    values = settings.model_dump(mode="json")
    for name, info in type(settings).model_fields.items():
        if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get("runtime_only"):
            del values[name]
    return values


@dataclass(frozen=True)
class Stage:
    """One arrow of the chain.

    inputs: manifests it reads; outputs: manifests it writes into its own folder.
    sources: names of what it depends on from outside the chain ('videos', 'site.clock', 'weights', 'seed',
        'device', …), see `pipeline.sources`; their digests are part of the fingerprint.
    extra_inputs: read where some node provides them, else absent (a round's previous model).
    version: bumped by hand whenever the same inputs would give another output.
    """

    name: str
    inputs: tuple[Manifest, ...]
    outputs: tuple[Manifest, ...]
    config: type[Settings]
    version: int
    run: Callable[[Context], None]
    sources: tuple[str, ...] = ()
    extra_inputs: tuple[Manifest, ...] = ()


@dataclass
class Context:
    """A stage's whole world: settings in, manifests in, manifests out."""

    settings: Any
    run_dir: Path  # the run's folder, e.g. runs/market
    out: Path  # scratch; renamed to the stage's own folder once everything validated
    seed: int
    device: str  # 'cpu', 'cuda', 'cuda:1', 'mps'
    sources: Mapping[str, Any]
    inputs: Mapping[
        str, list[Path]
    ]  # manifest name → the files that hold it (several for per-round manifests)
    outputs: Mapping[str, Manifest]
    method: str = ""
    round: int = -1
    workers: int = 1  # processes for shards
    forced: bool = False  # make every shard anew
    keep_going: bool = False  # make all other shards before the first error ends the stage
    facts: Mapping[str, Any] = field(default_factory=dict)  # written into every table: what it was made of
    began: float = field(default_factory=time.monotonic)
    source_digests: Mapping[str, Any] = field(default_factory=dict)
    shard_key_parts: Mapping[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)

    def read(self, manifest: Manifest) -> pd.DataFrame:
        """The input table. Where several nodes provide it (rounds), the latest one before this node."""
        from pipeline import schema

        return schema.read(manifest, self.inputs[manifest.name][-1])

    def has(self, manifest: Manifest) -> bool:
        """Whether an optional input was provided by this run."""
        return bool(self.inputs.get(manifest.name))

    def paths(self, manifest: Manifest) -> list[Path]:
        """All files that hold this input, in round order; what lies beside the table lies in ``path.parent``."""
        return list(self.inputs.get(manifest.name, []))

    def write(self, manifest: Manifest, frame: pd.DataFrame) -> None:
        """Validate and write one of the declared outputs."""
        from pipeline import schema

        if manifest.name not in self.outputs:
            raise KeyError(f"'{manifest.name}' is not a declared output")
        seconds = round(time.monotonic() - self.began, 3)
        schema.write(manifest, frame, self.out / manifest.file, {**self.facts, "seconds": seconds})

    def source(self, name: str) -> Any:
        """What the stage declared in ``Stage.sources``."""
        return self.sources[name]

    def digest_of(self, name: str) -> Any:
        """What of a source decides the result: the digest of a file's content, or the plain value."""
        return self.source_digests.get(name, self.sources[name])

    def add_metadata(self, **facts: Any) -> None:
        """Plain facts for the receipt, `status` and the report ('detections': 8123)."""
        self.metadata.update(facts)

    def shards(self, shards: Sequence[Shard], workers: int | None = None, unit: str = "frames") -> list[Path]:
        """The finished folders of the shards, in their order; what is not kept from before, or forced, is made now.

        A shard is kept by its key, the stage's version and settings, and the sources that concern a piece of footage.
        ``workers``: processes at most, where the stage knows better than ``run.workers``; ``unit``: of `Shard.size`.
        """
        from pipeline import progress
        from pipeline.shards import DONE, fill_all, note_asked

        stage = str(self.shard_key_parts.get("stage", "stage"))
        home = self.run_dir / "shard_cache" / stage
        folders = [home / text_digest({**self.shard_key_parts, "key": dict(shard.key)}) for shard in shards]
        todo = {f: s for f, s in zip(folders, shards, strict=True) if self.forced or not (f / DONE).exists()}
        note_asked(home, folders, shards)
        if not todo:
            return folders
        pace = progress.Pace(stage, sum(shard.size for shard in todo.values()), unit, self.log)
        made = fill_all(
            [(folder, shard.make) for folder, shard in todo.items()],
            self.workers if workers is None else workers,
            self.keep_going,
        )
        progress.begin(pace if unit == "frames" else None)
        try:
            for folder, sentence in made:
                pace.settle(todo[folder].size)
                if sentence:
                    self.log(sentence)
        finally:
            progress.begin(None)
        return folders

    def progress(self, items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
        """See `pipeline.progress.bar`."""
        from pipeline.progress import bar

        return bar(items, label, total)

    def log(self, line: str) -> None:
        """One plain line for the person who watches."""
        print(f"  {one_line(line)}", flush=True)
