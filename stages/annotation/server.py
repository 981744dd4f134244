"""``python -m pipeline annotate --run RUN``: a page on this machine alone that asks about pairs of tracklets.

Served on the loopback address only. Requests must name that address as their host and answers must come from the page
itself, so that no other site open in the browser can read pictures or answer for you.
"""

from __future__ import annotations

import csv
import json
import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pandas as pd

from data import pair_annotations, spreadsheet
from data.crops import read_jpeg
from data.pair_annotations import PairAnnotation
from pipeline import schema
from pipeline.errors import UserError, one_line
from pipeline.manifests import CROPS, IDENTITIES, TRACKLETS
from stages.annotation import questions

PAGE = Path(__file__).with_name("page.html")
SHOWN = 6  # pictures of a tracklet


@dataclass
class Session:
    """One run being annotated; ``lock`` guards the answers."""

    run: Path
    answers: Path
    tracklets: pd.DataFrame  # by tracklet_id
    crops: dict[str, pd.DataFrame]
    probe: list[tuple[str, str]]
    link: list[tuple[str, str]]
    lock: threading.Lock

    def state(self, kind: str) -> dict[str, Any]:
        """The next question of a kind, how many are left, and the precision so far."""
        said = pair_annotations.read(self.answers)
        # A pair answered in the other kind is known already; it is not asked twice.
        known = {(j.a, j.b) for j in said}
        left = [pair for pair in (self.probe if kind == "probe" else self.link) if pair not in known]
        found = questions.precision(self.probe, said)
        return {
            "kind": kind,
            "question": [self.about(tracklet) for tracklet in left[0]] if left else None,
            "left": len(left),
            "answered": sum(j.kind == kind for j in said),
            "precision": found._asdict(),
        }

    def about(self, tracklet: str) -> dict[str, Any]:
        """What the page shows of a tracklet."""
        row = self.tracklets.loc[tracklet].to_dict()
        start, end = (pd.Timestamp(row[c], unit="us", tz="UTC") for c in ("t_start_us", "t_end_us"))
        return {
            "tracklet": tracklet, "camera": str(row["camera_id"]), "start": f"{start:%Y-%m-%d %H:%M:%S}",
            "end": f"{end:%H:%M:%S}", "pictures": len(self.crops.get(tracklet, ())),
        }  # fmt: skip

    def picture(self, tracklet: str, number: int) -> bytes | None:
        """A JPEG, or None where there is none."""
        rows = self.crops.get(tracklet)
        if rows is None or not 0 <= number < len(rows):
            return None
        row = rows.iloc[number]
        try:
            return read_jpeg(self.run / row["shard"], int(row.offset), int(row["size"]))
        except (OSError, ValueError):
            return None  # purged while the page was open


def open_session(run: Path, log_odds: Callable[[], Any], threshold: float) -> Session:
    """Read a finished run.

    Args:
        log_odds: gives (T, T) of TRACKLETS in order of their ids, for the questions that teach.

    Raises:
        UserError: the run has no identities yet, or its crops were purged.
    """
    from data.tracklet_rows import evenly

    path = run / "identify" / IDENTITIES.file
    if not path.is_file():
        raise UserError(f"{path}: not there; run `make identify RUN={run}` first.")
    tracklets = schema.read(TRACKLETS, run / "isolate" / TRACKLETS.file)
    tracklets = tracklets.sort_values("tracklet_id").reset_index(drop=True)
    crops = schema.read(CROPS, run / "isolate" / CROPS.file).sort_values(["tracklet_id", "t_utc_us"])
    crops = crops[evenly(crops.tracklet_id, SHOWN)]
    if not all((run / shard).is_file() for shard in crops["shard"].unique()):
        raise UserError(
            f"{run}: its crops are not there, perhaps purged; `make all RUN={run}` cuts them again."
        )
    probe = questions.probe_pairs(schema.read(IDENTITIES, path), tracklets)
    reserved = set(probe[: questions.RESERVED])
    link = questions.link_pairs(tracklets, log_odds(), threshold, reserved)
    return Session(
        run, run / pair_annotations.PLACE, tracklets.set_index("tracklet_id"),
        {str(name): rows for name, rows in crops.groupby("tracklet_id")}, probe, link, threading.Lock(),
    )  # fmt: skip


