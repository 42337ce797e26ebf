"""Ports that several processes share, and the HTTP server on them."""

import socket
from typing import Any, Final

import uvicorn

GRACE_S: Final = 10
BACKLOG: Final = 2048


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that other processes may share: the kernel spreads connections over them."""
    shared = reserve(host, port)
    shared.listen(BACKLOG)
    return shared


def reserve(host: str, port: int) -> socket.socket:
    """A bound socket that holds a port (any free one for 0) without taking connections."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    shared = socket.socket(family, socket.SOCK_STREAM)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    shared.bind((host, port))
    return shared


def server(app: Any) -> uvicorn.Server:
    """The HTTP server of one process; told to stop, it finishes what is in flight, for at most GRACE_S."""
    config = uvicorn.Config(
        app,
        http="httptools",
        loop="none",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_S,
    )
    return uvicorn.Server(config)
