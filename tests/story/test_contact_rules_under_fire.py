"""Eight dispatchers and four API workers, several campaigns for the same people at the same instants, and people who say no meanwhile.

Judged is the stand-in's own record of what phones received: no cap, gap, category, quiet hour, veto or opt-out is ever broken.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple

import asyncpg
import httpx
import pytest

from push import outbox
from push.campaign import campaigns
from push.planning.plan_rows import Planned
from schema.ids import partition_of, stable_entropy, uuid7
from service.store.pool import prepare
from tests.story.world import REPOSITORY, Serve, environment, kill, serving

API_WORKERS: Final = 4
DISPATCHERS: Final = 8
KILLED: Final = 2
PEOPLE: Final = 120
ABROAD: Final = 10  # of whom it is night
SEED: Final = "under fire"
OFFERS: Final = {"coffee": ["coffee", "hot"], "tea": ["tea", "hot"], "cake": ["cake"], "bread": ["bread"]}
GAP_S: Final = 5.0
ON_ITS_WAY_MAX_S: Final = GAP_S
"""A push that takes longer from its claim to the phone would make this test's own measure too coarse."""

SETTLE_S: Final = 60.0


class Form(NamedTuple):
    """How long it lasts: bursts in which several campaigns are due for everybody at once; how many people say no; and the caps."""

    bursts: int
    every_s: float
    campaigns: int
    refusals: int
    cap: int
    cap_hot: int
    cap_coffee: int


SHORT: Final = Form(bursts=3, every_s=6.0, campaigns=3, refusals=60, cap=3, cap_hot=2, cap_coffee=1)
LONG: Final = Form(bursts=11, every_s=6.0, campaigns=4, refusals=90, cap=7, cap_hot=5, cap_coffee=2)
"""A minute of it: with WELLTIMED_TEST_LONG=1."""


class Refusal(NamedTuple):
    """What somebody said, and when that was acknowledged; of one offer, or of all."""

    person: int
    offer: str | None
    acknowledged_at: datetime


class Push(NamedTuple):
    """What a phone received."""

    person: int
    offer: str
    outbox_id: str
    at: datetime


@pytest.fixture
def serve(data_dir: Path, pg_bin: Path | None) -> Iterator[Serve]:
    with serving(data_dir, "--workers", str(API_WORKERS), pg_bin=pg_bin) as running:
        yield running


@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_no_rule_is_ever_broken(serve: Serve) -> None:
    form = LONG if os.environ.get("WELLTIMED_TEST_LONG") else SHORT
    assert len(serve.children("api")) == API_WORKERS
    await set_up(serve, form)
    with dispatchers(serve) as running:
        begin = datetime.now(UTC) + timedelta(seconds=2)
        await plan(serve.dsn(), form, begin)
        async with asyncio.TaskGroup() as fire:
            refusing = fire.create_task(refuse(serve, form, begin))
            fire.create_task(kill_some(running, begin + timedelta(seconds=form.every_s)))
        await until_settled(serve.dsn())
    refusals = refusing.result()
    received = await inbox(serve)
    claimed_at = await claims(serve.dsn())
    judge_counts(form, received)
    assert [one for one in received if one.outbox_id not in claimed_at] == [], "sent, and not counted"
    on_its_way_s = max((one.at - claimed_at[one.outbox_id]).total_seconds() for one in received)
    tell(received, refusals, await outcomes(serve.dsn()), on_its_way_s)
    assert on_its_way_s < ON_ITS_WAY_MAX_S
    judge_instants(received, refusals, timedelta(seconds=on_its_way_s))
    assert all(claimed_at[one.outbox_id] < said.acknowledged_at for one, said in forbidden(received, refusals))
    assert len(received) > PEOPLE, "too little happened for this to mean anything"


def judge_counts(form: Form, received: Sequence[Push]) -> None:
    """By what phones received: nothing twice, nobody abroad, no cap broken."""
    assert set(Counter(one.outbox_id for one in received).values()) == {1}, "twice"
    for person, pushes in by_person(received).items():
        assert person >= ABROAD, "it is night there"
        assert len(pushes) <= form.cap, person
        tags = Counter(tag for one in pushes for tag in OFFERS[one.offer])
        assert tags["hot"] <= form.cap_hot, person
        assert tags["coffee"] <= form.cap_coffee, person


