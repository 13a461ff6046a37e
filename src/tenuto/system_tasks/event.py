"""EVENT: tell an event queue or a bus that the workflow has come here."""

from __future__ import annotations

from typing import Protocol

from tenuto.model.json_values import Json, encode_json
from tenuto.model.system_tasks import SystemTask, SystemTaskResult
from tenuto.system_tasks.async_complete import completes_from_outside
from tenuto.system_tasks.bad_input import BadInput
from tenuto.system_tasks.buses.bus import BusError, Message
from tenuto.system_tasks.buses.buses import Buses
from tenuto.system_tasks.redaction import Redaction


class Publish(Protocol):
    """Puts a message into one of the engine's own event queues."""

    async def __call__(self, queue: str, payload: dict[str, Json], *, message_id: str) -> None:
        """Returns once the message is durable. One with an id that the queue has seen already is the same message."""
        ...


class Event:
    """The EVENT task. Its message has the task's id, so that a run repeated after a crash repeats the message's id."""

    def __init__(self, buses: Buses, publish: Publish) -> None:
        self._buses = buses
        self._publish = publish

    async def run(self, task: SystemTask) -> SystemTaskResult:
        """Publish; raises BadInput without a sink."""
        sink = task.node.get("sink")
        if not isinstance(sink, str) or not sink.strip():
            raise BadInput("sink is missing; give conductor, conductor:<name> or <bus>:<destination>")
        queue = queue_of(sink.strip(), task)
        payload: dict[str, Json] = {
            **task.input,
            "workflowInstanceId": task.workflow_id,
            "workflowType": task.workflow_type,
            "workflowVersion": task.workflow_version,
            "correlationId": task.correlation_id,
            "taskToDomain": task.task_to_domain,
        }
        try:
            if queue.startswith("conductor:"):
                # The engine's own queues are stored, and what is stored holds no secret.
                shown = Redaction(task.secrets).json(payload)
                await self._publish(queue, shown, message_id=task.task_id)
            else:
                await self._buses.publish(queue, Message(task.task_id, encode_json(payload)))
        except BusError as error:
            return SystemTaskResult("FAILED", payload, str(error))
        output = {**payload, "event_produced": queue}
        return SystemTaskResult("IN_PROGRESS" if completes_from_outside(task, task.input) else "COMPLETED", output)


def queue_of(sink: str, task: SystemTask) -> str:
    """The queue that `sink` means: queues of the engine belong to the workflow that publishes."""
    if sink == "conductor":
        return f"conductor:{task.workflow_type}:{task.reference_name}"
    scheme, _, name = sink.partition(":")
    return f"conductor:{task.workflow_type}:{name}" if scheme == "conductor" else sink
