"""The report and the judging page in a real browser: no error, nothing asked of a network, and the keys do what they say.

Needs a Chromium on the machine (Debian's package `chromium`, which `.ci/run` installs). Screenshots stay in
build/screenshots.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data import pair_annotations
from pipeline import manifests, schema
from stages.annotation import questions
from stages.annotation.server import Session, server
from stages.report import STAGE
from tests.report_world import NO_TRUTH, TRUTH, make_run

PICTURES = Path(__file__).resolve().parents[1] / "build" / "screenshots"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine; Debian: apt-get install chromium")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as play:
        # Root, as in most CI containers, has no sandbox to go into.
        opened = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


class Visit:
    """A page, and everything it complained of or asked for beyond ``allowed``."""

    def __init__(self, browser: Any, url: str, allowed: str, **context: Any) -> None:
        self.page = browser.new_page(**context)
        self.wrong: list[str] = []
        self.page.on("console", lambda said: self.wrong.append(said.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("requestfailed", self._failed)
        self.page.on("request", lambda asked: asked.url.startswith(allowed) or self.wrong.append(asked.url))
        self.page.goto(url)

    def _failed(self, asked: Any) -> None:
        if asked.failure != "net::ERR_ABORTED":  # left behind by going to the next page
            self.wrong.append(f"{asked.failure}: {asked.url}")

    def keep(self, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


def test_the_report_in_a_browser(browser: Any, tmp_path: Path) -> None:
    ctx = make_run(tmp_path / "r", 130, ("gate", "hall", "yard"), metrics=TRUTH)
    STAGE.run(ctx)
    visit = Visit(
        browser, (ctx.out / "index.html").as_uri(), "file:", viewport={"width": 1280, "height": 900}
    )
    page = visit.page
    cards = page.locator("#cards > .person:visible")
    assert cards.count() == 60
    page.fill("#filter", "yard")
    assert (
        0 < cards.count() <= 60
        and page.locator("#cards > .person:visible h5[title=yard]").count() == cards.count()
    )
    number = page.locator("#cards > .person").nth(7).get_attribute("data-p")
    page.fill("#filter", number)
    assert cards.count() == 1 and page.inner_text("#shown") == "1 of 60 on this page"
    page.fill("#filter", "nobody")
    assert cards.count() == 0
    page.fill("#filter", "")
    page.check("#only-doubtful")
    doubtful = cards.count()
    assert 0 < doubtful < 60 and page.locator("#cards > .person:visible:not(:has(.doubtful))").count() == 0
    page.uncheck("#only-doubtful")
    # A link to a card that the filter hides shows it all the same.
    page.fill("#filter", "nobody")
    page.evaluate(f"location.hash = 'person-{number}'")
    page.locator(f"#person-{number}:visible").wait_for()
    assert page.input_value("#filter") == "" and cards.count() == 60
    # A doubtful person leads to the card among all people, wherever that is.
    link = page.locator("#doubtful h4 a").first
    name = link.inner_text()
    link.click()
    assert page.locator(":target h4").inner_text() == name
    page.goto((ctx.out / "index.html").as_uri())
    page.locator("svg.timeline a").first.hover()
    assert page.locator("svg.timeline.asked").count() > 0
    page.locator("nav.pages a").first.click()
    page.wait_for_url("**/people-2.html")
    assert page.locator("#cards > .person").count() == 60
    page.goto((ctx.out / "index.html").as_uri())
    broken = "images => images.filter(i => i.complete && !i.naturalWidth).length"
    page.locator("#confusions").scroll_into_view_if_needed()
    assert page.eval_on_selector_all("img", broken) == 0
    visit.keep("report")
    assert visit.wrong == []


@pytest.mark.parametrize(("name", "scheme", "width"), [("dark", "dark", 1280), ("phone", "light", 390)])
def test_dark_and_small(browser: Any, tmp_path: Path, name: str, scheme: str, width: int) -> None:
    ctx = make_run(tmp_path / "r", 12, ("gate", "hall"), metrics=NO_TRUTH)
    STAGE.run(ctx)
    url = (ctx.out / "index.html").as_uri()
    visit = Visit(browser, url, "file:", color_scheme=scheme, viewport={"width": width, "height": 800})
    # Wide tables scroll in their own frames: the page itself never does.
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width
    ground = visit.page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = sum(int(v) for v in ground.strip("rgb()").split(",")[:3]) < 200
    assert dark == (scheme == "dark")
    visit.keep(f"report-{name}")
    assert visit.wrong == []


def test_a_report_of_nobody(browser: Any, tmp_path: Path) -> None:
    ctx = make_run(tmp_path / "r", 0, ("gate",), metrics=NO_TRUTH, rounds=1)
    STAGE.run(ctx)
    visit = Visit(browser, (ctx.out / "index.html").as_uri(), "file:")
    assert "no person was found" in visit.page.inner_text("h1")
    empty = visit.page.eval_on_selector_all(
        "figure.plot", "all => all.filter(f => !f.querySelector('svg, .missing, video')).length"
    )
    assert empty == 0
    visit.keep("report-nobody")
    assert visit.wrong == []


@pytest.fixture
def judged(tmp_path: Path) -> Session:
    """Six people in two cameras, with a picture of each tracklet."""
    ctx = make_run(tmp_path / "r", 6, ("gate", "hall"), metrics=NO_TRUTH)
    tracklets, crops, identities = (
        schema.read(m, ctx.inputs[m.name][-1])
        for m in (manifests.TRACKLETS, manifests.CROPS, manifests.IDENTITIES)
    )
    probe = questions.probe_pairs(identities, tracklets)
    ids = sorted(tracklets.tracklet_id)
    return Session(
        ctx.run_dir, ctx.run_dir / pair_annotations.PLACE, tracklets.set_index("tracklet_id"),
        dict(list(crops.groupby("tracklet_id"))), probe, [(ids[0], ids[7]), (ids[1], ids[8])], threading.Lock(),
    )  # fmt: skip


def test_judging_in_a_browser(browser: Any, judged: Session) -> None:
    with server(judged, 0) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{listening.server_port}/"
        visit = Visit(browser, address, address)
        page = visit.page
        page.wait_for_selector("#pair section img")
        assert page.eval_on_selector_all("#pair img", "images => images.length") == 2
        visit.keep("judge")

        def after(what: Any, left: int) -> None:
            what()
            page.locator("#said", has_text=f"{left} left").wait_for()

        after(lambda: page.keyboard.press("s"), 5)
        after(lambda: page.keyboard.press("d"), 4)
        after(lambda: page.click("[data-answer=unsure]"), 3)
        after(lambda: page.keyboard.press("z"), 4)
        after(lambda: page.click("[data-answer=same]"), 3)
        assert page.inner_text("#said").startswith("2 of 3 right: 67 %")
        page.click("[data-kind=link]")
        page.locator("#said", has_text="0 answered").wait_for()
        after(lambda: page.keyboard.press("d"), 1)
        after(lambda: page.keyboard.press("s"), 0)
        assert "No more questions" in page.inner_text("#pair")
        visit.keep("judge-done")
        listening.shutdown()
    kinds = [j.kind for j in pair_annotations.read(judged.answers)]
    assert sorted(kinds) == ["link", "link", "probe", "probe", "probe"]
    assert visit.wrong == []
