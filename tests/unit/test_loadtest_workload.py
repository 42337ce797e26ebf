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

from loadtest import processes, workload
from loadtest.workload import Caller
from schema.decision import DecisionRequest
from schema.event import Batch, Event

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def body_of(request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    assert int(head.rpartition(b"content-length: ")[2]) == len(body)
    return body


def events_of(body: bytes) -> list[Event]:
    return [msgspec.json.decode(bytes(raw), type=Event) for raw in msgspec.json.decode(body, type=Batch).batch]


def test_decisions_are_asked_for_by_many_people_with_a_context() -> None:
    asked = [
        msgspec.json.decode(body_of(request), type=DecisionRequest)
        for request in itertools.islice(workload.decisions(Caller(1, "sk_x")), workload.DECISION_BODIES)
    ]
    assert len({each.user_id for each in asked}) > 1_000
    assert all(each.slots == workload.SLOTS and each.context.basket_tags for each in asked)


def test_no_event_id_comes_twice_even_when_the_bodies_repeat() -> None:
    requests = itertools.islice(workload.event_batches(Caller(1, "sk_x"), NOW), workload.EVENT_BODIES + 2)
    batches = [events_of(body_of(request)) for request in requests]
    assert {len(batch) for batch in batches} == {workload.EVENTS_PER_REQUEST}
    ids = [event.event_id for batch in batches for event in batch]
    assert len(set(ids)) == len(ids)
    assert batches[0][0].user_id == batches[workload.EVENT_BODIES][0].user_id


def test_everybody_has_a_past() -> None:
    events = [event for body in workload.history(NOW) for event in events_of(body)]
    assert len(events) == workload.PEOPLE * workload.PURCHASES
    assert len({event.user_id for event in events}) == workload.PEOPLE
    assert all(event.type == "purchase" and event.properties["tags"] and event.occurred_at < NOW for event in events)


def test_there_are_as_many_offers_as_said() -> None:
    rows = list(csv.DictReader(io.StringIO(workload.offers_csv().decode())))
    assert len({row["offer_id"] for row in rows}) == workload.OFFERS
    assert all(len(row["tags"].split(";")) == workload.TAGS_PER_OFFER for row in rows)


def test_the_processor_time_of_a_process_is_seen() -> None:
    before = processes.cpu_s(os.getpid())
    ends = time.process_time() + 0.1
    while time.process_time() < ends:
        pass
    assert processes.cpu_s(os.getpid()) - before == pytest.approx(0.1, abs=0.05)


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
