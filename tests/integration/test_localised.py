"""The same offer in each person's language, on every channel: push, inbox and decision; templates and words checked when they are told."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from push.clock import standing
from push.drawing.due import DueDrawer
from service.decision.policy import BUILT_IN
from service.planning.push_decider import PipelineDecider
from service.store.catalogue import CatalogueCache
from service.store.current_policy import PolicyCache
from tests.integration import decision_world, push_world
from tests.integration.push_world import SEED
from tests.integration.serving import Api, serving

NOW = datetime.now(UTC)
SOUP: dict[str, Any] = {
    "offer_id": "soup",
    "creative": {"title": "Soup", "body": "Hot", "deep_link": "shop://soup"},
    "localised": {"de": {"title": " Suppe ", "body": "Heiß"}, "FR": {"title": "Soupe"}},
    "tags": ["soup"],
    "discount_type": "amount",
    "discount_minor": 150,
    "price_minor": 450,
    "currency": "EUR",
}
TEMPLATES = {"default": {"title": "{offer_title}: {discount} off"}, "de-at": {"title": "{offer_title} um {new_price}"}}
CAMPAIGN: dict[str, Any] = {
    "campaign_id": "lunch",
    "starts_at": (NOW - timedelta(days=2)).replace(tzinfo=None).isoformat(),
    "ends_at": (NOW + timedelta(days=5)).replace(tzinfo=None).isoformat(),
    "holdout_share": 0,
    "control_share": 0,
    "channels": ["push", "inbox"],
    "templates": TEMPLATES,
}
# By identify, by the phone seen last, by none; a language nobody wrote in.
LOCALES = {"anna": "de_AT", "beat": "de-CH", "chloé": "fr", "dora": None, "eero": "fi"}


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as served:
        served.headers.update(await served.key("sk", "users", "ingest", "campaigns", "offers"))
        assert (await served.post("/v1/offers", json=SOUP)).status_code == 201
        await push_world.rules(served.resources.pool, push_world.OFF)
        await decision_world.publish(served.resources.pool, NOW)
        await served.resources.snapshot.refresh()
        for name, locale in LOCALES.items():
            told = {"locale": locale} if locale and name != "beat" else {}
            assert (await served.post("/v1/identify", json={"user_id": name} | told)).status_code == 200
            phone = {"user_id": name, "token": f"token of {name}", "platform": "ios"}
            phone |= {"locale": locale} if name == "beat" else {}
            assert (await served.put(f"/v1/devices/{name}", json=phone)).status_code == 200
        yield served


async def pushed(api: Api) -> dict[str, str]:
    """Titles by person, of what is drawn for all of them by the real decisions."""
    pool = api.resources.pool
    stored = await push_world.campaigns.read(pool, "lunch")
    assert stored is not None
    ids = [row[0] for row in await pool.fetch("select user_id from users order by user_id")]
    async with pool.acquire() as connection:
        await push_world.planned(connection, stored, ids, NOW)
    decider = PipelineDecider(CatalogueCache(), api.resources.snapshot, PolicyCache(pool, BUILT_IN))
    assert await DueDrawer(pool, decider, SEED).draw_due(standing(NOW + timedelta(seconds=1))) == len(LOCALES)
    rows = await pool.fetch("select u.external_id, o.message from outbox o join users u using (user_id)")
    said = {row[0]: msgspec.json.decode(row[1]) for row in rows if row[1]}
    assert all(message["data"]["deep_link"] == "shop://soup" for message in said.values())
    return {name: message["title"].replace("\xa0", " ") for name, message in said.items()}


async def test_push_inbox_and_decision_speak_the_persons_language(api: Api) -> None:
    assert (await api.post("/v1/campaigns", json=CAMPAIGN)).status_code == 201
    titles = await pushed(api)
    expected = {
        "anna": ("Suppe um € 3", "Suppe"),
        "beat": ("Suppe: € 1.50 off", "Suppe"),
        "chloé": ("Soupe: 1,50 € off", "Soupe"),
        "dora": ("Soup: EUR 1.50 off", "Soup"),
        "eero": ("Soup: 1,50 € off", "Soup"),
    }
    # The gate leaves one in a hundred in peace.
    assert len(titles) >= 4
    for name, title in titles.items():
        assert title == expected[name][0]
        (item,) = (await api.get("/v1/inbox", params={"user_id": name})).json()["data"]
        assert (item["creative"]["title"], item["creative"]["deep_link"]) == (expected[name][1], "shop://soup")
    decided = {name: (await api.post("/v1/decisions", json={"user_id": name})).json() for name in LOCALES}
    shown = {name: answer["offers"][0]["creative"] for name, answer in decided.items() if answer["offers"]}
    assert len(shown) >= 3
    for name, creative in shown.items():
        assert creative["title"] == expected[name][1]
        assert "localised" not in creative
        asked = await api.get(f"/v1/decisions/{decided[name]['decision_id']}", params={"user_id": name})
        assert asked.json()["offers"][0]["creative"] == creative


async def wrong(api: Api, **changes: Any) -> list[tuple[str, str]]:
    answer = await api.post("/v1/campaigns", json=CAMPAIGN | {"campaign_id": "x"} | changes)
    assert answer.status_code == 400, answer.text
    return [(error["pointer"], error["detail"]) for error in answer.json()["errors"]]


async def test_templates_are_checked_when_a_campaign_is_made(api: Api) -> None:
    title = {"title": "{offer_title}"}
    assert [place for place, _ in await wrong(api, templates={"de": title})] == ["/templates"]
    ((place, detail),) = await wrong(api, templates={"default": {"title": "Hi {first_name}"}})
    assert (place, "{first_name}" in detail, "{discount}" in detail) == ("/templates/default/title", True, True)
    ((place, _),) = await wrong(api, templates={"default": {"title": "a", "body": "{price"}})
    assert place == "/templates/default/body"
    found = await wrong(api, templates={"default": title, "de-AT": title, "de-at": title})
    assert [place for place, _ in found] == ["/templates/de-AT", "/templates/de-at"]
    ((place, detail),) = await wrong(api, templates={"default": title, "de": {"title": "{code}"}}, offers=["soup"])
    assert (place, detail) == ("/templates/de", "Offer soup has nothing for {code}.")
    ((place, detail),) = await wrong(api, templates={"default": {"title": "{code}"}})
    assert (place, "No offer" in detail) == ("/templates/default", True)
    ((place, detail),) = await wrong(api, templates={"default": {"title": "a", "body": "x" * 379 + "{price}" * 3}})
    assert (place, "longer than 120" in detail) == ("/templates/default", True)
    long = {"title": "é" * 110 + "{code}", "image_url": "https://x.test/" + "i" * 2030}
    heavy = SOUP | {
        "offer_id": "heavy",
        "creative": SOUP["creative"] | {"deep_link": "shop://" + "d" * 1700},
        "code": "c",
    }
    assert (await api.post("/v1/offers", json=heavy)).status_code == 201
    ((place, detail),) = await wrong(api, templates={"default": long | {"body": "x" * 400}}, offers=["heavy"])
    assert (place, "bytes too long" in detail) == ("/templates/default", True)
    assert [place for place, _ in await wrong(api, templates={"default": title, "german": title})] == ["/templates"]
    made = await api.post("/v1/campaigns", json=CAMPAIGN)
    assert set(made.json()["campaign"]["templates"]) == {"default", "de-AT"}


async def test_words_of_an_offer_are_checked_and_survive_a_file(api: Api) -> None:
    kept = (await api.get("/v1/offers/soup")).json()["localised"]
    assert kept == {
        "de": {"title": "Suppe", "body": "Heiß", "image_url": None},
        "fr": {"title": "Soupe", "body": "", "image_url": None},
    }
    for localised, pointer in (
        ({"de": {"title": " "}}, "/localised/de/title"),
        ({"de": {"title": "a"}, "DE": {"title": "b"}}, "/localised/DE"),
        ({"de": {"title": "a", "image_url": "https://"}}, "/localised/de/image_url"),
        ({"de": {"title": "a", "image_url": "https://x.test/" + "i" * 2030}}, "/localised/de/image_url"),
    ):
        creative = SOUP["creative"] | {"deep_link": "shop://" + "d" * 1900, "body": "x" * 10}
        answer = await api.put("/v1/offers/soup", json=SOUP | {"creative": creative, "localised": localised})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, pointer), answer.text
    file = "offer_id,title,tags\nsoup,Cold soup,soup\n"
    answer = await api.post("/v1/offers/imports", content=file, headers={"Content-Type": "text/csv"})
    assert answer.json()["changed"] == 1
    after = (await api.get("/v1/offers/soup")).json()
    assert (after["creative"]["title"], after["localised"]) == ("Cold soup", kept)
