"""Tries a workflow out: the real decider and real scripts, but outputs that the caller gives in the place of all other
work, no waiting, and nothing stored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from tenuto.engine.graph_host import ScriptFailed
from tenuto.graph import decider, effects
from tenuto.graph.context import Context
from tenuto.graph.execution import GraphExecution
from tenuto.graph.operations import children, poll, start, terminate, update
from tenuto.graph.views import workflow_view
from tenuto.model.graph import Task
from tenuto.model.graph_messages import GraphStart, GraphTerminate, TaskUpdate
from tenuto.model.json_values import Json
from tenuto.model.messages import ChildClosed, Message
from tenuto.server.errors import bad_request
from tenuto.server.starts import StartWorkflowRequest, graph_start

if TYPE_CHECKING:
    from tenuto.server.services import Services

MILLISECOND = 1_000_000
#: Tasks of all executions of one trial.
MOST_TASKS = 2_000
#: Seconds that a trial may take.
PATIENCE = 30.0
#: The decider itself sees to tasks of these kinds.
OPERATORS = frozenset(
    ("JOIN", "EXCLUSIVE_JOIN", "DO_WHILE", "INLINE", "LAMBDA", "JSON_JQ_TRANSFORM", "SWITCH", "DECISION")
)


class TaskMock(Struct, rename="camel", kw_only=True):
    """What a task comes to instead of being done. Times are milliseconds."""

    status: Literal["IN_PROGRESS", "FAILED", "FAILED_WITH_TERMINAL_ERROR", "COMPLETED", "CANCELED"] = "COMPLETED"
    output: dict[str, Json] = {}
    execution_time: Annotated[int, Meta(ge=0, le=2**53)] = 0
    queue_wait_time: Annotated[int, Meta(ge=0, le=2**53)] = 0


class WorkflowTestRequest(StartWorkflowRequest, rename="camel", kw_only=True):
    """What is to be tried, with the outcomes of its tasks, in order, and those of its sub-workflows, by reference."""

    task_ref_to_mock_output: dict[str, list[TaskMock]] = field(default_factory=dict)
    sub_workflow_test_request: dict[str, WorkflowTestRequest] = field(default_factory=dict)


async def try_out(services: Services, request: WorkflowTestRequest) -> dict[str, Json]:
    """The workflow as it is when it has ended, or when a task has no outcome left. Raises ApiError."""
    trial = Trial(services)
    root = trial.begin(services.new_id(), await graph_start(services, request), request)
    try:
        async with asyncio.timeout(PATIENCE):
            await trial.run(root)
    except TimeoutError:
        raise bad_request(f"the workflow did not come to an end within {PATIENCE:g} s: does a loop end?") from None
    return workflow_view(root)


class Trial:
    """Executions that know nothing of the engine, and a clock that is moved as soon as nobody has anything to do."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._now = services.clock.now()
        self._executions: dict[str, GraphExecution] = {}
        self._requests: dict[str, WorkflowTestRequest] = {}

    def begin(self, workflow_id: str, body: GraphStart, request: WorkflowTestRequest) -> GraphExecution:
        """A new execution, whose tasks come to what `request` says."""
        execution = self._executions[workflow_id] = GraphExecution()
        self._requests[workflow_id] = request
        start.start(execution, workflow_id, body, self._context(), queued=False)
        return execution

    async def run(self, root: GraphExecution) -> None:
        """Go on until `root` has ended, or nothing can go on."""
        await self._settle()
        while not root.state.closed and (self._play() or self._move_clock()):
            await self._settle()

    def _context(self) -> Context:
        return msgspec.structs.replace(self._services.graphs.context(), now=self._now)

    async def _settle(self) -> None:
        """Let all decide until nothing follows any more."""
        busy = True
        while busy:
            busy = False
            for execution in list(self._executions.values()):
                decider.decide(execution, self._context())
                execution.take_unwritten()
                for effect in execution.take_effects():
                    busy = await self._carry_out(execution, effect) or busy
            if sum(len(execution.state.tasks) for execution in self._executions.values()) > MOST_TASKS:
                raise bad_request(f"the workflow has come to more than {MOST_TASKS} tasks: does a loop end?")
            await asyncio.sleep(0)

    async def _carry_out(self, execution: GraphExecution, effect: effects.Effect) -> bool:
        """False if the effect changes nothing here."""
        if isinstance(effect, effects.Evaluate):
            try:
                result = decider.Evaluated(await self._services.graphs.host.evaluate(effect))
            except ScriptFailed as error:
                result = decider.Evaluated(error=str(error), fatal=error.fatal)
            decider.evaluated(execution, self._context(), effect.number, result)
            return True
        return isinstance(effect, effects.Send) and self._deliver(effect.message)

    def _deliver(self, message: Message) -> bool:
        """Between a parent and its children; what is for others, such as a failure workflow, leads to nothing."""
        body = message.body
        if isinstance(body, GraphStart) and body.parent is not None:
            parent = self._executions[body.parent.workflow_id]
            task = parent.state.tasks[body.parent.initiated_event_id]
            if self._outcomes(parent, task):
                return False
            requests = self._requests[body.parent.workflow_id].sub_workflow_test_request
            request = requests.get(task.reference) or requests.get(task.base) or WorkflowTestRequest()
            self.begin(message.target.workflow_id, body, request)
            return True
        target = self._executions.get(message.target.workflow_id)
        if target is None:
            return False
        if isinstance(body, ChildClosed):
            children.child_closed(target, self._context(), body)
        elif isinstance(body, GraphTerminate) and not target.state.closed:
            terminate.terminate(target, self._context(), body)
        return True

    def _outcomes(self, execution: GraphExecution, task: Task) -> list[TaskMock]:
        """What is still to come of tasks with this name."""
        mocks = self._requests[execution.workflow_id].task_ref_to_mock_output
        return mocks.get(task.reference) or mocks.get(task.base) or []

    def _open_work(self) -> Iterator[tuple[GraphExecution, Task]]:
        """The tasks that somebody else has to do something about."""
        for execution in list(self._executions.values()):
            if not execution.state.closed:
                for task in list(execution.state.open.values()):
                    if task.open and task.kind not in OPERATORS:
                        yield execution, task

    def _play(self) -> bool:
        """Give one task its outcome. False if there is none to give now."""
        for execution, task in self._open_work():
            outcomes = self._outcomes(execution, task)
            if outcomes and task.available_at <= self._now:
                self._end(execution, task, outcomes.pop(0))
                return True
        return False

    def _end(self, execution: GraphExecution, task: Task, mock: TaskMock) -> None:
        self._now += mock.queue_wait_time * MILLISECOND
        poll.hand_out(execution, self._context(), task.number, "test")
        if mock.execution_time:
            self._now += mock.execution_time * MILLISECOND
            decider.decide(execution, self._context())  # it may have taken too long
        body = TaskUpdate(mock.status, task_id=task.task_id, output=mock.output)
        update.update(execution, self._context(), body)

    def _move_clock(self) -> bool:
        """Go to the next moment at which something goes on by itself. False if somebody waits for an outcome that was
        not given, or nothing is to come."""
        moments: list[int] = []
        for _, task in self._open_work():
            until = task.memory.get("until")
            if until is not None:
                moments.append(until)
            elif task.available_at > self._now:
                moments.append(task.available_at)
            elif not (task.kind == "SUB_WORKFLOW" and task.sub_workflow_id in self._executions):
                return False
        if not moments:
            return False
        self._now = max(self._now, min(moments))
        return True
