"""Secrets are planted in every place that holds one, all are used and much goes wrong; then nothing that anybody reads may show them."""

import asyncio
import base64
import json
import re
import secrets
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import jwt
import pytest

from tests.contract.stand_in_server import StandInServer
from tests.security.canaries import DEADLINE_S, Planted, TalkativeMail, postgres_backends, talkative_mail
from tests.security.planted_fields import IN_A_SHOP
from tests.story.world import COMMAND, Serve, environment, serving, wait_until

_HEX: Final = secrets.token_hex(8)
ADDRESSES: Final = {name: f"{name}.canary{_HEX}@mail.example" for name in ("ann", "bob", "cem")}
PUSH_ADDRESSES: Final = {"ann": f"bad-canary{_HEX}", "bob": f"gone-canary{_HEX}", "cem": f"ok-canary{_HEX}"}


def open_shop(api: httpx.Client, planted: Planted, webhook_url: str) -> None:
    """Makes one of everything that has a secret; what shows a secret once is not kept."""

    def make(method: str, path: str, **body: Any) -> Any:
        answer = api.request(method, path, json=body)
        assert answer.is_success, f"{path}: {answer.text}"
        return answer.json()

    for name in ADDRESSES:
        planted.plant(f"push address of {name}", PUSH_ADDRESSES[name], "Device.token")
        planted.plant(f"e-mail of {name}", ADDRESSES[name], "EmailAddress.address")
    planted.plant("secret key", make("POST", "/v1/keys", kind="sk", scopes=["users"])["secret"])
    signer = planted.plant(
        "key of user tokens", f"canary of the app's server {secrets.token_hex(20)}", "IdentityKey.secret"
    )
    make("PUT", "/v1/identity", mode="required", keys=[{"kid": "app", "alg": "HS256", "secret": signer}])
    token = planted.plant("first URL of a webhook", f"canary{secrets.token_hex(12)}", "NewWebhook.url")
    hook = make("POST", "/v1/webhooks", webhook_id="crm", url=f"{webhook_url}?token={token}")
    token = planted.plant("URL of a webhook", f"canary{secrets.token_hex(12)}", "WebhookPatch.url")
    make("PATCH", "/v1/webhooks/crm", url=f"{webhook_url}?token={token}")
    planted.plant("webhook's secret", hook["secret"].removeprefix("whsec_"))
    planted.plant("webhook's next secret", make("POST", "/v1/webhooks/crm/secret")["secret"].removeprefix("whsec_"))
    make("PUT", "/v1/contact-rules", quiet_hours=[], caps=[], min_gap_s=0)
    make("PUT", "/v1/offers/coffee", offer_id="coffee", creative={"title": "Coffee"}, tags=["coffee"], code="C")
    for name in ADDRESSES:
        make(
            "PUT", f"/v1/devices/{name}", user_id=name, token=PUSH_ADDRESSES[name], platform="android", time_zone="UTC"
        )
        make("PUT", f"/v1/users/{name}/email", address=ADDRESSES[name])
        api.patch(f"/v1/users/{name}/consent", json={"email": True}).raise_for_status()
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    make(
        "POST",
        "/v1/campaigns",
        campaign_id="back",
        starts_at=(today - timedelta(days=2)).isoformat(),
        ends_at=(today + timedelta(days=9)).isoformat(),
        trigger={"event_type": "left_store"},
        channels=["push", "webhook", "email"],
        holdout_share=0.0,
        control_share=0.0,
    )


def leave_the_store(api: httpx.Client) -> None:
    now = datetime.now(UTC).isoformat()
    batch = [
        {"event_id": f"left {name}", "user_id": name, "type": "left_store", "occurred_at": now} for name in ADDRESSES
    ]
    assert api.post("/v1/events", json={"sent_at": now, "batch": batch}).json()["accepted"] == len(batch)


