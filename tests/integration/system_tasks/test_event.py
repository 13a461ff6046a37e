"""EVENT tasks and the engine's own queues; buses have tests of their own."""

from __future__ import annotations

import sys

import pytest

from tenuto.system_tasks.registry import SystemTasks
from tests.integration.system_tasks.running import EventQueues, running_tasks, system_task

PAYLOAD = {
    "a": 1,
    "workflowInstanceId": "workflow-1",
    "workflowType": "orders",
    "workflowVersion": 3,
    "correlationId": "corr",
    "taskToDomain": {},
}


@pytest.mark.parametrize(
    ("sink", "queue"), [("conductor", "conductor:orders:ref"), ("conductor:done", "conductor:orders:done")]
)
async def test_a_queue_of_the_engine(sink: str, queue: str) -> None:
    queues = EventQueues()
    async with running_tasks(queues=queues) as tasks:
        result = await tasks.run(system_task("EVENT", {"a": 1}, node={"sink": sink}))
    assert (result.status, result.reason) == ("COMPLETED", None)
    assert queues.published == [(queue, PAYLOAD, "task-1")]
    assert result.output == {**PAYLOAD, "event_produced": queue}


async def test_async_complete(tasks: SystemTasks) -> None:
    result = await tasks.run(system_task("EVENT", {}, node={"sink": "conductor", "asyncComplete": True}))
    assert (result.status, result.callback_after) == ("IN_PROGRESS", 0.0)


async def test_the_engines_queues_store_no_secret() -> None:
    queues = EventQueues()
    async with running_tasks(queues=queues) as tasks:
        task = system_task(
            "EVENT", {"key": "very secret"}, node={"sink": "conductor"}, secrets=frozenset({"very secret"})
        )
        result = await tasks.run(task)
    assert queues.published[0][1]["key"] == "***"
    assert result.output["key"] == "***"


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ({}, "sink is missing"),
        ({"sink": "pigeon:home"}, "there is no event bus 'pigeon'"),
        ({"sink": "nats:"}, "no NATS destination"),
        ({"sink": "amqp_queue:a?durable=perhaps"}, "durable is true or false"),
        ({"sink": "amqp_exchange:a?color=red"}, "unknown option color"),
    ],
)
async def test_bad_sinks(tasks: SystemTasks, node: dict[str, str], says: str) -> None:
    result = await tasks.run(system_task("EVENT", {}, node=node))
    assert result.status == "FAILED"
    assert says in (result.reason or "")


async def test_a_missing_client_library_names_the_extra(tasks: SystemTasks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "tenuto.system_tasks.buses.kafka", raising=False)
    monkeypatch.setitem(sys.modules, "aiokafka", None)
    result = await tasks.run(system_task("EVENT", {}, node={"sink": "kafka:orders"}))
    assert "pip install 'tenuto[kafka]'" in (result.reason or "")
