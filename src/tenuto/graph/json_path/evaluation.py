"""What a JSONPath leads to. The work is bounded: a path may not keep the process busy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from tenuto.graph.json_path import functions
from tenuto.graph.json_path import syntax as s
from tenuto.graph.json_path.comparison import SETS, compare
from tenuto.graph.json_path.missing import MISSING
from tenuto.model.json_values import Json

#: Values that one search may look at.
VISITS: Final = 100_000


class TooMuchWork(Exception):
    """The paths look at more than VISITS values."""


class Search:
    """Follows paths in documents. `root` gives what a path from `$` begins with, by name; MISSING if there is none."""

    def __init__(self, root: Callable[[str], Json]) -> None:
        self._root = root
        self._visits = 0

    def value(self, path: s.Path, current: Json = MISSING) -> Json:
        """The value of a path: MISSING if it leads nowhere, a list if it may lead to several places.

        Raises TooMuchWork."""
        start, selectors = (current, path.selectors) if path.root == "@" else self._from_root(path)
        found = self._definite(start, selectors) if path.definite else self._indefinite(start, selectors)
        if not path.function:
            return found
        self._visit(len(_children(found)))
        return functions.apply(path.function, found)

    def _from_root(self, path: s.Path) -> tuple[Json, tuple[s.Selector, ...]]:
        first = path.selectors[0] if path.selectors else None
        if not isinstance(first, s.Name):
            return MISSING, ()
        return self._root(first.name), path.selectors[1:]

    def _definite(self, value: Json, selectors: tuple[s.Selector, ...]) -> Json:
        for selector in selectors:
            if isinstance(selector, s.Name):
                value = value.get(selector.name, MISSING) if isinstance(value, dict) else MISSING
            elif isinstance(selector, s.Index):
                value = _item(value, selector.index)
            elif isinstance(selector, s.Names):
                value = _picked(value, selector.names)
            if value is MISSING:
                return MISSING
        return value

    def _indefinite(self, start: Json, selectors: tuple[s.Selector, ...]) -> list[Json]:
        values = [] if start is MISSING else [start]
        last = len(selectors) - 1
        for position, selector in enumerate(selectors):
            found: list[Json] = []
            for value in values:
                found += self._select(value, selector, leaf=position == last)
            values = found
        return values

    def _select(self, value: Json, selector: s.Selector, *, leaf: bool) -> Iterator[Json]:
        match selector:
            case s.Name() | s.Index():
                self._visit()
                found = self._definite(value, (selector,))
                if found is not MISSING:
                    yield found
            case s.Names():
                if not leaf:
                    yield from self._each(value, [s.Name(name) for name in selector.names])
                elif (picked := _picked(value, selector.names)) is not MISSING:
                    yield picked
            case s.Indexes():
                yield from self._each(value, [s.Index(index) for index in selector.indexes])
            case s.Slice():
                for item in value[selector.start : selector.stop] if isinstance(value, list) else ():
                    self._visit()
                    yield item
            case s.Wildcard():
                for item in _children(value):
                    self._visit()
                    yield item
            case s.Filter():
                # An object is tested itself, of a list each item.
                for item in value if isinstance(value, list) else [value] if isinstance(value, dict) else ():
                    self._visit()
                    if self._holds(selector.condition, item):
                        yield item
            case s.Descent():
                for below in self._below(value):
                    yield from self._select(below, selector.selector, leaf=leaf)

    def _each(self, value: Json, selectors: list[s.Name] | list[s.Index]) -> Iterator[Json]:
        for selector in selectors:
            yield from self._select(value, selector, leaf=False)

    def _below(self, value: Json) -> Iterator[Json]:
        """The value and everything in it, from the top down."""
        waiting = [value]
        while waiting:
            current = waiting.pop()
            children = _children(current)
            self._visit(1 + len(children))
            yield current
            waiting += [child for child in reversed(children) if isinstance(child, dict | list)]

    def _holds(self, condition: s.Condition, item: Json) -> bool:
        self._visit()
        match condition:
            case s.Exists():
                found = self.value(condition.path, item)
                return found is not MISSING and (condition.path.definite or found != [])
            case s.Compare():
                return self._compare(condition, item)
            case s.Not():
                return not self._holds(condition.condition, item)
            case s.All():
                return all(self._holds(each, item) for each in condition.conditions)
            case s.Any():
                return any(self._holds(each, item) for each in condition.conditions)

    def _compare(self, condition: s.Compare, item: Json) -> bool:
        left, right = self._operand(condition.left, item), self._operand(condition.right, item)
        both = isinstance(left, list | dict) and isinstance(right, list | dict)
        weight = _size(left) if both or condition.operator == "contains" else 1
        if condition.operator in SETS:
            weight *= max(1, len(_children(right)))
        self._visit(weight)
        return compare(left, condition.operator, right)

    def _operand(self, operand: s.Operand, item: Json) -> Json:
        return operand.value if isinstance(operand, s.Constant) else self.value(operand, item)

    def _visit(self, values: int = 1) -> None:
        self._visits += values
        if self._visits > VISITS:
            raise TooMuchWork(f"the paths look at more than {VISITS} values; use an INLINE or JSON_JQ_TRANSFORM task")


def _children(value: Json) -> list[Json]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _size(value: Json) -> int:
    """How many values there are in a value; a long text counts for several."""
    size, waiting = 0, [value]
    while waiting and size <= VISITS:
        current = waiting.pop()
        size += 1 + len(current) // 1000 if isinstance(current, str) else 1
        waiting += _children(current)
    return size


def _item(value: Json, index: int) -> Json:
    if not isinstance(value, list) or not -len(value) <= index < len(value):
        return MISSING
    return value[index]


def _picked(value: Json, names: tuple[str, ...]) -> Json:
    if not isinstance(value, dict):
        return MISSING
    return {name: value[name] for name in names if name in value}
