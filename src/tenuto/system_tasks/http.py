"""HTTP: one call to a remote service."""

from __future__ import annotations

import asyncio
import http.cookiejar
import ssl

import httpcore
import httpx
from msgspec import Struct

from tenuto import __version__
from tenuto.model.json_values import Json, encode_json
from tenuto.model.system_tasks import SystemTask, SystemTaskResult
from tenuto.system_tasks.address_rules import AddressForbidden, AddressRules
from tenuto.system_tasks.async_complete import completes_from_outside
from tenuto.system_tasks.bad_input import BadInput
from tenuto.system_tasks.http_request import HttpRequest, parse_request, request_keys
from tenuto.system_tasks.http_response import ResponseBroken, ResponseTooLarge, described, read_body
from tenuto.system_tasks.json_path import BadPath, leads_to_one, select
from tenuto.system_tasks.network import CheckedTransport
from tenuto.system_tasks.settings import HttpSettings

_FOLLOWED = frozenset({"GET", "HEAD"})
_MOST_REDIRECTS = 20


class Exchange(Struct, frozen=True):
    """One call and its answer."""

    response: dict[str, Json]
    """The `response` object of the task's output; without an answer its status is null and the phrase says why."""
    failure: str | None
    """Why the call is no success."""


class HttpCaller:
    """Calls on behalf of HTTP and HTTP_POLL tasks, over connections that they share."""

    def __init__(self, settings: HttpSettings) -> None:
        """Raises ValueError if the rules about hosts can't be read."""
        self._limit = settings.response_limit
        self._slots = asyncio.Semaphore(settings.concurrency)
        self._rules = AddressRules(settings.allow, settings.deny)
        self._connections = settings.concurrency
        self._client: httpx.AsyncClient | None = None

    async def call(self, request: HttpRequest) -> Exchange:
        """Send `request` and read the answer. Whatever goes wrong on the way is the exchange's failure."""
        async with self._slots:
            try:
                return await self._exchange(request)
            except (httpcore.ConnectTimeout, httpcore.ReadTimeout, httpcore.WriteTimeout) as error:
                return _unanswered(_timed_out(request, error))
            except (httpx.HTTPError, httpx.InvalidURL, AddressForbidden, *_NETWORK_ERRORS) as error:
                return _unanswered(f"{request.method} {request.shown_url} failed: {_said(error)}")

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _exchange(self, request: HttpRequest) -> Exchange:
        client = self._client = self._client or _client(self._rules, self._connections)
        timeout = httpx.Timeout(
            connect=request.connect_timeout, read=request.read_timeout, write=request.read_timeout, pool=None
        )
        sent = client.build_request(
            request.method, request.url, headers=request.headers, content=request.content, timeout=timeout
        )
        response = await client.send(sent, stream=True, follow_redirects=request.method in _FOLLOWED)
        try:
            body = await read_body(response, self._limit)
        except ResponseTooLarge:
            failure = (
                f"{request.method} {request.shown_url} answered more than {self._limit} bytes, which is the limit "
                "(http.response_limit)"
            )
            return Exchange(described(response, None), failure)
        except ResponseBroken as error:
            return Exchange(described(response, None), f"{request.method} {request.shown_url}: {error}")
        finally:
            await response.aclose()
        answer = described(response, body)
        good = response.is_success or response.status_code in request.accepted
        return Exchange(answer, None if good else _refusal(request, answer))


class Http:
    """The HTTP task."""

    def __init__(self, caller: HttpCaller) -> None:
        self._caller = caller

    async def run(self, task: SystemTask) -> SystemTaskResult:
        """One call; raises BadInput for an input that describes none."""
        keys = request_keys(task.input)
        request = parse_request(keys)
        exchange = await self._caller.call(request)
        if exchange.failure is not None:
            return SystemTaskResult("FAILED", {"response": exchange.response}, exchange.failure)
        output = {"response": filtered(exchange.response, request.output_filter)}
        return SystemTaskResult("IN_PROGRESS" if completes_from_outside(task, keys) else "COMPLETED", output)


def filtered(response: dict[str, Json], output_filter: str | None) -> Json:
    """What `output_filter` selects of the response: one value, or the list of all that an indefinite path finds."""
    if output_filter is None:
        return response
    try:
        found = select(output_filter, response)
        if leads_to_one(output_filter):
            return found[0] if found else None
    except BadPath as error:
        raise BadInput(f"outputFilter: {error}") from None
    return found


_NETWORK_ERRORS = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
    ssl.SSLError,
)


def _client(rules: AddressRules, connections: int) -> httpx.AsyncClient:
    # What one workflow's calls are given, another's must not send: no cookies are kept. No credentials come from files.
    nobody = http.cookiejar.CookieJar(http.cookiejar.DefaultCookiePolicy(allowed_domains=[]))
    return httpx.AsyncClient(
        transport=CheckedTransport(rules, connections, httpx.create_ssl_context()),
        cookies=nobody,
        headers={"User-Agent": f"tenuto/{__version__}"},
        max_redirects=_MOST_REDIRECTS,
        trust_env=False,
    )


def _unanswered(reason: str) -> Exchange:
    return Exchange({"statusCode": None, "reasonPhrase": reason, "headers": {}, "body": None}, reason)


def _timed_out(request: HttpRequest, error: httpcore.TimeoutException) -> str:
    if isinstance(error, httpcore.ConnectTimeout):
        return (
            f"{request.method} {request.shown_url}: no connection within {_milliseconds(request.connect_timeout)} "
            "(connectionTimeOut)"
        )
    return f"{request.method} {request.shown_url}: no answer within {_milliseconds(request.read_timeout)} (readTimeOut)"


def _milliseconds(seconds: float | None) -> str:
    return "the time that the system allows" if seconds is None else f"{seconds * 1000:g} ms"


def _refusal(request: HttpRequest, answer: dict[str, Json]) -> str:
    body = answer["body"]
    text = body if isinstance(body, str) else encode_json(body).decode() if body is not None else ""
    status = f"{answer['statusCode']} {answer['reasonPhrase']}".strip()
    return f"{request.method} {request.shown_url} answered {status}" + (f": {text}" if text else "")


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
