"""`welltimed simulate`: the product's engine lives in worlds whose truth is known, and is asked for what it claims."""

from time import perf_counter
from typing import Any, Final, NamedTuple

import numpy as np

from bandits.simulation import claims, engine_at_once, regret, trial
from bandits.simulation.claims import WORST, Claim, Played
from bandits.simulation.engine import Engine, Settings
from bandits.simulation.incremental_engine import IncrementalEngine
from bandits.simulation.life import Life
from bandits.simulation.references import Oracle, PopulationPolicy
from bandits.simulation.regret import Decile
from bandits.simulation.world import World
from bandits.simulation.worlds.all_worlds import WORLDS
from service.decision import policy

NAMES: Final = (*WORLDS, "incremental_value")
_OTHER_NAMES: Final = {"incremental_value": "persuadables"}


class Options(NamedTuple):
    """Seeds 0 to seeds - 1; scale 1 is the full size of a world; without the personal layer for comparison."""

    seeds: int = 1
    scale: float = 1.0
    has_personal_layer: bool = True


class _Run(NamedTuple):
    judged: dict[str, Claim]
    deciles: list[Decile]
    figures: dict[str, list[float]]
    people: int
    decisions: int


def simulate(name: str, options: Options) -> dict[str, Any]:
    """Plays a world and tells, as it goes out in JSON: of each claim the seed at which it is nearest to failing; regret, mean over seeds."""
    name = _OTHER_NAMES.get(name, name)
    named = WORLDS[name]
    began = perf_counter()
    runs = [_run(name, seed, options) for seed in range(options.seeds)]
    asked = [claim for claim in runs[0].judged if claim not in named.not_asked]
    return {
        "world": name,
        "seeds": options.seeds,
        "people": runs[0].people,
        "decisions": sum(run.decisions for run in runs),
        "terms": list(named.terms),
        "claims": {claim: _nearest_told(runs, claim) for claim in asked},
        "figures": {name: _over_seeds([run.figures[name] for run in runs]) for name in runs[0].figures},
        "not_asked": {claim: _not_asked(runs, claim, why) for claim, why in named.not_asked.items()},
        "holds": all(run.judged[claim].holds for run in runs for claim in asked),
        "regret_by_decile": _mean([run.deciles for run in runs]),
        "per_seed": [{claim: _told(run.judged[claim]) for claim in asked} for run in runs],
        "seconds": round(perf_counter() - began, 1),
    }


def _run(name: str, seed: int, options: Options) -> _Run:
    world = WORLDS[name].build(seed, options.scale)
    rules = policy.push_rules(0.0, 1.0, world.goal.attention_price)
    settings = Settings(rules.floor, rules.gate_floor, rules.exploration, options.has_personal_layer)
    life = Life(world)
    engine = _engine_for(world)(world, life, settings)
    played = Played(
        trial.live(world, life, engine),
        trial.play(world, PopulationPolicy),
        trial.play(world, Oracle),
        engine_at_once.predicted(engine.log, world) if world.told_every_s > 0.0 else None,
    )
    judged = WORLDS[name].judge(played) | {WORST: claims.worst_decile(played)}
    figures = WORLDS[name].figures(played)
    return _Run(judged, regret.by_decile(played), figures, world.size, len(played.engine.person))


def _nearest_told(runs: list[_Run], claim: str) -> dict[str, Any]:
    return _told(_nearest([run.judged[claim] for run in runs]))


def _not_asked(runs: list[_Run], claim: str, why: str) -> dict[str, Any]:
    """What is asked in the other worlds and not here, with what it would have been."""
    told = _nearest_told(runs, claim)
    return {"value": told["value"], "target": told["target"], "why": why}


def _over_seeds(of_seeds: list[list[float]]) -> dict[str, list[Any]]:
    return {"mean": np.round(np.mean(of_seeds, axis=0), 6).tolist(), "per_seed": np.round(of_seeds, 6).tolist()}


def _engine_for(world: World) -> type[Engine]:
    return IncrementalEngine if world.goal.is_incremental else Engine


def _nearest(of_seeds: list[Claim]) -> Claim:
    return min(of_seeds, key=lambda claim: (claim.holds, claim.margin))


def _told(claim: Claim) -> dict[str, Any]:
    """Numbers that are none become null."""
    return {
        "value": round(claim.value, 6) if np.isfinite(claim.value) else None,
        "target": round(claim.target, 6) if np.isfinite(claim.target) else None,
        "is": "at most" if claim.is_at_most else "at least",
        "holds": bool(claim.holds),
    }


def _mean(of_seeds: list[list[Decile]]) -> list[dict[str, float]]:
    means = np.array(of_seeds, np.float64).mean(axis=0)
    return [dict(zip(Decile._fields, np.round(row, 6).tolist(), strict=True)) for row in means]


def table(told: dict[str, Any]) -> str:
    """The same for people."""
    lines = [
        f"{told['world']}: {told['people']} people, {told['decisions']:,} decisions, {told['seeds']} seed(s), {told['seconds']} s",
        "",
        f"{'people by what there is to gain':<34}{'oracle':>9}{'engine':>9}{'population':>12}{'regret':>9}",
        *(_line(tenth, one) for tenth, one in enumerate(told["regret_by_decile"], 1)),
        "",
    ]
    for name, one in told["claims"].items():
        verdict = "holds" if one["holds"] else "FAILS"
        lines.append(f"{verdict}  {name} = {_figure(one['value'])} ({one['is']} {_figure(one['target'])})")
    for name, one in told["not_asked"].items():
        lines.append(f"not asked here  {name} = {_figure(one['value'])} ({_figure(one['target'])}): {one['why']}")
    for name, one in told["figures"].items():
        lines.append(f"{name}, mean over seeds: {', '.join(f'{value:+.3f}' for value in one['mean'])}")
    lines += [f"on these terms: {term}" for term in told["terms"]]
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:.4g}"


def _line(tenth: int, one: dict[str, float]) -> str:
    means = f"{one['oracle']:>9.4f}{one['engine']:>9.4f}{one['population']:>12.4f}{one['regret']:>9.4f}"
    return f"{f'tenth {tenth}':<34}{means}"
