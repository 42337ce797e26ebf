"""The background worker: learns, publishes, plans, draws what is due, sends, ticks."""

import asyncio
from contextlib import AsyncExitStack
from datetime import date, datetime, timedelta
from functools import partial
from typing import Final

import asyncpg

from push import agenda, outbox_days, stop
from push.channel import Channel
from push.channels.delivery_dispatcher import DeliveryDispatcher
from push.clock import pause, standing
from push.drawing.draft import PrivateWords
from push.drawing.due import LANES_ALONE, DueDrawer
from push.planning.planner import Planner
from push.sending.dispatcher import Dispatcher
from push.sending.governor import Governor, SharedGovernor, Ungoverned
from service import garbage, telemetry
from service.clock import HastenedClock, SystemClock, running_clock
from service.decision.policy import BUILT_IN
from service.encryption import Encryption
from service.learning.composer import Composer
from service.learning.effect_learner import EffectLearner
from service.learning.learner import Learner
from service.learning.refit import Refitter
from service.learning.taste_mapper import TasteMapper
from service.planning import wake
from service.planning.clock_trust import ClockTrust
from service.planning.exposure_journal import EventLogJournal
from service.planning.lanes import mail_lane, webhook_lane
from service.planning.leader import Leader
from service.planning.moments import LearnedMoments
from service.planning.plan_log import PlanLog
from service.planning.plan_obstacles import CatalogueObstacles
from service.planning.push_decider import PipelineDecider
from service.planning.push_meter import PushMeter
from service.planning.ticks import Learners, ticks
from service.planning.vitals import MEASURE_EVERY_S, VitalsMeter
from service.rounds import RETRY_S, Rounds, failed
from service.settings import Settings
from service.store import partitions_by_day, reservations, virtual_clock
from service.store.catalogue import CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache
from service.store.pool import STATEMENTS_MAX_IN_BACKGROUND, open_pool, until_reached
from service.store.pulse import Pulse

PUSH_EVERY_S: Final = 0.5
DISPATCH_LANES: Final = 4
PUBLISH_EVERY_S: Final = 0.25
REFIT_EVERY_S: Final = 5.0
"""How often it is looked whether a refit is due."""
GIVE_BACK_EVERY_S: Final = 60.0

DAYS_MADE: Final = timedelta(days=7)
"""In virtual time partitions are made for so many days at once: after each every statement is planned anew, and a day lasts a second."""


