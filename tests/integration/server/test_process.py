"""`tenuto server` as a real process: its start, its end, and what it says when it can't."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tenuto.server import run
from tenuto.server.services import Services
from tenuto.server.settings import Settings
from tests.integration.cli_processes import Shop, shop_with, until
from tests.integration.server.conftest import ServerMaker


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with shop_with(tmp_path, "") as made:
        yield made


def begin(shop: Shop, *flags: str) -> tuple[subprocess.Popen[str], str]:
    """A server that answers, and its URL."""
    said = len(shop.said()) if (shop.folder / "stderr").exists() else 0
    process = shop.begin("server", "--port", "0", *flags)

    def url() -> str:
        found = re.search(r"(http://[^ \"]+)", shop.said()[said:])
        return found[1] if found else ""

    until(lambda: url() or process.poll() is not None)
    assert url(), shop.said()
    return process, url()


def end(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(30)


def test_it_answers_and_ends_on_sigterm(shop: Shop) -> None:
    process, url = begin(shop)
    with httpx.Client(base_url=url) as client:
        assert client.get("/health").status_code == 200
        # The connection stays open and idle; it must not keep the server.
        assert end(process) == 0
    assert "stopped" in shop.said()
    assert (shop.folder / "tenuto.db").exists()


async def test_a_waiting_poll_is_answered_when_the_server_stops(
    make_server: ServerMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    polled = asyncio.Event()
    async with httpx.AsyncClient(timeout=60) as client:
        async with make_server() as server:
            queues = server.services.graphs.queues
            poll = queues.poll

            def seen(*arguments: Any, **options: Any) -> Any:
                polled.set()
                return poll(*arguments, **options)

            monkeypatch.setattr(queues, "poll", seen)
            path = "/api/tasks/poll/batch/nothing?timeout=60000"
            waiting = asyncio.create_task(client.get(server.url + path))
            async with asyncio.timeout(20):
                await polled.wait()
            began = time.monotonic()
        answer = await waiting
        assert time.monotonic() - began < 20
    assert (answer.status_code, answer.json()) == (200, [])


def test_it_is_there_again_right_after_a_kill(shop: Shop) -> None:
    process, url = begin(shop)
    assert httpx.put(f"{url}/api/secrets/kept", content="value").status_code == 200
    process.kill()
    process.wait(10)
    process, url = begin(shop)
    assert httpx.get(f"{url}/api/secrets/kept").text == "value"
    assert end(process) == 0


def test_a_port_that_is_taken_is_one_clear_line(shop: Shop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        shop.do("server", "--port", port, code=2)
    assert shop.said() == f"tenuto: can't listen on 127.0.0.1:{port}: another process listens there\n"


def test_a_store_that_another_server_owns_is_one_clear_line(shop: Shop) -> None:
    process, _ = begin(shop)
    before = len(shop.said())
    shop.do("server", "--port", "0", code=5)
    said = shop.said()[before:]
    assert said.count("\n") == 1
    assert f"pid {process.pid}" in said
    assert end(process) == 0


@pytest.mark.parametrize(
    ("flags", "config", "said"),
    [
        (["--config", "none.toml"], None, "none.toml can't be read"),
        (["--config", "c.toml"], "port = = 1", "not valid TOML"),
        (["--config", "c.toml"], "prot = 1", "prot"),
        (["--config", "c.toml"], "port = 99999", "$.port"),
        (["--log-format", "xml"], None, "log_format"),
        (["--db", "nonsense"], None, "names no store"),
        (["--host", "no.such.host.invalid"], None, "can't listen on no.such.host.invalid"),
    ],
)
def test_settings_that_cant_be_used(shop: Shop, flags: list[str], config: str | None, said: str) -> None:
    if config is not None:
        (shop.folder / "c.toml").write_text(config)
    shop.do("server", "--port", "0", *flags, code=2)
    assert said in shop.said()
    assert shop.said().count("\n") == 1


def test_an_open_server_on_all_addresses_says_so_loudly(shop: Shop) -> None:
    process, _ = begin(shop, "--host", "0.0.0.0")
    until(lambda: "THIS SERVER IS OPEN" in shop.said())
    assert end(process) == 0
    quiet, _ = begin(shop)
    assert shop.said().count("THIS SERVER IS OPEN") == 1
    assert end(quiet) == 0


def test_logs_are_json_where_asked_for(shop: Shop) -> None:
    (shop.folder / "c.toml").write_text('log_format = "json"\naccess_log = true\n')
    process, url = begin(shop, "--config", "c.toml")
    httpx.get(f"{url}/health")
    assert end(process) == 0
    lines = [json.loads(line) for line in shop.said().splitlines()]
    assert {"time", "level", "logger", "message"} <= set(lines[0])
    assert any(line["logger"] == "tenuto.server.access" for line in lines)


async def test_an_engine_that_fails_ends_the_server_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(services: Services, listener: socket.socket) -> None:
        services.engine.failed.set_exception(RuntimeError("the disk is gone"))

    monkeypatch.setattr(run, "_announce", fail)
    with run.bound_socket("127.0.0.1", 0) as listener:
        async with asyncio.timeout(30):
            with pytest.raises(RuntimeError, match="the disk is gone"):
                await run.serve(Settings(db="memory://"), listener, asyncio.Event())
