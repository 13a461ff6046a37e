"""The OpenAPI document and its page."""

from __future__ import annotations

from openapi_spec_validator import validate

from tenuto.server.app import build_app
from tests.integration.server.conftest import ServerMaker


async def test_the_openapi_document_is_valid_and_has_every_route(make_server: ServerMaker) -> None:
    async with make_server() as server:
        document = (await server.client.get("/openapi.json")).json()
        again = (await server.client.get(f"{server.url}/v3/api-docs")).json()
        routes = build_app(server.services).table.routes
    validate(document)
    assert again == document
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(route.method, route.path) for route in routes}


async def test_every_route_says_what_it_does(make_server: ServerMaker) -> None:
    async with make_server() as server:
        routes = build_app(server.services).table.routes
    assert [route.path for route in routes if not route.summary] == []


async def test_parameters_of_a_query_are_described(make_server: ServerMaker) -> None:
    async with make_server() as server:
        document = (await server.client.get("/openapi.json")).json()
    parameters = document["paths"]["/api/schema"]["post"]["parameters"]
    assert [(p["name"], p["in"], p["required"], p["schema"]["type"]) for p in parameters] == [
        ("newVersion", "query", False, "boolean")
    ]


async def test_the_page_needs_nothing_from_elsewhere(make_server: ServerMaker) -> None:
    async with make_server() as server:
        answer = await server.client.get(f"{server.url}/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "http://" not in answer.text
    assert "https://" not in answer.text
