"""What is asked of the server: a shop's offers, people with a past, decisions and events."""

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec
import numpy as np

from loadtest import wire
from schema.event import BatchAnswer

OFFERS: Final = 50
PEOPLE: Final = 2_000
STORES: Final = 40
TAGS_PER_OFFER: Final = 3
TAGS: Final = 60
PURCHASES: Final = 8
"""Purchases in each person's past."""
HISTORY_DAYS: Final = 60
EVENTS_PER_REQUEST: Final = 20
HISTORY_EVENTS_PER_REQUEST: Final = 500
SLOTS: Final = 3
DECISION_BODIES: Final = 2_000
EVENT_BODIES: Final = 200
SEED: Final = 20_261_121

_EVENT_ID: Final = "00000000-0000-4000-8000-%012x"
_KINDS: Final = ("view", "app_open", "purchase", "view")


class NotSetUpError(Exception):
    """The server refused what every run begins with."""


class Caller(NamedTuple):
    """Where requests go and the key they carry."""

    port: int
    key: str

    def post(self, path: str, body: bytes, content_type: str = "application/json") -> bytes:
        """The bytes of a POST."""
        headers = {"authorization": f"Bearer {self.key}", "content-type": content_type}
        return wire.request("POST", path, headers, body)


def person(place: int) -> str:
    """The id of a person, as the app knows it."""
    return f"person-{place:06d}"


def tag(place: int) -> str:
    """A tag of the taxonomy."""
    return f"category-{place:02d}"


def offers_csv() -> bytes:
    """OFFERS offers that everybody may get, in every store."""
    rng = np.random.default_rng(SEED)
    lines = ["offer_id,title,body,tags,discount_type,discount_percent,price,margin,currency,image_url,deep_link"]
    for place in range(OFFERS):
        tags = ";".join(tag(each) for each in rng.choice(TAGS, TAGS_PER_OFFER, replace=False))
        price, margin = rng.integers(80, 900) / 100, rng.integers(10, 70) / 100
        lines.append(
            f"deal-{place:03d},Deal number {place},Only this week in your store,{tags},percent,{rng.integers(5, 50)},"
            f"{price:.2f},{margin:.2f},EUR,https://cdn.example/deal-{place:03d}.webp,shop://deals/deal-{place:03d}"
        )
    return "\n".join(lines).encode()


def history(now: datetime) -> Iterator[bytes]:
    """Bodies of POST /v1/events that give each of PEOPLE a past of PURCHASES purchases."""
    rng = np.random.default_rng(SEED + 1)
    events = (
        {
            "event_id": f"past-{who}-{place}",
            "user_id": person(who),
            "type": "purchase",
            "occurred_at": now - timedelta(seconds=float(rng.uniform(60, HISTORY_DAYS * 86_400))),
            "properties": _basket(rng),
        }
        for who in range(PEOPLE)
        for place in range(PURCHASES)
    )
    while batch := list(itertools.islice(events, HISTORY_EVENTS_PER_REQUEST)):
        yield msgspec.json.encode({"sent_at": now, "batch": batch})


def _basket(rng: np.random.Generator) -> dict[str, object]:
    tags = [tag(each) for each in rng.choice(TAGS, 4, replace=False)]
    return {"tags": tags, "amount": round(float(rng.uniform(2, 40)), 2), "store_id": f"store-{rng.integers(STORES)}"}


def decision_bodies() -> list[bytes]:
    """DECISION_BODIES bodies of POST /v1/decisions, as an app in a store's neighbourhood sends them."""
    rng = np.random.default_rng(SEED + 2)
    return [
        msgspec.json.encode(
            {
                "user_id": person(int(rng.integers(PEOPLE))),
                "placement": "home",
                "slots": SLOTS,
                "context": {
                    "store_id": f"store-{rng.integers(STORES)}",
                    "distance_m": round(float(rng.exponential(900)), 1),
                    "temperature_c": round(float(rng.normal(14, 8)), 1),
                    "is_raining": bool(rng.random() < 0.2),
                    "basket_tags": [tag(each) for each in rng.choice(TAGS, 3, replace=False)],
                },
            }
        )
        for _ in range(DECISION_BODIES)
    ]


def decisions(caller: Caller) -> Iterator[bytes]:
    """Requests for decisions, without end."""
    return itertools.cycle([caller.post("/v1/decisions", body) for body in decision_bodies()])


def event_batches(caller: Caller, now: datetime) -> Iterator[bytes]:
    """Requests with EVENTS_PER_REQUEST events each, of as many people, without end; no event_id comes twice.

    The bodies are made beforehand: a request costs the generator only the printing of its ids.
    """
    for number, body in enumerate(itertools.cycle(event_bodies(now))):
        first = number * EVENTS_PER_REQUEST
        yield caller.post("/v1/events", body % tuple(range(first, first + EVENTS_PER_REQUEST)))


def event_bodies(now: datetime) -> list[bytes]:
    """EVENT_BODIES bodies of POST /v1/events with a `%` place for the number of each event's id."""
    rng = np.random.default_rng(SEED + 3)
    return [
        msgspec.json.encode({"sent_at": now, "batch": [_event(rng, int(who), now) for who in people]})
        for people in (rng.choice(PEOPLE, EVENTS_PER_REQUEST, replace=False) for _ in range(EVENT_BODIES))
    ]


def properties(rng: np.random.Generator, count: int) -> list[dict[str, object]]:
    """Properties of events, of all kinds in the shares of the workload."""
    return [_properties(rng, kind) for kind in rng.choice(_KINDS, count)]


def _properties(rng: np.random.Generator, kind: str) -> dict[str, object]:
    return _basket(rng) if kind == "purchase" else {"screen": "deals"}


def _event(rng: np.random.Generator, who: int, now: datetime) -> dict[str, object]:
    kind = _KINDS[int(rng.integers(len(_KINDS)))]
    event: dict[str, object] = {
        "event_id": _EVENT_ID,
        "user_id": person(who),
        "type": kind,
        "occurred_at": now - timedelta(seconds=float(rng.uniform(1, 3_600))),
        "properties": _properties(rng, kind),
    }
    if kind == "view":
        event["offer_id"] = f"deal-{rng.integers(OFFERS):03d}"
    return event


async def set_up(caller: Caller, now: datetime) -> None:
    """Imports the offers and the past of all people.

    Raises:
        NotSetUpError: anything was refused.
    """
    status, answer = await wire.ask(caller.port, caller.post("/v1/offers/imports", offers_csv(), "text/csv"))
    if status != 200:
        raise NotSetUpError(f"offers: {status} {answer[:500]!r}")
    for body in history(now):
        status, answer = await wire.ask(caller.port, caller.post("/v1/events", body))
        if status != 200 or msgspec.json.decode(answer, type=BatchAnswer).rejected:
            raise NotSetUpError(f"events: {status} {answer[:500]!r}")
