"""Everything that removes an offer, one row a reason."""

import gc
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from schema.decision import Channel, Context
from service.decision import masks
from service.store.catalogue import Catalogue
from tests.deciding import NOW, ask, catalogue, offer, person

DAY = timedelta(days=1)
PLAIN = offer("plain")


def left(*offers: Any, who: dict[str, Any] | None = None, **asked: Any) -> list[str]:
    shop = catalogue(*offers)
    found, _ = masks.eligible(shop, person(**(who or {})), ask(**asked), NOW)
    return [one.offer.offer_id for one, is_left in zip(shop.offers, found.mask, strict=True) if is_left]


@pytest.mark.parametrize(
    ("more", "is_left"),
    [
        ({}, True),
        ({"is_paused": True}, False),
        ({"starts_at": NOW}, True),
        ({"starts_at": NOW + timedelta(microseconds=1)}, False),
        ({"ends_at": NOW}, False),
        ({"ends_at": NOW + timedelta(microseconds=1)}, True),
        ({"channels": ["push"]}, False),
        ({"channels": ["in_app"]}, True),
        ({"channels": []}, False),
        ({"min_age": 18}, False),
        ({"is_sensitive": True}, True),
        ({"store_ids": ["s1"]}, False),
        ({"exclude_store_ids": ["s1"]}, True),
    ],
)
def test_what_is_on_offer(more: dict[str, Any], is_left: bool) -> None:
    assert left(offer("x", **more)) == (["x"] if is_left else [])


@pytest.mark.parametrize(
    ("store_id", "expected"),
    [
        (None, ["plain", "not1"]),
        ("s1", ["plain", "only1", "only12"]),
        ("s2", ["plain", "only12", "not1", "both"]),
        ("elsewhere", ["plain", "not1"]),
    ],
)
def test_offers_hold_in_their_stores(store_id: str | None, expected: list[str]) -> None:
    offers = [
        PLAIN,
        offer("only1", store_ids=["s1"]),
        offer("only12", store_ids=["s1", "s2"]),
        offer("not1", exclude_store_ids=["s1"]),
        offer("both", store_ids=["s1", "s2"], exclude_store_ids=["s1"]),
    ]
    assert left(*offers, context=Context(store_id=store_id)) == expected


@pytest.mark.parametrize(
    ("who", "is_left"),
    [
        ({"vetoed_offer_ids": [101, 999]}, False),
        ({"vetoed_offer_ids": [999]}, True),
        ({"snoozed_offer_ids": [101], "snoozed_until": [NOW]}, True),
        ({"snoozed_offer_ids": [101], "snoozed_until": [NOW + DAY]}, False),
        ({"has_personalization_consent": False}, True),
        ({"has_push_consent": False}, True),
        ({"opted_out_at": NOW - DAY}, True),
    ],
)
def test_what_a_person_has_said(who: dict[str, Any], is_left: bool) -> None:
    assert left(PLAIN, who=who) == (["plain"] if is_left else [])


def test_candidates_and_exclusions_are_ids_and_unknown_ones_do_nothing() -> None:
    offers = [offer("a"), offer("b"), offer("c")]
    assert left(*offers, candidates=(102, 103, 999)) == ["b", "c"]
    assert left(*offers, candidates=()) == []
    assert left(*offers, excluded=(101, 999)) == ["b", "c"]
    assert left(*offers, candidates=(101, 102), excluded=(101,), who={"vetoed_offer_ids": [102]}) == []


@pytest.mark.parametrize(
    ("channel", "who", "reasons"),
    [
        (Channel.IN_APP, {"opted_out_at": NOW - DAY, "has_push_consent": False}, ()),
        (Channel.PUSH, {"opted_out_at": NOW - DAY, "has_push_consent": False}, ("opted_out", "no_push_consent")),
        (Channel.PUSH, {"has_push_consent": False}, ("no_push_consent",)),
        (Channel.IN_APP, {"muted_until": NOW + DAY}, ("muted",)),
        (Channel.PUSH, {"muted_until": NOW}, ()),
        (Channel.IN_APP, {"vetoed_offer_ids": [101]}, ("no_eligible_offer",)),
    ],
)
def test_why_nobody_is_bothered(channel: Channel, who: dict[str, Any], reasons: tuple[str, ...]) -> None:
    found, told = masks.eligible(catalogue(PLAIN), person(**who), ask(channel=channel), NOW)
    assert told == reasons
    assert found.mask.any() == (not reasons)


def test_an_empty_catalogue_has_nothing_eligible() -> None:
    found, reasons = masks.eligible(catalogue(), person(), ask(), NOW)
    assert (len(found.mask), reasons) == (0, ("no_eligible_offer",))


def test_one_persons_mask_is_not_the_next_ones() -> None:
    shop = catalogue(PLAIN)
    masks.eligible(shop, person(vetoed_offer_ids=[101]), ask(candidates=(101,)), NOW)
    assert masks.eligible(shop, person(), ask(candidates=(101,)), NOW)[0].mask.all()


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc] # the parts of a date are integers


@pytest.mark.parametrize(
    ("birth_date", "now", "years"),
    [
        (None, NOW, 0),
        (date(2030, 1, 1), NOW, 0),
        (date(2008, 3, 2), at(2026, 3, 2, 11, 59), 17),  # somewhere it is still the day before
        (date(2008, 3, 2), at(2026, 3, 2, 12), 18),
        (date(2008, 2, 29), at(2026, 2, 28, 23), 17),
        (date(2008, 2, 29), at(2026, 3, 1, 12), 18),
        (date(2008, 2, 29), at(2028, 2, 29, 12), 20),
        (date(1, 1, 1), at(2026, 1, 2), 2025),
    ],
)
def test_age(birth_date: date | None, now: datetime, years: int) -> None:
    assert masks.age(birth_date, now) == years


def test_an_offer_for_adults_goes_to_known_adults_only() -> None:
    beer = offer("beer", min_age=18)
    assert left(beer, who={"birth_date": date(2000, 1, 1)}) == ["beer"]
    assert left(beer, who={"birth_date": date(2010, 1, 1)}) == []
    assert left(PLAIN, who={"birth_date": date(2030, 1, 1)}) == ["plain"]


def test_a_catalogue_that_was_replaced_is_not_kept_for_what_was_asked_of_it() -> None:
    def living() -> int:
        gc.collect()
        return sum(isinstance(one, Catalogue) for one in gc.get_objects())

    before = living()
    for number in range(50):
        shop = catalogue(offer("plain", tags=[f"tag {number}"]))
        masks.eligible(shop, person(), ask(), NOW)
        assert masks.carrying(shop, frozenset({f"tag {number}"})) == (101,)
    assert living() < before + 25