def use_what_was_sent(serve: Serve, planted: Planted, firebase: StandInServer, mail: TalkativeMail) -> None:
    """Answers the push and unsubscribes from the e-mail that came to somebody: rightly, and with something wrong."""
    pushed = json.dumps(firebase.get(f"/inbox/{PUSH_ADDRESSES['cem']}"))
    found = {name: re.search(rf'"{name}": "([^"]+)"', pushed) for name in ("decision_id", "feedback_token")}
    decision, token = (one[1] for one in found.values() if one is not None)
    planted.plant("feedback token", token, "Feedback.feedback_token")
    link = planted.plant("unsubscribe token", mail.links[0].rpartition("/")[2])
    told = []
    with planted.client(serve) as api:
        for headers in ({}, serve.headers):
            for more in ({}, {"slot": 63}, {"type": "redeemed"}, {"user_id": "ann"}, {"x": token}):
                body = {"type": "thumbs_up", "feedback_token": token} | more
                told.append(api.post(f"/v1/decisions/{decision}/feedback", json=body, headers=headers).status_code)
                api.post(f"/v1/decisions/{decision[::-1]}/feedback", json=body, headers=headers)
        assert {200, 401} < set(told)
        assert api.post(f"/v1/unsubscribe/{link}").status_code == 200
        api.get(f"/v1/unsubscribe/{link}")
        api.get(f"/v1/unsubscribe/{link}x")
        api.post(f"/v1/unsubscribe/{link}", content=b"x" * 9000)
        api.delete(f"/v1/unsubscribe/{link}")


def go_wrong(serve: Serve, planted: Planted) -> None:
    """Requests that are refused, with secrets where they do not belong, and while the database goes away."""
    signer = planted.canaries["key of user tokens"]
    claims = {"sub": ADDRESSES["ann"], "exp": int(time.time()) + 600}
    token = jwt.encode(claims, signer, algorithm="HS256", headers={"kid": "app"})
    planted.plant("signature of a user token", token.rpartition(".")[2])
    wrong = planted.plant("a wrong key", f"sk_{secrets.token_urlsafe(32)}")
    everything = " ".join(planted.canaries.values())
    with planted.client(serve) as api:
        for headers in (
            {"Authorization": f"Bearer {wrong}"},
            {"Authorization": serve.headers["authorization"], "Origin": "https://x.example"},
            {"Authorization": serve.headers["authorization"]},
            {"Authorization": serve.headers["authorization"], "X-User-Token": token + "x"},
            {"Authorization": serve.headers["authorization"], "X-Request-Id": everything.replace(" ", "-")},
        ):
            for path in (
                "keys",
                "identity",
                "webhooks",
                "users/ann/email",
                "campaigns",
                "offers",
                "campaigns/back/changes",
            ):
                api.get(f"/v1/{path}", headers=headers)
            api.get("/v1/campaigns/back/forecast", headers=headers)
            for path in ("identify", "keys", "webhooks", "decisions", "events", "campaigns", "redemptions"):
                api.post(f"/v1/{path}", json={"batch": everything, "traits": everything}, headers=headers)
                api.post(f"/v1/{path}", content=everything.encode() + b"\xff", headers=headers)
        api.headers.update(serve.headers)
        for body in ({"address": ADDRESSES["ann"] + "@"}, {"address": ADDRESSES["ann"], "x": 1}, {"address": [signer]}):
            api.put("/v1/users/bob/email", json=body)
        for backend in postgres_backends(serve):
            api.post("/v1/identify", json={"user_id": f"n{backend}", "traits": {"t": "ok"}})
        for path in (
            "/metrics",
            "/readyz",
            "/livez",
            "/schema/openapi.json",
            "/v1/sending",
            "/v1/snapshots",
            "/v1/policies",
        ):
            api.get(path)


