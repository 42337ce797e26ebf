"""The replay: hour by hour what really happened goes in over HTTP, and phones answer what comes out as the baskets dictate.

Tills and phones report an hour when it is over, while the pushes of the new hour are drawn and sent: these do not know it
yet. That keeps one barrier an hour, and it is a disadvantage of the engine alone. Pushes are collected after the barrier too: what
a household does about one it tells in the next hour at the earliest.
"""

import heapq
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta
from typing import Final, NamedTuple
from uuid import UUID

import numpy as np

from schema.campaign import Campaign
from service.demo import deals, local_week
from service.demo.api import Api, Received, TillEvent, instant
from service.demo.board import Board
from service.demo.local_week import FIRST_MONDAY, ZONE
from service.demo.world import REDEEM_WINDOW_S, World

HOUR_S: Final = 3600
DEVICE: Final = "phone"
CAMPAIGN: Final = "weekly-deal"
TAGS_MAX: Final = 64
"""As many as an event may hold; 14 baskets of the year have more categories, and keep those of the deals."""

_RUN_UP_S: Final = 28 * HOUR_S
"""Import ends on the Saturday before, local time: planning is done on Sunday, with a snapshot of that day."""
_BLOCK: Final = 500
_REGISTERED_FOR_S: Final = 26 * 7 * 24 * HOUR_S
"""Phones register again twice a year (a real app does it monthly): an address not heard of for 270 days counts as dead."""


class Answer(NamedTuple):
    """Something a household will do about a push, in the order of time."""

    at_s: int
    household: int
    type: str
    decision_id: UUID
    offer_id: str


