"""Workers as a user of the published Python client writes them, in a process of their own.

Usage: python python_workers.py FOLDER NAME... ; the names are those of the workers that are to run, and `metrics`.
Events go to FOLDER/events.jsonl, metrics to FOLDER/[canonical/]metrics.log. SIGTERM ends it."""

import asyncio
import json
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conductor.client.automator.task_handler import TaskHandler, get_registered_workers
from conductor.client.configuration.configuration import Configuration
from conductor.client.configuration.settings.metrics_settings import MetricsSettings
from conductor.client.context.task_context import TaskInProgress, get_task_context
from conductor.client.http.models.task import Task
from conductor.client.http.models.task_def import TaskDef
from conductor.client.http.models.task_result import TaskResult
from conductor.client.worker.exception import NonRetryableException
from conductor.client.worker.worker_interface import WorkerInterface
from conductor.client.worker.worker_task import worker_task

AT_ONCE = TaskDef(name="", retry_count=1, retry_delay_seconds=0)


@dataclass
class Address:
    street: str
    number: int = 1


@dataclass
class Order:
    id: int
    ship_to: Address
    lines: list[str]


@dataclass
class Receipt:
    order: int
    where: str
    total: float


@worker_task("double", register_task_def=True, register_schema=True, strict_schema=True, thread_count=4)
def double(number: int, times: int = 2) -> int:
    return number * times


@worker_task("shout", register_task_def=True, thread_count=10)
async def shout(text: str) -> dict[str, Any]:
    await asyncio.sleep(0.01)
    return {"text": text.upper()}


@worker_task("place_order", register_task_def=True)
def place_order(order: Order, note: str | None = None) -> Receipt:
    return Receipt(order.id, f"{order.ship_to.street} {order.ship_to.number}{note or ''}", len(order.lines) * 1.5)


@worker_task("whole_task", register_task_def=True)
def whole_task(task: Task) -> TaskResult:
    result = task.to_task_result("COMPLETED")
    result.add_output_data("seen", task.input_data)
    result.log("a line of a worker")
    return result


@worker_task("with_context", register_task_def=True)
def with_context() -> dict[str, Any]:
    context = get_task_context()
    context.add_log(f"attempt {context.get_retry_count()}")
    return {"workflow": context.get_workflow_instance_id(), "polls": context.get_poll_count()}


@worker_task("patient", register_task_def=True)
def patient() -> dict[str, Any] | TaskInProgress:
    polls = get_task_context().get_poll_count()
    return {"polls": polls} if polls > 2 else TaskInProgress(callback_after_seconds=0, output={"so_far": polls})


@worker_task("hopeless", register_task_def=True, task_def=AT_ONCE)
async def hopeless() -> None:
    raise NonRetryableException("there is no way")


@worker_task("unlucky", register_task_def=True, task_def=AT_ONCE)
def unlucky() -> str:
    if get_task_context().get_retry_count() == 0:
        raise ValueError("not this time")
    return "luck"


@worker_task(
    "slow",
    register_task_def=True,
    lease_extend_enabled=True,
    task_def=TaskDef(name="", response_timeout_seconds=6, timeout_seconds=60, retry_count=0),
)
def slow() -> str:
    time.sleep(7)
    return "at last"


@worker_task("local", domain="berlin", register_task_def=True)
def local() -> str:
    return "berlin"


@worker_task("audit", register_task_def=True)
def audit(who: str, status: str) -> dict[str, Any]:
    return {"seen": f"{who} {status}"}


class Listed(WorkerInterface):
    """A worker that is a class."""

    def execute(self, task: Task) -> TaskResult:
        result = self.get_task_result_from_task(task)
        result.output_data, result.status = {"class": True}, "COMPLETED"
        return result


class Witness:
    """Writes down what the client tells of its work."""

    def __init__(self, file: str) -> None:
        self.file = file

    def _note(self, event: Any, **more: object) -> None:
        with Path(self.file).open("a") as lines:
            lines.write(json.dumps({"event": type(event).__name__, "task": event.task_type, **more}) + "\n")

    def on_poll_completed(self, event: Any) -> None:
        if event.tasks_received:
            self._note(event, received=event.tasks_received)

    def on_poll_failure(self, event: Any) -> None:
        self._note(event, cause=str(event.cause))

    def on_task_execution_completed(self, event: Any) -> None:
        self._note(event, size=event.output_size_bytes)

    def on_task_execution_failure(self, event: Any) -> None:
        self._note(event, cause=str(event.cause))

    def on_task_update_failure(self, event: Any) -> None:
        self._note(event, cause=str(event.cause))


def main(folder: str, *names: str) -> None:
    workers: list[Any] = [each for each in get_registered_workers() if each.task_definition_name in names]
    if "listed" in names:
        workers.append(Listed("listed"))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with TaskHandler(
        workers=workers,
        configuration=Configuration(),
        metrics_settings=MetricsSettings(directory=folder, update_interval=1) if "metrics" in names else None,
        scan_for_annotated_workers=False,
        event_listeners=[Witness(f"{folder}/events.jsonl")],
    ) as handler:
        handler.start_processes()
        stop.wait()
    os._exit(0)  # workers in threads never end


if __name__ == "__main__":
    main(*sys.argv[1:])
