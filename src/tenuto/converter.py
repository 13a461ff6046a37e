"""Values to payloads and back: what is stored of arguments, results, signals and details."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import msgspec

from tenuto._faults import find_fault
from tenuto._json import encoder, holds_non_finite, mentions_pydantic_model, rebuilt
from tenuto.common import RawValue
from tenuto.model.errors import PayloadError
from tenuto.model.limits import Limits
from tenuto.model.payloads import BINARY, JSON, NULL, Payload

__all__ = ["DataConverter", "PayloadError"]

Decode = Callable[[bytes], Any]

MAX_DECODERS = 4096  # beyond these, of classes made on the fly, decoders are made anew

_NONE = Payload(b"", NULL)


class DataConverter:
    """Encodes values and decodes them, guided by type hints.

    None is stored as nothing, bytes as they are, everything else as JSON: dataclasses, msgspec
    Structs, attrs classes, pydantic models, enums, dates, times, durations, UUIDs, Decimals,
    sets, tuples, named and typed ones, paths, deques; bytes inside of those as base64. JSON does
    not say of which type a value was: without a type hint it comes back as plain dict, list,
    str, int, float, bool. A value that could not come back unchanged with its hint is refused.
    """

    default: ClassVar[DataConverter]
    """The converter with the default limits."""

    def __init__(self, *, payload_size_limit: int = Limits().payload_size) -> None:
        """`payload_size_limit` is the largest encoded value in bytes."""
        self.payload_size_limit = payload_size_limit

    def encode(self, value: Any) -> Payload:
        """Encode one value; a `RawValue` passes as it is.

        Raises PayloadError if it can't be stored (naming the path to what can't) or is larger
        than the limit.
        """
        if value is None:
            return _NONE
        kind = type(value)
        if kind is bytes or kind is bytearray:
            payload = Payload(bytes(value), BINARY)
        elif kind is RawValue:
            payload = value.payload
        else:
            try:
                data = _encode(value)
            except Exception as error:
                raise PayloadError(_why_not(value, error)) from error
            if b"null" in data and holds_non_finite(value):
                raise PayloadError(_why_not(value, None))
            payload = Payload(data)
        if len(payload.data) > self.payload_size_limit:
            raise PayloadError(
                f"A value of type {kind.__qualname__} with {len(payload.data):,} bytes (encoded) is larger than "
                f"the limit of {self.payload_size_limit:,} bytes; keep it elsewhere, such as in "
                "a file or a bucket, and pass a reference to it"
            )
        return payload

    def encode_all(self, values: Iterable[Any]) -> list[Payload]:
        """Encode each value. Raises PayloadError as `encode` does."""
        return [self.encode(value) for value in values]

    def decode(self, payload: Payload, type_hint: Any = None) -> Any:
        """Decode one payload as `type_hint`; None and Any mean: as plain builtins.

        With the hint `RawValue` the payload is handed over as it is. A stored None is None
        whatever the hint. Raises PayloadError if the value does not fit the hint.
        """
        if type_hint is RawValue:
            return RawValue(payload)
        encoding = payload.encoding
        if encoding == JSON:
            try:
                decoder = _decoders[type_hint]
            except (KeyError, TypeError):  # not met before, or a hint that has no hash
                decoder = _new_decoder(type_hint)
            try:
                return decoder(payload.data)
            except (ValueError, TypeError, RecursionError, msgspec.MsgspecError) as error:
                raise _unreadable(type_hint, error) from error
        if encoding == NULL:
            return None
        if encoding == BINARY:
            if type_hint is None or type_hint is bytes:
                return payload.data
            return _from_bytes(payload.data, type_hint)
        raise PayloadError(
            f"The stored value has the encoding {encoding!r}, which this converter can't read; "
            "ask for it as RawValue and decode it by yourself"
        )

    def decode_all(self, payloads: Sequence[Payload], type_hints: Sequence[Any] | None = None) -> list[Any]:
        """Decode each payload as the hint at its place; those beyond the hints without one."""
        if not type_hints:
            return [self.decode(payload) for payload in payloads]
        hints = [*type_hints, *[None] * (len(payloads) - len(type_hints))]
        return [self.decode(payload, hint) for payload, hint in zip(payloads, hints, strict=False)]


DataConverter.default = DataConverter()

_encode = encoder.encode
_decoders: dict[Any, Decode] = {None: msgspec.json.Decoder().decode}


def _why_not(value: Any, error: Exception | None) -> str:
    fault = find_fault(value)
    if fault is not None:
        return f"The value can't be stored: {fault}"
    if isinstance(error, RecursionError):
        return "The value can't be stored: it is nested too deeply"
    why = error or "somewhere in it is NaN or an infinity, which JSON does not have"
    return f"The value (of type {type(value).__qualname__}) can't be stored: {why}"


def _unreadable(hint: Any, error: Exception) -> PayloadError:
    if isinstance(error, RecursionError):
        return PayloadError("The stored value can't be read: it is nested too deeply")
    return PayloadError(f"The stored value can't be read as {_shown(hint)}: {error}")


def _shown(hint: Any) -> str:
    if hint is None:
        return "JSON"
    return hint.__qualname__ if isinstance(hint, type) else str(hint)


def _from_bytes(data: bytes, hint: Any) -> Any:
    try:
        return msgspec.convert(data, hint, dec_hook=rebuilt)
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        raise _unreadable(hint, error) from error


def _new_decoder(hint: Any) -> Decode:
    try:
        if mentions_pydantic_model(hint):
            decoder = _pydantic_decoder(hint)
        else:
            decoder = msgspec.json.Decoder(hint, dec_hook=rebuilt).decode
    except Exception as error:
        raise PayloadError(f"The type hint {_shown(hint)} can't be used to read a stored value: {error}") from error
    if len(_decoders) < MAX_DECODERS:
        with suppress(TypeError):  # no hash
            _decoders[hint] = decoder
    return decoder


def _pydantic_decoder(hint: Any) -> Decode:
    try:
        return msgspec.json.Decoder(hint, dec_hook=rebuilt).decode
    except TypeError:  # msgspec makes no unions of foreign classes; pydantic does, of its own
        from pydantic import ConfigDict, TypeAdapter

        adapter = TypeAdapter[Any](hint, config=ConfigDict(val_json_bytes="base64"))
        return adapter.validate_json
