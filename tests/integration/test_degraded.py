"""PostgreSQL does not answer: in-app decisions go on for people who are remembered, and are in the log, once, when it is back."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
import pytest_asyncio

from loadtest.faults import recovery, small_disk
from loadtest.faults.proxy import FaultProxy, to_socket
from push.copy_format import HEADER, TRAILER
from service.store import journal, journal_import
from service.store.decision_people import DecisionPerson
from service.store.people import ANONYMOUS, USER, PersonKey
from tests.deciding import offer
from tests.integration import decision_world
from tests.integration.serving import Api, serving
from tests.parts import needs_mount

SOON_S = 60.0
SHELF = [offer("milk", ["milk"]), offer("bread", ["bread"]), offer("rare", ["rare"], redemptions_max=1000)]
LOGGED = "select count(*) filter (where is_degraded), count(*) from decisions where decision_id = any($1::uuid[])"


class Town(NamedTuple):
    """The API, the road to its database, and the database by another road."""

    api: Api
    proxy: FaultProxy
    direct: Any
    data_dir: Path

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        self.proxy.is_refusing = True
        self.proxy.cut()
        yield
        self.proxy.is_refusing = False

    def remembered(self, name: str) -> DecisionPerson | None:
        degraded = self.api.resources.decisions._degraded
        assert degraded is not None
        return degraded.known.get(PersonKey(USER, name))

    async def decide(self, name: str, **more: Any) -> Any:
        answer = await self.api.post("/v1/decisions", json={"user_id": name, "slots": 2} | more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def imported(self) -> None:
        await until(lambda: journal.files(self.data_dir) == [])


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest_asyncio.fixture
async def town(database: str, tmp_path: Path) -> AsyncIterator[Town]:
    parts = urlsplit(database)
    where = parse_qs(parts.query)
    async with FaultProxy(to_socket(f"{where['host'][0]}/.s.PGSQL.{where['port'][0]}")).open() as proxy:
        dsn = f"postgresql://welltimed@127.0.0.1:{proxy.port}{parts.path}"
        direct = await asyncpg.connect(database)
        async with serving(dsn, data_dir=tmp_path) as api:
            api.headers.update(await api.key("sk", "users", "ingest", "offers", "reports"))
            async with api.resources.pool.acquire() as connection:
                await decision_world.stock(connection, SHELF, datetime.now(UTC))
            await decision_world.publish(api.resources.pool, datetime.now(UTC))
            await api.resources.snapshot.refresh()
            yield Town(api, proxy, direct, tmp_path)
        await direct.close()


async def shown_to(town: Town) -> str:
    """Somebody who is shown something, and of whom this worker has read before."""
    for n in range(200):
        if (await town.decide(f"person-{n}"))["offers"] and town.remembered(f"person-{n}"):
            return f"person-{n}"
    raise AssertionError


async def test_who_is_remembered_is_decided_for_and_all_else_is_refused(town: Town) -> None:
    name = await shown_to(town)
    async with town.outage():
        told = [await town.decide(name) for _ in range(5)]
        assert all(one["degraded"] for one in told)
        # Of what has an end nothing can be promised, so it is not shown.
        assert {offer["offer_id"] for one in told for offer in one["offers"]} == {"milk", "bread"}
        assert not any("reservation" in offer for one in told for offer in one["offers"])
        for path, body in (
            ("/v1/decisions", {"user_id": "stranger"}),
            (f"/v1/decisions/{told[0]['decision_id']}/feedback", {"type": "thumbs_down", "user_id": name}),
            ("/v1/events", {"sent_at": "2026-03-01T00:00:00Z", "batch": [event(name)]}),
        ):
            refused = await town.api.post(path, json=body)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1"), refused.text
        for path, body in keyed(name).items():
            refused = await town.api.post(path, json=body, headers={"Idempotency-Key": path})
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1"), (path, refused.text)
    await until_written(town)
    for path, body in keyed(name).items():
        answers = [await town.api.post(path, json=body, headers={"Idempotency-Key": path}) for _ in range(2)]
        assert answers[0].is_success, answers[0].text
        assert answers[0].content == answers[1].content  # of what was refused nothing was kept, of this the answer
    await town.imported()
    ids = [one["decision_id"] for one in told]
    assert tuple(await town.direct.fetchrow(LOGGED, ids)) == (5, 5)
    assert "degraded" not in await town.decide(name)


def keyed(name: str) -> dict[str, dict[str, Any]]:
    """What holds only when its answer is kept, by path: also for who is remembered."""
    return {"/v1/decisions": {"user_id": name}, "/v1/redemptions": {"user_id": name, "offer_id": "rare"}}


async def until_written(town: Town) -> None:
    """A write is acknowledged again as soon as was promised."""
    body = {"sent_at": "2026-03-01T00:00:00Z", "batch": [event("probe")]}
    began = time.monotonic()
    while not (await town.api.post("/v1/events", json=body)).is_success:
        assert time.monotonic() - began < recovery.PROMISED_S
        await asyncio.sleep(0.02)


def event(name: str) -> dict[str, Any]:
    return {
        "event_id": "e",
        "user_id": name,
        "type": "app_open",
        "occurred_at": "2026-03-01T00:00:00Z",
        "properties": {},
    }


async def test_a_degraded_decision_is_answered_explained_and_drawn_again_like_any_other(town: Town) -> None:
    name = await shown_to(town)
    async with town.outage():
        told = await town.decide(name)
    await town.imported()
    at = f"/v1/decisions/{told['decision_id']}"
    for kind in ("shown", "opened"):
        answered = await town.api.post(f"{at}/feedback", json={"type": kind, "user_id": name})
        assert answered.status_code == 200, answered.text
    replayed = await town.api.post(f"{at}/replay", params={"user_id": name})
    assert replayed.json()["identical"] is True
    explained = await town.api.get(f"{at}/explanation", params={"user_id": name})
    assert explained.status_code == 200


async def test_a_decision_is_imported_once_however_often_its_journal_is_found(town: Town) -> None:
    name = await shown_to(town)
    async with town.outage():
        told = await town.decide(name)
        (path,) = journal.files(town.data_dir)
        copy = path.read_bytes()
    await town.imported()
    # As one finds it that died between the commit and the removal, and before that in the middle of its next record.
    path.write_bytes(copy + copy[: len(copy) // 2])
    await town.imported()
    assert tuple(await town.direct.fetchrow(LOGGED, [told["decision_id"]])) == (1, 1)
    path.write_bytes(copy)
    assert await journal_import.import_all(town.direct, town.data_dir) == 0
    assert journal.files(town.data_dir) == []


async def test_a_journal_that_is_refused_holds_up_no_other(town: Town) -> None:
    rows = memoryview(HEADER + b"\0\x01\0\0\0\x01x" + TRAILER)
    for columns in (("of_another_release",), ("user_id",)):
        strange = journal.Journal(town.data_dir)
        await strange.copy_to_table("decisions", source=rows, columns=columns, format="binary")
        strange.seal()
    assert await journal_import.import_all(town.direct, town.data_dir) == 0
    assert journal.files(town.data_dir) == []
    assert len(list((town.data_dir / "journal").glob("*.refused"))) == 2


async def test_while_decisions_wait_for_their_import_an_answer_to_one_is_asked_again(town: Town) -> None:
    name = await shown_to(town)
    (town.data_dir / "journal").mkdir(exist_ok=True)
    waiting = journal.Journal(town.data_dir)  # another worker's, which has not imported yet
    await asyncio.to_thread(waiting._append, b"")
    path = "/v1/decisions/01890000-0000-7000-8000-000000000000/feedback"
    refused = await town.api.post(path, json={"type": "shown", "user_id": name})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    waiting.seal()
    await town.imported()
    assert (await town.api.post(path, json={"type": "shown", "user_id": name})).status_code == 404


async def test_who_has_said_no_by_whatever_door_is_not_decided_for_from_memory(town: Town) -> None:
    name = await shown_to(town)
    assert town.remembered(name) is not None
    # Another worker takes the veto: this one only hears of it.
    await town.direct.execute(
        """update users set vetoed_offer_ids = array(select offer_id from offers where external_id = 'milk')
            where user_id = (select user_id from identities where external_id = $1)""",
        name,
    )
    await until(lambda: town.remembered(name) is None)
    async with town.outage():
        assert (await town.api.post("/v1/decisions", json={"user_id": name})).status_code == 503
    await until(lambda: not town.api.resources.decisions._degraded.is_out)  # type: ignore[union-attr] # it is there
    assert "milk" not in {one["offer_id"] for one in (await town.decide(name))["offers"]}
    async with town.outage():
        again = await town.decide(name)
        assert "milk" not in {one["offer_id"] for one in again["offers"]}
    await town.imported()


async def test_who_gets_a_name_and_whose_phone_gets_another_person_is_forgotten(town: Town) -> None:
    """For it decides who may speak for them, and for whom the phone is asked."""
    degraded = town.api.resources.decisions._degraded
    assert degraded is not None
    phone = PersonKey(ANONYMOUS, "phone")
    for name in ("ann", "bob"):
        for _ in range(2):  # at first nobody is known who could be remembered
            answer = await town.api.post("/v1/decisions", json={"anonymous_id": "phone"})
            assert answer.status_code == 200, answer.text
        assert degraded.known.get(phone) is not None
        # As another worker would: of it this one only hears.
        answer = await town.api.post("/v1/identify", json={"user_id": name, "anonymous_id": "phone"})
        assert answer.status_code == 200, answer.text
        await until(lambda: degraded.known.get(phone) is None)


@needs_mount
async def test_a_journal_without_room_refuses_in_words_and_goes_on_when_there_is_some(town: Town) -> None:
    name = await shown_to(town)
    folder = town.data_dir / "journal"
    folder.mkdir(exist_ok=True)
    with small_disk.mounted(folder, 2**20) as disk:
        async with town.outage():
            first = await town.decide(name)
            disk.fill()
            answers = [await town.api.post("/v1/decisions", json={"user_id": name}) for _ in range(8)]
            refused = answers[-1]  # what is left of a page may take another decision or two
            assert (refused.status_code, refused.headers.get("retry-after")) == (503, "5"), refused.text
            assert "disk is full" in refused.json()["detail"]
            disk.give_room()
            second = await town.decide(name)
        await town.imported()
        told = [one.json() for one in answers if one.is_success] + [first, second]
        ids = [one["decision_id"] for one in told]
        assert tuple(await town.direct.fetchrow(LOGGED, ids)) == (len(ids), len(ids))


async def test_a_decision_that_is_imported_while_it_is_looked_for_is_found(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = await shown_to(town)
    async with town.outage():
        told = await town.decide(name)
        (path,) = journal.files(town.data_dir)
        kept = path.read_bytes()
    await town.imported()
    await town.direct.execute("delete from decisions where decision_id = $1", told["decision_id"])
    looked = journal.files

    def files(data_dir: Path) -> list[Path]:
        """The first look at the journals comes when the last of them has just been imported."""
        monkeypatch.undo()
        begun = path.with_suffix(".begun")
        begun.write_bytes(kept)
        begun.rename(path)
        while looked(data_dir):
            time.sleep(0.01)
        return []

    monkeypatch.setattr(journal, "files", files)
    answer = await town.api.post(
        f"/v1/decisions/{told['decision_id']}/feedback", json={"type": "shown", "user_id": name}
    )
    assert answer.status_code == 200, answer.text
