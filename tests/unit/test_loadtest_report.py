"""Medians, ratios and budgets of the load test."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from loadtest import report, table
from loadtest.drive import Latency, Throughput
from loadtest.measure import Measured, Plan, TooSlowError
from loadtest.report import Budget


def throughput(per_s: float, cpu_us: float, failed: int = 0) -> Throughput:
    return Throughput(int(per_s), failed, 1.0, per_s * cpu_us / 1e6, 0.01)


def latency(p99_ms: float) -> Latency:
    return Latency(np.full(100, p99_ms / 1e3), np.zeros(100), 0)


def measured() -> Measured:
    """Three rounds on a machine that was half as fast in the second."""
    return Measured(
        decisions=[throughput(1_000, 500), throughput(500, 1_000), throughput(1_000, 500)],
        echo=[throughput(10_000, 50), throughput(5_000, 100), throughput(10_000, 50)],
        inserts=[throughput(3_000, 100)] * 3,
        events=[throughput(500, 1_000), throughput(250, 2_000), throughput(500, 1_000)],
        batch_rows_per_s=[20_000.0, 10_000.0, 20_000.0],
        rate_per_s=500.0,
        decision_latencies=[latency(6), latency(30), latency(6)],
        insert_latencies=[latency(3), latency(15), latency(3)],
        load_before=0.5,
    )


def test_a_slow_round_does_not_change_the_ratios() -> None:
    made = report.report_of(measured(), {})
    assert made.decisions.ratio_to_echo == pytest.approx(0.1)
    assert made.decisions.p99_ratio_to_insert == pytest.approx(2.0)
    assert made.events.ratio_to_insert == pytest.approx(0.5)
    assert made.decisions.per_s == 1_000
    assert made.decisions.p99_ms == pytest.approx(6.0)
    assert made.events.per_s == 10_000
    assert made.events.cpu_us == pytest.approx(50.0)
    assert made.noise.spread["decisions_per_s"] == pytest.approx(2.0)
    assert made.missed == []


@pytest.mark.parametrize(
    ("budget", "is_missed"),
    [
        (Budget(at_least=0.1), False),
        (Budget(at_least=0.11), True),
        (Budget(at_most=0.09), True),
        (Budget(at_least=0.05, at_most=0.2), False),
    ],
)
def test_what_lies_outside_its_budget_is_named(budget: Budget, is_missed: bool) -> None:
    made = report.report_of(measured(), {"decisions": {"ratio_to_echo": budget}})
    assert made.missed == (["decisions.ratio_to_echo"] if is_missed else [])


def test_a_wait_without_end_is_outside_and_null() -> None:
    lost = Latency(np.full(100, np.inf), np.zeros(100), 100)
    made = report.report_of(
        measured()._replace(decision_latencies=[lost] * 3),
        {"decisions": {"p99_ratio_to_insert": Budget(at_most=1e9)}},
    )
    assert made.missed == ["decisions.p99_ratio_to_insert", "failed_share"]
    assert json.loads(table.as_json(made))["decisions"]["p99_ms"] is None


def test_refused_requests_fail_the_run() -> None:
    made = report.report_of(measured()._replace(events=[throughput(500, 1_000, failed=100)] * 3), {})
    assert made.missed == ["failed_share"]


def test_the_json_has_the_figures_under_their_names() -> None:
    told = json.loads(table.as_json(report.report_of(measured(), {})))
    assert {"per_s", "cpu_us", "ratio_to_echo", "p99_ms", "p99_ratio_to_insert"} <= set(told["decisions"])
    assert {"per_s", "ratio_to_insert"} <= set(told["events"])


def test_the_table_names_what_was_missed() -> None:
    text = table.as_text(report.report_of(measured(), {"events": {"ratio_to_insert": Budget(at_least=0.9)}}))
    assert text.endswith("outside the budget: events.ratio_to_insert")


def test_every_budget_bounds_a_figure_that_exists() -> None:
    figures: dict[str, type[msgspec.Struct]] = {"decisions": report.Decisions, "events": report.Events}
    for section, bounds in report.read_budgets().items():
        known = {field.name for field in msgspec.structs.fields(figures[section])}
        assert set(bounds) <= known
        assert all(bound.at_least is not None or bound.at_most is not None for bound in bounds.values())


def test_a_mistyped_budget_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text("[events]\nratio_to_insert = { atleast = 1 }\n")
    with pytest.raises(msgspec.ValidationError):
        report.read_budgets(file)


def test_a_slow_start_shortens_the_turns_and_a_very_slow_one_ends_the_run() -> None:
    plan = Plan(rounds=3, measure_s=60.0, over_after_s=90.0)
    assert plan.unit_s(10.0) == plan.unit_s(30.0)
    assert plan.unit_s(60.0) == pytest.approx(plan.unit_s(30.0) / 2)
    with pytest.raises(TooSlowError):
        plan.unit_s(70.0)
