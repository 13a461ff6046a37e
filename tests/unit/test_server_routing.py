"""How the route of a request is found."""

from __future__ import annotations

import pytest
from starlette.responses import Response

from tenuto.server.http import Call, empty
from tenuto.server.routing import Family, RouteTable


async def nothing(call: Call) -> Response:
    """Do nothing."""
    return empty()


def table(*routes: str) -> RouteTable:
    family = Family("Test", None, prefix="")
    for route in routes:
        method, path = route.split()
        family.route(method, path)(nothing)
    return RouteTable([family])


def found(routes: RouteTable, method: str, path: str) -> tuple[str, dict[str, str]] | None:
    result = routes.find(method, path)
    return None if result is None else (result[0].path, result[1])


def test_a_literal_segment_goes_before_one_in_braces() -> None:
    routes = table("GET /w/{id}", "GET /w/search", "GET /w/{id}/status", "GET /w/running/{name}")
    assert found(routes, "GET", "/w/search") == ("/w/search", {})
    assert found(routes, "GET", "/w/other") == ("/w/{id}", {"id": "other"})
    assert found(routes, "GET", "/w/running/x") == ("/w/running/{name}", {"name": "x"})
    # `running` may be an id as well.
    assert found(routes, "GET", "/w/running") == ("/w/{id}", {"id": "running"})


def test_the_method_decides_between_paths_that_both_fit() -> None:
    routes = table("POST /p/test", "GET /p/{name}", "POST /w/{name}/x", "POST /w/bulk/{what}")
    assert found(routes, "GET", "/p/test") == ("/p/{name}", {"name": "test"})
    assert found(routes, "POST", "/p/test") == ("/p/test", {})
    assert found(routes, "POST", "/w/bulk/x") == ("/w/bulk/{what}", {"what": "x"})
    assert routes.methods("/p/test") == {"GET", "HEAD", "POST"}


def test_names_of_the_same_place_may_differ() -> None:
    routes = table("GET /a/{x}/b", "GET /a/{y}/c")
    assert found(routes, "GET", "/a/1/b") == ("/a/{x}/b", {"x": "1"})
    assert found(routes, "GET", "/a/1/c") == ("/a/{y}/c", {"y": "1"})


@pytest.mark.parametrize("path", ["/", "/w", "/w/", "/w//status", "//w/1", "/w/1/status/more", "/W/1"])
def test_paths_that_are_not_there(path: str) -> None:
    routes = table("GET /w/{id}", "GET /w/{id}/status")
    assert found(routes, "GET", path) is None
    assert routes.methods(path) == set()


def test_segments_are_decoded_after_they_are_found() -> None:
    routes = table("GET /e/{name}", "GET /e/{name}/x")
    assert found(routes, "GET", "/e/a%2Fx") == ("/e/{name}", {"name": "a/x"})
    assert found(routes, "GET", "/e/%25") == ("/e/{name}", {"name": "%"})
    assert found(routes, "GET", "/e/100%") == ("/e/{name}", {"name": "100%"})
    with pytest.raises(ValueError, match="utf-8"):
        routes.find("GET", "/e/%ff")


def test_two_handlers_of_one_route_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        table("GET /a/{x}", "GET /a/{y}")
