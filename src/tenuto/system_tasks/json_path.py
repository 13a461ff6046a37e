"""JSONPath into a document that came from outside."""

from __future__ import annotations

from functools import lru_cache

import jsonpath

from tenuto.model.json_values import Json


class BadPath(Exception):
    """The text is no JSONPath."""


class _Environment(jsonpath.JSONPathEnvironment):
    """Without regular expressions: one that backtracks for hours can't be interrupted."""

    def setup_function_extensions(self) -> None:
        super().setup_function_extensions()
        del self.function_extensions["match"], self.function_extensions["search"]

    def compare(self, left: object, operator: str, right: object) -> bool:
        if operator == "=~":
            raise BadPath("a JSONPath can't use regular expressions (=~) here")
        return super().compare(left, operator, right)


_environment = _Environment()


@lru_cache(maxsize=1024)
def _compiled(path: str) -> jsonpath.JSONPath | jsonpath.CompoundJSONPath:
    return _environment.compile(path)


def select(path: str, document: Json) -> list[Json]:
    """All values that `path` leads to. Raises BadPath."""
    try:
        return _compiled(path).findall(document)
    except jsonpath.JSONPathError as error:
        raise BadPath(f"{path!r} is no usable JSONPath: {error}") from None


def is_definite(path: str) -> bool:
    """Whether the path leads to one place at most. Raises BadPath."""
    try:
        compiled = _compiled(path)
    except jsonpath.JSONPathError as error:
        raise BadPath(f"{path!r} is no usable JSONPath: {error}") from None
    return isinstance(compiled, jsonpath.JSONPath) and compiled.singular_query()
