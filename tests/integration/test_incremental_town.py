"""The goal incremental_value in a town whose truth is known: those whom a push moves are told, those who buy anyway are left in peace."""

from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from push.fcm.channel import FcmChannel
from service.store import decisions
from service.store.logged_decision import LoggedDecision
from service.store.migrate import migrate
from service.store.pool import open_pool
from tests.contract.stand_in_server import StandInServer
from tests.integration.incremental_town import (
    BEGIN,
    DAY,
    KNOWN_DAYS,
    PERSUADABLE,
    SURE_THING,
    THINGS,
    UNMOVED,
    Town,
    kind_of,
    thing_of,
    worker_of,
)


class Lived(NamedTuple):
    """A town after its weeks: what was decided, and the effects that were learned."""

    town: Town
    decided: list[LoggedDecision]
    effects: list[tuple[int, ...]]


async def lived(database: str, tmp_path: Path, people: int, weeks: int) -> Lived:
    async with await open_pool(database, 4, waits_for_disk=False) as pool:
        with StandInServer() as server:
            server.now = BEGIN + timedelta(hours=12)
            channel = FcmChannel(server.account, base_url=server.url)
            await channel.open()
            town = Town(pool, await worker_of(database, pool, channel, tmp_path), server, people)
            await town.open(weeks)
            await town.live(KNOWN_DAYS + 7 * weeks)
            await channel.close()
        rows = await pool.fetch("select * from decisions order by decision_id")
        learned = await pool.fetch("select version, windows, pushes, crc32 from effects order by version")
        return Lived(town, [decisions.of_row(row) for row in rows], [tuple(row) for row in learned])


def told(life: Lived, kind: int, first: int, last: int) -> float:
    """Mean probability of a push about their own thing that people of a kind had from one week of the campaign to another, by policy."""
    begins, ends = (BEGIN + (KNOWN_DAYS + 7 * week) * DAY for week in (first, last))
    found = []
    for row in life.decided:
        place = life.town.ids[row.user_id]
        if kind_of(place) == kind and begins <= row.decided_at < ends and not (row.in_holdout or row.in_control):
            is_own = row.offer_ids == [THINGS.index(thing_of(place)) + 1]
            found.append(row.send_probability if is_own else 0.0)
    assert len(found) > 10
    return sum(found) / len(found)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_persuadables_are_told_and_the_others_left_in_peace(database: str, tmp_path: Path) -> None:
    life = await lived(database, tmp_path, 60, 9)
    assert len(life.effects) > 55
    assert life.effects[-1][2] > 100
    early = [told(life, kind, 1, 3) for kind in (PERSUADABLE, SURE_THING, UNMOVED)]
    late = [told(life, kind, 6, 9) for kind in (PERSUADABLE, SURE_THING, UNMOVED)]
    assert late[PERSUADABLE] > max(0.85, early[PERSUADABLE]), (early, late)
    assert late[SURE_THING] <= 0.0105, (early, late)
    assert early[UNMOVED] > 0.4, (early, late)  # they look as often as persuadables do
    assert late[UNMOVED] < 0.7 * early[UNMOVED], (early, late)


@pytest.mark.timeout(300)
async def test_the_same_town_is_lived_in_the_same_way(database: str, empty_database: str, tmp_path: Path) -> None:
    await migrate(empty_database)
    one, other = [await lived(each, tmp_path, 12, 2) for each in (database, empty_database)]
    assert one.effects == other.effects
    assert len(one.effects) > 5
    assert len(one.decided) == len(other.decided) == 24
    for before, after in zip(one.decided, other.decided, strict=True):
        assert before == after
