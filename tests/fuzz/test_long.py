"""What is long: one odd piece again and again, as long as a body may be. The other tests have examples too small to show a parser that looks at everything twice."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec
import pytest

from bandits import population
from push.channels.mail.compose import is_address
from push.channels.mail.unsubscribe import user_of
from push.channels.webhooks.address import Refused, check_url
from push.channels.webhooks.channel import outcome_of as webhook_outcome
from push.drawing import wording
from push.fcm import verdict
from push.fcm.transport import Reply
from push.stand_in.verdict import read_request
from schema.campaign import Campaign
from schema.decision import DecisionRequest
from schema.log import DECODER
from schema.offer import Offer
from service.client_address import ClientAddresses, networks
from service.early_answers import whole
from service.errors import ApiError, decode, request_id
from service.ingest import envelope
from service.ingest.offers_csv import read_offers
from service.routes.strict_query import _check
from service.store import journal
from service.store.user_tokens import InvalidUserToken, UserTokens
from tests.fuzz.material import ODD

LONG: Final = 256 * 1024
"""A body of most routes, and the most that a connection is given at once. In the square of it a machine does not get through in the
time that pytest leaves a test: that is the only clock here, and no machine is too slow for what is asked."""

PIECES: Final = [
    *ODD, b"a", b"1", b" ", b"\t", b",", b", ", b"1,", b"a:", b": ", b"\r\na: b", b"\r\n ", b"a: \r\n", b"%", b"%4", b"&", b"a=", b"a=1&", b"{", b"{}",
    b"{offer_title}", b"{offer_title", b"\\", b"\\u", b"\\ud800", b"/", b".", b"@", b"a@", b"a.", b"eyJ.", b"[1,", b"]", b'{"a":1,', b'"",', b"1.1.1.1, ",
    b"10.0.0.1,", b"::,", b"[::1]:", b"\x91", b"\x81\xa1a", b"\xdc\xff\xff", b"\xff", b"milk;", b'"milk', b'""', b"0\n",
]  # fmt: skip
HEAD: Final = b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
PROXIES: Final = ClientAddresses(networks("10.0.0.0/8, ::1"))
TOKENS: Final = UserTokens([])


def text(parse: Callable[[str], Any]) -> Callable[[bytes], Any]:
    return lambda data: parse(data.decode("latin-1"))


def body(kind: Any) -> Callable[[bytes], Any]:
    """As a whole document, and inside of one, in the place of a name and of a value."""
    decoder = msgspec.json.Decoder(kind)

    def parse(data: bytes) -> None:
        for document in (data, b'{"user_id":"' + data + b'"}', b'{"user_id":' + data, b'{"' + data):
            with suppress(ApiError):
                decode(document, decoder)

    return parse


PARSERS: Final[dict[str, Callable[[bytes], Any]]] = {
    "head": lambda data: (whole(HEAD + data + b"\r\n\r\n"), whole(HEAD + b"x: " + data + b"\r\n\r\n"), whole(data)),
    "forwarded": lambda data: PROXIES.client_of("10.0.0.1", data),
    "request id": request_id,
    "query": lambda data: _check(data, frozenset({"limit", "cursor"})),
    "decision": body(DecisionRequest),
    "offer": body(Offer),
    "campaign": body(Campaign),
    "any": body(dict[str, Any]),
    "events": lambda data: envelope.read(b'{"sent_at":"2026-03-02T09:30:00Z","batch":[' + data),
    "events in text": lambda data: envelope.read(
        b'{"batch":[{"event_id":"' + data + b'"}],"sent_at":"2026-03-02T09:30:00Z"}'
    ),
    "csv": lambda data: read_offers(b"offer_id,title\n" + data),
    "template": text(wording.faults),
    "user token": text(TOKENS.subject_of),
    "link": text(lambda token: user_of(bytes(32), token)),
    "url": text(lambda url: check_url(f"https://{url}", may_be_local=False)),
    "address": text(lambda address: (is_address(address), is_address(f"a@{address}"))),
    "fcm": lambda data: verdict.outcome_of(Reply(400, data, 0)),
    "stand-in": read_request,
    "webhook": text(lambda after: webhook_outcome(503, after)),
    "log": DECODER.decode,
    "population": population.unpack,
    "journal": journal.batches,
}
REFUSALS: Final = (ApiError, InvalidUserToken, Refused, ValueError, RecursionError)


@pytest.mark.parametrize("name", PARSERS)
@pytest.mark.timeout(60)
def test_a_long_piece_of_anything_is_read_in_one_go(name: str) -> None:
    for piece in PIECES:
        with suppress(*REFUSALS):
            PARSERS[name](piece * (LONG // len(piece)))
