"""What sets a campaign off: an event of a person, as it is told, instead of a window in the week."""

from typing import Annotated, Literal

from msgspec import Meta

from schema.base import Incoming
from schema.event import Text
from schema.offer import OfferKey

TriggerType = Literal[
    "purchase", "view", "app_open", "left_store", "basket_abandoned", "opened", "redeemed", "thumbs_up"
]
Value = str | float | bool


class Condition(Incoming, frozen=True):
    """What one of the event's properties must be; all that is said must hold, and a property that is missing holds nothing.

    `is_one_of`: it is one of these values, or a list that holds one of them. `at_least`, `at_most`: it is a number within these bounds.
    With none of them it is enough that the property is there and is not null.
    """

    property: Text
    is_one_of: Annotated[list[Value], Meta(min_length=1, max_length=64)] | None = None
    at_least: float | None = None
    at_most: float | None = None


class Trigger(Incoming, frozen=True):
    """Which events set off a push, how long after, and how seldom.

    Every condition must hold. With `offers` the event must be about one of them, with `is_about_offer` about any (an offer that was viewed is
    a `view` with an offer_id). The push is due `delay_s` after the event happened; one that would fall into quiet hours, or into none of
    the campaign's `hours`, waits for their end if its life (the campaign's ttl_s) is long enough, else none is planned. An event that is told
    more than ten minutes after it happened plans none. After an event that planned a push the person's events plan none of this campaign
    for `cooldown_s`, whatever became of it.
    """

    event_type: TriggerType
    conditions: Annotated[list[Condition], Meta(max_length=8)] = []
    offers: Annotated[list[OfferKey], Meta(max_length=1000)] = []
    is_about_offer: bool = False
    delay_s: Annotated[int, Meta(ge=0, le=7 * 86_400)] = 0
    cooldown_s: Annotated[int, Meta(ge=60, le=30 * 86_400)] = 86_400
