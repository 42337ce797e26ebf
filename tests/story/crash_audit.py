"""After the crashes: the ledger of the clients against the database, and everything learned against a recount of the log."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import numpy as np

from bandits import population, sums, tastes
from bandits.epoch import Epoch
from bandits.features import DIMS
from bandits.population import Population
from bandits.sums import Sums
from push.outbox import State
from schema.event import CODES, EventType
from schema.ids import PARTITIONS, partition_of
from schema.log import DECODER, LogEntry
from service.learning.facts import EXPOSING
from service.store import epochs
from service.store.event_ids import key_of
from tests.counting import Tally
from tests.story.crash_load import Ledger

ALMOST: Final = 1e-9
"""Sums of the same float64 numbers in another order."""
ALMOST_F32: Final = 2e-3
"""float32 counts that fade by half in weeks, while a test lasts a minute."""


async def settled(connection: Any) -> bool:
    """Whether the learner has counted the whole log and no push waits; one that is on its way may still be."""
    behind = await connection.fetchval(
        "select count(*) from event_log_heads h join learner_partitions p using (partition) where h.seq <> p.last_seq"
    )
    waiting = await connection.fetchval("select count(*) from outbox where state in (0, 1)")
    return bool(behind == 0 and waiting == 0)


async def assert_nothing_lost(connection: Any, ledger: Ledger) -> None:
    """Every acknowledged event, answer and decision is there, each exactly once; what was never acknowledged may be there too."""
    external = dict(await connection.fetch("select user_id, external_id from users"))
    rows = await connection.fetch("select user_id, event_key from event_keys")
    keys = Counter((external[row[0]], row[1]) for row in rows)
    missing = [name for name, user_id in ledger.events.items() if (user_id, key_of(name)) not in keys]
    assert missing == []
    assert max(keys.values()) == 1
    # A key and its event are one transaction, so as many of the one as of the other.
    assert await connection.fetchval("select count(*) from events") == len(rows)

    answers = Counter(
        (str(row[0]), row[1], row[2])
        for row in await connection.fetch("select decision_id, slot, type from events where decision_id is not null")
    )
    assert [key for key in ledger.feedback if not answers[key[0], key[1], CODES[key[2]]]] == []

    decided = {
        str(row["decision_id"]): (external[row["user_id"]], row["offers"])
        for row in await connection.fetch(
            """select d.decision_id, d.user_id, array(select o.external_id from unnest(d.offer_ids) with ordinality as s(id, n)
                       join offers o on o.offer_id = s.id where d.action = 1 order by n) as offers
                 from decisions d"""
        )
    }
    assert {name: decided.get(name) for name in ledger.decisions} == dict(ledger.decisions)

    vetoed = defaultdict[str, set[str]](set)
    for row in await connection.fetch(
        "select u.external_id, o.external_id from users u join offers o on o.offer_id = any(u.vetoed_offer_ids)"
    ):
        vetoed[row[0]].add(row[1])
    assert all(offers <= vetoed[user_id] for user_id, offers in ledger.vetoes.items())


async def assert_counted_once(connection: Any) -> None:
    """The log is the events and the accepted pushes, each once; what is learned is a recount of what the learner has read of it."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        rows = await connection.fetch(
            "select l.body, l.seq <= p.last_seq from event_log l join learner_partitions p using (partition)"
        )
        batches: list[tuple[list[LogEntry], bool]] = [(DECODER.decode(body), is_read) for body, is_read in rows]
        await _assert_is_whole(connection, [entry for entries, _ in batches for entry in entries])
        read = [entry for entries, is_read in batches if is_read for entry in entries]
        await _assert_populations(connection, read)
        await _assert_tastes(connection, read)
        await _assert_sums(connection, read)


async def _assert_is_whole(connection: Any, log: list[LogEntry]) -> None:
    assert max(Counter(entry.event_id for entry in log).values()) == 1
    reported = {entry.event_id for entry in log if entry.type != EventType.ACCEPTED}
    assert reported == {row[0] for row in await connection.fetch("select event_id from events")}
    accepted = Counter(entry.decision_id for entry in log if entry.type == EventType.ACCEPTED)
    settled_rows = await connection.fetch("select decision_id from outbox where state = $1", State.ACCEPTED)
    assert accepted == Counter(row[0] for row in settled_rows)


async def _assert_populations(connection: Any, log: list[LogEntry]) -> None:
    wanted = {partition: Population() for partition in range(PARTITIONS)}
    for entry in log:
        if entry.type == EventType.PURCHASE:
            counts = wanted[partition_of(entry.user_id)]
            counts.bought(entry.tag_ids, entry.local_hour, entry.occurred_at.timestamp())
    for partition, packed in await connection.fetch("select partition, population from learner_partitions"):
        found = population.unpack(packed)
        np.testing.assert_allclose(found.baskets, wanted[partition].baskets, rtol=ALMOST)
        np.testing.assert_allclose(found.tags, wanted[partition].tags, rtol=ALMOST)


