"""Being a child of the supervisor: end when it ends, however it ended."""

import os
import signal
import threading


def end_with_parent() -> None:
    """Asks this process to terminate when its standard input closes, which the kernel sees to even after a kill -9."""

    def wait() -> None:
        while os.read(0, 4096):  # the descriptor itself: the buffered reader's lock would outlive the interpreter
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()
