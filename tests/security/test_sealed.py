"""E-mail addresses and webhooks' secrets are kept sealed: by HTTP, after an older program, after a change of keys; and never without a key."""

import base64
import stat
import string
from itertools import product
from pathlib import Path
from typing import Any, Final

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from push.channel import Accepted, NotProcessed
from push.channels.mail import addresses
from push.channels.webhooks import endpoints
from push.channels.webhooks.channel import WebhookChannel
from push.sealing import EMAIL, NotOpened, Sealer, about_webhook, plain
from service.encryption import FILE, Encryption
from service.settings import Secret, Settings, SettingsError, describe, load
from service.store import resealing
from service.store.pool import open_pool
from tests.integration import push_world
from tests.integration.serving import KEYS, NOW, serving
from tests.integration.test_webhooks import message
from tests.integration.webhook_receiver import receiving

OLD: Final = bytes(range(32))  # that of `serving`
NEW: Final = bytes(range(1, 33))
ADDRESS: Final = "ann@mail.example"
BASE64: Final = string.ascii_letters + string.digits + "-_"


@given(st.text(), st.text(max_size=20))
def test_what_is_sealed_is_opened_by_its_key_for_what_it_is_about(text: str, about: str) -> None:
    sealer = Sealer([OLD])
    sealed = sealer.seal(text, about)
    assert sealer.open(sealed, about) == Sealer([NEW, OLD]).open(sealed, about) == text
    assert sealed != sealer.seal(text, about)
    for stranger, told in ((Sealer([NEW]), about), (sealer, about + "x")):
        with pytest.raises(NotOpened):
            stranger.open(sealed, told)
    with pytest.raises(NotOpened):
        plain(sealed, about)


def test_what_was_changed_is_not_opened_and_what_was_never_sealed_is_itself() -> None:
    sealer = Sealer([OLD])
    sealed = sealer.seal(ADDRESS, EMAIL)
    for place, letter in product(range(len(sealer.prefix), len(sealed)), BASE64):
        changed = sealed[:place] + letter + sealed[place + 1 :]
        if changed != sealed:
            with pytest.raises(NotOpened):
                sealer.open(changed, EMAIL)
    assert sealer.open(ADDRESS, EMAIL) == plain(ADDRESS, EMAIL) == ADDRESS


async def stored(pool: Any) -> tuple[str, str, str | None]:
    row = await pool.fetchrow("select (select address from email_addresses), secret, old_secret from webhooks")
    return row[0], row[1], row[2]


async def test_by_http_nothing_is_kept_in_clear(database: str) -> None:
    async with serving(database) as api:
        api.headers.update(await api.key("sk", "admin"))
        assert (await api.put("/v1/users/ann/email", json={"address": ADDRESS})).json() == {
            "masked": "a***@mail.example"
        }
        made = (await api.post("/v1/webhooks", json={"webhook_id": "crm", "url": "https://crm.example"})).json()
        address, secret, _ = await stored(api.resources.pool)
        sealer = Sealer([OLD])
        assert address.startswith(sealer.prefix)
        assert sealer.open(address, EMAIL) == ADDRESS
        assert sealer.open(secret, about_webhook("crm")) == made["secret"]
        assert (await api.get("/v1/users/ann/email")).json() == {"masked": "a***@mail.example"}
        again = (await api.post("/v1/webhooks/crm/secret")).json()
        _, secret, old = await stored(api.resources.pool)
        assert (sealer.open(secret, about_webhook("crm")), old) == (again["secret"], old)
        assert old is not None
        assert sealer.open(old, about_webhook("crm")) == made["secret"]
    other = Secret(base64.b64encode(NEW).decode())
    async with serving(database, encryption_keys=other) as api:
        api.headers.update(await api.key("sk", "admin"))
        answer = await api.get("/v1/users/ann/email")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert ADDRESS not in answer.text


async def test_a_webhook_is_signed_by_what_was_sealed(connection: asyncpg.Connection, database: str) -> None:
    sealer, secret = Sealer([OLD]), endpoints.new_secret()
    async with await open_pool(database, 2) as pool, receiving() as receiver:
        for unseal, outcome in ((Sealer([NEW]).open, NotProcessed), (plain, NotProcessed), (sealer.open, Accepted)):
            await pool.execute("delete from webhooks")
            await endpoints.make(pool, "one", receiver.url, sealer.seal(secret, about_webhook("one")), NOW, "test")
            channel = WebhookChannel(pool, may_be_local=True, unseal=unseal)
            (found,) = await channel.send([message("one")], NOW)
            await channel.close()
            assert isinstance(found, outcome)
        (came,) = receiver.came
        Webhook(secret).verify(came.body, came.headers)


async def test_without_a_place_for_a_key_nothing_is_written_in_clear(database: str) -> None:
    async with serving(database, encryption_keys=None, data_dir=Path("/proc/nowhere")) as api:
        api.headers.update(await api.key("sk", "admin"))
        assert (await api.put("/v1/users/ann/email", json={"address": ADDRESS})).status_code == 503
        assert (await api.post("/v1/webhooks", json={"webhook_id": "w", "url": "https://x.example"})).status_code == 503
        assert await api.resources.pool.fetchval("select count(*) from email_addresses") == 0


async def test_what_an_older_program_or_key_left_is_sealed_by_the_new_one(connection: asyncpg.Connection) -> None:
    await push_world.people(connection, 2_500)
    await connection.execute("insert into email_addresses select user_id, user_id || '@x.example', now() from users")
    await endpoints.make(connection, "crm", "https://crm.example", endpoints.new_secret(), NOW, "test")
    assert await resealing.is_needed(connection)
    for sealer, done in ((Sealer([OLD]), 2_501), (Sealer([OLD]), 0), (Sealer([NEW, OLD]), 2_501), (Sealer([NEW]), 0)):
        assert await resealing.reseal(connection, sealer) == done
        rows = await connection.fetch("select user_id, address from email_addresses")
        assert {sealer.open(row[1], EMAIL) == f"{row[0]}@x.example" for row in rows} == {True}
        assert all(row[1].startswith(sealer.prefix) for row in rows)
    with pytest.raises(NotOpened):
        await resealing.reseal(connection, Sealer([OLD]))
    assert await addresses.reachable(connection, [1]) == set()


def test_the_file_of_the_key_is_made_once_and_for_us_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    sealed = Encryption(settings).seal(ADDRESS, EMAIL)
    path = tmp_path / "data" / FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in path.parent.iterdir()] == [FILE]
    assert Encryption(settings).open(sealed, EMAIL) == ADDRESS
    path.write_text("nonsense")
    with pytest.raises(SettingsError, match=r"encryption\.key") as caught:
        Encryption(settings).sealer()
    assert "nonsense" not in str(caught.value)


def test_the_keys_of_the_setting_are_checked_and_masked(tmp_path: Path) -> None:
    both = f"{base64.b64encode(NEW).decode()}, {KEYS.reveal()}"
    settings = load({"WELLTIMED_ENCRYPTION_KEYS": both, "WELLTIMED_DATA_DIR": str(tmp_path)})
    assert Encryption(settings).sealer().prefix == Sealer([NEW]).prefix
    assert describe(settings)["WELLTIMED_ENCRYPTION_KEYS"] == "***"
    for wrong in ("", "canary", "Y2FuYXJ5", f"{KEYS.reveal()},"):
        with pytest.raises(SettingsError) as caught:
            load({"WELLTIMED_ENCRYPTION_KEYS": wrong, "WELLTIMED_DATA_DIR": str(tmp_path)})
        assert "canary" not in str(caught.value)
