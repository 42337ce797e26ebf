"""Secrets that were planted, and everything that was read where none may stand."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, Final

import httpx
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from tests.story.world import COMMAND, Serve, environment, postgres_processes

DEADLINE_S: Final = 60.0

SHOWN: Final = {
    ("URL of a webhook", "GET /v1/webhooks"): "an operator sees where a webhook goes",
}
"""What may stand where, and why."""


class Planted:
    """Every secret by where it was planted, the fields they went into, and everything that was read by where it was read."""

    def __init__(self) -> None:
        self.canaries: dict[str, str] = {}
        self.fields: set[str] = set()
        self.read: dict[str, str] = {}

    def plant(self, where: str, text: str, *fields: str) -> str:
        """Into `fields`, as Struct.field, of requests or of the settings; none when it comes to be elsewhere."""
        assert len(text) >= 12, where
        self.canaries[where] = text
        self.fields.update(fields)
        return text

    def hear(self, answer: httpx.Response) -> httpx.Response:
        """Keeps what was answered, headers too."""
        assert "server" not in answer.headers  # nor which program answers
        self.read[f"answer {len(self.read)} to {answer.request.method} {answer.request.url.path}"] = (
            f"{answer.headers}\n{answer.text}"
        )
        return answer

    def client(self, serve: Serve) -> httpx.Client:
        """Speaks without a key, and keeps what was answered."""
        return httpx.Client(
            base_url=serve.url,
            trust_env=False,
            timeout=20,
            event_hooks={"response": [lambda answer: (answer.read(), self.hear(answer))]},
        )

    def found(self) -> list[tuple[str, str]]:
        """What stands where it may not."""
        return [
            (what, where)
            for what, text in self.canaries.items()
            for where, read in self.read.items()
            if text in read and (what, where.partition(" to ")[2]) not in SHOWN
        ]

    def look(self, serve: Serve) -> None:
        """Reads the logs of a server that has ended."""
        self.read[f"log {serve.log.name}"] = serve.words()
        self.read["log of PostgreSQL"] = "".join(
            path.read_text(errors="replace") for path in serve.data_dir.rglob("*.log")
        )

    def examine(self, serve: Serve, settings: dict[str, str]) -> str:
        """Reads the doctor's words, as text and as JSON."""
        words = ""
        for options in ([], ["--json"]):
            told = subprocess.run(
                [*COMMAND, "doctor", *options],
                env=environment(DATA_DIR=str(serve.data_dir), **settings),
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )
            self.read[f"doctor {options} {len(self.read)}"] = told.stdout + told.stderr
            words += told.stdout + told.stderr
        return words

    def list_processes(self, serve: Serve) -> None:
        """Reads the command lines."""
        for pid in [serve.process.pid, *serve.children()]:
            self.read[f"command line of {pid}"] = Path(f"/proc/{pid}/cmdline").read_text()


def postgres_backends(serve: Serve) -> Iterator[int]:
    """Ends connections of the service to PostgreSQL one by one, as an administrator would."""
    for pid in postgres_processes(serve.postgres_root):
        name = Path(f"/proc/{pid}/cmdline")
        if name.exists() and b"welltimed welltimed" in name.read_bytes():
            subprocess.run(["kill", "-TERM", str(pid)], check=False)
            yield pid


class TalkativeMail:
    """A mail server that asks for a password, and says in its refusals what it was told; it takes mail to `welcome`."""

    def __init__(self, welcome: str) -> None:
        self.welcome = welcome
        self.refused: list[str] = []
        self.passwords: list[str] = []
        self.links: list[str] = []

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if address == self.welcome:
            envelope.rcpt_tos.append(address)
            return "250 OK"
        self.refused.append(address)
        return f"550 5.7.1 <{address}> is not wanted, {self.passwords[-1]}"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        mail = message_from_bytes(envelope.content, policy=policy.SMTP)
        self.links.append(mail["List-Unsubscribe"].strip("<>"))
        return f"250 taken, {self.links[-1]}"

    def judge(self, server: SMTP, session: Any, envelope: Any, mechanism: str, told: Any) -> AuthResult:
        self.passwords.append(told.password.decode())
        return AuthResult(success=True)


@contextmanager
def talkative_mail(welcome: str) -> Iterator[tuple[TalkativeMail, int]]:
    mail = TalkativeMail(welcome)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(
        mail, hostname="127.0.0.1", port=port, ready_timeout=20, authenticator=mail.judge, auth_require_tls=False
    )
    controller.start()
    try:
        yield mail, port
    finally:
        controller.stop()
