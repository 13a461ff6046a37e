"""`tenuto db`: what it makes, says and refuses."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tenuto.store.migrations import load_migrations
from tests.support.postgres import drop, new_schema, url_of

NAMES = [migration.name for migration in load_migrations("postgres")]


@pytest.fixture
def url() -> Iterator[str]:
    schema = new_schema()
    yield url_of(schema)
    drop(schema)


def tenuto(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tenuto", "db", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def said(*words: str) -> list[str]:
    done = tenuto(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_schema_is_made_once(url: str) -> None:
    assert said("status", "--db", url) == ["no tables yet", *(f"missing {name}: tenuto db migrate" for name in NAMES)]
    assert said("migrate", "--db", url) == [f"applied {name}" for name in NAMES]
    assert said("migrate", "--db", url, "--post") == ["up to date"]
    assert said("status", "--db", url) == [f"version {len(NAMES)}", *(f"applied {name}" for name in NAMES)]


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (["--grant", "nobody such"], 5, 'role "nobody such" does not exist'),
        (["--db", "postgresql://me:secret@127.0.0.1:1/db"], 5, "postgresql://me:***@127.0.0.1:1/db can't be connected"),
        (["--db", "postgresql://me:secret@127.0.0.1:1/db?schema=pg_x"], 2, "schema is a name"),
        (["--db", "sqlite:///x.db"], 2, "sqlite:///x.db is no postgresql:// store"),
        (["--db", "mysql://x"], 2, "names no store"),
    ],
)
def test_what_goes_wrong_is_one_line(url: str, words: list[str], code: int, why: str) -> None:
    done = tenuto("migrate", *(["--db", url] if "--db" not in words else []), *words)
    assert done.returncode == code
    assert why in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "secret" not in done.stderr
    assert not Path("x.db").exists()
