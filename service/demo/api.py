"""The API of welltimed and the inbox of the stand-in, as an app, a till and an operator call them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import jwt
import msgspec

from schema.campaign import Campaign, CampaignOutcomes
from schema.contact_rules import ContactRules
from schema.discreet import shown_without
from schema.event import EVENTS_MAX, BatchAnswer
from service.demo.connection import ApiRefused, Connection

SETTLE_WAIT_S: Final = 120.0
_INBOX_LIMIT: Final = 10_000
_KID: Final = "demo"
_TOKEN_LIFE: Final = timedelta(days=7)


class TillEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A purchase or a redemption as the till reports it."""

    event_id: str
    type: str
    user_id: str
    occurred_at: str
    offer_id: str | None = None
    properties: dict[str, list[str]] = {}


class InboxData(msgspec.Struct, frozen=True):
    """What the app finds in a push."""

    decision_id: UUID
    offer_id: str


class InboxMessage(msgspec.Struct, frozen=True):
    """The part of an FCM message that the app reads."""

    data: InboxData


class Received(msgspec.Struct, frozen=True):
    """A message as it came to a phone; received_at is virtual."""

    address: str
    received_at: datetime
    message: InboxMessage


class Inbox(msgspec.Struct, frozen=True):
    """A stretch of the stand-in's feed."""

    messages: list[Received]
    next: int


class _Created(msgspec.Struct, frozen=True):
    secret: str

    def __repr__(self) -> str:
        return shown_without(self, "secret")


class Explained(msgspec.Struct, frozen=True):
    """Why a deal was chosen, in the server's own words."""

    headline: str
    because: list[str]
    data_used: list[str] = []


_NO_RULES: Final = ContactRules(quiet_hours=[], caps=[], min_gap_s=0)
_encode: Final = msgspec.json.Encoder().encode
_BATCH: Final = msgspec.json.Decoder(BatchAnswer)
_INBOX: Final = msgspec.json.Decoder(Inbox)
_CREATED: Final = msgspec.json.Decoder(_Created)
_OUTCOMES: Final = msgspec.json.Decoder(CampaignOutcomes)
_EXPLAINED: Final = msgspec.json.Decoder(Explained)


class Api:
    """A connection each for the clock and the tills, the phones, and the stand-in: calls on each go one after the other."""

    def __init__(self, url: str, stand_in_url: str, secret_key: str) -> None:
        self._server = Connection(url)
        self._phones = Connection(url)
        self._stand_in = Connection(stand_in_url)
        self._operator = {"authorization": f"Bearer {secret_key}", "content-type": "application/json"}
        self._phone: dict[str, str] = {}
        self._signing_secret = secret_key
        self._tokens: dict[str, str] = {}
        self._read_through = 0

    def close(self) -> None:
        """Closes the connections."""
        self._server.close()
        self._phones.close()
        self._stand_in.close()

    def move_clock(self, now_s: int) -> None:
        """Moves the virtual clock when all that is due by the present is done."""
        self._post_clock(now_s, first_wait_s=SETTLE_WAIT_S, wait_s=0.0)

    def settle(self, now_s: int) -> None:
        """Returns when all that is due by the present, which is given, is done."""
        self._post_clock(now_s, first_wait_s=0.0, wait_s=SETTLE_WAIT_S)

    def _post_clock(self, now_s: int, **waits: float) -> None:
        self._server.call("POST", "/v1/clock", self._operator, _encode({"now": instant(now_s), **waits}))

    def let_phones_in(self) -> None:
        """Makes a publishable key, and says whose user tokens count."""
        made = self._server.call("POST", "/v1/keys", self._operator, b'{"kind":"pk","scopes":[]}')
        self._phone = {"authorization": f"Bearer {_CREATED.decode(made).secret}", "content-type": "application/json"}
        signer = {"kid": _KID, "alg": "HS256", "secret": self._signing_secret}
        self._server.call("PUT", "/v1/identity", self._operator, _encode({"mode": "required", "keys": [signer]}))

    def lift_contact_rules(self) -> None:
        """No quiet hours, no caps, no gaps: the demo shows which deal and which moment are chosen when every one may be."""
        self._server.call("PUT", "/v1/contact-rules", self._operator, _encode(_NO_RULES))

    def upload_offers(self, table: bytes) -> None:
        """Uploads a CSV file of offers."""
        headers = {**self._operator, "content-type": "text/csv"}
        self._server.call("POST", "/v1/offers/imports", headers, table)

    def create_campaign(self, campaign: Campaign) -> None:
        """Creates a campaign."""
        self._server.call("POST", "/v1/campaigns", self._operator, _encode(campaign))

    def outcomes(self, campaign_id: str) -> CampaignOutcomes:
        """How the pushes of a campaign stand."""
        path = f"/v1/campaigns/{campaign_id}/outcomes"
        return _OUTCOMES.decode(self._server.call("GET", path, self._operator))

    def register_phone(self, user_id: str, device_id: str, address: str, time_zone: str) -> None:
        """Registers a person's phone, as its app does."""
        device = {"user_id": user_id, "token": address, "platform": "android", "time_zone": time_zone}
        self._phones.call("PUT", f"/v1/devices/{device_id}", self._as(user_id), _encode(device))

    def report(self, events: Sequence[TillEvent], sent_at_s: int) -> int:
        """Reports events in their order, as many batches as are needed; the number accepted. Raises ApiRefused for any other answer."""
        for begin in range(0, len(events), EVENTS_MAX):
            part = events[begin : begin + EVENTS_MAX]
            body = _encode({"sent_at": instant(sent_at_s), "batch": part})
            answer = _BATCH.decode(self._server.call("POST", "/v1/events", self._operator, body))
            if answer.accepted != len(part):
                raise ApiRefused(f"{len(part)} events were sent and not all accepted: {answer}")
        return len(events)

    def open_push(self, user_id: str, decision_id: UUID, occurred_at_s: int) -> None:
        """Says that a person has opened a push, as their app does."""
        body = _encode({"type": "opened", "occurred_at": instant(occurred_at_s)})
        self._phones.call("POST", f"/v1/decisions/{decision_id}/feedback", self._as(user_id), body)

    def explain(self, user_id: str, decision_id: UUID) -> Explained:
        """Why this person got this deal."""
        path = f"/v1/decisions/{decision_id}/explanation"
        return _EXPLAINED.decode(self._phones.call("GET", path, self._as(user_id)))

    def new_messages(self) -> list[Received]:
        """What the phones have received since it was last asked."""
        found: list[Received] = []
        while True:
            path = f"/inbox?after={self._read_through}&limit={_INBOX_LIMIT}"
            inbox = _INBOX.decode(self._stand_in.call("GET", path, {}))
            self._read_through = inbox.next
            found += inbox.messages
            if len(inbox.messages) < _INBOX_LIMIT:
                return found

    def _as(self, user_id: str) -> dict[str, str]:
        token = self._tokens.get(user_id)
        if token is None:
            claims = {"sub": user_id, "exp": datetime.now(UTC) + _TOKEN_LIFE}
            token = jwt.encode(claims, self._signing_secret, algorithm="HS256", headers={"kid": _KID})
            self._tokens[user_id] = token
        return {**self._phone, "x-user-token": token}


def instant(at_s: int) -> str:
    """Unix seconds as the API writes instants."""
    return datetime.fromtimestamp(at_s, UTC).isoformat()
