"""Which waiting tasks a webhook's payload is for."""

from __future__ import annotations

from tenuto.model.json_values import Json
from tenuto.system_tasks.json_path import select


def matches(expected: dict[str, Json], payload: Json) -> bool:
    """Whether the payload has all the expected values.

    Keys are JSONPaths such as `$['type']`, of which one value must be the expected one, or plain keys of the payload.
    Numbers are equal by value, so 1 matches 1.0; true matches only true. Raises BadPath if a path can't be read."""
    return all(_found(key, value, payload) for key, value in expected.items())


def _found(key: str, expected: Json, payload: Json) -> bool:
    if key.startswith("$"):
        return any(_equal(value, expected) for value in select(key, payload))
    return isinstance(payload, dict) and key in payload and _equal(payload[key], expected)


def _equal(one: Json, other: Json) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)
