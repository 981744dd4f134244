"""Declare, validate, write and read the tables that cross a stage boundary.

A :class:`Manifest` is a pyarrow schema with meanings, units, a key and rules. Between two stages lies a disk and
a week, so both `write` and `read` check all of it; the Parquet file carries name, version, docs and units itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


class ManifestError(Exception):
    """A table does not keep its contract. Says path, manifest, rule, how many rows broke it, and one of them."""


@dataclass(frozen=True)
class Column:
    name: str
    type: pa.DataType
    doc: str
    unit: str = ""


@dataclass(frozen=True)
class Manifest:
    """A table's contract.

    ``rules`` maps the sentence an error prints to a predicate over the table, True where a row keeps it.
    """

    name: str
    version: int
    doc: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    rules: Mapping[str, Callable[[pd.DataFrame], pd.Series]] = field(default_factory=dict, hash=False)

    @property
    def schema(self) -> pa.Schema:
        fields = [
            pa.field(c.name, c.type, nullable=False, metadata={"doc": c.doc, "unit": c.unit})
            for c in self.columns
        ]
        return pa.schema(fields, metadata={"manifest": self.name, "version": str(self.version)})

    @property
    def file(self) -> str:
        return f"{self.name}.parquet"

    def empty(self) -> pd.DataFrame:
        """A table of the right columns and types, and no rows."""
        return self.schema.empty_table().to_pandas()


def write(
    manifest: Manifest, frame: pd.DataFrame, path: Path, facts: Mapping[str, object] | None = None
) -> None:
    """Validate ``frame``, sort it by key and write it as zstd Parquet; the same rows give the same bytes.

    Raises:
        ManifestError: a column is missing, unknown, null or of another type, a key repeats, or a rule is broken.
    """
    names = [c.name for c in manifest.columns]
    # Table.from_pandas(schema=…) silently drops extra columns, so names are compared first.
    if missing := [n for n in names if n not in frame.columns]:
        raise ManifestError(f"{path}: manifest '{manifest.name}' lacks the columns {missing}")
    if extra := [n for n in frame.columns if n not in names]:
        raise ManifestError(f"{path}: manifest '{manifest.name}' does not declare the columns {extra}")
    frame = frame[names].sort_values(list(manifest.key), kind="stable").reset_index(drop=True)
    validate(manifest, frame, path)
    try:
        table = pa.Table.from_pandas(frame, schema=manifest.schema, preserve_index=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ManifestError(f"{path}: manifest '{manifest.name}': {error}") from error
    metadata = dict(manifest.schema.metadata or {})
    if facts:
        metadata[b"facts"] = json.dumps(facts, sort_keys=True).encode()
    pq.write_table(table.replace_schema_metadata(metadata), path, compression="zstd")


def read(manifest: Manifest, path: Path, video_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """Read and check a table written by :func:`write`; given ``video_ids``, the rows of these videos alone.

    Raises:
        ManifestError: the file is missing, is another manifest or version, or breaks the contract.
    """
    try:
        chosen = None if video_ids is None else [("video_id", "in", list(video_ids))]
        table = pq.read_table(path, partitioning=None, filters=chosen)
    except (OSError, pa.ArrowInvalid) as error:
        raise ManifestError(f"{path}: cannot be read as manifest '{manifest.name}': {error}") from error
    metadata = table.schema.metadata or {}
    found = (metadata.get(b"manifest", b"?").decode(), metadata.get(b"version", b"?").decode())
    if found != (manifest.name, str(manifest.version)):
        raise ManifestError(
            f"{path}: holds manifest '{found[0]}' version {found[1]}, "
            f"wanted '{manifest.name}' version {manifest.version}; rerun the stage that writes it"
        )
    if not table.schema.equals(manifest.schema, check_metadata=False):
        found_columns, wanted = ([f"{c.name} ({c.type})" for c in s] for s in (table.schema, manifest.schema))
        other = [c for c in found_columns if c not in wanted] or ["nothing else"]
        missing = [c for c in wanted if c not in found_columns] or ["nothing, in another order"]
        raise ManifestError(
            f"{path}: manifest '{manifest.name}' lacks {', '.join(missing)} and has {', '.join(other)} in their place; "
            f"rerun the stage that writes it"
        )
    frame = table.to_pandas()
    validate(manifest, frame, path)
    return frame


def validate(manifest: Manifest, frame: pd.DataFrame, path: Path) -> None:
    """Raise :class:`ManifestError` where a value is null, a key repeats or a rule is broken."""
    for column in manifest.columns:
        if frame[column.name].isna().any():
            _broken(manifest, frame, frame[column.name].notna(), f"{column.name} is never null or NaN", path)
    if frame.duplicated(list(manifest.key)).any():
        good = ~frame.duplicated(list(manifest.key), keep=False)
        _broken(manifest, frame, good, f"({', '.join(manifest.key)}) is unique", path)
    for sentence, holds in manifest.rules.items():
        good = holds(frame)
        if not good.all():
            _broken(manifest, frame, good, sentence, path)


def _broken(manifest: Manifest, frame: pd.DataFrame, good: pd.Series, sentence: str, path: Path) -> None:
    row = frame[~good].iloc[0].to_dict()
    raise ManifestError(
        f"{path}: manifest '{manifest.name}' breaks the rule \"{sentence}\" "
        f"in {int((~good).sum())} of {len(frame)} rows, for example {row}"
    )


def facts(path: Path) -> dict[str, object]:
    """What the writer noted inside the Parquet file: inputs, settings, code version, host, device, seconds."""
    return json.loads((pq.read_schema(path).metadata or {}).get(b"facts", b"{}"))


def content_digest(path: Path) -> str:
    """SHA-256 over the rows of a manifest file, blind to the facts its footer carries.

    The same result computed twice must stop the cascade, though host and seconds differ.
    """
    digest = hashlib.sha256()
    table = pq.read_table(path, partitioning=None)
    digest.update(table.schema.remove_metadata().to_string(show_field_metadata=False).encode())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema.remove_metadata()) as writer:
        for batch in table.combine_chunks().replace_schema_metadata(None).to_batches():
            writer.write_batch(batch)
    digest.update(sink.getvalue())
    return digest.hexdigest()


def columns_as_markdown(manifest: Manifest) -> str:
    """The columns of a table with type, unit and meaning, as a Markdown table."""
    lines = ["| column | type | unit | meaning |", "|---|---|---|---|"]
    for column in manifest.columns:
        key = " (key)" if column.name in manifest.key else ""
        lines.append(f"| `{column.name}`{key} | {column.type} | {column.unit} | {column.doc} |")
    return "\n".join(lines)
