"""Stored values as the wire shows them: fields that are null are left out, null values inside of maps are kept."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from tenuto.model.json_values import Json


def shown(value: Struct) -> dict[str, Json]:
    """The fields of a Struct by their wire names, without those that are None; so for the Structs in it."""
    fields = msgspec.structs.fields(value)
    pairs = ((field.encode_name, getattr(value, field.name)) for field in fields)
    return {name: _shown(item) for name, item in pairs if item is not None}


def _shown(value: Json) -> Json:
    if isinstance(value, Struct):
        return shown(value)
    if isinstance(value, list):
        return [_shown(item) for item in value]
    return value
