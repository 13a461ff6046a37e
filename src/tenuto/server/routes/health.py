"""Whether the server is well, and what it is."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from tenuto import __version__
from tenuto.model.errors import StoreError
from tenuto.server.http import Call, json_response, text_response
from tenuto.server.metrics import Metrics
from tenuto.server.routing import Family, Text
from tenuto.server.settings import public_settings
from tenuto.store.protocol import Store

#: Seconds that the store may take to answer; a load balancer that asks waits not much longer.
PATIENCE = 2.0

family = Family("Health", None, prefix="")
admin = Family("Administration", "ADMIN")


@family.get("/health", answer=dict)
@family.get("/api/health", answer=dict)
async def health(call: Call) -> Response:
    """Whether this process is alive: it answers, whatever its store does. One that doesn't is to be restarted."""
    return json_response({"healthy": True, "healthResults": []})


@family.get("/ready", answer=dict)
async def ready(call: Call) -> Response:
    """Whether this process takes work: 503 while its store or engine can't, or when it stops."""
    reason = call.services.unready() or await _silence(call.services.store)
    return json_response({"ready": not reason, "reason": reason}, 503 if reason else 200)


async def _silence(store: Store) -> str:
    """Why the store doesn't answer; empty if it does. Nothing of its error is said: everybody may ask."""
    try:
        async with asyncio.timeout(PATIENCE):
            await store.document("readiness", "")
    except TimeoutError:
        return f"the store has not answered for {PATIENCE:g} s"
    except StoreError:
        return "the store can't be read"
    return ""


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
