"""The engine of one process: the parts, and how a fact travels through them.

arrival (request, inbox message, activity result, deadline)
  -> `residents.visit`: the execution is brought into memory
  -> a rule of the history machine writes events; `touch`
  -> `_flush`, once a turn of the loop: code decides (`turns`), effects are sorted, all goes into `batch`
  -> `pipeline`: the batch is committed
  -> only then: activities start, callers get their answers, timers are set
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import TypeVar

from tenuto.engine import requests
from tenuto.engine.batch import Batch, Visitor
from tenuto.engine.clock import SECOND, Clock
from tenuto.engine.dispatch import Dispatch
from tenuto.engine.hosts import ActivityHost, WorkflowHost
from tenuto.engine.inbox import Inbox
from tenuto.engine.origin import FROM_EXECUTION, Origin
from tenuto.engine.pipeline import Pipeline
from tenuto.engine.queries import Queries
from tenuto.engine.resident import Resident
from tenuto.engine.residents import Residents
from tenuto.engine.timers import HORIZON, Timers, Wake
from tenuto.engine.turns import Turns
from tenuto.engine.updates import UpdateWaiters
from tenuto.history import activities, closing, deadlines, effects
from tenuto.history.execution import Execution
from tenuto.model import events as ev
from tenuto.model import messages as msg
from tenuto.model.errors import LeaseLostError, RPCError, RPCStatusCode, StoreError, StoreOwnedError
from tenuto.model.limits import Limits
from tenuto.model.policies import ExecutionStatus
from tenuto.store.protocol import Due, ExecutionRow, Store, StoredExecution

logger = logging.getLogger("tenuto.engine")

T = TypeVar("T")

LEASE = 15.0
#: Executions that are looked up and brought into memory at one go after a start.
RECOVERY_CHUNK = 256


class Engine:
    """Owns partitions of a store. Lives on the event loop that started it; `failed` tells when it can't go on."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        limits: Limits,
        new_run_id: Callable[[], str],
        *,
        owner: str,
        retention: float,
    ) -> None:
        self.store = store
        self.clock = clock
        self.limits = limits
        self.new_run_id = new_run_id
        self.epochs: dict[int, int] = {}
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._owner = owner
        self._retention = retention
        self._tasks: set[asyncio.Task[None]] = set()
        self._ready: dict[Resident, None] = {}
        self._flush_planned = False
        self._later: list[Resident] = []
        self._closed_waiters: dict[str, list[asyncio.Future[ev.AnyEvent | None]]] = {}
        self._asking: set[asyncio.Future[msg.Answer]] = set()
        self._failures = 0
        self._served = False
        self._stopped = False
        self.residents = Residents(store, limits, new_run_id, self._adopt, self.spawn)
        self.pipeline = Pipeline(store, self.epochs, self._decide, self._committed, self._start_over)
        self.timers = Timers(clock, self._reached)
        self.dispatch = Dispatch(self)
        self.turns = Turns(self)
        self.updates = UpdateWaiters(self)
        self.queries = Queries(self)
        self.inbox = Inbox(self)

    @property
    def batch(self) -> Batch:
        """What the next commit will hold."""
        return self.pipeline.batch

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Take ownership and begin to serve. Raises `StoreOwnedError` if another process has it."""
        await self._renew()
        self.spawn(self.pipeline.run(), "commit pipeline")
        self.spawn(self.inbox.run(), "inbox")
        self.spawn(self._keep_lease(), "lease")

    async def stop(self) -> None:
        """Write what is decided and give the partitions back."""
        if self._stopped:
            return
        self._stopped = True
        if not self.failed.done():
            self._flush()
            for _ in range(3):
                await asyncio.wait_for(self.pipeline.drain(), 60)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.timers.clear()
        self.residents.suspend()
        if not self.failed.done():
            self.failed.cancel()
        self._refuse_waiters(RPCError("the engine was stopped", RPCStatusCode.UNAVAILABLE))
        await self.store.release(self._owner)

    def spawn(self, work: Coroutine[object, object, None], name: str) -> None:
        """Run `work` beside; if it fails, so does the engine, visibly."""
        task = asyncio.get_running_loop().create_task(work, name=f"tenuto: {name}")
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fail(task.exception())

    def _fail(self, error: BaseException | None) -> None:
        if self.failed.done() or error is None:
            return
        logger.critical("the engine stops: %s", error, exc_info=error, extra={"action": "engine_failed"})
        self.failed.set_exception(error)
        self.failed.exception()
        self.pipeline.close()
        self.residents.suspend()
        self._refuse_waiters(error)

    def _refuse_waiters(self, error: BaseException) -> None:
        for waiters in self._closed_waiters.values():
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_exception(error)
                    waiter.exception()
        self._closed_waiters.clear()
        self.updates.forget()
        for asking in list(self._asking):
            if not asking.done():
                asking.set_exception(error)
                asking.exception()

    async def _renew(self) -> None:
        now = self.clock.now()
        held = await self.store.lease(self._owner, now, now + int(LEASE * SECOND))
        self.epochs.clear()
        self.epochs.update(held)

    async def _keep_lease(self) -> None:
        while True:
            await asyncio.sleep(LEASE / 3)
            try:
                await self._renew()
            except (LeaseLostError, StoreOwnedError):
                raise
            except StoreError as error:
                # The epoch fences whatever is written meanwhile, so there is time to try again.
                logger.warning("the lease could not be renewed, which is tried again: %s", error)

    # -- workers -----------------------------------------------------------------------------------------------------

    def serve(
        self,
        task_queue: str,
        workflows: WorkflowHost | None,
        activities_host: ActivityHost | None,
        max_cached: int,
    ) -> None:
        """A worker of this process serves `task_queue` from now on. With the first worker the engine takes up
        everything that was going on; a later one gets the tasks that wait for it."""
        if workflows is not None:
            self.turns.add_host(task_queue, workflows)
        if activities_host is not None:
            self.dispatch.add_host(task_queue, activities_host)
        if self._served:
            self.residents.capacity += max_cached
        else:
            self._served = True
            self.residents.capacity = max_cached
            self.spawn(self._watch_due(), "due executions")
            self.spawn(self._retain(), "retention")
        self.spawn(self._take_waiting(task_queue), f"waiting tasks of {task_queue}")

    def leave(self, task_queue: str) -> None:
        """The worker takes no more tasks; what it runs goes on."""
        self.turns.remove_host(task_queue)
        self.dispatch.remove_host(task_queue)

    async def _take_waiting(self, task_queue: str) -> None:
        # Adopting an execution offers all its tasks again, so it is enough to load each.
        rows = await self._patiently(lambda: self.store.waiting_tasks(list(self.epochs), task_queue, RECOVERY_CHUNK))
        while rows:
            for row in rows:
                self.residents.visit(row.workflow_id, partial(self._take_parked, row.run_id, row.key))
            await self.pipeline.drain()
            await asyncio.sleep(0.01)
            more = await self._patiently(
                lambda: self.store.waiting_tasks(list(self.epochs), task_queue, RECOVERY_CHUNK)
            )
            rows = [row for row in more if row not in set(rows)]

    def _take_parked(self, run_id: str, key: int, resident: Resident | None) -> None:
        if resident is None or resident.row.run_id != run_id or resident.execution is None:
            return
        resident.parked_tasks.add(key)
        if key:
            self.dispatch.offer(resident, key)
        self.touch(resident)

    # -- facts come in -----------------------------------------------------------------------------------------------

    def submit(self, message: msg.Message) -> asyncio.Future[msg.Answer]:
        """A request of a client in this process. The answer comes when it is on record."""
        future: asyncio.Future[msg.Answer] = asyncio.get_running_loop().create_future()
        if len(self._asking) >= self.limits.waiting_requests:
            raise RPCError(
                f"{len(self._asking)} requests are waiting for their answers, the limit; ask again later",
                RPCStatusCode.RESOURCE_EXHAUSTED,
            )
        if self.failed.done():
            raise RPCError("the engine has stopped", RPCStatusCode.UNAVAILABLE)
        self._asking.add(future)
        future.add_done_callback(self._asking.discard)
        origin = Origin(future)
        self.residents.visit(message.target.workflow_id, lambda resident: self.handle(resident, message, origin))
        return future

    def handle(self, resident: Resident | None, message: msg.Message, origin: Origin) -> None:
        answer = requests.handle(self, resident, message, origin)
        if answer is not None:
            self.answer(origin, message, answer)

    def answer(self, origin: Origin, message: msg.Message, answer: msg.Answer) -> None:
        """Answer with the current batch, so not before all that the answer may rest on is on record."""
        future = origin.future
        if future is not None:
            self.batch.effects.append(lambda: None if future.done() else future.set_result(answer))
            self.batch.failed.append(lambda error: None if future.done() else future.set_exception(error))
        if origin.inbox_id is not None:
            self.batch.received.append(origin.inbox_id)
            if origin.reply_to is not None:
                self.batch.answers.append((origin.reply_to, msg.encode(answer), self.clock.now()))
        self._answer_execution(message, answer)
        self._plan_flush()

    def _answer_execution(self, message: msg.Message, answer: msg.Answer) -> None:
        """If an execution asked, it is told in the same commit."""
        body = message.body
        refused = answer if isinstance(answer, msg.Refused) else None
        if isinstance(body, msg.Start) and body.parent is not None:
            asker, key = body.parent, body.parent.initiated_event_id
            if refused is not None:
                news: msg.Body = msg.ChildStartFailed(key, requests.CHILD_EXISTS, refused.run_id)
            else:
                assert isinstance(answer, msg.Started)
                news = msg.ChildStarted(key, answer.run_id)
        elif isinstance(body, msg.Signal) and body.external is not None:
            asker = body.external
            news = msg.SignalAnswered(asker.initiated_event_id, requests.NOT_FOUND if refused else "")
        elif isinstance(body, msg.Cancel) and body.external is not None:
            asker = body.external
            news = msg.CancelAnswered(asker.initiated_event_id, requests.NOT_FOUND if refused else "")
        else:
            return
        self._send(msg.Message(ev.ExecutionRef(asker.workflow_id, asker.run_id), news))

    def _send(self, message: msg.Message) -> None:
        """Deliver within this batch if the target is at hand, else through the inbox."""
        workflow_id = message.target.workflow_id
        resident = self.residents.get(workflow_id)
        if resident is None or self.inbox.awaits(workflow_id):
            self.inbox.send(message)
            self._plan_flush()
        else:
            self.handle(resident, message, FROM_EXECUTION)

    def _reached(self, due: list[Wake]) -> None:
        for wake in due:
            self.residents.visit(wake.workflow_id, partial(self._reach, wake))

    def _reach(self, wake: Wake, resident: Resident | None) -> None:
        if resident is None or resident.row.run_id != wake.run_id or resident.execution is None:
            return
        if wake.kind:
            deadline = effects.Deadline(wake.at, effects.DeadlineKind(wake.kind), wake.key)
            deadlines.reach(resident.execution, deadline, self.clock.now())
        else:
            self._watch_deadlines(resident.execution)
        self.touch(resident)

    # -- decisions and their effects ---------------------------------------------------------------------------------

    def touch(self, resident: Resident) -> None:
        """Something happened to this execution: let it decide, and record it, in this turn of the loop."""
        self._ready[resident] = None
        self._plan_flush()

    def touch_later(self, resident: Resident) -> None:
        """As `touch`, after the next commit."""
        self._later.append(resident)

    def settle(self, resident: Resident) -> None:
        """Let one execution decide now."""
        self._ready.pop(resident, None)
        self._advance(resident)

    def after_commit(self, resident: Resident, effect: Callable[[], None]) -> None:
        self.batch.effects.append(effect)
        self.touch(resident)

    def _plan_flush(self) -> None:
        if not self._flush_planned:
            self._flush_planned = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        try:
            self._decide()
        except Exception as error:  # noqa: BLE001 - a fault of the engine itself: it must stop, visibly
            self._fail(error)
            return
        self.pipeline.offer()

    def _decide(self) -> None:
        """Let every execution to which something happened decide, and put what came of it into the batch."""
        while self._ready:
            resident = next(iter(self._ready))
            del self._ready[resident]
            self._advance(resident)

    def _advance(self, resident: Resident) -> None:
        execution = resident.execution
        if execution is None:
            return
        self.turns.take(resident)
        self._check_limits(resident, execution)
        self._sort_effects(resident, execution)
        self._update_row(resident, execution)
        if execution.unwritten or execution.changed_notes or resident.row_changed:
            self.batch.add(resident)

    def _sort_effects(self, resident: Resident, execution: Execution) -> None:
        """Messages to other executions go into this batch; everything else waits for its commit."""
        later = self.batch.effects
        for effect in execution.take_effects():
            match effect:
                case effects.ActivityReady():
                    later.append(partial(self.dispatch.offer, resident, effect.scheduled_event_id))
                case effects.Deadline():
                    self._watch(resident, effect)
                case effects.Send():
                    self._send(effect.message)
                case effects.ActivityCancelled():
                    later.append(
                        partial(
                            self.dispatch.cancel,
                            resident.row.run_id,
                            effect.scheduled_event_id,
                            effect.reason,
                        )
                    )
                case effects.UpdateAnswered():
                    row = resident.row
                    later.append(
                        partial(self.updates.resolve, row.workflow_id, row.run_id, effect.update_id, effect.answer)
                    )
                case effects.NewRun():
                    requests.begin_run(self, effect.started)
                case effects.RunClosed():
                    later.append(partial(self._run_closed, resident))

    def _watch(self, resident: Resident, deadline: effects.Deadline) -> None:
        """Come back at `deadline`. Of an attempt that runs here the deadline is kept however far it is: the
        execution may leave memory meanwhile, with a stored wake-up that is only good for a restart."""
        row = resident.row
        horizon = self.clock.now() + HORIZON
        if deadline.kind is effects.DeadlineKind.ACTIVITY:
            assert isinstance(deadline.key, int)
            if self.dispatch.running_task(row.run_id, deadline.key) is not None:
                horizon = deadline.at + 1
        self.timers.add(row.workflow_id, row.run_id, deadline, horizon)

    def _run_closed(self, resident: Resident) -> None:
        """The end of a run is on record: tell those who wait, and keep only its row."""
        assert resident.execution is not None
        event = resident.execution.state.closing_event
        resident.drop_instance()
        resident.execution = None
        for waiter in self._closed_waiters.pop(resident.row.run_id, []):
            if not waiter.done():
                waiter.set_result(event)

    def _check_limits(self, resident: Resident, execution: Execution) -> None:
        """End a run whose history has outgrown the limits; warn earlier, once."""
        if execution.state.closed:
            return
        limits = self.limits
        events, size = execution.state.last_event_id, execution.history_size
        if events > limits.history_events or size > limits.history_size:
            reason = (
                f"the history has {events:,} events and {size:,} bytes; the limits are {limits.history_events:,} and "
                f"{limits.history_size:,}. Let the workflow continue as new when info().is_continue_as_new_suggested()"
            )
            logger.error("workflow %s is terminated: %s", resident.row.workflow_id, reason)
            closing.terminate(execution, reason, [], "tenuto", self.clock.now())
        elif not resident.warned and (events > limits.history_events_warning or size > limits.history_size_warning):
            resident.warned = True
            logger.warning(
                "the history of workflow %s has %d events and %d bytes; at %d or %d it is terminated",
                resident.row.workflow_id,
                events,
                size,
                limits.history_events,
                limits.history_size,
            )

    def _update_row(self, resident: Resident, execution: Execution) -> None:
        """Keep the row in step with what a listing and a restart have to know."""
        row, state = resident.row, execution.state
        if state.closed:
            if row.status is ExecutionStatus.RUNNING:
                row.status, row.close_time, row.wake_at = state.status, state.close_time, None
                row.problem = None
                resident.row_changed = True
            return
        # A wake-up that comes too early costs a look; one that comes too late would lose the execution. So the stored
        # one is put back at once, and put off only when the execution leaves memory.
        needed = self._wake_time(resident, execution)
        earlier = needed is not None and (row.wake_at is None or needed < row.wake_at)
        if earlier or (resident.is_new and needed != row.wake_at):
            row.wake_at = needed
            resident.row_changed = True

    def _wake_time(self, resident: Resident, execution: Execution) -> int | None:
        """When a restarted engine would have to look at this execution; 0 is at once, None never."""
        if resident.row.wake_at == 0 and not resident.is_new and not self._leaving:
            return 0
        state = execution.state
        if execution.task_failure is not None:
            return 0
        if (state.task_pending or execution.updates_admitted) and self.turns.serves(resident.row.task_queue):
            return 0
        for pending in state.activities.values():
            ready = pending.note.next_attempt_time is None
            if ready and self.dispatch.serves(pending.scheduled.task_queue):
                return 0
        return min((deadline.at for deadline in execution.deadlines()), default=None)

    _leaving = False

    # -- after the commit --------------------------------------------------------------------------------------------

    def _committed(self, batch: Batch) -> None:
        self._failures = 0
        if self._later:
            later, self._later = self._later, []
            for resident in later:
                self.touch(resident)
        if self.residents.excess > 0:
            self._trim()

    def _trim(self) -> None:
        """Let the executions go that nobody has visited for the longest time."""
        for resident in self.residents.oldest(self.residents.excess + 8):
            if self.residents.excess <= 0:
                return
            execution = resident.execution
            if not resident.clean or resident in self._ready:
                continue
            if execution is not None:
                if execution.updates_admitted:
                    continue
                self._leaving = True
                needed = self._wake_time(resident, execution)
                self._leaving = False
                if needed != resident.row.wake_at:
                    resident.row.wake_at = needed
                    resident.row_changed = True
                    self.batch.add(resident)
                    self._plan_flush()
                    continue
            self.residents.evict(resident)

    def reload(self, resident: Resident) -> None:
        """Read the execution again, code and all, as soon as the store has everything of it."""
        waiting = dict(resident.execution.updates_admitted) if resident.execution is not None else {}

        def take_along(again: Resident | None) -> None:
            if again is not None and again.execution is not None and again.row.run_id == resident.row.run_id:
                again.execution.updates_admitted.update(waiting)
                self.touch(again)

        self.when_clean(resident, take_along)

    def when_clean(self, resident: Resident, visitor: Visitor, origin: Origin = FROM_EXECUTION) -> None:
        """Visit the execution afresh once all that is known of it is on record."""
        if resident.execution is not None and (resident.execution.unwritten or resident.row_changed):
            self.batch.add(resident)

        def read_again() -> None:
            if self.residents.get(resident.row.workflow_id) is not resident:
                self.residents.visit(resident.row.workflow_id, visitor)
            elif resident.clean:
                self.residents.reload(resident, visitor)
            else:
                self.when_clean(resident, visitor, origin)

        self.batch.effects.append(read_again)
        future = origin.future
        if future is not None:
            self.batch.failed.append(lambda error: None if future.done() else future.set_exception(error))
        self._plan_flush()

    def wait_closed(self, workflow_id: str, run_id: str) -> asyncio.Future[ev.AnyEvent | None]:
        """The closing event of a run; None if the run is closed already and the store has to be asked."""
        future: asyncio.Future[ev.AnyEvent | None] = asyncio.get_running_loop().create_future()

        def watch(resident: Resident | None) -> None:
            if resident is None or resident.row.run_id != run_id or resident.execution is None:
                future.set_result(None)
            else:
                self._closed_waiters.setdefault(run_id, []).append(future)

        self.residents.visit(workflow_id, watch)
        return future

    # -- reading closed runs -----------------------------------------------------------------------------------------

    def row_of(self, resident: Resident, run_id: str | None) -> ExecutionRow:
        """The row of the run that was asked for; another run than the latest is only known by its id."""
        if run_id is None or run_id == resident.row.run_id:
            return resident.row
        latest = resident.row
        return ExecutionRow(
            partition=latest.partition,
            workflow_id=latest.workflow_id,
            run_id=run_id,
            first_run_id=latest.first_run_id,
            workflow_type=latest.workflow_type,
            task_queue=latest.task_queue,
            start_time=0,
        )

    def read(self, row: ExecutionRow, then: Callable[[StoredExecution | None], None]) -> None:
        """Read a closed run with its history."""

        async def fetch() -> None:
            await self.pipeline.drain()
            ref = ev.ExecutionRef(row.workflow_id, row.run_id)
            then((await self._patiently(lambda: self.store.load([ref], closed_history=True)))[0])

        self._plan_flush()
        self.spawn(fetch(), "read a closed run")

    def consult(self, row: ExecutionRow, then: Callable[[Execution | None], None]) -> None:
        """Fold a closed run again to look something up in it."""

        def fold(stored: StoredExecution | None) -> None:
            if stored is None or not stored.events:
                then(None)
                return
            then(Execution.restore(stored.events, {}, stored.history_size, self.limits, self.new_run_id))

        self.read(row, fold)

    # -- taking up what was going on ---------------------------------------------------------------------------------

    async def _watch_due(self) -> None:
        """At first everything that was going on; then, for ever, what comes due within the horizon."""
        await self._take_up(after=None)
        # Behind every row that is marked to be looked at after a restart: those are in memory, or run activities here.
        behind = Due("", "~", 0)
        while True:
            await self._pass_time(HORIZON // 3)
            await self._take_up(behind)
            for resident in self.residents.oldest(len(self.residents)):
                if resident.execution is not None:
                    for deadline in resident.execution.deadlines():
                        self._watch(resident, deadline)

    async def _take_up(self, after: Due | None) -> None:
        partitions = list(self.epochs)
        while True:
            before = self.clock.now() + HORIZON
            due = await self._patiently(partial(self.store.due, partitions, before, after, RECOVERY_CHUNK))
            for row in due:
                if row.wake_at == 0:
                    self.residents.visit(row.workflow_id, self._look)
                else:
                    self.timers.push(Wake(row.wake_at, row.workflow_id, row.run_id))
            if len(due) < RECOVERY_CHUNK:
                return
            after = due[-1]
            await self.pipeline.drain()

    async def _pass_time(self, nanoseconds: int) -> None:
        """Wait by the engine's clock, which a test may move."""
        over = asyncio.get_running_loop().create_future()
        alarm = self.clock.call_at(
            self.clock.now() + nanoseconds, lambda: None if over.done() else over.set_result(None)
        )
        try:
            await over
        finally:
            alarm.cancel()

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Read, again and again while the store fails: a disk that fails for a while must not stop the engine."""
        while True:
            try:
                return await ask()
            except StoreError as error:
                logger.warning("the store could not be read, which is tried again: %s", error)
                await asyncio.sleep(0.1)

    def _look(self, resident: Resident | None) -> None:
        if resident is not None and resident.execution is not None:
            self.touch(resident)

    def _watch_deadlines(self, execution: Execution) -> None:
        now = self.clock.now()
        for deadline in list(execution.deadlines()):
            if deadline.at <= now:
                deadlines.reach(execution, deadline, now)
            else:
                execution.effects.append(deadline)

    def _adopt(self, resident: Resident) -> None:
        """An execution came into memory: see to all that is pending in it."""
        execution = resident.execution
        assert execution is not None
        now = self.clock.now()
        row = resident.row
        for scheduled_event_id, activity in list(execution.state.activities.items()):
            task = self.dispatch.running_task(row.run_id, scheduled_event_id)
            if task is not None:
                # Its start may not have been on record when the execution left memory.
                activity.note.attempt, activity.note.started_time = task.attempt, task.started_time
                activity.note.next_attempt_time = None
            elif activity.note.started_time is not None:
                activities.lose_attempt(execution, scheduled_event_id, now)
            elif activity.note.next_attempt_time is None or activity.note.next_attempt_time <= now:
                execution.effects.append(effects.ActivityReady(scheduled_event_id))
        self._watch_deadlines(execution)
        self.touch(resident)

    # -- when a commit fails -----------------------------------------------------------------------------------------

    async def _start_over(self, lost: list[Batch], error: StoreError) -> None:
        """Go back to what the store knows: callers are told, facts that nobody repeats are taken in again."""
        if isinstance(error, LeaseLostError):
            raise error
        logger.error("a commit failed and is decided anew: %s", error, extra={"action": "commit_failed"})
        self._ready.clear()
        self._later.clear()
        self.residents.suspend()
        self.timers.clear()
        self.dispatch.forget_queued()
        for batch in lost:
            for tell in batch.failed:
                tell(error)
        for origin in self.updates.forget():
            if origin.future is not None and not origin.future.done():
                origin.future.set_exception(error)
        self._failures += 1
        await asyncio.sleep(min(0.05 * 2 ** min(self._failures - 1, 7), 5.0))
        for batch in lost:
            for report in batch.redo:
                report()
        for run_id, waiters in list(self._closed_waiters.items()):
            del self._closed_waiters[run_id]
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
        self.residents.resume()
        self.inbox.reset()
        self.spawn(self._take_up(after=None), "take up after a failed commit")

    async def _retain(self) -> None:
        """Forget closed runs whose time is over, a few at a time."""
        while True:
            now = self.clock.now()
            try:
                gone = await self.store.purge(now - int(self._retention * SECOND), now, 100)
            except StoreError as error:
                logger.warning("closed runs could not be purged, which is tried again: %s", error)
                gone = 0
            await asyncio.sleep(0.1 if gone == 100 else 60)
