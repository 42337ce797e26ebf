"""Compiled templates write the very JSON that the SDK's own encoder writes, whatever the texts hold."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from push.channel import Message
from push.fcm.limits import PAYLOAD_BYTES_MAX, is_label, label_of, payload_bytes, payload_fault
from push.fcm.message import encode, sdk_message
from push.fcm.template import Template, escaped, slot

NOW = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)

texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    st.sampled_from(
        [slot(0), slot(7), f'"{slot(1)}"', 'quote " back \\ slash', "\0\x1f\u2028", '","token":"x', "1234567s"]
    ),
)
keys = st.one_of(texts, st.sampled_from(["offer_id", "deep_link"])).filter(
    lambda key: not key.startswith(("from", "message_type", "gcm", "google"))
)
messages = st.builds(
    Message,
    outbox_id=st.uuids().map(str),
    address=texts.filter(bool),
    address_kind=st.sampled_from(["token", "fid"]),
    title=texts,
    body=texts,
    data=st.dictionaries(keys, texts, max_size=5),
    collapse_id=texts.filter(lambda text: 0 < len(text.encode()) <= 64),
    expires_at=st.timedeltas(timedelta(0), timedelta(days=27)).map(lambda life: NOW + life),
    image_url=st.none() | texts,
    is_visible=st.booleans(),
    analytics_label=st.none() | st.from_regex(r"\A[a-zA-Z0-9\-_.~%]{1,50}\Z"),
    buttons=st.sampled_from([(), ("not_now",), ("thumbs_up", "thumbs_down", "not_now")]),
    is_private=st.booleans(),
)


@given(message=messages, channel_id=st.sampled_from(["offers", "slot-0"]))
def test_the_template_equals_the_sdk(message: Message, channel_id: str) -> None:
    life_s = int((message.expires_at - NOW).total_seconds())
    expiration = str(int(message.expires_at.timestamp()))
    by_sdk = sdk_message(message, timedelta(seconds=life_s), str(life_s), expiration, channel_id)
    assert json.loads(encode(message, NOW, channel_id)) == {"message": json.loads(str(by_sdk))}


@given(message=messages)
def test_every_platform_is_given_the_end_of_the_message(message: Message) -> None:
    sent = json.loads(encode(message, NOW, "offers"))["message"]
    life_s = int((message.expires_at - NOW).total_seconds())
    assert sent["android"]["ttl"] == f"{life_s}s"
    assert sent["webpush"]["headers"]["TTL"] == f"{life_s}"
    assert 0 <= message.expires_at.timestamp() - int(sent["apns"]["headers"]["apns-expiration"]) < 1


@given(message=messages)
def test_the_payload_is_counted_no_smaller_than_fcm_counts_it(message: Message) -> None:
    sent = json.loads(encode(message, NOW, "offers"))["message"]
    data, to_app = sent.get("data", {}), sent["android"].get("data", {})
    shown = sent.get("notification", {}) | sent["apns"]["payload"]["aps"].get("alert", {})
    for told in ([*data, *data.values(), *shown.values()], [*to_app, *to_app.values()]):
        assert sum(len(text.encode()) for text in told) <= payload_bytes(message) <= PAYLOAD_BYTES_MAX


@given(message=messages, length=st.integers(3600, 4200))
def test_the_limit_is_held_to_the_byte(message: Message, length: int) -> None:
    long = msgspec.structs.replace(
        message, data=message.data | {"long": "\u00e9\n" * (length // 4)}, is_visible=length % 2 == 0
    )
    fault = payload_fault(long)
    if fault is None:
        assert encode(long, NOW, "offers")
    else:
        with pytest.raises(ValueError, match="payload of"):
            encode(long, NOW, "offers")


@given(campaign_id=st.from_regex(r"\A[A-Za-z0-9._:-]{1,64}\Z"), variant=st.sampled_from(["policy", "control"]))
def test_every_campaign_has_a_label_that_fcm_takes(campaign_id: str, variant: str) -> None:
    label = label_of(campaign_id, variant)
    assert is_label(label)
    assert label.endswith(f"-{variant}")
    assert label != label_of(f"{campaign_id[:-1]}{'x' if campaign_id[-1] != 'x' else 'y'}", variant)


@given(values=st.lists(texts, min_size=3, max_size=3))
def test_a_value_cannot_leave_its_slot(values: list[str]) -> None:
    template = Template(
        json.dumps({"a": slot(0), slot(1): [slot(1), slot(0)], "b": {"c": slot(2), "d": "x" + slot(2)}})
    )
    assert template.slots == {0, 1, 2}
    assert json.loads(template.render([escaped(value) for value in values])) == {
        "a": values[0],
        slot(1): [values[1], values[0]],
        "b": {"c": values[2], "d": "x" + slot(2)},
    }
