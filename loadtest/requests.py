"""What is asked of the server: decisions, batches of events, feedback, redemptions."""

import itertools
from collections import deque
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final

import msgspec
import numpy as np

from loadtest import world
from loadtest.wire import Caller
from loadtest.world import VIRAL_OFFER, World, person, tag

EVENTS_PER_REQUEST: Final = 20
SLOTS: Final = 3
DECISIONS_MAX: Final = 60_000
"""Made beforehand: as many as there are people, at most so many, so that in a large world nearly each is for somebody else."""
EVENT_BODIES: Final = 200
VIRAL_BODIES: Final = 4_000
_STRIDE: Final = 7_919
VIRAL_STORE: Final = "store-viral"

_EVENT_ID: Final = "00000000-0000-4000-8000-%012x"
_KINDS: Final = ("view", "app_open", "purchase", "view")
_USER: Final = b'"user_id":"'
_REMEMBERED_MAX: Final = 10_000


class _Offered(msgspec.Struct):
    offer_id: str
    reservation: dict[str, str] | None = None


class _Decided(msgspec.Struct):
    decision_id: str
    offers: list[_Offered]


_DECIDED: Final = msgspec.json.Decoder(_Decided)


class Requests:
    """Requests to one server, as many as are wanted; no event_id and no Idempotency-Key comes twice."""

    def __init__(self, caller: Caller, shop: World, now: datetime, seed: int = world.SEED) -> None:
        self.caller = caller
        self._world = shop
        self._now = now
        self._seed = seed
        self._numbers = itertools.count()
        self._decided: deque[tuple[str, bytes]] = deque(maxlen=_REMEMBERED_MAX)
        self._reserved: deque[str] = deque(maxlen=_REMEMBERED_MAX)

    def decision_bodies(self, count: int) -> list[bytes]:
        """Bodies of POST /v1/decisions, as an app in a store's neighbourhood sends them; people are drawn evenly from all."""
        rng = np.random.default_rng(self._seed + 2)
        return [
            msgspec.json.encode(
                {
                    "user_id": person(int(rng.integers(self._world.people))),
                    "placement": "home",
                    "slots": SLOTS,
                    "context": {
                        "store_id": f"store-{rng.integers(self._world.stores)}",
                        "distance_m": round(float(rng.exponential(900)), 1),
                        "temperature_c": round(float(rng.normal(14, 8)), 1),
                        "is_raining": bool(rng.random() < 0.2),
                        "basket_tags": [tag(each) for each in rng.choice(world.TAGS, 3, replace=False)],
                    },
                }
            )
            for _ in range(count)
        ]

    def decisions(self) -> Iterator[bytes]:
        """Requests for decisions, without end; each begins elsewhere in what was made beforehand."""
        made, start = self._decisions, next(self._numbers) * _STRIDE % len(self._decisions)
        return itertools.chain(itertools.islice(made, start, None), itertools.cycle(made))

    @cached_property
    def _decisions(self) -> list[bytes]:
        count = min(self._world.people, DECISIONS_MAX)
        return [self.caller.post("/v1/decisions", body) for body in self.decision_bodies(count)]

    def event_batches(self, size: int = EVENTS_PER_REQUEST) -> Iterator[bytes]:
        """Requests with `size` events each, of as many people, without end.

        The bodies are made beforehand: a request costs the generator only the printing of its ids.
        """
        for body in itertools.cycle(self.event_bodies(size)):
            yield self.caller.post("/v1/events", body % tuple(itertools.islice(self._numbers, size)))

    def event_bodies(self, size: int = EVENTS_PER_REQUEST) -> list[bytes]:
        """EVENT_BODIES bodies of POST /v1/events with a `%` place for the number of each event's id."""
        rng = np.random.default_rng(self._seed + 3)
        return [
            msgspec.json.encode({"sent_at": self._now, "batch": [self._event(rng, int(who)) for who in people]})
            for people in (rng.choice(self._world.people, size, replace=False) for _ in range(EVENT_BODIES))
        ]

    def _event(self, rng: np.random.Generator, who: int) -> dict[str, object]:
        kind = _KINDS[int(rng.integers(len(_KINDS)))]
        event: dict[str, object] = {
            "event_id": _EVENT_ID,
            "user_id": person(who),
            "type": kind,
            "occurred_at": self._now - timedelta(seconds=float(rng.uniform(1, 3_600))),
            "properties": _properties(self._world, rng, kind),
        }
        if kind == "view":
            event["offer_id"] = f"deal-{rng.integers(self._world.offers):05d}"
        return event

    def heard(self, asked: bytes, answer: bytes) -> None:
        """Remembers a decision's answer, for the feedback and the redemptions that follow it."""
        decided = _DECIDED.decode(answer)
        if decided.offers:
            who = asked.partition(_USER)[2].partition(b'"')[0]
            self._decided.append((decided.decision_id, who))
        for offered in decided.offers:
            if offered.reservation is not None:
                self._reserved.append(offered.reservation["reservation_id"])

    def feedback(self) -> Iterator[bytes]:
        """Half shown, half opened, of the oldest decision not told of yet; while there is none, the app tells of its opening."""
        opened = self.event_batches(1)
        for kind in itertools.cycle((b"shown", b"opened")):
            if not self._decided:
                yield next(opened)
                continue
            decision_id, who = self._decided[0] if kind == b"shown" else self._decided.popleft()
            yield self.caller.post(
                f"/v1/decisions/{decision_id}/feedback", b'{"type":"%s","user_id":"%s"}' % (kind, who)
            )

    def viral_decisions(self) -> Iterator[bytes]:
        """One slot in the store that has nothing but the viral offer."""
        rng = np.random.default_rng(self._seed + 5)
        people = rng.integers(self._world.people, size=VIRAL_BODIES).tolist()
        bodies = [
            msgspec.json.encode({"user_id": person(who), "slots": 1, "context": {"store_id": VIRAL_STORE}})
            for who in people
        ]
        return itertools.cycle([self.caller.post("/v1/decisions", body) for body in bodies])

    def redemptions(self) -> Iterator[bytes]:
        """A till's: the oldest reservation not used yet, else the viral offer for anybody who shows its name."""
        rng = np.random.default_rng(self._seed + 6)
        for number in self._numbers:
            if self._reserved:
                wish = {"reservation_id": self._reserved.popleft()}
            else:
                wish = {"user_id": person(int(rng.integers(self._world.people))), "offer_id": VIRAL_OFFER}
            body = msgspec.json.encode(wish | {"store_id": VIRAL_STORE})
            yield self.caller.post("/v1/redemptions", body, idempotency_key=f"till-{number}")


def properties(shop: World, rng: np.random.Generator, count: int) -> list[dict[str, object]]:
    """Properties of events, of all kinds in the shares of the requests."""
    return [_properties(shop, rng, kind) for kind in rng.choice(_KINDS, count)]


def _properties(shop: World, rng: np.random.Generator, kind: str) -> dict[str, object]:
    return world.basket(shop, rng) if kind == "purchase" else {"screen": "deals"}
