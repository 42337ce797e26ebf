"""The channels besides push that send something, as this installation is set up."""

from typing import Any, Final
from urllib.parse import unquote, urlsplit

from push.channels.delivery_dispatcher import Lane
from push.channels.mail.channel import Server, SmtpChannel
from push.channels.mail.message import messages_of
from push.channels.mail.unsubscribe import UNSUBSCRIBE
from push.channels.webhooks import channel as webhooks
from push.channels.webhooks.channel import WebhookChannel
from push.sending.governor import Governor, SharedGovernor, Ungoverned
from schema.decision import Channel
from service.encryption import Encryption
from service.settings import Settings
from service.store.signing_keys import SigningKey

_PORT: Final = {"smtp": 587, "smtps": 465}


def webhook_lane(settings: Settings, pool: Any, encryption: Encryption) -> Lane:
    """Webhooks. Each endpoint's own answers limit its rate."""
    channel = WebhookChannel(pool, may_be_local=settings.webhooks_may_be_local, unseal=encryption.open)
    return Lane(Channel.WEBHOOK, channel, webhooks.message_of, Ungoverned())


async def mail_lane(settings: Settings, pool: Any, encryption: Encryption) -> Lane | None:
    """E-mail; None where the installation has no server for it."""
    if settings.smtp_url is None or settings.email_from is None or settings.public_url is None:
        return None
    channel = SmtpChannel(server_of(settings.smtp_url.reveal()), settings.email_from)
    key = await SigningKey(UNSUBSCRIBE).of(pool)
    governor: Governor = Ungoverned()
    if not settings.is_virtual_clock:
        governor = SharedGovernor(pool, channel.account, settings.smtp_messages_per_minute / 60)
    return Lane(Channel.EMAIL, channel, messages_of(key, settings.public_url.rstrip("/"), encryption.open), governor)


def server_of(url: str) -> Server:
    """What an smtp:// or smtps:// URL names. Over smtp the server must offer STARTTLS, unless it is on this machine."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_tls = parts.scheme == "smtps"
    return Server(
        host=host,
        port=parts.port or _PORT[parts.scheme],
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        is_tls=is_tls,
        must_start_tls=not is_tls and host not in {"localhost", "127.0.0.1", "::1"},
    )
