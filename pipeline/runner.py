"""Fingerprint → hit, or run into scratch → validate → receipt → rename.

A node is fresh when the fingerprint in its receipt equals the one computed now from settings, sources and the
content of its inputs. Output is written to a scratch folder and renamed whole, the receipt last, so a kill at any
instant leaves the old output or the new, never half.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import receipts
from pipeline.errors import UserError
from pipeline.graph import Node
from pipeline.receipts import RECEIPT
from pipeline.shards import cores
from pipeline.sources import Sources
from pipeline.stage import Context, Settings, what_settings


@dataclass
class Plan:
    """What one node would do now: nothing (``reasons`` empty) or run, and why.

    again: only its files were taken away (`make purge`), and what comes of it now is what came of it before.
    """

    node: Node
    reasons: list[str]
    again: bool = False


class Runner:
    """Runs nodes of one run folder. Hold its `lock` while you `run`."""

    def __init__(
        self, run_dir: Path, nodes: list[Node], settings: Mapping[str, Settings], sources: Sources
    ) -> None:
        self.run_dir = run_dir
        self.nodes = nodes
        self.by_id = {node.id: node for node in nodes}
        self.settings = settings
        self.sources = sources

    def folder(self, node: Node) -> Path:
        return self.run_dir / node.folder

    def receipt(self, node: Node) -> dict[str, Any] | None:
        """The node's receipt, or None where it never finished or its output is gone."""
        receipt = self._written(node)
        if receipt is None:
            return None
        files = {*receipt.get("files", ()), *(manifest.file for manifest in node.stage.outputs)}
        if any(not (published_output(self.folder(node)) / name).is_file() for name in files):
            return None
        return receipt

    def _written(self, node: Node) -> dict[str, Any] | None:
        """The receipt of a node that finished, whether or not its files are still there."""
        return receipts.read(published_output(self.folder(node)) / RECEIPT)

    def fingerprint(self, node: Node) -> dict[str, Any]:
        """All parts that decide the node's result, stored apart so that `explain` can name the one that moved."""
        inputs = {}
        for name, providers in node.inputs.items():
            for provider in providers:
                receipt = self._written(self.by_id[provider])
                inputs[f"{name} of {provider}"] = receipt["outputs"].get(name) if receipt else None
        return {
            "stage": node.stage.name,
            "version": node.stage.version,
            "settings": what_settings(self.settings[node.stage.name]),
            "sources": {name: self.sources.fingerprint(name) for name in sorted(node.stage.sources)},
            "inputs": inputs,
            "manifests": {m.name: m.version for m in (*node.stage.inputs, *node.stage.outputs)},
        }

    def plan_node(self, node: Node, force: bool = False) -> Plan:
        if force:
            return Plan(node, ["forced"])
        receipt = self.receipt(node)
        if receipt is None:
            failure = self._failure_file(node)
            if failure.is_file():
                return Plan(node, [f"failed before: {failure.read_text(encoding='utf-8').strip()}"])
            receipt = self._written(node)
            if receipt is None:
                return Plan(node, ["not run yet"])
            changed = self._changed(node, receipt)
            reasons = ["missing files", *changed] if changed else ["missing files, made again when asked for"]
            return Plan(node, reasons, again=not changed)
        return Plan(node, self._changed(node, receipt))

    def _changed(self, node: Node, receipt: Mapping[str, Any]) -> list[str]:
        return differences(receipt["fingerprint"], json.loads(json.dumps(self.fingerprint(node))))

    def plan(self, until: list[Node], force: set[str]) -> list[Plan]:
        """Every node in order; one whose input will be made anew is listed as stale too."""
        plans: list[Plan] = []
        stale: set[str] = set()
        for node in until:
            plan = self.plan_node(node, node.stage.name in force or node.id in force)
            upstream = sorted({p for providers in node.inputs.values() for p in providers if p in stale})
            if upstream and (plan.again or not plan.reasons):
                plan = Plan(node, [*plan.reasons, f"{upstream[0]} runs before it"])
            if plan.reasons and not plan.again:
                stale.add(node.id)
            plans.append(plan)
        return plans

    def run(self, until: list[Node], force: set[str]) -> int:
        """Run what is stale, in order. Returns the number of nodes that ran."""
        ran = 0
        for node in until:
            plan = self.plan_node(node, node.stage.name in force or node.id in force)
            if not plan.reasons:
                continue
            print(f"{node.id}: {'; '.join(plan.reasons[:3])}", flush=True)
            self.run_node(node, forced="forced" in plan.reasons)
            ran += 1
        return ran

    def run_node(self, node: Node, forced: bool = False) -> None:
        """Run one node into scratch, validate, write its receipt, rename it into place; ``forced``: its shards anew, too."""
        scratch = self.run_dir / ".scratch" / node.folder
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        fingerprint = self.fingerprint(node)
        settings = self.settings[node.stage.name]
        context = Context(
            settings=settings,
            run_dir=self.run_dir,
            out=scratch,
            seed=self.sources.seed,
            device=self.sources.device,
            sources={name.partition(".")[0]: self.sources.value(name) for name in node.stage.sources},
            inputs={
                name: [self.folder(self.by_id[p]) / f"{name}.parquet" for p in providers]
                for name, providers in node.inputs.items()
            },
            outputs={m.name: m for m in node.stage.outputs},
            method=self.settings["run"].method,  # type: ignore[attr-defined]
            round=node.round,
            workers=self.settings["run"].workers or cores(),  # type: ignore[attr-defined]
            forced=forced,
            keep_going=self.settings["run"].keep_going,  # type: ignore[attr-defined]
            facts=self._facts(node, fingerprint),
            source_digests=fingerprint["sources"],
            shard_key_parts={
                "stage": node.stage.name,
                "version": node.stage.version,
                "settings": fingerprint["settings"],
                "sources": {k: v for k, v in fingerprint["sources"].items() if k not in _SITE_WIDE},
            },
        )
        start = time.monotonic()
        try:
            node.stage.run(context)
            digests = self._digests(node, scratch)
        except Exception as error:
            shutil.rmtree(scratch, ignore_errors=True)
            with contextlib.suppress(OSError):  # a full disk may have no room for that, either
                failure = self._failure_file(node)
                failure.parent.mkdir(parents=True, exist_ok=True)
                failure.write_text(f"{error}\n", encoding="utf-8")
            if isinstance(error, OSError):
                raise UserError(
                    f"{node.id}: {error.strerror or error} ({error.filename or self.run_dir}); "
                    f"mend that and run the same command again, finished work is kept."
                ) from error
            raise
        seconds = time.monotonic() - start
        receipt = {
            "node": node.id,
            "fingerprint": fingerprint,
            "outputs": digests,
            "files": sorted(path.name for path in scratch.iterdir() if path.is_file()),
            "seconds": round(seconds, 3),
            "metadata": context.metadata,
            "sources_digest": context.facts["code"],
            **_machine(self.sources.device),
        }
        (scratch / RECEIPT).write_text(json.dumps(receipt, indent=1, default=str), encoding="utf-8")
        _swap(scratch, self.folder(node))
        self._failure_file(node).unlink(missing_ok=True)
        print(f"  {node.id} done in {seconds:.1f} s", flush=True)

    def _facts(self, node: Node, fingerprint: Mapping[str, Any]) -> dict[str, Any]:
        """What each table of the node carries inside, for whoever is handed the file alone."""
        from pipeline.digest import text_digest

        return {
            "node": node.id,
            "stage_version": node.stage.version,
            "code": self.source_digest(node),
            "settings": fingerprint["settings"],
            "inputs": fingerprint["inputs"],
            "sources": {name: text_digest(value) for name, value in fingerprint["sources"].items()},
            **_machine(self.sources.device),
        }

    def source_digest(self, node: Node) -> str:
        """Digest of the node's own sources, the method's included, to notice a forgotten version bump."""
        return source_digest([node.stage.run.__module__, type(self.settings[node.stage.name]).__module__])

    def _digests(self, node: Node, folder: Path) -> dict[str, str]:
        from pipeline import schema

        digests = {}
        for manifest in node.stage.outputs:
            path = folder / manifest.file
            if not path.is_file():
                raise schema.ManifestError(f"{node.id} ended without writing its output '{manifest.name}'")
            digests[manifest.name] = schema.content_digest(path)
        return digests

    def _failure_file(self, node: Node) -> Path:
        return self.run_dir / "failures" / f"{node.id}.txt"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """`locked`, with what a kill left half done mended."""
        with locked(self.run_dir):
            for node in self.nodes:
                _heal(self.folder(node))
            yield


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """One run at a time in a folder; the kernel drops the lock with the process, so none goes stale.

    Raises:
        UserError: another process works there, or the folder cannot be written.
    """
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / ".lock").touch()
    except OSError as error:
        raise UserError(
            f"RUN={run_dir}: cannot be written ({error.strerror}); choose a folder you may write to."
        ) from None
    with open(run_dir / ".lock", "a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.seek(0)
            raise UserError(
                f"{run_dir}: another run (process {handle.read().strip() or '?'}) works in this folder; "
                "wait for it or choose another RUN."
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def _machine(device: str) -> dict[str, str]:
    return {"host": platform.node(), "device": device, "python": platform.python_version()}


# What concerns the whole site and not one piece of work: a piece must survive one more video.
_SITE_WIDE = {"videos", "site.clock", "site.prior", "site.view", "cut", "purged"}


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The leaves in which two fingerprints differ, as ``track.max_gap_s 2.0 → 3.0``."""
    stage = str(new.get("stage", ""))
    found = []
    for part in ("version", "settings", "sources", "inputs", "manifests"):
        before, after = old.get(part), new.get(part)
        if isinstance(before, dict) and isinstance(after, dict):
            for key in sorted(before.keys() | after.keys()):
                if before.get(key) != after.get(key):
                    found.append(_sentence(stage, part, key, before.get(key), after.get(key)))
        elif before != after:
            found.append(f"{stage} {part} {before} → {after}")
    return found


def settings_that_differ(a: Path, b: Path) -> list[str]:
    """What two runs were made of, where it is not the same: ``train.epochs 10 → 20``, ``videos changed``."""
    of_a, of_b = receipts.of_run(a), receipts.of_run(b)
    found: list[str] = []
    for node in sorted(set(of_a) | set(of_b)):
        if node not in of_a or node not in of_b:
            found.append(f"{node}: only in {a if node in of_a else b}")
            continue
        # What came in from earlier stages differs because those do.
        old, new = ({**of_run[node]["fingerprint"], "inputs": {}} for of_run in (of_a, of_b))
        found += [line for line in differences(old, new) if line not in found]
    return found


def _sentence(stage: str, part: str, key: str, before: Any, after: Any) -> str:
    if part == "settings":
        return f"{stage}.{key} {before} → {after}"
    if part == "inputs":
        return f"{key} changed" if before and after else f"{key} is {'new' if after else 'missing'}"
    if (
        part == "sources"
        and isinstance(before, (str, int, float))
        and len(str(before)) < 40 > len(str(after))
    ):
        return f"{key} {before} → {after}"
    return f"{key} changed"


def source_digest(modules: list[str]) -> str:
    """Digest of the modules' sources and of everything of ours that they import."""
    import ast
    import hashlib

    root = Path(__file__).resolve().parents[1]
    todo, seen = list(modules), {}
    while todo:
        name = todo.pop()
        path = root / (name.replace(".", "/") + ".py")
        if name in seen or not path.is_file() or name.startswith("pipeline"):
            continue
        text = path.read_bytes()
        seen[name] = hashlib.sha256(text).hexdigest()
        for item in ast.walk(ast.parse(text)):
            if isinstance(item, ast.ImportFrom) and item.module:
                todo += [item.module, *(f"{item.module}.{alias.name}" for alias in item.names)]
            elif isinstance(item, ast.Import):
                todo += [alias.name for alias in item.names]
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


def _swap(scratch: Path, final: Path) -> None:
    """Put a finished folder in place of the old one; `_heal` mends a kill between the two renames."""
    old = final.with_name(final.name + ".old")
    final.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    scratch.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def published_output(final: Path) -> Path:
    """Where a node's last output is: in its place, or beside it between `_swap`'s renames. Moves nothing."""
    old = final.with_name(final.name + ".old")
    return old if old.exists() and not final.exists() else final


def _heal(final: Path) -> None:
    """Mend a swap that a kill cut in two. Under the lock only, or a watcher would undo a swap that goes on."""
    if (old := published_output(final)) != final:
        old.rename(final)
    shutil.rmtree(final.with_name(final.name + ".old"), ignore_errors=True)
