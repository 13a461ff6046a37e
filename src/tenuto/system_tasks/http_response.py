"""The answer to an HTTP task's request: read within bounds, and as the JSON that the task's output holds."""

from __future__ import annotations

import base64
import zlib

import httpx
import msgspec

from tenuto.model.json_values import Json, decode_json

#: gzip or zlib, whichever the data begins with.
_EITHER = 32 + zlib.MAX_WBITS


class ResponseTooLarge(Exception):
    """The body has more bytes than the server's configuration permits."""


class ResponseBroken(Exception):
    """The body can't be unpacked."""


async def read_body(response: httpx.Response, limit: int) -> bytes:
    """The body, unpacked. Raises ResponseTooLarge as soon as it has more than `limit` bytes, without reading on;
    ResponseBroken if it isn't packed as it says."""
    declared = response.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > limit and response.request.method != "HEAD":
        raise ResponseTooLarge
    packed = response.headers.get("content-encoding", "identity").strip().lower() in ("gzip", "x-gzip", "deflate")
    # Unpacked by hand, because a few kilobytes can unpack to gigabytes: max_length bounds what one step makes.
    unpacker = zlib.decompressobj(_EITHER) if packed else None
    body = bytearray()
    async for part in response.aiter_raw():
        try:
            body += unpacker.decompress(part, limit + 1 - len(body)) if unpacker else part
        except zlib.error as error:
            raise ResponseBroken(f"the body is not packed as its Content-Encoding says ({error})") from None
        if len(body) > limit:
            raise ResponseTooLarge
    if unpacker and body and not unpacker.eof:
        raise ResponseBroken("the packed body ends too early")
    return bytes(body)


def described(response: httpx.Response, body: bytes | None) -> dict[str, Json]:
    """The `response` object of the task's output. A body that is no text is in base64, and `bodyEncoding` says so."""
    headers: dict[str, list[str]] = {}
    for name, value in response.headers.multi_items():
        headers.setdefault(name, []).append(value)
    result: dict[str, Json] = {
        "statusCode": response.status_code,
        "reasonPhrase": response.reason_phrase,
        "headers": headers,
        "body": None,
    }
    if body:
        try:
            result["body"] = _parsed(_text(body, response.charset_encoding))
        except UnicodeDecodeError:
            result["body"] = base64.b64encode(body).decode()
            result["bodyEncoding"] = "base64"
    return result


def _text(body: bytes, charset: str | None) -> str:
    try:
        return body.decode(charset or "utf-8-sig")
    except LookupError:  # a charset nobody knows
        return body.decode("utf-8-sig")


def _parsed(text: str) -> Json:
    """The value of a JSON text, whatever media type it came with; other text as it is."""
    try:
        return decode_json(text.encode())
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return text
