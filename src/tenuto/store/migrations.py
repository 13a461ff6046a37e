"""Migrations: the numbered files that make a database what this version expects.

`NNNN_pre_*.sql` adds and may be applied while the version before still runs; `NNNN_post_*.sql`
takes away what no running version uses any more. They are applied in order, each once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from importlib.resources import files

from msgspec import Struct


class Migration(Struct, frozen=True):
    """One step of the schema. Its number is the version of a database it was applied to."""

    number: int
    name: str
    source: str

    def statements(self) -> Iterator[str]:
        """Its statements, one by one."""
        text = ""
        for line in self.source.splitlines(keepends=True):
            text += line
            if sqlite3.complete_statement(text):
                yield text
                text = ""


def load_migrations(dialect: str) -> list[Migration]:
    """The migrations of `sql/<dialect>`, in order."""
    found = [
        Migration(int(file.name[:4]), file.name.removesuffix(".sql"), file.read_text("utf-8"))
        for file in (files("tenuto.store") / "sql" / dialect).iterdir()
        if file.name[:4].isdigit()
    ]
    return sorted(found, key=lambda migration: migration.number)
