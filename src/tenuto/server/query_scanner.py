"""The words of a search query: reads fields, operators and values off a text, from left to right."""

from __future__ import annotations

import re

from msgspec import Struct


class QueryError(ValueError):
    """A query can't be read; the message says where and why."""

    def __init__(self, problem: str, position: int) -> None:
        super().__init__(f"The query can't be read at character {position + 1}: {problem}.")
        #: Of the character that is in the way, from 0.
        self.position = position


class Value(Struct, frozen=True):
    """A value as it was written; `pieces` are what lies between its wildcards."""

    pieces: tuple[str, ...]
    position: int

    @property
    def text(self) -> str:
        """With every wildcard as a mere asterisk."""
        return "*".join(self.pieces)


_SPACE = re.compile(r"\s*")
_FIELD = re.compile(r"[A-Za-z_][\w.]*")
_WORD = re.compile(r"\w+")
_OPERATOR = re.compile(r"!=|<=|>=|=|<|>|:")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"' + r"|'((?:[^'\\]|\\.)*)'", re.S)
_ESCAPED = re.compile(r"""\\(["'\\*])""")
# One space, not several: of many, each would be tried as the first.
_END_OF_BARE = re.compile(r"[()]|\s(?:AND|OR)(?=[\s(]|\Z)", re.I)
_CONNECTIVE = re.compile(r"(?:AND|OR)(?=[\s(]|\Z)", re.I)
_END_OF_LISTED = re.compile(r"[(),]")
_BEHIND_QUOTES = re.compile(r"[\s(),]|\Z")

LONGEST_VALUE = 8_192
"""Characters."""
MOST_WILDCARDS = 32
"""In one value."""


class Scanner:
    """Stands at a position in the text; each method that finds what it looks for moves behind it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.position = 0
        self._skip_space()

    def at_end(self) -> bool:
        return self.position == len(self._text)

    def error(self, problem: str) -> QueryError:
        return QueryError(problem, self.position)

    def take(self, character: str) -> bool:
        """Is this the next character?"""
        found = self._text.startswith(character, self.position)
        if found:
            self._move(self.position + len(character))
        return found

    def take_word(self, word: str) -> bool:
        """Is this, in any case, the next word?"""
        found = _WORD.match(self._text, self.position)
        if found is None or found[0].upper() != word:
            return False
        self._move(found.end())
        return True

    def field(self) -> str:
        found = _FIELD.match(self._text, self.position)
        if found is None:
            raise self.error("the name of a field belongs here")
        self._move(found.end())
        return found[0]

    def operator(self) -> str | None:
        found = _OPERATOR.match(self._text, self.position)
        if found is None:
            return None
        self._move(found.end())
        return found[0]

    def value(self, *, listed: bool = False) -> Value:
        """A value in quotes, or a bare one: that goes on to the next AND, OR or closing parenthesis, and in a list to
        the next comma."""
        start = self.position
        value = self._quoted() if self._text[start : start + 1] in ("'", '"') else self._bare(listed)
        if len(value.text) > LONGEST_VALUE or len(value.pieces) > MOST_WILDCARDS + 1:
            raise QueryError(
                f"a value has at most {LONGEST_VALUE} characters and {MOST_WILDCARDS} wildcards", value.position
            )
        return value

    def _quoted(self) -> Value:
        start = self.position
        found = _QUOTED.match(self._text, start)
        if found is None:
            raise self.error("these quotes are not closed")
        if _BEHIND_QUOTES.match(self._text, found.end()) is None:
            raise QueryError("a value ends with its quotes; inside, write \\\" or \\' for them", found.end())
        self._move(found.end())
        return Value(tuple(_pieces(found[1] if found[1] is not None else found[2])), start)

    def _bare(self, listed: bool) -> Value:
        start = self.position
        end = self._end_of_bare(_END_OF_LISTED if listed else _END_OF_BARE)
        text = self._text[start:end].rstrip()
        if not text or (not listed and _CONNECTIVE.match(text)):
            raise self.error("a value belongs here, in quotes if it begins with AND or OR")
        self._move(end)
        return Value(tuple(text.split("*")), start)

    def _end_of_bare(self, ends: re.Pattern[str]) -> int:
        open = 0
        for found in ends.finditer(self._text, self.position):
            if found[0] == "(":
                open += 1
            elif found[0] == ")" and open:
                open -= 1
            else:
                return found.start()
        return len(self._text)

    def _move(self, position: int) -> None:
        self.position = position
        self._skip_space()

    def _skip_space(self) -> None:
        space = _SPACE.match(self._text, self.position)
        if space is not None:
            self.position = space.end()


def _pieces(quoted: str) -> list[str]:
    """What lies between the wildcards of a text in which a backslash takes a character's meaning away."""
    pieces = [""]
    position = 0
    for found in _ESCAPED.finditer(quoted):
        _add(pieces, quoted[position : found.start()])
        pieces[-1] += found[1]
        position = found.end()
    _add(pieces, quoted[position:])
    return pieces


def _add(pieces: list[str], plain: str) -> None:
    first, *others = plain.split("*")
    pieces[-1] += first
    pieces += others
