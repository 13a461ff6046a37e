"""Whether the server is well, and what it is."""

from __future__ import annotations

from starlette.responses import Response

from tenuto import __version__
from tenuto.server.http import Call, json_response, text_response
from tenuto.server.metrics import Metrics
from tenuto.server.routing import Family, Text
from tenuto.server.settings import public_settings

family = Family("Health", None, prefix="")
admin = Family("Administration", "ADMIN")


@family.get("/health", answer=dict)
@family.get("/api/health", answer=dict)
async def health(call: Call) -> Response:
    """Whether this process is alive."""
    return json_response({"healthy": True, "healthResults": []})


@family.get("/ready", answer=dict)
async def ready(call: Call) -> Response:
    """Whether this process takes work: 503 while its store or engine can't, or when it stops."""
    reason = call.services.unready()
    return json_response({"ready": reason is None, "reason": reason or ""}, 200 if reason is None else 503)


@family.get("/api/version", answer=Text)
async def version(call: Call) -> Response:
    """The version of the server."""
    return text_response(__version__)


@family.get("/metrics", answer=Text)
async def metrics(call: Call) -> Response:
    """Metrics for Prometheus."""
    return Response(call.services.metrics.exposition(), media_type=Metrics.CONTENT_TYPE)


@admin.get("/admin/config", answer=dict)
async def config(call: Call) -> Response:
    """The settings of this server that are no secret."""
    return json_response({"version": __version__, **public_settings(call.services.settings)})
