"""The role of an API worker."""

import uvloop

from service import garbage
from service.app import create_app
from service.resources import Resources
from service.settings import Settings
from service.sockets import listen, server


def run(settings: Settings, dsn: str) -> None:
    """Serves the API until told to stop; requests in flight are finished."""
    app = create_app(Resources(settings, dsn))
    garbage.begin()
    uvloop.run(server(app).serve(sockets=[listen(settings.host, settings.port)]))
