"""E-mail as a channel: an SMTP server of the operator's takes the messages; what it answers is turned into outcomes (RFC 5321, RFC 3463)."""

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from datetime import datetime
from email.utils import parseaddr
from typing import Final, NamedTuple

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from push.channel import Accepted, Message, NotProcessed, Outcome, Rejected, RetryAfter, Unknown, Unregistered
from push.channels.mail.compose import compose
from push.meter import EXPIRED

CONNECTIONS_MAX: Final = 4
CONNECT_S: Final = 10.0
ANSWER_S: Final = 5.0
DATA_S: Final = 20.0
LANE_S: Final = 20.0
"""No message is begun later than this: with all waits of the last one it stays within the lease of the rows."""

RETRY_S: Final = 60.0
MENDED_AFTER_S: Final = 300.0
"""How long all wait for somebody who mends our account or sender."""

_NO_SUCH_MAILBOX: Final = "5.1."


class Server(NamedTuple):
    """An SMTP server: `is_tls` from the first byte (smtps), or by STARTTLS when `must_start_tls`."""

    host: str
    port: int
    user: str | None
    password: str | None
    is_tls: bool
    must_start_tls: bool

    def __repr__(self) -> str:
        return f"Server({self.host!r}, {self.port})"


class SmtpChannel:
    """Sends over a few connections at a time, each for one batch."""

    name = "email"

    def __init__(self, server: Server, sender: str, tls: ssl.SSLContext | None = None) -> None:
        self.account = f"smtp:{server.host}"
        self._server = server
        self._sender = sender
        self._envelope = parseaddr(sender)[1]
        self._tls = tls

    async def open(self) -> None:
        """Connections are made when they are needed."""

    async def close(self) -> None:
        """None is kept."""

    async def send(self, messages: Sequence[Message], now: datetime) -> list[Outcome]:
        """Sends all; one outcome a message, in order."""
        lanes = [list(range(first, len(messages), CONNECTIONS_MAX)) for first in range(CONNECTIONS_MAX)]
        outcomes: dict[int, Outcome] = {}
        for lane, found in zip(
            lanes,
            await asyncio.gather(*(self._lane([messages[place] for place in lane], now) for lane in lanes)),
            strict=True,
        ):
            outcomes.update(zip(lane, found, strict=True))
        return [outcomes[place] for place in range(len(messages))]

    async def _lane(self, messages: Sequence[Message], now: datetime) -> list[Outcome]:
        if not messages:
            return []
        client = self._client()
        try:
            async with asyncio.timeout(CONNECT_S):
                await client.connect()
        except SMTPAuthenticationError as error:
            return [RetryAfter(MENDED_AFTER_S, "project", f"not let in: {error.code}")] * len(messages)
        except (SMTPException, OSError, TimeoutError) as error:
            return [NotProcessed(f"no connection: {type(error).__name__}")] * len(messages)
        try:
            ends_at = asyncio.get_running_loop().time() + LANE_S
            return [await self._one(client, message, now, ends_at) for message in messages]
        finally:
            with contextlib.suppress(SMTPException, OSError, TimeoutError):
                await client.quit()
            client.close()

    def _client(self) -> SMTP:
        server = self._server
        return SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.is_tls,
            start_tls=True if server.must_start_tls else None if not server.is_tls else False,
            timeout=ANSWER_S,
            tls_context=self._tls,
        )

    async def _one(self, client: SMTP, message: Message, now: datetime, ends_at: float) -> Outcome:
        if message.expires_at <= now:
            return NotProcessed(EXPIRED)
        try:
            mail = compose(message, self._sender, now)
        except ValueError as error:
            return Rejected("INVALID_MESSAGE", str(error), is_payload_fault=False)
        if not client.is_connected or asyncio.get_running_loop().time() > ends_at:
            return NotProcessed("the connection is gone, or slow")
        try:
            await client.mail(self._envelope)
            await client.rcpt(message.address)
        except (SMTPSenderRefused, SMTPRecipientRefused) as error:
            with contextlib.suppress(SMTPException, OSError, TimeoutError):
                await client.rset()
            return refusal(error)
        except (SMTPException, OSError, TimeoutError) as error:
            client.close()
            return NotProcessed(type(error).__name__)
        return await _data(client, mail)


async def _data(client: SMTP, mail: bytes) -> Outcome:
    """From here on the server may have taken it, whatever comes back."""
    try:
        response = await client.data(mail, timeout=DATA_S)
    except SMTPDataError as error:
        return refusal(error)
    except (SMTPException, OSError, TimeoutError) as error:
        client.close()
        return Unknown(type(error).__name__)
    return Accepted(f"SMTP {response.code}")


def refusal(error: SMTPResponseException) -> Outcome:
    """What a refusal means: for now, of our sender, of this mailbox for good, or of this message."""
    reason = f"SMTP {error.code}"
    if isinstance(error, SMTPSenderRefused):
        return RetryAfter(MENDED_AFTER_S, "project", f"the sender is refused: {error.code}")
    if 400 <= error.code < 500:
        return RetryAfter(RETRY_S, "message", reason)
    # Only what is said of the mailbox itself makes its address a dead one: a full box or a rule against us does not.
    if isinstance(error, SMTPRecipientRefused) and error.message.startswith(_NO_SUCH_MAILBOX):
        return Unregistered()
    return Rejected(f"SMTP_{error.code}", reason, is_payload_fault=False)
