import json
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from bandits import delay as rule
from bandits.delay import Telling
from bandits.simulation import engine_at_once, regret, trial
from bandits.simulation.claims import Claim, Played, deciles
from bandits.simulation.engine import Engine, Settings
from bandits.simulation.life import Life
from bandits.simulation.references import Oracle, PopulationPolicy
from bandits.simulation.worlds import delay, night_shift, unlike_any_segment
from bandits.simulation.worlds.all_worlds import WORLDS
from service import simulate
from service.cli import main

SCALES = {
    "diet_switch": 0.1,
    "night_shift": 0.15,
    "life_stage": 0.2,
    "newcomer": 0.2,
    "unlike_any_segment": 0.2,
    "no_value": 0.4,
    "persuadables": 0.2,
    "delay": 0.4,
    "mixed_town": 0.15,
}
LINES: dict[str, dict[str, float]] = {
    "diet_switch": {"new_best_share_after_30_interactions": 0.5},
    "night_shift": {"night_worker_sends_in_waking_hours": 0.8},
    "life_stage": {"outgrown_share": 0.05},
    "newcomer": {"first_decisions_vs_population": 0.9},
    "unlike_any_segment": {"odd_ones_share_of_oracle": 0.75},
    "no_value": {"buys_other_things_sent_at_most": 0.01, "never_comes_sent_at_most": 0.01},
    "persuadables": {"incremental_margin_of_oracle": 0.9, "sure_things_sent": 0.0105},
    "delay": {"predicted_off_by_delay": 0.15, "predicted_off_by_delay_later": 0.05},
    "mixed_town": {"night_worker_sends_in_waking_hours": 0.8},
}
"""The lines of the issue, so that no world asks for less; a figure of .01 is the gate's floor, .0005 of tolerance with it."""

NOT_ASKED = {"persuadables": {"worst_decile_vs_population"}, "mixed_town": {"nothing_of_value_sent_at_most"}}

F64 = npt.NDArray[np.float64]

AT_LEAST_WHEN_SMALL = {"odd_ones_share_of_oracle": 0.6, "incremental_margin_of_oracle": 0.85}
"""Two claims that are about the full size (docs/simulation.md): four to eight people who like three things each get .66 to .79 of what there is
to get, .75 being claimed; a town of 72 learns from a fifth of the pushes and earns .89 of the oracle's margin, .90 being claimed.
"""


def test_a_claim_knows_its_side() -> None:
    assert Claim(0.6, 0.5).holds
    assert not Claim(0.6, 0.5, is_at_most=True).holds
    assert Claim(0.5, 0.5).holds
    assert not Claim(float("nan"), 0.5).holds
    assert not Claim(float("nan"), 0.5, is_at_most=True).holds


def test_deciles_leave_out_who_has_no_value() -> None:
    values = np.array([5.0, np.nan, *range(20)])
    tenths = deciles(values)
    assert len(tenths) == 10
    assert 1 not in np.concatenate(tenths)
    assert values[tenths[0]].max() <= values[tenths[-1]].min()


