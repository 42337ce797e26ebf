"""What was done by whom, as GET /v1/audit tells it."""

from datetime import datetime
from typing import Any

from schema.base import Kept


class Act(Kept, frozen=True):
    """One entry of the audit log. `by` is `key …`, `command line, …` or a role of the database; `hash` holds that of the entry before."""

    seq: int
    at: datetime
    by: str
    what: str
    subject: str | None
    detail: dict[str, Any]
    hash: str


class AuditPage(Kept, frozen=True):
    """A page of GET /v1/audit, the newest first; `next_cursor` leads to the next one and is null on the last."""

    data: list[Act]
    next_cursor: str | None
    has_more: bool
