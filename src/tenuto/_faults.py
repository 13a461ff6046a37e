"""Finds what in a value can't be stored as JSON, and says where. Slow; only used after a failure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from enum import Enum
from typing import Any

import msgspec

from tenuto._json import UnsupportedValue, encoder, simplified

Steps = Iterator[tuple[str, Any]]

SCALARS = (type(None), str, int, float, bytes, bytearray, memoryview)

MAX_DEPTH = 2_000  # above what Python's own recursion limit lets through


def find_fault(value: Any) -> str | None:
    """A sentence that names the first offending value and its path; None if there is none."""
    frames: list[tuple[str, Any, Steps]] = [("", None, iter([("$", value)]))]
    on_path: set[int] = set()
    while frames:
        step = next(frames[-1][2], None)
        if step is None:
            on_path.discard(id(frames.pop()[1]))
            continue
        name, child = step
        if len(frames) > MAX_DEPTH:
            return f"{_path(frames)[:80]}... is nested too deeply"
        fault = _fault(child, on_path)
        if fault is not None:
            return f"{_path(frames)}{name} {fault}"
        inside = _inside(child)
        if inside is not None:
            on_path.add(id(child))
            frames.append((name, child, inside))
    return None


def _path(frames: list[tuple[str, Any, Steps]]) -> str:
    return "".join(name for name, _, _ in frames)


def _fault(value: Any, on_path: set[int]) -> str | None:
    if id(value) in on_path:
        return "holds itself, and JSON can't hold a value inside of itself"
    fault = _own_fault(value)
    if fault is not None:
        return fault
    try:
        is_leaf = _inside(value) is None
    except Exception as error:  # noqa: BLE001  # the value's own code may raise anything
        return f"is of type {_name(value)}, which can't be stored as JSON: {error}"
    return _leaf_fault(value) if is_leaf else None


def _own_fault(value: Any) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {float(value)!r}, a number JSON does not have; store None or a text instead"
    if isinstance(value, str):
        return _text_fault(value)
    if isinstance(value, dict):
        for key in value:
            fault = _key_fault(key)
            if fault is not None:
                return fault
    return None


def _text_fault(text: str) -> str | None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = f"U+{ord(text[error.start]):04X}"
        return (
            f"is a str with the lone surrogate {code} at {error.start}, which is not valid text; "
            "store bytes, or decode them without errors='surrogateescape'"
        )
    return None


def _key_fault(key: Any) -> str | None:
    try:
        encoder.encode({key: 0})
    except UnicodeEncodeError:
        return f"has a key that {(_text_fault(str(key)) or '')}"
    except Exception:  # noqa: BLE001  # as above
        return (
            f"has the key {_shown(key)} of type {_name(key)}; keys that can be stored as JSON "
            "are str, int, float, enums, UUIDs, dates and times"
        )
    return None


def _leaf_fault(value: Any) -> str | None:
    try:
        encoder.encode(value)
    except UnsupportedValue:
        return (
            f"is of type {_name(value)}, which can't be stored as JSON; pass plain data, a dataclass, "
            "a msgspec Struct or a pydantic model"
        )
    except Exception as error:  # noqa: BLE001  # as above
        return f"is of type {_name(value)}, which can't be stored as JSON: {error}"
    return None


def _inside(value: Any) -> Steps | None:
    """The values directly inside of `value`, each with its step of the path; None of a scalar."""
    if isinstance(value, dict):
        return ((_key_step(key), item) for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ((f"[{index}]", item) for index, item in enumerate(value))
    if isinstance(value, Enum):
        return iter([("", value.value)])
    if isinstance(value, msgspec.Struct):
        return _fields(value, value.__struct_fields__)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value, (field.name for field in dataclasses.fields(value)))
    if hasattr(type(value), "__attrs_attrs__"):
        return _fields(value, (field.name for field in type(value).__attrs_attrs__))
    if isinstance(value, SCALARS):
        return None
    try:
        return iter([("", simplified(value))])
    except TypeError:
        return None


def _fields(value: Any, names: Any) -> Steps:
    return ((f".{name}", getattr(value, name)) for name in names if hasattr(value, name))


def _key_step(key: Any) -> str:
    if isinstance(key, str) and key.isidentifier():
        return f".{key}"
    return f"[{_shown(key)}]"


def _shown(key: Any) -> str:
    try:
        return repr(key)[:80]
    except Exception:  # noqa: BLE001  # as above
        return "?"


def _name(value: Any) -> str:
    kind = type(value)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
