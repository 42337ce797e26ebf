"""Who asks: apps that report in batches, look, and answer; tills; a merchandiser. Each goes by what has been told so far, not by the clock."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from loadtest import world
from loadtest.faults.caller import Caller
from loadtest.soak import shop
from loadtest.soak.pacing import Pacing
from loadtest.soak.plan import Plan
from loadtest.soak.told import Told
from loadtest.world import person

BATCH: Final = (20, 100)
REPEATED: Final = 0.005
"""Share of batches that are told again."""
KINDS: Final = ("view", "view", "view", "app_open", "app_open", "purchase", "purchase", "purchase", "left_store")
SHOWINGS_MAX: Final = 8
"""Of a batch, those of decisions that have been shown meanwhile; each may bring an opening."""
OPENED: Final = 0.3
EVENTS_PER_DECISION: Final = 100
DECISIONS_PER_SALE: Final = 5
DECISIONS_PER_ANSWER: Final = 10
ANSWERS: Final = ("thumbs_up", "dismissed", "not_now")
SLOTS: Final = 3
_PAST: Final = timedelta(minutes=10)


class _Client:
    def __init__(self, caller: Caller, told: Told, pacing: Pacing, plan: Plan) -> None:
        self._caller = caller
        self._told = told
        self._pacing = pacing
        self._plan = plan
        self._random = caller.random

    def _new_id(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def _user(self) -> str:
        return person(self._random.randrange(self._plan.people))


class Reporter(_Client):
    """Reports what people do and what they were shown, in batches; now and then one twice."""

    async def work(self) -> None:
        """Until the run is over."""
        while count := await self._pacing.next_events(self._random.randint(*BATCH)):
            batch = self._batch(count)
            body = {"sent_at": self._pacing.clock.now().isoformat(), "batch": batch}
            await self._tell(body, is_new=True)
            if self._random.random() < REPEATED:
                await self._tell(body, is_new=False)

    async def _tell(self, body: Mapping[str, Any], *, is_new: bool) -> None:
        retries = self._told.retries
        answer = (await self._caller.call("POST", "/v1/events", body)).body
        count = len(body["batch"])
        if answer["rejected"] or answer["accepted"] + answer["duplicates"] != count:
            self._told.strange.append(f"{count} events were answered {str(answer)[:300]}")
        if is_new:
            self._told.counts.update(event["type"] for event in body["batch"])
            if answer["duplicates"] and self._told.retries == retries:
                self._told.strange.append(f"{answer['duplicates']} of {count} new events were taken for duplicates")
            return
        self._told.repeated += count
        if answer["accepted"]:
            self._told.strange.append(f"{answer['accepted']} events counted as new when told again")

    def _batch(self, count: int) -> list[dict[str, Any]]:
        batch = self._showings(count)
        return batch + [self._event() for _ in range(count - len(batch))]

    def _showings(self, count: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while self._told.seen and len(found) < min(SHOWINGS_MAX, count - 1):
            user_id, decision_id, slot = self._told.seen.popleft()
            about = {"user_id": user_id, "decision_id": decision_id, "slot": slot}
            found.append(self._made("shown") | about)
            if self._random.random() < OPENED:
                found.append(self._made("opened") | about)
        return found

    def _event(self) -> dict[str, Any]:
        kind = self._random.choice(KINDS)
        event = self._made(kind) | {"user_id": self._user()}
        if kind == "purchase":
            tags = [world.tag(place) for place in self._random.sample(range(world.TAGS), 4)]
            store = f"store-{self._random.randrange(shop.STORES)}"
            event["properties"] = {"tags": tags, "amount": round(self._random.uniform(2, 40), 2), "store_id": store}
        elif kind == "view":
            event["offer_id"] = f"coded-{self._random.randrange(shop.CODED)}"
        return event

    def _made(self, kind: str) -> dict[str, Any]:
        at = self._pacing.clock.now() - self._random.random() * _PAST
        return {"event_id": self._new_id(), "type": kind, "occurred_at": at.isoformat()}


class App(_Client):
    """Asks for decisions, and says of some what the person thinks."""

    async def work(self) -> None:
        """Until the run is over."""
        while await self._pacing.until_told(self._told.decided * EVENTS_PER_DECISION):
            self._told.decided += 1
            user_id = self._user()
            basket = [world.tag(place) for place in self._random.sample(range(world.TAGS), 3)]
            context = {"store_id": f"store-{self._random.randrange(shop.STORES)}", "basket_tags": basket}
            body = {"user_id": user_id, "slots": SLOTS, "context": context}
            answer = (await self._caller.call("POST", "/v1/decisions", body)).body
            decision_id = answer["decision_id"]
            self._told.seen.extend((user_id, decision_id, slot) for slot in range(len(answer["offers"])))
            if answer["offers"] and self._told.decided % DECISIONS_PER_ANSWER == 0:
                await self._answer(user_id, decision_id)

    async def _answer(self, user_id: str, decision_id: str) -> None:
        kind = self._random.choice(ANSWERS)
        body = {"type": kind, "user_id": user_id, "slot": 0}
        await self._caller.call("POST", f"/v1/decisions/{decision_id}/feedback", body)
        self._told.counts[kind] += 1
        self._told.answers += 1


class Till(_Client):
    """Redeems by code, each sale under its own Idempotency-Key."""

    async def work(self) -> None:
        """Until the run is over."""
        per_sale = EVENTS_PER_DECISION * DECISIONS_PER_SALE
        while await self._pacing.until_told((self._told.sales_made + self._told.sales_refused) * per_sale):
            body = {"user_id": self._user(), "code": shop.code_of(self._random.randrange(shop.CODED))}
            answer = await self._caller.call("POST", "/v1/redemptions", body, self._new_id(), expected=(409,))
            if answer.is_success:
                self._told.sales_made += 1
            else:
                self._told.sales_refused += 1


class Merchandiser(_Client):
    """Changes a price about every hour, and makes tomorrow's campaign every day."""

    async def work(self) -> None:
        """Until the run is over."""
        clock = self._pacing.clock
        made_for = clock.shown
        while await self._pacing.until_told(self._told.edits * self._plan.events / (self._plan.days * 24)):
            number, self._told.edits = self._told.edits % shop.CODED, self._told.edits + 1
            await self._caller.call("PUT", f"/v1/offers/coded-{number}", shop.offer(number, self._told.edits))
            tomorrow = clock.now() + timedelta(days=1)
            if tomorrow.date() > made_for.date():
                made_for = tomorrow
                await self._caller.call("POST", "/v1/campaigns", shop.daily(tomorrow), key=f"{tomorrow:%Y%m%d}")
