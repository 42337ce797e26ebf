"""nginx of Debian as it would stand before a service: TLS and HTTP/2 outside, HTTP/1.1 to the app behind it."""

import subprocess
import time
from pathlib import Path
from socket import create_connection

from tests.parts import NGINX

_CONFIGURATION = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream app {{ server 127.0.0.1:{behind}; keepalive 64; }}
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {certificate}; ssl_certificate_key {key};
        http2_max_concurrent_streams 100;
        keepalive_requests {requests_a_connection};
        location / {{
            proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_next_upstream off; proxy_read_timeout 60s;
        }}
    }}
}}
"""


class Nginx:
    """A running nginx before 127.0.0.1:`behind`, which says goodbye (GOAWAY) after so many requests of a connection."""

    def __init__(
        self, folder: Path, *, port: int, behind: int, certificate: Path, key: Path, requests_a_connection: int
    ) -> None:
        assert NGINX is not None
        folder.mkdir(exist_ok=True)
        path = folder / "nginx.conf"
        path.write_text(
            _CONFIGURATION.format(
                folder=folder,
                port=port,
                behind=behind,
                certificate=certificate,
                key=key,
                requests_a_connection=requests_a_connection,
            )
        )
        command = [NGINX, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(path)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait_until_open(port)

    def _wait_until_open(self, port: int) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                assert self.process.poll() is None, "nginx ended"
                assert time.monotonic() < deadline, "nginx does not listen"
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
