"""The limit of a workflow's concurrent executions, apart from the rest of its definition."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from tenuto.graph.definitions import RateLimitConfig, WorkflowDef
from tenuto.server.errors import not_found
from tenuto.server.http import Call, empty, json_response
from tenuto.server.routes.metadata import check_workflow
from tenuto.server.routing import Family

rate_limits = Family("Workflow definitions", "METADATA")


@rate_limits.get("/metadata/workflow/{name}/rate-limit", answer=RateLimitConfig, target="name")
async def rate_limit(call: Call) -> Response:
    """The `rateLimitConfig` of a workflow's latest version; 404 if it has none."""
    config = _versions(call)[-1].rate_limit_config
    if config is None:
        raise not_found(f"the workflow {call.path_params['name']!r} has no rate limit")
    return json_response(config)


@rate_limits.put("/metadata/workflow/{name}/rate-limit", body=RateLimitConfig, target="name")
async def set_rate_limit(call: Call) -> Response:
    """Give every version of a workflow this `rateLimitConfig`; what runs keeps its own."""
    await _set(call, await call.decode(RateLimitConfig))
    return empty()


@rate_limits.delete("/metadata/workflow/{name}/rate-limit", target="name", access="UPDATE")
async def remove_rate_limit(call: Call) -> Response:
    """Take the `rateLimitConfig` away from every version of a workflow."""
    await _set(call, None)
    return empty()


async def _set(call: Call, config: RateLimitConfig | None) -> None:
    now = call.services.now_ms()
    changed = [
        msgspec.structs.replace(definition, rate_limit_config=config, update_time=now) for definition in _versions(call)
    ]
    for definition in changed:
        await check_workflow(call.services, definition)
    for definition in changed:
        await call.services.graphs.catalog.put_workflow(definition, overwrite=True)


def _versions(call: Call) -> list[WorkflowDef]:
    """The versions of the workflow that the path names, the latest last."""
    known = call.services.graphs.catalog.workflows().get(call.path_params["name"])
    if not known:
        raise not_found(f"there is no workflow definition {call.path_params['name']!r}")
    return [known[version] for version in sorted(known)]
