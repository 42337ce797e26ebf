"""A shop whose people want what they have bought before, and the log that a policy makes there, through the real pipeline and learner."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import numpy as np

from bandits.policies.model import Model, from_snapshot
from schema.decision import Channel
from schema.event import EventType
from schema.ids import stable_entropy
from service.decision import pipeline, policy
from service.decision.ask import Ask
from service.store import catalogue as catalogues
from service.store import decision_people, decisions
from service.store.logged_decision import LoggedDecision
from service.store.policies import InForce
from tests import deciding
from tests.deciding import NOW, offer
from tests.integration import decision_world, learning_world

KINDS = 8
LATER = NOW + timedelta(days=5)
WANTED, UNWANTED = 0.5, 0.03


async def open_shop(pool: Any, people: int) -> Model:
    """An offer of each kind, people who have bought one kind each, and what is believed before anything was learned."""
    async with pool.acquire() as connection:
        deals = [offer(f"deal-{n}", [f"kind{n}"], is_redeemable=True) for n in range(KINDS)]
        await decision_world.stock(connection, deals, NOW)
        for n in range(people):
            await decision_world.acquaint(connection, f"person{n}", [f"kind{n % KINDS}"], 6, NOW - timedelta(days=2))
    return from_snapshot(await decision_world.publish(pool, NOW))


def in_app(turn: int, user_id: int, in_force: InForce, **more: Any) -> Ask:
    entropy = stable_entropy(b"policies", user_id.to_bytes(8), turn.to_bytes(8))
    given = {"rules": policy.in_app_rules(1, in_force), "entropy": entropy} | more
    return deciding.ask(**given)


def push(turn: int, user_id: int, in_force: InForce, **more: Any) -> Ask:
    rules = policy.push_rules(0.0, 1.0, 0.05, in_force)
    return in_app(turn, user_id, in_force, channel=Channel.PUSH, rules=rules, **more)


async def decide(pool: Any, model: Model, asks: Any, in_force: InForce, turns: Sequence[int]) -> list[LoggedDecision]:
    """One decision a person and turn, an hour apart, made by the pipeline; gives what was logged."""
    async with pool.acquire() as connection:
        ids = [row[0] for row in await connection.fetch("select user_id from users order by 1")]
        people = (await decision_people.by_id(connection, ids)).people
        catalogue = await catalogues.load(connection)
        for turn in turns:
            asked = [(asks(turn, user_id, in_force), people[user_id]) for user_id in ids]
            await pipeline.decide(connection, asked, catalogue, model, NOW + timedelta(hours=turn))
        rows = await connection.fetch("select * from decisions order by decision_id")
    return [decisions.of_row(row) for row in rows]


async def answer(pool: Any, logged: Sequence[LoggedDecision], seed: int = 1) -> int:
    """What was decided is shown, and redeemed the likelier if its kind is the person's; the learner counts it. How many redeemed."""
    rng = np.random.default_rng(seed)
    entries = []
    for one in logged:
        if one.action == 0:
            continue
        shown = EventType.ACCEPTED if one.channel == Channel.PUSH else EventType.SHOWN
        for slot, offer_id in enumerate(one.offer_ids):
            told = {"decision_id": one.decision_id, "slot": slot, "offer_id": offer_id}
            entries.append(learning_world.entry(one.user_id, shown, one.decided_at, **told))
            is_wanted = (one.user_id - 1) % KINDS == (offer_id - 1) % KINDS
            if rng.random() < (WANTED if is_wanted else UNWANTED):
                at = one.decided_at + timedelta(hours=2)
                entries.append(learning_world.entry(one.user_id, EventType.REDEEMED, at, **told))
    async with pool.acquire() as connection:
        await learning_world.log(connection, *entries, at=NOW)
    await learning_world.learner(pool).catch_up(LATER)
    return sum(entry.type == EventType.REDEEMED for entry in entries)
