"""JSON values as payloads, the form in which durable code passes and gets values."""

from __future__ import annotations

from collections.abc import Sequence

from tenuto.model.json_values import Json, decode_json, encode_json
from tenuto.model.payloads import JSON, Payload


def json_payload(value: Json) -> Payload:
    return Payload(encode_json(value))


def payload_json(payloads: Sequence[Payload]) -> Json:
    """The value of the first payload; None if there is none or if it isn't JSON."""
    if not payloads or payloads[0].encoding != JSON:
        return None
    return decode_json(payloads[0].data)
