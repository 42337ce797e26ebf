"""Batches without timers: what comes while one is served is the next, and one bad question fails alone."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from service.batching import Batcher, Limits
from service.errors import ApiError


class Doubler:
    """Answers 2 n; fails for whole batches that hold 13, waits for the gate."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception = ValueError("thirteen")

    async def serve(self, questions: Sequence[int]) -> list[int]:
        self.batches.append(list(questions))
        await self.gate.wait()
        if 13 in questions:
            raise self.error
        return [2 * question for question in questions]


async def started(doubler: Doubler, waiting_max: int = 100, batch_max: int = 4) -> Batcher[int, int]:
    batcher: Batcher[int, int] = Batcher("numbers", doubler.serve, Limits(waiting_max, batch_max))
    batcher.open()
    await asyncio.sleep(0)
    return batcher


async def test_what_comes_meanwhile_is_the_next_batch() -> None:
    doubler = Doubler()
    batcher = await started(doubler)
    assert await asyncio.gather(*(batcher.submit(n) for n in range(6))) == [0, 2, 4, 6, 8, 10]
    assert doubler.batches == [[0, 1, 2, 3], [4, 5]]
    assert await batcher.submit(7) == 14
    await batcher.close()


async def test_one_bad_question_fails_alone() -> None:
    batcher = await started(Doubler())
    answers = await asyncio.gather(*(batcher.submit(n) for n in (1, 13, 2, 3)), return_exceptions=True)
    assert [answers[0], *answers[2:]] == [2, 4, 6]
    assert isinstance(answers[1], ValueError)
    assert await batcher.submit(4) == 8
    await batcher.close()


async def test_behind_one_who_waited_for_a_lock_in_vain_nobody_waits_for_it_again() -> None:
    doubler = Doubler()
    doubler.error = asyncpg.LockNotAvailableError("held")
    batcher = await started(doubler)
    answers = await asyncio.gather(*(batcher.submit(n) for n in (1, 13, 13, 2)), return_exceptions=True)
    assert answers[0] == 2
    assert [(one.status, one.retry_after_s) for one in answers if isinstance(one, ApiError)] == [(503, 1)] * 3
    assert doubler.batches == [[1, 13, 13, 2], [1], [13]]
    with pytest.raises(ApiError, match="does not answer"):
        await batcher.submit(13)
    assert doubler.batches[3:] == [[13]]
    await batcher.close()


async def test_without_a_database_nobody_is_tried_again() -> None:
    doubler = Doubler()
    doubler.error = ConnectionResetError()
    batcher = await started(doubler)
    answers = await asyncio.gather(*(batcher.submit(n) for n in (1, 13, 2)), return_exceptions=True)
    assert [(one.status, one.code) for one in answers if isinstance(one, ApiError)] == [(503, "unavailable")] * 3
    assert len({id(one) for one in answers}) == 3
    assert doubler.batches == [[1, 13, 2]]
    await batcher.close()


async def test_a_full_queue_refuses_and_a_cancelled_question_is_served() -> None:
    doubler = Doubler()
    doubler.gate.clear()
    batcher = await started(doubler, waiting_max=3)
    tasks = [asyncio.create_task(batcher.submit(n)) for n in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(ApiError, match="Too many numbers wait") as refused:
        await batcher.submit(3)
    assert (refused.value.status, refused.value.code, refused.value.retry_after_s) == (503, "overloaded", 1)
    tasks[1].cancel()
    doubler.gate.set()
    assert await asyncio.gather(tasks[0], tasks[2]) == [0, 4]
    assert doubler.batches == [[0, 1, 2]]
    await batcher.close()


async def test_closing_answers_what_was_taken() -> None:
    doubler = Doubler()
    batcher = await started(doubler, batch_max=1)
    tasks = [asyncio.create_task(batcher.submit(n)) for n in range(3)]
    await asyncio.sleep(0)
    await batcher.close()
    assert [task.result() for task in tasks] == [0, 2, 4]
    with pytest.raises(ApiError, match="stopping"):
        await batcher.submit(1)


class Overlapping:
    """Serves each question alone, and waits until it is told that this one is over."""

    def __init__(self, under_way_max: int) -> None:
        self.begun: list[int] = []
        self.over: dict[int, asyncio.Event] = {number: asyncio.Event() for number in range(5)}
        self.batcher: Batcher[int, int] = Batcher("numbers", self.serve, Limits(100, 1, under_way_max))

    async def serve(self, questions: Sequence[int]) -> Sequence[int]:
        self.begun += questions
        await self.over[questions[0]].wait()
        return questions


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_two_batches_may_be_under_way_and_no_third() -> None:
    served = Overlapping(2)
    served.batcher.open()
    asked = [served.batcher.put(number) for number in range(4)]
    await turns()
    assert served.begun == [0, 1]
    served.over[1].set()  # the later one is over first
    await turns()
    assert (served.begun, asked[1].done(), asked[0].done()) == ([0, 1, 2], True, False)
    served.over[0].set()
    await turns()
    assert served.begun == [0, 1, 2, 3]
    served.over[3].set()
    closing = asyncio.create_task(served.batcher.close())
    await turns()
    assert not closing.done()
    served.over[2].set()
    await closing
    assert [each.result() for each in asked] == [0, 1, 2, 3]


async def test_who_is_served_alone_holds_up_no_other_batch() -> None:
    doubler = Doubler()
    batcher: Batcher[int, int] = Batcher("numbers", doubler.serve, Limits(100, 2, 2))
    batcher.open()
    asked = [batcher.put(number) for number in (13, 1, 2, 3)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert answers[1:] == [2, 4, 6]
    assert isinstance(answers[0], ValueError)
    assert sorted(doubler.batches) == [[1], [2, 3], [13], [13, 1]]
    await batcher.close()


async def test_a_batch_is_alone_where_nothing_else_is_said() -> None:
    served = Overlapping(Limits(1, 1).under_way_max)
    served.batcher.open()
    asked = [served.batcher.put(number) for number in range(2)]
    await turns()
    assert served.begun == [0]
    for over in served.over.values():
        over.set()
    await served.batcher.close()
    assert [each.result() for each in asked] == [0, 1]


async def test_batches_under_way_end_with_the_task_that_began_them() -> None:
    served = Overlapping(2)
    served.batcher.open()
    asked = [served.batcher.put(number) for number in range(3)]
    await turns()
    (running,) = [task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") == "_run"]
    running.cancel()
    await turns()
    assert running.cancelled()
    for each in asked:
        with pytest.raises(ApiError, match="stopping"):
            each.result()
