"""Whatever clients and merchandisers send is taken or refused in words; no parser fails in another way."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from push.channels.mail.compose import is_address
from push.channels.mail.unsubscribe import token_of, user_of
from push.channels.webhooks.address import Refused, check_url
from push.drawing import feedback_token, wording
from schema.access import IdentityKey
from schema.campaign import Campaign
from schema.decision import DecisionRequest
from schema.offer import Offer
from schema.wording import Words
from service.app import create_app  # every struct of a body is known then
from service.errors import ApiError, decode, problem_of, translate
from service.ingest import envelope, judge
from service.ingest.judge import Caller
from service.ingest.offers_csv import read_offers
from service.planning import campaign_rules
from service.store.people import PersonKey, Speaker
from service.store.user_tokens import InvalidUserToken, UnusableKey, UserTokens, usable_key
from tests.deciding import catalogue, offer
from tests.fuzz.material import ODD, calmly, fed, incoming, spoilt

assert create_app is not None
NOW: Final = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
KEY: Final = bytes(range(32))
EVENT: Final = {
    "event_id": "e", "type": "purchase", "user_id": "ann", "occurred_at": "2026-03-02T09:00:00Z", "offer_id": "milk", "slot": 1,
    "decision_id": str(uuid.UUID(int=7)), "properties": {"tags": ["milk"], "amount": 7.5, "store_id": "12"},
}  # fmt: skip
BATCH: Final = json.dumps({"sent_at": "2026-03-02T09:30:00Z", "batch": [EVENT, EVENT | {"type": "view"}]}).encode()
CAMPAIGN: Final = {
    "campaign_id": "lunch", "starts_at": "2026-03-02T00:00:00", "ends_at": "2026-03-09T00:00:00", "default_time_zone": "UTC",
    "offers": ["milk"], "audience": {"any_tags": ["staff"], "languages": ["de"]}, "contact": {"min_gap_s": 60}, "channels": ["push"],
    "templates": {"default": {"title": "{offer_title}", "body": "{new_price} instead of {price}"}},
    "trigger": {"event_type": "left_store", "conditions": [{"property": "amount", "at_least": 5}]},
}  # fmt: skip
OFFER: Final = {
    "offer_id": "milk", "creative": {"title": "Milk", "body": "Today", "image_url": "https://x.example/i.png"}, "tags": ["milk"],
    "price_minor": 200, "discount_type": "amount", "discount_minor": 50, "store_ids": ["s1"], "min_age": 18, "channels": ["push"],
    "starts_at": "2026-03-02T00:00:00Z", "ends_at": "2026-04-02T00:00:00Z", "localised": {"de": {"title": "Milch"}},
}  # fmt: skip
ASKED: Final = {
    "user_id": "ann",
    "slots": 2,
    "context": {"store_id": "s", "distance_m": 3.5, "basket_tags": ["milk"]},
    "exclude": ["x"],
}
PEOPLE: Final = {
    "user_id": "ann", "traits": {"a": {"b": [1, "x"]}}, "tags": ["x"], "birth_date": "2000-02-29", "time_zone": "Europe/Berlin",
    "token": "t", "platform": "ios", "quiet_hours": [{"begins_at": "22:00", "ends_at": "07:00"}], "muted_until": "2026-03-02T10:00:00Z",
}  # fmt: skip
DOCUMENTS: Final = [json.dumps(one).encode() for one in (EVENT, CAMPAIGN, OFFER, ASKED, PEOPLE)]
CSV: Final = b"offer_id,title,tags,price,discount_type,discount,starts_at,store_ids\nmilk,Milk,milk;dairy,2.00,amount,0.50,2026-03-02,s1;s2\n"


def told(error: ApiError) -> None:
    """The answer it becomes can be written, and blames the client."""
    assert 400 <= error.status < 500
    assert error.code != "internal"
    assert all(place.pointer == "" or place.pointer.startswith("/") for place in error.errors)
    json.loads(problem_of(error, "r"))


@calmly
@given(st.sampled_from(incoming()), fed(*DOCUMENTS))
def test_a_body_is_decoded_or_refused_with_its_place(kind: Any, body: bytes) -> None:
    try:
        decode(body, msgspec.json.Decoder(kind))
    except ApiError as error:
        told(error)


@calmly
@given(fed(json.dumps(ASKED).encode()))
def test_a_decision_is_asked_for_or_not(body: bytes) -> None:
    try:
        asked = decode(body, msgspec.json.Decoder(DecisionRequest))
    except ApiError as error:
        told(error)
    else:
        assert 1 <= asked.slots <= 12
        assert "\0" not in str(msgspec.to_builtins(asked))


def acts_as(user_id: str | None, anonymous_id: str | None) -> Speaker:
    return Speaker(PersonKey(0 if user_id else 1, user_id or anonymous_id or ""), False, None)


@calmly
@given(fed(BATCH), st.booleans())
def test_a_batch_is_taken_apart_event_by_event(body: bytes, is_secret: bool) -> None:
    try:
        sent_at, events = envelope.read(body)
    except ApiError as error:
        told(error)
        return
    batch = envelope.open_envelope(body)
    assert (sent_at, events) == (batch.sent_at, envelope.decode(batch))
    caller = Caller(is_secret=is_secret, may_backfill=is_secret, acts_as=acts_as)
    judged = judge.judge(events, judge.moment(batch.sent_at, NOW), caller, {"milk": 1})
    assert sorted([*judged.accepted, *judged.problems]) == list(range(len(batch.batch)))
    for checked in judged.accepted.values():
        assert "\\u0000" not in str(checked.properties)
        assert abs(checked.occurred_at - NOW) <= timedelta(days=401)
    for problem in judged.problems.values():
        msgspec.json.encode(problem)


@calmly
@given(st.binary(max_size=300) | spoilt([CSV, CSV.replace(b",", b";"), CSV.decode().encode("utf-16")]))
def test_a_file_of_offers_is_read_to_its_end(data: bytes) -> None:
    file = read_offers(data)
    for one in file.offers:
        msgspec.json.encode(one.offer)
    msgspec.json.encode([file.errors.by_line(), file.warnings.by_line()])


@calmly
@given(fed(json.dumps(CAMPAIGN).encode()))
def test_a_campaign_is_checked_whatever_it_holds(body: bytes) -> None:
    try:
        campaign = campaign_rules.spelled(decode(body, msgspec.json.Decoder(Campaign)))
    except ApiError as error:
        told(error)
        return
    shelf = catalogue(offer("milk", price_minor=200, discount_type="amount", discount_minor=50))
    msgspec.json.encode(list(campaign_rules.problems(campaign, shelf, NOW)))
    campaign_rules.refusal(campaign, shelf, NOW)


_TEXT: Final = st.text(alphabet='{}aoffer_titlnwpdsc%"\\\n\0é', max_size=60) | st.text(max_size=40)


@calmly
@given(_TEXT, _TEXT, st.none() | st.text(max_size=20))
def test_a_template_without_faults_can_be_filled_in(title: str, body: str, locale: str | None) -> None:
    words = Words(title=title, body=body)
    milk = msgspec.convert(OFFER, Offer)
    wrong = [fault for text in (title, body) for fault in wording.faults(text)]
    wording.lacking(words, milk, locale)
    if not wrong:
        filled = wording.filled_in(words, milk, locale)
        assert filled is None or len(filled.title) > 0


@calmly
@given(
    st.text(max_size=200)
    | spoilt([b"eyJhbGciOiJIUzI1NiIsImtpZCI6ImsifQ.eyJzdWIiOiJhbm4ifQ.c2ln"]).map(lambda text: text.decode("latin-1"))
)
def test_a_user_token_that_nobody_signed_speaks_for_nobody(token: str) -> None:
    tokens = UserTokens([IdentityKey(kid="k", alg="HS256", secret="s" * 40)])
    with pytest.raises(InvalidUserToken):
        tokens.subject_of(token)


@calmly
@given(
    st.sampled_from(["HS256", "RS256", "ES256"]),
    st.text(max_size=80) | st.sampled_from(["-----BEGIN PUBLIC KEY-----\nAA==\n-----END PUBLIC KEY-----"]),
)
def test_a_signer_s_key_is_usable_or_refused(alg: Any, text: str) -> None:
    given_as = {"secret": text} if alg == "HS256" else {"public_key": text}
    try:
        usable_key(IdentityKey(kid="k", alg=alg, **given_as))
    except UnusableKey:
        pass
    else:
        assert alg == "HS256"


_DECISION: Final = uuid.UUID(int=7)


@calmly
@given(
    st.text(max_size=64)
    | spoilt([feedback_token.sign(KEY, _DECISION, 5, 2**31).encode()]).map(lambda text: text.decode("latin-1"))
)
def test_a_feedback_token_that_was_changed_is_void(token: str) -> None:
    good = feedback_token.sign(KEY, _DECISION, 5, 2**31)
    assert (feedback_token.read(KEY, _DECISION, token, NOW) is not None) == (token == good)


@calmly
@given(st.text(max_size=64) | spoilt([token_of(KEY, 5).encode()]).map(lambda text: text.decode("latin-1")))
def test_a_link_to_unsubscribe_that_was_changed_is_void(token: str) -> None:
    assert (user_of(KEY, token) is not None) == (token == token_of(KEY, 5))


@calmly
@given(st.text(max_size=80) | spoilt([b"https://crm.example:8443/hook?x=1"]).map(lambda text: text.decode("latin-1")))
def test_a_webhook_s_url_is_public_or_refused(url: str) -> None:
    try:
        parts = check_url(url, may_be_local=False)
    except Refused:
        return
    assert parts.scheme == "https"
    assert parts.hostname


@calmly
@given(st.text(max_size=60) | st.emails())
def test_an_address_breaks_out_of_no_header(text: str) -> None:
    if is_address(text):
        assert text.isascii()
        assert not set(text) & set('\r\n \t"<>,;:\0')


@calmly
@given(st.sampled_from(ODD) | st.binary(max_size=40))
def test_every_error_of_a_decoder_has_an_answer(body: bytes) -> None:
    for kind in (dict, list, int, datetime):
        try:
            msgspec.json.decode(body, type=kind)
        except Exception as error:  # noqa: BLE001 - that is the question
            told(translate(error))
