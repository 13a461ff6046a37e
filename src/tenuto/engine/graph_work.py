"""System tasks and scripts of graphs while they run. Each runs as a task of the loop; what comes of it is taken in by
the execution as a fact. None is lost with the process: the execution has the task IN_PROGRESS, and runs it again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Set
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from tenuto.engine.graph_host import ScriptFailed
from tenuto.engine.resident import Resident
from tenuto.engine.task_entries import queue_name
from tenuto.graph import decider
from tenuto.graph.effects import Evaluate
from tenuto.graph.execution import GraphExecution
from tenuto.graph.expressions import evaluate
from tenuto.graph.operations import system_result
from tenuto.graph.roots import Roots
from tenuto.graph.templates import ExpressionError
from tenuto.model.graph import Task
from tenuto.model.graph_messages import GraphWorkDone
from tenuto.model.system_tasks import SystemTask, SystemTaskResult
from tenuto.store.protocol import TaskKind, TaskRow, partition_of

if TYPE_CHECKING:
    from tenuto.engine.graphs import Graphs

logger = logging.getLogger("tenuto.graph")


class Running(NamedTuple):
    """A system task that runs."""

    work: asyncio.Task[None]
    workflow_id: str
    run_id: str
    number: int
    task_type: str
    domain: str


class GraphWork:
    def __init__(self, graphs: Graphs) -> None:
        self._graphs = graphs
        #: System tasks that run, by task id.
        self._running: dict[str, Running] = {}
        #: What was to begin while its execution was about to move: it begins should the execution stay.
        self._postponed: list[tuple[str, Callable[[], None]]] = []
        #: Of what runs, the rows by which whoever owns the executions next knows that we are at it.
        self._handed_over: dict[tuple[str, int], TaskRow] = {}

    @property
    def running(self) -> int:
        """How many system tasks run now."""
        return len(self._running)

    # -- executions move ---------------------------------------------------------------------------------------------

    def hand_over(self, partitions: Set[int]) -> None:
        """What runs for executions of these partitions goes on here, as tasks that we have claimed."""
        engine = self._graphs.engine
        for running in self._running.values():
            partition = partition_of(running.workflow_id)
            if partition in partitions:
                name = queue_name(running.task_type, running.domain)
                row = TaskRow(partition, name, running.workflow_id, running.run_id, running.number, TaskKind.GRAPH)
                claimed = replace(row, claimed_by=engine.ownership.owner, claimed_at=engine.clock.now())
                self._handed_over[running.workflow_id, running.number] = claimed
                engine.batch.tasks.append(claimed)
        engine.plan_flush()

    def left(self, partitions: Set[int]) -> None:
        """These partitions are no longer ours."""
        self._postponed = [each for each in self._postponed if partition_of(each[0]) not in partitions]
        for key in [key for key in self._handed_over if partition_of(key[0]) in partitions]:
            del self._handed_over[key]

    def gained(self) -> None:
        """There are more partitions, or some that were about to leave have stayed."""
        postponed, self._postponed = self._postponed, []
        for workflow_id, begin in postponed:
            if self._graphs.engine.owns(workflow_id):
                begin()

    def lost(self, row: TaskRow) -> None:
        """The process has gone that ran a task."""
        self._graphs.engine.residents.visit(row.workflow_id, partial(self._lost, row))

    def _lost(self, row: TaskRow, resident: Resident | None) -> None:
        if resident is not None and resident.run_elsewhere.pop(row.key, None) is not None:
            self._run(row.key, resident)

    # -- system tasks ------------------------------------------------------------------------------------------------

    def run(self, workflow_id: str, number: int) -> None:
        """The start of a system task is on record: run it, unless it runs already."""
        if self._graphs.engine.owns(workflow_id):
            self._graphs.engine.residents.visit(workflow_id, partial(self._run, number))
        else:
            self._postponed.append((workflow_id, partial(self.run, workflow_id, number)))

    def _run(self, number: int, resident: Resident | None) -> None:
        graph = None if resident is None else resident.graph
        task = None if graph is None else graph.state.tasks.get(number)
        if resident is None or graph is None or task is None or task.status != "IN_PROGRESS":
            return
        if task.task_id in self._running or number in resident.run_elsewhere:
            return
        if not self._graphs.is_system(task.task_type):
            return  # a server that was about to hand it to a worker has gone
        try:
            prepared = system_task(self._graphs, graph, task)
        except ExpressionError as error:
            reason = f"the sink of {task.reference}: {error}"
            self.finished(number, SystemTaskResult("FAILED_WITH_TERMINAL_ERROR", reason=reason), resident)
            return
        row = resident.row
        work = self._work(row.workflow_id, row.run_id, task, prepared)
        running = asyncio.get_running_loop().create_task(work, name=f"tenuto: {task.task_type} {task.task_id}")
        self._running[task.task_id] = Running(running, row.workflow_id, row.run_id, number, task.task_type, task.domain)
        running.add_done_callback(partial(self._done, graph.workflow_id, task.task_id))

    async def _work(self, workflow_id: str, run_id: str, task: Task, work: SystemTask) -> None:
        try:
            result = await self._graphs.host.run(work)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave the task waiting for ever
            # Not the traceback: it may hold a secret that the task was given.
            problem = f"{work.task_type} failed with an unexpected {type(error).__name__}"
            extra = {"action": "system_task_broken", "workflow_id": workflow_id, "task_id": task.task_id}
            logger.error("%s", problem, extra=extra)
            result = SystemTaskResult("FAILED", reason=problem)

        def report(resident: Resident | None) -> None:
            if self._graphs.engine.owns(workflow_id):
                self.finished(task.number, result, resident)
            else:
                self._graphs.engine.outbox.put(workflow_id, run_id, GraphWorkDone(task.number, result))

        self._graphs.engine.residents.visit(workflow_id, report)

    def _done(self, workflow_id: str, task_id: str, work: asyncio.Task[None]) -> None:
        running = self._running.get(task_id)
        if running is not None and running.work is work:
            del self._running[task_id]
        if not work.cancelled() and work.exception() is not None:
            extra = {"action": "result_not_taken", "workflow_id": workflow_id, "task_id": task_id}
            logger.error("a result could not be taken in", exc_info=work.exception(), extra=extra)

    def finished(self, number: int, result: SystemTaskResult, resident: Resident | None) -> None:
        """A system task has come to this, here or elsewhere."""
        if resident is not None and resident.graph is not None:
            self._forget_claim(resident, number)
            system_result.take(resident.graph, self._graphs.context(), number, result)
            self._graphs.engine.touch(resident)

    def _forget_claim(self, resident: Resident, number: int) -> None:
        row = resident.run_elsewhere.pop(number, None) or self._handed_over.pop(
            (resident.row.workflow_id, number), None
        )
        if row is not None:
            self._graphs.engine.batch.tasks_done.append(row)

    def stop(self, resident: Resident, task: Task) -> None:
        """The task is over for the execution; what it still does is of no use."""
        self._forget_claim(resident, task.number)
        running = self._running.get(task.task_id)
        if running is not None and running.work is not asyncio.current_task():
            running.work.cancel()

    # -- scripts -----------------------------------------------------------------------------------------------------

    def evaluate(self, graph: GraphExecution, request: Evaluate) -> None:
        """Have a script run for a task of an execution."""
        if self._graphs.engine.owns(graph.workflow_id):
            self._graphs.engine.spawn(self._evaluate(graph, request), "evaluate a script")
        else:
            self._postponed.append((graph.workflow_id, partial(self.evaluate, graph, request)))

    async def _evaluate(self, graph: GraphExecution, request: Evaluate) -> None:
        try:
            result = decider.Evaluated(await self._graphs.host.evaluate(request))
        except ScriptFailed as error:
            result = decider.Evaluated(error=str(error), fatal=error.fatal)
        except Exception as error:  # a fault of ours in one script must not stop all executions
            extra = {"action": "script_broken", "workflow_id": graph.workflow_id}
            logger.exception("a script could not be run", extra=extra)
            result = decider.Evaluated(error=f"it could not be run: an unexpected {type(error).__name__}")
        if self._graphs.engine.owns(graph.workflow_id):
            visit = partial(self._evaluated, graph, request.number, result)
            self._graphs.engine.residents.visit(graph.workflow_id, visit)
        else:  # should the execution stay, the script is run again
            self._postponed.append((graph.workflow_id, partial(self.evaluate, graph, request)))

    def _evaluated(
        self, graph: GraphExecution, number: int, result: decider.Evaluated, resident: Resident | None
    ) -> None:
        # One that was read again meanwhile has asked again.
        if resident is not None and resident.graph is graph:
            decider.evaluated(graph, self._graphs.context(), number, result)
            self._graphs.engine.touch(resident)

    def start_over(self) -> None:
        """The engine reads everything again: executions ask anew for scripts; system tasks that run go on."""
        self._postponed.clear()
        self._handed_over.clear()

    async def close(self) -> None:
        """Stop all that runs; it is run again by whoever takes the executions up."""
        running = [running.work for running in self._running.values()]
        for work in running:
            work.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def system_task(graphs: Graphs, graph: GraphExecution, task: Task) -> SystemTask:
    """The task as its runner gets it, secrets put in."""
    started = graph.state.started
    node = graph.node(task)
    sink = evaluate(node.sink, Roots(graph, graphs.context(), task.task_id, task))
    template = {"input": graph.template_of(task), "sink": node.sink}
    given, secrets = graphs.host.with_secrets({"input": task.input, "sink": sink}, template)
    return SystemTask(
        task_type=task.task_type,
        task_id=task.task_id,
        workflow_id=started.workflow_id,
        workflow_type=started.workflow_type,
        workflow_version=graph.state.version,
        correlation_id=graph.state.correlation_id or None,
        reference_name=task.reference,
        input=given["input"],
        node={"sink": given["sink"], "asyncComplete": node.async_complete},
        task_to_domain=started.task_to_domain,
        poll_count=task.poll_count,
        output=task.output,
        secrets=secrets,
    )
