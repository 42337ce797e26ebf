"""Who is asked alike is drawn in columns: decisions, outbox and messages are to the byte what is drawn for each alone."""

from collections.abc import AsyncIterator
from datetime import date, timedelta
from typing import Any

import asyncpg
import pytest

from push.clock import standing
from push.decider import NOBODY, DrawnMany, DueMany
from push.drawing import due
from push.drawing.due import DueDrawer
from schema.contact_rules import ContactRules
from schema.wording import Words
from service.decision import many
from service.decision.policy import BUILT_IN
from service.learning.composer import Composer
from service.planning.push_decider import PipelineDecider
from service.store import decision_rows
from service.store.catalogue import CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache
from service.store.pool import open_pool
from tests.deciding import answered, shopper
from tests.integration import push_world
from tests.integration.push_world import HOUR, NOW, SEED

PEOPLE = range(1, 151)
COLUMNS = ", ".join(decision_rows.COLUMNS)


class Alone(PipelineDecider):
    """Leaves everybody to be decided for one by one."""

    async def decide_many(self, _connection: Any, _asked: DueMany, _now: Any) -> DrawnMany:
        return NOBODY


class Counted(PipelineDecider):
    """Counts for whom it decided in columns."""

    together = 0

    async def decide_many(self, connection: Any, asked: DueMany, now: Any) -> DrawnMany:
        found = await super().decide_many(connection, asked, now)
        self.together += len(found.numbers)
        return found


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 4) as pool:
        await push_world.people(pool, len(PEOPLE))
        for n in range(12):
            await push_world.offer(pool, f"deal-{n}", tags=[f"tag{n % 5}", f"tag{5 + n % 3}"], price_minor=500 + n)
        await push_world.offer(pool, "wine", tags=["tag1"], min_age=18, is_sensitive=True)
        await push_world.offer(pool, "here", tags=["tag2"], store_ids=["s1"])
        await push_world.offer(pool, "few", tags=["tag3"], min_age=45, redemptions_max=1000)
        for user_id in PEOPLE:
            await pool.execute(*_person(user_id))
            if state := _state(user_id):
                await pool.execute(
                    "insert into user_state (user_id, tastes, rhythm, personal, updated_at) values ($1, $2, '', $3, $4)",
                    user_id, *state, NOW,
                )  # fmt: skip  # the row as it is
        await Composer(pool).publish(NOW)
        yield pool


def _person(n: int) -> tuple[Any, ...]:
    changes = """
        update users set time_zone = $2, birth_date = $3, has_push_consent = $4, has_personalization_consent = $5, vetoed_offer_ids = $6,
               traits = $7, locale = $8, quiet_minutes = $9, pushes_per_day_max = $10, created_at = $11, opted_out_at = $12, muted_until = $13,
               version = $1
         where user_id = $1
    """
    return (
        changes,
        n,
        [None, "Europe/Berlin", "Asia/Tokyo", "America/New_York"][n % 4],
        date(1950 + n % 70, 1 + n % 12, 1) if n % 3 else None,
        n % 11 > 0,
        n % 7 > 0,
        [1 + n % 12] if n % 9 == 0 else [],
        {"store_id": f"s{n % 3}"} if n % 4 == 1 else {},
        [None, "de-AT", "fr"][n % 3],
        [0, 1439] if n % 13 == 0 else [],
        n % 2 if n % 17 == 0 else None,
        NOW - timedelta(days=n, seconds=n / 7),
        NOW if n % 29 == 0 else None,
        NOW + n % 2 * HOUR if n % 23 == 0 else None,
    )


def _state(n: int) -> tuple[bytes, bytes] | None:
    states = [
        b"",
        shopper(1, 1),
        shopper(9, 2, 6, at=NOW - timedelta(days=40)),
        shopper(2, *range(1, 100)),
        b"no state",
        shopper(3, 4)[:-1],
    ]
    sums = [
        b"",
        answered(0.0),
        answered(1.0, 0.0, 1.0, at=NOW - timedelta(days=70)),
        b"\x09" * len(answered(0.0)),
        b"x",
    ]
    kind = n % 8
    if kind == 0:
        return None
    return states[(0, 1, 2, 3, 1, 2, 3, 4 + n % 2)[kind]], sums[n % 3 if n % 19 else 3 + n % 2]


@pytest.mark.parametrize("call", [7, many.CALL])
async def test_in_columns_all_is_what_it_is_alone(
    pool: asyncpg.Pool, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(many, "CALL", call)
    monkeypatch.setattr(due, "BATCH_ROWS", 1000)
    await push_world.rules(pool, ContactRules(quiet_hours=[], min_gap_s=0))
    templates = {
        "default": Words(title="{offer_title}!", body="Now"),
        "de": Words(title="Jetzt {offer_title}", body="Nur {price}"),
    }
    for campaign in (
        await push_world.campaign(pool, "a", holdout_share=0.1, control_share=0.2, templates=templates, buttons=["not_now"]),
        await push_world.campaign(pool, "b", kind="transactional", control_share=0.1, offers=["deal-1", "deal-5", "wine"]),
        await push_world.campaign(pool, "c", channels=["push", "inbox"]),
        await push_world.campaign(pool, "d", kind="transactional", goal="incremental_value"),
    ):  # fmt: skip  # a line each
        await push_world.planned(pool, campaign, PEOPLE)
    await pool.execute(
        "insert into contacts (user_id, sent) select user_id, $1 from users where user_id % 5 = 0",
        [[int(NOW.timestamp() * 1000) - 1000, "x", ["tag1"]]] * 2,
    )
    decider = Counted
    assert await _drawn(pool, Alone) == await _drawn(pool, decider)


async def _drawn(pool: asyncpg.Pool, kind: type[PipelineDecider]) -> tuple[list[Any], list[Any]]:
    snapshot = SnapshotCache(pool)
    await snapshot.refresh()
    decider = kind(CatalogueCache(), snapshot, PolicyCache(pool, BUILT_IN))
    assert await DueDrawer(pool, decider, SEED).draw_due(standing(NOW)) >= 3 * len(PEOPLE)
    if isinstance(decider, Counted):
        assert decider.together > 100
    decisions = await pool.fetch(f"select {COLUMNS} from decisions order by decision_id")
    outbox = await pool.fetch("select * from outbox order by user_id, campaign_id")
    assert await pool.fetchval("select count(*) from reservations")
    await pool.execute("truncate decisions, inboxes, inbox_items, reservations")
    await pool.execute("update allowances set reserved = 0, reserved_minor = 0")
    await pool.execute(
        "update outbox set state = 0, decision_id = null, offer_id = null, message = null, outcome = null, reservation_id = null, settled_at = null"
    )
    return [dict(row) for row in decisions], [dict(row) for row in outbox]
