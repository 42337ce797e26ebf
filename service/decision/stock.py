"""What is left of offers that have an end, and who has been promised one: a mask before the pmf, and what a batch of decisions takes.

A batch is drawn one decision after the other, each under the mask of what the ones before it have left: so every propensity is that of its
draw. Nothing is locked for that. What the batch took is then written under the locks of the allowances; if others were quicker, the batch is
drawn again under the locks, which changes no draw whose mask was right: its random numbers are those of its id.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
import numpy as np
import numpy.typing as npt

from bandits.delay import WINDOW_S
from bandits.policies import pacing
from schema.decision import LIFE_OF_A_DECISION_S, Channel, DecisionInputs
from schema.ids import stable_entropy, uuid7
from service.decision import prices
from service.decision.ask import Ask, Reserved
from service.decision.prices import PRICED_MAX
from service.store import allowances, reservations
from service.store.allowances import NO_LIMIT, Allowance, Change, holder_of
from service.store.catalogue import Catalogue
from service.store.decision_people import DecisionPerson
from service.store.reservations import IN_APP, Longer, New, Open

VALID_FOR: Final = {
    Channel.PUSH: timedelta(seconds=WINDOW_S),
    Channel.WEBHOOK: timedelta(seconds=WINDOW_S),
    Channel.EMAIL: timedelta(seconds=WINDOW_S),
    Channel.INBOX: timedelta(seconds=WINDOW_S),
    Channel.IN_APP: timedelta(seconds=LIFE_OF_A_DECISION_S),
}

Mask = npt.NDArray[np.bool_]
Asked = tuple[Ask, DecisionPerson]


class Overtaken(Exception):
    """Others took what this batch had found left."""


class Taker(NamedTuple):
    """A decision that tells of offers."""

    user_id: int
    decision_id: UUID
    ask: Ask


class Stock:
    """What is left as a batch of decisions takes of it; `held` are the allowances that the transaction holds, None for none yet."""

    def __init__(
        self,
        catalogue: Catalogue,
        found: Mapping[UUID, Allowance],
        promised: Iterable[Open],
        budgeted: Iterable[UUID],
        now: datetime,
        held: AbstractSet[UUID] | None = None,
    ) -> None:
        self.held = held
        self._catalogue = catalogue
        self._now = now
        self.found = found
        self._ahead = np.zeros(len(catalogue.ids))
        self._count_left = np.full(len(catalogue.ids), NO_LIMIT, np.int64)
        self._minor_left = np.full(len(catalogue.ids), NO_LIMIT, np.int64)
        for place in np.flatnonzero(catalogue.is_limited):
            known = found.get(holder_of(int(catalogue.ids[place])))
            if known is not None:
                self._count_left[place], self._minor_left[place] = known.count_left, known.minor_left
                self._ahead[place] = prices.ahead_of(known, now)
        self._is_left = (self._count_left > 0) & (self._minor_left >= catalogue.cost_minor)
        self._budgets = {one: found[one].minor_left for one in budgeted if one in found}
        self._budgets_ahead = {one: prices.ahead_of(found[one], now) for one in self._budgets}
        self._promised: defaultdict[int, dict[int, Reserved]] = defaultdict(dict)
        for one in promised:
            index = catalogue.index_by_id.get(one.offer_id)
            if index is not None:
                self._promised[one.user_id][index] = Reserved(one.reservation_id, one.expires_at)
        self.new: list[New] = []
        self.longer: list[Longer] = []

    def is_left_for(self, user_id: int, campaign_id: UUID | None) -> Mask:
        """Offers (offers,) that can be promised to this person, or are promised already."""
        budget = None if campaign_id is None else self._budgets.get(campaign_id)
        is_left: Mask = (
            self._is_left.copy() if budget is None else self._is_left & (self._catalogue.cost_minor <= budget)
        )
        if promised := self._promised.get(user_id):
            is_left[list(promised)] = True
        return is_left

    def priced(self, given: DecisionInputs, ask: Ask, mask: Mask) -> DecisionInputs:
        """The inputs of a decision with the shadow prices of what is eligible: what the decisions before it in the batch took counts."""
        places = np.flatnonzero(mask & (self._ahead > pacing.NEGLIGIBLE))
        dearest = places[np.argsort(-self._ahead[places], kind="stable")[:PRICED_MAX]]
        found = [(int(self._catalogue.ids[place]), _price(float(self._ahead[place]))) for place in dearest]
        cost_price = 0.0
        if ask.campaign_id in self._budgets and mask.any():
            typical = float(self._catalogue.cost_minor[mask].mean())
            cost_price = _price(self._budgets_ahead[ask.campaign_id]) / max(typical, 1.0)
        if not found and cost_price == 0.0:
            return given
        return msgspec.structs.replace(given, prices=found, cost_price=cost_price)

    def take(self, taker: Taker, places: Sequence[int]) -> tuple[Reserved | None, ...]:
        """Promises the offers at these places to a person, as far as they have an end; what is promised, by place."""
        return tuple(self._take(taker, place) for place in places)

    def _take(self, taker: Taker, place: int) -> Reserved | None:
        ask, user_id = taker.ask, taker.user_id
        campaign_id = ask.campaign_id if ask.campaign_id in self._budgets else None
        mine = self._promised[user_id]
        if place not in mine and campaign_id is None and not self._catalogue.is_limited[place]:
            return None
        ends_at = self._catalogue.offers[place].offer.ends_at or datetime.max.replace(tzinfo=UTC)
        expires_at = min(self._now + VALID_FOR[ask.channel], ends_at)
        by = IN_APP if ask.channel is Channel.IN_APP else taker.decision_id
        if place in mine:
            known = mine[place]
            mine[place] = Reserved(known.reservation_id, max(known.expires_at, expires_at))
            self.longer.append(Longer(user_id, known.reservation_id, int(self._catalogue.ids[place]), expires_at, by))
        else:
            offer_id, cost = int(self._catalogue.ids[place]), int(self._catalogue.cost_minor[place])
            entropy = stable_entropy(b"reservation", taker.decision_id.bytes, place.to_bytes(4))
            mine[place] = Reserved(uuid7(self._now, entropy), expires_at)
            self.new.append(New(user_id, mine[place].reservation_id, offer_id, campaign_id, cost, expires_at, by))
            self._less(place, cost, campaign_id)
        return mine[place]

    def _less(self, place: int, cost: int, campaign_id: UUID | None) -> None:
        if self._is_paced(holder_of(int(self._catalogue.ids[place]))):
            count, minor = float(self._count_left[place]), float(self._minor_left[place])
            taken = max(pacing.log_ratio(count, count - 1), pacing.log_ratio(minor, minor - cost))
            self._ahead[place] = pacing.ahead(float(self._ahead[place]), taken, 0.0)
        self._count_left[place] -= 1
        self._minor_left[place] -= cost
        self._is_left[place] = self._count_left[place] > 0 and self._minor_left[place] >= cost
        if campaign_id is not None:
            if self._is_paced(campaign_id):
                taken = pacing.log_ratio(self._budgets[campaign_id], self._budgets[campaign_id] - cost)
                self._budgets_ahead[campaign_id] = pacing.ahead(self._budgets_ahead[campaign_id], taken, 0.0)
            self._budgets[campaign_id] -= cost

    def _is_paced(self, holder: UUID) -> bool:
        known = self.found.get(holder)
        return known is not None and known.ends_at is not None


def _price(how_far: float) -> float:
    """With four digits, which are logged."""
    return float(f"{pacing.price(how_far):.4g}")


def is_needed(catalogue: Catalogue, asked: Sequence[Asked]) -> bool:
    """Whether anything that may be drawn has an end."""
    return catalogue.has_limits or any(ask.is_budgeted for ask, _ in asked)


async def look(connection: Any, catalogue: Catalogue, asked: Sequence[Asked], now: datetime) -> Stock:
    """What is left of all offers at this moment, and what these people have been promised."""
    budgeted = _budgeted(asked)
    limited = {holder_of(int(offer_id)) for offer_id in catalogue.ids[catalogue.is_limited]}
    found = await allowances.read(connection, limited | budgeted)
    promised = await reservations.open_of(connection, {person.user_id for _, person in asked})
    return Stock(catalogue, found, promised, budgeted, now)


async def hold(connection: Any, catalogue: Catalogue, asked: Sequence[Asked], now: datetime) -> Stock:
    """As `look`, and so it stays until the caller's transaction ends."""
    budgeted, people = _budgeted(asked), {person.user_id for _, person in asked}
    concerned = catalogue.ids if budgeted else catalogue.ids[catalogue.is_limited]
    promised = {one.offer_id for one in await reservations.open_of(connection, people)}
    holders = {holder_of(offer_id) for offer_id in (*concerned.tolist(), *promised)} | budgeted
    found = await allowances.hold(connection, holders)
    return Stock(catalogue, found, await reservations.open_of(connection, people), budgeted, now, found.keys())


