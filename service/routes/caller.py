"""For whom a call acts, and texts from a path or query that PostgreSQL can hold."""

from typing import Any

from litestar import Request

from schema.external_id import ID_RULE, is_fit
from service import guards
from service.errors import ApiError, invalid_field
from service.guards import NAMED_IN_BODY, NAMED_IN_QUERY, Principal
from service.store import zones
from service.store.people import USER, PersonKey, Speaker


def principal_of(request: Request[Any, Any, Any]) -> Principal:
    """Who calls, as the gate found out."""
    return request.scope["state"]["principal"]  # type: ignore[no-any-return] # the state of an ASGI scope is untyped


def recorded_as(request: Request[Any, Any, Any]) -> str:
    """How a change that this call makes is recorded: by whom."""
    return f"key {principal_of(request).key_id}"


def person_of(request: Request[Any, Any, Any], user_id: str | None, place: str = NAMED_IN_BODY) -> PersonKey:
    """The user a call acts for. Raises ApiError 403 when the key may not, 400 about `place` when nobody is named."""
    return guards.acting_user(principal_of(request), user_id, None, place)


def speaker_of(
    request: Request[Any, Any, Any], user_id: str | None, anonymous_id: str | None, place: str = NAMED_IN_BODY
) -> Speaker:
    """Whom a call says it acts for. Raises ApiError 403 when the key may not, 400 about `place` when nobody is named."""
    return guards.speaker_of(principal_of(request), user_id, anonymous_id, place)


def named_in_query(request: Request[Any, Any, Any], user_id: str | None, anonymous_id: str | None) -> Speaker:
    """The person a query names, or a user token. Raises ApiError 400 for an unfit id or nobody, 403 for somebody else's."""
    for name, text in (("user_id", user_id), ("anonymous_id", anonymous_id)):
        if text is not None:
            fit_id(f"query:{name}", text)
    return speaker_of(request, user_id, anonymous_id, NAMED_IN_QUERY)


def owner_of(request: Request[Any, Any, Any], user_id: str) -> PersonKey:
    """The user a path names. Raises ApiError 400 for an unfit id, 403 when it is somebody else's."""
    person = person_of(request, fit_id("path:user_id", user_id))
    if person != PersonKey(USER, user_id):
        raise ApiError(403, "forbidden", "The user token speaks for another user.")
    return person


def fit_id(place: str, text: str) -> str:
    """An id out of a path or query. Raises ApiError 400 when it cannot be one."""
    if not is_fit(text):
        raise invalid_field(place, ID_RULE)
    return text


def check_zone(zone: str | None) -> None:
    """Raises ApiError 400 for a time zone that the IANA database does not know."""
    if zone is not None and not zones.is_known(zone):
        detail = "This time zone is unknown; send a name of the IANA database, such as America/New_York."
        raise invalid_field("/time_zone", detail)
