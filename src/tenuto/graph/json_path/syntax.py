"""What a JSONPath consists of."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from tenuto.model.json_values import Json


class Name(Struct, frozen=True):
    """`.key` or `['key']`"""

    name: str


class Names(Struct, frozen=True):
    """`['a','b']`: at the end of a path an object with just these keys, elsewhere each of the values."""

    names: tuple[str, ...]


class Index(Struct, frozen=True):
    """`[0]`, or `[-1]` from the end"""

    index: int


class Indexes(Struct, frozen=True):
    """`[0,2]`"""

    indexes: tuple[int, ...]


class Slice(Struct, frozen=True):
    """`[1:3]`, either side of which may be missing"""

    start: int | None
    stop: int | None


class Wildcard(Struct, frozen=True):
    """`.*` or `[*]`"""


class Filter(Struct, frozen=True):
    """`[?(...)]`"""

    condition: Condition


class Descent(Struct, frozen=True):
    """`..`: what `selector` selects in the value and in everything below it"""

    selector: Selector


Selector: TypeAlias = Name | Names | Index | Indexes | Slice | Wildcard | Filter | Descent


class Path(Struct, frozen=True):
    """A path from the document (`$`), or from the element that a filter looks at (`@`).

    `definite`: leads to one place at most, so that its value is that of the place and not a list."""

    root: Literal["$", "@"]
    selectors: tuple[Selector, ...]
    function: str
    definite: bool


class Constant(Struct, frozen=True):
    value: Json


Operand: TypeAlias = Path | Constant


class Exists(Struct, frozen=True):
    path: Path


class Compare(Struct, frozen=True):
    left: Operand
    operator: str
    right: Operand


class Not(Struct, frozen=True):
    condition: Condition


class All(Struct, frozen=True):
    conditions: tuple[Condition, ...]


class Any(Struct, frozen=True):
    conditions: tuple[Condition, ...]


Condition: TypeAlias = Exists | Compare | Not | All | Any
