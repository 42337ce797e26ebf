"""A database that an earlier release made and used: today's program takes it over with all that is in it; an earlier one refuses today's."""

import asyncio
import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import msgspec
import pytest

from push import outbox_days
from schema.campaign import Campaign
from schema.ids import partition_of, stable_entropy, uuid7
from schema.offer import Creative, Offer
from service.learning.composer import Composer
from service.store.migrate import MigrationError, default_folder, migrate, read_folder
from service.store.pool import prepare
from tests.integration.serving import serving
from tests.story.world import COMMAND, REPOSITORY, environment

SECRET = "sk_" + "0123456789abcdef" * 3
LAST = read_folder(default_folder())[-1].name[:4]
STAGES = ["0008", "0030", f"{int(LAST) - 1:04}"]
NOW = datetime.now(UTC)
DAY = timedelta(days=1)

# Columns that the first release had: what later ones added has a default, or their migration fills it.
_KEY = """
    insert into api_keys (key_id, kind, secret_sha256, prefix, scopes, created_at)
    values ($1, 'sk', $2, 'sk_01234', '{ingest,offers,users,campaigns,reports,admin}', $3)
"""
_TAG = "insert into tags (tag) values ('milk'), ('bread')"
_OFFER = "insert into offers (external_id, created_at) values ($1, $2) returning offer_id"
_VERSION = "insert into offer_versions (offer_id, from_version, body, changed_at) values ($1, 1, $2, $3)"
_HEAD = "update catalogue_head set version = 1"
_PERSON = """
    with made as (
        insert into users (external_id, time_zone, vetoed_offer_ids, created_at) values ('ada', 'Europe/Berlin', $1, $2) returning user_id
    )
    insert into identities (kind, external_id, user_id, linked_at) select 0, 'ada', user_id, $2 from made returning user_id
"""
_STATE = "insert into user_state (user_id, tastes, rhythm, updated_at) values ($1, '', '', $2)"
_DEVICE = """
    insert into devices (user_id, device_id, address, address_kind, platform, address_updated_at, last_seen_at)
    values ($1, 'phone', 'ok-1', 'token', 'android', $2, $2)
"""
_EVENT = """
    insert into events (user_id, event_id, type, occurred_at, received_at, slot, properties) values ($1, $2, 3, $3, $3, 0, '{}')
"""
_DECISION = """
    insert into decisions (user_id, decision_id, placement, channel, action, in_holdout, in_control, is_degraded, policy,
        snapshot_version, catalogue_version, user_version, request, tastes, eligible, offer_ids, propensities,
        send_probability, phi, predictions, pmf_sha256, reason_codes)
    values ($1, $2, 'push', 1, 1, false, false, false, 'thompson', 1, 1, 0, '{}', '', '', $3, '{1}', 1, '', '', '', '{}')
"""
_EXPOSURE = "insert into exposures (user_id, decision_id, slot, offer_id, exposed_at) values ($1, $2, 0, $3, $4)"
_CAMPAIGN = """
    insert into campaigns (campaign_id, external_id, body, status, created_at, next_occurrence_at, plan_at)
    values ($1, 'lunch', $2, 'active', $3, null, null)
"""
_OUTBOX = """
    insert into outbox (user_id, campaign_id, occurrence_at, channel, outbox_id, bucket, state, send_at, send_until, expires_at, moment_propensity)
    values ($1, $2, $3, 1, $4, $5, 0, $6, $7, $7, 0.5)
"""
_HAS_DAYS = "select to_regclass('outbox_days') is not null"
_KEPT = """
    select (select count(*) from decisions) as decisions, (select count(*) from events) as events, (select count(*) from exposures) as exposures,
           (select count(*) from outbox where state = 0 and moment_propensity = 0.5) as planned, (select count(*) from devices) as devices
"""


def of_release(folder: Path, last: str) -> Path:
    """The migrations of a release, up to the one with this number."""
    for file in default_folder().glob("*.sql"):
        if file.stem[:4] <= last:
            shutil.copy(file, folder)
    return folder


