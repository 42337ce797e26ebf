import json

import numpy as np
import pytest
from click.testing import CliRunner

from bandits.simulation import regret, trial
from bandits.simulation.claims import Claim, Played, deciles
from bandits.simulation.references import Oracle, PopulationPolicy
from bandits.simulation.worlds import night_shift, unlike_any_segment
from service import simulate
from service.cli import main

SMALL = simulate.Options(scale=0.25)


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


@pytest.mark.timeout(240)
def test_night_workers_are_reached_awake_and_again_so() -> None:
    told = simulate.simulate("night_shift", SMALL)
    assert told["claims"]["night_worker_sends_in_waking_hours"]["holds"]
    assert told["claims"]["worst_decile_vs_population"]["holds"]
    again = simulate.simulate("night_shift", SMALL)
    assert {**told, "seconds": 0} == {**again, "seconds": 0}
    assert json.loads(json.dumps(told)) == told
    assert "tenth 10" in simulate.table(told)


@pytest.mark.timeout(240)
def test_who_gets_nothing_of_value_is_left_in_peace() -> None:
    claims = simulate.simulate("no_value", SMALL)["claims"]
    assert claims["buys_other_things_sent_at_most"]["holds"]
    assert claims["never_comes_sent_at_most"]["value"] < 0.05
    assert claims["ordinary_share_of_oracle"]["value"] > 0.6


def test_a_holdout_gets_nothing_and_a_foretold_answer_is_known_at_once() -> None:
    world = night_shift.build(2, 0.2)._replace(
        holdout_share=0.5, ends_s=night_shift.build(2, 0.2).decides_from_s + 1.5e6
    )
    played = trial.play(world, Oracle)
    assert 0.2 < played.is_holdout.mean() < 0.8
    assert not played.is_sent[played.is_holdout].any()
    assert (played.send_probability[played.is_holdout] == 0.0).all()
    assert (played.value[played.is_holdout] == 0.0).all()


def test_a_wrong_world_is_answered_with_the_list() -> None:
    result = CliRunner().invoke(main, ["simulate", "atlantis"])
    assert result.exit_code == 2
    assert "mixed_town" in result.output
