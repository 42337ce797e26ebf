"""The shop a server is given: its offers by region, people with a past, and how both get in."""

import asyncio
import itertools
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from loadtest import seeding, wire
from loadtest.wire import Caller
from schema.event import BatchAnswer

TAGS_PER_OFFER: Final = 3
TAGS: Final = 60
PURCHASES: Final = 8
"""Purchases in the past of each person who has one of their own."""
HISTORY_DAYS: Final = 60
HISTORY_EVENTS_PER_REQUEST: Final = 500
VIRAL_OFFER: Final = "viral"
SEED: Final = 20_261_121
FOLDED_TIMEOUT_S: Final = 90.0

_HEADER: Final = (
    "offer_id,title,body,tags,discount_type,discount_percent,price,margin,currency,"
    "redemptions_max,store_ids,image_url,deep_link"
)


class NotSetUpError(Exception):
    """The server refused what every run begins with."""


class World(NamedTuple):
    """How large a shop is. Every store has the same number of offers: those of its region, offers ÷ regions.

    `told` people get a past of PURCHASES purchases over the API; the others up to `people` are copies of them, with what was learned.
    """

    name: str
    people: int
    told: int
    offers: int
    regions: int
    stores: int = 40
    viral_max: int = 0

    @property
    def eligible(self) -> int:
        """Offers that a person may get in any store."""
        return self.offers // self.regions


def person(place: int) -> str:
    """The id of a person, as the app knows it."""
    return f"person-{place:07d}"


def tag(place: int) -> str:
    """A tag of the taxonomy."""
    return f"category-{place:02d}"


def offers_csv(world: World, first: int = 0, prefix: str = "deal") -> bytes:
    """The world's offers as a file to import, numbered from `first`; the viral one, limited, is sold in no store of theirs."""
    rng = np.random.default_rng(SEED + first)
    lines = [_HEADER]
    for place in range(first, first + world.offers):
        tags = ";".join(tag(each) for each in rng.choice(TAGS, TAGS_PER_OFFER, replace=False))
        price, margin = rng.integers(80, 900) / 100, rng.integers(10, 70) / 100
        stores = ";".join(f"store-{each}" for each in range(place % world.regions, world.stores, world.regions))
        name = f"{prefix}-{place:05d}"
        lines.append(
            f"{name},Deal number {place},Only this week in your store,{tags},percent,{rng.integers(5, 50)},"
            f"{price:.2f},{margin:.2f},EUR,,{stores},https://cdn.example/{name}.webp,shop://deals/{name}"
        )
    if world.viral_max:
        lines.append(
            f"{VIRAL_OFFER},Everybody wants it,While stocks last,{tag(0)},percent,90,1.00,0.10,EUR,"
            f"{world.viral_max},store-viral,https://cdn.example/viral.webp,shop://deals/viral"
        )
    return "\n".join(lines).encode()


def history(world: World, now: datetime) -> Iterator[bytes]:
    """Bodies of POST /v1/events that give each of the `told` a past of PURCHASES purchases."""
    rng = np.random.default_rng(SEED + 1)
    events = (
        {
            "event_id": f"past-{who}-{place}",
            "user_id": person(who),
            "type": "purchase",
            "occurred_at": now - timedelta(seconds=float(rng.uniform(60, HISTORY_DAYS * 86_400))),
            "properties": basket(world, rng),
        }
        for who in range(world.told)
        for place in range(PURCHASES)
    )
    while batch := list(itertools.islice(events, HISTORY_EVENTS_PER_REQUEST)):
        yield msgspec.json.encode({"sent_at": now, "batch": batch})


def basket(world: World, rng: np.random.Generator) -> dict[str, object]:
    """The properties of a purchase."""
    tags = [tag(each) for each in rng.choice(TAGS, 4, replace=False)]
    store = f"store-{rng.integers(world.stores)}"
    return {"tags": tags, "amount": round(float(rng.uniform(2, 40)), 2), "store_id": store}


async def set_up(caller: Caller, world: World, connection: Any, now: datetime) -> None:
    """Imports the offers and the past of the told, waits until it has been learned, and copies it to the others.

    Raises:
        NotSetUpError: anything was refused, or was not learned within FOLDED_TIMEOUT_S.
    """
    await import_offers(caller, offers_csv(world))
    for body in history(world, now):
        status, answer = await wire.ask(caller.port, caller.post("/v1/events", body))
        if status != wire.OK or msgspec.json.decode(answer, type=BatchAnswer).rejected:
            raise NotSetUpError(f"events: {status} {answer[:500]!r}")
    await _learned(connection, world.told)
    if world.people > world.told:
        await seeding.multiply(connection, world.told, world.people)


async def import_offers(caller: Caller, table: bytes) -> None:
    """Uploads a file of offers.

    Raises:
        NotSetUpError: it was refused.
    """
    status, answer = await wire.ask(caller.port, caller.post("/v1/offers/imports", table, "text/csv"))
    if status != wire.OK:
        raise NotSetUpError(f"offers: {status} {answer[:500]!r}")


async def _learned(connection: Any, people: int) -> None:
    ends = time.monotonic() + FOLDED_TIMEOUT_S
    while await connection.fetchval("select count(*) from user_state") < people:
        if time.monotonic() > ends:
            raise NotSetUpError(f"the past of {people} people was not learned within {FOLDED_TIMEOUT_S:.0f} s")
        await asyncio.sleep(0.2)
    await connection.execute("vacuum analyze user_state, users, identities")
