"""The request class of the API: a JSON body is decoded once, strictly, straight into the struct its handler takes."""

from functools import lru_cache
from typing import Any

import msgspec
from litestar import Request
from litestar.handlers.base import BaseRouteHandler

from service.errors import decode


@lru_cache(maxsize=1024)
def _decoder_of(handler: BaseRouteHandler) -> msgspec.json.Decoder[Any]:
    data = handler.parsed_fn_signature.parameters.get("data")
    return msgspec.json.Decoder(Any if data is None else data.annotation)


class StrictRequest(Request[Any, Any, Any]):
    """Litestar would decode to plain Python and convert that leniently ("5" for 5), with errors that name no exact place."""

    async def json(self) -> Any:
        """The body as the type of the handler's `data`. Raises ApiError 400."""
        return decode(await self.body(), _decoder_of(self.route_handler))
