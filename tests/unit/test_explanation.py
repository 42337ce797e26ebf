"""Why this deal, in words that are true: of habits only where there are some, and never of sensitive offers."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from bandits import features, tastes
from push.contact import contact_rules
from schema.decision import Channel, Context
from schema.ids import stable_entropy
from service.decision import explanation, pipeline, policy, replay
from service.decision.explanation import explain
from service.store import decisions
from service.store.decision_rows import Row
from service.store.logged_decision import LoggedDecision
from tests import deciding
from tests.deciding import NOW, ask, catalogue, offer, person, shopper
from tests.logged_rows import logged_of

SHOP = catalogue(
    offer("milk", ["milk"], price_minor=200, discount_type="percent", discount_percent=25),
    offer("toast", ["bread", "bakery"]),
    offer("remedy", ["remedy"], is_sensitive=True),
    offer("beer", ["beer"], min_age=18),
)
MODEL = deciding.model(6)
MILK, BREAD, BAKERY, REMEDY, BEER = range(1, 6)


async def log(**given: Any) -> LoggedDecision:
    who = {name: given.pop(name) for name in list(given) if name in person()._fields}
    rows: list[Row] = []

    async def keep(_: Any, logged: Sequence[Row]) -> None:
        rows.extend(logged)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(decisions, "insert", keep)  # instead of PostgreSQL
        await pipeline.decide(None, [(ask(**given), person(**who))], SHOP, MODEL, NOW)
    return logged_of(rows[0])


def told(logged: LoggedDecision) -> Any:
    again = replay.draw_again(logged, SHOP, MODEL)
    assert replay.compare(logged, again).identical
    return explain(logged, again, with_numbers=False)


def only(place: int) -> dict[str, Any]:
    return {"candidates": (101 + place,)}


HABIT = "You buy"


async def test_habits_are_told_with_their_share() -> None:
    said = told(await log(tastes=shopper(4, MILK), **only(0)))
    assert said.headline == "Milk"
    assert said.because == ["You buy milk: it is in about 100 % of your baskets.", "It is cheaper than usual."]
    assert any("purchases" in line for line in said.data_used)


async def test_only_what_was_bought_is_named() -> None:
    said = told(await log(tastes=shopper(4, BAKERY), **only(1)))
    assert said.because == ["You buy bakery: it is in about 100 % of your baskets."]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"tastes": shopper(2, MILK)},
        {"tastes": shopper(3, BEER)},
        {"tastes": shopper(3, MILK, at=NOW - timedelta(days=84))},
        {"tastes": shopper(9, MILK), "has_personalization_consent": False},
        {"tastes": shopper(9, MILK), "control_share": 1.0},
    ],
)
async def test_without_a_known_habit_none_is_claimed(given: dict[str, Any]) -> None:
    said = told(await log(**given, **only(0)))
    assert not any(HABIT in line for line in said.because)


@pytest.mark.parametrize(("place", "tag"), [(2, REMEDY), (3, BEER)])
async def test_of_sensitive_offers_no_habit_is_told(place: int, tag: int) -> None:
    said = told(await log(tastes=shopper(9, tag), birth_date=NOW.date() - timedelta(days=9999), **only(place)))
    assert not any(HABIT in line for line in said.because)


@pytest.mark.parametrize(
    ("offer_id", "words"),
    [(101, "It is popular with other people."), (103, "It is one of the deals that hold for you now.")],
)
async def test_popular_is_what_is_popular(offer_id: int, words: str) -> None:
    logged = await log()
    again = replay.draw_again(logged, SHOP, MODEL)
    drawn = msgspec.structs.replace(logged, offer_ids=[offer_id])
    assert explain(drawn, again, with_numbers=False).because[0] == words


async def test_a_rare_draw_is_owned_to() -> None:
    logged = await log()
    again = replay.draw_again(logged, SHOP, MODEL)
    rare = msgspec.structs.replace(logged, propensities=[0.001])
    assert any("not our first guess" in line for line in explain(rare, again, with_numbers=False).because)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"holdout_share": 1.0}, "You belong to the small group"),
        ({"candidates": ()}, "There was no deal you could use."),
        ({"muted_until": NOW + timedelta(hours=1)}, "You asked to be left alone"),
    ],
)
async def test_silence_has_its_reason(given: dict[str, Any], words: str) -> None:
    said = told(await log(**given))
    assert said.headline == "No deal this time"
    assert len(said.because) == 1
    assert said.because[0].startswith(words)


async def test_numbers_are_complete() -> None:
    logged = await log(tastes=shopper(4, MILK))
    numbers = explain(logged, replay.draw_again(logged, SHOP, MODEL), with_numbers=True).numbers
    assert numbers is not None
    assert sum(one["propensity"] for one in numbers["candidates"]) == pytest.approx(1)
    assert numbers["eligible"] == 3
    assert numbers["offers"] == 4
    assert numbers["chosen"][0]["propensity"] == logged.propensities[0]
    assert numbers["snapshot_version"] == MODEL.version


def push(price: float) -> dict[str, Any]:
    return {"channel": Channel.PUSH, "rules": policy.push_rules(0.05, 1.0, price)}


async def held_back(**given: Any) -> LoggedDecision:
    """The first of the decisions made so that the gate held back."""
    for turn in range(2_000):
        logged = await log(**given, entropy=stable_entropy(turn.to_bytes(8)))
        if logged.reason_codes == ["gate"]:
            return logged
    raise AssertionError


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (push(0.0), "By chance"),
        (push(1e-6), "By chance"),
        (push(0.5) | {"control_share": 1.0}, "By chance"),
        (push(0.5), "The deal we had in mind was not worth"),
    ],
)
async def test_silence_by_chance_is_not_said_to_be_a_judgement(given: dict[str, Any], words: str) -> None:
    said = told(await held_back(**given))
    assert len(said.because) == 1
    assert said.because[0].startswith(words)


async def test_a_gate_in_two_minds_says_so() -> None:
    logged = await held_back(**push(0.5))
    again = replay.draw_again(logged, SHOP, MODEL)
    unsure = msgspec.structs.replace(logged, send_probability=0.7)
    assert explain(unsure, again, with_numbers=False).because[0].startswith("We were not sure")


def lines(said: Any, word: str) -> list[str]:
    return [line for line in said.data_used if word in line]


TOLD_MOMENT = Context(basket_tags=["milk"], is_raining=True)


async def test_the_control_uses_nothing_of_the_person() -> None:
    said = told(await log(tastes=shopper(9, MILK), time_zone="UTC", context=TOLD_MOMENT, control_share=1.0, **only(0)))
    assert len(said.data_used) == 2
    assert said.because == ["This deal was picked at random, to check that choosing does better."]
    chosen = told(await log(tastes=shopper(9, MILK), time_zone="UTC", context=TOLD_MOMENT, **only(0)))
    for word in ("purchases", "seen lately", "basket_tags", "other people", "time of day", "is_raining"):
        assert len(lines(chosen, word)) == 1


async def test_who_joined_and_never_came_is_told_no_more_than_that() -> None:
    joined = {"created_at": NOW - timedelta(days=60)}
    logged = await log(**joined)
    said = told(logged)
    assert lines(said, "since when you have been with us")
    assert not any(lines(said, word) for word in ("purchases", "seen lately"))
    refused = await log(**joined, has_personalization_consent=False)
    assert refused.tastes == b""
    assert not lines(told(refused), "with us")


async def test_who_never_came_is_no_newcomer_for_ever() -> None:
    chances = []
    for days in (0, 60):
        logged = await log(created_at=NOW - timedelta(days=days))
        chances.append(replay.draw_again(logged, SHOP, MODEL).phi[0, features.NAMES.index("lp")])
    assert chances[1] < chances[0] - 1.0
    came = await log(tastes=shopper(4, MILK, at=NOW - timedelta(days=30)), created_at=NOW - timedelta(days=20))
    assert int(tastes.view(came.tastes).header["known_since_s"][0]) == int((NOW - timedelta(days=30)).timestamp())


@pytest.mark.parametrize("place", [2, 3])
async def test_a_sensitive_offer_alone_uses_nothing_personal(place: int) -> None:
    given = {"tastes": shopper(9, MILK), "birth_date": NOW.date() - timedelta(days=9999), "context": TOLD_MOMENT}
    said = told(await log(**given, **only(place)))
    assert not any(lines(said, word) for word in ("purchases", "seen lately", "basket_tags"))
    assert lines(said, "other people")


async def test_a_sensitive_offer_among_others_says_what_the_others_used() -> None:
    logged = await log(tastes=shopper(9, MILK), context=TOLD_MOMENT)
    again = replay.draw_again(logged, SHOP, MODEL)
    sensitive = explain(msgspec.structs.replace(logged, offer_ids=[103]), again, with_numbers=False)
    for word in ("purchases", "seen lately", "basket_tags"):
        assert [line.startswith("for other deals only: ") for line in lines(sensitive, word)] == [True]
    plain = explain(msgspec.structs.replace(logged, offer_ids=[101]), again, with_numbers=False)
    assert lines(plain, "purchases")[0].startswith("your purchases")


async def test_the_store_counts_only_where_offers_name_stores() -> None:
    said = told(await log(context=Context(store_id="s1"), control_share=1.0))
    assert not lines(said, "store_id")
    bound = catalogue(offer("milk", ["milk"]), offer("corner", ["bread"], store_ids=["s1"]))
    logged = await log(context=Context(store_id="s1"), candidates=())
    again = replay.draw_again(logged, SHOP, MODEL)._replace(catalogue=bound)
    assert lines(explain(logged, again, with_numbers=False), "store_id")


@pytest.mark.parametrize("code", [contact_rules.QUIET_HOURS, contact_rules.CAP_REACHED, contact_rules.TOO_SOON])
def test_what_the_rules_of_contact_say_has_words(code: str) -> None:
    assert len(explanation._SILENT[code].split()) > 5
