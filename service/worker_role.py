"""The role of the background worker."""

from service import garbage
from service.planning.fcm_channel import fcm_channel
from service.settings import Settings
from service.until_told import run_until_told
from service.worker import Worker


def run(settings: Settings, dsn: str) -> None:
    """Works until told to stop; then nothing new is claimed, and what is on its way is settled."""
    channel = fcm_channel(settings)
    garbage.begin()
    run_until_told(Worker(settings, dsn, channel))
