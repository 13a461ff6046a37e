"""Activities meet workers: an attempt runs here if a worker of this process serves its queue, else it waits in
the store.

A started attempt is only noted in the store once it has run for a moment (`LINGER`): most are over sooner, and then
their start and their end are written together. The exception is an activity that may run only once: it starts after the
note of its start is committed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from tenuto.engine.clock import Cancellable
from tenuto.engine.hosts import ActivityHost, Attempt
from tenuto.engine.resident import Resident
from tenuto.history import activities
from tenuto.history.effects import Deadline, DeadlineKind
from tenuto.model.payloads import Payload
from tenuto.model.tasks import ActivityOutcome, ActivityTask
from tenuto.store.protocol import TaskRow

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

#: Nanoseconds that an attempt runs before its start is written on its own.
LINGER = 5_000_000

Key = tuple[str, int]


class Running:
    """An attempt that runs in this process; `attempt` is None until it really started."""

    __slots__ = ("attempt", "host", "queue", "task")

    def __init__(self, task: ActivityTask, host: ActivityHost) -> None:
        self.task = task
        self.host = host
        self.queue = task.task_queue
        self.attempt: Attempt | None = None


class Dispatch:
    """Which attempts run here, which queue for a slot, and who serves which queue."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._hosts: dict[str, ActivityHost] = {}
        self._running: dict[Key, Running] = {}
        self._in_use: dict[str, int] = {}
        self._queues: dict[str, deque[tuple[str, Key]]] = {}
        self._queued: set[Key] = set()
        self._young: deque[tuple[int, Key]] = deque()
        self._alarm: Cancellable | None = None

    def add_host(self, task_queue: str, host: ActivityHost) -> None:
        self._hosts[task_queue] = host
        self._in_use.setdefault(task_queue, 0)
        self._fill(task_queue)

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

    def runs(self, run_id: str, scheduled_event_id: int) -> bool:
        """Is an attempt of this activity running in this process?"""
        return (run_id, scheduled_event_id) in self._running

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

    def forget_queued(self) -> None:
        """Drop what has not started; it is offered again when its execution is loaded again."""
        self._queues.clear()
        self._queued.clear()
        self._young.clear()
        for key in [key for key, running in self._running.items() if running.attempt is None]:
            self._release(key)

    def _park(self, resident: Resident, key: int, queue: str) -> None:
        if key in resident.parked_tasks:
            return
        resident.parked_tasks.add(key)
        row = resident.row
        self._engine.batch.tasks.append(TaskRow(row.partition, queue, row.workflow_id, row.run_id, key))
        self._engine.touch(resident)

    def _start(self, resident: Resident, scheduled_event_id: int, host: ActivityHost) -> None:
        execution = resident.execution
        assert execution is not None
        now = self._engine.clock.now()
        task = activities.start_attempt(execution, scheduled_event_id, now)
        if task is None:
            return
        key = (task.run_id, scheduled_event_id)
        running = Running(task, host)
        self._running[key] = running
        self._in_use[running.queue] += 1
        if scheduled_event_id in resident.parked_tasks:
            resident.parked_tasks.discard(scheduled_event_id)
            row = resident.row
            self._engine.batch.tasks_done.append(
                TaskRow(row.partition, running.queue, row.workflow_id, row.run_id, scheduled_event_id)
            )
        retry = execution.state.activities[scheduled_event_id].scheduled.retry
        if retry.maximum_attempts == 1:
            self._settle(resident, scheduled_event_id)
            self._engine.after_commit(resident, lambda: self._launch(key))
        else:
            self._young.append((now, key))
            self._watch_young()
            self._launch(key)

    def _launch(self, key: Key) -> None:
        running = self._running.get(key)
        if running is not None:
            running.attempt = running.host.start(
                running.task,
                lambda outcome: self._ended(key, running, outcome),
                lambda details: self._beat(key, running, details),
            )

    def _ended(self, key: Key, running: Running, outcome: ActivityOutcome) -> None:
        if self._running.get(key) is not running:
            return
        self._release(key)
        running.attempt = None  # it knows `running`: without this only the garbage collector would free the two
        task = running.task

        def record(resident: Resident | None) -> None:
            if resident is None or resident.execution is None or resident.row.run_id != task.run_id:
                return
            if activities.finish_attempt(
                resident.execution,
                task.scheduled_event_id,
                task.attempt,
                outcome,
                self._engine.clock.now(),
                running.host.identity,
            ):
                self._engine.batch.redo.append((task.workflow_id, record))
                self._engine.touch(resident)

        self._engine.residents.visit(task.workflow_id, record)
        self._fill(running.queue)

    def _beat(self, key: Key, running: Running, details: list[Payload]) -> None:
        task = running.task

        def record(resident: Resident | None) -> None:
            if resident is None or resident.execution is None or self._running.get(key) is not running:
                return
            now = self._engine.clock.now()
            if activities.record_heartbeat(resident.execution, task.scheduled_event_id, task.attempt, details, now):
                resident.settled.add(task.scheduled_event_id)
                self._engine.touch(resident)

        self._engine.residents.visit(task.workflow_id, record)

    def _release(self, key: Key) -> None:
        running = self._running.pop(key)
        self._in_use[running.queue] -= 1

    def _fill(self, queue: str) -> None:
        """Start what queues for the slots that are free."""
        waiting = self._queues.get(queue)
        host = self._hosts.get(queue)
        if not waiting or host is None:
            return
        for _ in range(min(len(waiting), host.slots - self._in_use[queue])):
            workflow_id, key = waiting.popleft()
            self._queued.discard(key)
            self._engine.residents.visit(workflow_id, self._offer_again(key))

    def _offer_again(self, key: Key) -> Callable[[Resident | None], None]:
        def offer(resident: Resident | None) -> None:
            if resident is not None and resident.row.run_id == key[0]:
                self.offer(resident, key[1])

        return offer

    # -- attempts that last ------------------------------------------------------------------------------------------

    def _watch_young(self) -> None:
        if self._alarm is None and self._young:
            self._alarm = self._engine.clock.call_at(self._young[0][0] + LINGER, self._settle_young)

    def _settle_young(self) -> None:
        self._alarm = None
        aged = self._engine.clock.now() - LINGER
        while self._young and self._young[0][0] <= aged:
            key = self._young.popleft()[1]
            running = self._running.get(key)
            if running is not None:
                self._engine.residents.visit(running.task.workflow_id, self._settle_visit(key))
        self._watch_young()

    def _settle_visit(self, key: Key) -> Callable[[Resident | None], None]:
        def settle(resident: Resident | None) -> None:
            if resident is not None and resident.row.run_id == key[0] and resident.execution is not None:
                self._settle(resident, key[1])

        return settle

    def _settle(self, resident: Resident, scheduled_event_id: int) -> None:
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
        self._engine.touch(resident)
