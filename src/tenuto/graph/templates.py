"""Texts with `${...}` in them, taken apart."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, TypeAlias

from msgspec import Struct

from tenuto.graph.json_path.parser import BadPath, parse
from tenuto.graph.json_path.syntax import Name, Path
from tenuto.model.json_values import Json

#: How deep `${..${..}..}` may be nested.
NESTING: Final = 10

_MARK = re.compile(r"""\$\{|[\[\]'"}\\]""")
_SECRET = re.compile(r"\s*(?:\$\.)?workflow\.secrets[.\[]")
_CACHED_LENGTH = 2_000


class ExpressionError(Exception):
    """A template asks for more than is allowed: nesting, depth, size or work."""


class _TooDeep(Exception):
    """Expressions are nested too deep."""


class Expression(Struct, frozen=True):
    """`${...}`. `inside` is what stands between the braces; `path` that as a path, unless expressions are nested in it
    or `problem` says why it is none. `quoted`: it stands within a quoted text of the expression around it."""

    source: str
    inside: tuple[Part, ...]
    path: Path | None
    problem: str
    secret: bool
    quoted: bool = False

    @property
    def nested(self) -> bool:
        return any(isinstance(part, Expression) for part in self.inside)

    @property
    def blank(self) -> bool:
        return not self.source[2:-1].strip()


Part: TypeAlias = str | Expression


class Template(Struct, frozen=True):
    """A text as literal pieces and expressions. `problem` says what keeps it from being one. `secret`: it names one."""

    parts: tuple[Part, ...]
    secret: bool = False
    problem: str = ""
    too_deep: bool = False


def template_of(text: str) -> Template:
    """A text taken apart. A `${` that does not end stands for itself."""
    return _cached(text) if len(text) <= _CACHED_LENGTH else _template(text)


@lru_cache(maxsize=4096)
def _cached(text: str) -> Template:
    return _template(text)


@lru_cache(maxsize=4096)
def path_of(text: str) -> Path:
    """The path between the braces. Raises BadPath."""
    path = parse(text)
    if not path.selectors or not isinstance(path.selectors[0], Name):
        raise BadPath("it must begin with `workflow` or the reference name of a task")
    return path


def names_secret(path: Path) -> bool:
    """Does the path lead into `workflow.secrets`?"""
    names = [selector.name for selector in path.selectors[:2] if isinstance(selector, Name)]
    return names == ["workflow", "secrets"]


def escaped(value: Json) -> Json:
    """A template that evaluates to `value`."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, dict):
        return {name: escaped(item) for name, item in value.items()}
    return [escaped(item) for item in value] if isinstance(value, list) else value


def _template(text: str) -> Template:
    try:
        return _taken_apart(text)
    except _TooDeep:
        return Template((text,), problem=f"expressions may be nested {NESTING} deep", too_deep=True)


def _taken_apart(text: str) -> Template:
    parts: list[Part] = []
    literal = ""
    problem = ""
    at = 0
    while (start := text.find("${", at)) >= 0:
        if start > at and text[start - 1] == "$":
            literal += text[at : start - 1] + "${"
            at = start + 2
            continue
        literal += text[at:start]
        found = _expression(text, start, 1, quoted=False)
        if found is None:
            problem = problem or f"{text[start : start + 40]!r} has no }} at its end"
            literal += "${"
            at = start + 2
            continue
        if literal:
            parts.append(literal)
            literal = ""
        expression, at = found
        parts.append(expression)
    literal += text[at:]
    if literal:
        parts.append(literal)
    secret = any(isinstance(part, Expression) and part.secret for part in parts)
    return Template(tuple(parts), secret, problem)


def _expression(text: str, start: int, depth: int, *, quoted: bool) -> tuple[Expression, int] | None:
    """The expression that begins at `start`, and where it ends; None if it doesn't end."""
    if depth > NESTING:
        raise _TooDeep
    inside: list[Part] = []
    at = literal = start + 2
    brackets, quote = 0, ""
    while (mark := _MARK.search(text, at)) is not None:
        at = mark.end()
        match mark.group():
            case "${":
                found = _expression(text, mark.start(), depth + 1, quoted=bool(quote))
                if found is None:
                    return None
                inside += [text[literal : mark.start()], found[0]]
                at = literal = found[1]
            case "\\" if quote:
                at += 1
            case token if quote:
                quote = "" if token == quote else quote
            case "[":
                brackets += 1
            case "]":
                brackets = max(0, brackets - 1)
            case "'" | '"' as token if brackets:
                quote = token
            case "}":
                inside.append(text[literal : mark.start()])
                return _finished(text[start:at], tuple(part for part in inside if part != ""), quoted), at
    return None


def _finished(source: str, inside: tuple[Part, ...], quoted: bool) -> Expression:
    if any(isinstance(part, Expression) for part in inside):
        first = inside[0]
        secret = isinstance(first, str) and _SECRET.match(first) is not None
        problem = "a secret can't be part of another expression" if _has_secret(inside) else ""
        return Expression(source, inside, None, problem, secret, quoted)
    text = source[2:-1]
    if not text.strip():
        return Expression(source, inside, None, "", False, quoted)
    try:
        path = path_of(text)
    except BadPath as error:
        return Expression(source, inside, None, str(error), False, quoted)
    return Expression(source, inside, path, "", names_secret(path), quoted)


def _has_secret(parts: tuple[Part, ...]) -> bool:
    return any(isinstance(part, Expression) and part.secret for part in parts)
