"""Medians, ratios, budgets, claims, and the page of the load test."""

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest

from loadtest import beside, budgets, event_figures, page, plan, plot, report, table, waits
from loadtest.budgets import Budget
from loadtest.closed_loop import Throughput
from loadtest.cores import Cores
from loadtest.half import Half
from loadtest.half_open import HalfOpen
from loadtest.overload import Overload
from loadtest.punctual import Punctual
from loadtest.references import Inserted
from loadtest.report import Report
from loadtest.rounds import Rounds
from loadtest.run import Measured
from loadtest.stretch import Answers, Driver, Stretch
from loadtest.usage import Usage
from loadtest.workloads import Viral

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def throughput(per_s: float, cpu_us: float, postgres_us: float = 100, failed: int = 0, refused: int = 0) -> Throughput:
    return Throughput(
        int(per_s), failed, refused, int(per_s), 1.0, per_s * cpu_us / 1e6, per_s * postgres_us / 1e6, 0.01, 0.5
    )


def driver(*, is_late: bool = False) -> Driver:
    return Driver(
        late_p50_ms=0.01,
        late_p99_ms=0.2,
        late_max_ms=1.0,
        bound_ms=2.0,
        is_late=is_late,
        cpu_us=20.0,
        waited_share=0.0,
    )


def stretch(name: str) -> Stretch:
    told = waits.waits_of(np.linspace(0.001, 0.1, 2_000))
    answers = Answers(
        statuses={"200": 1_900, "503": 100},
        sent=2_000,
        answered=1_900,
        refused=100,
        failed=0,
        waits=told,
        refusals=told,
    )
    usage = Usage(api=0.5, postgres=0.4, background=0.1, driver=0.1, idle=0.9, stolen=0.0)
    return Stretch(
        name=name,
        about="<b>",
        per_s=100.0,
        seconds=20.0,
        answered_per_s=95.0,
        kinds={"decision": answers},
        without_retry_after=0,
        driver=driver(),
        usage=usage,
    )


def measured() -> Measured:
    """Three rounds on a machine that was half as fast in the second."""
    rounds = Rounds(
        decisions=[throughput(1_000, 500), throughput(500, 1_000, 200), throughput(1_000, 500)],
        events=[throughput(500, 1_000), throughput(250, 2_000), throughput(500, 1_000)],
        event_postgres_us=[20.0, 40.0, 20.0],
        event_background_us=[10.0, 20.0, 10.0],
        echo=[throughput(10_000, 50), throughput(5_000, 100), throughput(10_000, 50)],
        inserts=[throughput(3_000, 100, 80), throughput(1_500, 200, 160), throughput(3_000, 100, 80)],
        batches=[Inserted(20_000, 1.0, 0.2), Inserted(10_000, 1.0, 0.2), Inserted(20_000, 1.0, 0.2)],
        batch_postgres_us=[25.0, 50.0, 25.0],
    )
    told = waits.waits_of(np.linspace(0.001, 0.1, 5_000))
    half = Half(
        per_s=500.0,
        decision=told,
        insert=told,
        failed=0,
        insert_failed=0,
        p99_ratio_to_insert=2.0,
        p99_ratios=[2.0],
        drivers=[driver()],
    )
    over = Overload(
        capacity_per_s=1_000.0,
        p99_ratio=1.5,
        goodput_share=1.0,
        refused_share=0.05,
        failed_share=0.0,
        refusal_p50_ms=1.0,
        refusal_p99_ms=15.0,
        refusal_p99s_ms=[15.0],
        refusal_within_20_ms_share=1.0,
        without_retry_after=0,
        at_capacity=[stretch("at capacity")],
        beyond=[stretch("three times capacity")],
    )
    proof = Punctual(per_s=3_000.0, answered_per_s=3_000.0, echo_p50_ms=0.2, echo_p99_ms=1.0, driver=driver())
    nothing = (None,) * 6
    return Measured(
        plan.QUICK, rounds, 1_000.0, None, half, None, proof, over, *nothing, load_before=0.5, seconds=100.0
    )


