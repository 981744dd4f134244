"""Shards: made once, whole or not at all, in this process or in several, and never by a run that is gone."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.shards import DONE, Shard, done_of_asked, fill, fill_all, note_asked


def write(text: str, folder: Path) -> str:
    (folder / "text").write_text(f"{text} {os.getpid()}", encoding="utf-8")
    return text


def refuse(folder: Path) -> None:
    (folder / "half").touch()
    raise UserError("this file is none")


def die(folder: Path) -> None:
    (folder / "half").touch()
    os.kill(os.getpid(), signal.SIGKILL)


def wait_and_write(started: Path, late: Path, folder: Path) -> None:
    started.touch()
    time.sleep(3)
    late.touch()


@pytest.mark.parametrize("workers", [1, 3])
def test_every_folder_is_filled_whatever_makes_them(tmp_path: Path, workers: int) -> None:
    todo = [(tmp_path / name, partial(write, name)) for name in "abcd"]
    assert {folder.name: said for folder, said in fill_all(todo, workers)} == {c: c for c in "abcd"}
    assert all((folder / DONE).exists() for folder, _ in todo)
    makers = {(folder / "text").read_text().split()[1] for folder, _ in todo}
    assert (str(os.getpid()) in makers) == (workers == 1)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_keeps_what_was_finished(tmp_path: Path, workers: int) -> None:
    todo = [(tmp_path / "a", partial(write, "a")), (tmp_path / "b", refuse)]
    with pytest.raises(UserError, match="this file is none"):
        list(fill_all(todo, workers))
    assert not (tmp_path / "b").exists()
    assert list(fill_all([(tmp_path / "b", partial(write, "b"))], workers)) == [(tmp_path / "b", "b")]
    assert not (tmp_path / "b" / "half").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_keep_going_makes_all_others_first(tmp_path: Path, workers: int) -> None:
    todo = [(tmp_path / "a", refuse), (tmp_path / "b", partial(write, "b")), (tmp_path / "c", refuse)]
    with pytest.raises(UserError, match=r"this file is none \(1 more of 3 failed"):
        list(fill_all(todo, workers, keep_going=True))
    assert (tmp_path / "b" / DONE).exists() and not (tmp_path / "a").exists()


def test_what_an_interrupted_stage_asked_for_is_told_by_camera(tmp_path: Path) -> None:
    shards = [
        Shard({"video": i}, partial(write, "x"), label) for i, label in enumerate(["gate", "gate", "yard"])
    ]
    folders = [tmp_path / str(i) for i in range(3)]
    assert done_of_asked(tmp_path) == {}
    note_asked(tmp_path, folders, shards)
    fill(folders[1], shards[1].make)
    assert done_of_asked(tmp_path) == {"gate": (1, 2), "yard": (0, 1)}


def test_a_killed_worker_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"run\.workers=1"):
        list(fill_all([(tmp_path / "a", die), (tmp_path / "b", die)], 2))
    assert not (tmp_path / "a").exists()


def test_workers_end_with_their_run(tmp_path: Path) -> None:
    started, late = tmp_path / "started", tmp_path / "late"
    script = tmp_path / "run.py"
    script.write_text(
        "from functools import partial\nfrom pathlib import Path\nfrom pipeline.shards import fill_all\n"
        "from tests.pipeline.test_shards import wait_and_write\n"
        f"make = partial(wait_and_write, Path({str(started)!r}), Path({str(late)!r}))\n"
        "if __name__ == '__main__':\n"
        f"    list(fill_all([(Path({str(tmp_path)!r}) / name, make) for name in 'ab'], 2))\n",
        encoding="utf-8",
    )
    root = Path(__file__).resolve().parents[2]
    run = subprocess.Popen([sys.executable, script], cwd=root, env={**os.environ, "PYTHONPATH": str(root)})
    deadline = time.monotonic() + 60
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert started.exists()
    run.kill()  # and not waited for: even the zombie of a parent counts as gone
    time.sleep(4)
    assert not late.exists()
    run.wait()
