"""The report page in a real browser: it shows its parts, breaks no rule of its own policy, and fits a phone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from service.demo import report
from service.demo.api import Explained
from service.demo.board import ExplainedPush
from tests.parts import CHROMIUM, needs_chromium
from tests.unit.test_demo_report import SENT_S, board, finished

pytestmark = [pytest.mark.browser, needs_chromium]

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """The page of a finished run; whatever the browser complains of fails the test."""
    complaints: list[str] = []
    done = board()
    done.results = finished(done)
    why = Explained(headline="20 % off milk", because=["You often buy milk."])
    done.explained = [ExplainedPush("hh-1", "20 % off milk", SENT_S, opened=True, redeemed=True, why=why)]
    with report.served(done) as url:
        opened = browser.new_page()
        opened.on("console", lambda message: complaints.append(message.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.goto(url)
        yield opened
        opened.close()
    assert not complaints


def test_it_shows_its_parts(page: Page) -> None:
    assert page.locator("svg").count() >= 3
    table = page.locator("table").first
    assert table.locator("tbody tr").count() == 4
    assert "engine" in table.inner_text()
    assert "You often buy milk." in page.locator("article").inner_text()
    assert "cannot be influenced by a push" in page.locator("body").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_keeps_its_contrast(page: Page, scheme: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    ink, paper = page.evaluate("(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))")
    assert _distance(ink, paper) > 400


def _distance(one: str, other: str) -> int:
    return sum(abs(a - b) for a, b in zip(_channels(one), _channels(other), strict=True))


def _channels(colour: str) -> list[int]:
    return [int(float(part)) for part in colour.partition("(")[2].rstrip(")").split(",")[:3]]
