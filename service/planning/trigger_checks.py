"""What the trigger of a campaign must be before it is stored."""

from collections.abc import Iterator

from schema.campaign import Campaign
from schema.problem import FieldError
from schema.trigger import Condition, Trigger
from service.store.catalogue import Catalogue


def of_trigger(campaign: Campaign, catalogue: Catalogue) -> Iterator[FieldError]:
    """Every field that is wrong."""
    trigger = campaign.trigger
    if trigger is None:
        return
    if campaign.recurrence != "once":
        yield _wrong("/recurrence", "A campaign that events set off has no recurrence; leave this out.")
    for index, name in enumerate(trigger.offers):
        if name not in catalogue.index_by_external:
            yield _wrong(f"/trigger/offers/{index}", "There is no offer with this offer_id.")
    yield from _of_conditions(trigger)


def _of_conditions(trigger: Trigger) -> Iterator[FieldError]:
    for index, condition in enumerate(trigger.conditions):
        if _is_empty(condition):
            yield _wrong(f"/trigger/conditions/{index}/at_most", "No number lies between at_least and at_most.")


def _is_empty(condition: Condition) -> bool:
    low, high = condition.at_least, condition.at_most
    return low is not None and high is not None and high < low


def _wrong(pointer: str, detail: str) -> FieldError:
    return FieldError(pointer=pointer, code="invalid_field", detail=detail)
