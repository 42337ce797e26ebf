"""What is done to the installation is on record: by whom, in the transaction of the act, chained, and not to be changed."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import pytest
import pytest_asyncio

from service.doctor import audit as doctor
from service.store import audit
from service.store.embedded import ROLE, SUPERUSER, EmbeddedPostgres
from tests.integration import decision_world
from tests.integration.serving import NOW, Api, serving
from tests.security.table import rows

OFFER: Final = {"offer_id": "milk", "creative": {"title": "Milk"}, "tags": ["milk"], "code": "C"}
CSV: Final = b"offer_id,title,tags,code\nbread,Bread,bread,B\n"
SIGNER: Final = {"kid": "app", "alg": "HS256", "secret": "a signer's secret of forty characters, or so"}
WEBHOOK: Final = {"webhook_id": "crm", "url": "https://crm.example/hook?token=canary-of-the-url"}
REASON: Final = {"reason": "to see whether it is on record"}
RULES: Final = {"quiet_hours": [], "caps": [], "min_gap_s": 0}
POLICY: Final = {"name": "curious", "kind": "thompson", "exploration": 0.2}


def campaign(name: str) -> dict[str, Any]:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    return {
        "campaign_id": name,
        "starts_at": (today + timedelta(days=2)).isoformat(),
        "ends_at": (today + timedelta(days=9)).isoformat(),
    }


# Method, path, body, and what is on record then; {key} is a key that was made before.
ACTS: Final[list[tuple[str, str, Any, str]]] = [
    ("PUT", "/v1/identity", {"mode": "required", "keys": [SIGNER]}, "identity.changed"),
    ("POST", "/v1/offers", OFFER, "catalogue.changed"),
    ("PUT", "/v1/offers/milk", OFFER | {"price_minor": 100}, "catalogue.changed"),
    ("PATCH", "/v1/offers/milk", {"price_minor": 200}, "catalogue.changed"),
    ("POST", "/v1/offers/imports", CSV, "catalogue.changed"),
    ("DELETE", "/v1/offers/bread", None, "catalogue.changed"),
    ("POST", "/v1/webhooks", WEBHOOK, "webhook.made"),
    ("PATCH", "/v1/webhooks/crm", {"is_paused": True}, "webhook.changed"),
    ("POST", "/v1/webhooks/crm/secret", None, "webhook.changed"),
    ("DELETE", "/v1/webhooks/crm", None, "webhook.deleted"),
    ("POST", "/v1/campaigns?draft=true", campaign("lunch"), "campaign.made"),
    ("PUT", "/v1/campaigns/lunch", campaign("lunch") | {"holdout_share": 0.1}, "campaign.made"),
    ("POST", "/v1/campaigns/lunch/approve", None, "campaign.made"),
    ("POST", "/v1/campaigns/lunch/pause", None, "campaign.made"),
    ("POST", "/v1/campaigns/lunch/resume", None, "campaign.made"),
    ("POST", "/v1/campaigns/lunch/end", None, "campaign.made"),
    ("POST", "/v1/campaigns?draft=true", campaign("dinner"), "campaign.made"),
    ("DELETE", "/v1/campaigns/dinner", None, "campaign.made"),
    ("PUT", "/v1/contact-rules", RULES, "contact_rules.made"),
    ("PUT", "/v1/sending", {"is_stopped": True} | REASON, "sending_switch.made"),
    ("POST", "/v1/snapshots/1/pin", REASON, "snapshot_pin.made"),
    ("POST", "/v1/snapshots/unpin", REASON, "snapshot_pin.made"),
    ("POST", "/v1/policies", POLICY, "policy.made"),
    ("POST", "/v1/policies/curious/promote", {"is_forced": True} | REASON, "promotion.made"),
    ("POST", "/v1/policies/rollback", REASON, "promotion.made"),
    ("POST", "/v1/keys", {"kind": "pk"}, "key.made"),
    ("DELETE", "/v1/keys/{key}", None, "key.changed"),
]
NO_ACT: Final = {  # what changes nothing of the installation, by routes that are not for apps
    ("POST", "/v1/redemptions"),  # on record as redemptions
    ("POST", "/v1/redemptions/{redemption_id:uuid}/rollback"),
    ("POST", "/v1/decisions/{decision_id:uuid}/replay"),
    ("POST", "/v1/policies/{name:str}/evaluate"),
    ("POST", "/v1/unsubscribe/{token:str}"),  # a person's own act
    ("POST", "/v1/clock"),  # of a virtual world
}


@pytest_asyncio.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as served:
        await decision_world.publish(served.resources.pool, NOW)
        await served.resources.snapshot.refresh()
        yield served


async def admin(api: Api) -> tuple[dict[str, str], str]:
    """Headers of another admin's key, and what is recorded of it."""
    headers = await api.key("sk", "admin")
    key_id = await api.resources.pool.fetchval(
        "select key_id from api_keys order by created_at desc, ctid desc limit 1"
    )
    return headers, f"key {key_id}"


async def page(api: Api, headers: dict[str, str], **query: Any) -> list[dict[str, Any]]:
    answer = await api.get("/v1/audit", params=query, headers=headers)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def matches(path: str, template: str) -> bool:
    parts, names = path.partition("?")[0].split("/"), template.split("/")
    return len(parts) == len(names) and all(
        name.startswith("{") or name == part for part, name in zip(parts, names, strict=True)
    )


