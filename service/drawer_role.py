"""The role of a process that helps to draw a backlog."""

from service import garbage
from service.drawer import Drawer
from service.settings import Settings
from service.until_told import run_until_told


def run(settings: Settings, dsn: str) -> None:
    """Draws until told to stop; then no further batch is begun."""
    garbage.begin()
    run_until_told(Drawer(settings, dsn))
