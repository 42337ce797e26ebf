"""A process of its own that uses an embedded PostgreSQL: started, asked to leave, or killed."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]

# Everything is imported before a process may drop to another account, which need not reach the interpreter's own files.
PROGRAM = """
import encodings.idna, os, sys
from pathlib import Path
from service.store.embedded import EmbeddedPostgres
from service.store.postmaster import read_pid_file
root, bin_dir, uid, home = sys.argv[1:]
if uid:
    os.setgroups([]); os.setresgid(int(uid), int(uid), int(uid)); os.setresuid(int(uid), int(uid), int(uid))
    os.environ["HOME"] = home
    os.umask(0o077)
server = EmbeddedPostgres(Path(root), bin_dir=Path(bin_dir) if bin_dir else None)
server.start()
print("ready", read_pid_file(Path(root) / "data").pid, server.dsn(), flush=True)
sys.stdin.readline()
server.stop()
print("left", flush=True)
"""


class UserProcess:
    """Starts the server in `root`, waits for a line, leaves. `prefix` is a command that runs it, such as setpriv."""

    def __init__(
        self,
        root: Path,
        bin_dir: Path | None,
        *,
        uid: int | None = None,
        home: Path | None = None,
        prefix: Sequence[str] = (),
    ) -> None:
        arguments = [str(root), str(bin_dir or ""), "" if uid is None else str(uid), str(home or "")]
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", PROGRAM, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )

    def wait_until_ready(self) -> tuple[int, str]:
        """Pid of the postmaster and the dsn."""
        assert self.process.stdout is not None
        words = self.process.stdout.readline().split()
        if words[:1] != ["ready"]:
            raise AssertionError(self.process.communicate()[1])
        return int(words[1]), words[2]

    def leave(self) -> None:
        out, err = self.process.communicate("leave\n", timeout=40)
        assert out == "left\n", err

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=10)
