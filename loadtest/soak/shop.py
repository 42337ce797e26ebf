"""The shop of a run: its offers, the people with phones, the rules of contact and the campaigns, made by the API as an operator would."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from loadtest import wire, world
from loadtest.faults.caller import Caller
from loadtest.soak.plan import Plan
from loadtest.world import World, person

OFFERS: Final = 60
STORES: Final = 40
CODED: Final = 8
"""Offers with a code, which tills take."""
HEARD_S: Final = 1.5
"""Until every API worker has heard of a campaign."""
RULES: Final = {
    "quiet_hours": [{"begins": "21:30", "ends": "08:00"}],
    "caps": [{"pushes_max": 3, "per": "local_day"}],
    "min_gap_s": 3_600,
}
_LIFE: Final = timedelta(weeks=20)


def shop_of(plan: Plan) -> World:
    """The world that the load test's own offers are made for."""
    return World("soak", plan.people, 0, OFFERS, 1, STORES)


def code_of(number: int) -> str:
    """The code of one of CODED offers."""
    return f"SOAK{number % CODED}"


async def build(caller: Caller, wires: wire.Caller, plan: Plan, now: datetime) -> None:
    """Makes everything. Raises NotSetUpError or Unanswered when something is refused."""
    await caller.call("PUT", "/v1/contact-rules", RULES)
    await world.import_offers(wires, world.offers_csv(shop_of(plan)))
    for number in range(CODED):
        await caller.call("PUT", f"/v1/offers/coded-{number}", offer(number, 0))
    await caller.call("POST", "/v1/campaigns", weekly(now), key="weekly")
    await caller.call("POST", "/v1/campaigns", triggered(now), key="triggered")
    await asyncio.sleep(HEARD_S)


async def give_phones(callers: list[Caller], plan: Plan) -> None:
    """Registers the phones, by several connections at once."""

    async def some(caller: Caller, numbers: tuple[int, ...]) -> None:
        for number in numbers:
            phone = {"user_id": person(number), "token": f"ok-{number}", "platform": "android", "time_zone": "UTC"}
            await caller.call("PUT", f"/v1/devices/phone-{number}", phone)

    shares = [tuple(range(place, plan.phones, len(callers))) for place in range(len(callers))]
    async with asyncio.TaskGroup() as group:
        for caller, share in zip(callers, shares, strict=True):
            group.create_task(some(caller, share))


def offer(number: int, edition: int) -> Mapping[str, Any]:
    """A coded offer; a merchandiser changes its price from edition to edition."""
    return {
        "offer_id": f"coded-{number}",
        "tags": [world.tag(number), world.tag(number + 1)],
        "code": code_of(number),
        "creative": {"title": f"Deal {number}, edition {edition}"},
        "price_minor": 300 + edition % 100,
        "currency": "EUR",
    }


def weekly(now: datetime) -> Mapping[str, Any]:
    """Each person gets one push a week, at a moment of their own between 8 and 21."""
    hours = [day * 24 + hour for day in range(7) for hour in range(8, 21)]
    monday = (now - timedelta(days=now.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
    return _campaign("weekly", monday, monday + _LIFE) | {"recurrence": "weekly", "hours": hours}


def daily(day: datetime) -> Mapping[str, Any]:
    """A push in the course of one day."""
    return _campaign(f"day-{day:%Y%m%d}", day.replace(hour=8), day.replace(hour=20))


def triggered(now: datetime) -> Mapping[str, Any]:
    """A push to who leaves a store."""
    trigger = {"event_type": "left_store", "cooldown_s": 86_400}
    return _campaign("left-store", now - timedelta(days=1), now + _LIFE) | {"trigger": trigger}


def _campaign(name: str, starts_at: datetime, ends_at: datetime) -> dict[str, Any]:
    return {
        "campaign_id": name,
        "starts_at": starts_at.replace(tzinfo=None, microsecond=0).isoformat(),
        "ends_at": ends_at.replace(tzinfo=None, microsecond=0).isoformat(),
        "default_time_zone": "UTC",
        "offers": [f"coded-{number}" for number in range(CODED)],
    }
