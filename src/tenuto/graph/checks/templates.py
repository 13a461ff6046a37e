"""Texts with `${...}`."""

from __future__ import annotations

from collections.abc import Iterator

from tenuto.graph.checks.problem import Problem, under
from tenuto.graph.expressions import DEPTH
from tenuto.graph.templates import Expression, template_of
from tenuto.model.json_values import Json

_ESCAPE = "; a plain ${ is written $${"


def check_template(template: Json, path: str, depth: int = 0) -> Iterator[Problem]:
    """Every text in a template."""
    if isinstance(template, str):
        yield from _check_text(template, path)
    elif depth >= DEPTH:
        yield Problem(path, f"this is nested more than {DEPTH} deep")
    elif isinstance(template, dict):
        for name, item in template.items():
            yield from check_template(item, under(path, name), depth + 1)
    elif isinstance(template, list):
        for index, item in enumerate(template):
            yield from check_template(item, f"{path}[{index}]", depth + 1)


def _check_text(text: str, path: str) -> Iterator[Problem]:
    if "${" not in text:
        return
    template = template_of(text)
    if template.problem:
        yield Problem(path, template.problem + _ESCAPE, text[:200])
        return
    for expression in _expressions(template.parts):
        if expression.problem:
            message = f"{expression.source[:80]} is no expression: {expression.problem}{_ESCAPE}"
            yield Problem(path, message, text[:200])


def _expressions(parts: tuple[str | Expression, ...]) -> Iterator[Expression]:
    for part in parts:
        if isinstance(part, Expression):
            yield part
            yield from _expressions(part.inside)
