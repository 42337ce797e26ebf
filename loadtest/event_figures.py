"""Events in the closed loop beside asyncpg's own batch insert: medians over the rounds, and ratios within each round."""

from collections.abc import Iterable
from statistics import median

import msgspec

from loadtest.requests import EVENTS_PER_REQUEST
from loadtest.rounds import Rounds


class Events(msgspec.Struct, frozen=True, kw_only=True):
    """POST /v1/events in the closed loop, in events; processor time for one, in µs; PostgreSQL's with what learning it takes there.

    `cores` is what all of ours used of the machine; the reference needs one.
    """

    per_s: float
    cpu_us: float
    postgres_cpu_us: float
    background_cpu_us: float
    cores: float
    ratio_to_insert: float
    cpu_ratio_to_insert: float


def of(rounds: Rounds) -> Events:
    """From rounds of events and of batches."""
    return Events(
        per_s=median(each.per_s * EVENTS_PER_REQUEST for each in rounds.events),
        cpu_us=median(each.cpu_us / EVENTS_PER_REQUEST for each in rounds.events),
        postgres_cpu_us=median(rounds.event_postgres_us),
        background_cpu_us=median(rounds.event_background_us),
        cores=median(_cores(rounds)),
        ratio_to_insert=median(ratios_to_insert(rounds)),
        cpu_ratio_to_insert=median(cpu_ratios_to_insert(rounds)),
    )


def ratios_to_insert(rounds: Rounds) -> list[float]:
    """Events a second ÷ rows a second of `unnest`, by round."""
    return ratios((each.per_s * EVENTS_PER_REQUEST for each in rounds.events), (each.per_s for each in rounds.batches))


def cpu_ratios_to_insert(rounds: Rounds) -> list[float]:
    """All processor time the reference spends on a row, client and PostgreSQL ÷ all that we spend, API worker and PostgreSQL."""
    theirs = [client + postgres for client, postgres in zip(client_us(rounds), rounds.batch_postgres_us, strict=True)]
    ours = zip(rounds.events, rounds.event_postgres_us, strict=True)
    return ratios(theirs, (each.cpu_us / EVENTS_PER_REQUEST + postgres for each, postgres in ours))


def client_us(rounds: Rounds) -> list[float]:
    """Processor time of the client of `unnest` for a row, by round."""
    return [1e6 * each.client_cpu_s / each.rows for each in rounds.batches]


def ratios(over: Iterable[float], under: Iterable[float]) -> list[float]:
    """One by one; 0 where there is nothing to divide by."""
    return [a / b if b > 0 else 0.0 for a, b in zip(over, under, strict=True)]


def _cores(rounds: Rounds) -> Iterable[float]:
    for each, *others_us in zip(rounds.events, rounds.event_postgres_us, rounds.event_background_us, strict=True):
        yield (each.server_cpu_s + 1e-6 * sum(others_us) * each.answered * EVENTS_PER_REQUEST) / each.seconds
