"""One rule for ids: what a body may name can also be named in a path, a query and a token."""

import msgspec
import pytest

from schema.decision import DecisionRequest
from schema.event import Event, Feedback
from schema.external_id import ID_RULE, is_fit
from schema.user import Device, Identify
from service.errors import ApiError, decode

FIT = ["a", "...", ".a", "auth0|5f7c", "ann@example.com", "👩‍👩‍👧", "é", "a b", "a\u00a0b", "%2F?#\\", "x" * 128]
UNFIT = ["", ".", "..", "a/b", "/", "\x07\n", "a\n", "\x7f", "\x85", "\0", "x" * 129]


@pytest.mark.parametrize(("texts", "fits"), [(FIT, True), (UNFIT, False)])
def test_bodies_and_other_places_agree(texts: list[str], fits: bool) -> None:
    for text in texts:
        assert is_fit(text) == fits, repr(text)
        for kind in (DecisionRequest, Event, Feedback, Device, Identify):
            assert accepts(kind, text) == fits, (kind, repr(text))


def accepts(kind: type, user_id: str) -> bool:
    try:
        decode(msgspec.json.encode({"user_id": user_id}), msgspec.json.Decoder(kind))
    except ApiError as error:
        return error.errors[0].pointer != "/user_id"
    return True


def test_half_a_surrogate_pair_is_no_id() -> None:
    assert not is_fit("a\ud83d")


def test_the_rule_is_told_in_words() -> None:
    with pytest.raises(ApiError) as caught:
        decode(b'{"user_id":"a/b"}', msgspec.json.Decoder(DecisionRequest))
    assert (caught.value.detail, caught.value.errors[0].pointer) == (ID_RULE, "/user_id")
