"""JSONPath into one document that came from outside, in the dialect of definitions."""

from __future__ import annotations

from functools import lru_cache

from msgspec.structs import replace

from tenuto.graph.json_path.evaluation import Search, TooMuchWork
from tenuto.graph.json_path.missing import MISSING
from tenuto.graph.json_path.parser import BadPath as BadPath
from tenuto.graph.json_path.parser import parse
from tenuto.graph.json_path.syntax import Path
from tenuto.model.json_values import Json


def select(path: str, document: Json) -> list[Json]:
    """All values that `path` leads to. Raises BadPath, also for a path that would look at too many values."""

    def root(name: str) -> Json:
        return document.get(name, MISSING) if isinstance(document, dict) else MISSING

    parsed = _parsed(path)
    try:
        # As a path from the current element it may begin with anything, also with `..`, an index or a wildcard.
        found = Search(root).value(replace(parsed, root="@"), document)
    except TooMuchWork as error:
        raise BadPath(f"{path}: {error}") from None
    if not _gives_one(parsed):
        return list(found)
    return [] if found is MISSING else [found]


def leads_to_one(path: str) -> bool:
    """Whether the path gives one value at most, and not a list of all that it finds. Raises BadPath."""
    return _gives_one(_parsed(path))


@lru_cache(maxsize=1024)
def _parsed(path: str) -> Path:
    try:
        return parse(path)
    except BadPath as error:
        raise BadPath(f"{path[:200]!r}: {error}") from None


def _gives_one(path: Path) -> bool:
    return path.definite or bool(path.function)
