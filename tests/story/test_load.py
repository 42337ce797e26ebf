"""The load test, small, on real servers (all of its parts but two workers side by side): what it asks is answered, what it tells is there."""

import json
from datetime import UTC, datetime

import pytest

from loadtest import budgets, page, report, run, table
from loadtest.plan import FULL
from loadtest.world import World

TINY = FULL._replace(
    name="tiny",
    town=World("town", people=300, told=60, offers=20, regions=2, stores=4, viral_max=3),
    city=World("city", people=3_000, told=60, offers=80, regions=8, stores=8),
    rounds=1,
    turn_s=0.3,
    step_s=0.3,
    half_rounds=1,
    half_s=0.5,
    half_open_rounds=1,
    half_open_s=3.0,  # with the eight seconds in which the crowd gathers: until the first of it are closed
    punctual_s=0.3,
    overload_rounds=1,
    overload_s=0.5,
    workload_s=1.5,
    import_rows=30,
    two_workers_rounds=0,  # a third server: it is the same as the city's, and the test has a minute
    city_rounds=1,
)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_every_part_of_a_run_is_answered_and_told() -> None:
    measured = await run.run(TINY, lambda _: None)
    made = report.report_of(measured, datetime.now(UTC), budgets.read())
    assert made.failed_share == 0.0
    assert made.decisions.cpu_us > made.references.echo_cpu_us > 0
    assert made.decisions.postgres_cpu_us > 0
    assert made.events.cpu_us > 0
    assert made.saturation is not None
    assert made.half.decision.count == made.half.insert.count
    assert made.half_open is not None
    assert made.half_open.alone.count == made.half_open.beside.count
    assert made.half_open.closed > 0
    assert made.half_open.soonest_close_s is not None
    assert made.half_open.soonest_close_s > 9.0
    assert made.half_open.fewest > made.half_open.clients / 2
    assert made.flood is not None
    assert made.cold is not None
    assert made.importing is not None
    for seen in table.stretches(made):
        assert sum(each.answered for each in seen.kinds.values()) > 0, seen.name
    assert set(made.flood.kinds) == {"decision", "events", "feedback"}
    statuses = {status for seen in table.stretches(made) for each in seen.kinds.values() for status in each.statuses}
    # Nothing that is asked may be wrong; a machine with much else to do leaves something unanswered, or is told to come back.
    assert statuses <= {"200", "201", "409", "429", "503", "-1"}
    assert made.viral is not None
    assert made.viral.acknowledged <= made.viral.written <= made.viral.redemptions_max == 3
    assert made.importing.import_s > 0
    assert made.cold.ready_again_s > 0
    assert made.scale is not None
    assert (made.scale.people, made.scale.eligible) == (3_000, 10)
    assert 100 < made.scale.disk_bytes_per_user < 20_000
    assert {guard.name for guard in made.guards} == budgets.read().keys() - {"two_workers.events.ratio_to_insert"}
    told = json.loads(table.as_json(made))
    assert told["form"] == "tiny"
    assert told["scale"]["beside"]["per_s_ratio"] > 0
    assert page.as_html(made).count("<svg") > len(table.stretches(made)) // 2
