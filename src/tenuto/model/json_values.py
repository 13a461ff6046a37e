"""JSON as it comes from outside: decoded into values that can be stored."""

from __future__ import annotations

import re
from typing import Any, Final, TypeAlias

import msgspec

#: Whatever JSON can hold: None, bool, int, float, str, list and dict.
Json: TypeAlias = Any

#: How many objects and lists may be inside each other.
DEPTH: Final = 200

_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()
_LONG_NUMBER = re.compile(rb"\d{19}")
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1
_FLOATS = 10**308


def decode_json(data: bytes) -> Json:
    """The value of a JSON text. Integers beyond 64 bits become floats, as they do in JavaScript: histories hold none.

    Raises msgspec.DecodeError if `data` is not JSON, or has a number beyond what a float holds."""
    value = _decoder.decode(data)
    return _storable(value) if _LONG_NUMBER.search(data) else value


def decode_bounded(data: bytes) -> Json:
    """As `decode_json`, but raises msgspec.DecodeError also if the value is nested deeper than `DEPTH`."""
    problem = f"it is nested more than {DEPTH} deep"
    try:
        value = decode_json(data)
    except RecursionError:
        raise msgspec.DecodeError(problem) from None
    if data.count(b"[") + data.count(b"{") > DEPTH and is_nested_deeper(value, DEPTH):
        raise msgspec.DecodeError(problem)
    return value


def encode_json(value: Json) -> bytes:
    """`value` as compact JSON."""
    return _encoder.encode(value)


def is_nested_deeper(value: Json, depth: int) -> bool:
    """Are there more than `depth` objects and lists inside each other?"""
    level: list[Json] = [value]
    for _ in range(depth + 1):
        level = [item for item in level if isinstance(item, dict | list)]
        if not level:
            return False
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return True


def _storable(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _storable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if type(value) is int and not _SMALLEST <= value <= _LARGEST:
        if abs(value) > _FLOATS:
            raise msgspec.DecodeError("a number has more than 308 digits")
        return float(value)
    return value
