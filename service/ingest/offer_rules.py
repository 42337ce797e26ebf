"""What every offer must fulfil, however it came in: one spelling of its texts, and rules told field by field."""

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from push.drawing.draft import excess_bytes
from push.drawing.wording import own_words
from push.fcm.limits import PAYLOAD_BYTES_MAX
from schema.external_id import DOTS
from schema.offer import TAGS_PER_OFFER_MAX, Creative, Offer
from schema.problem import FieldError
from schema.wording import Words
from service.ingest.offer_texts import (
    CONTROL,
    CONTROL_BUT_BREAKS,
    is_deep_link,
    is_https,
    localised,
    one_line,
    text_of,
    unix_lines,
    url_of,
    words_of,
    wrong,
)
from service.store import tags

MINOR_MAX: Final = 10**12
STORES_MAX: Final = 10_000
AGE_MAX: Final = 120

_KEY: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_PATH_WORDS: Final = DOTS | {"imports"}
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_TITLE: Final = "/creative/title"
_BODY: Final = "/creative/body"
_IMAGE: Final = "/creative/image_url"
_LINK: Final = "/creative/deep_link"


def normalised(offer: Offer) -> Offer:
    """The offer as it is kept: texts trimmed, a title on one line, tags in their one spelling, nothing named twice, instants in UTC."""
    creative = offer.creative
    return msgspec.structs.replace(
        offer,
        creative=Creative(
            title=one_line(creative.title),
            body=unix_lines(creative.body),
            image_url=(creative.image_url or "").strip() or None,
            deep_link=(creative.deep_link or "").strip() or None,
        ),
        localised=localised(offer.localised),
        tags=list(dict.fromkeys(tags.normalise(tag) for tag in offer.tags)),
        code=(offer.code or "").strip() or None,
        starts_at=_in_utc(offer.starts_at),
        ends_at=_in_utc(offer.ends_at),
        store_ids=list(dict.fromkeys(store.strip() for store in offer.store_ids)),
        exclude_store_ids=list(dict.fromkeys(store.strip() for store in offer.exclude_store_ids)),
        channels=list(dict.fromkeys(offer.channels)),
    )


def _in_utc(instant: datetime | None) -> datetime | None:
    try:
        return instant if instant is None or instant.tzinfo is None else instant.astimezone(UTC)
    except OverflowError:  # in UTC it lies before year 1 or after 9999; _instant says so
        return instant


def problems(offer: Offer, known_bad: Collection[str] = ()) -> list[FieldError]:
    """What is wrong with a normalised offer; fields whose pointer is in `known_bad`, and rules about them, are passed over."""
    found = [error for error in _field_problems(offer) if error.pointer not in known_bad]
    bad = {*known_bad, *(error.pointer for error in found)}
    for fields, rule in _RULES_ACROSS:
        if bad.isdisjoint(fields):
            found.extend(rule(offer))
    return found


def _field_problems(offer: Offer) -> Iterator[FieldError]:
    creative = offer.creative
    if not _KEY.fullmatch(offer.offer_id):
        yield wrong("/offer_id", "has 1 to 64 letters, digits and the signs . _ : - and nothing else")
    elif offer.offer_id in _PATH_WORDS:
        yield wrong("/offer_id", f"must not be {offer.offer_id}, which means something else at the end of a path")
    yield from text_of(_TITLE, creative.title, 120, least=1)
    yield from text_of(_BODY, creative.body, 400, unfit=CONTROL_BUT_BREAKS)
    yield from url_of(_IMAGE, creative.image_url, is_https, "must begin with https:// and a host")
    yield from url_of(
        _LINK, creative.deep_link, is_deep_link, "must begin with https:// or the scheme of an app (myapp://)"
    )
    for tag, words in offer.localised.items():
        yield from words_of(tag, words)
    yield from _tags(offer.tags)
    yield from _amounts(offer)
    if not _CURRENCY.fullmatch(offer.currency):
        yield wrong("/currency", "is a code of three capital letters, as in USD")
    yield from text_of("/code", offer.code or "", 128)
    yield from _instant("/starts_at", offer.starts_at)
    yield from _instant("/ends_at", offer.ends_at)
    yield from _stores("/store_ids", offer.store_ids)
    yield from _stores("/exclude_store_ids", offer.exclude_store_ids)
    if not offer.channels:
        yield wrong("/channels", "names at least one of push and in_app", "required")
    if not 0 <= offer.min_age <= AGE_MAX:
        yield wrong("/min_age", f"lies between 0 and {AGE_MAX}", "out_of_range")


def _tags(names: Sequence[str]) -> Iterator[FieldError]:
    if not names:
        yield wrong("/tags", "names at least one tag", "required")
    if len(names) > TAGS_PER_OFFER_MAX:
        yield wrong("/tags", f"names {len(names)} tags; at most {TAGS_PER_OFFER_MAX} are allowed", "too_many")
    for index, name in enumerate(names):
        if not tags.is_fit(name):
            rule = f"a tag has 1 to {tags.TAG_CHARACTERS_MAX} characters, without ';' and control characters"
            yield FieldError(pointer=f"/tags/{index}", code="invalid", detail=rule)