def judge_instants(received: Sequence[Push], refusals: Sequence[Refusal], on_its_way: timedelta) -> None:
    """By when they received it."""
    # From claim to claim it is the whole gap: an earlier push may have taken longer to come than a later one.
    least = timedelta(seconds=GAP_S) - on_its_way
    for person, pushes in by_person(received).items():
        assert all(later.at - earlier.at >= least for earlier, later in pairwise(pushes)), person
    late = [(one, said) for one, said in forbidden(received, refusals) if one.at > said.acknowledged_at + on_its_way]
    assert late == [], "it was claimed after the answer"


def by_person(received: Sequence[Push]) -> dict[int, list[Push]]:
    found: defaultdict[int, list[Push]] = defaultdict(list)
    for one in sorted(received, key=lambda push: push.at):
        found[one.person].append(one)
    return found


def forbidden(received: Sequence[Push], refusals: Sequence[Refusal]) -> list[tuple[Push, Refusal]]:
    """Pushes that came after a refusal which speaks of them was acknowledged."""
    said_by: defaultdict[int, list[Refusal]] = defaultdict(list)
    for said in refusals:
        said_by[said.person].append(said)
    return [
        (one, said)
        for one in received
        for said in said_by[one.person]
        if said.offer in {None, one.offer} and one.at > said.acknowledged_at
    ]


async def set_up(serve: Serve, form: Form) -> None:
    """Rules by which it is night abroad, offers, people with phones, and campaigns whose windows lie too far ahead for the planner."""
    night = datetime.now(UTC) + timedelta(hours=9)
    week = 7 * 86_400
    rules = {
        "quiet_hours": [{"begins": clock(night - timedelta(hours=2)), "ends": clock(night + timedelta(hours=2))}],
        "caps": [
            {"pushes_max": form.cap, "within_s": week},
            {"pushes_max": form.cap_hot, "within_s": week, "tag": "hot"},
            {"pushes_max": form.cap_coffee, "within_s": week, "tag": "coffee"},
        ],
        "min_gap_s": int(GAP_S),
    }
    starts_at = (datetime.now(UTC) + timedelta(days=3)).replace(tzinfo=None)
    async with client(serve) as http:
        await call(http, "PUT", "/v1/contact-rules", rules)
        for name, tags in OFFERS.items():
            offer = {"offer_id": name, "creative": {"title": name.title()}, "tags": tags, "code": "D"}
            await call(http, "PUT", f"/v1/offers/{name}", offer)
        for number in range(form.bursts * form.campaigns):
            campaign = {
                "campaign_id": f"c{number}",
                "starts_at": starts_at.isoformat(),
                "ends_at": (starts_at + timedelta(days=7)).isoformat(),
                "holdout_share": 0.0,
                "control_share": 1 / 3,
            }
            await call(http, "POST", "/v1/campaigns", campaign)
        phones = (
            {
                "user_id": f"user-{n}",
                "token": f"ok-{n}",
                "platform": "android",
                "time_zone": "Asia/Tokyo" if n < ABROAD else "UTC",
            }
            for n in range(PEOPLE)
        )
        await asyncio.gather(*(call(http, "PUT", f"/v1/devices/{one['token']}", one) for one in phones))


