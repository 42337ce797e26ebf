import importlib.metadata
from typing import Any

from tests.contract.test_routes import operations
from tests.integration.serving import serving


def nodes(node: Any) -> list[dict[str, Any]]:
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return [found for child in children for found in nodes(child)] + ([node] if isinstance(node, dict) else [])


async def test_the_document_is_fit_for_generators(database: str) -> None:
    async with serving(database, is_virtual_clock=True) as api:
        answer = await api.get("/schema/openapi.json")
        assert answer.status_code == 200
        document = answer.json()
        assert document["info"]["title"] == "welltimed"
        assert document["info"]["version"] == importlib.metadata.version("welltimed")
        assert set(document["components"]["securitySchemes"]) == {"key", "userToken"}
        assert {"Problem", "FieldError"} <= set(document["components"]["schemas"])
        for node in nodes(document):
            assert "examples" not in node
            assert node.get("type") not in ("integer", "number") or "format" in node, node
            if "$ref" in node:
                assert node["$ref"].removeprefix("#/components/schemas/") in document["components"]["schemas"]

        named = [
            (path, method, operation)
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        ]
        for path, method, operation in named:
            problem = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
            assert problem == {"$ref": "#/components/schemas/Problem"}, (path, method)
            assert "400" not in operation["responses"]
        routes = list(operations(api.app))
        assert len(named) == sum(operation.handler.resolve_include_in_schema() for operation in routes)
        assert len({operation["operationId"] for _, _, operation in named}) == len(named)
        document_of = {(path, method): operation for path, method, operation in named}
        assert "security" not in document_of["/livez", "get"]
        assert document_of["/v1/keys/{key_id}", "delete"]["security"] == [{"key": []}]
        assert document_of["/v1/keys", "post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith(
            "/NewKey"
        )
        assert document_of["/v1/keys", "post"]["responses"]["201"]["content"]["application/json"]["schema"][
            "$ref"
        ].endswith("/CreatedKey")
        events = document_of["/v1/events", "post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        batch = document["components"]["schemas"][events.rpartition("/")[2]]
        assert batch["properties"]["batch"]["items"] == {"$ref": "#/components/schemas/Event"}
        assert batch["properties"]["batch"]["maxItems"] == 500
        assert document_of["/v1/offers/imports", "post"]["requestBody"]["content"]["text/csv"] == {
            "schema": {"type": "string"}
        }
        bodiless = {
            path for path, method, one in named if method in ("put", "post", "patch") and "requestBody" not in one
        }
        assert {path.rpartition("/")[2] for path in bodiless} == {
            "pause",
            "resume",
            "end",
            "approve",
            "replay",
            "rollback",
            "secret",
            "{token}",
        }
