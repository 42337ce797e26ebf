"""Who used how much of the machine during a stretch: API workers, PostgreSQL, the background worker, the generator."""

import time
from typing import NamedTuple, Self

import msgspec

from loadtest import processes
from loadtest.server import Served


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Cores used on average, in cores (1 is one core busy all the time); `idle` of all cores together, `stolen` by a hypervisor."""

    api: float
    postgres: float
    background: float
    driver: float
    idle: float
    stolen: float


class Meter(NamedTuple):
    """Readings at one instant, in seconds of processor time."""

    at: float
    api_s: float
    postgres_s: float
    background_s: float
    driver_s: float
    idle_s: float
    stolen_s: float

    @classmethod
    def read(cls, served: Served) -> Self:
        """Reads them now."""
        machine = processes.machine()
        return cls(
            time.monotonic(),
            sum(processes.cpu_s(pid) for pid in served.api_pids()),
            processes.tree_cpu_s(served.postgres_pid),
            processes.cpu_s(served.background_pid()),
            time.process_time(),
            machine.idle_s,
            machine.stolen_s,
        )

    def since(self, before: "Meter") -> Usage:
        """What was used between the two readings."""
        seconds = self.at - before.at
        names = ("api", "postgres", "background", "driver", "idle", "stolen")
        spent = (max(late - early, 0.0) / seconds for late, early in zip(self[1:], before[1:], strict=True))
        return Usage(**dict(zip(names, spent, strict=True)))
