import asyncio
import os

from service import telemetry
from tests.integration.serving import serving


async def test_alive_and_ready(database: str) -> None:
    async with serving(database) as api:
        assert (await api.get("/livez")).json() == {"alive": True}
        # The other checks wait for parts that a fresh database does not have yet.
        api.resources.readiness = {name: api.resources.readiness[name] for name in ("database", "migrations")}
        ready = await api.get("/readyz")
        assert (ready.status_code, ready.json()) == (
            200,
            {"ready": True, "checks": {"database": "ok", "migrations": "ok"}},
        )


async def test_each_check_says_what_is_wrong(database: str) -> None:
    async def fine() -> str | None:
        return None

    async def waits() -> str | None:
        return "no snapshot yet"

    async def breaks() -> str | None:
        raise KeyError("secret")

    async with serving(database) as api:
        api.resources.readiness = {"fine": fine, "waits": waits, "breaks": breaks}
        answer = await api.get("/readyz")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        checks = {"fine": "ok", "waits": "no snapshot yet", "breaks": "failed: KeyError"}
        assert answer.json() == {"ready": False, "checks": checks}


async def test_a_check_that_hangs_does_not_hang_the_answer(database: str) -> None:
    async def hangs() -> str | None:
        await asyncio.sleep(60)
        return None

    async with serving(database) as api:
        api.resources.readiness = {"hangs": hangs}
        assert (await api.get("/readyz")).json()["checks"] == {"hangs": "failed: TimeoutError"}


async def test_a_check_that_cannot_even_be_cancelled_does_not_hang_the_answer(database: str) -> None:
    thawed = asyncio.Event()

    async def frozen() -> str | None:
        try:
            await thawed.wait()
        except asyncio.CancelledError:  # as a connection does that waits for its server to confirm
            await thawed.wait()
            raise
        return None

    async with serving(database) as api:
        api.resources.readiness = {"frozen": frozen}
        async with asyncio.timeout(10):
            assert (await api.get("/readyz")).json()["checks"] == {"frozen": "failed: TimeoutError"}
        thawed.set()


async def test_pending_migrations_are_not_ready(database: str) -> None:
    async with serving(database) as api:
        await api.resources.pool.execute(
            "delete from schema_migrations where version = (select max(version) from schema_migrations)"
        )
        answer = await api.get("/readyz")
        assert answer.status_code == 503
        assert "not applied: 0" in answer.json()["checks"]["migrations"]


async def test_metrics_are_labelled_by_worker(database: str) -> None:
    async with serving(database) as api:
        telemetry.EVENTS.labels("accepted").inc()
        answer = await api.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert f'welltimed_events_total{{outcome="accepted",worker="{os.getpid()}"}}' in answer.text
