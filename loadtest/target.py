"""What is loaded."""

from typing import NamedTuple

from loadtest import sessions


class Target(NamedTuple):
    """A server on this machine: its port, the processes whose processor time counts, and how its sessions of PostgreSQL call themselves."""

    name: str
    port: int
    pids: tuple[int, ...]
    sessions: str = sessions.REFERENCE
