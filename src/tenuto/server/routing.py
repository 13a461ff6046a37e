"""Routes: declared beside their handlers, found by walking the segments of a path.

    tags = Family("Tags", "METADATA")

    @tags.get("/metadata/workflow/{name}/tags", answer=list[Tag])
    async def workflow_tags(call: Call) -> Response:
        '''The tags of a workflow definition.'''
        return json_response(await ...(call.path_params["name"]))

The first line of the docstring is the summary in the OpenAPI document; `query`, `body` and `answer` are types of which
it shows the schema. Segments in braces hold any text, also an encoded slash.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import unquote_to_bytes

from msgspec import Struct
from starlette.responses import Response

if TYPE_CHECKING:
    from tenuto.server.http import Call

Handler: TypeAlias = "Callable[[Call], Awaitable[Response]]"

API: Final = "/api"

#: What a method does, unless its route says otherwise.
ACCESS_OF_METHOD: Final = {"GET": "READ", "POST": "CREATE", "PUT": "UPDATE", "DELETE": "DELETE"}

#: Areas of what runs. Whoever changes something there executes a definition and does nothing to the definition itself.
RUNNING: Final = ("WORKFLOW", "TASK")


class Text:
    """In a route's `body` or `answer`: bare text, not JSON."""


class Route(Struct, frozen=True, kw_only=True, eq=False):
    """One method of one path."""

    method: str
    path: str
    handler: Handler
    family: str
    summary: str
    area: str | None
    """The area of `identity.access` that it belongs to; None for what everybody may call."""
    access: str
    target: str | None
    query: type[Struct] | None
    body: Any
    answer: Any
    status: int


class Family:
    """The routes of one file, under one heading of the documentation.

    `area` names what a caller needs permission for (see `identity.access`): "" asks only who it is, None nothing."""

    def __init__(self, name: str, area: str | None, *, prefix: str = API) -> None:
        self.name = name
        self.routes: list[Route] = []
        self._area = area
        self._prefix = prefix

    def route(
        self,
        method: str,
        path: str,
        *,
        query: type[Struct] | None = None,
        body: Any = None,
        answer: Any = None,
        status: int = 200,
        access: str | None = None,
        target: str | None = None,
    ) -> Callable[[Handler], Handler]:
        """Declare a handler. `query` is a Struct of the query parameters (see `Call.query`), `status` that of success.

        `access` is what the operation does to its target (READ, CREATE, UPDATE, DELETE, EXECUTE) where the method
        doesn't say it. `target` lets callers in who have no permission for the whole area but grants on single
        targets: it names the segment of the path with the target's name, or is "" if the handler itself calls
        `Call.require` (or `Call.may`, to show only what the caller may see)."""

        def declare(handler: Handler) -> Handler:
            self.routes.append(
                Route(
                    method=method,
                    path=self._prefix + path,
                    handler=handler,
                    family=self.name,
                    summary=(handler.__doc__ or "").strip().partition("\n")[0],
                    area=self._area,
                    access=access or self._access(method),
                    target=target,
                    query=query,
                    body=body,
                    answer=answer,
                    status=status,
                )
            )
            return handler

        return declare

    def _access(self, method: str) -> str:
        access = ACCESS_OF_METHOD[method]
        return "EXECUTE" if self._area in RUNNING and access != "READ" else access

    def get(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("GET", path, **options)

    def post(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("POST", path, **options)

    def put(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("PUT", path, **options)

    def delete(self, path: str, **options: Any) -> Callable[[Handler], Handler]:
        return self.route("DELETE", path, **options)


class _Node:
    """What may follow after some segments of a path."""

    __slots__ = ("any", "literal", "routes")

    def __init__(self) -> None:
        self.literal: dict[str, _Node] = {}
        self.any: _Node | None = None
        self.routes: dict[str, tuple[Route, tuple[str, ...]]] = {}


class RouteTable:
    """Finds the route of a request. A literal segment goes before one in braces, if the method fits."""

    def __init__(self, families: Iterable[Family]) -> None:
        self.routes = [route for family in families for route in family.routes]
        self._root = _Node()
        #: Those without braces, which need no walk.
        self._fixed: dict[tuple[str, str], Route] = {}
        for route in self.routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node, names = self._root, []
        for segment in _segments(route.path):
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.any = node = node.any or _Node()
            else:
                node = node.literal.setdefault(segment, _Node())
        if route.method in node.routes:
            raise ValueError(f"{route.method} {route.path} is declared twice")
        node.routes[route.method] = (route, tuple(names))
        if not names:
            self._fixed[route.method, route.path] = route

    def find(self, method: str, raw_path: str) -> tuple[Route, dict[str, str]] | None:
        """The route and the values of its segments in braces; None if no route fits. HEAD is served by GET.

        Raises ValueError for a path that is not UTF-8."""
        fixed = self._fixed.get((method, raw_path))
        if fixed is not None:
            return fixed, {}
        found = _find(self._root, _segments(raw_path), 0, "GET" if method == "HEAD" else method, ())
        if found is None:
            return None
        (route, names), values = found
        return route, {name: _decoded(value) for name, value in zip(names, values, strict=True)}

    def methods(self, raw_path: str) -> set[str]:
        """What may be done with this path; empty if there is no such path."""
        allowed: set[str] = set()
        nodes = [self._root]
        for segment in _segments(raw_path):
            nodes = [
                next for node in nodes for next in (node.literal.get(segment), node.any if segment else None) if next
            ]
        for node in nodes:
            allowed.update(node.routes)
        return allowed | {"HEAD"} if "GET" in allowed else allowed


def _find(
    node: _Node, segments: list[str], depth: int, method: str, values: tuple[str, ...]
) -> tuple[tuple[Route, tuple[str, ...]], tuple[str, ...]] | None:
    if depth == len(segments):
        entry = node.routes.get(method)
        return None if entry is None else (entry, values)
    segment = segments[depth]
    literal = node.literal.get(segment)
    if literal is not None:
        found = _find(literal, segments, depth + 1, method, values)
        if found is not None:
            return found
    if node.any is not None and segment:
        return _find(node.any, segments, depth + 1, method, (*values, segment))
    return None


def _segments(path: str) -> list[str]:
    """The parts between slashes; one slash at the end makes no difference."""
    return path.removeprefix("/").removesuffix("/").split("/")


def _decoded(segment: str) -> str:
    return unquote_to_bytes(segment).decode() if "%" in segment else segment
