"""What an e-mail says of a delivery: the offers of its slate that may still be told, and the link that ends all e-mail."""

from collections.abc import Callable

from push.channel import Card, Message
from push.channels.delivery_claim import Delivery
from push.channels.mail.unsubscribe import token_of
from push.sealing import EMAIL, NotOpened, Unseal, plain

PATH = "/v1/unsubscribe/"


def messages_of(key: bytes, public_url: str, unseal: Unseal = plain) -> Callable[[Delivery], Message]:
    """Makes messages whose links lead to the API at `public_url` and are signed by `key`. An address that cannot be opened is none."""

    def message_of(row: Delivery) -> Message:
        slate = row.message["slate"]
        cards = tuple(
            Card(slot["title"], slot["body"], slot["image_url"], slot["deep_link"])
            for slot in (slate[place] for place in row.told)
        )
        return Message(
            outbox_id=str(row.outbox_id),
            address=_opened(row.address, unseal),
            address_kind="email",
            title=row.message["title"],
            body=row.message["body"],
            data=row.message["data"],
            collapse_id=str(row.outbox_id),
            expires_at=row.expires_at,
            cards=cards,
            unsubscribe_url=f"{public_url}{PATH}{token_of(key, row.user_id)}",
        )

    return message_of


def _opened(address: str, unseal: Unseal) -> str:
    try:
        return unseal(address, EMAIL)
    except NotOpened:
        return ""
