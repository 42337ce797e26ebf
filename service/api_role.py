"""The role of an API worker."""

import uvloop

from service import garbage
from service.app import create_app
from service.fast_lane import FastLane
from service.resources import Resources
from service.settings import Settings
from service.sockets import reserve, server


def run(settings: Settings, dsn: str) -> None:
    """Serves the API until told to stop; requests in flight are finished.

    It listens when all is open: until then the kernel gives connections to its port mates.
    """
    resources = Resources(settings, dsn)
    app = create_app(resources)
    garbage.begin()
    uvloop.run(
        server(FastLane(app, resources) if settings.fast_lane else app).serve(
            sockets=[reserve(settings.host, settings.port)]
        )
    )