def half_open(ratio: float, longest_close_s: float | None, *, is_late: bool = False) -> HalfOpen:
    told = waits.waits_of(np.linspace(0.001, 0.1, 5_000))
    return HalfOpen(
        clients=1_000,
        per_s=500.0,
        alone=told,
        beside=told,
        alone_failed=0,
        beside_failed=0,
        p99_ratio=ratio,
        p99_ratios=[ratio],
        fewest=950,
        closed=1_234,
        soonest_close_s=10.01,
        longest_close_s=longest_close_s,
        drivers=[driver(is_late=is_late)],
    )


def made(seen: Measured | None = None, **bounds: Budget) -> Report:
    named = {name.replace("__", "."): bound for name, bound in bounds.items()}
    return report.report_of(seen or measured(), NOW, named)


def test_a_slow_round_does_not_change_the_ratios() -> None:
    found = made()
    assert found.decisions.ratio_to_echo == pytest.approx(0.1)
    assert found.decisions.postgres_ratio_to_insert == pytest.approx(0.8)
    assert found.decisions.per_s == 1_000
    assert found.events.per_s == 10_000
    assert found.events.cpu_us == pytest.approx(50.0)
    assert (found.events.background_cpu_us, found.events.cores) == pytest.approx((10.0, 0.8))
    assert found.events.ratio_to_insert == pytest.approx(0.5)
    assert found.events.cpu_ratio_to_insert == pytest.approx((10 + 25) / (50 + 20))
    assert found.spread["decisions.per_s"] == pytest.approx(2.0)
    assert found.spread["decisions.ratio_to_echo"] == pytest.approx(1.0)
    assert found.missed == found.late == []


@pytest.mark.parametrize(
    ("budget", "is_missed"),
    [
        (Budget(stored=0.1), False),
        (Budget(stored=0.124), False),
        (Budget(stored=0.126), True),
        (Budget(stored=0.126, worse_max=0.3), False),
        (Budget(stored=0.084, is_less_better=True), False),
        (Budget(stored=0.082, is_less_better=True), True),
    ],
)
def test_what_fell_by_more_than_a_fifth_is_named(budget: Budget, is_missed: bool) -> None:
    found = made(decisions__ratio_to_echo=budget)
    assert found.missed == (["decisions.ratio_to_echo"] if is_missed else [])
    assert [guard.holds for guard in found.guards] == [not is_missed]


def test_beside_others_a_budget_may_be_wider() -> None:
    narrow, wide = Budget(stored=0.2), Budget(stored=0.2, worse_max_beside=0.6)
    seen = measured()
    crowded = seen._replace(rounds=seen.rounds._replace(others_cores=0.3))
    assert made(seen, decisions__ratio_to_echo=wide).missed == ["decisions.ratio_to_echo"]
    assert made(crowded, decisions__ratio_to_echo=wide).missed == []
    assert made(crowded, decisions__ratio_to_echo=narrow).missed == ["decisions.ratio_to_echo"]
    assert made(crowded).machine.others_cores == 0.3


def test_a_budget_of_a_part_that_was_left_out_is_not_judged() -> None:
    assert made(scale__beside__per_s_ratio=Budget(stored=9.0)).guards == []


def test_claims_are_told_and_fail_nothing() -> None:
    found = made()
    assert {claim.name: claim.holds for claim in found.claims} == {
        "decisions.ratio_to_echo": False,
        "half.p99_ratio_to_insert": True,
        "overload.p99_ratio": True,
        "overload.refusal_p99_ms": True,
    }
    assert found.missed == []


def test_what_two_workers_take_of_events_is_judged_where_it_was_measured() -> None:
    seen = measured()
    decided = msgspec.structs.asdict(beside.beside_of(seen.rounds.decisions, seen.rounds.decisions))
    grown = Cores(count=2, one_per_s=2000.0, all_per_s=3000.0, ratio=1.5)
    pair = beside.TwoWorkers(**decided, events=event_figures.of(seen.rounds), cores=grown)
    found = made(seen._replace(two_workers=pair))
    judged = {claim.name: (claim.value, claim.holds) for claim in found.claims}
    assert judged["two_workers.cores.ratio"][1]
    assert judged["two_workers.events.ratio_to_insert"] == (pytest.approx(0.5), False)
    assert ("events a second of two API workers ÷ rows of unnest", "0.5") in [
        row for part in table.tables(found) for row in part.rows
    ]


