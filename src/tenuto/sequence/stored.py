"""A value within a recorded result: what the converter made of it.

JSON doesn't say of which class a value was. Annotations say it, if there are any; else the class is noted, so that
un-annotated nodes get the tuple, set or dataclass that they would get in memory. What is within a list or dict comes
back as annotated or as plain values.
"""

from __future__ import annotations

import base64
import sys
from typing import Any

from msgspec import Raw, Struct

from tenuto.converter import DataConverter
from tenuto.model.errors import PayloadError
from tenuto.model.payloads import BINARY, JSON, NULL, Payload

__all__ = ["Stored"]

#: Of these JSON has its own.
_PLAIN = frozenset({str, int, float, bool, list, dict, type(None)})


class Stored(Struct, omit_defaults=True, frozen=True):
    """`json` holds the value, unless it is bytes: then `binary` has them in base64. `kind` is the value's class, as
    "module:name", if JSON has no such values."""

    json: Raw = Raw(b"null")
    binary: str | None = None
    kind: str | None = None

    @classmethod
    def of(cls, value: Any, converter: DataConverter) -> Stored:
        """Raises PayloadError for what can't be stored."""
        payload = converter.encode(value)
        if payload.encoding == JSON:
            return cls(json=Raw(payload.data), kind=_kind_of(value))
        if payload.encoding == BINARY:
            return cls(binary=base64.b64encode(payload.data).decode())
        if payload.encoding == NULL:
            return cls()
        raise PayloadError(f"a value of the encoding {payload.encoding!r} can't be the output of a node")

    def decoded(self, converter: DataConverter, hint: Any = None) -> Any:
        """The value, as `hint` says if it fits: nothing checks a node's annotations in memory, either."""
        if self.binary is not None:
            return base64.b64decode(self.binary)
        payload = Payload(bytes(self.json))
        if payload.data == b"null":
            return None
        for known in (hint, _class_of(self.kind)):
            if known is not None:
                try:
                    return converter.decode(payload, known)
                except PayloadError:
                    continue
        return converter.decode(payload)


def _kind_of(value: Any) -> str | None:
    kind = type(value)
    return None if kind in _PLAIN else f"{kind.__module__}:{kind.__qualname__}"


def _class_of(kind: str | None) -> Any:
    """The class, if its module is loaded here; nothing is imported because a store says so."""
    if kind is None:
        return None
    module, _, path = kind.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None
