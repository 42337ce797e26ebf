"""Apps and tills that send events, ask for decisions and answer them until it is acknowledged, and a ledger of what they were told."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any, Final, NamedTuple

import httpx

REPLAY_SHARE: Final = 0.05
PATIENCE_S: Final = 40.0
"""Nothing may stay unanswered for longer, whatever is killed."""
TIMEOUT_S: Final = 10.0
PAUSE_S: Final = 0.05
TAGS: Final = tuple(f"tag-{n}" for n in range(20))


class Answered(NamedTuple):
    """A decision as the app was told of it."""

    user_id: str
    offers: list[str]


@dataclass
class Ledger:
    """What was acknowledged. `events` are by their event_id, `feedback` by (decision, slot, type)."""

    events: dict[str, str] = field(default_factory=dict)
    decisions: dict[str, Answered] = field(default_factory=dict)
    feedback: dict[tuple[str, int, str], str] = field(default_factory=dict)
    vetoes: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    watermarks: dict[str, str] = field(default_factory=dict)
    replayed: int = 0
    retries: int = 0
    strange: list[str] = field(default_factory=list)

    def heard(self, user_id: str, answer: Mapping[str, Any], known: str) -> None:
        """Notes a watermark; one before `known`, which was told before the question, is strange.

        But for what was decided by a remembered row while PostgreSQL was away: that row knows what it knew then, and says so.
        """
        told = answer.get("feedback_applied_through") or ""
        if told < known and not answer.get("degraded"):
            self.strange.append(f"the watermark of {user_id} went from {known} back to {told}")
        self.watermarks[user_id] = max(told, self.watermarks.get(user_id, ""))


class Client:
    """One app with a connection of its own, its choices drawn from `seed`; it repeats a request until it is answered."""

    def __init__(self, http: httpx.AsyncClient, ledger: Ledger, people: int, seed: str) -> None:
        self._http = http
        self._ledger = ledger
        self._people = people
        self._random = Random(seed)
        self._name = seed
        self._sent = 0
        self._batches: list[dict[str, Any]] = []

    async def report_until(self, is_over: Callable[[], bool]) -> None:
        """Sends batches of events, and some of them again."""
        while not is_over():
            if self._batches and self._random.random() < REPLAY_SHARE:
                await self._replay(self._random.choice(self._batches))
            else:
                await self._report()
            await asyncio.sleep(PAUSE_S)

    async def decide_until(self, is_over: Callable[[], bool]) -> None:
        """Asks for decisions and says what became of them."""
        while not is_over():
            user_id = self._user()
            known, vetoed = self._ledger.watermarks.get(user_id, ""), set(self._ledger.vetoes[user_id])
            answer = await self.call("POST", "/v1/decisions", {"user_id": user_id, "slots": 2})
            offers = [offer["offer_id"] for offer in answer["offers"]]
            self._ledger.decisions[answer["decision_id"]] = Answered(user_id, offers)
            self._ledger.heard(user_id, answer, known)
            if vetoed & set(offers):
                self._ledger.strange.append(f"{user_id} was offered {offers} after {vetoed} were vetoed")
            for slot, offer_id in enumerate(offers):
                await self._react(user_id, answer["decision_id"], slot, offer_id)
            await asyncio.sleep(PAUSE_S)

    async def call(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON of the answer; sent again after a lost connection or a 503."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_S
        while True:
            try:
                answer = await self._http.request(method, path, json=body)
            except httpx.TransportError as error:
                why = repr(error)
            else:
                if answer.is_success:
                    return answer.json()
                why = f"{answer.status_code} {answer.text[:300]}"
                if answer.status_code != 503 or "retry-after" not in answer.headers:
                    self._ledger.strange.append(f"{method} {path}: {why}")
            self._ledger.retries += 1
            assert loop.time() < deadline, f"{method} {path} was not answered in {PATIENCE_S} s: {why}"
            await asyncio.sleep(self._random.uniform(0.05, 0.3))

    def _user(self) -> str:
        return f"user-{self._random.randrange(self._people)}"

    def _event(self, **more: Any) -> dict[str, Any]:
        self._sent += 1
        return {"event_id": f"{self._name}-{self._sent}", "occurred_at": datetime.now(UTC).isoformat(), **more}

    async def _report(self) -> None:
        batch = [self._any_event() for _ in range(self._random.randint(5, 30))]
        body = {"sent_at": datetime.now(UTC).isoformat(), "batch": batch}
        answer = await self.call("POST", "/v1/events", body)
        if answer["rejected"] or answer["accepted"] + answer["duplicates"] != len(batch):
            self._ledger.strange.append(f"{len(batch)} events were answered {answer}")
        self._ledger.events |= {event["event_id"]: event["user_id"] for event in batch}
        self._batches.append(body)

    def _any_event(self) -> dict[str, Any]:
        kind = self._random.choice(["purchase", "purchase", "app_open", "view"])
        tags = {} if kind == "app_open" else {"tags": self._random.sample(TAGS, 3)}
        return self._event(type=kind, user_id=self._user(), properties=tags)

    async def _replay(self, body: dict[str, Any]) -> None:
        answer = await self.call("POST", "/v1/events", body)
        self._ledger.replayed += len(body["batch"])
        if answer["accepted"]:
            self._ledger.strange.append(f"{answer['accepted']} events that were acknowledged counted as new")

    async def _react(self, user_id: str, decision_id: str, slot: int, offer_id: str) -> None:
        await self._feedback(user_id, decision_id, slot, "shown")
        if self._random.random() < 0.5:
            await self._feedback(user_id, decision_id, slot, "opened")
        if self._random.random() < 0.2:  # the same fact by the other lane
            told = {"decision_id": decision_id, "slot": slot, "user_id": user_id}
            event = self._event(type="opened", **told)
            body = {"sent_at": datetime.now(UTC).isoformat(), "batch": [event]}
            await self.call("POST", "/v1/events", body)
            self._ledger.events[event["event_id"]] = user_id
        if self._random.random() < 0.3:
            await self._feedback(user_id, decision_id, slot, "redeemed")
        if self._random.random() < 0.05:
            await self._feedback(user_id, decision_id, slot, "thumbs_down")
            self._ledger.vetoes[user_id].add(offer_id)

    async def _feedback(self, user_id: str, decision_id: str, slot: int, kind: str) -> None:
        known = self._ledger.watermarks.get(user_id, "")
        body = {"type": kind, "slot": slot, "user_id": user_id}
        answer = await self.call("POST", f"/v1/decisions/{decision_id}/feedback", body)
        self._ledger.feedback[decision_id, slot, kind] = user_id
        self._ledger.heard(user_id, answer, known)