@pytest.mark.parametrize(
    ("ratio", "longest_close_s", "judged"),
    [
        (1.4, 11.4, {"half_open.p99_ratio": True, "half_open.longest_close_s": True}),
        (1.6, 11.6, {"half_open.p99_ratio": False, "half_open.longest_close_s": False}),
        (1.4, None, {"half_open.p99_ratio": True}),
    ],
)
def test_what_half_open_clients_do_to_others_is_judged_and_told(
    ratio: float, longest_close_s: float | None, judged: dict[str, bool]
) -> None:
    found = made(measured()._replace(half_open=half_open(ratio, longest_close_s, is_late=True)))
    assert {claim.name: claim.holds for claim in found.claims if claim.name.startswith("half_open")} == judged
    assert found.late == ["half_open"]
    assert found.missed == []
    told = {row[0]: row[1:] for part in table.tables(found) for row in part.rows}
    assert told["half-open clients: closed"] == ("1,234",)
    assert told["decision at 500/s, beside 1,000 half-open clients"][0] == "5,000"
    text = page.as_html(found)
    assert "beside 1,000 half-open clients" in text
    assert text.count("<svg") == page.as_html(made()).count("<svg") + 1


def test_a_wait_without_end_is_outside_and_null() -> None:
    endless = msgspec.structs.replace(measured().half, p99_ratio_to_insert=float("inf"))
    seen = measured()._replace(half=endless)
    found = made(seen, half__p99_ratio_to_insert=Budget(stored=1e9, is_less_better=True))
    assert found.missed == ["half.p99_ratio_to_insert"]
    waits_alone = Budget(stored=1e9, is_less_better=True, is_for_full=True)
    assert made(seen, half__p99_ratio_to_insert=waits_alone).missed == []
    assert made(seen._replace(plan=plan.FULL), half__p99_ratio_to_insert=waits_alone).missed == found.missed
    assert json.loads(table.as_json(found))["half"]["p99_ratio_to_insert"] is None


def test_failed_requests_fail_the_run() -> None:
    seen = measured()
    failing = seen.rounds._replace(events=[throughput(500, 1_000, failed=100)] * 3)
    assert made(seen._replace(rounds=failing)).missed == ["failed_share"]


def test_who_is_not_answered_beyond_capacity_fails_the_run() -> None:
    silent = msgspec.structs.replace(measured().overload, failed_share=0.002)
    assert made(measured()._replace(overload=silent)).missed == ["overload.failed_share"]


def test_a_refusal_that_does_not_say_when_fails_the_run() -> None:
    mute = msgspec.structs.replace(stretch("three times capacity"), without_retry_after=1)
    beyond = msgspec.structs.replace(measured().overload, beyond=[mute])
    assert made(measured()._replace(overload=beyond)).missed == ["without_retry_after"]
    assert made(measured()._replace(flood=mute)).missed == ["without_retry_after"]


def test_refused_requests_are_told_and_fail_nothing() -> None:
    seen = measured()
    refusing = seen.rounds._replace(events=[throughput(500, 1_000, refused=100)] * 3)
    found = made(seen._replace(rounds=refusing))
    assert (found.missed, found.failed_share) == ([], 0.0)
    assert 0.0 < found.refused_share < 0.1


@pytest.mark.parametrize(
    ("acknowledged", "written", "is_missed"), [(7, 7, False), (6, 7, False), (8, 8, True), (7, 6, True)]
)
def test_an_oversold_or_lost_redemption_fails_the_run(acknowledged: int, written: int, is_missed: bool) -> None:
    seen = Viral(redemptions_max=7, acknowledged=acknowledged, written=written, stretch=stretch("viral"))
    assert made(measured()._replace(viral=seen)).missed == (["viral.written"] if is_missed else [])


def test_where_the_generator_was_late_is_named() -> None:
    late = msgspec.structs.replace(measured().half, drivers=[driver(), driver(is_late=True)])
    found = made(measured()._replace(half=late))
    assert found.late == ["half"]
    assert "driver late: the waits of half" in table.as_text(found)


def test_the_table_names_what_was_missed() -> None:
    text = table.as_text(made(events__ratio_to_insert=Budget(stored=0.9)))
    assert text.endswith("outside the budget: events.ratio_to_insert")


