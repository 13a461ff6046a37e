"""One instance of a workflow, as those see it who started it or look after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from tenuto.clients.handle import WorkflowHandle
from tenuto.model import messages as msg
from tenuto.model.errors import RPCError, RPCStatusCode, TenutoError
from tenuto.model.events import ExecutionRef, WorkflowExecutionStarted
from tenuto.model.policies import WorkflowIDConflictPolicy
from tenuto.steps.control import ASKED_QUERY, Asked
from tenuto.steps.instance_status import InstanceStatus, status_of
from tenuto.steps.kept import kept_before
from tenuto.steps.keys import Kind
from tenuto.steps.options import RESULT_LIMIT, Outcome, StartOptions
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


FromStep = str | tuple[str, int] | Mapping[str, Any]


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

    async def restart(self, from_step: FromStep | None = None) -> None:
        """Run it again from its beginning, under the same id and with the same params; what goes on of it ends.

        With `from_step`, as `("name", count)`, `"name"` or `{"name": ..., "count": ..., "type": ...}` (the type is do,
        sleep or event, needed only if several have the name), the outcomes of all that its code asked for before that
        step are kept. That needs a worker that has the code. Raises WorkflowInstanceError (cannot_restart) for a step
        that it has not come to, or if what is to be kept is too large."""
        stored = await self._stored()
        started: WorkflowExecutionStarted = stored.events[0]  # type: ignore[assignment]
        converter = self._client.data_converter
        params, *rest = started.input or [converter.encode(None)]
        options = converter.decode(rest[0], StartOptions) if rest else StartOptions()
        options.kept = {} if from_step is None else await self._kept(stored, from_step)
        start = msg.Start(
            started.workflow_type,
            started.task_queue,
            [params, converter.encode(options)],
            self._client.gateway.new_id(),
            memo=started.memo,
            conflict_policy=WorkflowIDConflictPolicy.TERMINATE_EXISTING,
            identity=self._client.identity,
            concurrency=started.concurrency,
        )
        try:
            await self._client.ask(ExecutionRef(self._id), start, None)
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise
            raise WorkflowInstanceError(
                f"instance {self._id!r} can't be restarted: {error}", "instance.cannot_restart"
            ) from None

    async def _kept(self, stored: StoredExecution, from_step: FromStep) -> dict[str, Outcome]:
        name, count, kind = _step(from_step)
        handle = self._client.get_workflow_handle(self._id, run_id=stored.row.run_id)
        asked = await handle.query(ASKED_QUERY, result_type=list[Asked])
        try:
            return kept_before(stored.events, asked, name, count, kind, self._client.data_converter)
        except LookupError as error:
            raise WorkflowInstanceError(
                f"instance {self._id!r} can't be restarted from there: {error}", "instance.cannot_restart"
            ) from None

    async def send_event(self, type: str | Mapping[str, Any], payload: Any = None) -> None:
        """Send an event: `send_event("approved", {...})` or `send_event({"type": "approved", "payload": {...}})`. It is
        on record when this returns, and is kept until the instance waits for one of its type. Raises
        WorkflowInstanceError (cannot_send_event) if the instance has ended, ValueError for what can't be a type and for
        a payload of more than 1 MiB."""
        event = type if isinstance(type, Mapping) else {"type": type, "payload": payload}
        unknown = event.keys() - {"type", "payload"}
        if unknown:
            raise ValueError(f"an event has a type and a payload, no {', '.join(sorted(map(str, unknown)))}")
        name = self._workflow.event_type(event.get("type"))
        size = len(self._client.data_converter.encode(event.get("payload")).data)
        if size > RESULT_LIMIT:
            raise ValueError(
                f"the payload of event {name!r} has {size:,} bytes; at most {RESULT_LIMIT:,} are taken. Put it "
                "elsewhere, as with tenuto.storage, and send a reference to it"
            )
        await self._ask("send_event", self._handle.signal(name, event.get("payload")))

    async def delete(self) -> None:
        """Forget it, with its history and its output; its id is free again. Raises WorkflowInstanceError
        (cannot_delete) if it has not ended."""
        stood = await self.status()
        if not stood.is_final:
            raise self._cannot("delete", stood)
        await self._handle.delete()

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
        done = {
            "pause": "paused",
            "resume": "resumed",
            "terminate": "terminated",
            "send_event": "sent an event",
            "delete": "deleted",
        }[what]
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


def _step(step: FromStep) -> tuple[str, int, Kind | None]:
    """Name, count and kind of the step that is meant. Raises ValueError for what can't be one."""
    parts: Any = {"name": step} if isinstance(step, str) else step
    if isinstance(step, tuple | list):
        parts = dict(zip(("name", "count", "type"), step, strict=False))
    if isinstance(parts, Mapping):
        name, count, kind = parts.get("name"), parts.get("count", 1), parts.get("type")
        if isinstance(name, str) and type(count) is int and kind in (None, *get_args(Kind)):
            return name, count, kind
    raise ValueError(f"{step!r} names no step; write ('fetch', 1) for the first one that is called fetch")
