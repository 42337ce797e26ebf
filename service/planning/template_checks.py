"""What a campaign's templates must be before they are stored: placeholders that exist, and offers that fill them within a push's bytes."""

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from push.drawing.draft import excess_bytes
from push.drawing.wording import BODY_CHARACTERS_MAX, TITLE_CHARACTERS_MAX, faults, filled_in, lacking
from schema.campaign import Campaign
from schema.offer import Offer
from schema.problem import FieldError
from schema.wording import DEFAULT, Words, spelled
from service.ingest.offer_texts import CONTROL, CONTROL_BUT_BREAKS


def of_templates(campaign: Campaign, offers: Iterable[Offer]) -> Iterator[FieldError]:
    """Every template that is wrong, or that an offer the campaign names cannot fill; of a campaign that names none some offer must.

    Args:
        campaign: with its templates.
        offers: those it may send.
    """
    if not campaign.templates:
        return
    if DEFAULT not in campaign.templates:
        yield _wrong("/templates", f"Give one named {DEFAULT}, for whose language none of the others suits.")
    spellings = Counter(map(spelled, campaign.templates))
    for key in campaign.templates:
        if spellings[spelled(key)] > 1:
            yield _wrong(f"/templates/{key}", f"The language {spelled(key)} stands here more than once.")
    found = [error for key, words in campaign.templates.items() for error in _of_texts(key, words)]
    yield from found
    if not found:
        known = list(offers)
        for key, words in campaign.templates.items():
            yield from _of_offers(key, words, known, is_named=bool(campaign.offers))


def with_spelled_keys(campaign: Campaign) -> Campaign:
    """The same with its languages in their one spelling; as it was when two of them are the same."""
    templates = {spelled(key): words for key, words in campaign.templates.items()}
    is_lossless = len(templates) == len(campaign.templates)
    return msgspec.structs.replace(campaign, templates=templates) if is_lossless else campaign


def _of_texts(key: str, words: Words) -> Iterator[FieldError]:
    for name, text, unfit in (("title", words.title, CONTROL), ("body", words.body, CONTROL_BUT_BREAKS)):
        for detail in faults(text):
            yield _wrong(f"/templates/{key}/{name}", detail)
        if unfit.search(text):
            yield _wrong(f"/templates/{key}/{name}", "It holds a control character.")


def _of_offers(key: str, words: Words, offers: list[Offer], *, is_named: bool) -> Iterator[FieldError]:
    reasons = ((offer, _why_not(key, words, offer)) for offer in offers)
    if is_named:
        for offer, reason in reasons:
            if reason is not None:
                yield _wrong(f"/templates/{key}", f"Offer {offer.offer_id} {reason}.")
    elif offers and all(reason is not None for _, reason in reasons):
        yield _wrong(
            f"/templates/{key}", f"No offer can be told by it: {offers[0].offer_id} {_why_not(key, words, offers[0])}."
        )


def _why_not(key: str, words: Words, offer: Offer) -> str | None:
    locale = None if key == DEFAULT else key
    if missing := lacking(words, offer, locale):
        return f"has nothing for {', '.join(f'{{{name}}}' for name in missing)}"
    filled = filled_in(words, offer, locale)
    if filled is None:
        return f"makes it longer than {TITLE_CHARACTERS_MAX} characters of title or {BODY_CHARACTERS_MAX} of body"
    excess = excess_bytes(offer, filled)
    return f"makes the push {excess} bytes too long" if excess else None


def _wrong(pointer: str, detail: str) -> FieldError:
    return FieldError(pointer=pointer, code="invalid_field", detail=detail)
