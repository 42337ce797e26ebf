"""Outcomes by few words, and alarms that can be seen at nought."""

import math

import pytest

from push.channel import Accepted, NotProcessed, Outcome, Rejected, RetryAfter, Unknown, Unregistered
from push.meter import ALARMS, is_mostly_ours, tally
from service import telemetry
from service.planning.push_meter import PushMeter


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (Accepted("m"), "accepted"),
        (Unregistered(), "unregistered"),
        (Rejected("INVALID_ARGUMENT", "", is_payload_fault=True), "payload_refused"),
        (Rejected("INVALID_ARGUMENT", "", is_payload_fault=False), "invalid_argument"),
        (Rejected("SENDER_ID_MISMATCH", "", is_payload_fault=False), "sender_id_mismatch"),
        (Rejected("INVALID_MESSAGE", "", is_payload_fault=False), "invalid_message"),
        (Rejected("HTTP_418", "", is_payload_fault=False), "rejected"),
        (RetryAfter(1, "project", is_over_quota=True), "over_quota"),
        (RetryAfter(1, "project"), "not_let_in"),
        (RetryAfter(1, "platform"), "third_party_auth_error"),
        (RetryAfter(1, "message"), "failed_for_now"),
        (NotProcessed("expired"), "expired"),
        (NotProcessed("curl 7"), "not_processed"),
        (Unknown("curl 28"), "unknown"),
    ],
)
def test_each_outcome_has_its_word(outcome: Outcome, word: str) -> None:
    assert tally([outcome, outcome]) == {word: 2}


def test_a_few_foreign_tokens_are_no_alarm() -> None:
    assert is_mostly_ours({"accepted": 99, "sender_id_mismatch": 1})
    assert not is_mostly_ours({"accepted": 98, "sender_id_mismatch": 2})
    assert is_mostly_ours({})


def test_what_is_metered_is_what_metrics_tell() -> None:
    meter = PushMeter()
    for what in ALARMS:
        assert telemetry.REGISTRY.get_sample_value("welltimed_push_alarms_total", {"what": what}) is not None
    before = telemetry.REGISTRY.get_sample_value("welltimed_pushes_total", {"outcome": "accepted"}) or 0
    meter.count({"accepted": 3, "unknown": 1})
    meter.alarm("credentials")
    meter.rate(120.0)
    meter.rate(math.inf)
    assert telemetry.REGISTRY.get_sample_value("welltimed_pushes_total", {"outcome": "accepted"}) == before + 3
    assert telemetry.REGISTRY.get_sample_value("welltimed_push_rate_per_s") == 120.0
