"""Bodies and query strings into typed values.

What is not strictly right is read with the tolerance that clients count on (`tenuto.model.lenient`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar, get_origin, get_type_hints

import msgspec

from tenuto.model.json_values import decode_bounded
from tenuto.model.lenient import convert_leniently
from tenuto.server.errors import ApiError, bad_request, fault

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)


def decoded(content: bytes, kind: type[T]) -> T:
    """A JSON body as a value of `kind`. Raises ApiError (400) that names the position or the path of what is wrong."""
    if not content.strip():
        raise bad_request("the request needs a body")
    try:
        value = decode_bounded(content)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"the body is not valid JSON: {error}") from None
    return converted(value, kind)


def converted(value: Any, kind: type[T]) -> T:
    """A JSON value as one of `kind`, leniently. Raises ApiError (400) that names the path of what is wrong."""
    try:
        return convert_leniently(value, kind)
    except msgspec.ValidationError as error:
        message, path = _parted(str(error))
        raise ApiError(400, f"the body is not valid: {message} at {path}", faults=[fault(path, message)]) from None


def query_struct(pairs: Sequence[tuple[str, str]], kind: type[S]) -> S:
    """Query parameters as a Struct. Of several values of one parameter the last one counts, unless it is a list.

    Raises ApiError (400) that names the parameter."""
    if not pairs:
        return _without_parameters(kind)
    lists = _list_fields(kind)
    values: dict[str, Any] = {}
    for name, value in pairs:
        if value == "":
            continue
        if name in lists:
            values.setdefault(name, []).append(value)
        else:
            values[name] = value
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise _parameter_error(error) from None


def _without_parameters(kind: type[S]) -> S:
    try:
        return msgspec.convert({}, kind)
    except msgspec.ValidationError as error:
        raise _parameter_error(error) from None


def _parameter_error(error: msgspec.ValidationError) -> ApiError:
    message, path = _parted(str(error))
    name = path.removeprefix("$.").removeprefix("$").partition("[")[0]
    return bad_request(f"query parameter {name!r}: {message}" if name else f"query: {message}")


def _parted(text: str) -> tuple[str, str]:
    """msgspec's message and path: "Expected `int`, got `str` - at `$.a`"."""
    message, _, path = text.partition(" - at `")
    return message, path.removesuffix("`") or "$"


@cache
def _list_fields(kind: type[msgspec.Struct]) -> frozenset[str]:
    hints = get_type_hints(kind)
    fields = msgspec.structs.fields(kind)
    return frozenset(field.encode_name for field in fields if get_origin(hints[field.name]) is list)
