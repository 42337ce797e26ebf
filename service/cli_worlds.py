"""`welltimed evaluate`, `replay`, `simulate`, `demo`: how well it would choose, on logs and in worlds whose truth is known."""

import json
import sys
from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("log", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--target",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="npz with action_dist, the probabilities of the policy asked about.",
)
@click.option("--confidence", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of folds and resamples.")
@click.option("--weight-max", type=click.FloatRange(0, min_open=True), help="The largest weight possible, if known.")
@click.option("--reward-range", type=(float, float), help="Least and greatest reward possible, if known.")
@click.option("--json", "as_json", is_flag=True)
def evaluate(*, log: Path, target: Path, as_json: bool, **known: Any) -> None:
    """What another policy would have earned on a logged bandit (docs/evaluation.md), and whether to believe it."""
    from service import evaluate as evaluation  # noqa: PLC0415 - only here

    try:
        result = evaluation.evaluate(log, target, evaluation.Options(**known))
    except (ValueError, OSError) as error:
        click.echo(f"welltimed: {error}", err=True)
        sys.exit(1)
    click.echo(json.dumps(result) if as_json else evaluation.table(result))


@click.command()
@click.argument("data")
@click.option("--policy", default="default", show_default=True, help="A wrong name is answered with the list.")
@click.option("--seeds", type=click.IntRange(1, 1_000), default=1, show_default=True, help="How many runs.")
@click.option("--first-seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--categories", default="41-90", show_default=True, help="Of the journey: ranks by household-weeks.")
@click.option("--rounds", type=click.IntRange(1), help="Only the first of a file; the journey has 10,000 by default.")
@click.option("--delay-rounds", type=click.IntRange(0), default=0, help="Rewards come so many rounds late.")
@click.option("--snapshot-every", type=click.IntRange(1), default=1, help="So many rounds share a posterior.")
@click.option("--json", "as_json", is_flag=True)
def replay(*, data: str, categories: str, rounds: int | None, as_json: bool, **asked: Any) -> None:
    """Play a policy on rounds of which every reward is known (docs/replay.md).

    DATA is an npz file with phi, reward and perhaps eligible, or the word `journey`: rounds made of a year of real purchases.
    """
    from service.replay import options, runs  # noqa: PLC0415 - only here
    from service.replay import replay as replays  # noqa: PLC0415 - as above

    try:
        result = replays.replay(data, categories, rounds, options.Options(**asked))
    except (ValueError, OSError) as error:
        click.echo(f"welltimed: {error}", err=True)
        sys.exit(1)
    click.echo(json.dumps(result) if as_json else runs.table(result))


@click.command()
@click.argument("world")
@click.option(
    "--seeds", type=click.IntRange(1, 100), default=1, show_default=True, help="Worlds that are played, one a seed."
)
@click.option(
    "--scale", type=click.FloatRange(0.2, 10), default=1.0, show_default=True, help="Share of a world's people."
)
@click.option(
    "--no-personal-layer", "has_personal_layer", is_flag=True, default=True, flag_value=False, help="For comparison."
)
@click.option("--json", "as_json", is_flag=True)
def simulate(*, world: str, as_json: bool, **asked: Any) -> None:
    """Let the engine live in a WORLD whose truth is known (docs/simulation.md): what it claims, and regret by decile of the people."""
    from service import simulate as simulation  # noqa: PLC0415 - only here

    if world not in simulation.NAMES:
        raise click.BadParameter(f"no such world; there are {', '.join(simulation.NAMES)}", param_hint="WORLD")
    result = simulation.simulate(world, simulation.Options(**asked))
    click.echo(json.dumps(result) if as_json else simulation.table(result))


@click.command()
@click.option("--households", type=int, default=500, show_default=True, help="1 to 2469.")
@click.option(
    "--weeks", type=int, default=20, show_default=True, help="Weeks of decisions, 1 to 42, after ten of history."
)
@click.option("--salt", default="0", show_default=True, help="Chooses the households and seeds everything.")
@click.option("--headless", is_flag=True, help="End when done; no report page.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def demo(*, households: int, weeks: int, salt: str, headless: bool, as_json: bool) -> None:
    """The whole loop on a year of real grocery data."""
    from service.demo import run  # noqa: PLC0415 - its data frames are for nobody else

    sys.exit(run.demo(run.Options(households, weeks, salt, is_headless=headless, is_json=as_json)))
