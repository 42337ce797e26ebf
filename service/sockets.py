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


class PortTaken(OSError):
    """Another program listens on the port; the message names the setting."""


def reserve_alone(host: str, port: int) -> socket.socket:
    """As `reserve`, for a port on which nobody listens yet: two installations on one port would share each other's requests.

    Raises:
        PortTaken: somebody listens there already.
    """
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # else what waits for its last packets counts too
        try:
            probe.bind((host, port))
        except OSError as error:
            raise PortTaken(f"WELLTIMED_PORT: cannot listen on {host}:{port}: {error.strerror}") from None
    return reserve(host, port)


def reserve(host: str, port: int) -> socket.socket:
    """A bound socket that holds a port (any free one for 0) without taking connections."""
    shared = socket.socket(_family(host), socket.SOCK_STREAM)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    shared.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    shared.bind((host, port))
    return shared


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


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
