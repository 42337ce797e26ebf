"""A token that lets a phone answer one decision: good for that alone, and for a time."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from push.drawing.feedback_token import CHARACTERS, read, sign

KEY = bytes(range(32))
DECISION = UUID("019ca9c4-0000-7000-8000-000000000001")
OTHER = UUID("019ca9c4-0000-7000-8000-000000000002")
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
UNTIL = NOW + timedelta(hours=72)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("user_id", [1, 77, 2**63 - 1])
def test_it_speaks_for_its_person_until_it_is_void(user_id: int) -> None:
    token = sign(KEY, DECISION, user_id, int(UNTIL.timestamp()))
    assert len(token) == CHARACTERS
    assert read(KEY, DECISION, token, NOW) == user_id
    assert read(KEY, DECISION, token, UNTIL - SECOND) == user_id
    assert read(KEY, DECISION, token, UNTIL) is None


def test_it_speaks_about_its_decision_alone_and_by_its_key_alone() -> None:
    token = sign(KEY, DECISION, 7, int(UNTIL.timestamp()))
    assert read(KEY, OTHER, token, NOW) is None
    assert read(bytes(32), DECISION, token, NOW) is None


def test_no_character_of_it_can_be_changed() -> None:
    token = sign(KEY, DECISION, 7, int(UNTIL.timestamp()))
    for place, letter in enumerate(token):
        forged = f"{token[:place]}{'A' if letter != 'A' else 'B'}{token[place + 1 :]}"
        # Of the last character two bits say nothing.
        assert read(KEY, DECISION, forged, NOW) is None or place == CHARACTERS - 1


@pytest.mark.parametrize("text", ["", "x", "=" * CHARACTERS, "\u00e9" * CHARACTERS, "!" * CHARACTERS, "A" * 39])
def test_what_is_no_token_is_refused(text: str) -> None:
    assert read(KEY, DECISION, text, NOW) is None
