"""The OpenAPI document, cured of what generators of clients stumble over."""

from importlib.metadata import version
from typing import Any, Final

import msgspec
from litestar import Request, Router
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from schema.problem import Problem
from service import errors

_ENCODER: Final = msgspec.json.Encoder()
_REFERENCE: Final = "#/components/schemas/{name}"
_KEY: Final = SecurityScheme(type="http", scheme="bearer", description="A key: pk_… in an app, sk_… on a server.")
_USER_TOKEN: Final = SecurityScheme(
    type="apiKey", name="X-User-Token", security_scheme_in="header", description="A JWT whose sub is the user id."
)


class CuredDocument(JsonRenderPlugin):
    """Serves the document with one named Problem as the error of every operation, sized numbers and each route's keys."""

    _rendered = b""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        """The document as JSON; routes do not change once the first request is served."""
        self._rendered = self._rendered or _ENCODER.encode(cured(openapi_schema, _options(request)))
        return self._rendered


def configuration() -> OpenAPIConfig:
    """What create_app hands to Litestar."""
    return OpenAPIConfig(
        title="welltimed",
        version=version("welltimed"),
        description="Which deal, at what moment, or nothing at all. Errors are application/problem+json (RFC 9457).",
        components=Components(security_schemes={"key": _KEY, "userToken": _USER_TOKEN}),
        use_handler_docstrings=True,
        create_examples=False,
        render_plugins=[CuredDocument()],
        openapi_router=Router("/schema", route_handlers=[], include_in_schema=False, opt={"scope": "public"}),
    )


def _options(request: Request[Any, Any, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The `opt` of every operation by path and method."""
    return {
        (route.path_format, method.lower()): handler.opt
        for route in request.app.routes
        for handler in getattr(route, "route_handlers", [])
        for method in handler.http_methods
    }


def cured(document: dict[str, Any], options: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    """A copy of the document, ready for generators.

    Args:
        document: as Litestar made it.
        options: `opt` of each operation by path and method (lower case): `scope`, and `body`, the type of a body that
            the handler reads itself (with `content_types`, or JSON).
    """
    bodies = [option["body"] for option in options.values() if "body" in option]
    _, components = msgspec.json.schema_components([Problem, *bodies], ref_template=_REFERENCE)
    fresh: dict[str, Any] = msgspec.json.decode(_ENCODER.encode(document))
    fresh["components"].setdefault("schemas", {}).update(components)
    for path, operations in fresh["paths"].items():
        for method, operation in operations.items():
            if isinstance(operation, dict) and "responses" in operation:
                _cure_operation(operation, options.get((path, method), {}))
    _cure_schema(fresh)
    return fresh


def _cure_operation(operation: dict[str, Any], option: dict[str, Any]) -> None:
    problem = {"$ref": _REFERENCE.format(name="Problem")}
    content = {errors.MEDIA_TYPE: {"schema": problem}}
    operation["responses"].pop("400", None)
    operation["responses"]["default"] = {
        "description": "What is wrong, in one shape for all errors.",
        "content": content,
    }
    if "body" in option:
        (schema,), _ = msgspec.json.schema_components([option["body"]], ref_template=_REFERENCE)
        kinds = option.get("content_types", ("application/json",))
        operation["requestBody"] = {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}
    scope = option.get("scope", "public")
    if scope == "sdk":
        operation["security"] = [{"key": []}, {"key": [], "userToken": []}]
    elif scope != "public":
        operation["security"] = [{"key": []}]


def _cure_schema(node: Any) -> None:
    """Gives integers and numbers a format: without one some generators make 32-bit integers of instants in milliseconds."""
    if isinstance(node, list):
        for item in node:
            _cure_schema(item)
    if not isinstance(node, dict):
        return
    if node.get("type") == "integer":
        node.setdefault("format", "int32" if node.get("maximum", 2**63) < 2**31 else "int64")
    elif node.get("type") == "number":
        node.setdefault("format", "double")
    for child in node.values():
        _cure_schema(child)
