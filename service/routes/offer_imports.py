"""The upload of a CSV file of offers."""

from typing import Any, Final

import asyncpg
import msgspec
from litestar import Controller, Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, SkipValidation

from service.clock import Clock
from service.errors import MEDIA_TYPE, request_id_of
from service.ingest.import_report import ImportProblem, ImportReport, pointers, verdict
from service.ingest.offers_csv import FILE_BYTES_MAX
from service.ingest.offers_import import import_offers
from service.routes.acting import act_once
from service.routes.caller import recorded_as
from service.store import audit

_ENCODER: Final = msgspec.json.Encoder()


class _Refused(Exception):
    def __init__(self, report: ImportReport) -> None:
        self.report = report


class OfferImportController(Controller):
    """Files of offers."""

    path = "/v1/offers/imports"
    tags = ("offers",)
    opt = {"scope": "offers", "body_bytes_max": FILE_BYTES_MAX, "content_types": ("text/csv",), "body": str}

    @post(status_code=200)
    async def run(
        self,
        request: Request[Any, Any, Any],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        clock: NamedDependency[SkipValidation[Clock]],
        dry_run: FromQuery[bool] = False,
    ) -> Response[ImportReport]:
        """Creates or replaces the offers of a CSV file (docs/offers-csv.md), or with dry_run only says what it would do.

        All or nothing: 422 with the report when any cell is wrong, and then nothing is written.
        """
        data = await request.body()
        now = await clock.now()

        async def effect(connection: Any) -> ImportReport:
            await audit.speak(connection, recorded_as(request))
            report = await import_offers(connection, data, dry_run=dry_run, now=now)
            if report.errors_found:
                raise _Refused(report)
            return report

        try:
            return await act_once(request, pool, now, effect, status=200)
        except _Refused as refused:
            problem = _problem(refused.report, request_id_of(request.scope))
            return Response(_ENCODER.encode(problem), status_code=422, media_type=MEDIA_TYPE)  # type: ignore[arg-type] # Response[T] is invariant


def _problem(report: ImportReport, request_id: str) -> ImportProblem:
    return ImportProblem(
        type="urn:welltimed:problem:invalid_body",
        title="Invalid body",
        status=422,
        code="invalid_body",
        detail=verdict(report),
        request_id=request_id,
        errors=pointers(report),
        report=report,
    )