def test_every_budget_bounds_a_figure_that_exists() -> None:
    found = made()
    for name, budget in budgets.read().items():
        budgets.value_of(found, name)  # raises where there is none
        assert budget.why or (budget.worse_max == 0.20 and budget.worse_max_beside is None), name


def test_a_mistyped_budget_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "budgets.toml"
    file.write_text('["events.ratio_to_insert"]\nstord = 1\n')
    with pytest.raises(msgspec.ValidationError):
        budgets.read(file)


def test_new_figures_are_stored_in_place_of_the_old_ones_and_nothing_else_changes() -> None:
    text = '# why\n["a.b"]  # x\nstored = 0.5 # seen\nworse_max = 0.35\nwhy = "y"\n\n["c.d"]\nstored = 2\n'
    assert budgets.written(text, {"a.b": 0.123456}) == text.replace("stored = 0.5", "stored = 0.1235")


def test_waits_are_exact_and_their_histogram_is_within_a_thousandth() -> None:
    seconds = np.random.default_rng(1).lognormal(-6, 1, 20_000)
    told = waits.waits_of(seconds)
    assert told.p99_ms == 1e3 * np.quantile(seconds, 0.99, method="higher")
    shares = [0.5, 0.9, 0.99, 0.999]
    exact = 1e3 * np.quantile(seconds, shares, method="inverted_cdf")
    assert waits.curve(told.hdr, shares) == pytest.approx(exact, rel=2e-3)
    lost = waits.waits_of(np.append(seconds, np.inf))
    assert lost.max_ms == np.inf
    assert lost.count == 20_001
    assert lost.hdr == told.hdr


class Outside(HTMLParser):
    """What a page would fetch from elsewhere, and the text of its JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.json = ""
        self._is_json = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [name for name, value in attrs if name in {"src", "href"} and value]
        self._is_json = tag == "script" and ("type", "application/json") in attrs

    def handle_data(self, data: str) -> None:
        self.json += data if self._is_json else ""


def test_the_page_needs_nothing_else_and_holds_the_json() -> None:
    found = made(
        measured()
        ._replace(flood=stretch("flood"))
        ._replace(viral=Viral(redemptions_max=7, acknowledged=7, written=7, stretch=stretch("viral")))
    )
    text = page.as_html(found)
    reader = Outside()
    reader.feed(text)
    assert reader.fetched == []
    assert "http" not in text.replace("https://", "").split("<script")[0]
    assert json.loads(reader.json) == json.loads(table.as_json(found))
    assert text.count("<svg") == 4
    assert "&lt;b&gt;" in text
    assert "<b>" not in text


def test_a_line_ends_where_no_answer_is_left_beyond_it() -> None:
    drawn = plot.quantile_plot("x", {"few": waits.waits_of(np.linspace(0.01, 0.02, 100))})
    points = re.findall(r'points="([^"]*)"', drawn)[0].split()
    right = max(float(point.split(",")[0]) for point in points)
    (middle,) = (float(x) for x in re.findall(r'<text x="([0-9.]+)" y="276" text-anchor="middle">99 %', drawn))
    assert right == pytest.approx(middle, abs=8)
    assert all(14 <= float(point.split(",")[1]) <= 260 for point in points)


def test_a_slow_start_shortens_the_turns_down_to_half() -> None:
    assert plan.QUICK.shortened(10.0, 30.0) == plan.QUICK
    late = plan.QUICK.shortened(50.0, 30.0)
    assert late.turn_s == pytest.approx(plan.QUICK.turn_s * 65 / 85)
    assert late.rounds == plan.QUICK.rounds
    assert plan.QUICK.shortened(500.0, 30.0).turn_s == plan.QUICK.turn_s / 2


def keys_of(kind: type[msgspec.Struct]) -> set[str]:
    """The keys of a struct and of all structs in it."""
    found: set[str] = set()
    for field in msgspec.structs.fields(kind):
        found.add(field.name)
        for inner in (field.type, *get_args(field.type)):
            if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
                found |= keys_of(inner)
    return found


def test_every_key_of_the_json_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "load.md").read_text()
    named = set(re.findall(r"`([a-z0-9_]+)(?:\[\])?`", text.partition("## Keys of the JSON")[2]))
    assert keys_of(Report) - named == set()
