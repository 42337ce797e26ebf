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
def test_who_gets_nothing_of_value_is_left_in_peace_on_every_seed() -> None:
    """Nobody of them gets more than the floor; who never comes and was never sent anything as little as the others."""
    told = simulate.simulate("no_value", simulate.Options(seeds=2, scale=0.2))
    for claims in told["per_seed"]:
        assert claims["buys_other_things_sent_at_most"]["holds"]
        assert claims["never_comes_sent_at_most"]["holds"]
        assert claims["worst_decile_vs_population"]["holds"]
        assert claims["ordinary_share_of_oracle"]["value"] > 0.5


@pytest.mark.timeout(240)
def test_what_a_push_adds_is_earned_and_sure_things_are_left_alone_on_every_seed() -> None:
    """A town of 112, a third of its full size, takes longer to learn: the share of the oracle's margin is lower than what is claimed."""
    told = simulate.simulate("persuadables", simulate.Options(seeds=2, scale=0.3))
    for claims in told["per_seed"]:
        assert claims["incremental_margin_of_oracle"]["value"] > 0.8
        assert claims["sure_things_sent"]["holds"]
        assert claims["lost_causes_sent"]["holds"]


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
