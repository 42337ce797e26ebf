"""Apps that report and ask, and tills that redeem, each acting by its own random numbers until the load is over."""

import asyncio
import itertools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from loadtest import wire
from loadtest.faults.caller import Caller
from loadtest.faults.ledger import Ledger, Sale, Told
from loadtest.faults.town import PEOPLE, TAGS, Town, person

REPLAY_SHARE: Final = 0.05
KEYED_SHARE: Final = 0.5
PAUSE_S: Final = 0.02
REPORT_EVERY_S: Final = 0.1
VIEW_EVERY_S: Final = 0.1
VIEWED: Final = 10
"""People who come so often that every API worker remembers them."""
REFUSED: Final = (wire.GONE, 429, 503, 507)
EVENTS_MAX: Final = 20
TRIGGERING_SHARE: Final = 0.1

IsOver = Callable[[], bool]


def now() -> str:
    """The instant, as JSON has it."""
    return datetime.now(UTC).isoformat()


class _Client:
    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._random = caller.random
        self._ledger: Ledger = caller.ledger

    def _user(self) -> str:
        return person(self._random.randrange(PEOPLE))

    def _new_id(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))

    def _replays(self) -> bool:
        return self._random.random() < REPLAY_SHARE


class Reporter(_Client):
    """Reports what people do, in batches; some batches are told again."""

    async def work(self, is_over: IsOver) -> None:
        """Until the load is over."""
        last: Mapping[str, Any] | None = None
        while not is_over():
            if last is not None and self._replays():
                await self._replay(last)
            last = await self.report(self._random.randint(1, EVENTS_MAX))
            await asyncio.sleep(REPORT_EVERY_S)

    async def report(self, count: int) -> Mapping[str, Any]:
        """So many events in one request; gives its body."""
        batch = [self._event() for _ in range(count)]
        body = {"sent_at": now(), "batch": batch}
        answer = (await self._caller.call("POST", "/v1/events", body)).body
        if answer["rejected"] or answer["accepted"] + answer["duplicates"] != count:
            self._ledger.strange.append(f"{count} events were answered {answer}")
        self._ledger.events |= {event["event_id"]: event["user_id"] for event in batch}
        return body

    async def _replay(self, body: Mapping[str, Any]) -> None:
        answer = (await self._caller.call("POST", "/v1/events", body)).body
        self._ledger.replayed += 1
        if answer["accepted"]:
            self._ledger.strange.append(f"{answer['accepted']} acknowledged events counted as new when told again")

    def _event(self) -> dict[str, Any]:
        kind = self._random.choice(("purchase", "purchase", "app_open", "view"))
        if self._random.random() < TRIGGERING_SHARE:
            kind = "left_store"
        tags = {"tags": self._random.sample(TAGS, 3)} if kind in {"purchase", "view"} else {}
        return {
            "event_id": self._new_id(),
            "user_id": self._user(),
            "type": kind,
            "occurred_at": now(),
            "properties": tags,
        }


