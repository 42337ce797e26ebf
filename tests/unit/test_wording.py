"""The words of a message: languages that fall back, placeholders filled in from the offer, money as a country writes it, and room in a push."""

from typing import Any
from uuid import UUID

import msgspec
import pytest

from push.decider import Draft
from push.drawing.draft import Carried, draft_of, excess_bytes
from push.drawing.money_words import money, percent
from push.drawing.phrasebook import Phrasebook
from push.drawing.wording import BODY_CHARACTERS_MAX, PLACEHOLDERS, creative_in, faults, filled_in, lacking, own_words
from schema.offer import Creative, Offer, StoredOffer
from schema.wording import Words, chain, spelled
from tests.integration import push_world

CARRIED = Carried(UUID(int=1), "x" * 64)
OFFER = Offer(
    offer_id="soup",
    creative=Creative(title="Soup", body="Hot", image_url="https://x.test/soup.png", deep_link="shop://soup"),
    localised={
        "de": Words(title="Suppe", body="Heiß"),
        "de-CH": Words(title="Süppli", image_url="https://x.test/ch.png"),
    },
    tags=["soup"],
    price_minor=1250,
    discount_type="percent",
    discount_percent=12.5,
    currency="EUR",
    code="S12",
    store_ids=["Graben 7"],
)
TEMPLATES = {
    "default": Words(title="{offer_title}: {discount} off", body="Now {new_price}, not {price}"),
    "de": Words(title="{offer_title}: {discount} günstiger", body="Jetzt {new_price} statt {price}"),
    "de-AT": Words(title="{offer_title} um {new_price}", image_url="https://x.test/at.png"),
}


def a(**changes: Any) -> Offer:
    return msgspec.structs.replace(OFFER, **changes)


def drafted(locale: str | None, offer: Offer = OFFER, templates: dict[str, Words] = TEMPLATES) -> Draft:
    campaign = msgspec.structs.replace(push_world.a_campaign().campaign, templates=templates)
    said = Phrasebook().words(campaign, StoredOffer(id=7, tag_ids=[1], offer=offer), 1, locale)
    return draft_of(offer, 7, CARRIED, said)


def words(locale: str | None, offer: Offer = OFFER, templates: dict[str, Words] = TEMPLATES) -> tuple[str, str]:
    draft = drafted(locale, offer, templates)
    return draft.title.replace("\xa0", " "), draft.body.replace("\xa0", " ")


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        (None, ("Soup: 12.5% off", "Now EUR 10.93, not EUR 12.50")),
        ("en-GB", ("Soup: 12.5% off", "Now €10.93, not €12.50")),
        ("de_DE", ("Suppe: 12,5 % günstiger", "Jetzt 10,93 € statt 12,50 €")),
        ("DE-ch", ("Süppli: 12.5% günstiger", "Jetzt € 10.93 statt € 12.50")),
        ("de-AT", ("Suppe um € 10,93", "")),
        ("fi", ("Soup: 12,5 % off", "Now 10,93 €, not 12,50 €")),
        ("tlh", ("Soup: 12.5% off", "Now EUR 10.93, not EUR 12.50")),
    ],
)
def test_each_reads_the_closest_language_and_their_own_money(locale: str | None, expected: tuple[str, str]) -> None:
    assert words(locale) == expected


def test_images_and_the_offers_own_words() -> None:
    assert drafted("de-AT").image_url == "https://x.test/at.png"
    assert drafted("de").image_url == "https://x.test/soup.png"
    assert drafted("de-CH", templates={}).image_url == "https://x.test/ch.png"
    assert words("de-LI", templates={}) == ("Suppe", "Heiß")
    assert words("fr", templates={}) == ("Soup", "Hot")
    assert creative_in(OFFER, "de") == Creative(
        title="Suppe", body="Heiß", image_url="https://x.test/soup.png", deep_link="shop://soup"
    )
    plain = a(localised={})
    assert creative_in(plain, "de") is plain.creative


def test_what_an_offer_cannot_fill_falls_back_to_its_own_words() -> None:
    assert words("de-AT", a(price_minor=0)) == ("Suppe", "Heiß")
    assert words("fr", a(discount_type="gift", discount_percent=0.0)) == ("Soup", "Hot")
    without_price = {"default": TEMPLATES["default"], "de": Words(title="{offer_title} mit {code}")}
    assert words("de", a(price_minor=0), without_price) == ("Suppe mit S12", "")
    assert words("de", a(code=None), without_price) == ("Suppe: 12,5 % off", "Now 10,93 €, not 12,50 €")
    both = Words(title="{store} {code}", body="{price} {discount} {new_price}")
    assert lacking(both, a(store_ids=["1", "2"], price_minor=0, code=None), None) == [
        "store",
        "code",
        "price",
        "new_price",
    ]
    assert filled_in(both, OFFER, "en") == Words(
        title="Graben 7 S12", body="€12.50 12.5% €10.93", image_url="https://x.test/soup.png"
    )


