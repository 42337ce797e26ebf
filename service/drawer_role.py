"""The role of a process that helps to draw a backlog."""

import os
from typing import Final

from service import garbage
from service.drawer import Drawer
from service.settings import Settings
from service.until_told import run_until_told

NICENESS: Final = 5
"""Steps behind those who answer and those who learn: of a core that one of them wants too it gets a quarter."""


def run(settings: Settings, dsn: str) -> None:
    """Draws until told to stop; then no further batch is begun."""
    os.nice(NICENESS)
    garbage.begin()
    run_until_told(Drawer(settings, dsn))
