"""Activities meet workers: an attempt runs here if a worker of this process serves its queue, else it waits in
the store.

A started attempt is only noted in the store once it has run for a moment (`LINGER`): most are over sooner, and then
their start and their end are written together. The exception is an activity that may run only once: it starts after the
note of its start is committed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set
from functools import partial
from typing import TYPE_CHECKING

from tenuto.engine.clock import Cancellable
from tenuto.engine.hosts import ActivityHost, Attempt
from tenuto.engine.resident import Resident
from tenuto.history import activities
from tenuto.history.effects import Deadline, DeadlineKind
from tenuto.model.payloads import Payload
from tenuto.model.tasks import ActivityOutcome, ActivityTask
from tenuto.store.protocol import TaskKind, TaskRow, partition_of

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

#: Nanoseconds that an attempt runs before its start is written on its own.
LINGER = 5_000_000

Key = tuple[str, int]


class Running:
    """An attempt that runs in this process: what it reports goes to its execution. `attempt` is None before it really
    started and after it ended."""

    __slots__ = ("_dispatch", "_outcome", "attempt", "host", "key", "task")

    def __init__(self, dispatch: Dispatch, key: Key, task: ActivityTask, host: ActivityHost) -> None:
        self._dispatch = dispatch
        self._outcome: ActivityOutcome | None = None
        self.key = key
        self.task = task
        self.host = host
        self.attempt: Attempt | None = None

    def ended(self, outcome: ActivityOutcome) -> None:
        """Record how it ended, unless it was given up before."""
        self.attempt = None  # the two know each other: without this only the garbage collector would free them
        if self._dispatch.release(self):
            self._outcome = outcome
            self.report()
            self._dispatch.fill(self.task.task_queue)

    def report(self) -> None:
        """Bring the outcome to the execution, which may have to be loaded for it."""
        self._dispatch.reported[self.key] = self
        self._dispatch.engine.residents.visit(self.task.workflow_id, self.record)

    def record(self, resident: Resident | None) -> None:
        task, engine = self.task, self._dispatch.engine
        self._dispatch.reported.pop(self.key, None)
        if resident is None or resident.execution is None or resident.row.run_id != task.run_id:
            return
        assert self._outcome is not None
        if activities.finish_attempt(
            resident.execution,
            task.scheduled_event_id,
            task.attempt,
            self._outcome,
            engine.clock.now(),
            self.host.identity,
        ):
            engine.batch.redo.append(self.report)
            engine.touch(resident)

    def beat(self, details: list[Payload]) -> None:
        task, engine = self.task, self._dispatch.engine

        def record(resident: Resident | None) -> None:
            if resident is None or resident.execution is None or resident.row.run_id != task.run_id:
                return
            if activities.record_heartbeat(
                resident.execution, task.scheduled_event_id, task.attempt, details, engine.clock.now()
            ):
                resident.settled.add(task.scheduled_event_id)
                engine.touch(resident)

        engine.residents.visit(task.workflow_id, record)

    def settle(self, resident: Resident | None) -> None:
        """It has run for a moment: put it on record and watch its time-outs."""
        if resident is not None and resident.execution is not None and resident.row.run_id == self.key[0]:
            self._dispatch.settle(resident, self.key[1])


class Dispatch:
    """Which attempts run here, which queue for a slot, and who serves which queue."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._hosts: dict[str, ActivityHost] = {}
        self._running: dict[Key, Running] = {}
        #: Attempts that have ended, whose outcome is on its way to an execution that is being loaded.
        self.reported: dict[Key, Running] = {}
        self._in_use: dict[str, int] = {}
        self._queues: dict[str, deque[tuple[str, Key]]] = {}
        self._queued: set[Key] = set()
        self._young: deque[Running] = deque()
        self._alarm: Cancellable | None = None

    def add_host(self, task_queue: str, host: ActivityHost) -> None:
        self._hosts[task_queue] = host
        self._in_use.setdefault(task_queue, 0)
        self.fill(task_queue)

    def remove_host(self, task_queue: str) -> None:
        self._hosts.pop(task_queue, None)

    def serves(self, task_queue: str) -> bool:
        return task_queue in self._hosts

    def attempts(self, host: ActivityHost) -> list[Attempt]:
        """What `host` is running now."""
        return [
            running.attempt
            for running in self._running.values()
            if running.host is host and running.attempt is not None
        ]

    def running_task(self, run_id: str, scheduled_event_id: int) -> ActivityTask | None:
        """The attempt of this activity that runs in this process, or has just ended; None if there is none."""
        key = (run_id, scheduled_event_id)
        running = self._running.get(key) or self.reported.get(key)
        return None if running is None else running.task

    def offer(self, resident: Resident, scheduled_event_id: int) -> None:
        """An attempt may start: start it, let it queue for a slot, or leave it in the store for a worker elsewhere."""
        key = (resident.row.run_id, scheduled_event_id)
        if resident.execution is None or key in self._running or key in self._queued:
            return
        activity = resident.execution.state.activities.get(scheduled_event_id)
        if activity is None:
            return
        queue = activity.scheduled.task_queue
        host = self._hosts.get(queue)
        if host is None:
            self._park(resident, scheduled_event_id, queue)
        elif self._in_use[queue] >= host.slots:
            self._queued.add(key)
            self._queues.setdefault(queue, deque()).append((resident.row.workflow_id, key))
        else:
            self._start(resident, scheduled_event_id, host)

    def cancel(self, run_id: str, scheduled_event_id: int, reason: str) -> None:
        """Tell a running attempt to stop."""
        running = self._running.get((run_id, scheduled_event_id))
        if running is not None and running.attempt is not None:
            running.attempt.cancel(reason)

    def hand_over(self, partitions: Set[int]) -> None:
        """Executions of these partitions move: their attempts go on here, as tasks that we have claimed."""
        for running in list(self._running.values()):
            task = running.task
            partition = partition_of(task.workflow_id)
            if partition in partitions and running.attempt is not None:
                self.engine.batch.tasks.append(
                    TaskRow(
                        partition,
                        task.task_queue,
                        task.workflow_id,
                        task.run_id,
                        task.scheduled_event_id,
                        TaskKind.ACTIVITY,
                        b"",
                        self.engine.ownership.owner,
                        task.started_time,
                    )
                )

    def forget_queued(self) -> None:
        """Drop what has not started; it is offered again when its execution is loaded again."""
        self._queues.clear()
        self._queued.clear()
        self._young.clear()
        for running in [running for running in self._running.values() if running.attempt is None]:
            self.release(running)

    def release(self, running: Running) -> bool:
        """The attempt no longer takes a slot. False if it didn't (any more)."""
        if self._running.get(running.key) is not running:
            return False
        del self._running[running.key]
        self._in_use[running.task.task_queue] -= 1
        return True

    def fill(self, queue: str) -> None:
        """Start what queues for the slots that are free."""
        waiting = self._queues.get(queue)
        host = self._hosts.get(queue)
        if not waiting or host is None:
            return
        for _ in range(min(len(waiting), host.slots - self._in_use[queue])):
            workflow_id, key = waiting.popleft()
            self._queued.discard(key)
            self.engine.residents.visit(workflow_id, partial(self._offer_again, key))

    def settle(self, resident: Resident, scheduled_event_id: int) -> None:
        """From now on the attempt is on record and its time-outs are watched."""
        execution = resident.execution
        assert execution is not None
        if scheduled_event_id not in execution.state.activities:
            return
        resident.settled.add(scheduled_event_id)
        execution.changed_notes.add(scheduled_event_id)
        at = execution.activity_deadline(scheduled_event_id)
        if at is not None:
            execution.effects.append(Deadline(at, DeadlineKind.ACTIVITY, scheduled_event_id))
        self.engine.touch(resident)

    def _park(self, resident: Resident, key: int, queue: str) -> None:
        if key in resident.parked_tasks:
            return
        resident.parked_tasks.add(key)
        row = resident.row
        self.engine.batch.tasks.append(TaskRow(row.partition, queue, row.workflow_id, row.run_id, key))
        self.engine.touch(resident)

    def _start(self, resident: Resident, scheduled_event_id: int, host: ActivityHost) -> None:
        execution = resident.execution
        assert execution is not None
        now = self.engine.clock.now()
        task = activities.start_attempt(execution, scheduled_event_id, now)
        if task is None:
            return
        key = (task.run_id, scheduled_event_id)
        running = self._running[key] = Running(self, key, task, host)
        self._in_use[task.task_queue] += 1
        if resident.parked_tasks:
            self._unpark(resident, scheduled_event_id, task.task_queue)
        retry = execution.state.activities[scheduled_event_id].scheduled.retry
        if retry.maximum_attempts == 1:
            self.settle(resident, scheduled_event_id)
            self.engine.after_commit(resident, partial(self._launch, running))
        else:
            self._young.append(running)
            self._watch_young()
            self._launch(running)

    def _launch(self, running: Running) -> None:
        if self._running.get(running.key) is running:
            running.attempt = running.host.start(running.task, running)

    def _unpark(self, resident: Resident, key: int, queue: str) -> None:
        if key in resident.parked_tasks:
            resident.parked_tasks.discard(key)
            row = resident.row
            task = TaskRow(row.partition, queue, row.workflow_id, row.run_id, key)
            self.engine.batch.tasks_done.append(task)

    def _offer_again(self, key: Key, resident: Resident | None) -> None:
        if resident is not None and resident.row.run_id == key[0]:
            self.offer(resident, key[1])

    # -- attempts that last ------------------------------------------------------------------------------------------

    def _watch_young(self) -> None:
        if self._alarm is None and self._young:
            at = self._young[0].task.started_time + LINGER
            self._alarm = self.engine.clock.call_at(at, self._settle_young)

    def _settle_young(self) -> None:
        self._alarm = None
        aged = self.engine.clock.now() - LINGER
        while self._young and self._young[0].task.started_time <= aged:
            running = self._young.popleft()
            if self._running.get(running.key) is running:
                self.engine.residents.visit(running.task.workflow_id, running.settle)
        while self._young and self._running.get(self._young[0].key) is not self._young[0]:
            self._young.popleft()
        self._watch_young()
