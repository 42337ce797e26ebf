"""Is it alive, is it ready, and what has it counted."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import SkipValidation
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from schema.base import Kept
from service import exposition
from service.settings import Settings

CHECK_TIMEOUT_S: Final = 2.0

_ABANDONED: Final[set[asyncio.Future[str | None]]] = set()
"""Until they end: the event loop itself keeps no task from being collected."""

Check = Callable[[], Coroutine[Any, Any, str | None]]
"""Answers None when all is well, else what is wrong, in words."""


class Alive(Kept, frozen=True):
    """The process answers."""

    alive: bool = True


class Readiness(Kept, frozen=True):
    """Whether this worker can serve; each check says `ok` or what is wrong."""

    ready: bool
    checks: dict[str, str]


async def _words(checks: Mapping[str, Check]) -> dict[str, str]:
    """What each check says. One that hangs is not waited for, nor is its end: a frozen PostgreSQL does not even let go."""
    asked = {name: asyncio.ensure_future(check()) for name, check in checks.items()}
    if asked:
        await asyncio.wait(asked.values(), timeout=CHECK_TIMEOUT_S)
    return {name: _word(task) for name, task in asked.items()}


def _word(asked: asyncio.Future[str | None]) -> str:
    if not asked.done():
        _ABANDONED.add(asked)
        asked.add_done_callback(_let_go)
        asked.cancel()
        return "failed: TimeoutError"
    error = asked.exception()
    return f"failed: {type(error).__qualname__}" if error is not None else asked.result() or "ok"


def _let_go(asked: asyncio.Future[str | None]) -> None:
    _ABANDONED.discard(asked)
    if not asked.cancelled():
        asked.exception()


class HealthController(Controller):
    """What balancers and Prometheus ask."""

    tags = ("health",)
    opt = {"scope": "public"}

    @get("/livez", status_code=200)
    async def livez(self) -> Alive:
        """Answers as long as the process does."""
        return Alive()

    @get(
        "/readyz",
        status_code=200,
        responses={503: ResponseSpec(Readiness, generate_examples=False, description="Not ready.")},
    )
    async def readyz(self, readiness: NamedDependency[SkipValidation[Mapping[str, Check]]]) -> Response[Readiness]:
        """Answers 200 when every check passes, else 503."""
        words = await _words(readiness)
        answer = Readiness(ready=all(word == "ok" for word in words.values()), checks=words)
        headers = {} if answer.ready else {"Retry-After": "1"}
        return Response(answer, status_code=200 if answer.ready else 503, headers=headers)

    @get("/metrics", status_code=200, media_type=MediaType.TEXT)
    async def metrics(self, settings: NamedDependency[SkipValidation[Settings]]) -> Response[bytes]:
        """The counters of all processes of this host in the text format of Prometheus, each labelled with its `worker`."""
        text = await asyncio.to_thread(exposition.exposition, settings.metrics_dir)
        return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)
