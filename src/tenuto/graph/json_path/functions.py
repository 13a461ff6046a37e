"""The functions that may end a path: `.length()` and its like."""

from __future__ import annotations

from tenuto.graph.json_path.missing import MISSING
from tenuto.model.json_values import Json


def apply(name: str, value: Json) -> Json:
    """The result of a function; MISSING if `value` is not of a kind that it works on."""
    match name:
        case "length" | "size":
            return len(value) if isinstance(value, list | dict) else MISSING
        case "keys":
            return list(value) if isinstance(value, dict) else MISSING
        case "first":
            return value[0] if isinstance(value, list) and value else MISSING
        case "last":
            return value[-1] if isinstance(value, list) and value else MISSING
    numbers = [item for item in value if is_number(item)] if isinstance(value, list) else []
    if not numbers:
        return MISSING
    match name:
        case "min":
            return min(numbers)
        case "max":
            return max(numbers)
        case "sum":
            return sum(numbers)
    return sum(numbers) / len(numbers)


def is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