def test_the_oracle_is_best_and_the_population_policy_knows_no_person() -> None:
    world = unlike_any_segment.build(1, 0.2)._replace(ends_s=unlike_any_segment.build(1, 0.2).decides_from_s + 1.8e6)
    oracle, population = trial.play(world, Oracle), trial.play(world, PopulationPolicy)
    tenths = regret.by_decile(Played(population, population, oracle))
    assert all(tenth.regret > 0.0 for tenth in tenths)
    by_moment = {at_s // 3600: int(drawn) for at_s, drawn in zip(population.at_s, population.drawn, strict=True)}
    assert all(by_moment[at_s // 3600] == drawn for at_s, drawn in zip(population.at_s, population.drawn, strict=True))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("world", WORLDS)
def test_a_small_world_shows_on_seed_0_what_the_full_one_claims(world: str) -> None:
    """Each claim at its own line, but for two. A world has the size at which what is asked of it can be told from chance."""
    told = simulate.simulate(world, simulate.Options(scale=SCALES[world]))
    assert {name: told["claims"][name]["target"] for name in LINES[world]} == LINES[world]
    short = {name: claim for name, claim in told["claims"].items() if not claim["holds"]}
    for name in short.keys() & AT_LEAST_WHEN_SMALL.keys():
        assert short.pop(name)["value"] > AT_LEAST_WHEN_SMALL[name]
    assert short == {}
    assert told["not_asked"].keys() == NOT_ASKED.get(world, set())
    assert "worst_decile_vs_population" in told["claims"].keys() | told["not_asked"].keys()


@pytest.mark.timeout(240)
def test_the_same_world_is_told_again_alike_and_with_its_terms() -> None:
    told, again = (simulate.simulate("persuadables", simulate.Options(scale=0.05)) for _ in range(2))
    assert {**told, "seconds": 0} == {**again, "seconds": 0}
    assert json.loads(json.dumps(told)) == told
    page = simulate.table(told)
    assert "tenth 10" in page
    assert "not asked here  worst_decile_vs_population" in page
    assert "on these terms: the moment of a push is given" in page


def test_a_holdout_gets_nothing() -> None:
    world = night_shift.build(2, 0.2)._replace(
        holdout_share=0.5, ends_s=night_shift.build(2, 0.2).decides_from_s + 1.5e6
    )
    played = trial.play(world, Oracle)
    assert 0.2 < played.is_holdout.mean() < 0.8
    assert not played.is_sent[played.is_holdout].any()
    assert (played.send_probability[played.is_holdout] == 0.0).all()
    assert (played.value[played.is_holdout] == 0.0).all()


def unripe_are_none(_: Telling, exposed_at_s: F64, now_s: float) -> F64:
    """F = 1: who has not answered yet never will."""
    return np.ones_like(exposed_at_s - now_s)


SHARES = rule.shares


def half_of_it(telling: Telling, exposed_at_s: F64, now_s: float) -> F64:
    """As if only half of those who answer in the end would have."""
    is_young = now_s - exposed_at_s < rule.TOLD_WITHIN_S
    return np.where(is_young, 0.5, 1.0) * SHARES(telling, exposed_at_s, now_s)


def off_by_age(monkeypatch: pytest.MonkeyPatch, shares: Callable[[Telling, F64, float], F64]) -> F64:
    """Of the small world of delay, with this delay rule in the engine."""
    world = delay.build(0, SCALES["delay"])
    life = Life(world)
    engine = Engine(world, life, Settings(floor=0.01, gate_floor=0.01, exploration=1.0))
    with monkeypatch.context() as changed:
        changed.setattr(rule, "shares", shares)
        lived = trial.live(world, life, engine)
    return delay.off_by_age(Played(lived, lived, lived, engine_at_once.predicted(engine.log, world)))


def test_a_wrong_delay_rule_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    right = off_by_age(monkeypatch, SHARES)
    assert np.abs(right).max() < delay.OFF_BY_MAX
    too_low = off_by_age(monkeypatch, unripe_are_none)
    assert too_low.min() < -2.0 * delay.OFF_BY_MAX
    assert (too_low < 0.0).all()
    too_high = off_by_age(monkeypatch, half_of_it)
    assert (too_high > 0.0).all()
    assert too_high[-1] > 2.0 * delay.OFF_BY_LATER_MAX > 2.0 * abs(right[-1])


def test_what_is_known_at_once_is_known_whole() -> None:
    """At a snapshot at which every window has long been closed the two learners know the same."""
    world = delay.build(0, 0.1)
    life = Life(world)
    engine = Engine(world, life, Settings(floor=0.01, gate_floor=0.01, exploration=1.0))
    lived = trial.live(world, life, engine)
    at_once = engine_at_once.predicted(engine.log, world)
    is_first_day = lived.at_s < world.decides_from_s + 86400.0
    assert is_first_day.any()
    assert at_once[: len(lived.at_s)][is_first_day] == pytest.approx(lived.predicted[is_first_day], rel=1e-5)


def test_a_wrong_world_is_answered_with_the_list() -> None:
    result = CliRunner().invoke(main, ["simulate", "atlantis"])
    assert result.exit_code == 2
    assert "mixed_town" in result.output
