"""A database full of pushes that are ready to leave, for the benchmark of sending."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from push import outbox_days
from push.bench.reference import BODY, TITLE, TOKEN
from push.campaign import campaigns
from push.campaign.occurrences import due_from
from schema.campaign import Campaign, StoredCampaign
from schema.ids import stable_entropy, uuid7
from schema.offer import Creative, Offer
from service.store import offers

NOON: Final = datetime(2026, 3, 2, 12, tzinfo=UTC)
"""Nobody's quiet hours."""

ROUND: Final = timedelta(minutes=1)

_PEOPLE: Final = """
    insert into users (user_id, external_id, created_at, time_zone) overriding system value
    select n, 'user ' || n, $2, 'UTC' from generate_series(1, $1) n
"""
_DEVICES: Final = """
    insert into devices (user_id, device_id, address, address_kind, platform, address_updated_at, last_seen_at)
    select n, 'phone', $3 || lpad(n::text, 12, '0') || $4, 'token', 'android', $2, $2 from generate_series(1, $1) n
"""
_OUTBOX: Final = """
    insert into outbox (user_id, campaign_id, occurrence_at, channel, outbox_id, bucket, state, send_at, send_until, expires_at,
                        moment_propensity, decision_id, offer_id, message)
    select n, $2, $3, 1, gen_random_uuid(), n % 64, 1, $3::timestamptz + (n - 1) / $4::int * $5::interval, $6, $6, 1, d, 1,
           convert_to(jsonb_build_object('title', $7::text, 'body', $8::text, 'image_url', null, 'data', jsonb_build_object(
               'decision_id', d, 'offer_id', 'flat-white', 'deep_link', 'app://offers/flat-white'))::text, 'UTF8')
      from (select n, gen_random_uuid() as d from generate_series(1, $1) n) people
"""


async def fill(connection: Any, rounds: int, messages: int) -> None:
    """`messages` people are due at NOON, as many others a ROUND later, and so on; one offer, one campaign."""
    people, before = rounds * messages, NOON - timedelta(days=1)
    await connection.execute(_PEOPLE, people, before)
    await connection.execute(_DEVICES, people, before, *TOKEN.split("%012d"))
    deal = Offer(offer_id="flat-white", creative=Creative(title=TITLE, body=BODY), is_redeemable=True, tags=["coffee"])
    await offers.put_all(connection, [deal], before)
    starts_at = NOON.replace(tzinfo=None, hour=0)
    body = Campaign(campaign_id="bench", starts_at=starts_at, ends_at=starts_at + timedelta(weeks=1))
    stored = StoredCampaign(id=uuid7(before, stable_entropy(b"bench")), status="active", campaign=body)
    await campaigns.create(connection, stored, before, starts_at, due_from(starts_at))
    until = NOON + timedelta(hours=6)
    await outbox_days.ensure(connection, [NOON])
    await connection.execute(_OUTBOX, people, stored.id, NOON, messages, ROUND, until, TITLE, BODY)
    await connection.execute("analyze")
