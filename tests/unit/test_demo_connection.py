"""The demo's connection outlives a server that closes what is idle."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from service.demo import connection
from service.demo.connection import Connection

KEPT_S = 0.1


class _Impatient(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = KEPT_S

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Impatient) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_what_was_idle_too_long_is_opened_anew(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "IDLE_MAX_S", KEPT_S / 2)
    ours = Connection(url)
    assert ours.call("POST", "/", {}, b"one") == b"one"
    time.sleep(3 * KEPT_S)
    assert ours.call("POST", "/", {}, b"two") == b"two"
    ours.close()
