"""/v1/unsubscribe/{token}: what every e-mail links to. POST ends all e-mail in one click (RFC 8058); GET asks first, since links are fetched by machines."""

import base64
import hashlib
from typing import Any, Final

import asyncpg
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.enums import MediaType
from litestar.params import FromPath, SkipValidation

from push.channels.mail import addresses
from push.channels.mail.unsubscribe import user_of
from service.errors import ApiError
from service.store import people
from service.store.signing_keys import SigningKey

_STYLE: Final = "body{font-family:system-ui,sans-serif;max-width:30em;margin:4em auto;padding:0 1em}"
_HEAD: Final = (
    '<!doctype html><html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    f'<meta name="robots" content="noindex"><title>E-mail</title><style>{_STYLE}</style></head><body>'
)
_ASK: Final = (
    _HEAD + '<p>End all e-mail to you?</p><form method="post"><button>Unsubscribe</button></form></body></html>'
)
_DONE: Final = _HEAD + "<p>Done: you will get no more e-mail.</p></body></html>"
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS: Final = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; frame-ancestors 'none'"
}
_FORMS: Final = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")


class UnsubscribeController(Controller):
    """No key is needed: the token in the link is signed, and lets nothing be done but this."""

    path = "/v1/unsubscribe/{token:str}"
    tags = ("users",)
    opt = {"scope": "public", "body_bytes_max": 4096, "content_types": _FORMS}

    @get(status_code=200, media_type=MediaType.HTML)
    async def ask(
        self,
        token: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        unsubscribe_key: NamedDependency[SkipValidation[SigningKey]],
    ) -> Response[str]:
        """A page with one button. Nothing is changed by looking."""
        await _person(token, pool, unsubscribe_key)
        return Response(_ASK, media_type=MediaType.HTML, headers=_HEADERS)

    @post(status_code=200, media_type=MediaType.HTML)
    async def unsubscribe(
        self,
        token: FromPath[str],
        pool: NamedDependency[SkipValidation[asyncpg.Pool]],
        unsubscribe_key: NamedDependency[SkipValidation[SigningKey]],
    ) -> Response[str]:
        """Withdraws consent to e-mail; what is ready to leave is withdrawn too. The same again changes nothing."""
        user_id = await _person(token, pool, unsubscribe_key)
        async with pool.acquire() as connection, connection.transaction():
            person = await people.hold_by_id(connection, user_id)
            await addresses.withdraw(connection, person.user_id)
        return Response(_DONE, media_type=MediaType.HTML, headers=_HEADERS)


async def _person(token: str, pool: Any, key: SigningKey) -> int:
    """Raises ApiError 404 for a link that is none of ours."""
    user_id = user_of(await key.of(pool), token)
    if user_id is None or await pool.fetchval("select 1 from users where user_id = $1", user_id) is None:
        raise ApiError(404, "not_found", "This link is not complete: take it from the e-mail again.")
    return user_id
