"""What was learned against a recount of the log: each event is in it once, and counted once by who has read it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np

from bandits import population, sums
from bandits.delay import WINDOWS_S
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
    select decision_id, slot, exposed_at, opened_at is not null, redeemed_at is not null
      from exposures where exposed_at is not null
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
    """Each exposure once, and whether it was opened; a sale rewards at most one, also one that it does not name."""
    rows = [tuple(row) for row in await connection.fetch(_EXPOSURES)]
    counts = Counter(row[:2] for row in rows)
    shown = {(entry.decision_id, entry.slot) for entry in read if entry.type in EXPOSING}
    verdict.add("acked_and_lost", (f"exposure {one} was not learned" for one in shown - counts.keys()))
    verdict.add("double_counted", (f"exposure {one} was not told" for one in counts.keys() - shown))
    verdict.add("double_counted", (f"exposure {one} {count} times" for one, count in counts.items() if count > 1))

    exposed_at = {row[:2]: row[2] for row in rows}
    opened, rewarded = ({row[:2] for row in rows if row[place]} for place in (3, 4))
    lost = _answered(read, EventType.OPENED, exposed_at, WINDOWS_S[0]) - opened
    verdict.add("acked_and_lost", (f"opening of {one} was not learned" for one in lost))
    openings = {(entry.decision_id, entry.slot) for entry in read if entry.type == EventType.OPENED}
    verdict.add("double_counted", (f"opening of {one} was not told" for one in opened - openings))
    lost = _answered(read, EventType.REDEEMED, exposed_at, WINDOWS_S[1]) - rewarded
    verdict.add("acked_and_lost", (f"sale of {one} was not learned" for one in lost))
    sales = sum(entry.type == EventType.REDEEMED for entry in read)
    verdict.add("double_counted", (f"a sale too many, of {one}" for one in sorted(rewarded)[sales:]))

    in_sums = sum(sums.unpack(packed, DIMS).totals[1] for (packed,) in await connection.fetch(_SUMS))
    if in_sums != len(shown):
        what = "double_counted" if in_sums > len(shown) else "acked_and_lost"
        verdict.add(what, [f"{in_sums} exposures in the sums, {len(shown)} in the log"])


def _answered(
    read: Iterable[LogEntry], kind: EventType, exposed_at: Mapping[tuple[Any, int], datetime], window_s: float
) -> set[tuple[Any, int]]:
    """Exposures that were answered by name, after they were shown and within the window: where clocks are set, one may come before the other."""
    found = set()
    for entry in read:
        key = (entry.decision_id, entry.slot)
        if entry.type == kind and key in exposed_at:
            age_s = (entry.occurred_at - exposed_at[key]).total_seconds()
            if 0.0 <= age_s <= window_s:
                found.add(key)
    return found
