"""The role of an API worker."""

from collections.abc import Callable
from functools import partial

import uvloop

from service import garbage
from service.app import create_app
from service.client_address import ClientAddresses, networks
from service.connection import Connection
from service.connections import Connections
from service.fast_lane import FastLane
from service.front import Front
from service.http_server import ApiServer
from service.resources import Resources
from service.settings import Settings
from service.sockets import reserve


def run(settings: Settings, dsn: str) -> None:
    """Serves the API until told to stop; requests in flight are finished.

    It listens when all is open: until then the kernel gives connections to its port mates.
    """
    server = api_server(Resources(settings, dsn))
    garbage.begin()
    uvloop.run(server.serve(sockets=[reserve(settings.host, settings.port)]))


def api_server(resources: Resources) -> ApiServer:
    """The whole of an API worker but its socket."""
    settings = resources.settings
    addresses = ClientAddresses(networks(settings.trusted_proxies))
    front = Front(
        create_app(resources),
        resources.rate_limits,
        addresses,
        resources.knows,
        settings.decision_wait_ms / 1e3,
    )
    connections = Connections(
        settings.connections_max,
        settings.connections_per_address_max,
        addresses.is_trusted,
        settings.arriving_bodies_mib * 2**20,
    )
    hot = FastLane(resources) if settings.fast_lane else None
    return ApiServer(
        front,
        partial(Connection, connections, front.enter, hot, front.turn_away),
        connections,
        resources.begin_stop,
        settings.drain_s,
        _look_at(front),
    )


def _look_at(front: Front) -> Callable[[], None]:
    cycles = garbage.QuietLooks()

    def look() -> None:
        front.tell()
        if front.is_quiet():
            cycles.look()

    return look
