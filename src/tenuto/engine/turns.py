"""Turns: a workflow task is a function call here, because the process that owns the execution also has its code."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Set
from typing import TYPE_CHECKING

from tenuto.engine import parking
from tenuto.engine.clock import SECOND
from tenuto.engine.hosts import WorkflowHost
from tenuto.engine.resident import Resident
from tenuto.history.commands import complete_task
from tenuto.history.effects import Deadline, DeadlineKind
from tenuto.history.execution import Execution
from tenuto.model.commands import AcceptUpdate
from tenuto.model.failures import Failure
from tenuto.model.task_messages import DecisionMade
from tenuto.model.tasks import WorkflowTask, WorkflowTaskBroken, WorkflowTaskDone
from tenuto.store.protocol import TaskKind

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

logger = logging.getLogger("tenuto.engine")

#: Decision rounds of one execution at one go; further ones wait for the next commit.
ROUNDS = 100


#: Decisions that come too late, one after the other, before an execution is held still for the next; and seconds that
#: it is held at most.
MISSES = 2
LONGEST_HOLD = 10.0
#: Nanoseconds after which code of other processes that fails is tried again at the latest.
LONGEST_BACKOFF = 20 * SECOND


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

    def remove_host(self, task_queue: str) -> WorkflowHost | None:
        return self._hosts.pop(task_queue, None)

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
                self._engine.queries.elsewhere.proceed(resident)
                return
            if not self._engine.concurrency.admits(resident):
                return
            host = self._hosts.get(resident.row.task_queue)
            if 0 in resident.parked and (host is None or self._engine.store.shared):
                return  # there is one way to a task that waits in the store: to claim it
            if host is None:
                self._park(resident, execution)
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
        parking.unpark(self._engine, resident, 0)
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
        self._record(resident, execution, answer, now, host.identity)

    def _record(
        self,
        resident: Resident,
        execution: Execution,
        answer: WorkflowTaskBroken | WorkflowTaskDone,
        now: int,
        identity: str,
    ) -> None:
        """Write what the code has decided about the task that is out."""
        if isinstance(answer, WorkflowTaskBroken):
            execution.fail_task(answer.cause, answer.failure, now, identity)
            self._broken(resident, answer.cause, answer.failure)
            return
        refusal = complete_task(execution, answer.commands, now, identity)
        if refusal is None:
            self._mended(resident)
        elif refusal.cause == "UNHANDLED_COMMAND":
            resident.drop_instance()
        else:
            self._broken(resident, refusal.cause, refusal.as_failure())

    # -- decisions of other processes --------------------------------------------------------------------------------

    def decided(self, resident: Resident, execution: Execution, decision: DecisionMade) -> None:
        """Code has decided elsewhere. If it has not seen all that has happened, it has to do so again."""
        parking.unpark(self._engine, resident, 0)
        if not _is_current(execution, decision):
            resident.missed += 1
            return
        resident.missed = 0
        execution.start_task(decision.started_time)
        # The other clock may be ahead of ours, and history doesn't go back.
        now = max(self._engine.clock.now(), decision.started_time)
        answer = decision.broken or WorkflowTaskDone(decision.commands)
        self._record(resident, execution, answer, now, decision.identity)
        soon = now + LONGEST_BACKOFF
        if execution.task_retry_time > soon:
            # Nobody tells us when a worker with other code has come there.
            execution.task_retry_time = soon
            execution.effects.append(Deadline(soon, DeadlineKind.WORKFLOW_TASK))

    def hand_over(self, partitions: Set[int]) -> None:
        """Executions of these partitions move: nobody waits here for their code any more."""
        for resident in self._engine.residents.of(partitions):
            self._engine.residents.release(resident.row.workflow_id)

    def _hold(self, workflow_id: str) -> None:
        """Nothing happens to this execution until its code has decided, or for a while: it would never see all if
        signals kept coming."""
        residents = self._engine.residents
        residents.hold(workflow_id)
        asyncio.get_running_loop().call_later(LONGEST_HOLD, residents.release, workflow_id)

    # -- code that fails ---------------------------------------------------------------------------------------------

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

    def _park(self, resident: Resident, execution: Execution) -> None:
        """No worker here: the task waits in the store until one comes."""
        limits = execution.limits
        data = b""
        if self._engine.store.shared:
            updates = list(execution.updates_admitted.values())
            data = parking.encode(
                parking.WorkflowTaskData(updates, limits.history_events_suggestion, limits.history_size_suggestion)
            )
            resident.drop_instance()  # nor is its history needed here
            if resident.missed >= MISSES:
                resident.missed = 0
                self._hold(resident.row.workflow_id)
        parking.park(self._engine, resident, 0, resident.row.task_queue, TaskKind.WORKFLOW, data, 0)


def _is_current(execution: Execution, decision: DecisionMade) -> bool:
    """Was it made about all that has happened, and about updates that somebody still waits for?"""
    if decision.last_event_id != execution.state.last_event_id:
        return False
    if not execution.state.task_pending and not execution.updates_admitted:
        return False
    return all(
        command.update_id in execution.updates_admitted
        for command in decision.commands
        if isinstance(command, AcceptUpdate)
    )
