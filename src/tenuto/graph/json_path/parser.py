"""The text of a JSONPath into its parts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, TypeVar

from tenuto.graph.json_path import syntax as s
from tenuto.model.json_values import Json

#: Functions that may end a path: `.length()`.
FUNCTIONS = frozenset(("length", "size", "keys", "min", "max", "sum", "avg", "first", "last"))

_LONGEST, _DEEPEST = 4_096, 20
_NAME = re.compile(r"""[^\s.\[\](){}<>=!&|~,'"`]+""")
_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?(?![\w.])")
_INDEX = re.compile(r"-?\d{1,9}")
_WORD = re.compile(r"[a-zA-Z]+")
_BLANKS = re.compile(r"\s*")
_OPERATORS = ("===", "!==", "==", "!=", "<=", ">=", "=~", "<", ">")
_WORD_OPERATORS = frozenset(("in", "nin", "subsetof", "anyof", "noneof", "contains", "all", "size", "empty"))
_WORDS: dict[str, Json] = {"true": True, "false": False, "null": None}
T = TypeVar("T")

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}


class BadPath(Exception):
    """The text is no JSONPath."""


def parse(text: str) -> s.Path:
    """A path; `$.` in front may be left out. Raises BadPath."""
    if len(text) > _LONGEST:
        raise BadPath(f"a path may have {_LONGEST} characters, this one has {len(text)}")
    return _Parser(text).whole_path()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0

    # -- paths -------------------------------------------------------------------------------------------------------

    def whole_path(self) -> s.Path:
        self._skip_blanks()
        if self._take("$"):
            path = self._path("$")
        else:
            first: list[s.Selector] = [] if self._peek() == "[" else [s.Name(self._name())]
            path = self._path("$", first)
        self._skip_blanks()
        if self._at < len(self._text):
            raise self._error("is not understood")
        return path

    def _path(self, root: Literal["$", "@"], selectors: list[s.Selector] | None = None) -> s.Path:
        selectors = selectors or []
        function = ""
        while not function:
            if self._take(".."):
                selectors.append(s.Descent(self._bracket() if self._take("[") else self._named_or_all()))
            elif self._take("."):
                if self._take("["):
                    selectors.append(self._bracket())
                    continue
                selector = self._named_or_all()
                if isinstance(selector, s.Name) and self._take("("):
                    function = self._function(selector.name)
                else:
                    selectors.append(selector)
            elif self._take("["):
                selectors.append(self._bracket())
            else:
                break
        definite = all(isinstance(selector, s.Name | s.Index) for selector in selectors[:-1]) and (
            not selectors or isinstance(selectors[-1], s.Name | s.Index | s.Names)
        )
        return s.Path(root, tuple(selectors), function, definite)

    def _named_or_all(self) -> s.Selector:
        return s.Wildcard() if self._take("*") else s.Name(self._name())

    def _name(self) -> str:
        match = _NAME.match(self._text, self._at)
        if match is None:
            raise self._error("should be a name; one with other characters is written ['...']")
        self._at = match.end()
        return match.group()

    def _function(self, name: str) -> str:
        self._skip_blanks()
        self._expect(")")
        if name not in FUNCTIONS:
            raise BadPath(f"{name}() is no function of paths; there are {', '.join(sorted(FUNCTIONS))}")
        return name

    def _bracket(self) -> s.Selector:
        self._skip_blanks()
        selector: s.Selector
        if self._take("*"):
            selector = s.Wildcard()
        elif self._take("?"):
            selector = s.Filter(self._any())
        elif self._peek() in "'\"":
            names = self._listed(self._string)
            selector = s.Name(names[0]) if len(names) == 1 else s.Names(tuple(names))
        else:
            selector = self._indexes()
        self._skip_blanks()
        self._expect("]")
        return selector

    def _indexes(self) -> s.Selector:
        start = self._index()
        self._skip_blanks()
        if self._take(":"):
            self._skip_blanks()
            return s.Slice(start, self._index())
        if start is None:
            raise self._error("should be an index, a 'name', * or ?(...)")
        indexes = [start]
        while self._take(","):
            self._skip_blanks()
            indexes.append(self._required_index())
            self._skip_blanks()
        return s.Index(start) if len(indexes) == 1 else s.Indexes(tuple(indexes))

    def _index(self) -> int | None:
        match = _INDEX.match(self._text, self._at)
        if match is None:
            return None
        self._at = match.end()
        return int(match.group())

    def _required_index(self) -> int:
        index = self._index()
        if index is None:
            raise self._error("should be an index")
        return index

    # -- filters -----------------------------------------------------------------------------------------------------

    def _any(self) -> s.Condition:
        conditions = [self._all()]
        while self._take_after_blanks("||"):
            conditions.append(self._all())
        return conditions[0] if len(conditions) == 1 else s.Any(tuple(conditions))

    def _all(self) -> s.Condition:
        conditions = [self._condition()]
        while self._take_after_blanks("&&"):
            conditions.append(self._condition())
        return conditions[0] if len(conditions) == 1 else s.All(tuple(conditions))

    def _condition(self) -> s.Condition:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise BadPath(f"conditions may be nested {_DEEPEST} deep")
        try:
            if self._take_after_blanks("!"):
                return s.Not(self._condition())
            if self._take("("):
                inner = self._any()
                self._skip_blanks()
                self._expect(")")
                return inner
            return self._comparison()
        finally:
            self._depth -= 1

    def _comparison(self) -> s.Condition:
        left = self._operand()
        operator = self._operator()
        if operator:
            return s.Compare(left, operator, self._operand())
        if isinstance(left, s.Path):
            return s.Exists(left)
        raise self._error("should be an operator")

    def _operator(self) -> str:
        self._skip_blanks()
        for operator in _OPERATORS:
            if self._take(operator):
                if operator == "=~":
                    raise BadPath("regular expressions (=~) can't be used in a path; use an INLINE task")
                return operator
        word = _WORD.match(self._text, self._at)
        if word is None:
            return ""
        name = word.group().lower()
        if name not in _WORD_OPERATORS:
            raise self._error("should be an operator")
        self._at = word.end()
        return name

    def _operand(self) -> s.Operand:
        self._skip_blanks()
        if self._take("@"):
            return self._path("@")
        if self._take("$"):
            return self._path("$")
        return s.Constant(self._constant())

    def _constant(self) -> Json:
        self._skip_blanks()
        if self._peek() in "'\"":
            return self._string()
        if self._take("["):
            self._skip_blanks()
            if self._take("]"):
                return []
            items = self._listed(self._plain)
            self._expect("]")
            return items
        return self._plain()

    def _plain(self) -> Json:
        if self._peek() in "'\"":
            return self._string()
        number = _NUMBER.match(self._text, self._at)
        if number is not None:
            self._at = number.end()
            return int(number.group()) if number.group().lstrip("-").isdigit() else float(number.group())
        word = _WORD.match(self._text, self._at)
        if word is None or word.group() not in _WORDS:
            raise self._error("should be a value: @..., $..., a 'text', a number, true, false, null or a [list]")
        self._at = word.end()
        return _WORDS[word.group()]

    # -- characters --------------------------------------------------------------------------------------------------

    def _listed(self, read: Callable[[], T]) -> list[T]:
        items = [read()]
        self._skip_blanks()
        while self._take(","):
            self._skip_blanks()
            items.append(read())
            self._skip_blanks()
        return items

    def _string(self) -> str:
        quote = self._text[self._at : self._at + 1]
        if quote not in ("'", '"'):
            raise self._error("should be a quoted text")
        at = self._at + 1
        characters: list[str] = []
        while (character := self._text[at : at + 1]) != quote:
            if not character:
                raise self._error("is a text without its end")
            if character == "\\":
                at += 1
                escaped = self._text[at : at + 1]
                character = _ESCAPES.get(escaped, escaped)
            characters.append(character)
            at += 1
        self._at = at + 1
        return "".join(characters)

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else "\0"

    def _take(self, token: str) -> bool:
        if not self._text.startswith(token, self._at):
            return False
        self._at += len(token)
        return True

    def _take_after_blanks(self, token: str) -> bool:
        self._skip_blanks()
        return self._take(token)

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._error(f"should be {token}")

    def _skip_blanks(self) -> None:
        match = _BLANKS.match(self._text, self._at)
        assert match is not None
        self._at = match.end()

    def _error(self, what: str) -> BadPath:
        rest = self._text[self._at : self._at + 20]
        return BadPath(f"{rest!r} {what}" if rest else f"the path ends where something {what}")
