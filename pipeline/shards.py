"""Shards: the pieces of a stage's work, each kept once made, and the small executor that makes the missing ones.

A shard is a plain function from paths to a folder, and can be pickled: it runs in this process, in one of several, or
in any engine that calls functions elsewhere, without its stage knowing. Its folder is renamed whole when the function
returns, so a killed run resumes at the last finished shard, and one more video costs one video.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError

DONE = ".done"


@dataclass(frozen=True)
class Shard:
    """One piece of work.

    key: what decides the result, beside the stage's settings and version (a video's digest, say).
    make: fills the empty folder it is given, and returns a sentence for the person who watches, or None. A
        `functools.partial` of a function of a module, over paths and plain values.
    """

    key: Mapping[str, Any]
    make: Callable[[Path], str | None]


def fill(folder: Path, make: Callable[[Path], str | None]) -> str | None:
    """Make one shard into ``folder``, whole or not at all."""
    scratch = folder.with_name(folder.name + ".part")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    sentence = make(scratch)
    (scratch / DONE).touch()
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)
    return sentence


def fill_all(todo: Sequence[tuple[Path, Callable[[Path], str | None]]], workers: int) -> Iterator[str | None]:
    """`fill` every (folder, make), in order in this process, or as they come from ``workers`` processes.

    Yields what each said. The first error ends it; shards under way are finished and kept.

    Raises:
        UserError: a process was killed, as the kernel does when memory runs out.
    """
    if workers <= 1 or len(todo) <= 1:
        for folder, make in todo:
            yield fill(folder, make)
        return
    with ProcessPoolExecutor(min(workers, len(todo)), _server(), _end_with_parent) as pool:
        futures: list[Future[str | None]] = [pool.submit(fill, *piece) for piece in todo]
        try:
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool:
            raise UserError(
                f"one of {workers} processes was killed, perhaps for want of memory; run the same command again with "
                f'fewer, SET="run.workers=1": finished work is kept.'
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _server() -> Any:
    """Workers forked from a clean process: forking this one would copy the locks of its threads."""
    context = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
    context.set_forkserver_preload(["data.crops", "pipeline.schema"])
    return context


def _end_with_parent() -> None:
    """A worker whose run was killed must not go on writing where the next run writes."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
