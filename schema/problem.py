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
    "not_found",
    "conflict",
    "idempotency_key_reused",
    "idempotency_key_in_flight",
    "no_redeemable_offer",
    "no_offer_with_margin",
    "replay_impossible",
    "promotion_refused",
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
