"""Attempts of activities that run in this process.

What an attempt reports goes straight to its execution if that lives here, too. If another process owns it, or if the
attempt was claimed like any task of others, it goes through the inbox of the execution's partition.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from tenuto.engine.hosts import ActivityHost, Attempt
from tenuto.engine.resident import Resident
from tenuto.history import activities
from tenuto.model.payloads import Payload
from tenuto.model.task_messages import AttemptAlive, AttemptEnded
from tenuto.model.tasks import ActivityOutcome, ActivityTask
from tenuto.store.protocol import TaskRow

if TYPE_CHECKING:
    from tenuto.engine.dispatch import Dispatch

Key = tuple[str, int]
"""Run id and scheduled event id."""

#: Seconds between two heartbeats that are sent to another process: without a heartbeat timeout, and at most.
SELDOM, LONGEST = 30.0, 60.0


class Running:
    """An attempt that runs in this process. `attempt` is None before it really started and after it ended. `claim` is
    its row in the store, if it has one."""

    __slots__ = ("_beats", "_disowned", "_dispatch", "_outcome", "_stopped", "attempt", "claim", "host", "key", "task")

    def __init__(
        self, dispatch: Dispatch, key: Key, task: ActivityTask, host: ActivityHost, claim: TaskRow | None = None
    ) -> None:
        self._dispatch = dispatch
        self._outcome: ActivityOutcome | None = None
        self._beats: SparseBeats | None = None
        self.key = key
        self.task = task
        self.host = host
        self.claim = claim
        self._stopped = ""
        #: Has somebody else become responsible for it, so that nobody wants to hear of it any more?
        self._disowned = False
        self.attempt: Attempt | None = None

    def ended(self, outcome: ActivityOutcome) -> None:
        """Record how it ended, unless it was given up before."""
        self.attempt = None  # the two know each other: without this only the garbage collector would free them
        if self._dispatch.release(self):
            self._outcome = outcome
            self.report()
            self._dispatch.fill(self.task.task_queue)

    def told(self, answer: str | None) -> None:
        """What the store says of its claim; see `Store.held`."""
        if self.attempt is None or answer == self._stopped:
            return
        self._disowned = answer is None
        self._stopped = answer or "not_found"
        self.attempt.cancel(self._stopped)

    @property
    def _is_elsewhere(self) -> bool:
        return self.claim is not None or not self._dispatch.engine.owns(self.task.workflow_id)

    def report(self) -> None:
        """Bring the outcome to the execution, which may have to be loaded for it."""
        if self._is_elsewhere:
            self._send_outcome()
            return
        self._dispatch.reported[self.key] = self
        self._dispatch.engine.residents.visit(self.task.workflow_id, self._record)

    def _send_outcome(self) -> None:
        unsent = None if self._beats is None else self._beats.stop()
        task, outcome = self.task, self._outcome
        if self._disowned:
            return
        assert outcome is not None
        ended = AttemptEnded(
            task.scheduled_event_id, task.attempt, task.started_time, outcome, self.host.identity, unsent
        )
        self._dispatch.engine.outbox.put(task.workflow_id, task.run_id, ended)

    def _record(self, resident: Resident | None) -> None:
        task, engine = self.task, self._dispatch.engine
        self._dispatch.reported.pop(self.key, None)
        if resident is None and self._is_elsewhere:
            self._send_outcome()  # its partition moved while the execution was being read
        if resident is None or resident.execution is None or resident.row.run_id != task.run_id:
            return
        assert self._outcome is not None
        now = engine.clock.now()
        if activities.finish_attempt(
            resident.execution,
            task.scheduled_event_id,
            task.attempt,
            self._outcome,
            now,
            self.host.identity,
        ):
            engine.batch.redo.append(self.report)
            engine.touch(resident)
        elif activities.may_start(resident.execution, task.scheduled_event_id, now):
            self._dispatch.offer(resident, task.scheduled_event_id)  # the next one could not begin while this one ran

    def beat(self, details: list[Payload]) -> None:
        """It is alive."""
        if self._is_elsewhere:
            if self._beats is None:
                self._beats = SparseBeats(self.task.heartbeat_timeout, self._send_beat)
            self._beats.beat(details)
            return
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

    def _send_beat(self, details: list[Payload]) -> None:
        task = self.task
        if not self._disowned:
            alive = AttemptAlive(task.scheduled_event_id, task.attempt, task.started_time, details)
            self._dispatch.engine.outbox.put(task.workflow_id, task.run_id, alive)

    def settle(self, resident: Resident | None) -> None:
        """It has run for a moment: put it on record and watch its time-outs."""
        if resident is not None and resident.execution is not None and resident.row.run_id == self.key[0]:
            self._dispatch.settle(resident, self.key[1])


class SparseBeats:
    """Heartbeats on their way to another process: the first goes at once, later ones as seldom as the timeout allows,
    and what hasn't gone when the attempt ends goes with its outcome."""

    def __init__(self, timeout: float | None, send: Callable[[list[Payload]], None]) -> None:
        self._pause = SELDOM if timeout is None else min(0.8 * timeout, LONGEST)
        self._send = send
        self._unsent: list[Payload] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def beat(self, details: list[Payload]) -> None:
        self._unsent = details
        if self._timer is None:
            self._flush()

    def stop(self) -> list[Payload] | None:
        """Returns the details that have not been sent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return self._unsent

    def _flush(self) -> None:
        self._timer = None
        if self._unsent is not None:
            unsent, self._unsent = self._unsent, None
            self._send(unsent)
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._flush)
