"""What the load test sends is what the API takes."""

import csv
import io
import itertools
import os
import subprocess
import sys
import time
from datetime import UTC, datetime

import msgspec
import pytest

from loadtest import processes, requests, world
from loadtest.requests import Requests
from loadtest.wire import Caller
from loadtest.world import World
from schema.decision import DecisionRequest
from schema.event import Batch, Event, Feedback
from schema.redemption import NewRedemption

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
SHOP = World("shop", people=2_000, told=300, offers=40, regions=4, viral_max=7)


def asking() -> Requests:
    return Requests(Caller(1, "sk_x"), SHOP, NOW)


def body_of(request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    assert int(head.rpartition(b"content-length: ")[2]) == len(body)
    return body


def events_of(body: bytes) -> list[Event]:
    return [msgspec.json.decode(bytes(raw), type=Event) for raw in msgspec.json.decode(body, type=Batch).batch]


def test_decisions_are_asked_for_by_many_people_with_a_context() -> None:
    asked = [
        msgspec.json.decode(body_of(request), type=DecisionRequest)
        for request in itertools.islice(asking().decisions(), SHOP.people)
    ]
    assert len({each.user_id for each in asked}) > 1_000
    assert all(each.slots == requests.SLOTS and each.context.basket_tags for each in asked)


def test_those_who_ask_one_after_the_other_do_not_ask_the_same() -> None:
    ask = asking()
    first, second = ask.decisions(), ask.decisions()
    assert [next(first) for _ in range(20)] != [next(second) for _ in range(20)]


def test_no_event_id_comes_twice_even_when_the_bodies_repeat() -> None:
    ask = asking()
    made = list(itertools.islice(ask.event_batches(), requests.EVENT_BODIES + 2))
    made += list(itertools.islice(ask.event_batches(), 2))
    batches = [events_of(body_of(request)) for request in made]
    assert {len(batch) for batch in batches} == {requests.EVENTS_PER_REQUEST}
    ids = [event.event_id for batch in batches for event in batch]
    assert len(set(ids)) == len(ids)
    assert batches[0][0].user_id == batches[requests.EVENT_BODIES][0].user_id


def test_everybody_who_is_told_of_has_a_past() -> None:
    events = [event for body in world.history(SHOP, NOW) for event in events_of(body)]
    assert len(events) == SHOP.told * world.PURCHASES
    assert len({event.user_id for event in events}) == SHOP.told
    assert all(event.type == "purchase" and event.properties["tags"] and event.occurred_at < NOW for event in events)


def test_every_store_has_the_offers_of_its_region_and_one_has_the_viral_one_alone() -> None:
    rows = list(csv.DictReader(io.StringIO(world.offers_csv(SHOP).decode())))
    assert len({row["offer_id"] for row in rows}) == SHOP.offers + 1
    for store in range(SHOP.stores):
        assert sum(f"store-{store}" in row["store_ids"].split(";") for row in rows) == SHOP.eligible == 10
    (viral,) = [row for row in rows if requests.VIRAL_STORE in row["store_ids"].split(";")]
    assert (viral["offer_id"], viral["redemptions_max"]) == (world.VIRAL_OFFER, "7")


def test_feedback_and_redemptions_follow_what_was_decided() -> None:
    ask = asking()
    decision = next(ask.viral_decisions())
    who = msgspec.json.decode(body_of(decision), type=DecisionRequest).user_id
    reserved = "00000000-0000-4000-8000-00000000000a"
    offer = {"offer_id": "viral", "reservation": {"reservation_id": reserved, "expires_at": "2026-03-02T12:15:00Z"}}
    ask.heard(decision, msgspec.json.encode({"decision_id": "d-1", "offers": [offer], "policy": "x"}))
    told = list(itertools.islice(ask.feedback(), 3))
    assert [request.split(b" ")[1] for request in told[:2]] == [b"/v1/decisions/d-1/feedback"] * 2
    feedback = [msgspec.json.decode(body_of(request), type=Feedback) for request in told[:2]]
    assert [(each.type, each.user_id) for each in feedback] == [("shown", who), ("opened", who)]
    assert len(events_of(body_of(told[2]))) == 1
    first, second = (
        msgspec.json.decode(body_of(each), type=NewRedemption) for each in itertools.islice(ask.redemptions(), 2)
    )
    assert str(first.reservation_id) == reserved
    assert (second.offer_id, second.reservation_id) == (world.VIRAL_OFFER, None)


def burn(seconds: float) -> None:
    ends = time.process_time() + seconds
    while time.process_time() < ends:
        pass


def test_the_processor_time_of_a_process_is_seen() -> None:
    before = processes.cpu_s(os.getpid())
    burn(0.1)
    assert processes.cpu_s(os.getpid()) - before == pytest.approx(0.1, abs=0.05)


def test_the_processor_time_of_children_counts_also_when_they_have_ended() -> None:
    before = processes.tree_cpu_s(os.getpid())
    ends = "import time\nwhile time.process_time() < 0.3: pass"
    subprocess.run([sys.executable, "-c", ends], check=True)
    assert processes.tree_cpu_s(os.getpid()) - before > 0.25
    assert processes.others_cpu_s(os.getpid()) > 0
    assert processes.others_cpu_s(1) < processes.tree_cpu_s(1)  # all but the kernel's own descend from the first
    with pytest.raises(ProcessLookupError):
        processes.tree_cpu_s(2**22 + 1)


def test_memory_is_told_in_bytes() -> None:
    before = processes.resident_bytes(os.getpid())
    held = bytearray(os.urandom(50_000_000))
    assert 40_000_000 < processes.resident_bytes(os.getpid()) - before < 120_000_000
    assert len(held) == 50_000_000


def test_a_child_is_found_by_its_words() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()", "serve", "--role", "api"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()
        assert processes.child_with(os.getpid(), ("--role", "api")) == child.pid
        with pytest.raises(LookupError):
            processes.child_with(os.getpid(), ("--role", "worker"))
        child.stdin.close()
