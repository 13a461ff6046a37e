"""Comparisons in filters."""

from __future__ import annotations

from collections.abc import Callable

from tenuto.graph.json_path.functions import is_number
from tenuto.graph.json_path.missing import MISSING
from tenuto.model.json_values import Json


def compare(left: Json, operator: str, right: Json) -> bool:
    """Does `left operator right` hold? What can't be compared is not less, greater or equal."""
    match operator:
        case "==":
            return _equal(left, right)
        case "!=":
            return not _equal(left, right)
        case "===":
            return _same(left, right)
        case "!==":
            return not _same(left, right)
        case "contains":
            return _contains(left, right)
        case "size":
            return isinstance(left, list | dict | str) and _same(len(left), right)
        case "empty":
            return isinstance(left, list | dict | str) and (len(left) == 0) is right
    if operator in SETS:
        return isinstance(right, list) and left is not MISSING and bool(SETS[operator](left, right))
    return _ordered(left, operator, right)


def _contains(left: Json, right: Json) -> bool:
    if isinstance(left, str):
        return isinstance(right, str) and right in left
    return isinstance(left, list) and _is_in(right, left)


def _ordered(left: Json, operator: str, right: Json) -> bool:
    comparable = (is_number(left) and is_number(right)) or (isinstance(left, str) and isinstance(right, str))
    if not comparable:
        return False
    match operator:
        case "<":
            return bool(left < right)
        case "<=":
            return bool(left <= right)
        case ">":
            return bool(left > right)
    return bool(left >= right)


def _equal(left: Json, right: Json) -> bool:
    """Equality that takes a number and its text for equal."""
    if is_number(left) and isinstance(right, str):
        left, right = right, left
    if isinstance(left, str) and is_number(right):
        try:
            return bool(float(left) == right)
        except ValueError:
            return False
    return _same(left, right)


def _same(left: Json, right: Json) -> bool:
    if left is MISSING or right is MISSING:
        return left is right
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    return bool(left == right)


def _is_in(value: Json, values: list[Json]) -> bool:
    return any(_equal(value, each) for each in values)


def _subset(left: Json, right: list[Json]) -> bool:
    return isinstance(left, list) and all(_is_in(item, right) for item in left)


def _overlap(left: Json, right: list[Json]) -> bool:
    return isinstance(left, list) and any(_is_in(item, right) for item in left)


SETS: dict[str, Callable[[Json, list[Json]], bool]] = {
    "in": _is_in,
    "nin": lambda left, right: not _is_in(left, right),
    "subsetof": _subset,
    "anyof": _overlap,
    "noneof": lambda left, right: isinstance(left, list) and not _overlap(left, right),
    "all": lambda left, right: isinstance(left, list) and all(_is_in(item, left) for item in right),
}
