"""Ours and the references take turns in short rounds on the same machine, so that its noise meets them all alike."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Self

from loadtest import processes, references, sessions
from loadtest.closed_loop import Throughput, closed_loop
from loadtest.references import Inserted
from loadtest.requests import EVENTS_PER_REQUEST
from loadtest.stretch import Bench
from loadtest.target import Target

CONNECTIONS: Final = 256
"""Enough to keep one worker busy: with fewer it waits for commits, and what it needs after each wait is no longer in the caches."""
WARM_S: Final = 0.4
ANSWERS_MIN: Final = 10 * CONNECTIONS
CAUGHT_UP_LOOKS: Final = 200
LOOK_EVERY_S: Final = 0.1

_BEHIND: Final = """
    select exists(select from event_log_heads h join learner_partitions l using (partition) where h.seq > l.last_seq)
"""

Turn = Callable[[], Awaitable[None]]
Said = Callable[[str], None]


class References(NamedTuple):
    """The reference applications that run beside the server."""

    echo: Target
    insert: Target


class Rounds(NamedTuple):
    """What was seen, a value for each round; PostgreSQL's processor time by event (its learning included) and by row of the batches, and that of
    the background worker by event. `others_cores` are those that neither ours nor the generator used while all that was measured, stolen
    ones too.
    """

    decisions: list[Throughput]
    events: list[Throughput]
    event_postgres_us: list[float]
    event_background_us: list[float]
    echo: list[Throughput]
    inserts: list[Throughput]
    batches: list[Inserted]
    batch_postgres_us: list[float]
    others_cores: float = 0.0


async def take(bench: Bench, beside: References, count: int, turn_s: float, said: Said) -> Rounds:
    """`count` rounds of five turns, `turn_s` seconds each, the warming included."""
    rounds = Rounds([], [], [], [], [], [], [], [])
    asked = bench.requests.decisions()
    turns = [
        closed(bench, bench.target(), asked, turn_s, rounds.decisions),
        closed(bench, beside.echo, asked, turn_s, rounds.echo),
        _events(bench, turn_s, rounds),
        closed(bench, beside.insert, asked, turn_s, rounds.inserts),
        _batches(bench, turn_s, rounds),
    ]
    before = _Others.read(bench.served.postgres_pid)
    for number in range(count):
        said(f"round {number + 1} of {count}: decisions, events, echo, INSERT, batches in turn")
        await in_turn(turns, number)
    return rounds._replace(others_cores=_Others.read(bench.served.postgres_pid).cores_since(before))


class _Others(NamedTuple):
    """Seconds: an instant, and what others have used of the machine until then, other machines too."""

    at_s: float
    used_s: float

    @classmethod
    def read(cls, postgres_pid: int) -> Self:
        """The postmaster is nobody's child."""
        used_s = processes.others_cpu_s(os.getpid(), postgres_pid) + processes.machine().stolen_s
        return cls(time.monotonic(), used_s)

    def cores_since(self, before: "_Others") -> float:
        return max(self.used_s - before.used_s, 0.0) / (self.at_s - before.at_s)


async def against(ours: Bench, other: Bench, count: int, turn_s: float) -> tuple[list[Throughput], list[Throughput]]:
    """Decisions of two servers in turn: ours and the other's."""
    ours_seen: list[Throughput] = []
    other_seen: list[Throughput] = []
    turns = [
        closed(ours, ours.target(), ours.requests.decisions(), turn_s, ours_seen),
        closed(other, other.target(), other.requests.decisions(), turn_s, other_seen),
    ]
    for number in range(count):
        await in_turn(turns, number)
    return ours_seen, other_seen


async def events_against_batches(bench: Bench, count: int, turn_s: float) -> Rounds:
    """Events and the batches of `unnest` alone, in the same PostgreSQL."""
    seen = Rounds([], [], [], [], [], [], [], [])
    turns = [_events(bench, turn_s, seen), _batches(bench, turn_s, seen)]
    for number in range(count):
        await in_turn(turns, number)
    return seen


def _events(bench: Bench, turn_s: float, rounds: Rounds) -> Turn:
    told = closed(bench, bench.target(), bench.requests.event_batches(), turn_s, rounds.events)

    async def turn() -> None:
        background = bench.served.background_pid()
        before, background_s = await sessions.cpu_s(bench.connection, sessions.SERVER), processes.cpu_s(background)
        await told()
        # Whoever is next must not pay for what the learner has yet to count.
        await caught_up(bench.connection)
        spent_s = sessions.spent_s(before, await sessions.cpu_s(bench.connection, sessions.SERVER))
        events = rounds.events[-1].answered_in_all * EVENTS_PER_REQUEST
        rounds.event_postgres_us.append(1e6 * spent_s / events)
        rounds.event_background_us.append(1e6 * (processes.cpu_s(background) - background_s) / events)

    return turn


def _batches(bench: Bench, turn_s: float, rounds: Rounds) -> Turn:
    async def turn() -> None:
        backend = bench.connection.get_server_pid()
        before = processes.cpu_s(backend)
        rounds.batches.append(await references.batch_insert(bench.connection, bench.world, turn_s))
        spent_s = processes.cpu_s(backend) - before
        rounds.batch_postgres_us.append(1e6 * spent_s / rounds.batches[-1].rows)

    return turn


async def caught_up(connection: Any) -> None:
    """Returns when the learner has counted all that was told, at the latest after CAUGHT_UP_LOOKS looks."""
    for _ in range(CAUGHT_UP_LOOKS):
        if not await connection.fetchval(_BEHIND):
            return
        await asyncio.sleep(LOOK_EVERY_S)


def closed(bench: Bench, target: Target, requests: Iterator[bytes], turn_s: float, into: list[Throughput]) -> Turn:
    """A turn of the closed loop; what it saw goes into the list."""
    warm_s = min(WARM_S, turn_s / 4)

    async def turn() -> None:
        into.append(
            await closed_loop(
                target,
                requests,
                database=bench.connection,
                connections=CONNECTIONS,
                warm_s=warm_s,
                seconds=turn_s - warm_s,
                answers_min=ANSWERS_MIN,
            )
        )

    return turn


async def in_turn(turns: Sequence[Turn], number: int) -> None:
    """Each takes its turn; who is first changes from round to round."""
    first = number % len(turns)
    for turn in (*turns[first:], *turns[:first]):
        await turn()
