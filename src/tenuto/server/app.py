"""The ASGI application: finds the route, admits the caller, answers, and counts.

It is one function from request to answer instead of a stack of middleware, because every route goes through all of it
and polling goes through it thousands of times a second.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from time import perf_counter

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tenuto.server.bodies import DISCARDED, ClientGone, too_large
from tenuto.server.errors import ApiError, bad_request, error_for, error_response
from tenuto.server.http import Call
from tenuto.server.identity.access import permission
from tenuto.server.identity.caller import Caller
from tenuto.server.identity.gate import HEADER
from tenuto.server.routes import FAMILIES
from tenuto.server.routes.docs import docs_family
from tenuto.server.routing import RUNNING, Family, Route, RouteTable
from tenuto.server.services import Services

access_log = logging.getLogger("tenuto.server.access")

#: How requests without a route are counted.
NO_ROUTE = "none"


def build_app(services: Services, families: Iterable[Family] = FAMILIES) -> App:
    """The application with all its routes, and those that describe them."""
    families = list(families)
    return App(services, RouteTable([*families, docs_family(families)]))


class App:
    """Serves HTTP. Needs no lifespan: whoever runs it owns the services."""

    def __init__(self, services: Services, table: RouteTable) -> None:
        self.services = services
        self.table = table
        self._log = services.settings.access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "no websockets here"})
            return
        if scope["type"] != "http":
            raise RuntimeError(f"unexpected ASGI scope {scope['type']!r}")
        began = perf_counter()
        method, label = scope["method"], NO_ROUTE
        try:
            if method == "OPTIONS":
                response = Response(headers={"Allow": self._allowed(scope)})
            else:
                route, path_params = self._route(scope)
                label = route.path
                response = await self._answer(route, path_params, scope, receive)
        except ClientGone:
            return
        except Exception as error:  # noqa: BLE001  # whatever it is, the caller gets an answer and the log the rest
            response = error_response(error_for(error, self.services.new_id()))
        if self.services.stopping.is_set():
            # So that whoever asks again, perhaps through a load balancer, does so elsewhere.
            response.raw_headers.append((b"connection", b"close"))
        seconds = perf_counter() - began
        self.services.metrics.answered(method if label != NO_ROUTE else NO_ROUTE, label, response.status_code, seconds)
        if self._log:
            access_log.info("%s %s %d %.1f ms", method, scope["path"], response.status_code, seconds * 1000)
        await response(scope, receive, send)

    def _route(self, scope: Scope) -> tuple[Route, dict[str, str]]:
        try:
            found = self.table.find(scope["method"], scope["raw_path"].decode("latin-1"))
        except ValueError:
            raise bad_request("the path is not valid UTF-8") from None
        if found is not None:
            return found
        allow = self._allowed(scope)
        message = f"{scope['method']} is not possible at {scope['path']}; it takes {allow}"
        raise ApiError(405, message, headers={"Allow": allow})

    def _allowed(self, scope: Scope) -> str:
        """The methods that a path takes. Raises ApiError (404) if there is no such path."""
        methods = self.table.methods(scope["raw_path"].decode("latin-1"))
        if not methods:
            raise ApiError(404, f"there is nothing at {scope['path']}")
        return ", ".join(sorted(methods | {"OPTIONS"}))

    async def _answer(self, route: Route, path_params: dict[str, str], scope: Scope, receive: Receive) -> Response:
        limit = self.services.settings.body_limit
        token: str | None = None
        expects = False
        length = 0
        for name, value in scope["headers"]:
            if name == HEADER:
                token = value.decode("latin-1")
            elif name == b"content-length":
                length = int(value) if value.isdigit() else 0
            elif name == b"expect":
                expects = True
        if length > limit:
            if not expects:
                await self.services.bodies.discard(receive, min(length, limit * DISCARDED))
            raise too_large(limit)
        scope["path_params"] = path_params
        if route.area and route.area not in RUNNING:
            await self.services.fresh()
        caller = await self._identify(route, token)
        if not self.services.gate.permits(caller, route, path_params):
            await self._check_execution(caller, route, path_params)
        call = Call(scope, receive, self.services, caller)
        return await route.handler(call)

    async def _identify(self, route: Route, token: str | None) -> Caller:
        try:
            return self.services.gate.identify(route, token)
        except ApiError:
            await self.services.fresh()  # another server may have created the key a moment ago
            return self.services.gate.identify(route, token)

    async def _check_execution(self, caller: Caller, route: Route, path_params: dict[str, str]) -> None:
        """Raise ApiError (403) unless the path names an execution by whose definition the caller has a grant."""
        assert route.area is not None
        workflow_id = path_params.get("workflowId")
        if route.area == "WORKFLOW" and workflow_id is not None and caller.grants:
            name = await self.services.graphs.look(workflow_id, lambda graph: graph.state.started.workflow_type)
            if name is not None and self.services.gate.may(caller, route.area, route.access, name):
                return
        raise ApiError(
            403,
            f"{caller.name} may not {route.method} {route.path}: it needs the permission"
            f" {permission(route.area, route.access)} (its roles: {', '.join(caller.roles) or 'none'})",
            code="FORBIDDEN",
        )
