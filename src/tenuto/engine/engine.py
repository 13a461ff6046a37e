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
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from time import perf_counter
from typing import TypeVar

from tenuto.engine import parking, requests
from tenuto.engine.batch import Batch
from tenuto.engine.claimer import Claimer
from tenuto.engine.claims import Claims
from tenuto.engine.clock import Clock
from tenuto.engine.closed_runs import ClosedRuns
from tenuto.engine.concurrency import Concurrency
from tenuto.engine.decisions import Decisions
from tenuto.engine.dispatch import Dispatch
from tenuto.engine.eviction import Eviction
from tenuto.engine.graph_host import GraphHost
from tenuto.engine.graphs import Graphs
from tenuto.engine.history_limits import check_history
from tenuto.engine.hosts import ActivityHost, WorkflowHost
from tenuto.engine.inbox import Inbox
from tenuto.engine.observer import Observer
from tenuto.engine.origin import FROM_EXECUTION, Origin
from tenuto.engine.outbox import Outbox
from tenuto.engine.ownership import LEASE, Ownership
from tenuto.engine.pipeline import Pipeline
from tenuto.engine.queries import Queries
from tenuto.engine.recovery import Recovery
from tenuto.engine.remote import Remote
from tenuto.engine.resident import Resident
from tenuto.engine.residents import Residents
from tenuto.engine.retention import retain
from tenuto.engine.rows import close_row, plan_wake
from tenuto.engine.timers import HORIZON, Timers, Wake
from tenuto.engine.turns import Turns
from tenuto.engine.updates import UpdateWaiters
from tenuto.history import deadlines, effects
from tenuto.history.execution import Execution
from tenuto.model import events as ev
from tenuto.model import messages as msg
from tenuto.model.errors import LeaseLostError, RPCError, RPCStatusCode, StoreError, StoreFormatError
from tenuto.model.graph_messages import GraphRetry, GraphStart
from tenuto.model.limits import Limits
from tenuto.store.protocol import Hint, Rank, Store

logger = logging.getLogger("tenuto.engine")

#: Seconds that the last commits of a stopping engine may take.
LAST_WRITES = 10.0
#: Seconds of one turn, and executions in one batch, after which offspring has to wait; and seconds that it waits, for
#: requests need several turns of the loop that are short.
TURN = 0.02
FULL = 400
REST = 0.01

