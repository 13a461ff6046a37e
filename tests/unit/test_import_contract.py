"""The pure rooms import no I/O, no database driver and no clock.

import-linter (pyproject.toml) checks the directions between our own rooms; this checks what the
pure ones take from outside. A room that does not exist yet has nothing to check.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tenuto

PACKAGE = Path(tenuto.__file__).parent

IO_AND_CLOCK = {"asyncio", "sqlite3", "asyncpg", "psycopg", "time"}
FORBIDDEN = {
    "model": IO_AND_CLOCK,
    "history": IO_AND_CLOCK | {"datetime"},
    "graph": IO_AND_CLOCK | {"datetime"},
}


def files_of(room: str) -> list[Path]:
    return sorted([*PACKAGE.glob(f"{room}.py"), *PACKAGE.glob(f"{room}/**/*.py")])


def imports_of(source: str) -> Iterator[tuple[int, str]]:
    """Line and top-level package of each absolute import, wherever in the file it stands."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.lineno, node.module.partition(".")[0]


@pytest.mark.parametrize("room", FORBIDDEN)
def test_pure_room_imports_no_io_and_no_clock(room: str) -> None:
    found = [
        f"{file.relative_to(PACKAGE)}:{line} imports {package}"
        for file in files_of(room)
        for line, package in imports_of(file.read_text(encoding="utf-8"))
        if package in FORBIDDEN[room]
    ]
    assert found == []


def test_every_form_of_import_is_seen() -> None:
    source = "import os, time as t\nfrom asyncio.queues import Queue\nfrom . import near\n"
    assert list(imports_of(source)) == [(1, "os"), (1, "time"), (2, "asyncio")]
