"""What was drawn a moment ago counts for the next draw: for a while, of so many people, and once."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from push.contact.contact_rules import Contact, contact_at
from push.contact.just_drawn import COUNTS_FOR, PEOPLE_MAX, JustDrawn, with_drawn

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ONE, TWO, THREE = UUID(int=1), UUID(int=2), UUID(int=3)


def contact(outbox_id: UUID, at: datetime = NOW) -> Contact:
    return contact_at(at, str(outbox_id), ["coffee"])


def test_it_counts_for_a_minute_and_for_others_than_itself() -> None:
    just = JustDrawn()
    just.add(7, contact(ONE))
    just.add(7, contact(TWO, NOW + timedelta(seconds=30)))
    assert [one.outbox_id for one in just.of(7, THREE, NOW)] == [str(ONE), str(TWO)]
    assert [one.outbox_id for one in just.of(7, ONE, NOW)] == [str(TWO)]
    assert [one.outbox_id for one in just.of(7, THREE, NOW + COUNTS_FOR + timedelta(seconds=1))] == [str(TWO)]
    assert just.of(8, ONE, NOW) == ()


def test_of_very_many_the_last_are_kept() -> None:
    just = JustDrawn()
    for user_id in (0, *range(1, PEOPLE_MAX), 0, PEOPLE_MAX):
        just.add(user_id, contact(ONE))
    assert len(just.of(0, TWO, NOW)) == 2  # the newest but one, and so not the one to go
    assert just.of(1, TWO, NOW) == ()
    assert just.of(2, TWO, NOW) != ()


def test_what_no_longer_counts_is_not_kept() -> None:
    just = JustDrawn()
    for user_id in range(50):
        just.add(user_id, contact(ONE, NOW + timedelta(seconds=user_id)))
    later = NOW + COUNTS_FOR + timedelta(seconds=40)
    just.add(49, contact(TWO, later))
    assert list(just._drawn) == [*range(41, 49), 49]
    just.add(49, contact(THREE, later + COUNTS_FOR))
    assert just._drawn == {49: [contact(THREE, later + COUNTS_FOR)]}


def test_what_is_claimed_meanwhile_counts_once() -> None:
    sent = [contact(ONE, NOW - timedelta(days=1)), contact(TWO)]
    assert with_drawn(sent, (contact(TWO, NOW - timedelta(seconds=1)), contact(THREE))) == [*sent, contact(THREE)]
