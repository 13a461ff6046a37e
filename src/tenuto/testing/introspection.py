"""Looking into instances of `tenuto.steps`, and changing what their steps do.

async with introspect_workflow_instance(publish, "p-1") as instance:
    await instance.modify(lambda m: m.disable_sleeps())
    await instance.modify(lambda m: m.mock_step_result("fetch", "a cat"))
    await publish.create("p-1", {"key": "cat.png"})
    assert await instance.wait_for_step_result("describe") == "a cat, described"
    await instance.wait_for_status("complete")
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar, get_args

from tenuto.activities.step_errors import StepError, raised_from
from tenuto.failures import from_failure
from tenuto.model import events as ev
from tenuto.model.events import ExecutionRef
from tenuto.steps.binding import Workflow
from tenuto.steps.instance_status import FINAL, InstanceError, InstanceStatus, Status, status_of
from tenuto.steps.keys import activity_id
from tenuto.store.protocol import StoredExecution
from tenuto.testing.gateway import WatchedGateway
from tenuto.testing.modifications import Modifier, StepSelector, key_of
from tenuto.testing.stage import Stage

__all__ = [
    "InstanceIntrospector",
    "UnreachableError",
    "WorkflowIntrospector",
    "introspect_workflow",
    "introspect_workflow_instance",
]

T = TypeVar("T")
Change = Callable[[Modifier], Any]

#: Seconds between two looks where nobody tells of changes.
POLL = 0.005


class UnreachableError(AssertionError):
    """What is waited for can't come any more: the instance has ended otherwise."""


def introspect_workflow_instance(workflow: Workflow, id: str) -> InstanceIntrospector:
    """Look into the instance `id`, which need not have been created yet. Use it with `async with`, or call `dispose` in
    the end. Raises ValueError if somebody does already."""
    stage = Stage.of(workflow.client)
    if (workflow.name, id) in stage.modifiers:
        raise ValueError(f"instance {id!r} of {workflow.name!r} is being introspected already; dispose of that first")
    return InstanceIntrospector(stage, workflow, id)


def introspect_workflow(workflow: Workflow) -> WorkflowIntrospector:
    """Look into all instances that are created from now on by the client of `workflow`. Use it with `async with`, or
    call `dispose` in the end. Raises ValueError if somebody does already."""
    stage = Stage.of(workflow.client)
    if workflow.name in stage.expecting:
        raise ValueError(f"workflow {workflow.name!r} is being introspected already; dispose of that first")
    return WorkflowIntrospector(stage, workflow)


