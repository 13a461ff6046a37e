"""The statements of the SQLite store, by name."""

from __future__ import annotations

from tenuto.store.statements import load_statements

SQL = load_statements("sqlite")
