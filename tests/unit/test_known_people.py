"""Who is remembered for the time without a database, and who no longer."""

from datetime import UTC, datetime

import pytest

from service.decision import known_people
from service.decision.known_people import KnownPeople
from service.store.decision_people import DecisionPerson
from service.store.people import USER, PersonKey

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def person(user_id: int) -> tuple[PersonKey, DecisionPerson]:
    row = DecisionPerson(user_id, 1, "UTC", None, True, True, None, None, [], [], [], None, NOW, None)
    return PersonKey(USER, f"user-{user_id}"), row


def test_who_was_read_is_remembered_until_something_changes() -> None:
    known = KnownPeople()
    ada, bob = person(1), person(2)
    known.remember(dict([ada, bob]), known.mark())
    known.has_changed(1)
    assert known.get(ada[0]) is None
    assert known.get(bob[0]) == bob[1]
    known.remember(dict([ada]), known.mark())
    assert known.get(ada[0]) == ada[1]
    known.forget_all()
    assert known.get(ada[0]) is None
    assert known.get(bob[0]) is None


def test_a_change_between_the_reading_and_the_remembering_is_not_lost() -> None:
    known = KnownPeople()
    ada = person(1)
    mark = known.mark()
    known.has_changed(1)
    known.remember(dict([ada]), mark)
    assert known.get(ada[0]) is None
    mark = known.mark()
    known.forget_all()
    known.remember(dict([ada]), mark)
    assert known.get(ada[0]) is None


def test_what_is_remembered_is_bounded_in_age_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    known = KnownPeople()
    people = [person(n) for n in range(5)]
    monkeypatch.setattr(known_people, "ROWS_MAX", 3)
    for one in people:
        known.remember(dict([one]), known.mark())
    assert [known.get(key) is not None for key, _ in people] == [False, False, True, True, True]
    monkeypatch.setattr(known_people, "AGE_MAX_S", -1.0)
    assert known.get(people[-1][0]) is None
