import asyncio
from datetime import timedelta
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import pytest
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, SkipValidation

from schema.base import Incoming, Kept
from service.errors import ApiError
from service.routes.acting import act_once
from service.store.idempotency import Answer, Attempt, Once, find, keep_first, once, purge
from service.store.pool import open_pool
from tests.integration.serving import NOW, Api, serving

Pool = NamedDependency[SkipValidation[asyncpg.Pool]]


class Tag(Incoming, frozen=True):
    tag: Annotated[str, "a tag"]
    fails: bool = False
    pause_s: float = 0.0


class Made(Kept, frozen=True):
    count: int


@post("/probe/tags", opt={"scope": "offers"}, status_code=201)
async def make_tag(request: Request[Any, Any, Any], data: JSONBody[Tag], pool: Pool) -> Response[Made]:
    async def effect(connection: Any) -> Made:
        await connection.execute("insert into tags (tag) values ($1)", data.tag)
        await asyncio.sleep(data.pause_s)
        if data.fails:
            raise ApiError(409, "conflict", "no")
        return Made(count=await connection.fetchval("select count(*) from tags"))

    return await act_once(request, pool, NOW, effect, status=201)


async def send(api: Api, headers: dict[str, str], key: str | None, **body: Any) -> tuple[int, Any, bool]:
    keyed = headers | ({"Idempotency-Key": key} if key is not None else {})
    answer = await api.post("/probe/tags", json=body, headers=keyed)
    return answer.status_code, answer.json(), "idempotent-replayed" in answer.headers


async def test_the_same_request_acts_once(database: str) -> None:
    async with serving(database, make_tag) as api:
        one, other = await api.key("sk", "offers"), await api.key("sk", "offers")
        assert await send(api, one, "k", tag="a") == (201, {"count": 1}, False)
        assert await send(api, one, "k", tag="a") == (201, {"count": 1}, True)
        status, problem, _ = await send(api, one, "k", tag="b")
        assert (status, problem["code"]) == (422, "idempotency_key_reused")
        assert await send(api, one, "k2", tag="b") == (201, {"count": 2}, False)
        assert await send(api, other, "k", tag="c") == (201, {"count": 3}, False)
        assert await send(api, one, None, tag="d") == (201, {"count": 4}, False)
        for bad in ("", "x" * 129, "a b"):
            assert (await send(api, one, bad, tag="e"))[0] == 400


async def test_what_failed_left_nothing_and_may_be_tried_again(database: str) -> None:
    async with serving(database, make_tag) as api:
        headers = await api.key("sk", "offers")
        assert (await send(api, headers, "k", tag="a", fails=True))[0] == 409
        assert await send(api, headers, "k", tag="a") == (201, {"count": 1}, False)


async def test_of_two_at_once_one_acts_and_the_other_is_told_to_wait(database: str) -> None:
    async with serving(database, make_tag) as api:
        headers = await api.key("sk", "offers")
        answers = await asyncio.gather(*(send(api, headers, "k", tag="a", pause_s=0.5) for _ in range(3)))
        assert sorted(status for status, _, _ in answers) == [201, 409, 409]
        assert {body["code"] for status, body, _ in answers if status == 409} == {"idempotency_key_in_flight"}
        assert await send(api, headers, "k", tag="a", pause_s=0.5) == (201, {"count": 1}, True)


async def test_a_dead_attempt_does_not_block_its_key(database: str) -> None:
    pool = await open_pool(database, 2)
    attempt = Attempt(UUID(int=1), None, "k", b"sha")
    started = asyncio.Event()

    async def dies() -> None:
        async with once(pool, attempt, NOW):
            started.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(dies())
    await started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with once(pool, attempt, NOW) as again:
        assert again.kept is None
    await pool.close()


async def test_two_users_of_one_api_key_do_not_wait_for_each_other(database: str) -> None:
    pool = await open_pool(database, 2)
    try:
        for one, other in (("ada", "ben"), ("ada", None)):
            attempts = [Attempt(UUID(int=1), user, "k", b"\1" * 32) for user in (one, other)]
            async with once(pool, attempts[0], NOW), once(pool, attempts[1], NOW) as second:
                assert second.kept is None
    finally:
        await pool.close()


async def test_answers_are_kept_for_a_day(database: str) -> None:
    pool = await open_pool(database, 2)
    attempt = Attempt(UUID(int=1), None, "k", b"sha")
    async with once(pool, attempt, NOW) as this:
        await this.keep(Answer(200, b"{}"))
    for age, answer in ((timedelta(hours=24), Answer(200, b"{}")), (timedelta(hours=24, seconds=1), None)):
        await purge(pool, NOW + age)
        async with once(pool, attempt, NOW) as again:
            assert isinstance(again, Once)
            assert again.kept == answer
    await pool.close()


async def test_what_acts_under_a_key_that_a_decision_has_taken_meanwhile_is_undone(database: str) -> None:
    pool = await open_pool(database, 2)
    ours, theirs = (Attempt(UUID(int=1), "ann", "k", sha) for sha in (b"one", b"other"))

    async def act() -> None:
        async with once(pool, ours, NOW) as this:
            await this.connection.execute("insert into tags (tag) values ('a')")
            assert await keep_first(pool, theirs, Answer(200, b"{}"), NOW) is None
            await this.keep(Answer(200, b"{}"))

    with pytest.raises(ApiError) as caught:
        await act()
    assert (caught.value.status, caught.value.code) == (422, "idempotency_key_reused")
    assert await pool.fetchval("select count(*) from tags") == 0
    await pool.close()


async def test_the_answer_kept_first_is_the_answer(database: str) -> None:
    pool = await open_pool(database, 2)
    attempt = Attempt(UUID(int=1), None, "k", b"sha")
    first, second = Answer(200, b"1"), Answer(200, b"2")
    assert await find(pool, attempt) is None
    assert await keep_first(pool, attempt, first, NOW) is None
    assert await keep_first(pool, attempt, second, NOW) == await find(pool, attempt) == first
    for other in (attempt._replace(user_external_id="ann"), attempt._replace(key_id=UUID(int=2))):
        assert await find(pool, other) is None
    with pytest.raises(ApiError):
        await keep_first(pool, attempt._replace(request_sha256=b"other"), second, NOW)
    await pool.close()
