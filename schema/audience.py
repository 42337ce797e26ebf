"""Who a campaign may reach: rules over what people's devices, their own words and the shop have told."""

from typing import Annotated, Literal

from msgspec import Meta

from schema.base import Incoming
from schema.event import Tag
from schema.user import Zone

Days = Annotated[int, Meta(ge=1, le=730)]
Tags = Annotated[list[Tag], Meta(max_length=64)]
Stores = Annotated[list[Annotated[str, Meta(min_length=1, max_length=64)]], Meta(max_length=1000)]
Language = Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$(?!\n)", max_length=35)]
Platform = Literal["android", "ios", "web"]


class Audience(Incoming, frozen=True):
    """Who may be reached: of everyone with consent and a live token those for whom every rule that is given holds.

    Tags are people's own (POST /v1/identify): any of `tags_any`, all of `tags_all`, none of `tags_none`. A person's store is their trait
    `store_id`; `store_ids` are the stores they may go to, `exclude_store_ids` those they may not, `time_zones` the IANA zones they
    may live in. Active is who came, or whose phone reported itself: `active_within_days`, or not at all for `inactive_for_days`; known for
    no longer than `new_within_days`. `platforms` and `languages` are those of the phone a push would go to, the language rather
    the person's own if it is known; `de` means `de-AT` too. Of what nothing is known a rule that asks for it does not hold.
    """

    active_within_days: Days | None = None
    inactive_for_days: Days | None = None
    new_within_days: Days | None = None
    tags_any: Tags = []
    tags_all: Tags = []
    tags_none: Tags = []
    store_ids: Stores = []
    exclude_store_ids: Stores = []
    time_zones: Annotated[list[Zone], Meta(max_length=100)] = []
    platforms: Annotated[list[Platform], Meta(max_length=3)] = []
    languages: Annotated[list[Language], Meta(max_length=50)] = []
