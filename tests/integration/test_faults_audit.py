"""The audit after a run of faults notices what must never be: it is tried on a database that contradicts the ledger."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from bandits.features import DIMS
from bandits.sums import Sums
from loadtest.faults.audit import audit
from loadtest.faults.ledger import Ledger, Sale, Told
from loadtest.faults.town import Town
from loadtest.faults.verdict import Verdict
from schema.event import EventType
from schema.ids import uuid7
from schema.log import ENCODER, LogEntry
from service.store import people
from service.store.people import USER, PersonKey

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TOWN = Town(limit=5, scarce=1, cap=1)


async def judged(connection: Any, ledger: Ledger, pushes: list[Mapping[str, Any]] | None = None) -> Verdict:
    return await audit(connection, ledger, TOWN, pushes or [])


async def test_what_was_acknowledged_and_is_not_there_is_lost(connection: asyncpg.Connection) -> None:
    assert (await judged(connection, Ledger())).is_clean
    ledger = Ledger()
    decision_id = str(uuid4())
    ledger.events[str(uuid4())] = "ada"
    ledger.decisions[decision_id] = Told("ada", ("coffee",), is_degraded=False)
    ledger.feedback[decision_id, 0, "shown"] = "ada"
    ledger.vetoes["ada"].add("coffee")
    ledger.sales["sale-1"] = Sale(str(uuid4()), "coffee")
    verdict = await judged(connection, ledger)
    assert verdict.acked_and_lost == 5
    assert not verdict.is_clean


async def test_what_is_there_twice_is_counted_twice(connection: asyncpg.Connection) -> None:
    event_id = uuid4()
    person = await people.ensure_and_hold(connection, PersonKey(USER, "ada"), NOW)
    entry = LogEntry(person.user_id, event_id, EventType.PURCHASE, NOW)
    row = (person.user_id, event_id, int(EventType.PURCHASE), NOW, NOW, 0, "{}")
    await connection.execute(
        """insert into events (user_id, event_id, type, occurred_at, received_at, slot, properties)
           values ($1, $2, $3, $4, $5, $6, $7::text::jsonb)""",
        *row,
    )
    await connection.execute("insert into event_keys values ($1, $2, $3)", person.user_id, event_id, NOW)
    append = "insert into event_log (partition, seq, body, appended_at) values (0, $1, $2, $3)"
    await connection.execute(append, 1, ENCODER.encode([entry]), NOW)
    assert (await judged(connection, Ledger())).is_clean
    await connection.execute(append, 2, ENCODER.encode([entry]), NOW)
    assert (await judged(connection, Ledger())).double_counted == 1
    # The learner says that it has counted what it has not.
    await connection.execute("delete from event_log where seq = 2")
    await connection.execute("update learner_partitions set last_seq = 1")
    assert (await judged(connection, Ledger())).double_counted == 1


async def test_what_was_learned_of_answers_is_a_recount_of_the_log(connection: asyncpg.Connection) -> None:
    decision_id, opened = uuid7(NOW, bytes(10)), uuid4()
    shown = LogEntry(1, uuid4(), EventType.SHOWN, NOW, decision_id=decision_id)
    entries = [shown, LogEntry(1, opened, EventType.OPENED, NOW, decision_id=decision_id)]
    append = "insert into event_log (partition, seq, body, appended_at) values (0, 1, $1, $2)"
    await connection.execute(append, ENCODER.encode(entries), NOW)
    assert (await judged(connection, Ledger())).is_clean  # nobody says to have read it
    await connection.execute("update learner_partitions set last_seq = 1")
    assert (await judged(connection, Ledger())).acked_and_lost == 2  # the exposure, and in the sums
    expose = "insert into exposures (user_id, decision_id, slot, offer_id, exposed_at, opened_at) values (1, $1, $2, 1, $3, $3)"
    await connection.execute(expose, decision_id, 0, NOW)
    told = await judged(connection, Ledger())
    assert (told.acked_and_lost, told.double_counted) == (1, 0)
    await connection.execute("update exposures set opened_at = null")
    assert (await judged(connection, Ledger())).acked_and_lost == 2  # the opening too
    await connection.execute("update exposures set opened_at = exposed_at")
    total = Sums(DIMS)
    total.totals[1] = 1
    count = "insert into learner_sums (partition, cohort, sums) values (0, 0, $1)"
    await connection.execute(count, total.pack())
    assert (await judged(connection, Ledger())).is_clean
    await connection.execute("update exposures set redeemed_at = exposed_at")
    assert (await judged(connection, Ledger())).double_counted == 1  # nothing was sold
    await connection.execute("update exposures set redeemed_at = null")
    await connection.execute(expose, decision_id, 1, NOW)
    await connection.execute("update learner_sums set sums = $1", twice(total).pack())
    told = await judged(connection, Ledger())
    assert (told.acked_and_lost, told.double_counted) == (0, 3)


def twice(total: Sums) -> Sums:
    total.add(total)
    return total


async def test_more_pushes_than_the_cap_allows_are_told(connection: asyncpg.Connection) -> None:
    pushes = [{"tag": str(UUID(int=n)), "address": "ok-1"} for n in range(2)]
    assert (await judged(connection, Ledger(), pushes)).caps_broken == 1
    assert (await judged(connection, Ledger(), [pushes[0], pushes[0] | {"address": "ok-2"}])).double_counted == 1
