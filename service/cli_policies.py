"""`welltimed policies` and `welltimed snapshots`: which policy decides, and by which snapshot (docs/policies.md)."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from service.cli_database import do, fail

_AS_JSON = click.option("--json", "as_json", is_flag=True)
_REASON = click.option("--reason", default="", help="Why; it is recorded.")
_INSTANT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z"])


def _parts_of_log(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which decisions a policy is judged on."""
    for option in reversed(
        [
            click.option(
                "--since", type=_INSTANT, metavar="INSTANT", help="2026-03-02, 2026-03-02T09:30, or with an offset."
            ),
            click.option("--until", type=_INSTANT, metavar="INSTANT", help="As --since; without an offset in UTC."),
            click.option(
                "--group",
                type=click.Choice(["policy", "control"]),
                default="policy",
                show_default=True,
                help="Whose decisions: a policy's, or the control's.",
            ),
            click.option("--channel", type=click.Choice(["in_app", "push"])),
            click.option("--campaign", "campaign_id", help="Decisions of one campaign."),
            click.option(
                "--decisions-max",
                type=click.IntRange(1, 10_000_000),
                default=200_000,
                show_default=True,
                help="The newest so many decisions.",
            ),
            click.option("--confidence", type=click.FloatRange(0.5, 0.999), default=0.95, show_default=True),
        ]
    ):
        command = option(command)
    return command


@click.group()
def policies() -> None:
    """Which policy decides: made, judged on the decision log, promoted, rolled back."""


@policies.command("list")
@_AS_JSON
def show_all(*, as_json: bool) -> None:
    """Every policy, which one is in force, and how that came."""
    from service.policies import promotion, tables  # noqa: PLC0415 - a help text needs none of this

    do(lambda connection, _now, _by: promotion.overview(connection), tables.policies, as_json=as_json)


@policies.command()
@click.argument("name")
@_AS_JSON
def show(*, name: str, as_json: bool) -> None:
    """One policy and its settings."""
    from service.policies import promotion, tables  # noqa: PLC0415 - as above

    do(lambda connection, _now, _by: promotion.find(connection, name), tables.policy, as_json=as_json)


@policies.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_AS_JSON
def create(*, file: Path, as_json: bool) -> None:
    """Make a policy, or its next version, from a JSON file; nothing decides by it before it is promoted."""
    from schema.policy import PolicySettings  # noqa: PLC0415 - as above
    from service.policies import promotion, tables  # noqa: PLC0415 - as above

    try:
        settings = msgspec.json.decode(file.read_bytes(), type=PolicySettings)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        fail(f"{file}: {error}")
    do(
        lambda connection, now, by: promotion.create(connection, settings, now, by),
        tables.policy,
        as_json=as_json,
    )


@policies.command()
@click.argument("name")
@_parts_of_log
@_AS_JSON
def evaluate(*, name: str, as_json: bool, **asked: Any) -> None:
    """What the policy would have earned on the decision log, and whether to believe it."""
    from service.policies import promotion, tables  # noqa: PLC0415 - as above
    from service.store.catalogue import CatalogueCache  # noqa: PLC0415 - as above

    async def work(connection: Any, now: datetime, _by: str) -> Any:
        return (await promotion.judge(connection, CatalogueCache(), name, _request(asked), now)).evaluation

    do(work, tables.evaluation, as_json=as_json)


@policies.command()
@click.argument("name")
@click.option("--force", "is_forced", is_flag=True, help="Promote whatever the log says; recorded, with the reason.")
@click.option("--reason", default="", help="Why; needed with --force.")
@_parts_of_log
@_AS_JSON
def promote(*, name: str, is_forced: bool, reason: str, as_json: bool, **asked: Any) -> None:
    """Bring a policy into force, if the log shows that it earns more than the one that is."""
    from schema.policy_evaluation import PromotionRequest  # noqa: PLC0415 - as above
    from service.policies import promotion, tables  # noqa: PLC0415 - as above
    from service.store.catalogue import CatalogueCache  # noqa: PLC0415 - as above

    async def work(connection: Any, now: datetime, by: str) -> Any:
        request = PromotionRequest(is_forced=is_forced, reason=reason, evaluation=_request(asked))
        promotion.check(request)
        judged = await promotion.judge(connection, CatalogueCache(), name, request.evaluation, now)
        async with connection.transaction():
            return await promotion.promote(connection, judged, request, now, by)

    do(work, tables.promotion, as_json=as_json)


@policies.command()
@_REASON
@_AS_JSON
def rollback(*, reason: str, as_json: bool) -> None:
    """Bring back the policy that was in force before, down to the built-in one."""
    from service.policies import promotion, tables  # noqa: PLC0415 - as above

    async def work(connection: Any, now: datetime, by: str) -> Any:
        async with connection.transaction():
            return await promotion.roll_back(connection, reason, now, by)

    do(work, tables.promotion, as_json=as_json)


@click.group()
def snapshots() -> None:
    """What was learned, version by version, and which one decisions use."""


@snapshots.command("list")
@click.option("--limit", type=click.IntRange(1, 1_000), default=20, show_default=True)
@_AS_JSON
def show_snapshots(*, limit: int, as_json: bool) -> None:
    """The newest snapshots, and which one decisions use."""
    from service.policies import tables  # noqa: PLC0415 - as above
    from service.store import snapshot_pins  # noqa: PLC0415 - as above

    do(lambda connection, _now, _by: snapshot_pins.overview(connection, limit), tables.snapshots, as_json=as_json)


@snapshots.command()
@click.argument("version", type=click.IntRange(1))
@_REASON
@_AS_JSON
def pin(*, version: int, reason: str, as_json: bool) -> None:
    """Hold decisions to a snapshot; the learner goes on counting and publishing."""
    from service.policies import pinning, tables  # noqa: PLC0415 - as above

    do(
        lambda connection, now, by: pinning.pin(connection, version, reason, now, by),
        tables.snapshots,
        as_json=as_json,
    )


@snapshots.command()
@_REASON
@_AS_JSON
def unpin(*, reason: str, as_json: bool) -> None:
    """Let decisions use the newest snapshot again."""
    from service.policies import pinning, tables  # noqa: PLC0415 - as above

    do(lambda connection, now, by: pinning.unpin(connection, reason, now, by), tables.snapshots, as_json=as_json)


def _request(asked: dict[str, Any]) -> Any:
    from schema.policy_evaluation import EvaluationRequest  # noqa: PLC0415 - as above

    instants: dict[str, Any] = {name: _in_utc(asked.pop(name)) for name in ("since", "until")}
    return EvaluationRequest(**instants, **asked)


def _in_utc(instant: datetime | None) -> datetime | None:
    return instant.replace(tzinfo=UTC) if instant is not None and instant.tzinfo is None else instant
