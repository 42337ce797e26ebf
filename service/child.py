"""Being a child of the supervisor: end when it ends, however it ended."""

import os
import signal
import sys
import threading


def end_with_parent() -> None:
    """Asks this process to terminate when its standard input closes, which the kernel sees to even after a kill -9."""

    def wait() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
