"""System tasks and scripts of graphs while they run. Each runs as a task of the loop; what comes of it is taken in by
the execution as a fact. None is lost with the process: the execution has the task IN_PROGRESS, and runs it again."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING

from tenuto.engine.graph_host import ScriptFailed
from tenuto.engine.resident import Resident
from tenuto.graph import decider
from tenuto.graph.effects import Evaluate
from tenuto.graph.execution import GraphExecution
from tenuto.graph.expressions import evaluate
from tenuto.graph.operations import system_result
from tenuto.graph.roots import Roots
from tenuto.graph.templates import ExpressionError
from tenuto.model.graph import Task
from tenuto.model.system_tasks import SystemTask, SystemTaskResult

if TYPE_CHECKING:
    from tenuto.engine.graphs import Graphs

logger = logging.getLogger("tenuto.graph")


class GraphWork:
    def __init__(self, graphs: Graphs) -> None:
        self._graphs = graphs
        #: System tasks that run, by task id.
        self._running: dict[str, asyncio.Task[None]] = {}
        #: Goes up when the engine starts over; what was evaluated before is asked for again.
        self._generation = 0

    @property
    def running(self) -> int:
        """How many system tasks run now."""
        return len(self._running)

    # -- system tasks ------------------------------------------------------------------------------------------------

    def run(self, workflow_id: str, number: int) -> None:
        """The start of a system task is on record: run it, unless it runs already."""
        self._graphs.engine.residents.visit(workflow_id, partial(self._run, number))

    def _run(self, number: int, resident: Resident | None) -> None:
        graph = None if resident is None else resident.graph
        task = None if graph is None else graph.state.tasks.get(number)
        if graph is None or task is None or task.status != "IN_PROGRESS" or task.task_id in self._running:
            return
        try:
            prepared = system_task(self._graphs, graph, task)
        except ExpressionError as error:
            reason = f"the sink of {task.reference}: {error}"
            self._finished(number, SystemTaskResult("FAILED_WITH_TERMINAL_ERROR", reason=reason), resident)
            return
        work = self._work(graph.workflow_id, task, prepared)
        running = asyncio.get_running_loop().create_task(work, name=f"tenuto: {task.task_type} {task.task_id}")
        self._running[task.task_id] = running
        running.add_done_callback(partial(self._done, graph.workflow_id, task.task_id))

    async def _work(self, workflow_id: str, task: Task, work: SystemTask) -> None:
        try:
            result = await self._graphs.host.run(work)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not leave the task waiting for ever
            # Not the traceback: it may hold a secret that the task was given.
            problem = f"{work.task_type} failed with an unexpected {type(error).__name__}"
            extra = {"action": "system_task_broken", "workflow_id": workflow_id, "task_id": task.task_id}
            logger.error("%s", problem, extra=extra)
            result = SystemTaskResult("FAILED", reason=problem)
        self._graphs.engine.residents.visit(workflow_id, partial(self._finished, task.number, result))

    def _done(self, workflow_id: str, task_id: str, running: asyncio.Task[None]) -> None:
        if self._running.get(task_id) is running:
            del self._running[task_id]
        if not running.cancelled() and running.exception() is not None:
            extra = {"action": "result_not_taken", "workflow_id": workflow_id, "task_id": task_id}
            logger.error("a result could not be taken in", exc_info=running.exception(), extra=extra)

    def _finished(self, number: int, result: SystemTaskResult, resident: Resident | None) -> None:
        if resident is not None and resident.graph is not None:
            system_result.take(resident.graph, self._graphs.context(), number, result)
            self._graphs.engine.touch(resident)

    def stop(self, task_id: str) -> None:
        """The task is over for the execution; what it still does is of no use."""
        running = self._running.get(task_id)
        if running is not None and running is not asyncio.current_task():
            running.cancel()

    # -- scripts -----------------------------------------------------------------------------------------------------

    def evaluate(self, workflow_id: str, request: Evaluate) -> None:
        """Have a script run for a task of an execution."""
        self._graphs.engine.spawn(self._evaluate(workflow_id, request, self._generation), "evaluate a script")

    async def _evaluate(self, workflow_id: str, request: Evaluate, generation: int) -> None:
        try:
            result = decider.Evaluated(await self._graphs.host.evaluate(request))
        except ScriptFailed as error:
            result = decider.Evaluated(error=str(error), fatal=error.fatal)
        except Exception as error:  # a fault of ours in one script must not stop all executions
            extra = {"action": "script_broken", "workflow_id": workflow_id}
            logger.exception("a script could not be run", extra=extra)
            result = decider.Evaluated(error=f"it could not be run: an unexpected {type(error).__name__}")
        if generation == self._generation:
            self._graphs.engine.residents.visit(workflow_id, partial(self._evaluated, request.number, result))

    def _evaluated(self, number: int, result: decider.Evaluated, resident: Resident | None) -> None:
        if resident is not None and resident.graph is not None:
            decider.evaluated(resident.graph, self._graphs.context(), number, result)
            self._graphs.engine.touch(resident)

    def start_over(self) -> None:
        """The engine reads everything again: executions ask anew for scripts; system tasks that run go on."""
        self._generation += 1

    async def close(self) -> None:
        """Stop all that runs; it is run again by whoever takes the executions up."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
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
