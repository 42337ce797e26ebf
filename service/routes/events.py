"""POST /v1/events: what apps and tills report."""

from typing import Any, Final

from litestar import Controller, Request, post
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from schema.event import BATCH_BYTES_MAX, BatchAnswer, WrittenBatch
from service.ingest.intake import Intake
from service.ingest.judge import Caller
from service.routes.caller import principal_of, speaker_of

_OPT: Final = {"scope": "sdk", "sk_scope": "ingest", "body_bytes_max": BATCH_BYTES_MAX, "body": WrittenBatch}


def caller_of(request: Request[Any, Any, Any]) -> Caller:
    """What the key of a request allows with events."""
    principal = principal_of(request)
    return Caller(
        is_secret=principal.kind == "sk",
        may_backfill=principal.may("ingest"),
        acts_as=lambda user_id, anonymous_id: speaker_of(request, user_id, anonymous_id),
    )


class EventController(Controller):
    """Takes events in batches."""

    path = "/v1/events"
    tags = ("events",)
    opt = _OPT

    @post(status_code=200)
    async def take(
        self, request: Request[Any, Any, Any], intake: NamedDependency[SkipValidation[Intake]]
    ) -> BatchAnswer:
        """Judges every event by itself, writes the good ones, and answers after the commit.

        The body is `{sent_at, batch: [event, …]}` with at most 500 events and 512 kB. An event sent twice with the same
        event_id within seven days is a duplicate. When sent_at is more than 30 s off our clock, the same difference is
        added to each occurred_at. Events older than 7 days are refused (400 days for a secret key), and those of the future.
        A tag that no offer has is made known by an event of a secret key; from a publishable key's events it is left out.
        """
        return await intake.take(await request.body(), caller_of(request))
