"""The report page of a run: plain HTML, drawn anew at each request, on a port of its own."""

import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from html import escape
from importlib import resources
from string import Template
from typing import Any, Final
from zoneinfo import ZoneInfo

import uvicorn

from service.demo import charts, tables
from service.demo.board import Board, ExplainedPush
from service.demo.local_week import ZONE
from service.demo.results import CAVEAT, Results

REFRESH_S: Final = 2

_ZONE: Final = ZoneInfo(ZONE)
_PAGE: Final = Template((resources.files("service.demo") / "templates" / "report.html").read_text(encoding="utf-8"))
_HEADERS: Final = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def render(board: Board) -> str:
    """The page as the board stands."""
    is_done = board.results is not None
    week = min(max(board.week() + (1 if board.week() >= 0 else 0), 0), board.world.weeks)
    return _PAGE.substitute(
        refresh="" if is_done else f'<meta http-equiv="refresh" content="{REFRESH_S}">',
        phase=escape(board.phase),
        caveat=escape(CAVEAT),
        households=board.world.households,
        weeks=board.world.weeks,
        week=week,
        facts=_facts(board, week),
        curve=charts.curves(board.weekly_redeemed(), board.world.weeks),
        funnel=charts.funnel(_steps(board)),
        heat=charts.heat_map(board.send_hours()),
        policies=_policies(board.results)
        if board.results
        else "<p>They are compared when the last window has closed.</p>",
        explained="".join(map(_explained, board.explained)) or "<p>When the run is done.</p>",
    )


def _facts(board: Board, week: int) -> str:
    rates = board.rates()
    pushes = max(rates.pushes, 1)
    shown = {
        "week": f"{week}",
        "events": f"{board.events:,}",
        "events/s": f"{board.events / max(board.elapsed_s(), 0.001):.0f}",
        "pushes": f"{rates.pushes:,}",
        "opened per push": f"{rates.opened / pushes:.1%}",
        "redeemed per push": f"{rates.redeemed / pushes:.1%}",
    }
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in shown.items())


def _steps(board: Board) -> list[tuple[str, int]]:
    rates = board.rates()
    begun = min(max(board.week() + 1, 0), board.world.weeks)
    return [
        ("household-weeks", begun * board.world.households),
        ("accepted", board.accepted),
        ("opened", rates.opened),
        ("redeemed", rates.redeemed),
    ]


def _policies(results: Results) -> str:
    spans = (("all weeks", results.whole), ("second half", results.second_half))
    compared = (
        f"<h2>How many times as many, {weeks}</h2>{_table(tables.COMPARISON_TITLES, tables.comparison(span))}"
        for weeks, span in spans
    )
    moments = (
        "<h2>The moment alone: opens where the engine sent, and its pushes from 22:00 to 06:00</h2>"
        f"{_table(tables.MOMENT_TITLES, tables.moments(results.moments))}"
    )
    return _table(tables.POLICY_TITLES, tables.policies(results)) + "".join(compared) + moments


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(map(_row, rows))}</tbody></table>"


def _row(cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _explained(push: ExplainedPush) -> str:
    sent = datetime.fromtimestamp(push.sent_at_s, _ZONE).strftime("%a %d %b, %H:%M")
    became = ", ".join(name for name, is_so in (("opened", push.opened), ("redeemed", push.redeemed)) if is_so)
    because = "".join(f"<li>{escape(reason)}</li>" for reason in push.why.because)
    return (
        f"<article><h3>{escape(push.title)}</h3>"
        f'<p class="quiet">{escape(push.user_id)}, {sent}: {became or "not answered"}</p>'
        f"<p>{escape(push.why.headline)}</p><ul>{because}</ul></article>"
    )


@contextmanager
def served(board: Board, port: int = 0) -> Iterator[str]:
    """Serves the page on this machine for the block, in a thread; gives its address. Raises OSError when the port is taken."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        server = uvicorn.Server(
            uvicorn.Config(_app(board), lifespan="off", log_config=None, access_log=False, ws="none")
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="report", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join(timeout=5)


def _app(board: Board) -> Callable[..., Awaitable[None]]:
    async def app(scope: MutableMapping[str, Any], _receive: Any, send: Send) -> None:
        is_page = scope["path"] == "/" and scope["method"] in {"GET", "HEAD"}
        body = render(board).encode() if is_page else b"Not found."
        headers = [*_HEADERS, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200 if is_page else 404, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app
