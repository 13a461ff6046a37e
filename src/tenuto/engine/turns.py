"""Turns: a workflow task is a function call here, because the process that owns the execution also has its code."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tenuto.engine.hosts import WorkflowHost
from tenuto.engine.resident import Resident
from tenuto.history.commands import complete_task
from tenuto.history.execution import Execution
from tenuto.model.failures import Failure
from tenuto.model.tasks import WorkflowTask, WorkflowTaskBroken, WorkflowTaskDone
from tenuto.store.protocol import TaskRow

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

logger = logging.getLogger("tenuto.engine")

#: Decision rounds of one execution at one go; further ones wait for the next commit.
ROUNDS = 100


class Turns:
    """Lets executions decide."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._hosts: dict[str, WorkflowHost] = {}
        #: Runs whose code has failed since a worker last came: other code may do better, so these are not waited for.
        self._broken_here: set[str] = set()

    def add_host(self, task_queue: str, host: WorkflowHost) -> None:
        self._hosts[task_queue] = host
        self._broken_here.clear()

    def remove_host(self, task_queue: str) -> None:
        self._hosts.pop(task_queue, None)

    def serves(self, task_queue: str) -> bool:
        return task_queue in self._hosts

    def has(self, task_queue: str, workflow_type: str) -> bool:
        """Is there code of this type for that queue?"""
        host = self._hosts.get(task_queue)
        return host is not None and host.has(workflow_type)

    def queue_of(self, workflow_type: str) -> str | None:
        """A task queue on which code of this type is served; None if there is none."""
        return next((queue for queue, host in self._hosts.items() if host.has(workflow_type)), None)

    def may_try_at_once(self, run_id: str) -> bool:
        """Is it unknown whether the code at hand makes the same mistake again?"""
        return run_id not in self._broken_here

    def take(self, resident: Resident) -> None:
        """Run the workflow task that is due, if one is, and those that follow at once."""
        execution = resident.execution
        if execution is None:
            return
        for _ in range(ROUNDS):
            now = self._engine.clock.now()
            if not execution.wants_task(now):
                return
            host = self._hosts.get(resident.row.task_queue)
            if host is None:
                self._park(resident)
                return
            if not resident.rebuildable:
                self._engine.eviction.reload(resident)
                return
            self._take_one(resident, execution, host, now)
        self._engine.touch_later(resident)

    def catch_up(self, resident: Resident) -> str | None:
        """Bring the code up to date without deciding anything. Returns what is wrong, if that can't be done."""
        execution = resident.execution
        host = self._hosts.get(resident.row.task_queue)
        if execution is None or host is None or not resident.rebuildable:
            return "the code is not at hand"
        if resident.instance is None:
            resident.instance = host.create(execution.state.started)
        broken = resident.instance.feed(resident.take_unseen())
        if broken is None:
            return None
        resident.drop_instance()
        return broken.failure.message

    def host_of(self, task_queue: str) -> WorkflowHost | None:
        return self._hosts.get(task_queue)

    def _take_one(self, resident: Resident, execution: Execution, host: WorkflowHost, now: int) -> None:
        self._unpark(resident)
        if resident.instance is None:
            resident.instance = host.create(execution.state.started)
        execution.start_task(now)
        length = execution.state.last_event_id + (1 if execution.state.task_scheduled_event_id else 2)
        answer: WorkflowTaskBroken | WorkflowTaskDone | None
        answer = resident.instance.feed(resident.take_unseen())
        if answer is None:
            answer = resident.instance.activate(
                WorkflowTask(
                    list(execution.updates_admitted.values()),
                    now,
                    length,
                    execution.history_size,
                    execution.suggests_continue_as_new,
                )
            )
        if isinstance(answer, WorkflowTaskBroken):
            execution.fail_task(answer.cause, answer.failure, now, host.identity)
            self._broken(resident, answer.cause, answer.failure)
            return
        refusal = complete_task(execution, answer.commands, now, host.identity)
        if refusal is None:
            self._mended(resident)
        elif refusal.cause == "UNHANDLED_COMMAND":
            resident.drop_instance()
        else:
            self._broken(resident, refusal.cause, refusal.as_failure())

    def _broken(self, resident: Resident, cause: str, failure: Failure) -> None:
        """Make it visible at once: in the log, in listings, in the execution's description."""
        resident.drop_instance()
        row = resident.row
        self._broken_here.add(row.run_id)
        problem = f"{cause}: {failure.brief()}"
        if row.problem != problem:
            logger.error(
                "workflow %s (%s, run %s) is stuck: %s. It is tried again, and goes on once its code is put right.%s",
                row.workflow_id,
                row.workflow_type,
                row.run_id,
                problem,
                f"\n{failure.stack_trace}" if failure.stack_trace else "",
                extra={"action": "workflow_task_failed", "workflow_id": row.workflow_id, "run_id": row.run_id},
            )
            row.problem = problem
            resident.row_changed = True

    def _mended(self, resident: Resident) -> None:
        if resident.row.problem is not None:
            self._broken_here.discard(resident.row.run_id)
            resident.row.problem = None
            resident.row_changed = True

    def _park(self, resident: Resident) -> None:
        """No worker here: the task waits in the store until one comes."""
        if 0 not in resident.parked_tasks:
            resident.parked_tasks.add(0)
            self._engine.batch.tasks.append(_task_row(resident))

    def _unpark(self, resident: Resident) -> None:
        if 0 in resident.parked_tasks:
            resident.parked_tasks.discard(0)
            self._engine.batch.tasks_done.append(_task_row(resident))


def _task_row(resident: Resident) -> TaskRow:
    row = resident.row
    return TaskRow(row.partition, row.task_queue, row.workflow_id, row.run_id, 0)
