"""What a soak judges by: a slope that no outlier moves, the shape of a day, and plans as PostgreSQL's log has them."""

import asyncio
import json
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loadtest.soak import errors, exposition, past, plan_watch
from loadtest.soak.explained import Explained, Log, entries
from loadtest.soak.pacing import Pacing
from loadtest.soak.plan import BEGINS_AT, FULL, NoRoomError, SoakClock, check_room
from loadtest.soak.plan_watch import PlanWatch
from loadtest.soak.shape import HOURLY, Shape
from loadtest.soak.told import Told
from loadtest.soak.trend import rise, trend

ROWS = {"events_20300107": 50_000.0, "tags": 60.0}


def test_the_slope_is_that_of_the_second_half_and_no_outlier_moves_it() -> None:
    x = np.linspace(0.0, 20.0, 200)
    y = np.where(x < 10.0, 50.0 * x, 500.0 + 3.0 * (x - 10.0))
    y[[120, 150, 180]] = 10_000.0
    found = trend(x.tolist(), y.tolist())
    assert found is not None
    assert found.slope == pytest.approx(3.0, rel=0.01)
    assert found.growth == pytest.approx(30.0, rel=0.05)


def test_what_goes_up_and_down_does_not_grow() -> None:
    x = np.linspace(0.0, 20.0, 1_500)
    found = trend(x.tolist(), (100.0 + 20.0 * np.sin(x * 7.0)).tolist())
    assert found is not None
    assert abs(found.slope) < 0.5


def test_of_few_points_or_of_one_instant_nothing_is_said() -> None:
    assert trend([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]) is None
    assert trend([1.0] * 50, [float(n) for n in range(50)]) is None


def test_a_rise_is_from_the_second_quarter_to_the_last() -> None:
    assert rise([0.0] * 10 + [8.0] * 20 + [9.0] * 10) == 1.0
    assert rise([1.0, 2.0]) == 0.0


def test_traffic_has_a_trough_at_night_and_a_peak_at_noon_and_comes_to_everything() -> None:
    shape = Shape(8.5)
    hour = 1 / 24
    shares = [shape.share_by((n + 1) * hour) - shape.share_by(n * hour) for n in range(24)]
    assert shares.index(max(shares)) == HOURLY.index(max(HOURLY)) == 12
    assert max(shares) / min(shares) == pytest.approx(max(HOURLY) / min(HOURLY))
    assert [shape.share_by(days) for days in (-1.0, 0.0, 8.5, 9.0)] == [0.0, 0.0, 1.0, 1.0]
    friday, sunday = (shape.share_by(day + 1.0) - shape.share_by(float(day)) for day in (4, 6))
    assert friday / sunday == pytest.approx(118 / 74)


async def test_a_run_that_is_told_to_end_ends_its_traffic() -> None:
    clock = SoakClock(BEGINS_AT, datetime.now(UTC), 60.0)
    pacing = Pacing(FULL, clock, Told())
    with pacing.ended_by_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await pacing.next_events(100) == 0
            assert not await pacing.until_told(1)
    assert pacing.is_over


async def test_no_more_is_told_than_is_due_and_all_of_it_in_the_end() -> None:
    plan = FULL._replace(events=250, days=0.5, minutes_max=1.0)
    clock = SoakClock(BEGINS_AT, datetime.now(UTC) - timedelta(hours=6), 1.0)
    told = Told()
    pacing = Pacing(plan, clock, told)
    due = 250 * Shape(0.5).share_by(0.25)
    batches = []
    while sum(batches) + 10 <= due:
        batches.append(await pacing.next_events(10))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await pacing.next_events(10)
    late = Pacing(plan, clock._replace(since=clock.since - timedelta(hours=7)), told)
    async with asyncio.timeout(10):
        assert [await late.next_events(100) for _ in range(3)] == [100, 100, 50]
        told.counts["view"] = 250
        assert await late.next_events(1) == 0


def node(kind: str, table: str = "", **more: Any) -> dict[str, Any]:
    return {"Node Type": kind, **({"Relation Name": table} if table else {}), **more}


def logged(statement: str, plan: dict[str, Any]) -> str:
    body = json.dumps({"Query Text": statement, "Plan": plan}, indent=2).replace("\n", "\n\t")
    return f"2026-11-22 22:36:13.123 UTC [42] LOG:  duration: 0.031 ms  plan:\n\t{body}\n"


