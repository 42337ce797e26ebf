"""Who may call which route, written down by hand: a route that is not here, or says another scope of itself, fails the tests."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from litestar import Litestar

PUBLIC: Final = "public"

# What a secret key needs; `pk` before it: a publishable key may too, for its own person.
ROUTES: Final[dict[tuple[str, str], str]] = {
    ("GET", "/livez"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/metrics"): PUBLIC,
    ("GET", "/schema"): PUBLIC,
    ("GET", "/schema/openapi.json"): PUBLIC,
    ("GET", "/schema/{path:str}"): PUBLIC,
    ("GET", "/v1/unsubscribe/{token:str}"): PUBLIC,
    ("POST", "/v1/unsubscribe/{token:str}"): PUBLIC,
    ("POST", "/v1/events"): "pk ingest",
    ("POST", "/v1/decisions/{decision_id:uuid}/feedback"): "pk ingest",
    ("POST", "/v1/decisions"): "pk users",
    ("GET", "/v1/decisions/{decision_id:uuid}"): "pk users",
    ("GET", "/v1/decisions/{decision_id:uuid}/explanation"): "pk users",
    ("GET", "/v1/inbox"): "pk users",
    ("POST", "/v1/identify"): "pk users",
    ("PUT", "/v1/devices/{device_id:str}"): "pk users",
    ("DELETE", "/v1/devices/{device_id:str}"): "pk users",
    ("GET", "/v1/users/{user_id:str}/consent"): "pk users",
    ("PATCH", "/v1/users/{user_id:str}/consent"): "pk users",
    ("GET", "/v1/users/{user_id:str}/preferences"): "pk users",
    ("PATCH", "/v1/users/{user_id:str}/preferences"): "pk users",
    ("GET", "/v1/users/{user_id:str}/email"): "pk users",
    ("PUT", "/v1/users/{user_id:str}/email"): "pk users",
    ("DELETE", "/v1/users/{user_id:str}/email"): "pk users",
    ("POST", "/v1/redemptions"): "ingest",
    ("GET", "/v1/redemptions/{redemption_id:uuid}"): "ingest",
    ("POST", "/v1/redemptions/{redemption_id:uuid}/rollback"): "ingest",
    ("GET", "/v1/offers"): "offers",
    ("POST", "/v1/offers"): "offers",
    ("POST", "/v1/offers/imports"): "offers",
    ("GET", "/v1/offers/{offer_id:str}"): "offers",
    ("PUT", "/v1/offers/{offer_id:str}"): "offers",
    ("PATCH", "/v1/offers/{offer_id:str}"): "offers",
    ("DELETE", "/v1/offers/{offer_id:str}"): "offers",
    ("GET", "/v1/offers/{offer_id:str}/allowance"): "offers",
    ("GET", "/v1/campaigns"): "campaigns",
    ("POST", "/v1/campaigns"): "campaigns",
    ("GET", "/v1/campaigns/{campaign_id:str}"): "campaigns",
    ("PUT", "/v1/campaigns/{campaign_id:str}"): "campaigns",
    ("DELETE", "/v1/campaigns/{campaign_id:str}"): "campaigns",
    ("GET", "/v1/campaigns/{campaign_id:str}/allowance"): "campaigns",
    ("GET", "/v1/campaigns/{campaign_id:str}/changes"): "campaigns",
    ("GET", "/v1/campaigns/{campaign_id:str}/forecast"): "campaigns",
    ("GET", "/v1/campaigns/{campaign_id:str}/outcomes"): "campaigns",
    ("POST", "/v1/campaigns/{campaign_id:str}/approve"): "campaigns:approve",
    ("POST", "/v1/campaigns/{campaign_id:str}/end"): "campaigns",
    ("POST", "/v1/campaigns/{campaign_id:str}/pause"): "campaigns",
    ("POST", "/v1/campaigns/{campaign_id:str}/resume"): "campaigns",
    ("GET", "/v1/contact-rules"): "campaigns",
    ("GET", "/v1/contact-rules/versions"): "campaigns",
    ("PUT", "/v1/contact-rules"): "admin",
    ("GET", "/v1/sending"): "campaigns",
    ("PUT", "/v1/sending"): "campaigns",
    ("POST", "/v1/decisions/{decision_id:uuid}/replay"): "reports",
    ("GET", "/v1/policies"): "reports",
    ("GET", "/v1/policies/{name:str}"): "reports",
    ("POST", "/v1/policies/{name:str}/evaluate"): "reports",
    ("GET", "/v1/snapshots"): "reports",
    ("POST", "/v1/policies"): "admin",
    ("POST", "/v1/policies/rollback"): "admin",
    ("POST", "/v1/policies/{name:str}/promote"): "admin",
    ("POST", "/v1/snapshots/unpin"): "admin",
    ("POST", "/v1/snapshots/{version:int}/pin"): "admin",
    ("GET", "/v1/audit"): "admin",
    ("GET", "/v1/identity"): "admin",
    ("PUT", "/v1/identity"): "admin",
    ("GET", "/v1/keys"): "admin",
    ("POST", "/v1/keys"): "admin",
    ("DELETE", "/v1/keys/{key_id:uuid}"): "admin",
    ("GET", "/v1/webhooks"): "admin",
    ("POST", "/v1/webhooks"): "admin",
    ("GET", "/v1/webhooks/{webhook_id:str}"): "admin",
    ("PATCH", "/v1/webhooks/{webhook_id:str}"): "admin",
    ("DELETE", "/v1/webhooks/{webhook_id:str}"): "admin",
    ("POST", "/v1/webhooks/{webhook_id:str}/secret"): "admin",
    ("GET", "/v1/clock"): "admin",  # with a virtual clock only
    ("POST", "/v1/clock"): "admin",
}

_SOMETHING: Final = {"{decision_id:uuid}": "00000000-0000-7000-8000-000000000007", "{version:int}": "7"}


class Row(NamedTuple):
    """A route of the table."""

    method: str
    template: str
    needs: str
    is_for_apps: bool

    @property
    def path(self) -> str:
        """A path of the route, to something that does not exist."""
        parts = self.template.split("/")
        return "/".join(_filled(part) if part.startswith("{") else part for part in parts)

    @property
    def has_body(self) -> bool:
        return self.method in {"POST", "PUT", "PATCH"}


def _filled(part: str) -> str:
    if part.endswith(":uuid}"):
        return _SOMETHING["{decision_id:uuid}"]
    return _SOMETHING.get(part, "seven")


def rows() -> Iterator[Row]:
    """The table's rows."""
    for (method, template), needs in ROUTES.items():
        yield Row(method, template, needs.removeprefix("pk "), needs.startswith("pk "))


def handlers(app: Litestar) -> Iterator[tuple[tuple[str, str], Any]]:
    """Every route the application serves, with its handler, but the OPTIONS that Litestar adds, which the gate refuses."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", None) or [route.route_handler]:
            for method in sorted(handler.http_methods - {"OPTIONS"}):
                yield (method, route.path), handler
