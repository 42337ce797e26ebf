"""What was learned against a recount of the log: each event is in it once, and counted once by who has read it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np

from bandits import population, sums
from bandits.features import DIMS
from bandits.population import Population
from loadtest.faults.verdict import Verdict
from schema.event import EventType
from schema.ids import PARTITIONS, partition_of
from schema.log import DECODER, LogEntry

ALMOST: Final = 1e-9
"""Sums of the same float64 numbers in another order."""
EXPOSING: Final = frozenset({EventType.SHOWN, EventType.ACCEPTED})

_LOG: Final = "select l.body, l.seq <= p.last_seq from event_log l join learner_partitions p using (partition)"
_POPULATIONS: Final = "select partition, population from learner_partitions"
_EXPOSURES: Final = """
    select decision_id, slot, opened_at is not null, redeemed_at is not null from exposures where exposed_at is not null
"""
_SUMS: Final = "select sums from learner_sums"


async def learned(connection: Any, verdict: Verdict) -> None:
    """Events, purchases by partition, exposures with their answers, and how many exposures are in the model's sums."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        batches = [(DECODER.decode(body), is_read) for body, is_read in await connection.fetch(_LOG)]
        counts = Counter(entry.event_id for entries, _ in batches for entry in entries)
        verdict.add("double_counted", (f"{one} in the log" for one, count in counts.items() if count > 1))
        stored = {row[0] for row in await connection.fetch("select event_id from events")}
        verdict.add("acked_and_lost", (f"event {one} is not in the log" for one in stored - counts.keys()))
        read = [entry for entries, is_read in batches if is_read for entry in entries]
        await _purchases(connection, read, verdict)
        await _exposures(connection, read, verdict)


async def _purchases(connection: Any, read: Iterable[LogEntry], verdict: Verdict) -> None:
    wanted = {partition: Population() for partition in range(PARTITIONS)}
    for entry in read:
        if entry.type == EventType.PURCHASE:
            counts = wanted[partition_of(entry.user_id)]
            counts.bought(entry.tag_ids, entry.local_hour, entry.occurred_at.timestamp())
    for partition, packed in await connection.fetch(_POPULATIONS):
        found = population.unpack(packed)
        if not np.allclose(found.baskets, wanted[partition].baskets, rtol=ALMOST, atol=0.0):
            baskets = f"{found.baskets:.6f} baskets, {wanted[partition].baskets:.6f} in the log"
            verdict.add("double_counted", [f"partition {partition}: {baskets}"])


async def _exposures(connection: Any, read: Sequence[LogEntry], verdict: Verdict) -> None:
    """Each exposure once, and its first opening; a sale rewards at most one, also one that it does not name."""
    shown = {(entry.decision_id, entry.slot) for entry in read if entry.type in EXPOSING}
    rows = [tuple(row) for row in await connection.fetch(_EXPOSURES)]
    _compare("exposure", shown, [row[:2] for row in rows], verdict)
    opened, sold = _answers(read, EventType.OPENED), _answers(read, EventType.REDEEMED)
    _compare("opening", shown & set(opened), [row[:2] for row in rows if row[2]], verdict)
    rewarded = {row[:2] for row in rows if row[3]}
    verdict.add("acked_and_lost", (f"sale of {one} was not learned" for one in (shown & set(sold)) - rewarded))
    verdict.add("double_counted", (f"a sale too many, of {one}" for one in sorted(rewarded)[len(sold) :]))
    in_sums = sum(sums.unpack(packed, DIMS).totals[1] for (packed,) in await connection.fetch(_SUMS))
    if in_sums != len(shown):
        what = "double_counted" if in_sums > len(shown) else "acked_and_lost"
        verdict.add(what, [f"{in_sums} exposures in the sums, {len(shown)} in the log"])


def _answers(read: Iterable[LogEntry], kind: EventType) -> list[tuple[Any, int]]:
    return [(entry.decision_id, entry.slot) for entry in read if entry.type == kind]


def _compare(what: str, wanted: set[tuple[Any, int]], found: Sequence[tuple[Any, ...]], verdict: Verdict) -> None:
    counts = Counter(found)
    verdict.add("acked_and_lost", (f"{what} of {one} was not learned" for one in wanted - counts.keys()))
    verdict.add("double_counted", (f"{what} of {one} was not told" for one in counts.keys() - wanted))
    verdict.add("double_counted", (f"{what} of {one} {count} times" for one, count in counts.items() if count > 1))