def _stores(pointer: str, stores: Sequence[str]) -> Iterator[FieldError]:
    if len(stores) > STORES_MAX:
        yield wrong(pointer, f"names {len(stores)} stores; at most {STORES_MAX} are allowed", "too_many")
    for index, store in enumerate(stores):
        if not 0 < len(store) <= 64 or ";" in store or CONTROL.search(store):
            rule = "the id of a store has 1 to 64 characters, without ';' and control characters"
            yield FieldError(pointer=f"{pointer}/{index}", code="invalid", detail=rule)


def _amounts(offer: Offer) -> Iterator[FieldError]:
    for pointer, minor, least in (
        ("/price_minor", offer.price_minor, 0),
        ("/discount_minor", offer.discount_minor, 0),
        ("/margin_minor", offer.margin_minor, -MINOR_MAX),
        ("/redemptions_max", 1 if offer.redemptions_max is None else offer.redemptions_max, 1),
        ("/budget_minor", 1 if offer.budget_minor is None else offer.budget_minor, 1),
    ):
        if minor > MINOR_MAX:
            yield wrong(pointer, "is too large", "out_of_range")
        elif minor < least:
            yield wrong(pointer, "is too small" if least else "must not be negative", "out_of_range")
    if not 0 <= offer.discount_percent <= 100:
        yield wrong("/discount_percent", "lies between 0 and 100", "out_of_range")


def _instant(pointer: str, instant: datetime | None) -> Iterator[FieldError]:
    if instant is not None and instant.tzinfo is None:
        yield wrong(pointer, "needs an offset or Z, as in 2026-12-01T08:00:00+01:00", "offset_missing")
    elif instant is not None and instant.tzinfo is not UTC:
        yield wrong(pointer, "lies outside of the years 1 to 9999 in UTC", "out_of_range")


def _period(offer: Offer) -> Iterator[FieldError]:
    if offer.starts_at is not None and offer.ends_at is not None and offer.ends_at <= offer.starts_at:
        yield wrong("/ends_at", "must be after starts_at", "not_after_start")


def _discount(offer: Offer) -> Iterator[FieldError]:
    kind = offer.discount_type
    for pointer, given, matching in (
        ("/discount_percent", offer.discount_percent > 0, "percent"),
        ("/discount_minor", offer.discount_minor > 0, "amount"),
    ):
        if given and kind != matching:
            detail = f"discount_type is '{kind}', so no {matching} may be given"
            yield FieldError(pointer=pointer, code="discount_mismatch", detail=detail)
        if not given and kind == matching:
            detail = f"discount_type is '{kind}', so a {matching} above 0 is needed"
            yield FieldError(pointer=pointer, code="discount_mismatch", detail=detail)


def _budget(offer: Offer) -> Iterator[FieldError]:
    cost = offer.cost_minor()
    if offer.budget_minor is not None and cost == 0:
        rule = "needs a discount whose cost is known: an amount, or a percentage of a price"
        yield wrong("/budget_minor", rule, "cost_not_known")
    elif offer.budget_minor is not None and offer.budget_minor < cost:
        yield wrong("/budget_minor", "does not pay for a single redemption", "too_small")


def _stores_apart(offer: Offer) -> Iterator[FieldError]:
    both = set(offer.store_ids) & set(offer.exclude_store_ids)
    if both:
        detail = f"store {min(both)!r} is both named and excluded"
        yield FieldError(pointer="/exclude_store_ids", code="contradiction", detail=detail)


def _fits_a_push(offer: Offer) -> Iterator[FieldError]:
    """In each language."""
    if "push" not in offer.channels:
        return
    yield from _fits(offer, offer.creative, _IMAGE)
    for tag, words in offer.localised.items():
        yield from _fits(offer, own_words(offer, tag), f"/localised/{tag}/image_url" if words.image_url else _IMAGE)


def _fits(offer: Offer, words: Words | Creative, image_at: str) -> Iterator[FieldError]:
    """Title and body alone always fit, so one of the addresses has to be shorter: the longer one is named."""
    excess = excess_bytes(offer, words)
    if excess:
        addresses = {image_at: words.image_url or "", _LINK: offer.creative.deep_link or ""}
        longest = max(addresses, key=lambda pointer: len(addresses[pointer].encode()))
        rule = (
            f"is too long for a push, whose title, body, image_url and deep_link have {PAYLOAD_BYTES_MAX} bytes together "
            f"with what we add: leave out {excess} bytes, or push from the channels"
        )
        yield wrong(longest, rule, "too_long")


_RULES_ACROSS: Final = (
    (("/starts_at", "/ends_at"), _period),
    (("/discount_type", "/discount_percent", "/discount_minor"), _discount),
    (("/budget_minor", "/discount_type", "/discount_percent", "/discount_minor", "/price_minor"), _budget),
    (("/store_ids", "/exclude_store_ids"), _stores_apart),
    (("/offer_id", "/channels", _TITLE, _BODY, _IMAGE, _LINK), _fits_a_push),
)
