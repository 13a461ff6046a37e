"""Activities meet workers: an attempt runs here if a worker of this process serves its queue, else it waits in
the store for a worker of any process.

A started attempt is only noted in the store once it has run for a moment (`LINGER`): most are over sooner, and then
their start and their end are written together. The exception is an activity that may run only once: it starts after the
note of its start is committed. An attempt that was claimed needs no note: its row in the store says it all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Set
from functools import partial
from typing import TYPE_CHECKING

from tenuto.engine import parking
from tenuto.engine.attempts import Key, Running
from tenuto.engine.clock import Cancellable
from tenuto.engine.hosts import ActivityHost, Attempt
from tenuto.engine.resident import Resident
from tenuto.engine.slots import Slots
from tenuto.history import activities
from tenuto.history.effects import Deadline, DeadlineKind
from tenuto.model.tasks import ActivityTask
from tenuto.store.protocol import TaskKind, TaskRow, partition_of

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

#: Nanoseconds that an attempt runs before its start is written on its own.
LINGER = 5_000_000


class Dispatch:
    """Which attempts run here, which queue for a slot, and who serves which queue."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._hosts: dict[str, ActivityHost] = {}
        self._running: dict[Key, Running] = {}
        #: Attempts that have ended, whose outcome is on its way to an execution that is being loaded.
        self.reported: dict[Key, Running] = {}
        self._slots: dict[str, Slots] = {}
        self._queues: dict[str, deque[tuple[str, Key]]] = {}
        self._queued: set[Key] = set()
        #: Attempts that may start, of executions that are about to move: whoever has them then starts them.
        self._postponed: list[tuple[str, Key]] = []
        self._young: deque[Running] = deque()
        self._alarm: Cancellable | None = None

    def add_host(self, task_queue: str, host: ActivityHost) -> None:
        self._hosts[task_queue] = host
        self._slots.setdefault(task_queue, Slots()).total = host.slots
        self.fill(task_queue)

    def remove_host(self, task_queue: str) -> None:
        """What queues for its slots waits for a worker of any process from now on."""
        self._hosts.pop(task_queue, None)
        if self.engine.store.shared:
            for workflow_id, key in self._queues.pop(task_queue, ()):
                self._queued.discard(key)
                self.engine.residents.visit(workflow_id, partial(self._offer_again, key))

    def serves(self, task_queue: str) -> bool:
        return task_queue in self._hosts

    def attempts(self, host: ActivityHost) -> list[Attempt]:
        """What `host` is running now."""
        return [
            running.attempt
            for running in self._running.values()
            if running.host is host and running.attempt is not None
        ]

    def claimed(self) -> list[Running]:
        """The attempts that run here and have a row in the store."""
        return [running for running in self._running.values() if running.claim is not None]

    def running_task(self, run_id: str, scheduled_event_id: int) -> ActivityTask | None:
        """The attempt of this activity that runs in this process, or has just ended; None if there is none."""
        key = (run_id, scheduled_event_id)
        running = self._running.get(key) or self.reported.get(key)
        return None if running is None else running.task

    def bring_up_code(self, task: ActivityTask) -> None:
        """The attempt needs the code of its run: if the execution is in memory and its code is not, replay it."""
        resident = self.engine.residents.get(task.workflow_id)
        if resident is not None and resident.row.run_id == task.run_id and resident.instance is None:
            self.engine.turns.catch_up(resident)

    def offer(self, resident: Resident, scheduled_event_id: int) -> None:
        """An attempt may start: start it, let it queue for a slot, or leave it in the store for a worker elsewhere."""
        key = (resident.row.run_id, scheduled_event_id)
        if resident.execution is None or key in self._running or key in self._queued:
            return
        activity = resident.execution.state.activities.get(scheduled_event_id)
        if activity is None:
            return
        if not self.engine.owns(resident.row.workflow_id):
            self._postponed.append((resident.row.workflow_id, key))
            return
        queue = activity.scheduled.task_queue
        host = self._hosts.get(queue)
        if resident.parked and scheduled_event_id in resident.parked and (host is None or self.engine.store.shared):
            return  # there is one way to a task that waits in the store: to claim it
        if host is None:
            self._park(resident, scheduled_event_id, queue)
        elif self._slots[queue].free > 0:
            self._start(resident, scheduled_event_id, host)
        else:
            self._queued.add(key)
            self._queues.setdefault(queue, deque()).append((resident.row.workflow_id, key))

    def leave_to_others(self, resident: Resident, scheduled_event_id: int) -> bool:
        """An attempt may start once the current batch is on record. If nobody here can run it, it waits in the store
        from that very moment on. False if it has to be offered then."""
        if not self.engine.store.shared or resident.execution is None or scheduled_event_id in resident.parked:
            return False
        activity = resident.execution.state.activities.get(scheduled_event_id)
        if activity is None or activity.scheduled.task_queue in self._hosts:
            return False
        key = (resident.row.run_id, scheduled_event_id)
        if key in self._running or key in self._queued or not self.engine.owns(resident.row.workflow_id):
            return False
        self._park(resident, scheduled_event_id, activity.scheduled.task_queue)
        return True

    def offer_postponed(self) -> None:
        """Some executions stay after all."""
        postponed, self._postponed = self._postponed, []
        for workflow_id, key in postponed:
            self.engine.residents.visit(workflow_id, partial(self._offer_again, key))

    def cancel(self, resident: Resident, scheduled_event_id: int, reason: str) -> None:
        """Tell a running attempt to stop, wherever it runs."""
        running = self._running.get((resident.row.run_id, scheduled_event_id))
        if running is not None:
            if running.attempt is not None:
                running.attempt.cancel(reason)
            return
        parked = resident.parked.get(scheduled_event_id)
        if parked is not None and not parked.leaving and self.engine.store.shared:
            self.engine.batch.cancelled.append((parked.row, reason))
            self.engine.batch.add(resident)
            self.engine.plan_flush()

    # -- executions move ---------------------------------------------------------------------------------------------

    def hand_over(self, partitions: Set[int]) -> None:
        """Executions of these partitions move: their attempts go on here, as tasks that we have claimed."""
        for running in [*self._running.values(), *self.reported.values()]:
            task = running.task
            partition = partition_of(task.workflow_id)
            if partition not in partitions or running.claim is not None:
                continue
            row = TaskRow(
                partition,
                task.task_queue,
                task.workflow_id,
                task.run_id,
                task.scheduled_event_id,
                TaskKind.ACTIVITY,
                parking.encode(task),
                self.engine.ownership.owner,
                task.started_time,
            )
            self.engine.batch.tasks.append(row)
            self.engine.batch.effects.append(partial(self._handed_over, running, row))

    def _handed_over(self, running: Running, row: TaskRow) -> None:
        running.claim = row
        # Its partition may stay after all.
        resident = self.engine.residents.get(row.workflow_id)
        if resident is not None and resident.row.run_id == row.run_id:
            resident.parked.setdefault(row.key, parking.Parked(row, running.task.attempt))

    def forget_queued(self) -> None:
        """Drop what has not started; it is offered again when its execution is loaded again."""
        self._queues.clear()
        self._queued.clear()
        self._postponed.clear()
        self._young.clear()
        for running in [running for running in self._running.values() if running.attempt is None]:
            self.release(running)

    # -- slots -------------------------------------------------------------------------------------------------------

    def reserve(self, task_queue: str, most: int) -> int:
        """Set slots aside for tasks that are about to be claimed; returns how many."""
        return self._slots[task_queue].reserve(most) if task_queue in self._hosts else 0

    def give_back(self, task_queue: str, number: int, *, more: bool) -> None:
        """Slots that were set aside have not been needed. `more`: there are more tasks to be claimed."""
        self._slots[task_queue].give_back(number, more=more)
        self.fill(task_queue)

    def release(self, running: Running) -> bool:
        """The attempt no longer takes a slot. False if it didn't (any more)."""
        if self._running.get(running.key) is not running:
            return False
        del self._running[running.key]
        self._slots[running.task.task_queue].in_use -= 1
        return True

    def fill(self, queue: str) -> None:
        """Start what queues for the slots that are free."""
        waiting = self._queues.get(queue)
        slots = self._slots.get(queue)
        if slots is None or queue not in self._hosts:
            return
        for _ in range(slots.grant(len(waiting) if waiting else 0)):
            assert waiting is not None
            workflow_id, key = waiting.popleft()
            self._queued.discard(key)
            self.engine.residents.visit(workflow_id, partial(self._offer_again, key))
        if slots.hungry and slots.for_claims > 0:
            self.engine.claimer.poke(queue)

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

    # -- attempts begin ----------------------------------------------------------------------------------------------

    def _park(self, resident: Resident, scheduled_event_id: int, queue: str) -> None:
        assert resident.execution is not None
        task = activities.current_attempt(resident.execution, scheduled_event_id)
        data = parking.encode(task) if self.engine.store.shared else b""
        parking.park(self.engine, resident, scheduled_event_id, queue, TaskKind.ACTIVITY, data, task.attempt)

    def _start(self, resident: Resident, scheduled_event_id: int, host: ActivityHost) -> None:
        execution = resident.execution
        assert execution is not None
        now = self.engine.clock.now()
        task = activities.start_attempt(execution, scheduled_event_id, now)
        if task is None:
            return
        key = (task.run_id, scheduled_event_id)
        running = self._running[key] = Running(self, key, task, host)
        self._slots[task.task_queue].in_use += 1
        if resident.parked:
            parking.unpark(self.engine, resident, scheduled_event_id)
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

    def start_claimed(self, row: TaskRow, task: ActivityTask) -> bool:
        """Run an attempt that was claimed, in a slot that was reserved for it. False if it needs none: it runs already,
        or there is no worker for it any more."""
        host = self._hosts.get(row.task_queue)
        key = (row.run_id, row.key)
        running = self._running.get(key)
        if running is not None and running.task.attempt == task.attempt:
            running.claim = row  # it was ours before the execution moved
            return False
        if host is None or running is not None:
            return False
        running = self._running[key] = Running(self, key, task, host, row)
        running.attempt = host.start(task, running)
        return True

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
