"""A real SMTP server on 127.0.0.1 (aiosmtpd) that keeps what it takes, and refuses by the name of a mailbox."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP


class Mailboxes:
    """`gone@…` does not exist, `full@…` is full for now, `never@…` is refused by a rule, `spam@…` when the message has come, `cut@…` breaks off."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.bytes: list[bytes] = []
        self.url = ""

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        refused = {"gone": "550 5.1.1 no such mailbox", "full": "452 4.2.2 full", "never": "550 5.7.1 not from you"}
        answer = refused.get(address.partition("@")[0])
        if answer is None:
            envelope.rcpt_tos.append(address)
        return answer or "250 OK"

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        name = envelope.rcpt_tos[0].partition("@")[0]
        if name == "spam":
            return "554 5.6.0 this looks like spam"
        if name == "cut":
            server.transport.close()
            return "250 OK"
        mail = message_from_bytes(envelope.content, policy=policy.SMTP)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.bytes.append(envelope.content)
        return "250 OK"


@contextmanager
def mailing() -> Iterator[Mailboxes]:
    """The running server."""
    mailboxes = Mailboxes()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(mailboxes, hostname="127.0.0.1", port=port, ready_timeout=20)
    controller.start()
    mailboxes.url = f"smtp://127.0.0.1:{port}"
    try:
        yield mailboxes
    finally:
        controller.stop()
