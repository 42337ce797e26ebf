"""What audience rules must be before they are stored: such as some person can fulfil; one spelling of tags in them."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from schema.audience import Audience
from schema.problem import FieldError
from service.store import tags, zones

_TAG_FIELDS: Final = ("tags_any", "tags_all", "tags_none")


def of_audience(audience: Audience, at: str) -> Iterator[FieldError]:
    """Every rule, of those that stand at `at`, that is wrong, or that leaves nobody beside another one."""
    for field in _TAG_FIELDS:
        yield from _of_tags(getattr(audience, field), f"{at}/{field}")
    unwanted = {tags.normalise(tag) for tag in audience.tags_none}
    for place, tag in enumerate(audience.tags_all):
        if tags.normalise(tag) in unwanted:
            yield _wrong(f"{at}/tags_all/{place}", "This tag also stands in tags_none: nobody is left.")
    if unwanted and audience.tags_any and unwanted.issuperset(map(tags.normalise, audience.tags_any)):
        yield _wrong(f"{at}/tags_any", "All of these tags also stand in tags_none: nobody is left.")
    for place, store in enumerate(audience.store_ids):
        if store in audience.exclude_store_ids:
            yield _wrong(f"{at}/store_ids/{place}", "This store also stands in exclude_store_ids.")
    for place, zone in enumerate(audience.time_zones):
        if not zones.is_known(zone):
            detail = "This time zone is unknown; send a name of the IANA database, such as America/New_York."
            yield _wrong(f"{at}/time_zones/{place}", detail)
    yield from _of_activity(audience, at)


def _of_tags(given: Sequence[str], at: str) -> Iterator[FieldError]:
    for place, tag in enumerate(given):
        if not tags.is_fit(tags.normalise(tag)):
            yield _wrong(f"{at}/{place}", "Nobody can have this tag.")


def _of_activity(audience: Audience, at: str) -> Iterator[FieldError]:
    """Who has been away for n days has not come within the last n."""
    active, away = audience.active_within_days, audience.inactive_for_days
    if active is not None and away is not None and active <= away:
        detail = "Nobody came within these days and has been away for longer (inactive_for_days)."
        yield _wrong(f"{at}/active_within_days", detail)


def spelled(audience: Audience) -> Audience:
    """The same with its tags spelled as people's tags are."""
    changes = {field: sorted({tags.normalise(tag) for tag in getattr(audience, field)}) for field in _TAG_FIELDS}
    return msgspec.structs.replace(audience, **changes)


def _wrong(pointer: str, detail: str) -> FieldError:
    return FieldError(pointer=pointer, code="invalid_field", detail=detail)