async def _assert_tastes(connection: Any, log: list[LogEntry]) -> None:
    baskets: Counter[int] = Counter()
    tags: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for entry in log:
        if entry.type == EventType.PURCHASE:
            baskets[entry.user_id] += 1
            tags[entry.user_id].update(entry.tag_ids)
    assert baskets
    found = {row[0]: tastes.unpack(row[1]) for row in await connection.fetch("select user_id, tastes from user_state")}
    for user_id, count in baskets.items():
        state = found[user_id]
        np.testing.assert_allclose(float(state.header["baskets"][0]), count, rtol=ALMOST_F32)
        bought = {int(entry["tag_id"]): float(entry["bought"]) for entry in state.entries if entry["bought"] > 0}
        assert bought.keys() == tags[user_id].keys()
        for tag_id, times in tags[user_id].items():
            np.testing.assert_allclose(bought[tag_id], times, rtol=ALMOST_F32)


async def _assert_sums(connection: Any, log: list[LogEntry]) -> None:
    """Each exposure once, each head's first answer once; the counts are exact, the sums almost."""
    shown = {(entry.decision_id, entry.slot) for entry in log if entry.type in EXPOSING}
    answered = [
        {(entry.decision_id, entry.slot) for entry in log if entry.type == kind} & shown
        for kind in (EventType.OPENED, EventType.REDEEMED)
    ]
    rows = await connection.fetch(
        """select e.decision_id, e.slot, e.exposed_at, e.opened_at, e.redeemed_at, e.opened_told_at, e.redeemed_told_at,
                  e.personal_offset, d.phi
             from exposures e join decisions d using (user_id, decision_id) where e.exposed_at is not null"""
    )
    assert Counter((row[0], row[1]) for row in rows) == Counter(shown)
    for head, at in enumerate(("opened_at", "redeemed_at")):
        assert {(row[0], row[1]) for row in rows if row[at] is not None} == answered[head]

    told = Tally()
    for row in rows:
        phi, exposed_s = phi_of(row["phi"])[row["slot"]], row["exposed_at"].timestamp()
        told.add_exposure(phi, exposed_s, offset=row["personal_offset"])
        for head, at in enumerate((row["opened_told_at"], row["redeemed_told_at"])):
            if at is not None:
                told.add_reward(head, phi, exposed_s, max(at.timestamp() - exposed_s, 0.0))
    wanted = told.sums(await epoch_of(connection))
    found = await sums_of(connection)
    assert found.totals[1] == len(shown)
    assert_same(found, wanted)


def assert_same(found: Sums, wanted: Sums) -> None:
    """The same up to rounding; what nearly cancels out is as exact as what it is made of."""
    for name in Sums.__slots__:
        of_wanted = getattr(wanted, name)
        scale = ALMOST * max(1.0, float(np.abs(of_wanted).max()))
        np.testing.assert_allclose(getattr(found, name), of_wanted, rtol=ALMOST, atol=scale, err_msg=name)


async def sums_of(connection: Any) -> Sums:
    """What the learner has counted of exposures, over all partitions and cohorts."""
    total = Sums(DIMS)
    for (packed,) in await connection.fetch("select sums from learner_sums order by partition, cohort"):
        total.add(sums.unpack(packed, DIMS))
    return total


async def epoch_of(connection: Any) -> Epoch:
    """The epoch in force."""
    stored = await epochs.latest(connection)
    assert stored is not None
    return stored.epoch


def phi_of(logged: bytes) -> np.ndarray:
    """(slots, features) float32 as a decision logs them."""
    return np.frombuffer(logged, "<f4").reshape(-1, DIMS)


async def states_of_pushes(connection: Any) -> dict[UUID, State]:
    """Where each row of the outbox stands."""
    return {row[0]: State(row[1]) for row in await connection.fetch("select outbox_id, state from outbox")}


def assert_pushed_at_most_once(
    inbox: list[Mapping[str, Any]], before: dict[UUID, State], after: dict[UUID, State]
) -> None:
    """By the record of the stand-in, read after the states `before` and before the states `after`."""
    received = Counter(UUID(message["tag"]) for message in inbox)
    assert max(received.values(), default=0) <= 1, "somebody got a push twice"
    assert {row_id for row_id, state in before.items() if state is State.ACCEPTED} <= received.keys()
    # Of a push whose answer was lost nobody knows: it is never sent again.
    assert {after[row_id] for row_id in received} <= {State.ACCEPTED, State.SENDING, State.UNKNOWN}
