"""The words of a message: a campaign's templates filled in from the offer, or the offer's own, in the person's language.

Nothing personal can be asked for: a placeholder is something of the offer. A template that an offer cannot fill, or that would be too long with
it, is not used for it; the next one of the chain is (de-AT, de, default), and at last the offer's own words, which fit by the check at upload.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from push.drawing.money_words import money, percent
from schema.offer import Creative, Offer
from schema.wording import DEFAULT, Words, chain

TITLE_CHARACTERS_MAX: Final = 120
BODY_CHARACTERS_MAX: Final = 400

_TOKEN: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")

Filler = Callable[[Offer, str | None], str | None]
Templates = Mapping[str, Words]


def _discount(offer: Offer, locale: str | None) -> str | None:
    if offer.discount_type == "percent" and offer.discount_percent > 0:
        return percent(offer.discount_percent, locale)
    if offer.discount_type == "amount" and offer.discount_minor > 0:
        return money(offer.discount_minor, offer.currency, locale)
    return None


def _price(offer: Offer, locale: str | None) -> str | None:
    return money(offer.price_minor, offer.currency, locale) if offer.price_minor else None


def _new_price(offer: Offer, locale: str | None) -> str | None:
    if not offer.price_minor or offer.discount_type not in {"percent", "amount"}:
        return None
    return money(max(offer.price_minor - offer.cost_minor(), 0), offer.currency, locale)


PLACEHOLDERS: Final[Mapping[str, Filler]] = {
    "offer_title": lambda offer, locale: own_words(offer, locale).title,
    "offer_body": lambda offer, locale: own_words(offer, locale).body or None,
    "discount": _discount,
    "price": _price,
    "new_price": _new_price,
    "code": lambda offer, _: offer.code,
    "store": lambda offer, _: offer.store_ids[0] if len(offer.store_ids) == 1 else None,
}


def own_words(offer: Offer, locale: str | None) -> Words:
    """The offer's own words, in the closest language it has."""
    creative = offer.creative
    found = next((offer.localised[tag] for tag in chain(locale) if tag in offer.localised), None)
    if found is None:
        return Words(title=creative.title, body=creative.body, image_url=creative.image_url)
    return found if found.image_url else msgspec.structs.replace(found, image_url=creative.image_url)


def creative_in(offer: Offer, locale: str | None) -> Creative:
    """The offer's creative with its words in the closest language it has."""
    if not offer.localised:
        return offer.creative
    words = own_words(offer, locale)
    return msgspec.structs.replace(offer.creative, title=words.title, body=words.body, image_url=words.image_url)


def words_for(offer: Offer, templates: Templates, locale: str | None, fits: Callable[[Words], bool]) -> Words:
    """What a person of this locale reads of the offer: of the words that a push has room for the closest."""
    for tag in (*chain(locale), DEFAULT) if templates else ():
        if tag in templates:
            filled = filled_in(templates[tag], offer, locale)
            if filled is not None and fits(filled):
                return filled
    return own_words(offer, locale)


def filled_in(template: Words, offer: Offer, locale: str | None) -> Words | None:
    """A template with the offer's title, prices and so on; None when the offer lacks what it asks for, or makes it too long to read."""
    title, body = (_filled(text, offer, locale) for text in (template.title, template.body))
    if not title or body is None or len(title) > TITLE_CHARACTERS_MAX or len(body) > BODY_CHARACTERS_MAX:
        return None
    return Words(title=title, body=body, image_url=template.image_url or own_words(offer, locale).image_url)


def faults(text: str) -> Iterator[str]:
    """What is wrong with the placeholders of a template's text, in words."""
    for token in _TOKEN.finditer(text):
        name = token[1]
        if name is None and token[0] in "{}":
            yield f"A single {token[0]} is no placeholder: write {token[0] * 2} for the sign itself."
        elif name is not None and name not in PLACEHOLDERS:
            known = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
            yield f"There is no placeholder {{{name[:64]}}}; there are {known}."


def lacking(template: Words, offer: Offer, locale: str | None) -> list[str]:
    """The placeholders of a template that the offer cannot fill."""
    asked = dict.fromkeys(token[1] for text in (template.title, template.body) for token in _TOKEN.finditer(text))
    return [name for name in asked if name in PLACEHOLDERS and PLACEHOLDERS[name](offer, locale) is None]


def _filled(text: str, offer: Offer, locale: str | None) -> str | None:
    parts, end = [], 0
    for token in _TOKEN.finditer(text):
        value = token[0][0] if token[1] is None else PLACEHOLDERS[token[1]](offer, locale)
        if value is None:
            return None
        parts += [text[end : token.start()], value]
        end = token.end()
    return "".join([*parts, text[end:]])
