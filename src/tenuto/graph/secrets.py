"""`${workflow.secrets.NAME}`: put into the copy of an input that is handed out, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tenuto.graph.expressions import as_text
from tenuto.graph.json_path.evaluation import Search, TooMuchWork
from tenuto.graph.json_path.missing import MISSING
from tenuto.graph.json_path.syntax import Name, Path
from tenuto.graph.templates import Expression, Part, template_of
from tenuto.model.json_values import Json, decode_json

Lookup = Callable[[str], str | None]


def resolve_secrets(value: Json, lookup: Lookup, template: Json = MISSING) -> Json:
    """`value` with its secrets put in: one that there is none of is null, and nothing within a text; one whose value is
    JSON can be followed by a path.

    With `template`, to which `value` was evaluated, only where that names a secret: data may hold such a text as well,
    and must not become one."""
    return _resolved(value, value if template is MISSING else template, lookup)


def _resolved(value: Json, template: Json, lookup: Lookup) -> Json:
    if isinstance(template, str):
        if not isinstance(value, str) or "${" not in value or not template_of(template).secret:
            return value
        return _text(value, template_of(template).parts, lookup)
    if isinstance(template, dict) and isinstance(value, dict):
        return {key: _resolved(item, template.get(key), lookup) for key, item in value.items()}
    if isinstance(template, list) and isinstance(value, list) and len(template) == len(value):
        return [_resolved(item, each, lookup) for item, each in zip(value, template, strict=True)]
    return value


def names_secrets(template: Json) -> bool:
    """Does a template name any secret?"""
    if isinstance(template, str):
        return "${" in template and template_of(template).secret
    if isinstance(template, dict):
        return any(names_secrets(item) for item in template.values())
    return isinstance(template, list) and any(names_secrets(item) for item in template)


def _text(text: str, written: tuple[Part, ...], lookup: Lookup) -> Json:
    parts = template_of(text).parts
    if len(parts) == 1 and isinstance(parts[0], Expression):
        return _value(parts[0], written, lookup)
    pieces: list[str] = []
    for part in parts:
        value = part if isinstance(part, str) else _value(part, written, lookup)
        pieces.append("" if value is None else as_text(value))
    return "".join(pieces)


def _value(expression: Expression, written: tuple[Part, ...], lookup: Lookup) -> Json:
    meant = any(
        isinstance(part, Expression) and part.secret and (part.nested or part.source == expression.source)
        for part in written
    )
    return _secret(expression, lookup) if meant else expression.source


def _secret(expression: Expression, lookup: Lookup) -> Json:
    path = expression.path
    if path is None or not expression.secret:
        return expression.source
    name = path.selectors[2] if len(path.selectors) > 2 else None
    secret = lookup(name.name) if isinstance(name, Name) else None
    if secret is None or (len(path.selectors) == 3 and not path.function):
        return secret
    try:
        document = decode_json(secret.encode())
        rest = Path("@", path.selectors[3:], path.function, path.definite)
        found = Search(lambda name: MISSING).value(rest, document)
    except (msgspec.DecodeError, RecursionError, TooMuchWork):
        return None
    return None if found is MISSING else found