def server(session: Session, port: int) -> ThreadingHTTPServer:
    """Bound and ready to serve on the loopback address; port 0 takes a free one.

    Raises:
        UserError: the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 30  # s, after which whoever sends nothing no longer holds a thread

        def do_GET(self) -> None:
            if not self.own_host():
                return
            try:
                url = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(url.query).items()}
                self.get(url.path, query)
            except ValueError as error:  # of an address that is none
                self.refuse(400, error)
            except UserError as error:
                self.refuse(500, error)

        def get(self, path: str, query: dict[str, str]) -> None:
            if path == "/":
                self.send(200, "text/html; charset=utf-8", PAGE.read_bytes())
            elif path == "/state" and query.get("kind") in pair_annotations.KINDS:
                self.send_json(session.state(query["kind"]))
            elif path == "/picture" and re.fullmatch("[0-9]{1,4}", query.get("n", "")):
                found = session.picture(query.get("tracklet", ""), int(query["n"]))
                self.send(200, "image/jpeg", found) if found else self.send(
                    404, "text/plain", b"no such picture"
                )
            elif path == "/favicon.ico":  # every browser asks; there is none
                self.send(204, "image/x-icon", b"")
            else:
                self.send(404, "text/plain", b"no such page")

        def do_POST(self) -> None:
            if not self.own_host():
                return
            # A form of another site cannot send this type without asking the browser first, which we never allow.
            if self.headers.get("Content-Type") != "application/json":
                self.send(415, "text/plain", b"send JSON")
                return
            try:
                length = int(self.headers.get("Content-Length") or 0)
                said = json.loads(self.rfile.read(min(max(length, 0), 10_000)))
                with session.lock:
                    if self.path == "/undo":
                        pair_annotations.undo(session.answers)
                    else:
                        a, b = sorted((str(said["a"]), str(said["b"])))
                        if a not in session.tracklets.index or b not in session.tracklets.index:
                            raise ValueError(f"no tracklets {a} and {b}")
                        pair_annotations.answer(
                            session.answers, PairAnnotation(str(said["kind"]), a, b, str(said["answer"]))
                        )
                self.send_json(session.state(str(said.get("kind") or "probe")))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                self.refuse(400, error)
            except (UserError, OSError) as error:
                self.refuse(500, error)

        def own_host(self) -> bool:
            """Whether the browser asked for this very address: a name that was made to point here is turned away."""
            port = listening.server_port
            if self.headers.get("Host") in (f"127.0.0.1:{port}", f"localhost:{port}"):
                return True
            self.send(403, "text/plain", b"ask for 127.0.0.1")
            return False

        def refuse(self, status: int, error: Exception) -> None:
            self.send(status, "text/plain; charset=utf-8", one_line(str(error)).encode())

        def send_json(self, value: Any) -> None:
            self.send(200, "application/json", json.dumps(value).encode())

        def send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            for name, value in (
                ("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store"),
                ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
                ("Cross-Origin-Resource-Policy", "same-origin"),
                ("Content-Security-Policy", "default-src 'self' 'unsafe-inline'; frame-ancestors 'none'"),
            ):  # fmt: skip
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: which tracklets somebody looked at is nobody's business."""

    try:
        listening = _Server(("127.0.0.1", port), Handler)
    except (OSError, OverflowError) as error:
        raise UserError(f"--port {port}: cannot be used ({error}); name another, or 0 for any.") from None
    return listening


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away in the middle of an answer is no defect; anything else is shown as one."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def export(answers: Path, out: Path) -> int:
    """The answers that stand as CSV: kind, a, b, answer. Returns how many.

    Raises:
        UserError: the file cannot be written.
    """
    rows = pair_annotations.read(answers)
    try:
        with out.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(PairAnnotation._fields)
            writer.writerows([spreadsheet.cell(field) for field in row] for row in rows)
    except OSError as error:
        raise UserError(f"--export {out}: cannot be written ({error.strerror}); name another file.") from None
    return len(rows)
