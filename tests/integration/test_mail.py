"""E-mail from the draw to a real SMTP server: a digest of one slate, to who consented, with a link that ends it."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest

from push.channel import Card, Outcome, Rejected, RetryAfter, Unregistered
from push.channels import deliveries
from push.channels.delivery_dispatcher import DeliveryDispatcher, Lane
from push.channels.mail import channel as mail_channel
from push.channels.mail.channel import SmtpChannel
from push.channels.mail.message import messages_of
from push.clock import standing
from push.decider import Batch, Drawn, Slot
from push.drawing.due import DueDrawer
from push.outbox import State
from push.planning import audience
from push.sending.governor import Ungoverned
from schema.audience import Audience
from schema.campaign import StoredCampaign
from schema.decision import Channel
from service.decision.policy import BUILT_IN
from service.learning.composer import Composer
from service.learning.learner import Learner
from service.planning.exposure_journal import EventLogJournal
from service.planning.lanes import server_of
from service.planning.push_decider import PipelineDecider
from service.settings import Secret
from service.store.catalogue import CatalogueCache
from service.store.current_policy import PolicyCache
from service.store.current_snapshot import SnapshotCache
from service.store.pool import open_pool
from tests.integration import push_world
from tests.integration.mail_server import Mailboxes, mailing
from tests.integration.push_world import HOUR, NOW, SEED, FirstOffer
from tests.integration.serving import Api, serving

SENDER = "Shop <offers@shop.example>"
KEY = bytes(range(32))
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def server() -> Iterator[Mailboxes]:
    with mailing() as running:
        yield running


@pytest.fixture
def boxes(server: Mailboxes) -> Mailboxes:
    server.mails.clear()
    server.bytes.clear()
    return server


@pytest.fixture
async def pool(database: str) -> AsyncIterator[asyncpg.Pool]:
    async with await open_pool(database, 4) as pool:
        yield pool


def dispatcher(pool: asyncpg.Pool, url: str) -> DeliveryDispatcher:
    lane = Lane(
        Channel.EMAIL, SmtpChannel(server_of(url), SENDER), messages_of(KEY, "https://api.example"), Ungoverned()
    )
    return DeliveryDispatcher(pool, lane, EventLogJournal())


class Slated(FirstOffer):
    """Draws a slate of these offers for everybody."""

    def __init__(self, offers: list[int]) -> None:
        super().__init__(offers[0])
        self.offers = offers

    async def decide(self, connection: Any, batch: Batch, now: datetime) -> list[Drawn]:
        drawn = await super().decide(connection, batch, now)
        slate = tuple(Slot(offer, Card(f"Offer {place}", "x"), None) for place, offer in enumerate(self.offers))
        return [one._replace(slate=slate) for one in drawn]


async def consenting(pool: asyncpg.Pool, *names: str) -> None:
    """People 1.. with an address each, who have consented."""
    await push_world.people(pool, len(names))
    await pool.execute("update users set has_email_consent = true")
    for n, name in enumerate(names, 1):
        await pool.execute("insert into email_addresses values ($1, $2, $3)", n, f"{name}@mail.example", NOW - HOUR)


async def drawn(pool: asyncpg.Pool, offers: list[int], people: int, **campaign: Any) -> StoredCampaign:
    stored = await push_world.campaign(pool, **({"channels": ["email"], "slots": len(offers)} | campaign))
    await push_world.ready(pool, stored, range(1, people + 1), Slated(offers))
    return stored


async def states(pool: asyncpg.Pool) -> dict[str, int]:
    rows = await pool.fetch("select state::text || ' ' || outcome as s, count(*)::int from deliveries group by 1")
    return dict(rows)


async def three_offers(pool: asyncpg.Pool) -> list[int]:
    return [await push_world.offer(pool, name) for name in ("coffee", "bread", "milk")]


async def test_a_digest_of_one_slate(pool: asyncpg.Pool, boxes: Mailboxes) -> None:
    """By the real draw, and all its slots are exposures once the server has taken it."""
    await consenting(pool, "ann", "bob")
    await three_offers(pool)
    stored = await push_world.campaign(pool, channels=["email"], slots=3, holdout_share=0)
    await push_world.planned(pool, stored, [1, 2])
    await Composer(pool).publish(NOW)
    snapshot = SnapshotCache(pool)
    await snapshot.refresh()
    drawer = DueDrawer(pool, PipelineDecider(CatalogueCache(), snapshot, PolicyCache(pool, BUILT_IN)), SEED)
    assert await drawer.draw_due(standing(NOW)) == 2
    sent = (await push_world.states(pool)).get(State.ELSEWHERE, 0)
    assert sent >= 1
    assert await dispatcher(pool, boxes.url).dispatch(standing(NOW)) == sent == len(boxes.mails)
    assert await states(pool) == {"3 SMTP 250": sent}
    logged = await pool.fetch("select user_id, offer_ids, propensities, action from decisions where action = 1")
    for row in logged:
        assert len(row["offer_ids"]) == len(set(row["offer_ids"])) == len(row["propensities"]) == 3
    for mail in boxes.mails:
        html = mail.get_body(("html",)).get_content()  # type: ignore[union-attr] # it is there
        assert all(name in html for name in ("Coffee", "Bread", "Milk"))
        assert mail["List-Unsubscribe"].startswith("<https://api.example/v1/unsubscribe/")
    ids = {f"<{row[0]}@shop.example>" for row in await pool.fetch("select outbox_id from deliveries")}
    assert {mail["Message-ID"] for mail in boxes.mails} == ids
    await Learner(pool, CatalogueCache()).catch_up(NOW + HOUR)
    assert await pool.fetchval("select count(*) from exposures") == 3 * sent


async def test_only_who_consented_is_written_to(pool: asyncpg.Pool, boxes: Mailboxes) -> None:
    await consenting(pool, "ann", "bob", "cat", "dan")
    await pool.execute("update users set has_email_consent = null where user_id = 2")
    await pool.execute("delete from email_addresses where user_id = 3")
    stored = await drawn(pool, await three_offers(pool), 4)
    async with pool.acquire() as connection:
        assert await deliveries.outcomes(connection, stored.id) == {"email": {"ready": 2}}
    await pool.execute("update users set has_email_consent = false where user_id = 4")
    assert await dispatcher(pool, boxes.url).dispatch(standing(NOW)) == 2
    assert [mail["To"] for mail in boxes.mails] == ["ann@mail.example"]
    assert await states(pool) == {"3 SMTP 250": 1, "6 no_email_consent": 1}


async def test_a_slot_that_must_not_be_told_any_more_is_left_out(pool: asyncpg.Pool, boxes: Mailboxes) -> None:
    await consenting(pool, "ann", "bob")
    coffee, bread, milk = await three_offers(pool)
    await drawn(pool, [coffee, bread, milk], 2)
    await pool.execute("update users set vetoed_offer_ids = array[$1::int] where user_id = 1", bread)
    await pool.execute("update users set vetoed_offer_ids = array[$1::int] where user_id = 2", coffee)
    await pool.execute("update offer_versions set body = body || '{\"paused\": true}' where offer_id = $1", milk)
    await dispatcher(pool, boxes.url).dispatch(standing(NOW))
    assert await states(pool) == {"3 SMTP 250": 1, "6 vetoed": 1}
    (mail,) = boxes.mails
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr] # it is there
    assert ("Offer 0" in text, "Offer 1" in text, "Offer 2" in text) == (True, False, False)
    assert await pool.fetchval("select count(*) from event_log") == 1


async def test_what_answers_mean(pool: asyncpg.Pool, boxes: Mailboxes) -> None:
    names = ["ann", "gone", "full", "never", "spam", "cut"]
    await consenting(pool, *names)
    await drawn(pool, [await push_world.offer(pool)], len(names))
    mailer = dispatcher(pool, boxes.url)
    assert await mailer.dispatch(standing(NOW)) == len(names)
    found = dict(await pool.fetch("select user_id::int, state::text || ' ' || outcome from deliveries"))
    assert found == {
        1: "3 SMTP 250",
        2: "4 unregistered",
        3: "1 SMTP 452",
        4: "4 SMTP_550: SMTP 550",
        5: "4 SMTP_554: SMTP 554",
        6: f"7 {found[6][2:]}",
    }
    left = {row[0] for row in await pool.fetch("select user_id from email_addresses")}
    assert left == {1, 3, 4, 5, 6}
    assert await mailer.dispatch(standing(NOW)) == 0
    assert await mailer.dispatch(standing(NOW + timedelta(minutes=2))) == 1
    assert (
        await pool.fetchval("select sum(jsonb_array_length(sent)) from contacts") == 2
    )  # who got it, and who may have


async def test_what_a_person_waits_for_is_sent_again_when_nobody_knows(pool: asyncpg.Pool, boxes: Mailboxes) -> None:
    await consenting(pool, "cut")
    await drawn(pool, [await push_world.offer(pool)], 1, kind="transactional")
    await dispatcher(pool, boxes.url).dispatch(standing(NOW))
    assert await pool.fetchval("select state from deliveries") == State.READY
    await pool.execute("update deliveries set state = 2, lease_until = $1, fence = 1", NOW)
    await pool.execute('update campaigns set body = body || \'{"kind": "marketing"}\'')
    async with pool.acquire() as connection:
        await deliveries.sweep(connection, NOW, NOW + SECOND)
    assert await pool.fetchval("select state from deliveries") == State.UNKNOWN


async def test_without_a_server_all_wait(pool: asyncpg.Pool, boxes: Mailboxes) -> None:
    await consenting(pool, "ann", "bob")
    await drawn(pool, [await push_world.offer(pool)], 2)
    mailer = dispatcher(pool, "smtp://127.0.0.1:1")
    assert await mailer.dispatch(standing(NOW)) == 2
    assert mailer.paused_until == NOW + 5 * SECOND
    assert await mailer.dispatch(standing(NOW + 4 * SECOND)) == 0
    assert await dispatcher(pool, boxes.url).dispatch(standing(NOW + 5 * SECOND)) == 2
    assert len(boxes.mails) == 2


def test_refusals() -> None:
    refuse = mail_channel.refusal
    cases: list[tuple[Exception, Outcome]] = [
        (mail_channel.SMTPSenderRefused(553, "no", "x"), RetryAfter(300.0, "project", "the sender is refused: 553")),
        (mail_channel.SMTPRecipientRefused(550, "5.1.1 no", "x"), Unregistered()),
        (mail_channel.SMTPRecipientRefused(550, "no", "x"), Rejected("SMTP_550", "SMTP 550", is_payload_fault=False)),
        (mail_channel.SMTPRecipientRefused(451, "4.7.1 grey", "x"), RetryAfter(60.0, "message", "SMTP 451")),
        (mail_channel.SMTPDataError(552, "5.1.1 no"), Rejected("SMTP_552", "SMTP 552", is_payload_fault=False)),
    ]
    for error, outcome in cases:
        assert refuse(error) == outcome  # type: ignore[arg-type] # each is a response


async def test_the_audience_of_e_mail(pool: asyncpg.Pool) -> None:
    await consenting(pool, "ann", "bob", "cat", "dan")
    await pool.execute("update users set has_email_consent = null where user_id = 2")
    await pool.execute("delete from email_addresses where user_id = 3")
    await pool.execute("update users set has_push_consent = false where user_id in (3, 4)")
    every = Audience()
    for reach, left in (
        (audience.Reach(by_push=False, by_email=True), {1: None, 2: "no_email_consent", 3: "no_address", 4: None}),
        (audience.Reach(by_push=True, by_email=True), {1: None, 2: None, 3: "no_push_consent", 4: None}),
        (audience.BY_PUSH, {1: None, 2: None, 3: "no_push_consent", 4: "no_push_consent"}),
        (audience.ANYBODY, {1: None, 2: None, 3: None, 4: None}),
    ):
        query = "select user_id, left_out_by from audience_of($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
        assert dict(await pool.fetch(query, *audience.asked(every, NOW, reach))) == left, reach


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(
        database, smtp_url=Secret("smtp://127.0.0.1:1"), email_from=SENDER, public_url="https://api.example"
    ) as served:
        served.headers.update(await served.key("sk", "admin"))
        yield served


async def test_address_and_consent_over_http(api: Api) -> None:
    assert (await api.put("/v1/users/ann/email", json={"address": "ann@mail.example"})).json() == {
        "masked": "a***@mail.example"
    }
    assert (await api.get("/v1/users/ann/email")).json() == {"masked": "a***@mail.example"}
    assert (await api.get("/v1/users/ann/consent")).json()["email"] is False
    assert (await api.patch("/v1/users/ann/consent", json={"email": True})).json()["email"] is True
    for address in ("ann", "a@b\r\nBcc: x@y.example", "x" * 300):
        wrong = await api.put("/v1/users/ann/email", json={"address": address})
        assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (400, "/address")
        assert address not in wrong.text or address == "ann"
    assert (await api.delete("/v1/users/ann/email")).status_code == 204
    assert (await api.get("/v1/users/ann/email")).json() == {"masked": None}
    assert (await api.get("/v1/users/nobody/email")).status_code == 404


async def test_one_click_ends_all_e_mail(api: Api, boxes: Mailboxes) -> None:
    pool = api.resources.pool
    await consenting(pool, "ann")
    await drawn(pool, [await push_world.offer(pool)], 1)
    key = await api.resources.unsubscribe_key.of(pool)
    url = f"http://127.0.0.1:{api.port}"
    lane = Lane(Channel.EMAIL, SmtpChannel(server_of(boxes.url), SENDER), messages_of(key, url), Ungoverned())
    await DeliveryDispatcher(pool, lane, EventLogJournal()).dispatch(standing(NOW))
    (mail,) = boxes.mails
    link = mail["List-Unsubscribe"].strip("<>")
    stranger = {"Authorization": ""}
    assert "<form" in (await api.get(link, headers=stranger)).text
    assert await pool.fetchval("select has_email_consent from users")
    for _ in range(2):  # as a mail program posts it (RFC 8058)
        done = await api.post(link, data={"List-Unsubscribe": "One-Click"}, headers=stranger)
        assert (done.status_code, done.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert await pool.fetchval("select has_email_consent from users") is False
    for forged in (link[:-1] + ("A" if link[-1] != "A" else "B"), f"{url}/v1/unsubscribe/x"):
        assert (await api.post(forged, headers=stranger)).status_code == 404


async def test_campaigns_with_e_mail(api: Api) -> None:
    lunch = {"campaign_id": "lunch", "starts_at": "2099-03-02T00:00:00", "ends_at": "2099-03-09T00:00:00"}
    await push_world.offer(api.resources.pool)
    wrong = [
        ({"slots": 2}, "/slots"),
        ({"slots": 13, "channels": ["email"]}, "/slots"),
        ({"slots": 2, "channels": ["push", "email"], "goal": "incremental_value"}, "/slots"),
    ]
    for change, pointer in wrong:
        answer = await api.post("/v1/campaigns", json=lunch | change)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer), answer.text
    made = await api.post("/v1/campaigns", json=lunch | {"channels": ["push", "email"], "slots": 3})
    assert made.status_code == 201, made.text
