"""Questions that are fair, a server that answers this machine's own page alone, and a next round that obeys."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data import pair_annotations
from data.pair_annotations import PairAnnotation
from pipeline.__main__ import main
from pipeline.errors import UserError
from stages.annotation import questions
from stages.annotation.server import Session, export, server
from stages.association.grouping import CERTAIN, apply_constraints, identify


def world(n: int = 12, cameras: int = 3) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tracklet i is in camera i mod 3 and belongs to identity i // 4."""
    ids = [f"t{i:02d}" for i in range(n)]
    tracklets = pd.DataFrame(
        {"tracklet_id": ids, "camera_id": [f"c{i % cameras}" for i in range(n)], "t_start_us": np.arange(n) * 10**7,
         "t_end_us": np.arange(n) * 10**7 + 10**6}
    )  # fmt: skip
    return pd.DataFrame({"tracklet_id": ids, "identity": [i // 4 for i in range(n)]}), tracklets


def test_the_probe_is_all_pairs_across_cameras_in_an_order_that_stays() -> None:
    identities, tracklets = world()
    probe = questions.probe_pairs(identities, tracklets)
    camera, identity = (
        tracklets.set_index("tracklet_id").camera_id,
        identities.set_index("tracklet_id").identity,
    )
    wanted = {
        (a, b)
        for a in camera.index
        for b in camera.index
        if a < b and camera[a] != camera[b] and identity[a] == identity[b]
    }
    assert set(probe) == wanted and len(probe) == len(wanted)
    assert probe == questions.probe_pairs(identities.sample(frac=1, random_state=1), tracklets)
    # People that come on top do not change the order of the others; another seed does.
    fewer = questions.probe_pairs(identities[identities.identity < 2], tracklets)
    assert fewer == [pair for pair in probe if pair in set(fewer)]
    assert probe != questions.probe_pairs(identities, tracklets, seed=1)


def test_the_probe_s_first_questions_are_a_fair_draw() -> None:
    """Over many seeds every pair is as often among the first ones as any other."""
    identities, tracklets = world()
    pairs = sorted(questions.probe_pairs(identities, tracklets))
    count = dict.fromkeys(pairs, 0)
    for seed in range(600):
        for pair in questions.probe_pairs(identities, tracklets, seed)[:5]:
            count[pair] += 1
    expected = 600 * 5 / len(pairs)
    assert all(abs(c - expected) < 5 * expected**0.5 for c in count.values())


def test_doubtful_pairs_are_the_nearest_to_the_threshold_and_none_of_the_probe() -> None:
    _, tracklets = world()
    random = np.random.default_rng(0)
    log_odds = random.normal(0, 4, (12, 12))
    log_odds = log_odds + log_odds.T
    log_odds[0, 1] = log_odds[1, 0] = -np.inf
    barred = {("t02", "t03")}
    found = questions.link_pairs(tracklets, log_odds, 1.0, barred, max_items=8)
    camera = tracklets.camera_id.to_numpy()
    doubt = {
        (f"t{i:02d}", f"t{j:02d}"): abs(log_odds[i, j] - 1)
        for i in range(12)
        for j in range(i + 1, 12)
        if camera[i] != camera[j]
    }
    assert len(found) == 8 and not {("t00", "t01"), *barred} & set(found)
    assert [doubt[p] for p in found] == sorted(doubt[p] for p in found)
    used = [t for pair in found for t in pair]
    assert max(used.count(t) for t in used) <= 3
    assert doubt[found[0]] == min(d for p, d in doubt.items() if p not in barred)


def test_precision_counts_to_the_first_that_was_not_asked() -> None:
    probe = [("a", "b"), ("a", "c"), ("b", "c"), ("c", "d")]
    answers = [
        PairAnnotation("probe", "a", "b", "same"),
        PairAnnotation("link", "a", "c", "different"),
        PairAnnotation("probe", "b", "c", "unsure"),
    ]
    found = questions.precision(probe, answers)
    assert (found.right, found.answered, found.unsure) == (1, 2, 1)
    # A pair beyond the first gap was not drawn yet.
    assert questions.precision(probe, [PairAnnotation("probe", "c", "d", "same")]).answered == 0


def test_wilson_s_interval_covers_as_often_as_it_says() -> None:
    assert questions.wilson(0, 0) == (0.0, 1.0)
    assert questions.wilson(10, 10)[1] == 1.0 and questions.wilson(0, 10)[0] == 0.0
    random = np.random.default_rng(0)
    for share in (0.5, 0.8, 0.95):
        drawn = random.binomial(60, share, 4000)
        inside = [low <= share <= high for low, high in (questions.wilson(int(k), 60) for k in drawn)]
        assert 0.92 < np.mean(inside) < 0.98


def test_what_a_person_said_is_obeyed() -> None:
    ids = ["a", "b", "c", "d"]
    tracklets = pd.DataFrame({"tracklet_id": ids, "t_start_us": range(4)})
    log_odds = np.full((4, 4), -3.0)
    log_odds[0, 1] = log_odds[1, 0] = 5.0
    log_odds[2, 3] = log_odds[3, 2] = -np.inf
    apply_constraints(
        log_odds, ids, [("a", "b", False), ("b", "c", True), ("c", "d", True), ("x", "y", True)]
    )
    assert log_odds[0, 1] == log_odds[1, 0] == -np.inf and log_odds[1, 2] == CERTAIN
    assert log_odds[2, 3] == -np.inf  # seen at once: no answer makes two people one
    group = identify(tracklets, log_odds).set_index("tracklet_id").identity
    assert group["b"] == group["c"] and group["a"] != group["b"] and len(set(group)) == 3


# server ---------------------------------------------------------------------------------------------------------------


@pytest.fixture()
def session(tmp_path: Path) -> Session:
    identities, tracklets = world()
    (tmp_path / "shard").write_bytes(b"0123456789")
    crops = pd.DataFrame({"tracklet_id": ["t00", "t00"], "shard": "shard", "offset": [0, 4], "size": [4, 3]})
    probe = questions.probe_pairs(identities, tracklets)
    return Session(
        tmp_path, tmp_path / pair_annotations.PLACE, tracklets.set_index("tracklet_id"), {"t00": crops}, probe[:4],
        [("t00", "t05"), ("t01", "t06")], threading.Lock(),
    )  # fmt: skip


@pytest.fixture()
def address(session: Session) -> Iterator[tuple[str, int]]:
    with server(session, 0) as listening:
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield "127.0.0.1", listening.server_port
        listening.shutdown()


def ask(address: tuple[str, int], path: str, body: Any = None, **headers: str) -> tuple[int, bytes, Any]:
    connection = http.client.HTTPConnection(*address, timeout=10)
    sent = None if body is None else json.dumps(body).encode()
    usual = {} if body is None else {"Content-Type": "application/json"}
    connection.request("GET" if body is None else "POST", path, sent, {**usual, **headers})
    reply = connection.getresponse()
    return reply.status, reply.read(), reply.headers


def test_a_visit(address: tuple[str, int], session: Session) -> None:
    status, page, headers = ask(address, "/")
    assert status == 200 and b"Same person?" in page and b"http" not in page.replace(b"http-equiv", b"")
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    state = json.loads(ask(address, "/state?kind=probe")[1])
    assert state["left"] == 4 and [q["tracklet"] for q in state["question"]] == list(session.probe[0])
    assert state["question"][0]["start"].startswith("1970-01-01 00:0")
    for number, said in enumerate(("same", "different", "unsure"), 1):
        a, b = session.probe[number - 1]
        state = json.loads(ask(address, "/answer", {"kind": "probe", "a": b, "b": a, "answer": said})[1])
        assert state["answered"] == number and state["left"] == 4 - number
    assert (
        state["precision"]["right"] == 1
        and state["precision"]["answered"] == 2
        and state["precision"]["unsure"] == 1
    )
    state = json.loads(ask(address, "/undo", {"kind": "probe"})[1])
    assert state["left"] == 2 and state["precision"]["unsure"] == 0
    assert (
        ask(address, "/picture?tracklet=t00&n=1")[1] == b"456"
        and ask(address, "/picture?tracklet=t00&n=2")[0] == 404
    )
    ask(address, "/answer", {"kind": "link", "a": "t00", "b": "t05", "answer": "different"})
    assert pair_annotations.links(session.answers) == [("t00", "t05", False)]
    out = session.run / "out.csv"
    assert export(session.answers, out) == 3
    assert (
        out.read_text().splitlines()[0] == "kind,a,b,answer" and "link,t00,t05,different" in out.read_text()
    )


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/state?kind=probe", None, {"Host": "evil.example"}, 403),
        ("/picture?tracklet=t00&n=0", None, {"Host": "evil.example:80"}, 403),
        (
            "/answer",
            {"kind": "probe", "a": "t00", "b": "t05", "answer": "same"},
            {"Host": "evil.example"},
            403,
        ),
        (
            "/answer",
            {"kind": "probe", "a": "t00", "b": "t05", "answer": "same"},
            {"Content-Type": "text/plain"},
            415,
        ),
        ("/answer", {"kind": "probe", "a": "t00", "b": "t99", "answer": "same"}, {}, 400),
        ("/answer", {"kind": "probe", "a": "t00", "b": "t05", "answer": "perhaps"}, {}, 400),
        ("/answer", ["no"], {}, 400),
        ("/answer", {"kind": "probe"}, {}, 400),
        ("/picture?tracklet=../../etc/passwd&n=0", None, {}, 404),
        ("/picture?tracklet=t00&n=-1", None, {}, 404),
        ("/state?kind=other", None, {}, 404),
        ("/etc/passwd", None, {}, 404),
    ],
)
def test_nobody_else_is_answered(
    address: tuple[str, int], session: Session, path: str, body: Any, headers: dict[str, str], status: int
) -> None:
    assert ask(address, path, body, **headers)[0] == status
    assert not pair_annotations.read(session.answers)


def test_a_port_that_is_taken_is_named(session: Session) -> None:
    with (
        server(session, 0) as first,
        pytest.raises(UserError, match=rf"--port {first.server_port}: cannot be used"),
    ):
        server(session, first.server_port)
    with pytest.raises(UserError, match="--port 99999"):
        server(session, 99999)


def test_a_run_without_identities_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["annotate", "--run", str(tmp_path / "none")]) == 2
    assert "make identify RUN=" in capsys.readouterr().err
