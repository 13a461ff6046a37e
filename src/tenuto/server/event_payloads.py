"""What is done with the payload of a message: JSON in texts expanded, templates evaluated against it."""

from __future__ import annotations

import msgspec

from tenuto.graph.expressions import MISSING, evaluate
from tenuto.model.json_values import Json, decode_json

#: How deep JSON within texts within JSON is followed.
DEPTH = 32


class PayloadScope:
    """The payload's fields as the roots of expressions."""

    def __init__(self, payload: Json) -> None:
        self._payload = payload

    def root(self, name: str) -> Json:
        return self._payload.get(name, MISSING) if isinstance(self._payload, dict) else MISSING


def filled(template: Json, payload: Json) -> Json:
    """A template with its `${path}` replaced by what the payload has there. Raises ExpressionError."""
    return evaluate(template, PayloadScope(payload))


def expanded(value: Json, depth: int = DEPTH) -> Json:
    """A payload in which texts that hold a JSON object or list are replaced by that."""
    if depth == 0:
        return value
    if isinstance(value, str):
        if not value.lstrip().startswith(("{", "[")):
            return value
        try:
            return expanded(decode_json(value.encode()), depth - 1)
        except (msgspec.DecodeError, RecursionError):
            return value
    if isinstance(value, dict):
        return {key: expanded(item, depth - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [expanded(item, depth - 1) for item in value]
    return value


def read_payload(content: bytes) -> dict[str, Json]:
    """The payload of a message from outside: a JSON object as it is, anything else under `payload`."""
    try:
        value = decode_json(content)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        value = content.decode(errors="replace")
    return value if isinstance(value, dict) else {"payload": value}
