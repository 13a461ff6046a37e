"""A value within a recorded result: what the converter made of it."""

from __future__ import annotations

import base64
from typing import Any

from msgspec import Raw, Struct

from tenuto.converter import DataConverter
from tenuto.model.errors import PayloadError
from tenuto.model.payloads import BINARY, JSON, NULL, Payload

__all__ = ["Stored"]


class Stored(Struct, omit_defaults=True, frozen=True):
    """`json` holds the value, unless it is bytes: then `binary` has them in base64."""

    json: Raw = Raw(b"null")
    binary: str | None = None

    @classmethod
    def of(cls, value: Any, converter: DataConverter) -> Stored:
        """Raises PayloadError for what can't be stored."""
        payload = converter.encode(value)
        if payload.encoding == JSON:
            return cls(json=Raw(payload.data))
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
        if hint is not None and payload.data != b"null":
            try:
                return converter.decode(payload, hint)
            except PayloadError:
                pass
        return converter.decode(payload)
