"""The request that an HTTP task's input describes."""

from __future__ import annotations

import math
import re
from urllib.parse import urlencode

import httpx
from msgspec import Struct

from tenuto.model.json_values import Json, encode_json
from tenuto.system_tasks.bad_input import BadInput

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FORBIDDEN_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_NOT_IN_URI = re.compile(r"[^\x21-\x7e]")
_FORM = "application/x-www-form-urlencoded"
_DEFAULT_TIMEOUT_MS = 3000


class HttpRequest(Struct, frozen=True):
    """What to send, and what to make of the answer."""

    method: str
    url: httpx.URL
    headers: list[tuple[bytes, bytes]]
    content: bytes | None
    connect_timeout: float | None
    """Seconds; None: bounded by the run alone, as is `read_timeout`."""
    read_timeout: float | None
    """Seconds without a byte of the answer."""
    accepted: frozenset[int]
    """Statuses that are good besides 200 to 299."""
    output_filter: str | None
    """JSONPath into the response."""

    @property
    def shown_url(self) -> str:
        """The URL as texts may show it: without user, password and query."""
        port = "" if self.url.port is None else f":{self.url.port}"
        host = f"[{self.url.host}]" if ":" in self.url.host else self.url.host
        return f"{self.url.scheme}://{host}{port}{self.url.path}"


def request_keys(task_input: dict[str, Json]) -> dict[str, Json]:
    """The keys of the request: under `http_request`, or directly in the input. Raises BadInput."""
    if "http_request" not in task_input:
        return task_input
    keys = task_input["http_request"]
    if not isinstance(keys, dict):
        raise BadInput("http_request must be an object with at least uri and method")
    return keys


def parse_request(keys: dict[str, Json]) -> HttpRequest:
    """Raises BadInput."""
    headers, content = _headers_and_content(keys)
    output_filter = keys.get("outputFilter")
    if not (output_filter is None or isinstance(output_filter, str)):
        raise BadInput("outputFilter must be a JSONPath text such as $.body.items")
    return HttpRequest(
        method=_method(keys.get("method")),
        url=_url(keys.get("uri"), keys.get("encode")),
        headers=headers,
        content=content,
        connect_timeout=_timeout(keys, "connectionTimeOut"),
        read_timeout=_timeout(keys, "readTimeOut"),
        accepted=_statuses(keys.get("acceptedStatusCodes")),
        output_filter=output_filter or None,
    )


def number(keys: dict[str, Json], key: str, default: float) -> float:
    """A number of the input, which an expression may have turned into text. Raises BadInput."""
    value = keys.get(key)
    if value is None or value == "":
        return default
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError
        result = float(value)
    except (ValueError, OverflowError):
        raise BadInput(f"{key} must be a number, not {type(value).__name__}") from None
    if not math.isfinite(result):
        raise BadInput(f"{key} must be a finite number")
    return result


def _method(value: Json) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadInput("method is missing; give one of " + ", ".join(_METHODS))
    method = value.strip().upper()
    if method not in _METHODS:
        raise BadInput(f"method {value!r} is unknown; give one of " + ", ".join(_METHODS))
    return method


def _url(uri: Json, encode: Json) -> httpx.URL:
    if not isinstance(uri, str) or not uri.strip():
        raise BadInput("uri is missing; give an http or https address")
    uri = uri.strip()
    if str(encode).lower() == "false" and _NOT_IN_URI.search(uri):
        raise BadInput("uri has characters that must be percent-encoded, and encode is false")
    try:
        url = httpx.URL(uri)
    except httpx.InvalidURL:
        raise BadInput("uri can't be read as an address; give one such as https://host:port/path") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise BadInput("uri must begin with http:// or https:// and a host")
    return url


def _timeout(keys: dict[str, Json], key: str) -> float | None:
    milliseconds = number(keys, key, _DEFAULT_TIMEOUT_MS)
    return milliseconds / 1000 if milliseconds > 0 else None


def _statuses(value: Json) -> frozenset[int]:
    if value is None or value == "":
        return frozenset()
    try:
        codes = [int(code) for code in (value if isinstance(value, list) else str(value).split(","))]
    except (TypeError, ValueError):
        raise BadInput("acceptedStatusCodes must be a list of HTTP statuses, for example [200, 404]") from None
    return frozenset(codes)


def _headers_and_content(keys: dict[str, Json]) -> tuple[list[tuple[bytes, bytes]], bytes | None]:
    headers = _given_headers(keys.get("headers"))
    names = {name.lower() for name, _ in headers}
    if b"accept" not in names:
        headers += _header("Accept", _joined(keys.get("accept"), "accept"))
    if b"accept-encoding" not in names:
        headers += _header("Accept-Encoding", "gzip, deflate")
    body = keys.get("body")
    if body is None:
        return headers, None
    content_type = _joined(keys.get("contentType"), "contentType")
    if b"content-type" not in names:
        headers += _header("Content-Type", content_type)
    else:
        content_type = next(value.decode() for name, value in headers if name.lower() == b"content-type")
    return headers, _content(body, content_type)


def _joined(value: Json, key: str) -> str:
    values = value if isinstance(value, list) else [value]
    texts = [item for item in values if item]
    if not all(isinstance(item, str) for item in texts):
        raise BadInput(f"{key} must be a media type or a list of them")
    return ", ".join(texts) or "application/json"


def _given_headers(value: Json) -> list[tuple[bytes, bytes]]:
    if value is None:
        return []
    if not isinstance(value, dict):
        raise BadInput("headers must be an object of names and values")
    headers: list[tuple[bytes, bytes]] = []
    for name, given in value.items():
        for item in given if isinstance(given, list) else [given]:
            if item is not None:
                headers += _header(name, item if isinstance(item, str) else encode_json(item).decode())
    return headers


def _header(name: str, value: str) -> list[tuple[bytes, bytes]]:
    # Checked here, because an error of the HTTP library would show the value, which may be a secret.
    if not _TOKEN.fullmatch(name):
        raise BadInput(f"headers: {name!r} is no header name")
    if _FORBIDDEN_IN_VALUE.search(value):
        raise BadInput(f"headers.{name} has a line break or another control character")
    return [(name.encode(), value.strip().encode())]


def _content(body: Json, content_type: str) -> bytes:
    if isinstance(body, str):
        return body.encode()
    if content_type.partition(";")[0].strip().lower() == _FORM and isinstance(body, dict):
        fields = {
            name: value if isinstance(value, str | list) else encode_json(value).decode()
            for name, value in body.items()
        }
        return urlencode(fields, doseq=True).encode()
    return encode_json(body)
