"""What a campaign must be before it is stored: a window that lies ahead, known offers, and something of value to give."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from push.campaign.occurrences import LATEST_ZONE
from schema.campaign import EARLIEST_ZONE, Campaign, channels_of
from schema.external_id import DOTS
from schema.problem import Code, FieldError
from service.decision import gains
from service.planning import audience_checks, contact_checks, template_checks, trigger_checks
from service.store import zones
from service.store.catalogue import Catalogue

EARLIEST: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - local times have no zone
LATEST: Final = datetime(2200, 1, 1)  # noqa: DTZ001 - local times have no zone
NO_VALUE: Final = "A message without value must not be sent: name an offer that gives something (a discount, a code, or is_redeemable) and runs during the campaign, or add one."
NO_MARGIN: Final = "What a push adds cannot be told: of the offers that can be sent none has margin_minor above 0 (what a piece earns without the discount), with price_minor if the discount is a percentage, in the campaign's currency {}."

NO_COST: Final = "A budget cannot be kept: of the offers that can be sent none has a discount whose cost is known (an amount, or a percentage of a price) in the campaign's currency {}."


def problems(campaign: Campaign, catalogue: Catalogue, now: datetime) -> Iterator[FieldError]:
    """Every field that is wrong."""
    if campaign.campaign_id in DOTS:
        yield _wrong("/campaign_id", "Dots alone cannot stand at the end of a path: the campaign could not be ended.")
    instants = {"/starts_at": campaign.starts_at, "/ends_at": campaign.ends_at}
    outside = [pointer for pointer, instant in instants.items() if not EARLIEST <= instant < LATEST]
    if outside:
        yield from (_wrong(pointer, "A campaign lies between the years 2000 and 2200.") for pointer in outside)
    elif campaign.ends_at <= campaign.starts_at:
        yield _wrong("/ends_at", "The end must be after the start.")
    elif campaign.ends_at.replace(tzinfo=UTC) + LATEST_ZONE <= now:
        yield _wrong("/ends_at", "The campaign would be over in every time zone.")
    if not zones.is_known(campaign.default_time_zone):
        detail = "This time zone is unknown; send a name of the IANA database, such as America/New_York."
        yield _wrong("/default_time_zone", detail)
    for index, name in enumerate(campaign.offers):
        if name not in catalogue.index_by_external:
            yield _wrong(f"/offers/{index}", "There is no offer with this offer_id.")
    yield from audience_checks.of_audience(campaign.audience, "/audience")
    yield from contact_checks.of_limits(campaign.contact, "/contact")
    yield from trigger_checks.of_trigger(campaign, catalogue)
    names = np.flatnonzero(live(campaign, catalogue, now)).tolist() if campaign.templates else ()
    yield from template_checks.of_templates(campaign, [catalogue.offers[place].offer for place in names])
    if campaign.is_urgent and campaign.kind != "transactional":
        yield _wrong(
            "/is_urgent", "Only what is transactional can be urgent: marketing waits until quiet hours are over."
        )
    yield from _of_channels(campaign)
    if campaign.goal == "incremental_value":
        yield from _of_gain(campaign, catalogue)


def spelled(campaign: Campaign) -> Campaign:
    """The same with its tags and languages in their one spelling."""
    audience, contact = audience_checks.spelled(campaign.audience), contact_checks.spelled(campaign.contact)
    return template_checks.with_spelled_keys(msgspec.structs.replace(campaign, audience=audience, contact=contact))


def _of_channels(campaign: Campaign) -> Iterator[FieldError]:
    if len(set(campaign.channels)) < len(campaign.channels):
        yield _wrong("/channels", "A channel is named once.")
    if len(set(campaign.buttons)) < len(campaign.buttons):
        yield _wrong("/buttons", "A button is named once.")
    if campaign.slots > 1 and "email" not in campaign.channels:
        yield _wrong("/slots", "Only an e-mail tells of several offers: name the channel email, or one slot.")
    elif campaign.slots > 1 and campaign.goal == "incremental_value":
        yield _wrong("/slots", "What a push adds is learned from pushes of one offer: take one slot, or another goal.")
    if campaign.goal == "incremental_value" and "push" not in campaign.channels:
        detail = "What a push adds can be learned from pushes alone: name push too, or take another goal."
        yield _wrong("/channels", detail)


def _of_gain(campaign: Campaign, catalogue: Catalogue) -> Iterator[FieldError]:
    """What makes no sense where a push is worth the margin it adds."""
    for pointer, is_set in (
        ("/value_open", campaign.value_open != 0.0),
        ("/value_redeem", campaign.value_redeem != 1.0),
    ):
        if is_set:
            yield _wrong(pointer, "With goal incremental_value a push is worth the margin it adds; leave this out.")
    for index, name in enumerate(campaign.offers):
        place = catalogue.index_by_external.get(name)
        if place is None:
            continue
        offer = catalogue.offers[place].offer
        if offer.margin_minor <= 0:
            yield _wrong(f"/offers/{index}", "This offer has no margin_minor: what a push of it adds cannot be told.")
        elif not offer.has_worth():
            detail = "This offer has no price_minor: what its percentage takes of the margin cannot be told."
            yield _wrong(f"/offers/{index}", detail)
        elif offer.currency != campaign.currency:
            detail = f"This offer is in {offer.currency}, the campaign in {campaign.currency} (see currency)."
            yield _wrong(f"/offers/{index}", detail)


def refusal(campaign: Campaign, catalogue: Catalogue, now: datetime) -> tuple[Code, str] | None:
    """Code and words for why it would have nothing to send: some offer must give something and, where the gain counts, have a margin."""
    is_live = live(campaign, catalogue, now)
    if not is_live.any():
        return "no_redeemable_offer", NO_VALUE
    if campaign.budget_minor is not None and not (is_live & catalogue.has_cost_in(campaign.currency)).any():
        return "no_offer_with_cost", NO_COST.format(campaign.currency)
    if campaign.goal == "incremental_value" and not (is_live & gains.is_priced(catalogue, campaign.currency)).any():
        return "no_offer_with_margin", NO_MARGIN.format(campaign.currency)
    return None


def live(campaign: Campaign, catalogue: Catalogue, now: datetime) -> npt.NDArray[np.bool_]:
    """Offers it may send that can be redeemed, are not paused, go by all its channels, and run at some time of what is left of it."""
    begins = max((campaign.starts_at.replace(tzinfo=UTC) - EARLIEST_ZONE).timestamp(), now.timestamp())
    ends = (campaign.ends_at.replace(tzinfo=UTC) + LATEST_ZONE).timestamp()
    is_live: npt.NDArray[np.bool_] = catalogue.is_redeemable & ~catalogue.is_paused
    for channel in channels_of(campaign):
        is_live &= (catalogue.channels >> channel & 1) == 1
    is_live &= (catalogue.starts_at < ends) & (begins < catalogue.ends_at)
    if campaign.offers:
        known = catalogue.index_by_external
        is_named = np.zeros(len(is_live), np.bool_)
        is_named[[known[name] for name in campaign.offers if name in known]] = True
        is_live &= is_named
    return is_live


def _wrong(pointer: str, detail: str) -> FieldError:
    return FieldError(pointer=pointer, code="invalid_field", detail=detail)
