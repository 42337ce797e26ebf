"""What the supervisor does without a database."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

ASK = "import sys; from service import supervisor; print(supervisor._is_ready(sys.argv[1]))"


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # the name is the library's
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def asked(url: str, **surroundings: str) -> str:
    """In a process of its own: what the surroundings say is read when a module is imported."""
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    done = subprocess.run(
        [sys.executable, "-c", ASK, url], check=True, env=kept | surroundings, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_our_own_address_is_asked_without_the_proxy_of_the_surroundings(url: str) -> None:
    assert asked(url, http_proxy="http://127.0.0.1:9") == "True"


def test_an_address_that_does_not_answer_is_not_ready() -> None:
    assert asked("http://127.0.0.1:9") == "False"
