"""What holds for all system tasks."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tenuto.system_tasks.registry import SystemTasks
from tests.integration.system_tasks.running import EventQueues, running_tasks, system_task
from tests.integration.system_tasks.servers import raw_server


class BrokenQueues(EventQueues):
    async def publish(self, queue: str, payload: dict[str, Any], *, message_id: str) -> None:
        raise RuntimeError("the queue said: top secret")


def test_types() -> None:
    async def types() -> frozenset[str]:
        async with running_tasks() as tasks:
            return tasks.types

    assert asyncio.run(types()) == {"HTTP", "HTTP_POLL", "EVENT", "KAFKA_PUBLISH"}


async def test_an_unexpected_error_fails_the_task_and_tells_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    task = system_task("EVENT", {}, node={"sink": "conductor"}, secrets=frozenset({"top secret"}))
    with caplog.at_level(logging.ERROR):
        async with running_tasks(queues=BrokenQueues()) as tasks:
            result = await tasks.run(task)
    assert result.status == "FAILED"
    assert result.reason == "EVENT failed: RuntimeError: the queue said: ***"
    assert "task-1" in caplog.text
    assert "top secret" not in caplog.text


async def test_long_reasons_are_shortened(tasks: SystemTasks, base: str) -> None:
    uri = f"{base}/answer?status=500&body={'x' * 10_000}"
    result = await tasks.run(system_task("HTTP", {"uri": uri, "method": "GET"}))
    assert result.reason is not None
    assert len(result.reason) < 2100
    assert result.reason.endswith("characters)")


async def test_a_run_can_be_cancelled(tasks: SystemTasks) -> None:
    arrived, closed = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()
        closed.set()

    async with raw_server(serve) as base:
        keys = {"uri": base, "method": "GET", "readTimeOut": 0}
        run = asyncio.create_task(tasks.run(system_task("HTTP", keys)))
        await asyncio.wait_for(arrived.wait(), 10)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        await asyncio.wait_for(closed.wait(), 10)
