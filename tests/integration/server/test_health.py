"""Whether a server is alive, and whether it takes work: what load balancers and orchestrators ask."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tenuto.model.errors import StoreBusyError
from tenuto.server.routes import health
from tests.integration.cli_processes import Shop, shop_with
from tests.integration.server.conftest import Served, ServerMaker
from tests.integration.server.test_process import begin


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with shop_with(tmp_path, "") as made:
        yield made


async def ready(server: Served) -> tuple[int, str]:
    answer = await server.client.get(f"{server.url}/ready")
    assert answer.json()["ready"] == (answer.status_code == 200)
    return answer.status_code, answer.json()["reason"]


@pytest.mark.parametrize("db", ["memory://", "sqlite:///{}/tenuto.db"], ids=["memory", "sqlite"])
async def test_ready_while_the_store_answers(
    make_server: ServerMaker, db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make_server(db=db.format(tmp_path)) as server:
        assert await ready(server) == (200, "")

        async def fails(collection: str, key: str) -> None:
            raise StoreBusyError("somebody@10.0.0.1 holds it")

        monkeypatch.setattr(server.services.store, "document", fails)
        assert await ready(server) == (503, "the store can't be read")
        monkeypatch.undo()
        assert await ready(server) == (200, "")


async def test_a_store_that_says_nothing_is_not_waited_for(
    make_server: ServerMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make_server() as server:

        async def hangs(collection: str, key: str) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(health, "PATIENCE", 0.05)
        monkeypatch.setattr(server.services.store, "document", hangs)
        assert await ready(server) == (503, "the store has not answered for 0.05 s")
        assert (await server.client.get(f"{server.url}/health")).status_code == 200, "a restart would not help"


async def test_not_ready_once_the_engine_has_failed(make_server: ServerMaker) -> None:
    async with make_server() as server:
        failed = server.services.engine.failed
        failed.set_exception(RuntimeError("broken"))
        failed.exception()
        assert await ready(server) == (503, "the engine has failed")


async def test_a_server_that_stops_says_so_before_it_refuses_connections(shop: Shop) -> None:
    """Until the load balancer has seen it, requests are answered, and connections not kept."""
    (shop.folder / "c.toml").write_text("shutdown_delay = 1.5")
    process, url = await asyncio.to_thread(begin, shop, "--config", "c.toml")
    async with httpx.AsyncClient(base_url=url) as client:
        assert (await client.get("/ready")).status_code == 200
        poll = asyncio.create_task(client.get("/api/tasks/poll/batch/nothing?timeout=60000", timeout=60))
        process.send_signal(signal.SIGTERM)
        answer = await poll
        assert (answer.status_code, answer.json()) == (200, [])
        turned_away = await client.get("/ready")
        assert (turned_away.status_code, turned_away.json()["reason"]) == (503, "the server is stopping")
        assert turned_away.headers["connection"] == "close"
        assert (await client.put("/api/environment/late", content="v")).status_code == 200
        assert (await client.get("/health")).status_code == 200
    assert await asyncio.to_thread(process.wait, 30) == 0
