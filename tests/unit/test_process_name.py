"""What a process says of itself shows no password."""

import pytest

from tenuto.store.process_name import process_name, without_passwords


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "tenuto server --db postgresql://me:se:cret@host/db?sslmode=require&password=other --port 1",
            "tenuto server --db postgresql://me:***@host/db?sslmode=require&password=*** --port 1",
        ),
        ("postgresql://me@host/db?PASSWORD=x", "postgresql://me@host/db?PASSWORD=***"),
        ("sqlite:///a.db", "sqlite:///a.db"),
        ("http://host:80/p", "http://host:80/p"),
    ],
)
def test_passwords_are_masked(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


def test_a_process_says_its_id() -> None:
    assert process_name().startswith("pid ")