async def plan(dsn: str, form: Form, begin: datetime) -> None:
    """A push of every campaign for everybody, those of one burst at nearly the same instant."""
    random = Random(SEED)
    async with database(dsn) as connection:
        people = [row[0] for row in await connection.fetch("select user_id from users order by user_id")]
        for number in range(form.bursts * form.campaigns):
            stored = await campaigns.read(connection, f"c{number}")
            assert stored is not None
            due = begin + timedelta(seconds=number // form.campaigns * form.every_s)
            until = due + timedelta(hours=1)
            rows = []
            for user_id in people:
                send_at = due + timedelta(seconds=random.uniform(0.0, 0.5))
                outbox_id = uuid7(send_at, stable_entropy(stored.id.bytes, user_id.to_bytes(8)))
                rows.append(Planned(user_id, outbox_id, partition_of(user_id), send_at, until, until, 1.0))
            assert await outbox.plan(connection, stored, stored.campaign.starts_at, rows) == PEOPLE


async def refuse(serve: Serve, form: Form, begin: datetime) -> list[Refusal]:
    """People say no, each in one of five ways, spread over the bursts; told is when the answer came."""
    random = Random(SEED)
    span_s = (form.bursts - 1) * form.every_s + 2.0
    said = [
        (begin + timedelta(seconds=random.uniform(0.0, span_s)), person, random.randrange(6))
        for person in random.sample(range(ABROAD, PEOPLE), form.refusals)
    ]
    async with client(serve) as http, asyncio.TaskGroup() as group:
        tasks = [group.create_task(refuse_at(http, at, person, way, random)) for at, person, way in said]
    return [task.result() for task in tasks]


async def refuse_at(http: httpx.AsyncClient, at: datetime, person: int, way: int, random: Random) -> Refusal:
    await asyncio.sleep(max((at - datetime.now(UTC)).total_seconds(), 0.0))
    now = datetime.now(UTC)
    offer = random.choice(sorted(OFFERS)) if way in {0, 1} else None
    nap = {"begins": clock(now - timedelta(hours=2)), "ends": clock(now + timedelta(hours=2))}
    path, body = [
        ("preferences", {"add_vetoes": [offer]}),
        ("preferences", {"add_vetoes": [offer]}),
        ("consent", {"push": False}),
        ("preferences", {"muted_until": (now + timedelta(days=1)).isoformat()}),
        ("preferences", {"quiet_hours": [nap]}),
        ("preferences", {"pushes_per_week_max": 0}),
    ][way]
    await call(http, "PATCH", f"/v1/users/user-{person}/{path}", body)
    return Refusal(person, offer, datetime.now(UTC))


async def kill_some(running: list[subprocess.Popen[bytes]], at: datetime) -> None:
    """kill -9 in the middle of a burst: what they had claimed stays counted."""
    await asyncio.sleep((at - datetime.now(UTC)).total_seconds() + 0.7)
    for process in running[:KILLED]:
        kill(process.pid)


@contextmanager
def dispatchers(serve: Serve) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Beside the one of the background worker."""
    (account,) = serve.data_dir.glob("stand-in-account-*.json")
    command = [sys.executable, "-m", "tests.story.dispatcher_loop", serve.dsn(), serve.stand_in_url, str(account)]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY, env=environment())
        for _ in range(DISPATCHERS)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        yield running
    finally:
        for process in running:
            with contextlib.suppress(BrokenPipeError):
                process.communicate(timeout=30)


async def until_settled(dsn: str) -> None:
    """All is done but what the killed ones had claimed, whose leases go on for a minute."""
    open_rows = "select count(*) from outbox where state in (0, 1)"
    async with database(dsn) as connection, asyncio.timeout(SETTLE_S):
        while await connection.fetchval(open_rows):
            waiting = await connection.fetchval(open_rows + " and (outcome is distinct from 'quiet_hours')")
            if not waiting:
                break
            await asyncio.sleep(0.2)
    await asyncio.sleep(1.0)


async def inbox(serve: Serve) -> list[Push]:
    """The record of the stand-in."""
    async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
        answer = await http.get(f"{serve.stand_in_url}/inbox?after=0&limit=10000")
    return [
        Push(
            int(one["address"].rpartition("-")[2]),
            one["message"]["data"]["offer_id"],
            one["tag"],
            datetime.fromisoformat(one["received_at"]),
        )
        for one in answer.json()["messages"]
    ]


async def claims(dsn: str) -> dict[str, datetime]:
    """When each push was claimed, by outbox id."""
    async with database(dsn) as connection:
        rows = await connection.fetch("select sent from contacts")
    return {name: datetime.fromtimestamp(at_ms / 1000, UTC) for row in rows for at_ms, name, _ in row["sent"]}


async def outcomes(dsn: str) -> list[tuple[Any, ...]]:
    async with database(dsn) as connection:
        return [
            tuple(row)
            for row in await connection.fetch(
                "select state, case when state not in (3, 8) then outcome end, count(*) from outbox group by 1, 2 order by 1, 2"
            )
        ]


def tell(
    received: Sequence[Push], refusals: Sequence[Refusal], found: list[tuple[Any, ...]], on_its_way_s: float
) -> None:
    """What happened, for who runs this by hand with -s."""
    told = {
        "received": len(received),
        "at_most_on_its_way_s": round(on_its_way_s, 3),
        "refusals": len(refusals),
        "pushes_a_person": Counter(Counter(one.person for one in received).values()),
        "outbox": found,
    }
    sys.stdout.write(json.dumps(told) + "\n")


@asynccontextmanager
async def database(dsn: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        await prepare(connection)
        yield connection
    finally:
        await connection.close()


def client(serve: Serve) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=serve.url, headers=serve.headers, trust_env=False, timeout=30)


async def call(http: httpx.AsyncClient, method: str, path: str, body: Any) -> None:
    answer = await http.request(method, path, json=body)
    assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"


def clock(at: datetime) -> str:
    return at.strftime("%H:%M")
