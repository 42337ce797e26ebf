"""The role of an API worker."""

import uvloop

from service import garbage
from service.app import create_app
from service.fast_lane import FastLane
from service.resources import Resources
from service.settings import Settings
from service.sockets import listen, server


def run(settings: Settings, dsn: str) -> None:
    """Serves the API until told to stop; requests in flight are finished."""
    resources = Resources(settings, dsn)
    app = create_app(resources)
    garbage.begin()
    uvloop.run(
        server(FastLane(app, resources) if settings.fast_lane else app).serve(
            sockets=[listen(settings.host, settings.port)]
        )
    )
