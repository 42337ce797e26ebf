"""A campaign: whom to reach, in which window, with which offers, under which rules."""

from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, get_args
from uuid import UUID

import msgspec
from msgspec import Meta

from schema.audience import Audience
from schema.base import Incoming, Kept
from schema.contact_rules import Limits
from schema.decision import SLOTS_MAX, Channel
from schema.offer import Currency, Limit, OfferKey
from schema.trigger import Trigger
from schema.wording import LANGUAGES_MAX, TemplateKey, Words

WEEK: Final = timedelta(weeks=1)
EARLIEST_ZONE: Final = timedelta(hours=14)
"""A local time begins first in the zones 14 hours ahead of UTC."""

LocalTime = Annotated[datetime, Meta(tz=False)]
Worth = Annotated[float, Meta(ge=0, le=1e9)]
"""Far beyond it the variance of a value would be more than a number holds, and the logged propensities would be false."""

Goal = Literal["redemptions", "incremental_value"]

Zone = Annotated[str, Meta(min_length=1, max_length=64)]

What = Literal["made", "changed", "approved", "paused", "resumed", "ended", "deleted"]

Button = Literal["thumbs_up", "thumbs_down", "not_now"]
BUTTONS: Final[tuple[Button, ...]] = get_args(Button)
ChannelName = Literal["push", "inbox", "webhook", "email"]


class Campaign(Incoming, frozen=True):
    """The body of POST /v1/campaigns.

    `starts_at` and `ends_at` are local times of each person's own zone (`default_time_zone` where it is not known), without an
    offset. A weekly campaign has an occurrence every week from starts_at while it begins before ends_at; one that runs once has the
    window from starts_at to ends_at, of which the first week is used. No moment lies at or after ends_at. Who becomes reachable
    after an occurrence was planned (an hour before its window opens for the first of the people there are) is reached by the next
    one. A push that could not leave in time is not sent later than an hour after its send time once the hours that may be used are
    over, and never after ttl_s. The moment of each person's push is drawn among the hours of the window; `hours` names those of the
    week that may be used (Monday 00:00 is 0; empty means all 168). Within its hour a push is moved by up to `spread_s` seconds, by
    person, so that they do not leave all at once. `offers` empty means: any eligible offer.

    Goal `redemptions`: a push is worth value_open for an open and value_redeem for a redemption; the attention price is in the same
    unit. Goal `incremental_value`: a push is worth what it adds, margin times (chance of a purchase after it - chance in silence), less
    the discount times the chance of a redemption, by `margin_minor` and discount of the offer; the attention price is in minor units
    of `currency`, and only offers in it that have a margin are sent.

    With a `budget_minor`, in `currency`, only offers in it are sent whose discount's cost is known, and no more than their discounts may
    cost in all (docs/redemptions.md).

    `buttons` stand below its pushes, for apps that draw them (docs/push.md). `templates` are the words of its messages by language (`de-AT`, else
    `de`, else `default`), filled in from the offer: `{offer_title}`, `{offer_body}`, `{discount}`, `{price}`, `{new_price}`, `{code}`, `{store}`
    (docs/campaigns.md). Without any the offer's own words are sent.

    `channels` are the ways in which the one decision reaches the person (docs/channels.md); `webhooks` names endpoints for the channel
    webhook, empty means all there are. With `slots` an e-mail is a digest of so many offers, drawn as one slate; the other channels tell of
    the first.

    `kind` transactional is for what a person waits for: no cap and no gap counts it or holds it back, but consent, opt-out, mute and
    quiet hours do, the last not if it `is_urgent`. It is sent at least once: when no answer says whether it arrived, again, and a phone
    shows it once; a marketing push is sent at most once. `contact` makes the rules of contact stricter for this campaign.

    With a `trigger` there is no occurrence: from `starts_at` to `ends_at` each event that fits it plans a push for its person at once, or
    `delay_s` later. Recurrence is not used then, and `spread_s` only for what had to wait.
    """

    campaign_id: OfferKey
    starts_at: LocalTime
    ends_at: LocalTime
    default_time_zone: Zone = "UTC"
    recurrence: Literal["once", "weekly"] = "once"
    trigger: Trigger | None = None
    hours: Annotated[list[Annotated[int, Meta(ge=0, le=167)]], Meta(max_length=168)] = []
    audience: Audience = msgspec.field(default_factory=Audience)
    offers: Annotated[list[OfferKey], Meta(max_length=1000)] = []
    goal: Goal = "redemptions"
    currency: Currency = "USD"
    value_open: Worth = 0.0
    value_redeem: Worth = 1.0
    attention_price: Worth = 0.0
    holdout_share: Annotated[float, Meta(ge=0, le=0.5)] = 0.05
    control_share: Annotated[float, Meta(ge=0, le=0.5)] = 0.02
    spread_s: Annotated[int, Meta(ge=0, le=3600)] = 3300
    ttl_s: Annotated[int, Meta(ge=60, le=2_419_200)] = 6 * 3600
    budget_minor: Limit | None = None
    channels: Annotated[list[ChannelName], Meta(min_length=1, max_length=4)] = msgspec.field(
        default_factory=lambda: ["push"]
    )
    webhooks: Annotated[list[OfferKey], Meta(max_length=64)] = []
    buttons: Annotated[list[Button], Meta(max_length=len(BUTTONS))] = []
    templates: Annotated[dict[TemplateKey, Words], Meta(max_length=LANGUAGES_MAX)] = {}
    slots: Annotated[int, Meta(ge=1, le=SLOTS_MAX)] = 1
    kind: Literal["marketing", "transactional"] = "marketing"
    is_urgent: bool = False
    contact: Limits = msgspec.field(default_factory=Limits)


