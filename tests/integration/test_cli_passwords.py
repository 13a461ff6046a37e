"""The password of a database is shown nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli_processes import Shop, shop_with, until
from tests.support.postgres import postgres_url

FLOWS = """
    import asyncio

    from tenuto import workflow


    @workflow.defn
    class Flow:
        @workflow.run
        async def run(self) -> str:
            await asyncio.sleep(3600)
            return "done"
"""
PASSWORD = "hunter2-hunter2"


@pytest.fixture
def url() -> Iterator[str]:
    with postgres_url() as made:
        user, _, place = made.partition("@")
        yield f"{user}:{PASSWORD}@{place}"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with shop_with(tmp_path, FLOWS) as made:
        yield made


@pytest.mark.parametrize(
    "words",
    [("server", "--port", "0", "--config", "c.toml"), ("worker", "flows.py"), ("run", "flows.py"), ("db", "status")],
    ids=lambda words: words[0],
)
def test_no_password_is_shown(shop: Shop, url: str, words: tuple[str, ...]) -> None:
    (shop.folder / "c.toml").write_text(f'secrets_key = "{"A" * 43}="')
    process = shop.begin(*words, "--db", url)
    until(lambda: re.search("serv|is started", shop.said()) or process.poll() is not None)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == (130 if words[0] == "run" else 0), shop.said()
    assert PASSWORD not in output + shop.said()
    assert words[0] == "db" or "postgresql://" in shop.said()


def test_no_password_is_shown_of_a_database_that_is_not_there(shop: Shop) -> None:
    shop.do("list", "--db", f"postgresql://tenuto:{PASSWORD}@127.0.0.1:9/tenuto", code=5)
    assert "127.0.0.1:9" in shop.said()
    assert PASSWORD not in shop.said()
