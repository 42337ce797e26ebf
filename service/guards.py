"""Who may call what: every route states its scope, and one middleware lets in only those who have it. Deny by default."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import msgspec
from litestar import Litestar
from litestar.exceptions import ImproperlyConfiguredException
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from schema.access import IdentityMode, KeyKind
from schema.problem import FieldError
from service.errors import ApiError, invalid_field, request_id_of
from service.store.access import ActiveKey
from service.store.access_cache import AccessCache
from service.store.people import PersonKey, Speaker
from service.store.user_tokens import InvalidUserToken

PUBLIC: Final = "public"
SDK: Final = "sdk"
APPROVE: Final = "campaigns:approve"
SECRET_SCOPES: Final = frozenset({"ingest", "offers", "users", "campaigns", APPROVE, "reports", "admin"})
BODY_BYTES_MAX: Final = 256 * 1024
SPEAKERS_MAX: Final = 65_536
"""About 300 bytes each."""
SECRET_CHARACTERS_MAX: Final = 256
JSON: Final = ("application/json",)
NAMED_IN_BODY: Final = "/user_id"
NAMED_IN_QUERY: Final = "query:user_id"

_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
_HEADERS_OF_HTTPS: Final = (*_HEADERS, (b"strict-transport-security", b"max-age=31536000"))


class Principal(msgspec.Struct, frozen=True, gc=False):
    """Who calls: a key, what it may do, and the user a verified user token speaks for (only with a publishable key)."""

    key_id: UUID
    kind: KeyKind
    scopes: frozenset[str]
    user_external_id: str | None
    identity_mode: IdentityMode

    def may(self, scope: str) -> bool:
        """Whether this is a secret key with `scope`, which admin implies."""
        return self.kind == "sk" and (scope in self.scopes or "admin" in self.scopes)


def acting_user(
    principal: Principal, user_id: str | None, anonymous_id: str | None, place: str = NAMED_IN_BODY
) -> PersonKey:
    """The person a call acts for: whom the body names, as far as the key may speak for them.

    A secret key speaks for anyone. A publishable key speaks, in mode `required`, for its token's user or for an
    anonymous_id; in mode `optional` for its token's user when there is a token; else for whom the body names.
    With a token the body need not name anyone. Raises ApiError 403, or 400 about `place` when nobody is named.
    """
    token_user = principal.user_external_id
    if (
        principal.kind == "pk"
        and token_user is not None
        and (principal.identity_mode == "optional" or user_id is anonymous_id is None)
    ):
        return PersonKey(0, token_user)
    if user_id is not None:
        if principal.kind == "pk" and principal.identity_mode == "required" and user_id != token_user:
            raise ApiError(
                403, "forbidden", "A publishable key acts for a user_id only with that user's token in X-User-Token."
            )
        return PersonKey(0, user_id)
    if anonymous_id is not None:
        return PersonKey(1, anonymous_id)
    raise invalid_field(place, "Name a user_id or an anonymous_id.", "invalid_body")


def speaker_of(
    principal: Principal, user_id: str | None, anonymous_id: str | None, place: str = NAMED_IN_BODY
) -> Speaker:
    """As `acting_user`, with what only the person's row can tell: in mode `required` a publishable key's anonymous_id speaks
    for a known person only with that person's token.
    """
    if principal.kind == "sk" and user_id is not None:  # tills and servers bring most of all events
        return _named(user_id)
    is_bounded = principal.kind == "pk" and principal.identity_mode == "required"
    return Speaker(acting_user(principal, user_id, anonymous_id, place), is_bounded, principal.user_external_id)


@lru_cache(maxsize=SPEAKERS_MAX)
def _named(user_id: str) -> Speaker:
    """One object for all that is told of a person: thousands of events wait for their commit at once, each with its own would be out of the caches."""
    return Speaker(PersonKey(0, user_id))


async def admit(access: AccessCache, headers: Mapping[bytes, bytes], scope: str, sk_scope: str | None) -> Principal:
    """The principal of a request to a route of `scope` (for an `sdk` route, `sk_scope` is what a secret key needs).

    Raises ApiError 401 without a good key or token, 403 when the key may not, 429 when the person or the key asks too often.
    """
    key = await access.key_of(secret_of(headers))
    if key is None:
        raise ApiError(401, "unauthenticated", "This key is unknown or revoked.")
    return principal_of(access, key, headers, scope, sk_scope)


def principal_of(
    access: AccessCache, key: ActiveKey, headers: Mapping[bytes, bytes], scope: str, sk_scope: str | None
) -> Principal:
    """As `admit`, of a good key."""
    if key.kind == "pk":
        if scope != SDK:
            raise ApiError(403, "forbidden", "A publishable key may not do this; use a secret key on your server.")
        user_id = _user_of(access, headers)
        access.limits.check_key(key.key_id, user_id, is_secret=False)
        return Principal(key.key_id, key.kind, key.scopes, user_id, access.identity_mode)
    if b"origin" in headers:
        raise ApiError(
            403, "forbidden", "A secret key must not be used in a browser; revoke it if it was shipped in one."
        )
    principal = Principal(key.key_id, key.kind, key.scopes, None, access.identity_mode)
    needed = (sk_scope or "admin") if scope == SDK else scope
    if not principal.may(needed):
        raise ApiError(403, "forbidden", f"This key lacks the scope {needed}.")
    access.limits.check_key(key.key_id, None, is_secret=True)
    return principal


def secret_of(headers: Mapping[bytes, bytes]) -> str:
    """The key that came along, as yet unchecked. Raises ApiError 401 when there is none, or it cannot be one."""
    sent = headers.get(b"authorization", b"")
    return _secret_in(sent[: 2 * SECRET_CHARACTERS_MAX])  # so much is remembered of each, whatever was sent


@lru_cache(maxsize=1024)  # an app says the same each time
def _secret_in(authorization: bytes) -> str:
    scheme, _, secret = authorization.partition(b" ")
    secret = secret.strip()
    if scheme.lower() != b"bearer" or not secret.startswith((b"pk_", b"sk_")) or len(secret) > SECRET_CHARACTERS_MAX:
        raise ApiError(401, "unauthenticated", "Send a key: Authorization: Bearer pk_… or sk_….")
    return secret.decode("latin-1")


def _user_of(access: AccessCache, headers: Mapping[bytes, bytes]) -> str | None:
    token = headers.get(b"x-user-token")
    if token is None or access.identity_mode == "disabled":
        return None
    try:
        return access.user_of(token.decode("latin-1"))
    except InvalidUserToken as error:
        raise ApiError(401, "unauthenticated", f"The token in X-User-Token is not valid: {error}.") from None


class Gate(ASGIMiddleware):
    """Lets a request in to the route it was matched to, and holds its body to the route's size and media type.

    A route's opt: `scope`, and as needed `sk_scope`, `body_bytes_max` (bytes), `content_types` (a tuple).
    The principal of a route that is not public lies in scope["state"]["principal"].
    """

    def __init__(self, access: Callable[[], AccessCache]) -> None:
        self._access = access

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        """Raises ApiError 401, 403, 405, 413 or 415; 413 also while the body is being received."""
        opt: Mapping[str, Any] = scope["route_handler"].opt
        headers = dict(scope["headers"])
        needed = opt.get("scope")
        if needed is None:  # the OPTIONS that Litestar adds to every path
            raise ApiError(405, "not_found", "This method is not served here.")
        if needed != PUBLIC:
            scope["state"]["principal"] = await admit(self._access(), headers, needed, opt.get("sk_scope"))
        if scope.get("method") in _WITH_BODY:
            bytes_max = opt.get("body_bytes_max", BODY_BYTES_MAX)
            check_announced(headers, bytes_max, opt.get("content_types", JSON))
            receive = _bounded(receive, bytes_max)
        await next_app(scope, receive, send)


def check_announced(headers: Mapping[bytes, bytes], bytes_max: int, content_types: tuple[str, ...]) -> None:
    """Raises ApiError 413 or 415 for a body that its headers show to be too large or of another media type."""
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > bytes_max:
        raise _too_large(bytes_max)
    if length in {b"", b"0"} and b"transfer-encoding" not in headers:
        return  # there is no body
    check_media_type(headers, content_types)


def check_media_type(headers: Mapping[bytes, bytes], content_types: tuple[str, ...]) -> None:
    """Raises ApiError 415 for a body of another media type."""
    media_type = _media_type_of(headers.get(b"content-type", b""))
    if media_type not in content_types:
        raise ApiError(415, "unsupported_media_type", f"Send the body as {' or '.join(content_types)}.")


@lru_cache(maxsize=256)
def _media_type_of(sent: bytes) -> str:
    return sent.partition(b";")[0].strip().lower().decode("latin-1")


async def whole_body(receive: Receive, bytes_max: int) -> bytes:
    """The body, once it has come. Raises ApiError 413 when it is longer, 400 when the connection closes before."""
    bounded = _bounded(receive, bytes_max)
    message: Any = await bounded()
    if not message["more_body"]:
        return message["body"]  # type: ignore[no-any-return] # the messages of ASGI are untyped
    parts = [message["body"]]
    while message["more_body"]:
        message = await bounded()
        parts.append(message["body"])
    return b"".join(parts)


def _bounded(receive: Receive, bytes_max: int) -> Receive:
    received = 0
    is_complete = False

    async def bounded() -> Any:
        nonlocal received, is_complete
        message = await receive()
        if message["type"] == "http.request":
            received += len(message["body"])
            is_complete = not message["more_body"]
            if received > bytes_max:
                raise _too_large(bytes_max)
        elif not is_complete:
            raise ApiError(400, "malformed_json", "The connection closed before the whole body had come.")
        return message

    return bounded


def _too_large(bytes_max: int) -> ApiError:
    detail = f"The body may have at most {bytes_max} bytes here."
    return ApiError(413, "body_too_large", detail, [FieldError(pointer="", code="body_too_large", detail=detail)])


async def stamp(message: Message, scope: Scope) -> None:
    """Litestar's before_send hook: the request id and the security headers, on errors and unknown paths too."""
    if message["type"] != "http.response.start":
        return
    headers = list(message["headers"])
    present = {name for name, _ in headers}
    headers.append((b"x-request-id", request_id_of(scope).encode()))
    headers.extend(header for header in security_headers(scope["scheme"]) if header[0] not in present)
    message["headers"] = headers


def security_headers(scheme: str) -> tuple[tuple[bytes, bytes], ...]:
    """What every answer carries beside its request id."""
    return _HEADERS_OF_HTTPS if scheme == "https" else _HEADERS


def refuse_open_routes(app: Litestar) -> None:
    """Raises ImproperlyConfiguredException for a route that does not say who may call it."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", None) or [route.route_handler]:  # type: ignore[union-attr] # websocket and asgi routes have one
            if getattr(handler, "http_methods", None) == {"OPTIONS"}:
                continue
            scope, sk_scope = handler.opt.get("scope"), handler.opt.get("sk_scope")
            if scope not in SECRET_SCOPES | {PUBLIC, SDK} or (sk_scope is not None and sk_scope not in SECRET_SCOPES):
                raise ImproperlyConfiguredException(
                    f"{route.path} ({handler}): opt['scope'] is {scope!r}, sk_scope {sk_scope!r}"
                )