async def kept(planted: Planted, dsn: str) -> None:
    """What whoever reads the database finds of e-mail addresses, webhooks' secrets, and acts; and the keys by which our own links are signed."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            """select t::text from email_addresses t union all select (to_jsonb(t) - 'url')::text from webhooks t
               union all select t::text from audit_log t"""
        )
        for purpose, key in await connection.fetch("select purpose, key from signing_keys"):
            planted.plant(f"key that signs {purpose}", key.hex())
            planted.plant(f"key that signs {purpose}, in base64", base64.b64encode(key).decode())
    finally:
        await connection.close()
    assert len(rows) > len(ADDRESSES) + 1
    planted.read["addresses and secrets in the database"] = "\n".join(row[0] for row in rows)


def refuses_without_the_key(data_dir: Path, planted: Planted, settings: dict[str, str]) -> None:
    """What is sealed by a key that is not here would else be joined by what is sealed by another."""
    planted.plant("encryption key", (data_dir / "encryption.key").read_text().strip())
    (data_dir / "encryption.key").unlink()
    told = subprocess.run(
        [*COMMAND, "serve", "--port", "0", "--data-dir", str(data_dir)],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert (told.returncode, "which is not here" in told.stderr) == (3, True), told.stderr
    assert "Traceback" not in told.stderr
    planted.read["words of who lacks the key"] = told.stderr


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_no_secret_is_shown_anywhere(data_dir: Path, tmp_path: Path, pg_bin: Path | None) -> None:
    planted = Planted()
    key = planted.plant("bootstrap key", f"sk_{secrets.token_hex(20)}", "Settings.bootstrap_key")
    password = planted.plant("mail password", f"canary{secrets.token_hex(12)}", "Settings.smtp_url")
    with StandInServer() as firebase, talkative_mail(ADDRESSES["cem"]) as (mail, port):
        account = firebase.account | {"private_key_id": planted.plant("id of Firebase's key", secrets.token_hex(20))}
        planted.plant("Firebase's private key", account["private_key"].splitlines()[5])
        credentials = tmp_path / "firebase.json"
        credentials.write_text(json.dumps(account))
        credentials.chmod(0o600)
        settings = {
            "FIREBASE_CREDENTIALS": str(credentials),
            "FCM_BASE_URL": firebase.url,
            "SMTP_URL": f"smtp://shop:{password}@127.0.0.1:{port}",
            "EMAIL_FROM": "shop@shop.example",
            "PUBLIC_URL": "https://api.example.com",
            "WEBHOOKS_MAY_BE_LOCAL": "true",
            "LOG_LEVEL": "debug",
        }
        with serving(data_dir, key=key, pg_bin=pg_bin, **settings) as serve, serve.client() as api:
            open_shop(api, planted, f"{firebase.plain_url}/refuses-webhooks")
            time.sleep(2.0)  # every process has heard of the campaign
            leave_the_store(api)
            wait_until(lambda: firebase.app.posts >= len(PUSH_ADDRESSES), DEADLINE_S, "no push was sent")
            wait_until(lambda: len(mail.refused) == 2 and mail.links, DEADLINE_S, "no e-mail was sent")
            assert set(mail.refused) == {ADDRESSES["ann"], ADDRESSES["bob"]}
            assert set(mail.passwords) == {password}
            for token in firebase.app.issuer._valid_until:
                planted.plant("bearer token of FCM", token)
            use_what_was_sent(serve, planted, firebase, mail)
            asyncio.run(kept(planted, serve.dsn()))
            go_wrong(serve, planted)
            planted.list_processes(serve)
            assert serve.stop() < DEADLINE_S
            planted.look(serve)
            assert "WELLTIMED_SMTP_URL" in planted.examine(serve, settings | {"BOOTSTRAP_KEY": key})
        refuses_without_the_key(data_dir, planted, settings)
    assert planted.fields == IN_A_SHOP
    assert len(planted.read) > 100
    assert '"area"' in planted.read[f"log {serve.log.name}"]
    assert planted.found() == []
