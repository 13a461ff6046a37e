"""A request as handlers see it, and the answers they give.

What clients are known to send is understood: booleans as `True`, empty query values (the default is meant), repeated
parameters for lists, null for a number, raw text where JSON is announced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from tenuto.model.json_values import decode_bounded, encode_json
from tenuto.server.decoding import decoded, query_struct
from tenuto.server.errors import ApiError, bad_request

if TYPE_CHECKING:
    from tenuto.server.identity.caller import Caller
    from tenuto.server.services import Services

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

MOST_PARAMETERS = 10_000


class Call(Request):
    """One request: Starlette's `Request`, what is known of its caller, and the services of this server.

    `path_params` holds the decoded segments of the path that the route has in braces."""

    def __init__(self, scope: Scope, receive: Receive, services: Services, caller: Caller) -> None:
        super().__init__(scope, receive)
        self.services = services
        self.caller = caller
        self._content: bytes | None = None

    def query(self, kind: type[S]) -> S:
        """The query parameters as a Struct; what is missing or empty takes its default.

        Raises ApiError (400) that names the parameter."""
        return query_struct(_pairs(self.scope["query_string"]), kind)

    async def body(self) -> bytes:
        """The whole body. Raises ApiError: 413 above the server's limit, 408 if it doesn't come in time."""
        if self._content is None:
            self._content = await self.services.bodies.read(self.receive)
        return self._content

    async def json(self) -> Any:
        """The body as a JSON value; None if there is no body. Raises ApiError (400) that says where it is malformed."""
        content = await self.body()
        if not content.strip():
            return None
        try:
            return decode_bounded(content)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise bad_request(f"the body is not valid JSON: {error}") from None

    async def decode(self, kind: type[T]) -> T:
        """The body as a value of `kind`, a Struct or a type of several. Unknown fields are ignored.

        Raises ApiError (400) that names the path of what is wrong."""
        return decoded(await self.body(), kind)

    async def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; {} if there is no body."""
        value = await self.json()
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise bad_request(f"the body must be a JSON object, not {_kind(value)}")
        return value

    async def text(self) -> str:
        """The body as text, whatever its content type says; a JSON string is unquoted, all else kept as it is."""
        content = await self.body()
        text = _utf8(content)
        if text.startswith('"') and text.rstrip().endswith('"'):
            try:
                return msgspec.json.decode(content, type=str)
            except msgspec.DecodeError:
                return text
        return text

    async def raw_text(self) -> str:
        """As `text`, but undoes also what the official Python client does to texts: it announces JSON and sends a JSON
        string without its quotes, so that lines end in a backslash and an n."""
        text = await self.text()
        if "\\" not in text or "json" not in self.headers.get("content-type", ""):
            return text
        try:
            return msgspec.json.decode(f'"{text}"', type=str)
        except msgspec.DecodeError:
            return text

    async def until_gone(self) -> None:
        """Return when the client has hung up. The body must have been read."""
        while (await self.receive())["type"] != "http.disconnect":
            pass

    def may(self, area: str, access: str, name: str) -> bool:
        """Whether the caller may do this with the target `name` of an area (see `identity.access`)."""
        return self.services.gate.may(self.caller, area, access, name)

    def require(self, area: str, access: str, name: str) -> None:
        """Raise ApiError (403) unless the caller may do this with this target."""
        if not self.may(area, access, name):
            raise ApiError(403, f"{self.caller.name} may not {access} {name!r} ({area})", code="FORBIDDEN")


class Reply(Response):
    """An answer whose headers are written down, not worked out."""

    def __init__(self, body: bytes, content_type: bytes, status: int = 200) -> None:
        self.status_code = status
        self.background = None
        self.body = body
        self.raw_headers = [(b"content-length", b"%d" % len(body)), (b"content-type", content_type)]


def json_response(value: Any, status: int = 200) -> Response:
    """`value`, which may hold Structs, as JSON."""
    return encoded_response(encode_json(value), status)


def encoded_response(data: bytes, status: int = 200) -> Response:
    """JSON that is encoded already."""
    return Reply(data, b"application/json", status)


def text_response(text: str) -> Response:
    """Bare text, without quotes."""
    return Reply(text.encode(), b"text/plain; charset=utf-8")


def empty() -> Response:
    """What most void operations answer: 200 without a body."""
    return Response()


def no_content() -> Response:
    return Response(status_code=204)


def _pairs(text: bytes) -> list[tuple[str, str]]:
    """The names and values of a query string."""
    if not text:
        return []
    if text.count(b"&") >= MOST_PARAMETERS:
        raise bad_request(f"the query string has more than {MOST_PARAMETERS} parameters")
    try:
        if b"%" in text or b"+" in text:
            return parse_qsl(text.decode(), errors="strict")
        # What polls have: nothing is encoded, and to split takes a quarter of the time.
        parts = [part.partition("=") for part in text.decode().split("&")]
    except ValueError:
        raise bad_request("the query string is not UTF-8 text") from None
    return [(name, value) for name, _, value in parts]


def _utf8(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise bad_request(f"the body is not UTF-8 text: {error}") from None


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
    return "null"
