"""A wall clock that can be set: a small library of ours, compiled here and preloaded into all processes of an installation, PostgreSQL's too."""

import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).with_name("wall_clock.c")


class WallClock:
    """`environment` is for what is to live by it; our own processes keep the time of the machine."""

    def __init__(self, folder: Path, compiler: str) -> None:
        """Compiles into `folder`, which the account of PostgreSQL must be able to reach. Raises CalledProcessError."""
        self._file = folder / "wall-clock-ahead"
        library = folder / "wall-clock.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, _SOURCE, "-ldl"], check=True)
        library.chmod(0o755)
        self._file.write_bytes(bytes(8))
        self._file.chmod(0o644)
        self.environment = {"LD_PRELOAD": str(library), "WALL_CLOCK_FILE": str(self._file)}

    def set(self, ahead: timedelta) -> None:
        """So far ahead of the machine's clock from this instant on."""
        with self._file.open("r+b", buffering=0) as file:  # in place: it is mapped
            file.write(int(ahead.total_seconds()).to_bytes(8, "little", signed=True))
