"""Secrets are planted in every place that holds one, all are used and much goes wrong; then nothing that anybody reads may show them."""

import asyncio
import json
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import asyncpg
import httpx
import jwt
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

from tests.contract.stand_in_server import StandInServer
from tests.story.world import COMMAND, Serve, environment, postgres_processes, serving, wait_until

DEADLINE_S: Final = 60.0
_HEX: Final = secrets.token_hex(8)
ADDRESSES: Final = {name: f"{name}.canary{_HEX}@mail.example" for name in ("ann", "bob")}
PUSH_ADDRESSES: Final = {"ann": f"bad-canary{_HEX}", "bob": f"gone-canary{_HEX}"}


class TalkativeMail:
    """A mail server that asks for a password, and says in its refusals what it was told."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.passwords: list[str] = []

    async def handle_RCPT(self, server: SMTP, session: Any, envelope: Any, address: str, options: Any) -> str:  # noqa: N802 - aiosmtpd's name
        self.refused.append(address)
        return f"550 5.7.1 <{address}> is not wanted, {self.passwords[-1]}"

    def judge(self, server: SMTP, session: Any, envelope: Any, mechanism: str, told: Any) -> AuthResult:
        self.passwords.append(told.password.decode())
        return AuthResult(success=True)


@contextmanager
def talkative_mail() -> Iterator[tuple[TalkativeMail, int]]:
    mail = TalkativeMail()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    controller = Controller(
        mail, hostname="127.0.0.1", port=port, ready_timeout=20, authenticator=mail.judge, auth_require_tls=False
    )
    controller.start()
    try:
        yield mail, port
    finally:
        controller.stop()


class Planted:
    """Every secret by where it was planted, and everything that was read by where it was read."""

    def __init__(self) -> None:
        self.canaries: dict[str, str] = {f"push address of {name}": text for name, text in PUSH_ADDRESSES.items()}
        self.canaries |= {f"e-mail of {name}": text for name, text in ADDRESSES.items()}
        self.read: dict[str, str] = {}

    def plant(self, where: str, text: str) -> str:
        assert len(text) >= 12, where
        self.canaries[where] = text
        return text

    def hear(self, answer: httpx.Response) -> httpx.Response:
        """Keeps what was answered, headers too."""
        assert "server" not in answer.headers  # nor which program answers
        self.read[f"answer {len(self.read)} to {answer.request.method} {answer.request.url.path}"] = (
            f"{answer.headers}\n{answer.text}"
        )
        return answer

    def found(self) -> list[tuple[str, str]]:
        return [
            (what, where) for what, text in self.canaries.items() for where, read in self.read.items() if text in read
        ]


def open_shop(api: httpx.Client, planted: Planted, webhook_url: str) -> None:
    """Makes one of everything that has a secret; what shows a secret once is not kept."""

    def make(method: str, path: str, **body: Any) -> Any:
        answer = api.request(method, path, json=body)
        assert answer.is_success, f"{path}: {answer.text}"
        return answer.json()

    planted.plant("secret key", make("POST", "/v1/keys", kind="sk", scopes=["users"])["secret"])
    signer = planted.plant("key of user tokens", "canary of the app's server " + secrets.token_hex(20))
    make("PUT", "/v1/identity", mode="required", keys=[{"kid": "app", "alg": "HS256", "secret": signer}])
    hook = make("POST", "/v1/webhooks", webhook_id="crm", url=webhook_url)
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


def go_wrong(serve: Serve, planted: Planted) -> None:
    """Requests that are refused, with secrets where they do not belong, and while the database goes away."""
    signer = planted.canaries["key of user tokens"]
    claims = {"sub": ADDRESSES["ann"], "exp": int(time.time()) + 600}
    token = jwt.encode(claims, signer, algorithm="HS256", headers={"kid": "app"})
    planted.plant("signature of a user token", token.rpartition(".")[2])
    wrong = planted.plant("a wrong key", f"sk_{secrets.token_urlsafe(32)}")
    everything = " ".join(planted.canaries.values())
    with httpx.Client(base_url=serve.url, trust_env=False, timeout=20) as api:
        api.event_hooks["response"] = [lambda answer: (answer.read(), planted.hear(answer))]
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


def postgres_backends(serve: Serve) -> Iterator[int]:
    """Ends connections of the service to PostgreSQL one by one, as an administrator would."""
    for pid in postgres_processes(serve.postgres_root):
        name = Path(f"/proc/{pid}/cmdline")
        if name.exists() and b"welltimed welltimed" in name.read_bytes():
            subprocess.run(["kill", "-TERM", str(pid)], check=False)
            yield pid


async def kept(dsn: str) -> str:
    """What whoever reads the database finds of e-mail addresses, webhooks' secrets, and acts."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "select t::text from email_addresses t union all select t::text from webhooks t union all select t::text from audit_log t"
        )
    finally:
        await connection.close()
    assert len(rows) > len(ADDRESSES) + 1
    return "\n".join(row[0] for row in rows)


def look(serve: Serve, planted: Planted, settings: dict[str, str]) -> None:
    """Reads what operators read: logs, and the doctor's words, as text and as JSON."""
    planted.read["log"] = serve.words()
    planted.read["log of PostgreSQL"] = "".join(
        path.read_text(errors="replace") for path in serve.data_dir.rglob("*.log")
    )
    lost = planted.plant("password of the database", f"canary{secrets.token_hex(12)}")
    for options in ([], ["--json"]):
        for more in (
            {},
            {"DATABASE_URL": f"postgresql://shop:{lost}@127.0.0.1:1/shop"},
            {"DATABASE_URL": f"postgresql://shop:{lost}@x:y/z"},
        ):
            told = subprocess.run(
                [*COMMAND, "doctor", *options],
                env=environment(DATA_DIR=str(serve.data_dir), **settings, **more),
                capture_output=True,
                text=True,
                timeout=DEADLINE_S,
                check=False,
            )
            assert "WELLTIMED_SMTP_URL" in told.stdout + told.stderr
            planted.read[f"doctor {options} {list(more)} {len(planted.read)}"] = told.stdout + told.stderr


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
    key = planted.plant("bootstrap key", f"sk_{secrets.token_hex(20)}")
    password = planted.plant("mail password", f"canary{secrets.token_hex(12)}")
    with StandInServer() as firebase, talkative_mail() as (mail, port):
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
            wait_until(lambda: set(mail.refused) == set(ADDRESSES.values()), DEADLINE_S, "no e-mail was sent")
            assert set(mail.passwords) == {password}
            for token in firebase.app.issuer._valid_until:
                planted.plant("bearer token of FCM", token)
            go_wrong(serve, planted)
            for pid in [serve.process.pid, *serve.children()]:
                planted.read[f"command line of {pid}"] = Path(f"/proc/{pid}/cmdline").read_text()
            planted.read["addresses and secrets in the database"] = asyncio.run(kept(serve.dsn()))
            assert serve.stop() < DEADLINE_S
            look(serve, planted, settings | {"BOOTSTRAP_KEY": key})
        refuses_without_the_key(data_dir, planted, settings)
    assert len(planted.canaries) >= 15
    assert len(planted.read) > 100
    assert '"area"' in planted.read["log"]
    assert planted.found() == []