def test_plans_are_read_from_the_log_though_it_ends_in_the_middle_of_one(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("2026-11-22 LOG:  before\n")
    reader = Log(log)
    first = logged("select  *\nfrom events", node("Append", Plans=[node("Seq Scan", "events_20300107")]))
    second = logged("select 2", node("Result"))
    text = first + "2026-11-22 22:36:14.000 UTC [43] LOG:  checkpoint starting: time\n" + second + "2026-11-22 22:36:15"
    with log.open("a") as written:
        written.write(text[:150])
    assert reader.read() == []
    with log.open("a") as written:
        written.write(text[150:])
    found = reader.read()
    assert [one.statement for one in found] == ["select * from events", "select 2"]
    assert found[0].scans() == {"events_20300107"}
    assert found[0].shape() == "Append Seq Scan(events)"
    assert reader.read() == []


def test_an_entry_that_is_no_plan_is_passed_over() -> None:
    assert list(entries("2026 ERROR:  no\n\tDETAIL\n2026 LOG:  duration: 1 ms  plan:\n")) == []


def test_a_statement_that_reads_a_large_table_whole_has_turned_unless_it_does_so_by_design() -> None:
    watch = PlanWatch()
    whole = node("Seq Scan", "events_20300107")
    watch.hear([Explained("select 1 from events", node("Index Scan", "events_20300107"))] * 3, ROWS, 0.1)
    watch.hear([Explained("select 1 from tags", node("Seq Scan", "tags"))], ROWS, 0.5)
    watch.hear([Explained("copy (select * FROM exposures where feature_set = 2) to stdout", whole)], ROWS, 0.5)
    assert plan_watch.turned(watch.seen()) == []
    watch.hear([Explained("select 1 from events", whole)], ROWS, 1.0)
    (turned,) = plan_watch.turned(watch.seen())
    assert turned.count == {"beginning": 3, "end": 1}
    assert turned.scans == {"events": 1}
    assert turned.shapes == {"beginning": ["Index Scan(events)"], "end": ["Seq Scan(events)"]}


def test_metrics_are_summed_over_processes_and_of_gauges_the_largest_counts() -> None:
    text = """# HELP welltimed_failures_total x
welltimed_failures_total{what="fold",worker="12"} 1.0
welltimed_failures_total{what="fold",worker="13"} 2.0
welltimed_epoch{worker="12"} 4.0
welltimed_epoch{worker="13"} 3.0
welltimed_decision_seconds_count{worker="12"} 9.0
"""
    found = exposition.summed(text)
    assert found == {'welltimed_failures_total{what="fold"}': 3.0, "welltimed_epoch": 4.0}
    assert exposition.total(found, "welltimed_failures_total") == 3.0


def test_days_are_gone_when_what_is_in_them_is_too_old_and_there_from_the_first_to_tomorrow() -> None:
    now = datetime(2030, 1, 9, 0, 10, tzinfo=UTC)
    made = [
        f"{table}_{BEGINS_AT - past.EVENTS_KEPT_FOR + timedelta(days=n):%Y%m%d}"
        for table in ("events", "exposures")
        for n in range(3)
    ]
    made += [f"decisions_{BEGINS_AT - past.DECISIONS_KEPT_FOR + timedelta(days=n):%Y%m%d}" for n in range(3)]
    assert past.must_be_gone(made, now) == {
        "events_20281203",
        "events_20281204",
        "decisions_20290711",
        "decisions_20290712",
    }
    days = ("20300107", "20300108", "20300109", "20300110")
    assert past.must_be_there(now) == {
        f"{table}_{day}" for table in ("events", "decisions", "exposures") for day in days
    }


def test_errors_in_the_log_are_told_and_warnings_counted_by_what_they_say(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    lines = [
        {"level": "warning", "event": "slow", "work": "fold"},
        {"level": "warning", "event": "slow", "work": "fold"},
        {"level": "error", "event": "work failed"},
    ]
    log.write_text("\n".join([*map(json.dumps, lines), "Traceback"]))
    found = errors.read(log)
    assert (found.errors, found.warnings) == (2, {"slow fold": 2})


def test_without_room_on_the_disk_nothing_begins(tmp_path: Path) -> None:
    check_room(FULL._replace(events=1), tmp_path)
    with pytest.raises(NoRoomError):
        check_room(FULL._replace(events=10**12), tmp_path)
