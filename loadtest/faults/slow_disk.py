"""A disk that takes its time over each sync: a small library of ours, compiled here and preloaded into all processes of an installation."""

import subprocess
from pathlib import Path
from typing import Final

_SOURCE: Final = Path(__file__).with_name("slow_sync.c")


class SlowDisk:
    """`environment` is for what is to be slow; it and its children obey `delay` from then on."""

    def __init__(self, folder: Path, compiler: str) -> None:
        """Compiles into `folder`, which the account of PostgreSQL must be able to reach. Raises CalledProcessError."""
        self._file = folder / "slow-sync-ms"
        library = folder / "slow-sync.so"
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, _SOURCE, "-ldl"], check=True)
        library.chmod(0o755)
        self.delay(0.0)
        self._file.chmod(0o644)
        self.environment = {"LD_PRELOAD": str(library), "SLOW_SYNC_FILE": str(self._file)}

    def delay(self, seconds: float) -> None:
        """Of every sync that begins from now on."""
        self._file.write_text(str(round(1_000 * seconds)))
