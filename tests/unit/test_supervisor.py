"""What the supervisor does without a database."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from service import supervisor


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the name is the library's
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_our_own_address_is_asked_without_the_proxy_of_the_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        assert supervisor._is_ready(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
    assert not supervisor._is_ready(f"http://127.0.0.1:{server.server_port}")