class Worker:
    """Everything that happens without being asked. Any number may run; ticks run on the one that leads."""

    pool: asyncpg.Pool
    quick_pool: asyncpg.Pool

    def __init__(self, settings: Settings, dsn: str, channel: Channel) -> None:
        self._settings = settings
        self._encryption = Encryption(settings)
        self._dsn = dsn
        self._channel = channel
        self._pulse = Pulse(dsn)
        self._stop = asyncio.Event()
        self._planned = asyncio.Event()
        self._drawn = asyncio.Event()
        self._clock = running_clock(settings.hastened_clock)
        self._day: date | None = None
        self._days_made_at: datetime | None = None

    def stop(self) -> None:
        """Ends `run` when what is in flight is settled."""
        for event in (self._stop, self._planned, self._drawn):
            event.set()

    async def run(self) -> None:
        """Works until stopped."""
        async with AsyncExitStack() as stack:
            is_virtual, size_max = self._settings.is_virtual_clock, self._settings.pool_max
            await until_reached(self._dsn)
            opened = partial(
                open_pool,
                self._dsn,
                size_max,
                plans_once=is_virtual,
                statements_max=STATEMENTS_MAX_IN_BACKGROUND,
                joined=self._pulse.joined,
            )
            self.pool = await opened(waits_for_disk=not is_virtual)
            stack.push_async_callback(self.pool.close)
            self.quick_pool = await opened(waits_for_disk=False)
            stack.push_async_callback(self.quick_pool.close)
            await self._channel.open()
            stack.push_async_callback(self._channel.close)
            self._compose()
            if (mail := await mail_lane(self._settings, self.quick_pool, self._encryption)) is not None:
                self.deliverers.append(DeliveryDispatcher(self.pool, mail, EventLogJournal(), PushMeter()))
            for deliverer in self.deliverers:
                await deliverer.channel.open()
                stack.push_async_callback(deliverer.channel.close)
            await self.policy.refresh()
            if await self.snapshot.refresh() is None:
                await self.composer.publish(await self._clock.now())  # the prior alone, the same at any time
                await self.snapshot.refresh()
            if self._settings.is_virtual_clock:
                await virtual_clock.follow(self._dsn, self.settle, self._stop)
            else:
                await self._run_in_real_time(self._clock)

    def _compose(self) -> None:
        seed = self._settings.seed.encode()
        catalogue = CatalogueCache()
        self.snapshot = SnapshotCache(self.pool)
        self.policy = PolicyCache(self.pool, BUILT_IN)
        self.learner = Learner(self.quick_pool, catalogue)
        self.composer = Composer(self.pool)
        self.refitter = Refitter(self.quick_pool)
        self.taste_mapper = TasteMapper(self.quick_pool, catalogue)
        self.effect_learner = EffectLearner(self.quick_pool)
        self.planner = Planner(
            self.pool,
            LearnedMoments(self.snapshot),
            seed,
            obstacles=CatalogueObstacles(catalogue),
            meter=PlanLog(),
        )
        words = PrivateWords(self._settings.private_title, self._settings.private_body)
        decider = PipelineDecider(catalogue, self.snapshot, self.policy, words)
        draws_alone = not (self._settings.is_virtual_clock or self._settings.drawers)
        self.drawer = DueDrawer(self.quick_pool, decider, seed, LANES_ALONE if draws_alone else 1)
        self.dispatcher = Dispatcher(self.pool, self._channel, EventLogJournal(), *self._governed(), PushMeter())
        self.deliverers = [
            DeliveryDispatcher(
                self.pool, webhook_lane(self._settings, self.pool, self._encryption), EventLogJournal(), PushMeter()
            )
        ]

    def _governed(self) -> tuple[Governor, int]:
        """Who limits the rate, and how many batches may be under way at once: in a virtual world nobody, and one after the other."""
        if self._settings.is_virtual_clock:
            return Ungoverned(), 1
        rate_max_per_s = self._settings.fcm_messages_per_minute / 60
        return SharedGovernor(self.quick_pool, self._channel.account, rate_max_per_s), DISPATCH_LANES

    async def settle(self, now: datetime) -> None:
        """Does all that is due by the virtual instant `now`, in a fixed order, so that a run can be repeated."""
        # What is told from now on waits for the next instant: it may come while this one is being settled.
        await self.learner.catch_up(now, appended_before=now)
        if now.date() != self._day:
            self._day = now.date()
            await self._begin_day(now)
        due = await agenda.look(self.pool, now)
        if due.has_to_release:
            await self._release(now)
        if due.has_to_plan:
            await self.planner.plan_due(now)
            due = await agenda.look(self.pool, now)
        # Never stopped half-way: what is called settled is settled.
        if due.has_to_draw:
            await self.drawer.draw_due(standing(now))
            due = await agenda.look(self.pool, now)
        if due.has_to_send:
            await self.dispatcher.dispatch(standing(now))
        if due.has_to_deliver:
            for deliverer in self.deliverers:
                await deliverer.dispatch(standing(now))

    async def _release(self, now: datetime) -> None:
        async with self.pool.acquire() as connection:
            await reservations.expire(connection, now)

    async def _begin_day(self, now: datetime) -> None:
        async with self.pool.acquire() as connection:
            if self._days_made_at is None or now - self._days_made_at >= DAYS_MADE:
                await partitions_by_day.ensure(connection, now, days_ahead=DAYS_MADE.days + 2)
                self._days_made_at = now
            await outbox_days.close(connection, now)
        await self.learner.ripen(now)
        await self.refitter.refit_if_due(now)
        await self.taste_mapper.learn_if_due(now)
        await self.effect_learner.learn_if_due(now)
        await self.composer.publish(now)
        await self._refresh()

    async def _run_in_real_time(self, clock: SystemClock | HastenedClock) -> None:
        every = Rounds(clock, self._stop).every
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pulse.feel(self._stop))
            group.create_task(self.learner.run(clock, self._stop))
            group.create_task(every(PUBLISH_EVERY_S, self.publish))
            group.create_task(every(REFIT_EVERY_S, self.refitter.refit_if_due))
            group.create_task(every(PUSH_EVERY_S, self.draw, self._planned))
            group.create_task(every(PUSH_EVERY_S, self.send, self._drawn))
            group.create_task(every(RETRY_S, self._hear))
            group.create_task(every(MEASURE_EVERY_S, VitalsMeter(self.pool).measure))
            group.create_task(every(GIVE_BACK_EVERY_S, self._give_back))
            for deliverer in self.deliverers:
                group.create_task(every(PUSH_EVERY_S, deliverer.work(clock.now, self._stop)))
            group.create_task(self._lead(clock))

    async def publish(self, now: datetime) -> None:
        """Publishes a snapshot when there is something new, and decides by it from now on."""
        await self.composer.publish_if_changed(now)
        await self._refresh()

    async def _refresh(self) -> None:
        """Takes up what is in force: the snapshot and the policy."""
        await self.snapshot.refresh()
        await self.policy.refresh()

    async def draw(self, now: datetime) -> None:
        """Draws what is due. What is drawn leaves meanwhile: the last of a long backlog need not be drawn for the first to be sent."""
        if self.snapshot.current is not None and (await agenda.look(self.pool, now)).has_to_draw:
            await self.drawer.draw_due(self._clock.now, self._stop)
            self._drawn.set()

    async def send(self, now: datetime) -> None:
        """Sends what is ready."""
        telemetry.SENDING_STOPPED.set(await stop.is_stopped(self.pool))
        if (await agenda.look(self.pool, now)).has_to_send:
            await self.dispatcher.dispatch(self._clock.now, self._stop)

    async def _give_back(self, _: datetime) -> None:
        await asyncio.to_thread(garbage.give_back)

    async def _hear(self, _: datetime) -> None:
        await wake.hear(self._dsn, self._planned, self._stop)

    async def _lead(self, clock: SystemClock | HastenedClock) -> None:
        trust = ClockTrust()
        while not self._stop.is_set():
            try:
                # A new one each time: a schedule that was stopped does not start again.
                learners = Learners(self.taste_mapper, self.effect_learner)
                works = ticks(self.pool, clock, self.planner, self.dispatcher, learners, trust, clock.pace)
                await Leader(self._dsn, works).run(self._stop)
            except Exception:  # noqa: BLE001 - whatever it is, the other rounds go on
                failed("leader")
                await pause(RETRY_S, self._stop)