def test_every_route_that_changes_the_installation_is_among_the_acts() -> None:
    acts = {(method, path) for method, path, *_ in ACTS}
    for row in rows():
        if row.method != "GET" and not row.is_for_apps and (row.method, row.template) not in NO_ACT:
            assert any(method == row.method and matches(path, row.template) for method, path in acts), row


async def test_every_act_is_on_record_as_its_key_s(api: Api) -> None:
    (one, by_one), (other, by_other) = await admin(api), await admin(api)
    made, count = "", len(await page(api, one, limit=1000))
    for n, (method, path, body, what) in enumerate(ACTS):
        headers, by = ((one, by_one), (other, by_other))[n % 2]
        as_csv = isinstance(body, bytes)
        given: dict[str, Any] = {"content": body} if as_csv else {} if body is None else {"json": body}
        answer = await api.request(
            method,
            path.replace("{key}", made),
            headers=headers | ({"Content-Type": "text/csv"} if as_csv else {}),
            **given,
        )
        assert answer.is_success, (method, path, answer.text)
        acts = await page(api, one, limit=1000)
        assert len(acts) == count + 1, (method, path, acts[: len(acts) - count])
        count += 1
        assert (acts[0]["by"], acts[0]["what"]) == (by, what), (method, path)
        made = answer.json()["key_id"] if path == "/v1/keys" else made
    newest = await page(api, one, limit=1000)
    assert [act["seq"] for act in newest] == list(range(count, 0, -1))
    told = str(newest)
    for secret in (SIGNER["secret"], "canary-of-the-url", "whsec_"):
        assert secret not in told
    assert next(act for act in newest if act["what"] == "catalogue.changed")["detail"]["removed"] == ["bread"]
    assert (await page(api, one, limit=2, cursor=str(count)))[0]["seq"] == count - 1


async def test_what_is_not_done_is_not_on_record(api: Api) -> None:
    headers, _ = await admin(api)
    assert (await api.put("/v1/offers/milk", json=OFFER, headers=headers)).status_code == 201
    before = await page(api, headers)
    assert (await api.put("/v1/offers/milk", json=OFFER, headers=headers)).status_code == 200  # the same again
    assert (await api.delete("/v1/offers/nothing", headers=headers)).status_code == 404
    assert (await api.post("/v1/keys", json={"kind": "sk"}, headers=headers)).status_code == 400
    assert await page(api, headers) == before


async def test_acts_at_once_stand_in_one_chain(api: Api) -> None:
    headers, _ = await admin(api)
    answers = await asyncio.gather(
        *(api.post("/v1/keys", json={"kind": "pk"}, headers=headers) for _ in range(12)),
        *(api.put(f"/v1/offers/o{n}", json=OFFER | {"offer_id": f"o{n}"}, headers=headers) for n in range(12)),
    )
    assert {answer.status_code for answer in answers} == {201}
    async with api.resources.pool.acquire() as connection:
        chain = await audit.verify(connection)
        assert (chain.entries, chain.broken_at) == (25, None)
        acts = await audit.page(connection, 2**62, 1000)
        assert chain.head.hex() == acts[0].hash
        entry = await connection.fetchval("select entry from audit_log where seq = 1")
        assert acts[-1].hash == hashlib.sha256(bytes(32) + entry.encode()).hexdigest()
        assert [finding.level for finding in await doctor.look(connection, NOW)] == ["ok"]


@pytest.mark.parametrize(
    "change",
    [
        "update audit_log set entry = '{}'",
        "update audit_log set seq = 9 where seq = 2",
        "delete from audit_log",
        "delete from audit_log where seq = (select max(seq) from audit_log)",
        "truncate audit_log",
        "insert into audit_log (seq, entry, hash) values (9, '{}', '')",
    ],
)
async def test_the_program_s_role_cannot_change_it(api: Api, change: str) -> None:
    await admin(api)
    await admin(api)
    async with api.resources.pool.acquire() as connection:
        before = await audit.verify(connection)
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(change)
        assert await audit.verify(connection) == before


@pytest.mark.parametrize(
    ("change", "broken_at"),
    [
        ("update audit_log set entry = replace(entry, 'sk', 'pk') where seq = 2", 2),
        ("delete from audit_log where seq = 2", 2),
        ("update audit_log set hash = sha256(entry::bytea) where seq = 3", 3),
        ("update audit_log set seq = null, entry = null, hash = null, act = '{}' where seq = 3", 3),
    ],
)
async def test_who_owns_the_database_is_found_out(
    api: Api, database: str, postgres: EmbeddedPostgres, change: str, broken_at: int
) -> None:
    for _ in range(3):
        await admin(api)
    owner = await asyncpg.connect(database.replace(f"//{ROLE}@", f"//{SUPERUSER}@"))
    await owner.execute("set session_replication_role = replica")  # no trigger runs
    await owner.execute(change)
    await owner.close()
    async with api.resources.pool.acquire() as connection:
        assert (await audit.verify(connection)).broken_at == broken_at
        (finding,) = await doctor.look(connection, NOW)
        assert (finding.level, str(broken_at) in finding.says) == ("fail", True)


async def test_whoever_works_at_the_database_is_on_record_too(api: Api) -> None:
    headers, _ = await admin(api)
    await api.resources.pool.execute("update api_keys set revoked_at = null, scopes = '{admin}'")
    assert (await page(api, headers))[0]["by"] == f"the database's role {ROLE}"
