"""The statements of the PostgreSQL store: by name, with parameters by name, and commits composed of parts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from tenuto.store.statements import load_statements

_PARAMETER = re.compile(r"(?<![:\w]):([a-z]\w*)")


class Statement:
    """A statement as the server gets it, and which values it gets with it, in order."""

    def __init__(self, source: str) -> None:
        numbers: dict[str, int] = {}
        self.text = _PARAMETER.sub(lambda match: f"${numbers.setdefault(match[1], len(numbers) + 1)}", source)
        self._names = tuple(numbers)

    def values(self, named: Mapping[str, object]) -> list[object]:
        """The values of the parameters, out of `named`."""
        return [named[name] for name in self._names]


class Statements:
    """All statements, for one schema."""

    def __init__(self, schema: str) -> None:
        self.schema = quoted(schema)
        self._sources = {name: text.replace("{schema}", self.schema) for name, text in _sources().items()}
        self._statements: dict[str, Statement] = {}
        self._commits: dict[tuple[str, ...], Statement] = {}

    def __getitem__(self, name: str) -> Statement:
        found = self._statements.get(name)
        if found is None:
            found = self._statements[name] = Statement(self._sources[name])
        return found

    def source(self, name: str, **fragments: str) -> str:
        """The text of a statement, with these fragments put in."""
        text = self._sources[name]
        for fragment, meaning in fragments.items():
            text = text.replace("{" + fragment + "}", meaning)
        return text

    def composed(self, parts: Sequence[str], counted: Sequence[str]) -> Statement:
        """One statement that does all `parts`, each a common table expression, and gives its verdict. Each of those
        `counted` must find as many rows as the parameter `<part>_expected` says."""
        key = (*parts, *counted)
        found = self._commits.get(key)
        if found is None:
            tables = ",\n".join(f"{_alias(part)} AS (\n{self._sources[part]}\n)" for part in parts)
            checks = " AND ".join(self.source("as_expected", part=part) for part in counted)
            verdict = self.source("verdict", as_expected=checks or "true")
            found = self._commits[key] = Statement(f"WITH {tables}\n{verdict}")
        return found


def quoted(name: str) -> str:
    """`name` as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def _alias(name: str) -> str:
    return "fence" if name == "no_fence" else name


@lru_cache(maxsize=1)
def _sources() -> dict[str, str]:
    return {
        name: statement.text
        for file in ("statements", "search")
        for name, statement in load_statements("postgres", file).items()
    }