class App(_Client):
    """Asks what to show, and says what became of it."""

    async def work(self, is_over: IsOver) -> None:
        """Until the load is over."""
        while not is_over():
            user_id = self._user()
            vetoed = set(self._ledger.vetoes[user_id])
            answer = await self._decide(user_id)
            await self._react(user_id, answer["decision_id"], self._shown(user_id, answer, vetoed))
            await asyncio.sleep(PAUSE_S)

    def _shown(self, user_id: str, answer: Any, vetoed: set[str]) -> tuple[str, ...]:
        """The offers of an answer, none of which may be among those that were vetoed before it was asked for."""
        offers = tuple(offer["offer_id"] for offer in answer["offers"])
        if vetoed & set(offers):
            self._ledger.strange.append(f"{user_id} was offered {offers} after {vetoed} were vetoed")
        return offers

    async def _decide(self, user_id: str) -> Any:
        key = self._new_id() if self._random.random() < KEYED_SHARE else ""
        body = {"user_id": user_id, "slots": self._random.choice((1, 1, 2))}
        answer = (await self._caller.call("POST", "/v1/decisions", body, key)).body
        self._note(user_id, answer)
        if key and self._replays():
            again = (await self._caller.call("POST", "/v1/decisions", body, key)).body
            self._ledger.replayed += 1
            if again["decision_id"] != answer["decision_id"]:
                self._ledger.strange.append(f"the key {key} gave two decisions")
        return answer

    def _note(self, user_id: str, answer: Any) -> None:
        offers = tuple(offer["offer_id"] for offer in answer["offers"])
        self._ledger.decisions[answer["decision_id"]] = Told(user_id, offers, bool(answer.get("degraded")))
        for offer in answer["offers"]:
            if reserved := offer.get("reservation"):
                self._ledger.promised.append((user_id, reserved["reservation_id"]))

    async def _react(self, user_id: str, decision_id: str, offers: tuple[str, ...]) -> None:
        for slot, offer_id in enumerate(offers):
            kinds = ["shown"]
            kinds += ["opened"] if self._random.random() < 0.4 else []
            kinds += ["thumbs_down"] if self._random.random() < 0.02 else []
            for kind in kinds:
                body = {"type": kind, "slot": slot, "user_id": user_id}
                await self._caller.call("POST", f"/v1/decisions/{decision_id}/feedback", body)
                self._ledger.feedback[decision_id, slot, kind] = user_id
                if kind == "thumbs_down":
                    self._ledger.vetoes[user_id].add(offer_id)


class Viewer(App):
    """Asks once and takes a refusal for an answer; says what became of decisions made without the database when there are others again."""

    async def work(self, is_over: IsOver) -> None:
        """Until the load is over and all is said."""
        unsaid: list[tuple[str, str, tuple[str, ...]]] = []
        while not is_over():
            user_id = person(self._random.randrange(VIEWED))
            vetoed = set(self._ledger.vetoes[user_id])
            answer = await self._caller.ask("POST", "/v1/decisions", {"user_id": user_id})
            if answer.is_success:
                self._note(user_id, answer.body)
                told = (user_id, answer.body["decision_id"], self._shown(user_id, answer.body, vetoed))
                if answer.body.get("degraded"):
                    unsaid.append(told)
                elif unsaid:
                    await self._react(*unsaid.pop(0))
            elif answer.status not in REFUSED:
                self._ledger.strange.append(f"a decision was answered {answer.status} {str(answer.body)[:200]}")
            await asyncio.sleep(VIEW_EVERY_S)
        for one in unsaid:
            await self._react(*one)


class Till(_Client):
    """Redeems what is scarce, by code or by what an app was promised, each sale under its own Idempotency-Key."""

    def __init__(self, caller: Caller, town: Town, sales: "itertools.count[int]") -> None:
        super().__init__(caller)
        self._town = town
        self._sales = sales

    async def work(self, is_over: IsOver) -> None:
        """Until the load is over."""
        while not is_over():
            await self._sell(next(self._sales))
            await asyncio.sleep(PAUSE_S)

    async def _sell(self, number: int) -> None:
        key = self._new_id()
        body = self._wish(number) | {"reference": key}
        told = await self._redeem(key, body)
        if self._replays():
            self._ledger.replayed += 1
            again = await self._redeem(key, body)
            # What was refused may be given later, when a promise has run out; what was given stays given.
            if isinstance(told, Sale) and again != told:
                self._ledger.strange.append(f"the sale {key} was answered {told}, then {again}")

    def _wish(self, number: int) -> dict[str, Any]:
        if self._ledger.promised and self._random.random() < 0.5:
            return {"reservation_id": self._ledger.promised.popleft()[1]}
        return {"user_id": self._user(), "code": self._town.code_of(number)}

    async def _redeem(self, key: str, body: Mapping[str, Any]) -> Sale | str:
        answer = await self._caller.call("POST", "/v1/redemptions", body, key, expected=(409,))
        if answer.status == 409:
            code = str(answer.body["code"])
            self._ledger.refusals[key] = code
            return code
        sale = self._ledger.sales[key] = Sale(answer.body["redemption_id"], answer.body["offer_id"])
        self._ledger.refusals.pop(key, None)
        return sale