def test_what_is_too_long_falls_back_too() -> None:
    long = a(localised={}, creative=msgspec.structs.replace(OFFER.creative, body="x" * BODY_CHARACTERS_MAX))
    assert words(None, long, {"default": Words(title="Now", body="{offer_body}!")}) == ("Soup", "x" * 400)
    heavy = msgspec.structs.replace(
        OFFER.creative, image_url="https://x.test/" + "i" * 2000, deep_link="shop://" + "d" * 1600
    )
    offer = a(localised={}, creative=heavy)
    assert not excess_bytes(offer, offer.creative)
    template = Words(title="Now", body="é" * 300)
    assert excess_bytes(offer, msgspec.structs.replace(own_words(offer, None), body=template.body)) > 0
    assert words(None, offer, {"default": template}) == ("Soup", "Hot")


def test_of_a_private_offer_a_template_tells_nothing() -> None:
    private = a(is_sensitive=True)
    assert private.is_private()
    draft = drafted("de", private)
    assert draft.is_private
    assert not {"Soup", "Suppe"} & set(f"{draft.title} {draft.body} {draft.data}".split())


def test_what_was_found_is_found_again_until_the_catalogue_changes() -> None:
    book, campaign = Phrasebook(), msgspec.structs.replace(push_world.a_campaign().campaign, templates=TEMPLATES)
    first = book.words(campaign, StoredOffer(id=7, tag_ids=[1], offer=OFFER), 1, "de")
    dearer = StoredOffer(id=7, tag_ids=[1], offer=a(price_minor=9900))
    assert book.words(campaign, dearer, 1, "de") is first
    assert "86,62" in book.words(campaign, dearer, 2, "de").body
    assert book.words(campaign, dearer, 2, "en").title == "Soup: 12.5% off"
    assert book.words(campaign, StoredOffer(id=8, tag_ids=[1], offer=a(code="X")), 2, "de").title == first.title


def test_braces_and_unknown_placeholders() -> None:
    assert filled_in(Words(title="{{{code}}} 100%"), OFFER, None) == Words(
        title="{S12} 100%", image_url="https://x.test/soup.png"
    )
    assert list(faults("{offer_title} {{x}}")) == []
    for text, told in (
        ("{first_name}", "no placeholder {first_name}"),
        ("{offer_title.__class__}", "no placeholder {offer_title.__class__}"),
        ("{}", "no placeholder {}"),
        ("{offer_title", "single {"),
        ("50 } off", "single }"),
        ("{{{code}}", "single }"),
    ):
        (fault,) = list(faults(text))[:1]
        assert told in fault, text
    assert set(PLACEHOLDERS) == {"offer_title", "offer_body", "discount", "price", "new_price", "code", "store"}


@pytest.mark.parametrize(
    ("minor", "currency", "locale", "expected"),
    [
        (123450, "EUR", "de", "1.234,50 €"),
        (123450, "EUR", "de-AT", "€ 1.234,50"),
        (123450, "CHF", "de-CH", "CHF 1\u2019234.50"),
        (123450, "USD", "en-US", "$1,234.50"),
        (123450, "CHF", "en", "CHF 1,234.50"),
        (300, "USD", "en", "$3"),
        (305, "USD", "en-CA", "US$3.05"),
        (305, "CAD", "en-CA", "$3.05"),
        (305, "CAD", "en", "CA$3.05"),
        (123450, "EUR", "fr", "1 234,50 €"),
        (1234, "JPY", "ja", "¥1,234"),
        (12345, "KWD", "en", "KWD 12.345"),
        (1990, "SEK", "sv-SE", "19,90 kr"),
        (100000, "PLN", "pl", "1 000 zł"),
        (5, "EUR", None, "EUR 0.05"),
    ],
)
def test_money(minor: int, currency: str, locale: str | None, expected: str) -> None:
    assert money(minor, currency, locale).replace("\xa0", " ").replace("\u202f", " ") == expected


def test_percentages() -> None:
    assert [percent(share, "en") for share in (20, 12.5, 33.333, 100)] == ["20%", "12.5%", "33.33%", "100%"]
    assert (percent(20, "de"), percent(20, "tr"), percent(12.5, "fr")) == ("20\xa0%", "%20", "12,5\u202f%")


def test_languages_have_one_spelling() -> None:
    assert [spelled(tag) for tag in ("DE_at", "zh-hant-tw", "ES-419")] == ["de-AT", "zh-Hant-TW", "es-419"]
    assert list(chain("zh_hant_TW")) == ["zh-Hant-TW", "zh-Hant", "zh"]
    assert list(chain(None)) == list(chain("")) == []