def channels_of(campaign: Campaign) -> tuple[Channel, ...]:
    """The channels that its decisions serve; push comes first, if it is one."""
    return tuple(sorted((Channel[name.upper()] for name in campaign.channels), key=lambda one: one is not Channel.PUSH))


class Planning(Kept, frozen=True):
    """How far the planning of an occurrence is: its local start, and the share of all people that has been gone through.

    `obstacle` is why nothing is planned: what makes a new campaign be refused (`no_redeemable_offer`, `no_offer_with_cost`,
    `no_offer_with_margin`), or `payload_too_long`, when no offer fits into a push. It is looked at again each minute.
    """

    occurrence_at: datetime
    is_done: bool
    share: float
    obstacle: str | None


class CampaignOutcomes(Kept, frozen=True):
    """How the pushes of a campaign stand: rows by state, decisions made, and why rows ended without being accepted.

    `accepted` means by FCM; whether a phone shows a message is not known. `reasons` counts the outcomes of the other final states.
    `unknown_attempts` were made without an answer: a marketing push ends as `unknown`, a transactional one is sent again.
    `deliveries` are those of other channels, by channel and state.
    `planning` is of the newest occurrence, null before the first is planned.
    """

    states: dict[str, int]
    decisions: int
    reasons: dict[str, int]
    unknown_attempts: int = 0
    deliveries: dict[str, dict[str, int]] = {}
    planning: Planning | None = None


class StoredCampaign(Kept, frozen=True):
    """A campaign with our own ids."""

    id: UUID
    status: Literal["draft", "active", "paused", "ended"]
    campaign: Campaign

    def is_push_only(self) -> bool:
        """Whether its decisions reach people by push and in no other way."""
        return self.campaign.channels == ["push"]


class CampaignChange(Kept, frozen=True):
    """One thing that was done to a campaign; `campaign` is what it was made or changed to."""

    change: int
    what: What
    changed_at: datetime
    changed_by: str
    campaign: Campaign | None


class CampaignChanges(Kept, frozen=True):
    """A page of changes, the newest first; `next_cursor` leads to the next one and is null on the last."""

    data: list[CampaignChange]
    next_cursor: str | None
    has_more: bool
