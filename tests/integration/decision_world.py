"""A small shop in PostgreSQL for the tests of deciding: offers, people with tastes, and a snapshot of the prior alone."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from bandits import tastes
from schema.offer import Offer
from schema.snapshot import Snapshot
from service.learning.composer import Composer
from service.store import offers, people, snapshots
from service.store.people import USER, PersonKey
from tests.deciding import offer


def deals(count: int) -> list[Offer]:
    """Offers of a few tags each; some sensitive, for adults, of one store, or cheaper."""
    return [
        offer(
            f"deal-{n:03}",
            [f"tag{n % 12}", f"tag{n % 7 + 12}"],
            price_minor=500,
            discount_type="amount",
            discount_minor=50 * (n % 4),
            is_sensitive=n % 13 == 0,
            min_age=18 if n % 11 == 5 else 0,
            store_ids=["s1"] if n % 17 == 3 else [],
        )
        for n in range(count)
    ]


async def stock(connection: Any, shelf: Sequence[Offer], now: datetime) -> None:
    for one in shelf:
        await offers.create(connection, one, now)


async def publish(pool: Any, now: datetime) -> Snapshot:
    """Publishes the next snapshot of what has been learned; without events that is the prior."""
    assert await Composer(pool).publish(now)
    async with pool.acquire() as connection:
        newest = await snapshots.latest(connection)
    assert newest is not None
    return newest


async def acquaint(connection: Any, name: str, tags: Sequence[str], baskets: int, at: datetime) -> int:
    """A person who has bought these tags so often; gives our id of them."""
    async with connection.transaction():
        found = await people.ensure(connection, [PersonKey(USER, name)], at)
    user_id = found[PersonKey(USER, name)].user_id
    ids = dict(await connection.fetch("select tag, tag_id from tags"))
    state = tastes.Tastes()
    for _ in range(baskets):
        state.bought([ids[tag] for tag in tags], at.timestamp())
    await connection.execute(
        "insert into user_state (user_id, tastes, rhythm, updated_at) values ($1, $2, '', $3)",
        user_id,
        state.pack(),
        at,
    )
    return user_id
