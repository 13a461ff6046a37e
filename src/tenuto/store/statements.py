"""Statements by name: what `sql/*/statements.sql` says, loaded once and never changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files

Parameters = list[object]

ABSENT = -1
"""Stands for NULL, and fills up rows: `sqlite3` binds an exact int in a tenth of the time of None."""
MOST_ROWS = 512
"""Rows in one statement at most; 16 columns of them stay well below SQLite's 32,766 parameters."""

_BLOCK = re.compile(r"^-- (name|fragment): (\w+)\n(.*?)(?=^-- (?:name|fragment): |\Z)", re.M | re.S)
_COMMENT = re.compile(r"--[^\n]*\n?")
_ROW = re.compile(r"VALUES (\([?, ]+\))")


class Statement:
    """One statement. If its text has a `VALUES (?, ...)`, it can be had for any number of rows."""

    def __init__(self, text: str) -> None:
        self.text = text
        row = _ROW.search(text)
        self._row = row.group(1) if row else ""
        self._columns = self._row.count("?")
        self._texts: dict[int, str] = {1: text}

    def for_rows(self, cells: Parameters, *behind: object) -> Iterator[tuple[str, Parameters]]:
        """Texts and parameters that together run this statement for the rows laid out in `cells`,
        one after another; `behind` are the parameters that follow them.

        The number of rows is rounded up to a power of two and filled up: a handful of texts
        serves every number, so each is prepared once, and one execution does where several exact
        ones would be needed. Each execution gives up the GIL twice, and that is what costs.
        """
        most = MOST_ROWS * self._columns
        if len(cells) <= most:
            yield self._filled(cells, behind)
            return
        for start in range(0, len(cells), most):
            yield self._filled(cells[start : start + most], behind)

    def _filled(self, cells: Parameters, behind: Sequence[object]) -> tuple[str, Parameters]:
        rows = len(cells) // self._columns
        size = 1 << (rows - 1).bit_length()
        filling = [ABSENT] * ((size - rows) * self._columns)
        return self._text(size), [*cells, *filling, *behind]

    def _text(self, size: int) -> str:
        text = self._texts.get(size)
        if text is None:
            rows = ", ".join([self._row] * size)
            text = self._texts[size] = self.text.replace(self._row, rows, 1)
        return text


def load_statements(dialect: str, file: str = "statements") -> dict[str, Statement]:
    """The statements of `sql/<dialect>/<file>.sql` by name, without comments."""
    source = (files("tenuto.store") / "sql" / dialect / f"{file}.sql").read_text("utf-8")
    fragments: dict[str, str] = {}
    statements: dict[str, Statement] = {}
    for kind, name, body in _BLOCK.findall(source):
        text = _COMMENT.sub("", body).strip().removesuffix(";")
        for fragment, meaning in fragments.items():
            text = text.replace("{" + fragment + "}", meaning)
        if kind == "fragment":
            fragments[name] = text
        else:
            statements[name] = Statement(text)
    return statements
