"""Is it alive, is it ready, and what has it counted."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, Final

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import SkipValidation
from prometheus_client import Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from schema.base import Kept
from service.telemetry import REGISTRY

CHECK_TIMEOUT_S: Final = 2.0

Check = Callable[[], Awaitable[str | None]]
"""Answers None when all is well, else what is wrong, in words."""


class Alive(Kept, frozen=True):
    """The process answers."""

    alive: bool = True


class Readiness(Kept, frozen=True):
    """Whether this worker can serve; each check says `ok` or what is wrong."""

    ready: bool
    checks: dict[str, str]


async def _words(check: Check) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await check() or "ok"
    except Exception as error:  # noqa: BLE001 - a check that breaks is the very answer asked for
        return f"failed: {type(error).__qualname__}"


class _WorkerRegistry:
    """The registry of this process with the label `worker`: behind one port each scrape meets another worker."""

    def collect(self) -> Iterator[Metric]:
        worker = str(os.getpid())
        for family in REGISTRY.collect():
            family.samples = [sample._replace(labels={**sample.labels, "worker": worker}) for sample in family.samples]
            yield family


_WORKER_REGISTRY: Final[Any] = _WorkerRegistry()


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
        words = await asyncio.gather(*(_words(check) for check in readiness.values()))
        answer = Readiness(ready=all(word == "ok" for word in words), checks=dict(zip(readiness, words, strict=True)))
        headers = {} if answer.ready else {"Retry-After": "1"}
        return Response(answer, status_code=200 if answer.ready else 503, headers=headers)

    @get("/metrics", status_code=200, media_type=MediaType.TEXT)
    async def metrics(self) -> Response[bytes]:
        """The counters of this worker in the text format of Prometheus."""
        return Response(generate_latest(_WORKER_REGISTRY), media_type=CONTENT_TYPE_PLAIN_0_0_4)
