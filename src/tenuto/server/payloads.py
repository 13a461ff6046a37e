"""Payloads that clients send aside: a place to put a large input or output, which a start or an update then names.

The server takes what was put there into the execution, so a payload is needed for a moment only; it is kept for a day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from tenuto.model.json_values import Json, decode_json
from tenuto.server.errors import bad_request, not_found
from tenuto.store.protocol import Document

if TYPE_CHECKING:
    from tenuto.server.services import Services

COLLECTION = "external_payload"
#: How long a payload is kept (nanoseconds).
KEPT = 86_400 * 1_000_000_000
#: Payloads that have had their time and are deleted when a new one comes.
SWEPT = 20

Operation: TypeAlias = Literal["READ", "WRITE"]
PayloadType: TypeAlias = Literal["WORKFLOW_INPUT", "WORKFLOW_OUTPUT", "TASK_INPUT", "TASK_OUTPUT"]


async def write_payload(services: Services, path: str, content: bytes) -> None:
    """Keep a payload. Raises ApiError (400) if it is no JSON object."""
    _object(content, "the body")
    now = services.clock.now()
    # Paths that this server gives out are in the order of time, so the oldest come first.
    for document in await services.store.documents(COLLECTION, limit=SWEPT):
        if document.updated < now - KEPT:
            await services.store.delete_document(COLLECTION, document.key)
    await services.store.put_document(Document(COLLECTION, path, content, updated=now))


async def payload(services: Services, path: str) -> bytes:
    """The payload at a path. Raises ApiError (404)."""
    document = await services.store.document(COLLECTION, path)
    if document is None:
        raise not_found(f"there is no payload at {path!r}")
    return document.data


async def named_payload(services: Services, path: str, field: str) -> dict[str, Json]:
    """What a `field` of a request names. Raises ApiError (400) if there is nothing."""
    document = await services.store.document(COLLECTION, path)
    if document is None:
        raise bad_request(f"{field}: there is no payload at {path!r}; put it where externalstoragelocation says")
    return _object(document.data, path)


def _object(content: bytes, what: str) -> dict[str, Json]:
    try:
        value = decode_json(content)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise bad_request(f"{what} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise bad_request(f"{what} must be a JSON object")
    return value