class Replay:
    """One run against a server that has just started."""

    def __init__(self, world: World, api: Api, board: Board) -> None:
        self._world = world
        self._api = api
        self._board = board
        self._answers: list[Answer] = []
        self._order = np.lexsort((world.baskets.ids, world.baskets.homes(), world.baskets.at_s))
        self._times_s = world.baskets.at_s[self._order]
        self._homes = world.baskets.homes()
        self._reported = 0
        self._registered_s = 0
        self._users = [f"hh-{one}" for one in world.baskets.household_ids.tolist()]
        self._households = {f"tok-{one}": index for index, one in enumerate(world.baskets.household_ids.tolist())}
        self._deals = {deal.offer_id: index for index, deal in enumerate(world.deals)}
        self._tags = _spelled_tags(world)

    def hours(self) -> int:
        """How many hours `run` replays."""
        return (self._end_s() - self._begin_s()) // HOUR_S

    def prepare(self) -> None:
        """Sets the clock, uploads the deals, lets the phones in, lifts the rules of contact and creates the campaign."""
        self._board.phase = "registering phones and deals"
        self._api.move_clock(self._begin_s() - 1)
        self._api.let_phones_in()
        self._api.lift_contact_rules()
        self._api.upload_offers(deals.as_csv(self._world.deals, self._world.baskets.tag_names))
        self._register_phones(self._begin_s())
        self._api.create_campaign(campaign(self._world.weeks))

    def _register_phones(self, now_s: int) -> None:
        for address, household in self._households.items():
            self._api.register_phone(self._users[household], DEVICE, address, ZONE)
        self._registered_s = now_s

    def import_history(self) -> None:
        """Reports every basket before the run-up."""
        self._board.phase = "importing ten weeks of baskets"
        end = int(np.searchsorted(self._times_s, self._begin_s(), "left"))
        for begin in range(0, end, _BLOCK):
            self._report(
                [self._purchase(place) for place in range(begin, min(begin + _BLOCK, end))], self._begin_s() - 1
            )
        self._reported = end

    def run(self, tick: Callable[[], None]) -> None:
        """Replays hour after hour until the last window has closed; `tick` after each."""
        self._board.phase = "replaying"
        with ThreadPoolExecutor(1, thread_name_prefix="phones") as phones:
            for hour_s in range(self._begin_s(), self._end_s(), HOUR_S):
                self._hour(hour_s, phones)
                if hour_s - self._registered_s >= _REGISTERED_FOR_S:
                    self._api.settle(hour_s)
                    self._register_phones(hour_s)
                tick()
            self._api.settle(hour_s)
            self._receive()

    def _hour(self, hour_s: int, phones: Executor) -> None:
        """Tills and phones report while the worker is at the new hour: what is reported now it counts in the next one, and sorted."""
        self._api.move_clock(hour_s)
        self._board.now_s = hour_s
        self._receive()
        answers = self._due_answers(hour_s)
        opened = phones.submit(self._open, [one for one in answers if one.type == "opened"])
        reported = self._api.report(self._past_events(hour_s, answers), hour_s)
        self._board.events += reported + opened.result()

    def _receive(self) -> None:
        """What phones have received: all of the hours that are done, and some of the one that the worker is at."""
        for message in self._api.new_messages():
            self._take(message)

    def _begin_s(self) -> int:
        return int(self._world.instants_s[0, 0]) - _RUN_UP_S

    def _end_s(self) -> int:
        return int(self._world.instants_s[-1, 0]) + REDEEM_WINDOW_S + HOUR_S

    def _due_answers(self, hour_s: int) -> list[Answer]:
        answers = []
        while self._answers and self._answers[0].at_s < hour_s:
            answers.append(heapq.heappop(self._answers))
        return answers

    def _past_events(self, hour_s: int, answers: Sequence[Answer]) -> list[TillEvent]:
        end = int(np.searchsorted(self._times_s, hour_s, "left"))
        events = [self._purchase(place) for place in range(self._reported, end)]
        self._reported = end
        return events + [self._redemption(one) for one in answers if one.type == "redeemed"]

    def _open(self, answers: Sequence[Answer]) -> int:
        for one in answers:
            self._api.open_push(self._users[one.household], one.decision_id, one.at_s)
        return len(answers)

    def _report(self, events: list[TillEvent], now_s: int) -> None:
        if events:
            self._board.events += self._api.report(events, now_s)

    def _purchase(self, place: int) -> TillEvent:
        basket = int(self._order[place])
        baskets = self._world.baskets
        begin, end = baskets.tag_starts[basket : basket + 2]
        tags = [self._tags[tag] for tag in baskets.tags[begin:end].tolist()]
        return TillEvent(
            event_id=f"basket-{baskets.ids[basket]}",
            type="purchase",
            user_id=self._users[self._homes[basket]],
            occurred_at=instant(int(baskets.at_s[basket])),
            properties={"tags": [name for _, name in sorted(tags)[:TAGS_MAX]]},
        )

    def _redemption(self, answer: Answer) -> TillEvent:
        return TillEvent(
            event_id=f"redeemed-{answer.decision_id}",
            type="redeemed",
            user_id=self._users[answer.household],
            occurred_at=instant(answer.at_s),
            offer_id=answer.offer_id,
        )

    def _take(self, message: Received) -> None:
        """A phone has a push: its household's baskets say what will become of it. A second one in a week is ignored."""
        board = self._board
        board.accepted += 1
        household = self._households[message.address]
        at_s = int(message.received_at.timestamp())
        week = int(local_week.weeks_of(np.array([at_s]))[0])
        data = message.message.data
        place = (household, week)
        if not 0 <= week < self._world.weeks or place in board.decision_ids:
            return
        board.engine.at_s[place] = at_s
        board.engine.deals[place] = deal = self._deals[data.offer_id]
        board.decision_ids[place] = data.decision_id
        opened_s, redeemed_s = self._world.ledger(household).answers(at_s, deal)
        for kind, answered_s, known in (
            ("opened", opened_s, board.opened_at_s),
            ("redeemed", redeemed_s, board.redeemed_at_s),
        ):
            if answered_s is not None:
                known[place] = answered_s
                heapq.heappush(self._answers, Answer(answered_s, household, kind, data.decision_id, data.offer_id))


def campaign(weeks: int) -> Campaign:
    """One deal a household and week, at any hour, sent to everybody for the sake of redemptions."""
    return Campaign(
        campaign_id=CAMPAIGN,
        starts_at=FIRST_MONDAY,
        ends_at=FIRST_MONDAY + timedelta(weeks=weeks),
        default_time_zone=ZONE,
        recurrence="weekly",
        value_open=0.0,
        value_redeem=1.0,
        attention_price=0.0,
        holdout_share=0.0,
        control_share=0.0,
        spread_s=0,
        ttl_s=6 * HOUR_S,
    )


def _spelled_tags(world: World) -> list[tuple[bool, str]]:
    """Each tag's name, and whether it is no deal's: sorted, the deals' come first."""
    of_deals = {deal.tag for deal in world.deals}
    return [(tag not in of_deals, name) for tag, name in enumerate(world.baskets.tag_names)]
