"""The order of counting: that of pairs of instant and event, which the slow way says in one line."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from schema.log import LogEntry
from service.learning.facts import Fact
from service.learning.in_order import in_order

BEGINS = datetime(2026, 3, 2, tzinfo=UTC)
# Few and close ones, so that many are equal and others a microsecond apart; and those of other centuries.
AT = st.one_of(
    st.integers(0, 3).map(lambda us: BEGINS + timedelta(microseconds=us)),
    st.integers(0, 3).map(lambda s: BEGINS + timedelta(seconds=s)),
    st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
)
FACTS = st.lists(
    st.tuples(AT, st.one_of(st.integers(0, 9), st.integers(0, 2**128 - 1))).map(
        lambda given: Fact(0, 1, LogEntry(1, UUID(int=given[1]), 1, given[0]))
    ),
    max_size=40,
)


@given(FACTS)
def test_facts_are_counted_by_instant_and_of_one_instant_by_event(facts: list[Fact]) -> None:
    assert in_order(facts) == sorted(facts, key=lambda fact: (fact.entry.occurred_at, fact.entry.event_id))
