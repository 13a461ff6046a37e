"""JSON values into Structs with the tolerance that clients count on: null stands for the default of a field that can't
be null, and numbers may come as strings."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import inspect

T = TypeVar("T")


def convert_leniently(value: Any, kind: type[T]) -> T:
    """`value` as one of `kind`. Strict decoding is tried first because it is fast.

    Raises msgspec.ValidationError."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return msgspec.convert(without_nulls(value, information(kind)), kind, strict=False)


_information: dict[Any, inspect.Type] = {}


def information(kind: Any) -> inspect.Type:
    """What msgspec knows of a type."""
    found = _information.get(kind)
    if found is None:
        found = _information[kind] = inspect.type_info(kind)
    return found


def without_nulls(value: Any, kind: inspect.Type) -> Any:
    """`value` without the nulls that stand for a default."""
    match kind:
        case inspect.Metadata():
            return without_nulls(value, kind.type)
        case inspect.UnionType():
            for option in kind.types:
                if isinstance(option, inspect.StructType | inspect.ListType | inspect.DictType):
                    value = without_nulls(value, option)
            return value
        case inspect.StructType() if isinstance(value, dict):
            fields = {field.encode_name: field.type for field in kind.fields}
            return {
                key: without_nulls(item, fields[key]) if key in fields else item
                for key, item in value.items()
                if item is not None or key not in fields or _takes_null(fields[key])
            }
        case inspect.ListType() if isinstance(value, list):
            return [without_nulls(item, kind.item_type) for item in value]
        case inspect.DictType() if isinstance(value, dict):
            return {key: without_nulls(item, kind.value_type) for key, item in value.items()}
    return value


def _takes_null(kind: inspect.Type) -> bool:
    match kind:
        case inspect.AnyType() | inspect.NoneType() | inspect.RawType():
            return True
        case inspect.UnionType():
            return any(_takes_null(option) for option in kind.types)
        case inspect.Metadata():
            return _takes_null(kind.type)
    return False
