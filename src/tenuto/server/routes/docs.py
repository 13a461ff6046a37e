"""The documentation of the API: as an OpenAPI document, and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from starlette.responses import Response

from tenuto.model.json_values import encode_json
from tenuto.server.http import Call
from tenuto.server.openapi import document
from tenuto.server.routing import Family

#: The page runs its own script and loads nothing from elsewhere.
_POLICY = "default-src 'none'; connect-src 'self'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"


def docs_family(families: Sequence[Family]) -> Family:
    """The routes that describe all others."""
    docs = Family("Documentation", None, prefix="")

    @cache
    def openapi() -> bytes:
        return encode_json(document([route for family in (*families, docs) for route in family.routes]))

    @docs.get("/api/openapi.json", answer=dict)
    @docs.get("/v3/api-docs", answer=dict)
    async def openapi_document(call: Call) -> Response:
        """The API as an OpenAPI document."""
        return Response(openapi(), media_type="application/json")

    @docs.get("/docs")
    async def page(call: Call) -> Response:
        """The API as a page."""
        html = files("tenuto.server").joinpath("docs.html").read_bytes()
        return Response(html, media_type="text/html", headers={"Content-Security-Policy": _POLICY})

    return docs
