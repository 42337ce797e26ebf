"""What one API worker holds open: opened in order, closed in reverse."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Final

import asyncpg

from bandits.kernels import warm
from push.channels.mail.unsubscribe import UNSUBSCRIBE
from service.clock import Clock, running_clock
from service.decision.batcher import DecisionBatcher
from service.decision.degraded import Degraded
from service.decision.policy import BUILT_IN
from service.encryption import Encryption
from service.ingest import writer
from service.ingest.buffer import EventBuffer
from service.ingest.feedback_buffer import FeedbackBuffer
from service.ingest.intake import Intake
from service.ingest.triggers import Triggers
from service.learning.visible import Counted
from service.planning.forecast import Forecaster
from service.policies.evaluator import Evaluator
from service.rate_limits import UNLIMITED, RateLimits, Rates
from service.routes.health import Check
from service.settings import Settings
from service.store import migrate, people, signing_keys
from service.store.access_cache import AccessCache
from service.store.catalogue import CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache
from service.store.offer_ids import OfferIds
from service.store.pool import open_pool, until_reached
from service.store.pulse import Pulse
from service.store.signing_keys import SigningKey
from service.store.virtual_clock import ClockHand, VirtualClock

OWN_CONNECTIONS_MAX: Final = 8
"""One for a batch of decisions, two for events, one for feedback, and some for what is read of keys, names, limits and snapshots."""


class Resources:
    """Parts that live as long as the worker; they exist from `open` to `close`.

    What requests do each by itself they do on connections of `pool`, and may wait there for one another: a thousand tills for one scarce
    offer. What many wait for together, batches and what the worker reads for itself, has connections of its own.
    """

    pool: asyncpg.Pool
    _own_pool: asyncpg.Pool
    clock: Clock
    hand: ClockHand
    access: AccessCache
    unsubscribe_key: SigningKey
    offer_ids: OfferIds
    triggers: Triggers
    feedback_key: SigningKey
    counted: Counted
    answers: FeedbackBuffer
    ingest: EventBuffer
    intake: Intake
    catalogue: CatalogueCache
    policy: PolicyCache
    snapshot: SnapshotCache
    decisions: DecisionBatcher
    evaluator: Evaluator
    forecaster: Forecaster

    def __init__(self, settings: Settings, dsn: str) -> None:
        self.settings = settings
        self._dsn = dsn
        self._opened = AsyncExitStack()
        self.encryption = Encryption(settings)
        self.readiness: Mapping[str, Check] = {
            "database": self._check_database,
            "migrations": self._check_migrations,
            "snapshot": self._check_snapshot,
            "kernels": self._check_kernels,
            "running": self._check_running,
        }
        self.rate_limits = _rate_limits(settings)
        self._is_stopping = False

    async def open(self) -> None:
        """Opens everything; when a part fails, what was opened before it is closed again."""
        warm.warm()
        async with AsyncExitStack() as stack:
            is_virtual = self.settings.is_virtual_clock
            await until_reached(self._dsn)
            pulse = Pulse(self._dsn)
            self.pool = await self._open_pool(stack, pulse, self.settings.pool_max)
            self._own_pool = await self._open_pool(stack, pulse, OWN_CONNECTIONS_MAX)
            degraded = None if is_virtual else self._degraded(pulse, stack)
            remembered = _remembered(pulse, is_virtual=is_virtual)
            feeling = asyncio.create_task(pulse.feel(asyncio.Event()), name="pulse")
            stack.push_async_callback(_cancel, feeling)
            await self._open_clock(stack)
            self.unsubscribe_key = SigningKey(UNSUBSCRIBE)
            self.access = AccessCache(self._own_pool, self.rate_limits)
            stack.push_async_callback(self.access.close)
            await self.access.load()
            self.offer_ids = OfferIds(self._own_pool)
            self.feedback_key = signing_keys.feedback_key()
            self.counted = Counted(self._own_pool)
            self.triggers = Triggers(self.settings.seed)
            await self._refresh_triggers()
            write = partial(writer.write, react=self.triggers.react, remembered=remembered)
            self.ingest = EventBuffer(self._own_pool, self.settings.ingest_queue_max, write)
            self.ingest.open()
            stack.push_async_callback(self.ingest.close)
            self.answers = FeedbackBuffer(self._own_pool, self.triggers.react)
            self.answers.open()
            stack.push_async_callback(self.answers.close)
            self.intake = Intake(self.clock, self.offer_ids, self.ingest)
            self.catalogue = CatalogueCache()
            self.policy = PolicyCache(self._own_pool, BUILT_IN)
            await self.policy.refresh()
            self.snapshot = SnapshotCache(self._own_pool)
            self.evaluator = Evaluator(self.pool, self.catalogue)
            seed = self.settings.seed.encode()
            self.forecaster = Forecaster(self.pool, self.catalogue, self.snapshot, self.policy, seed)
            watching = asyncio.create_task(self.snapshot.watch(self._dsn, self._refresh), name="snapshot-watch")
            stack.push_async_callback(_cancel, watching)
            self.decisions = DecisionBatcher(
                self._own_pool, self.pool, self.clock, self.catalogue, self.snapshot, self.policy, degraded
            )
            self.decisions.open()
            stack.push_async_callback(self.decisions.close)
            self._opened = stack.pop_all()

    async def _open_pool(self, stack: AsyncExitStack, pulse: Pulse, size_max: int) -> asyncpg.Pool:
        is_virtual = self.settings.is_virtual_clock
        pool = await open_pool(
            self._dsn,
            size_max,
            waits_for_disk=not is_virtual,
            plans_once=is_virtual,
            looks_up=True,
            joined=pulse.joined,
        )
        stack.push_async_callback(pool.close)
        return pool

    async def _open_clock(self, stack: AsyncExitStack) -> None:
        if self.settings.is_virtual_clock:
            self.clock = VirtualClock(self.pool)
            self.hand = ClockHand(self.pool, self._dsn)
            await self.hand.open()
            stack.push_async_callback(self.hand.close)
        else:
            self.clock = running_clock(self.settings.hastened_clock)

    def _degraded(self, pulse: Pulse, stack: AsyncExitStack) -> Degraded:
        degraded = Degraded(self._own_pool, pulse, self.settings.data_dir)
        importing = asyncio.create_task(degraded.bring_in(), name="journal-import")
        stack.push_async_callback(_cancel, importing)
        return degraded

    def knows(self, secret: str) -> bool:
        """Whether a secret is one of a key, without asking anybody."""
        return self.access.knows(secret)

    def begin_stop(self) -> None:
        """Nothing is closed yet, but who asks whether we are ready is told that we stop."""
        self._is_stopping = True

    async def close(self) -> None:
        """Closes everything that is open."""
        await self._opened.aclose()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open for as long as the context is."""
        await self.open()
        try:
            yield
        finally:
            await self.close()

    async def _refresh(self) -> None:
        """What is looked at beside the snapshot."""
        await self.policy.refresh()
        await self._refresh_triggers()

    async def _refresh_triggers(self) -> None:
        async with self._own_pool.acquire() as connection:
            await self.triggers.refresh(connection)

    async def _check_database(self) -> str | None:
        await self._own_pool.fetchval("select 1")
        return None

    async def _check_migrations(self) -> str | None:
        async with self._own_pool.acquire() as connection:
            missing = await migrate.pending(connection)
        return f"not applied: {', '.join(missing)}" if missing else None

    async def _check_snapshot(self) -> str | None:
        return None if self.snapshot.current else "none has been loaded yet"

    async def _check_kernels(self) -> str | None:
        return None if warm.is_warm() else "not compiled yet"

    async def _check_running(self) -> str | None:
        return "it stops" if self._is_stopping else None


def _rate_limits(settings: Settings) -> RateLimits:
    """In virtual time a day lasts a second, and nobody is asked to wait."""
    if settings.is_virtual_clock:
        return UNLIMITED
    rates = Rates(
        address=settings.rate_limit_address_per_s,
        user=settings.rate_limit_user_per_s,
        secret_key=settings.rate_limit_secret_key_per_s,
    )
    return RateLimits(rates, settings.workers)


def _remembered(pulse: Pulse, *, is_virtual: bool) -> writer.Remembered:
    """What writers of events remember, and forget when they are told to; in virtual time nobody, for it would hang on when they are told."""
    remembered = writer.Remembered(lambda: pulse.is_felt and not is_virtual)
    users = remembered.users
    pulse.hear(people.CHANNEL, lambda user_id: users.has_changed(int(user_id)), users.forget_all)
    return remembered


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
