"""The password of a database that somebody brings, and keys that come from a setting, are shown nowhere; nor while the database is away."""

import base64
import secrets
from pathlib import Path
from typing import Final

import httpx
import pytest

from service.encryption import FILE
from service.store.embedded import EmbeddedPostgres
from tests.security.canaries import DEADLINE_S, Planted, postgres_backends
from tests.security.planted_fields import IN_A_BROUGHT_DATABASE
from tests.story.world import Serve, serving, wait_until

ADDRESS: Final = "ann@mail.example"
PATHS: Final = ("/metrics", "/readyz", "/livez", "/v1/users/ann/email", "/v1/webhooks", "/v1/keys", "/v1/audit")


def ask(api: httpx.Client, planted: Planted) -> None:
    """Reads and writes what is sealed, and what is not; rightly and wrongly."""
    api.put("/v1/users/ann/email", json={"address": ADDRESS})
    api.post("/v1/webhooks", json={"webhook_id": "crm", "url": "https://crm.example"})
    api.post("/v1/identify", json={"user_id": "ann", "traits": dict(planted.canaries)})
    api.post("/v1/keys", json={"kind": list(planted.canaries.values())})
    for path in PATHS:
        api.get(path)


def lose_the_database(serve: Serve, postgres: EmbeddedPostgres, api: httpx.Client, planted: Planted) -> None:
    """First its connections one by one, then all of it."""
    for backend in postgres_backends(serve):
        api.get(f"/v1/users/n{backend}/email")
    postgres.stop(force=True)
    wait_until(lambda: api.get("/readyz").status_code == 503, DEADLINE_S, "nobody missed the database")
    ask(api, planted)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_no_secret_of_a_setting_is_shown(data_dir: Path, pg_bin: Path | None) -> None:
    planted = Planted()
    key = planted.plant("bootstrap key", f"sk_{secrets.token_hex(20)}", "Settings.bootstrap_key")
    password = planted.plant("password of the database", f"canary{secrets.token_hex(12)}", "Settings.database_url")
    sealing = [base64.b64encode(secrets.token_bytes(32)).decode() for _ in range(2)]
    for place, text in enumerate(sealing):
        planted.plant(f"encryption key {place}", text, "Settings.encryption_keys")
        planted.plant(f"encryption key {place}, its bytes", base64.b64decode(text).hex())
    with EmbeddedPostgres(data_dir / "postgres", bin_dir=pg_bin) as postgres:
        brought = postgres.dsn().replace("welltimed@", f"welltimed:{password}@", 1)
        settings = {"DATABASE_URL": brought, "ENCRYPTION_KEYS": ",".join(sealing), "LOG_LEVEL": "debug"}
        with serving(data_dir, key=key, **settings) as serve, planted.client(serve) as api:
            ask(api, planted)
            api.headers.update(serve.headers)
            ask(api, planted)
            assert api.get("/v1/users/ann/email").json() == {"masked": "a***@mail.example"}
            planted.list_processes(serve)
            planted.examine(serve, settings)
            lose_the_database(serve, postgres, api, planted)
            assert serve.stop() < DEADLINE_S
            planted.look(serve)
    assert not (data_dir / FILE).exists()
    lost = (
        {"DATABASE_URL": f"postgresql://shop:{password}@127.0.0.1:1/shop"},
        {"DATABASE_URL": f"postgresql://shop:{password}@x:y/z"},
    )
    for more in ({}, *lost, {"ENCRYPTION_KEYS": f"{sealing[0]}, {sealing[1]}x"}):
        planted.examine(serve, settings | more)
    assert planted.fields == IN_A_BROUGHT_DATABASE
    assert len(planted.read) > 40
    assert planted.found() == []
