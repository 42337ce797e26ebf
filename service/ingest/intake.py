"""POST /v1/events in one call: for the typed controller and for the fast lane alike."""

from datetime import datetime

from schema.event import BatchAnswer
from service import telemetry
from service.ingest import envelope
from service.ingest.buffer import EventBuffer
from service.ingest.judge import Caller, judge, moment
from service.store.offer_ids import OfferIds


async def take(body: bytes, caller: Caller, now: datetime, offers: OfferIds, buffer: EventBuffer) -> BatchAnswer:
    """Judges and writes a batch; `now` is the instant it was received. Answers after the commit.

    Raises:
        ApiError: 400 or 413 for the envelope as a whole, 503 when it cannot be taken now.
    """
    batch = envelope.open_envelope(body)
    decoded = envelope.decode(batch)
    names = envelope.offer_names(decoded)
    checked, problems = judge(decoded, moment(batch.sent_at, now), caller, await offers.of(names) if names else {})
    is_new = await buffer.submit(checked)
    answer = BatchAnswer(
        accepted=sum(is_new),
        duplicates=len(is_new) - sum(is_new),
        rejected=len(problems),
        errors=problems,
    )
    telemetry.EVENTS.labels("accepted").inc(answer.accepted)
    telemetry.EVENTS.labels("duplicate").inc(answer.duplicates)
    telemetry.EVENTS.labels("rejected").inc(answer.rejected)
    return answer
