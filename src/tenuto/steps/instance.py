"""One instance of a workflow, as those see it who started it or look after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tenuto.clients.handle import WorkflowHandle
from tenuto.model.errors import RPCError, RPCStatusCode, TenutoError
from tenuto.model.events import ExecutionRef, WorkflowExecutionStarted
from tenuto.steps.instance_status import InstanceStatus, status_of
from tenuto.store.protocol import StoredExecution

if TYPE_CHECKING:
    from tenuto.steps.binding import Workflow


class WorkflowInstanceError(TenutoError):
    """Something can't be done with an instance. `code` says what, for programs: `instance.not_found`,
    `instance.already_exists`, `instance.cannot_pause`, `.cannot_resume`, `.cannot_terminate`, `.cannot_restart`,
    `.cannot_send_event`, `.cannot_delete`."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class WorkflowInstance:
    """An instance of a workflow. Get one with `create`, `create_batch` or `get` of its binding."""

    def __init__(self, workflow: Workflow, id: str) -> None:
        self._workflow = workflow
        self._client = workflow.client
        self._id = id

    @property
    def id(self) -> str:
        return self._id

    def __repr__(self) -> str:
        return f"WorkflowInstance({self._workflow.name!r}, id={self._id!r})"

    @property
    def _handle(self) -> WorkflowHandle[Any]:
        return self._client.get_workflow_handle(self._id)

    async def status(self) -> InstanceStatus:
        """How it stands; see `InstanceStatus`. Raises WorkflowInstanceError (not_found) if it is not there any more."""
        return status_of(await self._stored(), self._client.gateway.clock.now(), self._client.data_converter)

    async def pause(self) -> None:
        """Let it stand still until `resume`: no step begins; a step that runs ends first (`waitingForPause`), and what
        it sleeps or waits for comes later by the time spent paused. Raises WorkflowInstanceError (cannot_pause) unless
        it is queued, running or waiting."""
        await self._check("pause", ("queued", "running", "waiting"))
        await self._ask("pause", self._handle.pause())

    async def resume(self) -> None:
        """Let it go on. Raises WorkflowInstanceError (cannot_resume) unless it is paused or about to be."""
        await self._check("resume", ("paused", "waitingForPause"))
        await self._ask("resume", self._handle.unpause())

    async def terminate(self, rollback: bool = False) -> None:
        """End it: at once, or with `rollback` after the rollbacks of the steps that have begun, newest first. Raises
        WorkflowInstanceError (cannot_terminate) if it has ended."""
        stood = await self.status()
        if stood.is_final:
            raise self._cannot("terminate", stood)
        if not rollback:
            await self._ask("terminate", self._handle.terminate())
            return
        await self._ask("terminate", self._handle.cancel())
        if stood.status in ("paused", "waitingForPause"):
            await self._ask("terminate", self._handle.unpause())

    async def send_event(self, type: str | Mapping[str, Any], payload: Any = None) -> None:
        """Send an event: `send_event("approved", {...})` or `send_event({"type": "approved", "payload": {...}})`. It is
        on record when this returns, and is kept until the instance waits for one of its type. Raises
        WorkflowInstanceError (cannot_send_event) if the instance has ended, ValueError for what can't be a type."""
        event = type if isinstance(type, Mapping) else {"type": type, "payload": payload}
        unknown = event.keys() - {"type", "payload"}
        if unknown:
            raise ValueError(f"an event has a type and a payload, no {', '.join(sorted(map(str, unknown)))}")
        name = self._workflow.event_type(event.get("type"))
        await self._ask("send_event", self._handle.signal(name, event.get("payload")))

    # -- what they have in common --------------------------------------------------------------------------------------

    async def _stored(self) -> StoredExecution:
        """All events of its latest run."""
        stored = await self._client.gateway.load(ExecutionRef(self._id), history=True)
        started = stored.events[0] if stored is not None and stored.events else None
        if stored is None or not isinstance(started, WorkflowExecutionStarted):
            raise self.not_found()
        if started.workflow_type != self._workflow.name:
            raise self.not_found(f"; that id is of an execution of {started.workflow_type!r}")
        return stored

    def not_found(self, why: str = "") -> WorkflowInstanceError:
        return WorkflowInstanceError(
            f"there is no instance {self._id!r} of workflow {self._workflow.name!r}{why}", "instance.not_found"
        )

    async def _check(self, what: str, allowed: tuple[str, ...]) -> None:
        stood = await self.status()
        if stood.status not in allowed:
            raise self._cannot(what, stood)

    def _cannot(self, what: str, stood: InstanceStatus) -> WorkflowInstanceError:
        done = {"pause": "paused", "resume": "resumed", "terminate": "terminated", "send_event": "sent an event"}[what]
        return WorkflowInstanceError(
            f"instance {self._id!r} of {self._workflow.name!r} is {stood.status} and can't be {done}",
            f"instance.cannot_{what}",
        )

    async def _ask(self, what: str, request: Any) -> None:
        """Raises WorkflowInstanceError if the run has closed, or was never there."""
        try:
            await request
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            raise self._cannot(what, await self.status()) from None
