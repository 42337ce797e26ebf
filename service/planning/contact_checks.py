"""What rules of contact must be before they are stored; one spelling of tags in them."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

from push.contact.quiet_hours import MINUTES, Window, length
from schema.contact_rules import Cap, ContactRules, Limits, QuietHours
from schema.problem import FieldError
from service.store import tags

T = TypeVar("T", ContactRules, Limits)


def of_rules(rules: ContactRules) -> Iterator[FieldError]:
    """Every field of an installation's rules that is wrong."""
    yield from _of_both(rules.quiet_hours, rules.caps, "")
    margin = 2 * rules.unknown_zone_margin_s // 60
    lengths = [length(Window(*hours.minutes())) for hours in rules.quiet_hours if hours.begins != hours.ends]
    if any(minutes + margin >= MINUTES for minutes in lengths):
        detail = "With this on both ends quiet hours last all day: nobody without a time zone could be reached."
        yield _wrong("/unknown_zone_margin_s", detail)


def of_limits(limits: Limits, at: str) -> Iterator[FieldError]:
    """Every field of a campaign's own rules, which stand at `at`, that is wrong."""
    yield from _of_both(limits.quiet_hours, limits.caps, at)


def of_quiet_hours(given: Sequence[QuietHours], at: str) -> Iterator[FieldError]:
    """Quiet hours that have no length."""
    for place, hours in enumerate(given):
        if hours.begins == hours.ends:
            detail = "Quiet hours end at another time than they begin; to send nothing at all withdraw consent, or end the campaign."
            yield _wrong(f"{at}/{place}/ends", detail)


def spelled(rules: T) -> T:
    """The same with its tags spelled as the taxonomy spells them."""
    caps = [cap if cap.tag is None else msgspec.structs.replace(cap, tag=tags.normalise(cap.tag)) for cap in rules.caps]
    return msgspec.structs.replace(rules, caps=caps)


def _of_both(quiet_hours: Sequence[QuietHours], caps: Sequence[Cap], at: str) -> Iterator[FieldError]:
    yield from of_quiet_hours(quiet_hours, f"{at}/quiet_hours")
    for place, cap in enumerate(caps):
        if (cap.within_s is None) == (cap.per is None):
            detail = "A cap has either within_s (any so many seconds) or per (local_day, local_week)."
            yield _wrong(f"{at}/caps/{place}", detail)
        if cap.tag is not None and not tags.is_fit(tags.normalise(cap.tag)):
            yield _wrong(f"{at}/caps/{place}/tag", "No offer can carry this tag.")


def _wrong(pointer: str, detail: str) -> FieldError:
    return FieldError(pointer=pointer, code="invalid_field", detail=detail)