class InstanceIntrospector:
    """What a test sees of an instance, and changes in it. See `introspect_workflow_instance`.

    Waiting for a result or for the end lets time be skipped in an environment that does so."""

    def __init__(self, stage: Stage, workflow: Workflow, id: str) -> None:
        self.id = id
        self._stage = stage
        self._workflow = workflow
        self._modifier = stage.modifiers[workflow.name, id] = Modifier()

    async def __aenter__(self) -> InstanceIntrospector:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.dispose()

    async def dispose(self) -> None:
        """Change nothing any more. What has been recorded stays."""
        self._stage.modifiers.pop((self._workflow.name, self.id), None)
        self._stage.tidy()

    async def modify(self, change: Change) -> None:
        """Call `change`, which may be a coroutine function, with the instance's `Modifier`."""
        done = change(self._modifier)
        if inspect.isawaitable(done):
            await done
        if self._modifier.events and await self._stored() is not None:
            await self._stage.send_events(self.id, self._modifier)

    async def wait_for_step_result(self, step: StepSelector) -> Any:
        """Wait for the result of a step. Raises what the step failed with in the end, as `step.do` does;
        UnreachableError if the instance ends without it."""
        key = key_of(step)
        return await self._until(lambda stored: self._step_result(stored, *key))

    async def wait_for_status(self, status: Status) -> InstanceStatus:
        """Wait until the instance is in this status. Raises UnreachableError at once if it has ended in another one.
        Only while the end is awaited, time is skipped."""
        if status not in get_args(Status):
            raise ValueError(f"{status!r} is no status; they are {', '.join(get_args(Status))}")

        def look(stored: StoredExecution) -> tuple[InstanceStatus] | None:
            stood = self._status(stored)
            if stood.status == status:
                return (stood,)
            if stood.is_final:
                raise self._unreachable(stood, f"will never be {status}")
            return None

        return await self._until(look, skips=status in FINAL)

    async def get_output(self) -> Any:
        """Wait for the end, and return what the instance gave. Raises UnreachableError if it is not complete then."""
        stood = await self._end()
        if stood.status != "complete":
            raise self._unreachable(stood, "has no output")
        return stood.output

    async def get_error(self) -> InstanceError:
        """Wait for the end, and return the `name` and `message` of the error. Raises UnreachableError if the instance
        has not failed then."""
        stood = await self._end()
        if stood.error is None:
            raise self._unreachable(stood, "has no error")
        return stood.error

    # -- looking -------------------------------------------------------------------------------------------------------

    async def _end(self) -> InstanceStatus:
        def look(stored: StoredExecution) -> tuple[InstanceStatus] | None:
            stood = self._status(stored)
            return (stood,) if stood.is_final else None

        return await self._until(look)

    def _status(self, stored: StoredExecution) -> InstanceStatus:
        return status_of(stored, self._stage.gateway.clock.now(), self._stage.client.data_converter)

    def _step_result(self, stored: StoredExecution, name: str, count: int) -> tuple[Any] | None:
        wanted, converter = activity_id(name, count), self._stage.client.data_converter
        scheduled = 0
        for event in stored.events:
            match event:
                case ev.ActivityTaskScheduled() if event.activity_id == wanted:
                    scheduled = event.event_id
                case ev.ActivityTaskCompleted() if event.scheduled_event_id == scheduled:
                    return (converter.decode(event.result[0]) if event.result else None,)
                case ev.ActivityTaskFailed() | ev.ActivityTaskTimedOut() if event.scheduled_event_id == scheduled:
                    raise raised_from(from_failure(event.failure, converter), name)
                case ev.ActivityTaskCanceled() if event.scheduled_event_id == scheduled:
                    raise StepError(f"step {name!r} was cancelled", "CancelledError")
        stood = self._status(stored)
        if stood.is_final:
            raise self._unreachable(stood, f"has not done step {wanted!r}")
        return None

    def _unreachable(self, stood: InstanceStatus, complaint: str) -> UnreachableError:
        why = f" ({stood.error.name}: {stood.error.message})" if stood.error is not None else ""
        return UnreachableError(
            f"instance {self.id!r} of {self._workflow.name!r} is {stood.status}{why} and {complaint}"
        )

    async def _stored(self) -> StoredExecution | None:
        stored = await self._stage.gateway.load(ExecutionRef(self.id), history=True)
        return stored if stored is not None and stored.events else None

    async def _until(self, look: Callable[[StoredExecution], tuple[T] | None], *, skips: bool = True) -> T:
        """What `look` finds, in a tuple, in what the store has of the instance."""
        gateway = self._stage.gateway
        if isinstance(gateway, WatchedGateway):
            return await gateway.awaited(self._look_again(look, gateway.next_commit), skips=skips)
        return await self._look_again(look, lambda: asyncio.ensure_future(asyncio.sleep(POLL)))

    async def _look_again(
        self, look: Callable[[StoredExecution], tuple[T] | None], change: Callable[[], asyncio.Future[None]]
    ) -> T:
        while True:
            changed = change()
            stored = await self._stored()
            found = None if stored is None else look(stored)
            if found is not None:
                return found[0]
            # What is running is no change of the history: a status may be another one without a commit.
            await asyncio.wait({changed}, timeout=POLL)


class WorkflowIntrospector:
    """The instances that were created since. See `introspect_workflow`."""

    def __init__(self, stage: Stage, workflow: Workflow) -> None:
        self._stage = stage
        self._workflow = workflow
        self._changes: list[Change] = []
        self._instances: dict[str, InstanceIntrospector] = {}
        stage.expecting[workflow.name] = self._expect

    async def __aenter__(self) -> WorkflowIntrospector:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.dispose()

    async def dispose(self) -> None:
        """Change nothing any more, in none of them."""
        self._stage.expecting.pop(self._workflow.name, None)
        for instance in self._instances.values():
            await instance.dispose()
        self._stage.tidy()

    async def modify_all(self, change: Change) -> None:
        """As `modify` of an instance, for all that are there and those that come."""
        self._changes.append(change)
        for instance in list(self._instances.values()):
            await instance.modify(change)

    def get(self) -> list[InstanceIntrospector]:
        """The instances, in the order in which they were created."""
        return list(self._instances.values())

    async def _expect(self, id: str) -> None:
        if (self._workflow.name, id) in self._stage.modifiers:
            return  # introspected by itself, or to be created once more
        instance = self._instances[id] = InstanceIntrospector(self._stage, self._workflow, id)
        for change in self._changes:
            await instance.modify(change)
