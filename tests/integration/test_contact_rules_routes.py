"""Rules of contact over HTTP: an operator's versions, a campaign's own, a person's own controls."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.serving import Api, serving

LUNCH = {"campaign_id": "lunch", "starts_at": "2099-03-02T00:00:00", "ends_at": "2099-03-09T00:00:00"}
COFFEE = {"offer_id": "coffee", "creative": {"title": "Coffee"}, "tags": ["coffee"], "code": "C20"}


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database, seed="s") as served:
        served.headers.update(await served.key("sk", "admin"))
        yield served


async def wrong(api: Api, method: str, path: str, body: Any) -> list[str]:
    answer = await api.request(method, path, json=body)
    assert answer.status_code == 400, answer.text
    return [error["pointer"] for error in answer.json()["errors"]]


async def test_rules_have_versions_with_who_set_them_and_when(api: Api) -> None:
    before = (await api.get("/v1/contact-rules")).json()
    assert (before["version"], before["set_by"]) == (0, None)
    assert before["rules"]["quiet_hours"] == [{"begins": "21:00", "ends": "08:00"}]
    assert [(cap["pushes_max"], cap["within_s"], cap["per"]) for cap in before["rules"]["caps"]] == [
        (1, None, "local_day"),
        (3, 604_800, None),
    ]
    assert (before["rules"]["min_gap_s"], before["rules"]["unknown_zone_margin_s"]) == (14_400, 7_200)
    ice = {"caps": [{"pushes_max": 1, "per": "local_week", "tag": " Ice Cream"}], "min_gap_s": 0}
    first = await api.put("/v1/contact-rules", json=ice)
    assert first.status_code == 200, first.text
    told = first.json()
    assert (told["version"], told["rules"]["caps"][0]["tag"]) == (1, "ice cream")
    assert told["set_by"].startswith("key ")
    assert told["set_at"] is not None
    assert (await api.put("/v1/contact-rules", json=ice)).json() == told, "the same again is no new version"
    second = (await api.put("/v1/contact-rules", json={})).json()
    assert (second["version"], second["rules"]) == (2, before["rules"])
    assert (await api.get("/v1/contact-rules")).json() == second
    page = (await api.get("/v1/contact-rules/versions?limit=1")).json()
    assert (page["data"], page["has_more"]) == ([second], True)
    rest = (await api.get(f"/v1/contact-rules/versions?limit=1&cursor={page['next_cursor']}")).json()
    assert (rest["data"], rest["has_more"], rest["next_cursor"]) == ([told], False, None)
    assert (await api.get("/v1/contact-rules/versions?cursor=x")).status_code == 400


async def test_only_an_admin_sets_them_and_who_makes_campaigns_reads_them(api: Api) -> None:
    keys = await api.key("sk", "campaigns")
    assert (await api.get("/v1/contact-rules", headers=keys)).status_code == 200
    assert (await api.put("/v1/contact-rules", json={}, headers=keys)).status_code == 403
    others = await api.key("sk", "offers")
    assert (await api.get("/v1/contact-rules", headers=others)).status_code == 403


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"quiet_hours": [{"begins": "22:00", "ends": "22:00"}]}, ["/quiet_hours/0/ends"]),
        ({"quiet_hours": [{"begins": "24:00", "ends": "08:00"}]}, ["/quiet_hours/0/begins"]),
        ({"quiet_hours": [{"begins": "20:00", "ends": "17:00"}]}, ["/unknown_zone_margin_s"]),
        ({"caps": [{"pushes_max": 1}]}, ["/caps/0"]),
        ({"caps": [{"pushes_max": 1, "per": "local_day", "within_s": 5}]}, ["/caps/0"]),
        ({"caps": [{"pushes_max": 51, "per": "local_day"}]}, ["/caps/0/pushes_max"]),
        ({"caps": [{"pushes_max": 1, "within_s": 604_801}]}, ["/caps/0/within_s"]),
        ({"caps": [{"pushes_max": 1, "per": "local_day", "tag": "a;b"}]}, ["/caps/0/tag"]),
        ({"min_gap_s": -1}, ["/min_gap_s"]),
        ({"quiet": []}, ["/quiet"]),
    ],
)
async def test_rules_that_make_no_sense_are_refused(api: Api, body: dict[str, Any], pointers: list[str]) -> None:
    assert await wrong(api, "PUT", "/v1/contact-rules", body) == pointers
    assert (await api.get("/v1/contact-rules")).json()["version"] == 0


async def test_a_campaign_has_a_kind_and_rules_of_its_own(api: Api) -> None:
    assert (await api.post("/v1/offers", json=COFFEE)).status_code == 201
    own = {
        "quiet_hours": [{"begins": "12:00", "ends": "13:00"}],
        "caps": [{"pushes_max": 1, "within_s": 3600, "tag": "Coffee"}],
    }
    made = await api.post("/v1/campaigns", json=LUNCH | {"contact": own})
    assert made.status_code == 201, made.text
    told = made.json()["campaign"]
    assert (told["kind"], told["is_urgent"], told["contact"]["caps"][0]["tag"]) == ("marketing", False, "coffee")
    assert (await api.get("/v1/campaigns/lunch")).json()["campaign"] == told
    receipt = LUNCH | {"campaign_id": "receipt", "kind": "transactional", "is_urgent": True}
    assert (await api.post("/v1/campaigns", json=receipt)).status_code == 201
    assert await wrong(api, "POST", "/v1/campaigns", LUNCH | {"is_urgent": True}) == ["/is_urgent"]
    strange = {"caps": [{"pushes_max": 1}], "quiet_hours": [{"begins": "01:00", "ends": "01:00"}]}
    pointers = await wrong(api, "POST", "/v1/campaigns", LUNCH | {"contact": strange})
    assert pointers == ["/contact/quiet_hours/0/ends", "/contact/caps/0"]


async def test_a_person_sets_quiet_hours_and_limits_of_their_own(api: Api) -> None:
    path = "/v1/users/ann/preferences"
    siesta = [{"begins": "13:00", "ends": "15:30"}, {"begins": "19:00", "ends": "10:00"}]
    told = (await api.patch(path, json={"quiet_hours": siesta, "pushes_per_week_max": 2})).json()
    assert (told["quiet_hours"], told["pushes_per_day_max"], told["pushes_per_week_max"]) == (siesta, None, 2)
    row = await api.resources.pool.fetchrow("select version, quiet_minutes, pushes_per_week_max from users")
    assert tuple(row) == (1, [780, 930, 1140, 600], 2)
    told = (await api.patch(path, json={"pushes_per_day_max": 0})).json()
    assert (told["quiet_hours"], told["pushes_per_day_max"], told["pushes_per_week_max"]) == (siesta, 0, 2)
    told = (await api.patch(path, json={"quiet_hours": [], "pushes_per_week_max": None})).json()
    assert (told["quiet_hours"], told["pushes_per_day_max"], told["pushes_per_week_max"]) == ([], 0, None)
    assert (await api.get(path)).json() == told
    assert await wrong(api, "PATCH", path, {"quiet_hours": [{"begins": "09:00", "ends": "09:00"}]}) == [
        "/quiet_hours/0/ends"
    ]
    assert await wrong(api, "PATCH", path, {"pushes_per_day_max": 51}) == ["/pushes_per_day_max"]


async def test_two_who_set_rules_at_once_make_two_versions(api: Api) -> None:
    bodies = [{"min_gap_s": seconds} for seconds in range(6)]
    answers = await asyncio.gather(*(api.put("/v1/contact-rules", json=body) for body in bodies))
    assert sorted(answer.json()["version"] for answer in answers) == list(range(1, 7))
