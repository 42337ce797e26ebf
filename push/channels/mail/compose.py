"""A digest as an e-mail: text and HTML of the same offers, RFC 8058's one-click unsubscription, and nothing that tells who read it."""

import html
import re
from collections.abc import Sequence
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from importlib.resources import files
from string import Template
from typing import Final

from push.channel import Card, Message

ADDRESS_CHARACTERS_MAX: Final = 254

# A link that is folded onto a line of its own is right by the book, and not found by every reader of it.
_UNFOLDED: Final = SMTP.clone(max_line_length=900)
_TEMPLATES: Final = files("push.channels.mail")
_DIGEST: Final = Template(_TEMPLATES.joinpath("digest.html").read_text())
_CARD: Final = Template(_TEMPLATES.joinpath("card.html").read_text())
_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS: Final = re.compile(
    rf"[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{{|}}~-]+)*@(?:{_LABEL}\.)+{_LABEL}"
)
_LOCAL_CHARACTERS_MAX: Final = 64
_WEB: Final = re.compile(r"https?://[!-~]+")


def is_address(text: str) -> bool:
    """Whether it is an address that a header and an SMTP command can hold: ASCII, no quotes, no comment, no line break."""
    is_short = len(text) <= ADDRESS_CHARACTERS_MAX and text.find("@") <= _LOCAL_CHARACTERS_MAX
    return is_short and _ADDRESS.fullmatch(text) is not None


def masked(address: str) -> str:
    """What may be shown of an address: a***@example.com."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}***@{domain}"


def compose(message: Message, sender: str, now: datetime) -> bytes:
    """The whole e-mail, as SMTP takes it. The Message-ID is that of the outbox: the same if it is sent again.

    Raises:
        ValueError: the address is none, or there is no link to unsubscribe by.
    """
    if not is_address(message.address):
        raise ValueError("this is no e-mail address")
    if message.unsubscribe_url is None or not _WEB.fullmatch(message.unsubscribe_url):
        raise ValueError("no e-mail leaves without a link to unsubscribe by")
    cards = message.cards or (Card(message.title, message.body, message.image_url),)
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = message.address
    mail["Subject"] = _line(message.title)
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{message.outbox_id}@{parseaddr(sender)[1].rpartition('@')[2]}>"
    mail["List-Unsubscribe"] = f"<{message.unsubscribe_url}>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail.set_content(_text(cards, message.unsubscribe_url), cte="quoted-printable")
    mail.add_alternative(_html(message.title, cards, message.unsubscribe_url), subtype="html", cte="quoted-printable")
    return mail.as_bytes(policy=_UNFOLDED)


def _line(text: str) -> str:
    """On one line: what is no more than a space to a reader could begin another header."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _text(cards: Sequence[Card], unsubscribe_url: str) -> str:
    told = [
        "\n".join(part for part in (_line(card.title), card.body.strip(), _web(card.deep_link)) if part)
        for card in cards
    ]
    return "\n\n".join([*told, f"-- \nUnsubscribe: {unsubscribe_url}\n"])


def _html(subject: str, cards: Sequence[Card], unsubscribe_url: str) -> str:
    told = "\n".join(_card(card) for card in cards)
    return _DIGEST.substitute(subject=html.escape(_line(subject)), cards=told, unsubscribe=html.escape(unsubscribe_url))


def _card(card: Card) -> str:
    image, link = _web(card.image_url), _web(card.deep_link)
    shown = (
        f'<img src="{html.escape(image)}" alt="" width="512" style="max-width:100%;border-radius:6px">' if image else ""
    )
    return _CARD.substitute(
        title=html.escape(_line(card.title)),
        body=html.escape(card.body),
        image=shown,
        link=f'<p style="margin:0"><a href="{html.escape(link)}">Open</a></p>' if link else "",
    )


def _web(url: str | None) -> str:
    """A link that a mail program may follow; one into the app is of no use there, and a script is none."""
    return url if url is not None and _WEB.fullmatch(url) else ""