async def live(dsn: str) -> UUID:
    """What an installation had: a key, two offers, a person who vetoed one of them, a decision that was shown, a push to come."""
    connection = await asyncpg.connect(dsn)
    try:
        await prepare(connection)
        await connection.execute(_KEY, uuid7(NOW, b"0" * 10), hashlib.sha256(SECRET.encode()).digest(), NOW)
        await connection.execute(_TAG)
        ids = []
        for name in ("milk", "bread"):
            ids.append(await connection.fetchval(_OFFER, name, NOW))
            body = Offer(offer_id=name, creative=Creative(title=name.title()), tags=[name])
            await connection.execute(_VERSION, ids[-1], msgspec.to_builtins(body), NOW)
        await connection.execute(_HEAD)
        user_id = await connection.fetchval(_PERSON, [ids[1]], NOW)
        decision_id = uuid7(NOW, stable_entropy(b"decision"))
        await connection.execute(_STATE, user_id, NOW)
        await connection.execute(_DEVICE, user_id, NOW)
        await connection.execute(_EVENT, user_id, uuid7(NOW, stable_entropy(b"event")), NOW)
        await connection.execute(_DECISION, user_id, decision_id, [ids[0]])
        await connection.execute(_EXPOSURE, user_id, decision_id, ids[0], NOW)
        begin = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
        lunch = Campaign(
            campaign_id="lunch", starts_at=begin.replace(tzinfo=None), ends_at=(begin + 7 * DAY).replace(tzinfo=None)
        )
        campaign_id = uuid7(NOW, stable_entropy(b"campaign"))
        await connection.execute(_CAMPAIGN, campaign_id, msgspec.to_builtins(lunch), NOW)
        push = (uuid7(NOW, stable_entropy(b"push")), partition_of(user_id), NOW + DAY, NOW + 2 * DAY)
        if await connection.fetchval(_HAS_DAYS):
            await outbox_days.ensure(connection, [begin])
        await connection.execute(_OUTBOX, user_id, campaign_id, begin, *push)
        return decision_id
    finally:
        await connection.close()


@pytest.mark.parametrize("stage", STAGES)
async def test_what_an_earlier_release_has_written_is_used_by_today_s(
    empty_database: str, tmp_path: Path, stage: str
) -> None:
    applied = await migrate(empty_database, of_release(tmp_path, stage))
    await live(empty_database)
    rest = await migrate(empty_database)
    assert sorted(applied + rest) == [one.name for one in read_folder(default_folder())]

    async with asyncpg.create_pool(empty_database, min_size=1, max_size=2, init=prepare) as pool:
        assert await Composer(pool).publish(NOW)
    async with serving(empty_database) as api:
        await api.resources.snapshot.refresh()
        api.headers["authorization"] = f"Bearer {SECRET}"
        assert dict(await api.resources.pool.fetchrow(_KEPT)) == {
            "decisions": 1,
            "events": 1,
            "exposures": 1,
            "planned": 1,
            "devices": 1,
        }
        for _ in range(4):  # a veto holds across releases
            decided = await api.post("/v1/decisions", json={"user_id": "ada", "slots": 1})
            assert decided.status_code == 200, decided.text
            assert [one["offer_id"] for one in decided.json()["offers"]] in ([], ["milk"]), decided.text
        outcomes = await api.get("/v1/campaigns/lunch/outcomes")
        assert outcomes.json()["states"]["planned"] == 1
        preferences = (await api.get("/v1/users/ada/preferences")).json()
        assert preferences["vetoes"] == ["bread"]
        sent = {"event_id": "e-1", "type": "purchase", "user_id": "ada", "occurred_at": datetime.now(UTC).isoformat()}
        answer = await api.post("/v1/events", json={"sent_at": datetime.now(UTC).isoformat(), "batch": [sent]})
        assert answer.json()["accepted"] == 1


async def test_an_earlier_program_refuses_a_later_schema(database: str, tmp_path: Path) -> None:
    """There is no way back but a backup: what a migration has changed is not undone."""
    with pytest.raises(MigrationError, match=f"newer than the program: it has {LAST}_"):
        await migrate(database, of_release(tmp_path, f"{int(LAST) - 1:04}"))
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("insert into schema_migrations (version, checksum) values ('9999_later', '')")
    finally:
        await connection.close()
    for words in (("serve", "--port", "0"), ("serve", "--role", "api", "--port", "0"), ("serve", "--role", "worker")):
        refused = await asyncio.to_thread(run, words, database)
        assert (refused.returncode, "newer than the program: it has 9999_later" in refused.stderr) == (1, True)


def run(words: Sequence[str], dsn: str) -> subprocess.CompletedProcess[str]:
    env = environment(DATABASE_URL=dsn)
    return subprocess.run(
        [*COMMAND, *words], env=env, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
