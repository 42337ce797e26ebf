"""Policies and promotions in PostgreSQL: versions are only added, and the newest promotion is in force."""

from datetime import datetime
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from schema.policy import BUILT_IN, Policy, PolicySettings, Promotion

PROMOTIONS_SHOWN: Final = 100

_NEWEST: Final = """
    select name, version, settings, created_at, created_by from policies where name = $1 order by version desc limit 1
"""
_LIST: Final = """
    select distinct on (name) name, version, settings, created_at, created_by from policies order by name, version desc
"""
_CREATE: Final = """
    insert into policies (name, version, settings, created_at, created_by)
    select $1, coalesce(max(version), 0) + 1, $2, $3, $4 from policies where name = $1
    returning version
"""
_IN_FORCE: Final = """
    select p.promotion_id, p.before_id, p.name, p.version, s.settings
      from promotions p left join policies s using (name, version) order by p.promotion_id desc limit 1
"""
_BEFORE: Final = "select promotion_id, before_id, name, version from promotions where promotion_id = $1"
_RECORD: Final = """
    insert into promotions (promotion_id, name, version, before_id, kind, promoted_at, promoted_by, is_forced, reason, evaluation)
    select $1 + 1, $2, $3, $4, $5, $6, $7, $8, $9, $10 where $1 = (select coalesce(max(promotion_id), 0) from promotions)
"""
_NOTIFY: Final = "select pg_notify('snapshot', '')"
_PROMOTIONS: Final = """
    select promotion_id, name, version, kind, promoted_at, promoted_by, is_forced, reason, evaluation
      from promotions order by promotion_id desc limit $1
"""


class OvertakenError(RuntimeError):
    """Somebody else has promoted or rolled back meanwhile."""


class NothingBeforeError(LookupError):
    """The built-in policy is in force: there is nothing to roll back to."""


class InForce(NamedTuple):
    """The policy in force, and the promotion that made it so; 0 while none has been promoted."""

    promotion_id: int
    before_id: int
    name: str
    version: int
    settings: PolicySettings

    @property
    def label(self) -> str:
        """How decisions name the policy they were made by."""
        return label_of(self.name, self.version)


class Given(NamedTuple):
    """What is recorded of a promotion beside the policy."""

    at: datetime
    by: str
    reason: str
    is_forced: bool = False
    evaluation: dict[str, Any] | None = None


def label_of(name: str, version: int) -> str:
    """A version of a policy in one word."""
    return f"{name}@{version}"


async def newest(connection: Any, name: str) -> Policy | None:
    """The newest version of a policy that somebody made."""
    row = await connection.fetchrow(_NEWEST, name)
    return None if row is None else _policy(row)


async def newest_of_all(connection: Any) -> list[Policy]:
    """The newest version of each, by name."""
    return [_policy(row) for row in await connection.fetch(_LIST)]


async def create(connection: Any, settings: PolicySettings, now: datetime, by: str) -> Policy:
    """Adds the next version of the policy; the newest one when its settings are these already.

    Raises:
        OvertakenError: somebody else adds a version at the same moment.
    """
    before = await newest(connection, settings.name)
    if before is not None and before.settings == settings:
        return before
    try:
        version = await connection.fetchval(_CREATE, settings.name, msgspec.to_builtins(settings), now, by)
    except asyncpg.UniqueViolationError:
        raise OvertakenError("Somebody else has just added a version of this policy.") from None
    return Policy(version=version, settings=settings, created_at=now, created_by=by)


async def in_force(connection: Any, built_in: PolicySettings) -> InForce:
    """The policy that decisions are to be made by."""
    row = await connection.fetchrow(_IN_FORCE)
    if row is None:
        return InForce(0, 0, BUILT_IN, 0, built_in)
    is_built_in = row["settings"] is None
    settings = built_in if is_built_in else msgspec.convert(row["settings"], PolicySettings)
    return InForce(row["promotion_id"], row["before_id"], row["name"], row["version"], settings)


async def promote(connection: Any, policy: Policy, over: InForce, given: Given) -> Promotion:
    """Brings a policy into force in the place of the one it was judged against.

    Raises:
        OvertakenError: that one is no longer in force.
    """
    return await _record(connection, over, "promote", (policy.settings.name, policy.version, over.promotion_id), given)


async def roll_back(connection: Any, over: InForce, given: Given) -> Promotion:
    """Brings back what was in force before; again, what was before that, down to the built-in policy.

    Raises:
        NothingBeforeError: the built-in policy is in force, and nothing was before it.
        OvertakenError: another promotion came meanwhile.
    """
    if over.promotion_id == 0 or (over.before_id == 0 and over.version == 0):
        raise NothingBeforeError("The built-in policy is in force; there is nothing to roll back to.")
    before = await connection.fetchrow(_BEFORE, over.before_id)
    target = (BUILT_IN, 0, 0) if before is None else (before["name"], before["version"], before["before_id"])
    return await _record(connection, over, "rollback", target, given)


async def _record(connection: Any, over: InForce, kind: str, target: tuple[str, int, int], given: Given) -> Promotion:
    name, version, before_id = target
    facts = (given.at, given.by, given.is_forced, given.reason, given.evaluation)
    try:
        done = await connection.execute(_RECORD, over.promotion_id, name, version, before_id, kind, *facts)
    except asyncpg.UniqueViolationError:
        done = "INSERT 0 0"
    if not done.endswith(" 1"):
        raise OvertakenError("Another policy has come into force meanwhile; evaluate again.")
    await connection.execute(_NOTIFY)
    return (await promotions(connection, 1))[0]


async def promotions(connection: Any, count: int = PROMOTIONS_SHOWN) -> list[Promotion]:
    """The newest ones, newest first."""
    return [Promotion(**row) for row in await connection.fetch(_PROMOTIONS, count)]


def _policy(row: Any) -> Policy:
    return Policy(
        version=row["version"],
        settings=msgspec.convert(row["settings"], PolicySettings),
        created_at=row["created_at"],
        created_by=row["created_by"],
    )
