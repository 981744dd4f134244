"""Nothing leaves the machine, and what lies on it is its owner's alone."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from stages.annotation.server import server
from tests.conftest import without_network
from tests.tiny_site import request

ROOT = Path(__file__).resolve().parents[1]
DETECTOR = """
import os
import sys
from pathlib import Path

import numpy as np

from stages.detectors.yolo import DetectorSettings, TorchDetector, open_detector

weights, cache = Path("data/synthetic/detector.pt"), Path(os.environ["HOME"]) / "networks"
pictures = [np.random.default_rng(0).integers(0, 255, (96, 160, 3), np.uint8)] * 2
settings = DetectorSettings(image_size=160)
assert len(TorchDetector(weights, settings, "cpu").detect(pictures)) == 2
assert len(open_detector(weights, settings, frame_size=(96, 160), cache=cache).detect(pictures)) == 2

from ultralytics import SETTINGS, utils
from ultralytics.utils.events import events

assert not utils.TESTS_RUNNING  # which would keep it quiet, too
assert not utils.ONLINE and not events.enabled and not events.events
names = ("sync", "hub", "clearml", "comet", "dvc", "mlflow", "neptune", "raytune", "tensorboard", "wandb")
assert not any(SETTINGS.get(name) for name in names), SETTINGS
assert not SETTINGS.get("api_key")
assert sys.modules["openvino_telemetry"] is None and "sentry_sdk" not in sys.modules
print(utils.SETTINGS_FILE)
"""


def guarded(log, *words, **more):
    """A Python process that may not reach a network; what it said."""
    environment = {**without_network(log), **{k: str(v) for k, v in more.items()}}
    result = subprocess.run(
        [sys.executable, *map(str, words)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def refused(log):
    return [line for line in log.read_text().splitlines() if line.startswith("refused")]


def for_others(folder):
    """Files and folders that anybody but their owner may look into."""
    return [p for p in (folder, *folder.rglob("*")) if not p.is_symlink() and p.stat().st_mode & 0o077]


def test_the_guard_sees_every_way_out(tmp_path):
    text = """
import socket, urllib.request
for reach in (lambda: urllib.request.urlopen("http://127.0.0.1:9/"), lambda: socket.getaddrinfo("localhost", 80),
              lambda: socket.create_connection(("127.0.0.1", 9)), lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"", ("127.0.0.1", 9))):
    try:
        reach()
    except OSError as error:
        assert "no network in this test" in str(error), error
a, b = socket.socketpair()
"""
    guarded(tmp_path / "log", "-c", text)
    assert len(refused(tmp_path / "log")) == 4


def test_the_chain_reaches_no_network_and_writes_for_its_owner_alone(site, finished):
    log = site / "network.log"
    assert "process" in log.read_text() and refused(log) == []
    assert for_others(finished[0]) == []


@pytest.mark.slow
def test_workers_do_neither(site, tmp_path):
    run, log = tmp_path / "run", tmp_path / "log"
    guarded(log, "-m", "pipeline", "run", *request(site, run), "--set", "run.workers=2", "--until", "crop")
    assert log.read_text().count("process") > 2  # the run, the server of its workers, workers
    assert refused(log) == [] and for_others(run) == []


@pytest.mark.slow
def test_search_embed_and_zip_do_neither(run, tmp_path):
    row = pd.read_parquet(run / "export" / "gallery.parquet").iloc[0]
    picture, out, log = tmp_path / "who.jpg", tmp_path / "features.parquet", tmp_path / "log"
    picture.write_bytes((run / row["shard"]).read_bytes()[row["offset"] : row["offset"] + row["size"]])
    found = json.loads(guarded(log, "-m", "pipeline", "search", picture, "--run", run, "--json"))
    guarded(log, "-m", "pipeline", "embed", picture, "--run", run, "--out", out)
    guarded(log, "-m", "pipeline", "zip", "--run", run)
    assert refused(log) == []
    assert Path(found["sheet"]).is_file() and (run / "report.zip").is_file()
    assert for_others(run) == [] and for_others(out) == []


@pytest.mark.slow
def test_ultralytics_and_openvino_keep_quiet_and_to_our_folders(tmp_path):
    home, log = tmp_path / "home", tmp_path / "log"
    home.mkdir()
    settings = guarded(log, "-c", DETECTOR, HOME=home, XDG_CACHE_HOME=home / "cache")
    assert refused(log) == []
    assert Path(settings.splitlines()[-1]).is_relative_to(home / "cache" / "trackweave")
    assert {p.name for p in home.iterdir()} == {"cache", "networks"}
    assert {p.name for p in (home / "cache").iterdir()} == {"trackweave"}


def test_the_judge_listens_on_this_machine_alone():
    with server(None, 0) as listening:
        assert listening.server_address[0] == "127.0.0.1"