T = TypeVar("T")


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
        remote: Remote,
        rank: Rank = Rank.CLIENT,
        lease: float = LEASE,
    ) -> None:
        self.store = store
        self.clock = clock
        self.limits = limits
        self.new_run_id = new_run_id
        self.observers: list[Observer] = []
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ownership = Ownership(self, owner, rank, lease)
        self._remote = remote
        self._retention = retention
        self._tasks: set[asyncio.Task[None]] = set()
        self.ready: dict[Resident, None] = {}
        #: Graphs that were started by executions and have not decided yet. They wait for a later turn if need be:
        #: executions that start others without an end must not keep everybody else from being served.
        self.offspring: dict[Resident, None] = {}
        #: Those of them that were started in this turn.
        self._newborn: list[Resident] = []
        self._offspring_next = False
        self._offspring_rests = False
        self._flush_planned = False
        self._later: list[Resident] = []
        self._outgoing: deque[msg.Message] = deque()
        self._sending = False
        self._asking: set[asyncio.Future[msg.Answer]] = set()
        self._served = False
        self._stopped = False
        self.recovery = Recovery(self)
        self.eviction = Eviction(self)
        self.closed_runs = ClosedRuns(self)
        self.residents = Residents(store, limits, new_run_id, self.recovery.adopt, self._flush, self.spawn, self.owns)
        self.pipeline = Pipeline(store, self.ownership.epochs, self._decide, self._committed, self.recovery.start_over)
        self.timers = Timers(clock, self._reached)
        self.dispatch = Dispatch(self)
        self.turns = Turns(self)
        self.updates = UpdateWaiters(self)
        self.queries = Queries(self)
        self.concurrency = Concurrency(self)
        self.inbox = Inbox(self)
        self.outbox = Outbox(self)
        self.claimer = Claimer(self)
        self.claims = Claims(self)
        self.decisions = Decisions(self)
        self.graphs = Graphs(self)

    @property
    def batch(self) -> Batch:
        """What the next commit will hold."""
        return self.pipeline.batch

    # -- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Join, take what is free and begin to serve. Raises `StoreOwnedError` if another process has a store that has
        one owner."""
        await self.ownership.join()
        await self.graphs.catalog.load()
        self.spawn(self.pipeline.run(), "commit pipeline")
        self.spawn(self.inbox.run(), "inbox")
        self.spawn(self.ownership.keep(), "lease")
        if self.store.shared:
            self.spawn(self.outbox.run(), "outbox")
            self.spawn(self.claimer.watch(), "what was claimed")
            self.spawn(self.claims.watch(), "claims of others")
            self.spawn(self.concurrency.watch(), "who shares limits of runs")

    async def stop(self) -> None:
        """Write what is decided and give the partitions back."""
        if self._stopped:
            return
        self._stopped = True
        if not self.failed.done():
            await self._write_rest()
        await self.graphs.work.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.timers.clear()
        self.residents.suspend()
        if not self.failed.done():
            self.failed.cancel()
        self._refuse_waiters(RPCError("the engine was stopped", RPCStatusCode.UNAVAILABLE))
        try:
            await self.concurrency.close()
            await self.store.release(self.ownership.owner)
        except StoreError as error:
            logger.warning("the partitions could not be given back, others take them in a while: %s", error)

    async def _write_rest(self) -> None:
        """Write what is decided, for as long as the store may take; what it can't take is decided anew next time."""
        self._flush()
        try:
            async with asyncio.timeout(LAST_WRITES):
                await self.claimer.close()
                await self.outbox.drain()
                for _ in range(3):
                    await self.pipeline.drain()
        except TimeoutError:
            logger.error("the store did not take the last decisions within %g s; they are made anew", LAST_WRITES)

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
        self.closed_runs.fail(error)
        self.updates.forget()
        self.queries.elsewhere.fail(error)
        self.graphs.refuse_waiters(error)
        for asking in list(self._asking):
            if not asking.done():
                asking.set_exception(error)
                asking.exception()

    # -- partitions come and go --------------------------------------------------------------------------------------

    def owns(self, workflow_id: str) -> bool:
        """Does what happens to this execution happen here?"""
        return self.ownership.owns(workflow_id)

    def hinted(self, hint: Hint) -> None:
        """Something may have happened elsewhere."""
        if hint.leases:
            self.ownership.poke()
        if not hint.partitions.isdisjoint(self.ownership.epochs):
            self.inbox.poke()
        self.claimer.hinted(hint.task_queues)
        self.graphs.hinted(hint)

    def gained(self, partitions: list[int]) -> None:
        """Executions of these partitions live here from now on."""
        self.inbox.extend()
        self.dispatch.offer_postponed()
        self.graphs.gained()
        if self._served:
            self.spawn(self.recovery.take_up(partitions), "take up partitions")

    def lose(self, partitions: int) -> None:
        """Others have taken partitions from us: what was decided and not recorded is void."""
        self.pipeline.abandon(
            LeaseLostError(
                f"{partitions} partitions have been taken over by others, who did not hear from this process"
            )
        )

    async def put_to_rest(self, partitions: list[int], seconds: float) -> list[int]:
        """Bring executions out of memory whose partitions are to move, for at most so many seconds; returns the
        partitions where nothing is under way any more."""
        moving = set(partitions)
        await self.graphs.share_limits()
        await self.concurrency.share()
        self.dispatch.hand_over(moving)
        self.turns.hand_over(moving)
        self.graphs.hand_over(moving)
        until = asyncio.get_running_loop().time() + seconds
        while not self.failed.done():
            await self.pipeline.flushed()
            busy = self.residents.awaited(moving)
            restless = set(moving) if busy else set()
            for resident in self.residents.of(moving):
                if self.eviction.let_go(resident):
                    self.graphs.leave(resident)
                    self.closed_runs.moved(resident.row.run_id)
                else:
                    restless.add(resident.row.partition)
            if not restless or asyncio.get_running_loop().time() > until:
                self.updates.forward()
                self.queries.elsewhere.forward()
                self.inbox.leave(moving - restless)
                self.closed_runs.left(moving - restless)
                self.graphs.left(moving - restless)
                self.concurrency.leave_partitions(moving - restless)
                return [partition for partition in partitions if partition not in restless]
            await asyncio.sleep(0.01)
        return []

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
        self.ownership.promote(Rank.WORKER)
        if workflows is not None:
            self.turns.add_host(task_queue, workflows)
            self.decisions.capacity += max_cached
            self.claimer.serve_workflows(task_queue)
            self.spawn(self.graphs.catalog.register_code(task_queue, workflows.types), "say which code is here")
        if activities_host is not None:
            self.dispatch.add_host(task_queue, activities_host)
            self.claimer.serve_activities(task_queue)
        self._take_up(max_cached)
        self.spawn(self.recovery.take_waiting(task_queue), f"waiting tasks of {task_queue}")

    def serve_graphs(self, host: GraphHost, max_cached: int) -> None:
        """A server of this process serves graphs from now on; `host` runs their scripts and system tasks."""
        self.ownership.promote(Rank.SERVER)
        self.graphs.serve(host)
        self._take_up(max_cached)

    def _take_up(self, max_cached: int) -> None:
        if self._served:
            self.residents.capacity += max_cached
            return
        self._served = True
        self.residents.capacity = max_cached
        self.spawn(self.recovery.watch_due(), "due executions")
        self.spawn(retain(self, self._retention), "retention")

    def leave(self, task_queue: str) -> None:
        """The worker takes no more tasks; what it runs goes on."""
        self.decisions.forget(self.turns.remove_host(task_queue))
        self.claimer.leave(task_queue)
        self.dispatch.remove_host(task_queue)

    # -- facts come in -----------------------------------------------------------------------------------------------

    def submit(
        self, message: msg.Message, *, new: bool = False, then: Callable[[msg.Answer], None] | None = None
    ) -> asyncio.Future[msg.Answer]:
        """A request of a client in this process. The answer comes when it is on record. `new`: the target's id was made
        just now, so there is nothing to look up. `then`: see `Origin`."""
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
        origin = Origin(future, then=then)
        workflow_id = message.target.workflow_id
        if not self.owns(workflow_id):
            self.ask_owner(message, origin)
        elif new and self.residents.online:
            self.handle(None, message, origin)
        else:
            self.residents.visit(workflow_id, lambda resident: self.arrive(resident, message, origin))
        return future

    def arrive(self, resident: Resident | None, message: msg.Message, origin: Origin) -> None:
        """A request has come to its execution, whose partition may have moved on the way."""
        if resident is not None or self.owns(message.target.workflow_id):
            self.handle(resident, message, origin)
        elif origin.future is not None:
            self.ask_owner(message, origin)
        # Else it is in the inbox still, for the new owner.

    def ask_owner(self, message: msg.Message, origin: Origin) -> None:
        """Another process owns the execution that a caller of this process asks something of."""

        async def ask() -> None:
            future = origin.future
            try:
                answer = await self._remote.ask(message)
            except StoreError as error:
                if future is not None and not future.done():
                    future.set_exception(error)
                return
            if origin.then is not None:
                origin.then(answer)
            if future is not None and not future.done():
                future.set_result(answer)

        self.spawn(ask(), "ask another engine")

    @property
    def asking(self) -> int:
        """How many requests wait for their answers."""
        return len(self._asking)

    def handle(self, resident: Resident | None, message: msg.Message, origin: Origin) -> None:
        """Do what is asked for. A request that makes a rule fail is refused, as long as it has not changed anything."""
        before = 0 if resident is None else resident.history_length
        try:
            answer = requests.handle(self, resident, message, origin)
        except Exception as error:
            after = 0 if resident is None else resident.history_length
            if before != after:
                raise
            extra = {"action": "request_failed", "workflow_id": message.target.workflow_id}
            logger.exception("a request for workflow %s failed", message.target.workflow_id, extra=extra)
            answer = msg.Refused(RPCStatusCode.INTERNAL, f"the request could not be carried out: {error!r}")
        if answer is not None:
            self.answer(origin, message, answer)

    def answer(self, origin: Origin, message: msg.Message, answer: msg.Answer) -> None:
        """Answer with the current batch, so not before all that the answer may rest on is on record."""
        future = origin.future
        if future is not None:
            self.batch.effects.append(lambda: None if future.done() else future.set_result(answer))
            self.batch.failed.append(lambda error: None if future.done() else future.set_exception(error))
        if origin.inbox is not None:
            self.batch.received.append(origin.inbox)
            if origin.reply_to is not None:
                self.batch.answers.append((origin.reply_to, msg.encode(answer), self.clock.now()))
        if origin.then is not None:
            origin.then(answer)
        self._answer_execution(message, answer)
        self.plan_flush()

    def _answer_execution(self, message: msg.Message, answer: msg.Answer) -> None:
        """If an execution asked, it is told in the same commit."""
        body = message.body
        refused = answer if isinstance(answer, msg.Refused) else None
        if isinstance(body, msg.Start | GraphStart) and body.parent is not None:
            asker, key = body.parent, body.parent.initiated_event_id
            if refused is not None:
                closed = refused.reason == "already_ended"
                exists = isinstance(body, msg.Start) and refused.status is RPCStatusCode.ALREADY_EXISTS
                cause = requests.CHILD_EXISTS if exists else refused.message
                news: msg.Body = msg.ChildStartFailed(key, cause, refused.run_id, closed)
            else:
                assert isinstance(answer, msg.Started)
                news = msg.ChildStarted(key, answer.run_id)
        elif isinstance(body, GraphRetry) and body.parent is not None and refused is not None:
            asker = body.parent
            news = msg.ChildStartFailed(asker.initiated_event_id, f"it can't be retried: {refused.message}")
        elif isinstance(body, msg.Signal) and body.external is not None:
            asker = body.external
            news = msg.SignalAnswered(asker.initiated_event_id, requests.cause_of(refused))
        elif isinstance(body, msg.Cancel) and body.external is not None:
            asker = body.external
            news = msg.CancelAnswered(asker.initiated_event_id, requests.cause_of(refused))
        else:
            return
        self.send(msg.Message(ev.ExecutionRef(asker.workflow_id, asker.run_id), news))

    def send(self, message: msg.Message) -> None:
        """Deliver within this batch if the target is at hand, else through the inbox. A message that is sent because
        another one arrives is delivered after that one has been dealt with: chains of executions are long."""
        self._outgoing.append(message)
        if self._sending:
            return
        self._sending = True
        try:
            while self._outgoing:
                self._deliver(self._outgoing.popleft())
        finally:
            self._sending = False

    def _deliver(self, message: msg.Message) -> None:
        workflow_id = message.target.workflow_id
        resident = self.residents.get(workflow_id)
        body = message.body
        fresh = isinstance(body, GraphStart) and not body.idempotency_key
        fresh |= isinstance(body, msg.Start) and body.request_id == workflow_id  # a graph calls durable code
        if resident is None and fresh and self.owns(workflow_id):
            # Its id was made for it just now, so there can't be another one of that id.
            self.handle(None, message, FROM_EXECUTION)
            started = self.residents.get(workflow_id)
            if started in self.ready:
                del self.ready[started]
                self.offspring[started] = None
                self._newborn.append(started)
        elif resident is None or self.inbox.awaits(workflow_id) or not self.owns(workflow_id):
            self.inbox.send(message)
            self.plan_flush()
        else:
            self.handle(resident, message, FROM_EXECUTION)

    def _reached(self, due: list[Wake]) -> None:
        for wake in due:
            self.residents.visit(wake.workflow_id, partial(self._reach, wake))

    def _reach(self, wake: Wake, resident: Resident | None) -> None:
        if resident is None or resident.row.run_id != wake.run_id:
            return
        if resident.execution is None:
            self.touch(resident)
            return
        if wake.kind:
            deadline = effects.Deadline(wake.at, effects.DeadlineKind(wake.kind), wake.key)
            deadlines.reach(resident.execution, deadline, self.clock.now())
        else:
            self.watch_deadlines(resident.execution)
        self.touch(resident)

    # -- decisions and their effects ---------------------------------------------------------------------------------

    def touch(self, resident: Resident) -> None:
        """Something happened to this execution: let it decide, and record it, in this turn of the loop."""
        self.ready[resident] = None
        self.plan_flush()

    def touch_later(self, resident: Resident) -> None:
        """As `touch`, after the next commit."""
        self._later.append(resident)

    def forget_touched(self) -> None:
        """The engine starts over from what the store knows."""
        self.ready.clear()
        self.offspring.clear()
        self._newborn.clear()
        self._offspring_rests = False
        self._outgoing.clear()
        self._later.clear()

    def settle(self, resident: Resident) -> None:
        """Let one execution decide now."""
        self.ready.pop(resident, None)
        self._advance(resident)

    def after_commit(self, resident: Resident, effect: Callable[[], None]) -> None:
        self.batch.effects.append(effect)
        self.touch(resident)

    def plan_flush(self) -> None:
        """See to it that what was touched is decided about in this turn of the loop."""
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
        until = perf_counter() + TURN
        while (resident := self._next_to_decide(until)) is not None:
            self._advance(resident)
        newborn, self._newborn = self._newborn, []
        for resident in newborn:
            if resident in self.offspring and resident.graph is not None:
                self.graphs.record(resident, resident.graph)
        if self.offspring and not self._offspring_rests:
            self._offspring_rests = True
            self.batch.effects.append(self._rest)

    def _rest(self) -> None:
        asyncio.get_running_loop().call_later(REST, self._go_on)

    def _go_on(self) -> None:
        self._offspring_rests = False
        self.plan_flush()

    def _next_to_decide(self, until: float) -> Resident | None:
        """Offspring alternates with all others, and waits when the time is up or the batch has become large. When the
        engine stops, it is left to the next one."""
        waiting = self.ready
        there_is_room = perf_counter() < until and len(self.batch.residents) < FULL
        may_come = there_is_room and not self._offspring_rests and not self._stopped
        if self.offspring and may_come and (self._offspring_next or not self.ready):
            waiting = self.offspring
        if not waiting:
            return None
        self._offspring_next = waiting is self.ready
        resident = next(iter(waiting))
        del waiting[resident]
        return resident

    def _advance(self, resident: Resident) -> None:
        execution = resident.execution
        if resident.graph is not None:
            self.graphs.advance(resident, resident.graph)
            return
        if execution is None:
            return
        self.turns.take(resident)
        if resident.parked:
            parking.tidy(self, resident)
        check_history(self, resident, execution)
        # The row first: a message that comes back within this batch must find a run closed that has just closed.
        close_row(resident, execution)
        self._sort_effects(resident, execution)
        self.concurrency.settle(resident)
        plan_wake(self, resident, execution)
        if execution.unwritten or execution.changed_notes or resident.row_changed:
            self.batch.add(resident)

    def _sort_effects(self, resident: Resident, execution: Execution) -> None:
        """Messages to other executions go into this batch; everything else waits for its commit."""
        later = self.batch.effects
        for effect in execution.take_effects():
            match effect:
                case effects.ActivityReady():
                    if not self.concurrency.admits(resident):
                        continue
                    if not self.dispatch.leave_to_others(resident, effect.scheduled_event_id):
                        later.append(partial(self.dispatch.offer, resident, effect.scheduled_event_id))
                case effects.Deadline():
                    self.watch(resident, effect)
                case effects.Send():
                    self.send(effect.message)
                case effects.ActivityCancelled():
                    later.append(
                        partial(
                            self.dispatch.cancel,
                            resident,
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
                    later.append(partial(self.closed_runs.closed, resident))

    def watch(self, resident: Resident, deadline: effects.Deadline) -> None:
        """Come back at `deadline`. Of an attempt that runs here the deadline is kept however far it is: the
        execution may leave memory meanwhile, with a stored wake-up that is only good for a restart."""
        row = resident.row
        horizon = self.clock.now() + HORIZON
        if deadline.kind is effects.DeadlineKind.ACTIVITY:
            assert isinstance(deadline.key, int)
            if self.dispatch.running_task(row.run_id, deadline.key) is not None:
                horizon = deadline.at + 1
        self.timers.add(row.workflow_id, row.run_id, deadline, horizon)

    def watch_deadlines(self, execution: Execution) -> None:
        now = self.clock.now()
        for deadline in list(execution.deadlines()):
            if deadline.at <= now:
                deadlines.reach(execution, deadline, now)
            else:
                execution.effects.append(deadline)

    # -- after the commit --------------------------------------------------------------------------------------------

    def _committed(self, batch: Batch) -> None:
        self.recovery.succeeded()
        self.inbox.removed(batch.received)
        self.graphs.committed(batch.residents)
        self._tell_observers(batch)
        if self._later:
            later, self._later = self._later, []
            for resident in later:
                self.touch(resident)
        if self.residents.excess > 0:
            self.eviction.trim()

    def _tell_observers(self, batch: Batch) -> None:
        for observer in self.observers:
            try:
                observer.committed(batch)
            except Exception:  # whoever only watches must not stop the engine
                logger.exception("%s failed", type(observer).__name__, extra={"action": "observer_failed"})

    async def patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Read, again and again while the store fails: a disk that fails for a while must not stop the engine."""
        while True:
            try:
                return await ask()
            except StoreFormatError:
                raise  # what is damaged stays so
            except StoreError as error:
                logger.warning("the store could not be read, which is tried again: %s", error)
                await asyncio.sleep(0.1)
