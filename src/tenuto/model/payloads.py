"""A payload: one user value, encoded."""

from __future__ import annotations

from msgspec import Struct

JSON = "json/plain"
BINARY = "binary/plain"
NULL = "binary/null"


class Payload(Struct, array_like=True, frozen=True, gc=False):
    """An encoded value and how it was encoded (the names are those of Temporal's converters)."""

    data: bytes
    encoding: str = JSON


Payloads = list[Payload]


def size_of(payloads: list[Payload]) -> int:
    """Bytes of user data in `payloads`."""
    return sum(len(payload.data) for payload in payloads)
