"""A child of the supervisor: what dies is started again."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

from service import telemetry

RESTART_PAUSE_S: Final = 0.5

_LOG: Final = telemetry.logger("supervisor")


class SupervisedProcess:
    """A process of ours that is started again when it ends by itself."""

    def __init__(self, role: str, environment: Mapping[str, str], on_end: Callable[[int], None]) -> None:
        self.role = role
        self._environment = environment
        self._on_end = on_end
        self._process: subprocess.Popen[bytes] | None = None
        self._may_start_at = 0.0

    def keep_alive(self) -> None:
        """Starts it when it does not run, at most twice a second."""
        if self._process is not None and self._process.poll() is None:
            return
        if time.monotonic() < self._may_start_at:
            return
        if self._process is not None:
            _LOG.warning("a process ended and is started again", role=self.role, code=self._process.returncode)
            self._on_end(self._process.pid)
        self._may_start_at = time.monotonic() + RESTART_PAUSE_S
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "service.cli", "serve", "--role", self.role, "--until-stdin-closes"],
            stdin=subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        )

    def terminate(self) -> None:
        """Asks it to end in order."""
        if self._process is not None:
            self._process.terminate()

    def wait(self, timeout_s: float) -> None:
        """Waits for its end, which is made when the time has passed."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
