"""`welltimed bench`: what things cost on this machine."""

import json
from collections.abc import Mapping
from typing import Any

import click

from service.cli_database import in_words


@click.group()
def bench() -> None:
    """Measure on this machine."""


@bench.command()
@click.option("--offers", type=click.IntRange(1, 5_000), default=50, show_default=True)
@click.option("--dims", type=click.IntRange(1, 512), default=32, show_default=True, help="Features of an offer.")
@click.option("--json", "as_json", is_flag=True)
def kernel(*, offers: int, dims: int, as_json: bool) -> None:
    """How long one decision and one update take in the numeric core."""
    from service import bench as benches  # noqa: PLC0415 - only when it is measured

    _print(benches.kernels(offers, dims), as_json=as_json)


@bench.command("push")
@click.option("--messages", type=click.IntRange(500, 1_000_000), default=10_000, show_default=True, help="A round.")
@click.option("--json", "as_json", is_flag=True)
def bench_push(*, messages: int, as_json: bool) -> None:
    """What sending costs from claimed row to settled row, beside firebase-admin's own sending."""
    from service.planning import push_bench  # noqa: PLC0415 - only when it is measured

    with in_words():
        _print(push_bench.push(messages), as_json=as_json)


@bench.command("plan")
@click.option("--users", type=click.IntRange(1_000, 5_000_000), default=100_000, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def bench_plan(*, users: int, as_json: bool) -> None:
    """What planning costs from people to rows of the outbox, and drawing what is due, each beside its bare parts; in databases of their own."""
    from service.planning import draw_bench, plan_bench  # noqa: PLC0415 - only when it is measured

    def tell(line: str) -> None:
        click.echo(line, err=True)

    with in_words():
        planned, drawn = plan_bench.plan(users, tell), draw_bench.draw(users, tell)
    _print(planned._asdict() | {f"draw_{name}": value for name, value in drawn._asdict().items()}, as_json=as_json)


def _print(found: Mapping[str, Any], *, as_json: bool) -> None:
    figures = _rounded(found)
    click.echo(json.dumps(figures) if as_json else "\n".join(f"{name}={value}" for name, value in figures.items()))


def _rounded(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _rounded(value) if isinstance(value, Mapping) else round(value, 2) for name, value in found.items()}
