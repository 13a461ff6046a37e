"""`${...}` in definitions: what a template comes to while a workflow runs.

`${workflow.input.x}` and `${reference.output.y}` are JSONPaths into what a scope has under those names. What is not
there is null. Secrets are left as they are written: they are resolved only in the copy that is handed out
(graph.secrets). Values are shared with the scope, not copied.
"""

from __future__ import annotations

from typing import Final, Protocol

from tenuto.graph.json_path.evaluation import Search, TooMuchWork
from tenuto.graph.json_path.missing import MISSING as MISSING
from tenuto.graph.json_path.parser import BadPath
from tenuto.graph.json_path.syntax import Path
from tenuto.graph.templates import Expression, ExpressionError, Part, Template, names_secret, path_of, template_of
from tenuto.model.json_values import Json, encode_json

#: How deep a template may be nested, and how many characters its texts may come to.
DEPTH: Final = 100
TEXT: Final = 4 * 1024 * 1024


class Scope(Protocol):
    """What expressions can name."""

    def root(self, name: str) -> Json:
        """The object behind `workflow` or the reference name of a task; MISSING if there is none."""
        ...


def evaluate(template: Json, scope: Scope) -> Json:
    """The value of a template: a string, or an object or list that holds some.

    Raises ExpressionError if it comes to too much."""
    try:
        return _Evaluation(scope).value(template, 0)
    except TooMuchWork as error:
        raise ExpressionError(str(error)) from None
    except RecursionError:
        raise ExpressionError("a value is nested too deep to be compared or written as text") from None


class _Evaluation:
    def __init__(self, scope: Scope) -> None:
        self._search = Search(scope.root)
        self._room = TEXT

    def value(self, template: Json, depth: int) -> Json:
        if isinstance(template, str):
            return self._text(template) if "${" in template else template
        if not isinstance(template, dict | list):
            return template
        if depth >= DEPTH:
            raise ExpressionError(f"a template may be nested {DEPTH} deep")
        if isinstance(template, dict):
            return {key: self.value(item, depth + 1) for key, item in template.items()}
        return [self.value(item, depth + 1) for item in template]

    def _text(self, text: str) -> Json:
        template = template_of(text)
        if template.too_deep:
            raise ExpressionError(template.problem)
        if len(template.parts) == 1 and isinstance(template.parts[0], Expression):
            return self._expression(template.parts[0])
        return self._spliced(template)

    def _spliced(self, template: Template) -> str:
        pieces: list[str] = []
        for part in template.parts:
            piece = self._piece(part)
            # What is left for the secrets is itself a template: everything else in it must mean itself.
            keep = isinstance(part, Expression) and part.secret
            pieces.append(piece.replace("${", "$${") if template.secret and not keep else piece)
        return "".join(pieces)

    def _piece(self, part: Part) -> str:
        piece = part if isinstance(part, str) else as_text(self._expression(part))
        self._room -= len(piece)
        if self._room < 0:
            raise ExpressionError(f"the texts of a template may come to {TEXT} characters")
        return piece

    def _expression(self, expression: Expression) -> Json:
        if expression.blank:
            return ""
        if expression.problem:
            return None
        if expression.path is not None:
            return expression.source if expression.secret else self._found(expression.path)
        text = "".join(self._inner(part) for part in expression.inside)
        if not text.strip():
            return ""
        try:
            path = path_of(text)
        except BadPath:
            return None
        if names_secret(path):
            # Which secret it is may come from data, but not that it is one.
            return "${" + text + "}" if expression.secret else None
        return self._found(path)

    def _inner(self, part: Part) -> str:
        piece = self._piece(part)
        if isinstance(part, Expression) and part.quoted:
            return piece.replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"')
        return piece

    def _found(self, path: Path) -> Json:
        found = self._search.value(path)
        return None if found is MISSING else found


def as_text(value: Json) -> str:
    """A value within a text: strings as they are, everything else as JSON."""
    return value if isinstance(value, str) else encode_json(value).decode()
