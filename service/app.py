"""The HTTP application: every route, what it is given, and who guards it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from litestar import Controller, Litestar
from litestar.di import Provide

from service import errors, guards
from service.resources import Resources
from service.routes.access import IdentityController, KeyController
from service.routes.audit import AuditController
from service.routes.campaigns import CampaignController
from service.routes.clock import ClockController
from service.routes.contact_rules import ContactRulesController
from service.routes.decisions import DecisionController
from service.routes.devices import DeviceController
from service.routes.document import configuration
from service.routes.drafts import DraftController
from service.routes.email_addresses import EmailAddressController
from service.routes.events import EventController
from service.routes.feedback import FeedbackController
from service.routes.forecasts import ForecastController
from service.routes.health import HealthController
from service.routes.inbox import InboxController
from service.routes.offer_imports import OfferImportController
from service.routes.offers import OfferController
from service.routes.people import IdentifyController, UserController
from service.routes.policies import PolicyController
from service.routes.redemptions import RedemptionController
from service.routes.sending import SendingController
from service.routes.snapshots import SnapshotController
from service.routes.strict_query import strict_query
from service.routes.strict_request import StrictRequest
from service.routes.unsubscribe import UnsubscribeController
from service.routes.webhooks import WebhookController
from service.store import merged_state


def create_app(resources: Resources) -> Litestar:
    """Builds the application; its lifespan opens and closes `resources`.

    Raises ImproperlyConfiguredException for a route that does not say who may call it.
    """

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        async with resources.running():
            yield

    app = Litestar(
        route_handlers=_controllers(resources),
        dependencies=_dependencies(resources),
        middleware=[guards.Gate(lambda: resources.access), strict_query],
        before_send=[guards.stamp],
        exception_handlers={Exception: errors.answer},
        request_class=StrictRequest,
        request_max_body_size=None,  # the gate holds every body to its route's limit
        openapi_config=configuration(),
        lifespan=[lifespan],
        logging_config=None,
        debug=False,
        pdb_on_exception=False,
    )
    guards.refuse_open_routes(app)
    return app


def _controllers(resources: Resources) -> list[type[Controller]]:
    controllers: list[type[Controller]] = [
        AuditController,
        CampaignController,
        ContactRulesController,
        DecisionController,
        DeviceController,
        DraftController,
        EmailAddressController,
        EventController,
        FeedbackController,
        ForecastController,
        HealthController,
        IdentifyController,
        IdentityController,
        InboxController,
        KeyController,
        OfferController,
        OfferImportController,
        PolicyController,
        RedemptionController,
        SendingController,
        SnapshotController,
        UnsubscribeController,
        UserController,
        WebhookController,
    ]
    if resources.settings.is_virtual_clock:
        controllers.append(ClockController)
    return controllers


def _dependencies(resources: Resources) -> Mapping[str, Provide]:
    given: Mapping[str, Callable[[], Any]] = {
        "access": lambda: resources.access,
        "answers": lambda: resources.answers,
        "catalogue": lambda: resources.catalogue,
        "clock": lambda: resources.clock,
        "counted": lambda: resources.counted,
        "decisions": lambda: resources.decisions,
        "encryption": lambda: resources.encryption,
        "evaluator": lambda: resources.evaluator,
        "forecaster": lambda: resources.forecaster,
        "feedback_key": lambda: resources.feedback_key,
        "hand": lambda: resources.hand,
        "intake": lambda: resources.intake,
        "merge_state": lambda: merged_state.merged,
        "offer_ids": lambda: resources.offer_ids,
        "pool": lambda: resources.pool,
        "readiness": lambda: resources.readiness,
        "settings": lambda: resources.settings,
        "unsubscribe_key": lambda: resources.unsubscribe_key,
        "triggers": lambda: resources.triggers,
    }
    return {name: Provide(part, sync_to_thread=False) for name, part in given.items()}
