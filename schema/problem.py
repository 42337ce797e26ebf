"""The error body of the API (RFC 9457) and its stable codes."""

from typing import Literal

import msgspec

from schema.base import Kept

Code = Literal[
    "malformed_json",
    "invalid_body",
    "invalid_field",
    "unknown_field",
    "body_too_large",
    "batch_too_large",
    "unsupported_media_type",
    "unauthenticated",
    "forbidden",
    "user_token_required",
    "invalid_feedback_token",
    "not_found",
    "conflict",
    "idempotency_key_reused",
    "idempotency_key_in_flight",
    "no_redeemable_offer",
    "no_offer_with_margin",
    "no_offer_with_cost",
    "unknown_reservation",
    "reservation_expired",
    "already_redeemed",
    "already_rolled_back",
    "unknown_offer",
    "ambiguous_code",
    "offer_paused",
    "offer_not_started",
    "offer_ended",
    "limit_reached",
    "budget_spent",
    "wrong_person",
    "wrong_store",
    "replay_impossible",
    "promotion_refused",
    "rate_limited",
    "request_timeout",
    "headers_too_large",
    "overloaded",
    "unavailable",
    "internal",
]


class FieldError(Kept, frozen=True):
    """One thing wrong with a request: where (a JSON pointer), which rule, and what to do in words."""

    pointer: str
    code: str
    detail: str


class Problem(Kept, frozen=True, omit_defaults=True):
    """An answer of type application/problem+json."""

    type: str
    title: str
    status: int
    code: Code
    detail: str
    request_id: str = ""
    errors: list[FieldError] = msgspec.field(default_factory=list)
