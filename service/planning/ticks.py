"""What the leader does again and again: plan, sweep, learn the map of tastes and what pushes add, expire, forget, and make partitions ahead. Every run is fenced and bounded."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, NamedTuple

from push import outbox_days, triggered
from push.channels import deliveries
from push.contact import contacts
from push.planning.planner import Planner
from push.release import release
from push.schedule import Tick
from push.sending import endings
from push.sending.dispatcher import Dispatcher
from service import telemetry
from service.clock import Clock
from service.learning.effect_learner import EffectLearner
from service.learning.facts import DECISION_AGE_MAX
from service.learning.taste_mapper import TasteMapper
from service.planning.clock_trust import ClockTrust
from service.store import (
    effects,
    epochs,
    event_keys,
    event_log,
    idempotency,
    inbox,
    partitions_by_day,
    reservations,
    retention,
    snapshots,
    taste_maps,
)
from service.store import ticks as store

LOG_KEPT_FOR: Final = timedelta(hours=72)
SNAPSHOTS_KEPT_FOR: Final = timedelta(days=14)
TASTE_MAPS_KEPT_FOR: Final = timedelta(days=180)
EFFECTS_KEPT_FOR: Final = timedelta(days=180)
DECISIONS_KEPT_FOR: Final = timedelta(days=180)
EVENTS_KEPT_FOR: Final = timedelta(days=400)

PLAN_EVERY_S: Final = 60.0
SWEEP_EVERY_S: Final = 5.0
TASTE_MAP_EVERY_S: Final = 3600.0
EFFECT_EVERY_S: Final = 600.0
EXPIRE_EVERY_S: Final = 60.0
EXPIRE_RESERVATIONS_EVERY_S: Final = 5.0
PURGE_EVERY_S: Final = 600.0
PURGE_CONTACTS_EVERY_S: Final = 86_400.0
PARTITIONS_EVERY_S: Final = 3600.0
HASTENED_S: Final = 1.0
"""However fast the clock runs, no tick comes more often by it."""

Work = Callable[[datetime], Awaitable[object]]
Statement = Callable[[Any, datetime], Awaitable[None]]


class Learners(NamedTuple):
    """What is learned now and then, from much."""

    taste_mapper: TasteMapper
    effect_learner: EffectLearner


def ticks(
    pool: Any,
    clock: Clock,
    planner: Planner,
    dispatcher: Dispatcher,
    learners: Learners,
    trust: ClockTrust,
    pace: float = 1.0,
) -> list[Tick]:
    """All ticks of an installation whose clock runs so many times as fast as the real one."""
    on_connection, forgets = partial(_on_connection, pool), partial(_forgets, pool, trust)
    works: list[tuple[str, float, Work]] = [
        ("plan", PLAN_EVERY_S, planner.plan_due),
        ("sweep_leases", SWEEP_EVERY_S, dispatcher.sweep),
        ("taste_map", TASTE_MAP_EVERY_S, learners.taste_mapper.learn_if_due),
        ("effect", EFFECT_EVERY_S, learners.effect_learner.learn_if_due),
        ("expire_pushes", EXPIRE_EVERY_S, on_connection(_expire_pushes)),
        ("expire_reservations", EXPIRE_RESERVATIONS_EVERY_S, on_connection(reservations.expire)),
        ("purge_reservations", PURGE_EVERY_S, forgets(reservations.purge)),
        ("sweep_deliveries", SWEEP_EVERY_S, on_connection(_sweep_deliveries)),
        ("expire_deliveries", EXPIRE_EVERY_S, on_connection(deliveries.expire)),
        ("fold_old_deliveries", PURGE_EVERY_S, forgets(deliveries.fold)),
        ("purge_inboxes", PURGE_EVERY_S, forgets(inbox.purge)),
        ("purge_contacts", PURGE_CONTACTS_EVERY_S, forgets(contacts.purge)),
        ("purge_triggerings", PURGE_EVERY_S, forgets(triggered.purge)),
        ("close_outbox_days", PARTITIONS_EVERY_S, on_connection(outbox_days.close)),
        ("drop_outbox_days", PARTITIONS_EVERY_S, forgets(outbox_days.forget)),
        ("purge_event_keys", PURGE_EVERY_S, forgets(event_keys.purge)),
        ("purge_idempotency_keys", PURGE_EVERY_S, forgets(idempotency.purge)),
        ("trim_event_log", PURGE_EVERY_S, forgets(_trim)),
        ("purge_snapshots", PURGE_EVERY_S, forgets(_purge_snapshots)),
        ("purge_taste_maps", PURGE_EVERY_S, forgets(_purge_taste_maps)),
        ("purge_effects", PURGE_EVERY_S, forgets(_purge_effects)),
        ("make_partitions", PARTITIONS_EVERY_S, on_connection(_make_days)),
        ("drop_old_days", PARTITIONS_EVERY_S, forgets(_drop_old_days)),
    ]
    return [
        Tick(name, _real_s(every_s, pace), _Fenced(pool, clock, name, every_s, work).run)
        for name, every_s, work in works
    ]


def _on_connection(pool: Any, statement: Statement) -> Work:
    async def run(now: datetime) -> None:
        async with pool.acquire() as connection:
            await statement(connection, now)

    return run


def _forgets(pool: Any, trust: ClockTrust, statement: Statement) -> Work:
    """What cannot be had back: only by a clock that is believed."""
    what = f"{statement.__module__}.{statement.__name__}"

    async def run(now: datetime) -> None:
        async with pool.acquire() as connection:
            if await trust.may_forget(connection, what):
                await statement(connection, now)

    return run


def _real_s(every_s: float, pace: float) -> float:
    return max(every_s / pace, min(every_s, HASTENED_S))


async def _expire_pushes(connection: Any, now: datetime) -> None:
    await release(connection, await endings.expire(connection, now))


async def _make_days(connection: Any, now: datetime) -> None:
    await partitions_by_day.ensure(connection, now)
    # What is triggered has no planning that would make its day.
    await outbox_days.ensure(connection, [now, now + timedelta(days=1)])


async def _sweep_deliveries(connection: Any, now: datetime) -> None:
    async with connection.transaction():
        await deliveries.sweep(connection, now, datetime.now(UTC))


async def _trim(connection: Any, now: datetime) -> None:
    await event_log.trim(connection, now - LOG_KEPT_FOR)


async def _purge_snapshots(connection: Any, now: datetime) -> None:
    await snapshots.purge(connection, now - SNAPSHOTS_KEPT_FOR)


async def _purge_taste_maps(connection: Any, now: datetime) -> None:
    await taste_maps.purge(connection, now - TASTE_MAPS_KEPT_FOR)


async def _purge_effects(connection: Any, now: datetime) -> None:
    await effects.purge(connection, now - EFFECTS_KEPT_FOR)


async def _drop_old_days(connection: Any, now: datetime) -> None:
    """Whatever its age, nothing goes that the learner may still need: an entry of the log that it has not counted waits for its decision.

    Exposures go when the sums in force hold them no more, so that what was learned is at any time what can be recomputed.
    """
    counted = await retention.uncounted_since(connection) or now
    await retention.drop_decisions(connection, min(now - DECISIONS_KEPT_FOR, counted - DECISION_AGE_MAX))
    await retention.drop_events(connection, min(now - EVENTS_KEPT_FOR, counted))
    if (epoch := await epochs.latest(connection)) is not None:
        await retention.drop_exposures(connection, epoch.counted_since)


class _Fenced:
    """Runs a piece of work when its tick is due and the leadership it runs under is the newest."""

    def __init__(self, pool: Any, clock: Clock, name: str, every_s: float, work: Work) -> None:
        self._pool = pool
        self._clock = clock
        self._name = name
        self._every_s = every_s
        self._work = work

    async def run(self, epoch: int) -> None:
        now = await self._clock.now()
        async with self._pool.acquire() as connection:
            is_ours = await store.claim(connection, self._name, now, self._every_s, epoch)
        if is_ours:
            try:
                await self._work(now)
            except Exception:
                telemetry.FAILURES.labels(self._name).inc()
                raise  # APScheduler tells of it
            telemetry.TICKS.labels(self._name).inc()
