"""Names that are code elsewhere: HTML on the report and the judge's page, Markdown, formulas in CSV, folders and lengths."""

from __future__ import annotations

import dataclasses
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from data import pair_annotations
from data.datasets.mot import read_mot
from data.pair_annotations import PairAnnotation
from data.spreadsheet import cell
from pipeline.manifests import BOXES, TRACKLETS, VIDEOS
from stages.annotation.server import PAGE, Session, export, server
from stages.evaluation.text_table import empty_metrics
from stages.identify import mot_name, write_files
from stages.report import STAGE
from stages.reporting.card import model_card
from tests.report_world import TRUTH, make_run
from tests.tables import whole_files

# Cameras have no '/' in their names, sites, notes and hosts may.
CAMERAS = (
    '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)' x='", "<svg onload=alert(1)>", "=cmd('-C calc')!A0",
    "{{ 7*7 }}{% raw %}<!--", "javascript:alert(1)", "]]><b>&lt;i&gt;",
)  # fmt: skip
CLOSING = "</script></title></style><script>alert(1)</script>"


class Elements(HTMLParser):
    """Every element a browser would make, and the text it would show."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def shape(page: Path) -> list[str]:
    return [tag for tag, _ in Elements(page.read_text(encoding="utf-8")).found]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two reports of the same world, one with hostile names and one with plain ones."""
    made = []
    for cameras, name in ((CAMERAS, CLOSING), (tuple(f"camera {i}" for i in range(len(CAMERAS))), "plain")):
        run = tmp_path_factory.mktemp("runs") / name.replace("/", "|")
        context = make_run(run, 3, cameras, metrics=TRUTH, people_per_page=2)
        for receipt in run.rglob("receipt.json"):
            facts = json.loads(receipt.read_text())
            told = {"settings": {"speed": name}, "sources": {"detector": name}}
            receipt.write_text(
                json.dumps({**facts, "host": name, "metadata": {name: name}, "fingerprint": told})
            )
        site = context.sources["site"]
        named = site.facts.model_copy(update={"site": site.facts.site.model_copy(update={"name": name})})
        context.sources["site"] = dataclasses.replace(site, facts=named)
        table = pd.read_parquet(run / "ingest" / "videos.parquet").assign(note=name, path=f"/v/{name}.mp4")
        from pipeline import schema

        schema.write(VIDEOS, table, run / "ingest" / "videos.parquet")
        STAGE.run(context)
        made.append(context.out)
    return made[0], made[1]


def test_hostile_names_make_no_element_that_plain_ones_do_not(pages: tuple[Path, Path]) -> None:
    hostile, plain = pages
    names = sorted(p.relative_to(plain) for p in plain.rglob("*.html"))
    assert len(names) > 1
    for name in names:
        assert shape(hostile / name) == shape(plain / name)


def test_nothing_on_the_pages_runs_and_names_are_shown(pages: tuple[Path, Path]) -> None:
    for page in pages[0].rglob("*.html"):
        parsed = Elements(page.read_text(encoding="utf-8"))
        assert sum(tag == "script" for tag, _ in parsed.found) == 1
        for _, attributes in parsed.found:
            assert not [key for key in attributes if key.startswith("on")]
            for key in ("href", "src", "srcset"):
                value = attributes.get(key) or ""
                assert ":" not in value and "<" not in value
    index = Elements((pages[0] / "index.html").read_text(encoding="utf-8"))
    text = " ".join(index.words)
    assert all(camera in text for camera in CAMERAS) and CLOSING in text


def test_the_model_card_shows_names_and_makes_nothing_of_them() -> None:
    facts = {
        "name": CLOSING,
        "footage": {"cameras": [*CAMERAS, "![a](http://tracker)", "`x`\n# head"], "hours": 1.0, "hours_trained": 1.0, "from_us": 0,
                    "until_us": 1, "train_until_us": 1},
        "model": {"backbone": "osnet", "parameters": 1, "image_size": [2, 1], "dim": 1, "method": "weave", "rounds": [1],
                  "weights": "a`b</script>\nc"},
        "files": [], "same_person": {}, "metrics": empty_metrics(),
    }  # fmt: skip
    card = model_card(facts)
    assert "\n# head" not in card and "\nc" not in card
    outside = "".join(card.split("```")[::2])
    for mark in ("<script", "<img", "<svg", "<b>", "![a]"):
        assert all(before.endswith("\\") for before in outside.split(mark)[:-1]), mark
    assert "`a'b</script> c`" in card  # as code it is shown as it is


# CSV --------------------------------------------------------------------------------------------------------------------


def small_run(camera: str, stem: str) -> tuple[pd.DataFrame, ...]:
    video, tracklet = f"{camera}_{stem}", f"{camera}_{stem}_0001"
    videos = whole_files(pd.DataFrame({
        "video_id": [video], "camera_id": camera, "path": f"/v/{stem}.mp4", "digest": "0", "status": "ok", "t_start_us": 0,
        "t_end_us": 10**6, "frames": 10, "width": 64, "height": 48, "fps": 10.0, "time_source": "assumed", "clock_scale": 1.0,
        "time_std_s": 1.0, "note": "",
    }))  # fmt: skip
    rows = {
        "tracklet_id": tracklet,
        "video_id": video,
        "frame": 3,
        "t_utc_us": 5,
        "x1": 1,
        "y1": 1,
        "x2": 5,
        "y2": 9,
    }
    boxes = pd.DataFrame({c.name: [rows.get(c.name, 1.0)] for c in BOXES.columns})
    rows = {"tracklet_id": tracklet, "parent_id": tracklet, "camera_id": camera}
    tracklets = pd.DataFrame({c.name: [rows.get(c.name, 1)] for c in TRACKLETS.columns})
    identities = pd.DataFrame({"tracklet_id": [tracklet], "identity": [1], "confidence": [1.0]})
    return identities, tracklets, boxes, videos


