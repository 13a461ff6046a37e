"""JSON as values are stored in: what msgspec knows, and a few types more.

Beyond msgspec's own types: pydantic models, deques, paths, subclasses of str, int and float.
Pydantic is never imported here; where a model exists, it has been imported already.
"""

from __future__ import annotations

import json
import re
import sys
from collections import deque
from pathlib import PurePath
from typing import Any, get_args, get_origin

import msgspec


class UnsupportedValue(TypeError):
    """No way is known to write this value as JSON."""


def simplified(value: Any) -> Any:
    """`value`, of a type msgspec can't write, as one it can. Raises UnsupportedValue."""
    if is_pydantic_model(type(value)):
        # By alias and `round_trip`, because that is what validation expects to read.
        return value.model_dump(mode="json", by_alias=True, round_trip=True)
    if isinstance(value, deque):
        return list(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    raise UnsupportedValue(type(value).__qualname__)


def holds_non_finite(value: Any) -> bool:
    """True if a NaN or an infinity is in `value`, which JSON can be made of.

    msgspec, and pydantic in places, write them as null without a word.
    """
    try:
        if _maybe_non_finite(_packed(value)) is None:
            return False
    except OverflowError:  # an integer beyond 64 bits
        pass
    try:
        _finite(msgspec.to_builtins(value, str_keys=True, enc_hook=_kept))
    except ValueError:
        return True
    except TypeError:  # a key that only pydantic can write
        return False
    return False


def _kept(value: Any) -> Any:
    if is_pydantic_model(type(value)):
        return value.model_dump(by_alias=True, round_trip=True)
    try:
        return simplified(value)
    except UnsupportedValue:  # inside of a pydantic model, which has a way to write it
        return None


def rebuilt(hint: Any, plain: Any) -> Any:
    """`plain`, as read from JSON, as the `hint` that msgspec can't build.

    Raises TypeError or ValueError, to which msgspec adds the path.
    """
    kind = get_origin(hint) or hint
    if is_pydantic_model(kind):
        # Validation from JSON: strict models and base64 bytes read from builtins are refused.
        return kind.model_validate_json(encoder.encode(plain))
    if kind is deque:
        return deque(msgspec.convert(plain, list[get_args(hint) or Any], dec_hook=rebuilt))  # type: ignore[misc]
    if isinstance(kind, type):
        if issubclass(kind, PurePath | str) and isinstance(plain, str):
            return kind(plain)
        if issubclass(kind, int | float) and isinstance(plain, int | float):
            return kind(plain)
        if isinstance(plain, kind):
            return plain
    raise TypeError(f"nothing is known about how to make a {hint!r} of a {type(plain).__name__}")


def is_pydantic_model(kind: Any) -> bool:
    """True if `kind` is a pydantic model class."""
    base = getattr(sys.modules.get("pydantic.main"), "BaseModel", None)
    return base is not None and isinstance(kind, type) and issubclass(kind, base)


def mentions_pydantic_model(hint: Any) -> bool:
    """True if a pydantic model class occurs anywhere in `hint`."""
    return is_pydantic_model(hint) or any(map(mentions_pydantic_model, get_args(hint)))


encoder = msgspec.json.Encoder(enc_hook=simplified)
_packed = msgspec.msgpack.Encoder(enc_hook=_kept).encode
# A double whose exponent is all ones, or other data that looks like one.
_maybe_non_finite = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]").search
_finite = json.JSONEncoder(allow_nan=False, check_circular=False).encode
