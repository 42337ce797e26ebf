"""Decisions on offers that have an end, for the tests of what is promised: asked for, and how the counts stand."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from bandits.policies.model import Model
from schema.decision import Channel
from schema.ids import stable_entropy
from service.decision import pipeline, policy
from service.decision.ask import Ask, Decided
from service.store import allowances, catalogue, decision_people
from service.store.allowances import Allowance, holder_of
from tests import deciding
from tests.integration.push_world import NOW


def asks(channel: Channel, people: Sequence[int], turn: str, **more: Any) -> list[Ask]:
    rules = policy.push_rules(0.05, 1.0, 0.0) if channel is Channel.PUSH else policy.in_app_rules(1)
    entropy = [stable_entropy(turn.encode(), n.to_bytes(8)) for n in people]
    return [deciding.ask(channel=channel, rules=rules, entropy=one, **more) for one in entropy]


async def decide(
    pool: asyncpg.Pool, model: Model, asked: Sequence[Ask], people: Sequence[int], now: datetime = NOW
) -> list[Decided]:
    async with pool.acquire() as connection:
        found, _ = await decision_people.by_id(connection, list(people))
        pairs = list(zip(asked, [found[n] for n in people], strict=True))
        return await pipeline.decide(connection, pairs, await catalogue.load(connection), model, now)


def told(decided: Sequence[Decided]) -> Counter[str]:
    """How many people were told of which offer."""
    return Counter(one.catalogue.offers[place].offer.offer_id for one in decided for place in one.offer_indices)


async def stands(pool: asyncpg.Pool, offer_id: int) -> Allowance:
    async with pool.acquire() as connection:
        return (await allowances.read(connection, [holder_of(offer_id)]))[holder_of(offer_id)]


async def assert_in_balance(pool: asyncpg.Pool) -> None:
    """The counts are those of the rows."""
    wrong = await pool.fetch("""
        with open as (select holder, count(*) as n, sum(discount_minor) as minor
                        from reservations cross join unnest(taken_from) as holder where state = 0 group by 1)
        select a.holder, a.reserved, o.n from allowances a left join open o using (holder)
         where (a.reserved, a.reserved_minor) <> (coalesce(o.n, 0), coalesce(o.minor, 0))
    """)
    assert wrong == []