@pytest.mark.parametrize("camera", ["=cmd()", "+1", "-2+3", "@SUM(A1)", "＝1", "gate", '=HYPERLINK("x","y")', "a,b", 'a"b'])  # fmt: skip
def test_no_cell_is_a_formula_and_every_name_comes_back(tmp_path: Path, camera: str) -> None:
    write_files(tmp_path, *small_run(camera, "x"))
    table = pd.read_csv(tmp_path / "identities.csv", keep_default_na=False)
    for column, name in (
        ("camera", camera),
        ("video", f"{camera}_x"),
        ("tracklet", f"{camera}_x_0001"),
    ):
        shown = str(table[column].iloc[0])
        assert not shown.startswith(("=", "+", "-", "@", "＝")) and shown.removeprefix("'") == name
    assert read_mot(tmp_path / "mot" / f"{camera}_x.txt").frame.tolist() == [3]


def test_plain_cells_stay_as_they_are() -> None:
    assert [cell(name) for name in ("", "gate", "gate-1", "a=b", " =1")] == [
        "",
        "gate",
        "gate-1",
        "a=b",
        " =1",
    ]


def test_exported_answers_hold_no_formula(tmp_path: Path) -> None:
    pair_annotations.answer(tmp_path / "answers.jsonl", PairAnnotation("link", "=a", "=b", "same"))
    export(tmp_path / "answers.jsonl", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().splitlines()[1] == "link,'=a,'=b,same"


def test_names_of_files_are_no_longer_than_files_may_have(tmp_path: Path) -> None:
    assert mot_name("gate_20260501T080000Z") == "gate_20260501T080000Z.txt"
    long = ["門" * 200, "門" * 199 + "x", "y" * 251, "y" * 252]
    names = [mot_name(video) for video in long]
    assert len(set(names)) == 4 and max(len(name.encode()) for name in names) <= 255
    assert names[2] == "y" * 251 + ".txt"
    write_files(tmp_path, *small_run("門" * 80, "y" * 200))
    assert len(list((tmp_path / "mot").iterdir())) == 1


# the judge's server -----------------------------------------------------------------------------------------------------


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[tuple[Session, int]]:
    tracklets = pd.DataFrame(
        {"tracklet_id": ["a", "b"], "camera_id": [CAMERAS[0], CLOSING], "t_start_us": 0, "t_end_us": 1}
    ).set_index("tracklet_id")
    session = Session(
        tmp_path,
        tmp_path / pair_annotations.PLACE,
        tracklets,
        {},
        [("a", "b")],
        [("a", "b")],
        threading.Lock(),
    )
    with server(session, 0) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield session, serving.server_port
        serving.shutdown()


def ask(
    port: int, path: str, body: bytes | None = None, **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    usual = {} if body is None else {"Content-Type": "application/json"}
    connection.request("GET" if body is None else "POST", path, body, {**usual, **headers})
    reply = connection.getresponse()
    return reply.status, reply.read(), reply.headers


def test_the_judge_s_page_puts_names_as_text(listening: tuple[Session, int]) -> None:
    status, body, headers = ask(listening[1], "/state?kind=probe")
    assert status == 200 and headers["Content-Type"] == "application/json"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert [one["camera"] for one in json.loads(body)["question"]] == [CAMERAS[0], CLOSING]
    page = PAGE.read_text(encoding="utf-8")
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert way not in page


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/picture?tracklet=a&n=" + "9" * 5000, None, 404),
        ("/picture?tracklet=a&n=%D9%A1", None, 404),
        ("/answer", b"[" * 9000, 400),
        ("/answer", b'{"kind": "link", "a": "\\ud800", "b": "b", "answer": "same"}', 400),
        ("/answer", b"\xff\xfe", 400),
        ("/answer", b"9" * 9000, 400),
    ],
)
def test_requests_that_are_none_are_refused_in_words(
    listening: tuple[Session, int],
    capfd: pytest.CaptureFixture[str],
    path: str,
    body: bytes | None,
    status: int,
) -> None:
    found, said, _ = ask(listening[1], path, body)
    assert found == status and said.decode() and b"Traceback" not in said
    assert "Traceback" not in capfd.readouterr().err


def test_a_damaged_file_of_answers_is_named_on_the_page(
    listening: tuple[Session, int], capfd: pytest.CaptureFixture[str]
) -> None:
    session, port = listening
    session.answers.parent.mkdir(parents=True)
    session.answers.write_text("no answer\n{}\n")
    body = json.dumps({"kind": "link", "a": "a", "b": "b", "answer": "same"}).encode()
    for path, sent in (("/state?kind=probe", None), ("/undo", b"{}")):
        status, said, _ = ask(port, path, sent)
        assert status == 500 and b"answers.jsonl: line 1" in said
    assert ask(port, "/answer", body)[0] == 500  # said, and written down all the same
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "request_",
    ["GET http://[x HTTP/1.1\r\nHost: {}", "POST /answer HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: -5"],
)  # fmt: skip
def test_what_no_browser_sends_is_refused_and_holds_no_thread(
    listening: tuple[Session, int], capfd: pytest.CaptureFixture[str], request_: str
) -> None:
    with socket.create_connection(("127.0.0.1", listening[1]), timeout=10) as connection:
        connection.sendall((request_.format(f"127.0.0.1:{listening[1]}") + "\r\n\r\n").encode())
        assert b" 400 " in connection.recv(4096)
    assert "Traceback" not in capfd.readouterr().err