async def write(connection: Any, stock: Stock, now: datetime) -> None:
    """Writes down what was promised, in the caller's transaction.

    Raises:
        Overtaken: it is no longer left; the transaction must be undone.
    """
    changes = _changes(stock.new)
    holders = changes.keys() | {holder_of(one.offer_id) for one in stock.longer}
    if not holders:
        return
    found = stock.found
    if stock.held is None:
        found = await allowances.hold(connection, holders)
        if not all(_fits(change, found[holder]) for holder, change in changes.items()):
            raise Overtaken
    elif not holders <= stock.held:
        raise Overtaken  # to lock more now could be to wait in a circle
    if stock.new and not await reservations.put(connection, stock.new, now):
        raise Overtaken
    if stock.longer and not await reservations.extend(connection, stock.longer):
        raise Overtaken
    await allowances.change(connection, changes)
    paced = {holder: (change, found[holder]) for holder, change in changes.items() if found[holder].ends_at is not None}
    await allowances.pace(
        connection,
        {
            holder: prices.pace_after(known, change.reserved, change.reserved_minor, now)
            for holder, (change, known) in paced.items()
        },
    )


def _budgeted(asked: Sequence[Asked]) -> set[UUID]:
    return {ask.campaign_id for ask, _ in asked if ask.is_budgeted and ask.campaign_id is not None}


def _changes(new: Iterable[New]) -> dict[UUID, Change]:
    changes: defaultdict[UUID, Change] = defaultdict(Change)
    for one in new:
        for holder in (holder_of(one.offer_id), one.campaign_id):
            if holder is not None:
                changes[holder] = changes[holder].plus(Change(reserved=1, reserved_minor=one.discount_minor))
    return changes


def _fits(change: Change, known: Allowance) -> bool:
    return change.reserved <= known.count_left and change.reserved_minor <= known.minor_left
