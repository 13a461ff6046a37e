"""Graph executions in the engine: they live in the same residents, batches, timers and inbox as durable code; what
differs is who decides (`tenuto.graph.decider`) and who does the work (workers that poll, and a host for what the
engine's process runs itself)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence, Set
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

from tenuto.engine import graph_rows
from tenuto.engine.catalog import Catalog
from tenuto.engine.graph_host import GraphHost, NoHost
from tenuto.engine.graph_reader import GraphReader
from tenuto.engine.graph_requests import handle
from tenuto.engine.graph_work import GraphWork
from tenuto.engine.origin import Origin
from tenuto.engine.places import Places
from tenuto.engine.resident import Resident
from tenuto.engine.task_entries import SEPARATOR, Poller, Render
from tenuto.engine.task_queues import TaskQueues
from tenuto.engine.timers import HORIZON, Wake
from tenuto.graph import closing, decider, effects, timeouts
from tenuto.graph.context import Context
from tenuto.graph.decision import Decision
from tenuto.graph.execution import GraphExecution
from tenuto.model import messages as msg
from tenuto.model.errors import RPCError, RPCStatusCode, StoreError
from tenuto.model.events import ExecutionRef
from tenuto.model.graph_messages import GraphQueueing, TaskUpdate, TaskUpdated
from tenuto.store.protocol import PARTITIONS, Claim, Document, Hint, StoredExecution, partition_of

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

logger = logging.getLogger("tenuto.graph")

T = TypeVar("T")

#: How many ids are made for one that lives here.
TRIES = 40
#: Seconds between two looks at what other servers do.
LOOK = 1.0
#: Seconds for which limits are still shared when a server is alone again: until what is out has been counted.
COUNTED = 30.0


class Graphs:
    """What the engine knows and does about graphs."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.catalog = Catalog(engine)
        self.host: GraphHost = NoHost()
        #: Is there a server in this process? Without one, what happens to graphs is recorded, and a server decides.
        self.served = False
        self.queues = TaskQueues(self)
        self.places = Places(self, lambda: self.shares_limits, self.queues.peers.is_alive)
        self.work = GraphWork(self)
        self._random = Random()
        self._waiting: set[asyncio.Future[Any]] = set()
        self._watchers: dict[str, list[Callable[[], None]]] = {}
        self._reader = GraphReader(engine)
        self._shares_until = float("-inf")
        #: Called when more partitions, or some that were about to leave, are ours.
        self.moved: list[Callable[[], None]] = []

    def serve(self, host: GraphHost) -> None:
        """A server of this process runs scripts and system tasks from now on, so graphs are decided here."""
        self.host = host
        if not self.served:
            self.engine.spawn(self.keep_up(), "other servers")
        self.served = True
        for resident in self.engine.residents.oldest(len(self.engine.residents)):
            if resident.graph is not None:
                self.engine.touch(resident)

    def is_system(self, task_type: str) -> bool:
        return task_type in self.host.types

    def context(self) -> Context:
        """What a decision made now is given."""
        return Context(
            self.engine.clock.now(),
            self.engine.new_run_id,
            self._random.random,
            self.catalog,
            self.host.types,
            self.queues.route,
            self.new_workflow_id,
        )

    def new_workflow_id(self) -> str:
        """A new id for an execution: one that lives here, if chance allows, since what is near needs no inbox."""
        workflow_id = self.engine.new_run_id()
        if len(self.engine.ownership.epochs) < PARTITIONS:
            for _ in range(TRIES):
                if self.engine.owns(workflow_id):
                    break
                workflow_id = self.engine.new_run_id()
        return workflow_id

    # -- deciding ----------------------------------------------------------------------------------------------------

    def begin(self, graph: GraphExecution) -> Resident:
        """A new execution comes into being; it is recorded with the current batch."""
        resident = Resident(graph_rows.new_row(graph.state.started), None)
        resident.graph = graph
        resident.is_new = True
        self.engine.residents.put(resident)
        self.engine.touch(resident)
        return resident

    def advance(self, resident: Resident, graph: GraphExecution, context: Context | None = None) -> None:
        """Let the execution decide, and put what came of it into the batch."""
        if self.served and not resident.removed:
            self._decide(resident, graph, context or self.context())
            self._check_size(resident, graph)
        self.record(resident, graph)

    def record(self, resident: Resident, graph: GraphExecution) -> None:
        """Put what happened to the execution into the batch; there is nothing to decide about it."""
        graph_rows.update_row(self, resident, graph)
        self._sort_effects(resident, graph)
        self.watch(resident, graph)
        if graph.unwritten or resident.row_changed or resident.removed:
            self.engine.batch.add(resident)
            self.engine.plan_flush()

    def _decide(self, resident: Resident, graph: GraphExecution, context: Context) -> None:
        try:
            decider.decide(graph, context)
        except Exception as error:  # a fault of the rules in one execution must not stop all others
            extra = {"action": "decision_failed", "workflow_id": resident.row.workflow_id}
            logger.exception("workflow %s could not be decided", resident.row.workflow_id, extra=extra)
            if not graph.state.closed:
                reason = f"Tenuto could not decide what comes next, which is a fault of its own: {error!r}"
                closing.close(Decision(graph, context), "FAILED", reason)

    def _check_size(self, resident: Resident, graph: GraphExecution) -> None:
        """End an execution whose history has outgrown the limits."""
        limits, state = self.engine.limits, graph.state
        if state.closed or not (
            state.last_event_id > limits.history_events or graph.history_size > limits.history_size
        ):
            return
        reason = (
            f"the history has {state.last_event_id:,} events and {graph.history_size:,} bytes; the limits are "
            f"{limits.history_events:,} and {limits.history_size:,}. Split the work into sub-workflows"
        )
        extra = {"action": "history_too_long", "workflow_id": resident.row.workflow_id}
        logger.error("workflow %s is terminated: %s", resident.row.workflow_id, reason, extra=extra)
        closing.close(Decision(graph, self.context()), "TERMINATED", reason)

    def _sort_effects(self, resident: Resident, graph: GraphExecution) -> None:
        later = self.engine.batch.effects
        for effect in graph.take_effects():
            match effect:
                case effects.Offer():
                    task = graph.state.tasks.get(effect.number)
                    if task is not None and task.status == "SCHEDULED":
                        definition = graph.task_def(task)
                        self.queues.offer(resident, task, definition, graph.state.started.priority)
                case effects.Retract():
                    task = graph.state.tasks.get(effect.number)
                    if task is not None:
                        self.queues.retract(task)
                        self.work.stop(resident, task)
                case effects.RunSystemTask():
                    later.append(partial(self.work.run, resident.row.workflow_id, effect.number))
                case effects.Evaluate():
                    self.work.evaluate(graph, effect)
                case effects.LookUp():
                    self.engine.spawn(self._look_up(resident.row.workflow_id, effect.name), "look for a definition")
                case effects.Send():
                    self.engine.send(effect.message)
                case effects.Closed():
                    self.places.leave(graph)
                    later.append(partial(self._closed, resident, graph))
                case effects.Removed():
                    resident.removed = True

    async def _look_up(self, workflow_id: str, name: str) -> None:
        await self.catalog.look_up(name)
        self.engine.residents.visit(workflow_id, self._touch)

    def _touch(self, resident: Resident | None) -> None:
        if resident is not None:
            self.engine.touch(resident)

    def _closed(self, resident: Resident, graph: GraphExecution) -> None:
        """The end is on record: only the row is kept, unless the execution was revived meanwhile."""
        if resident.graph is not graph or not graph.state.closed:
            return
        if graph.unwritten:  # more has happened since; those who wait are told once that is on record, too
            self.engine.batch.effects.append(partial(self._closed, resident, graph))
            self.engine.touch(resident)
            return
        self.engine.closed_runs.graph_closed(resident)

    def watch(self, resident: Resident, graph: GraphExecution) -> None:
        """Come back at the next deadline, if it is near."""
        if not self.served:
            return
        if graph.unfinished:
            self.engine.touch_later(resident)
            return
        now = self.engine.clock.now()
        at = timeouts.next_deadline(graph, now)
        if at is not None and at < now + HORIZON:
            self.engine.timers.push(Wake(at, resident.row.workflow_id, resident.row.run_id))

    def adopt(self, resident: Resident, graph: GraphExecution) -> None:
        """An execution came into memory: what counts in it is counted, what is pending is seen to."""
        for task in graph.state.open.values():
            if task.status == "IN_PROGRESS":
                self.queues.adopt(task, graph.task_def(task), graph.workflow_id)
        self.places.adopt(graph)
        self.engine.touch(resident)

    def leave(self, resident: Resident) -> None:
        """An execution has moved elsewhere: nothing of it is to be handed out or counted here."""
        if resident.graph is not None:
            for task in resident.graph.state.open.values():
                self.queues.forget(task)
            self.places.leave(resident.graph)

    # -- requests ----------------------------------------------------------------------------------------------------

    def handle(self, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer | None:
        """Do what a message asks for; one about an execution that has ended may have to read it first."""
        return handle(self, resident, message, origin)

    async def update_and_poll(
        self,
        workflow_id: str,
        update: TaskUpdate,
        worker_id: str,
        render: Render,
    ) -> tuple[msg.Answer, list[bytes]]:
        """Take an update in and, if it ended its task, hand out the next one of the same type and domain: both with one
        commit. Returns the answer to the update, and what `render` made of the next task, if there is one."""
        pollers: list[Poller] = []

        def poll(answer: msg.Answer) -> None:
            if isinstance(answer, TaskUpdated) and answer.ended and not answer.ignored:
                kind, domain = answer.task_type, answer.domain
                pollers.append(self.queues.poll(kind, domain, worker_id, 1, 0, render, elsewhere=False))

        answer = await self.engine.submit(msg.Message(ExecutionRef(workflow_id), update), then=poll)
        return answer, await pollers[0].future if pollers else []

    def queue_or_withdraw(self, resident: Resident, graph: GraphExecution, request: GraphQueueing) -> None:
        """Put a worker's task into its queue, or take it out."""
        for task in graph.state.open.values():
            if task.task_id != request.task_id or task.status != "SCHEDULED":
                continue
            if request.withdraw:
                self.queues.retract(task)
            elif task.kind == "SIMPLE" and task.available_at <= self.engine.clock.now():
                self.queues.offer(resident, task, graph.task_def(task), graph.state.started.priority)

    def write(self, documents: Sequence[Document], deleted: Sequence[tuple[str, str]] = ()) -> asyncio.Future[None]:
        """Write documents with the current batch, and delete others: (collection, key) pairs."""
        future: asyncio.Future[None] = self.future()
        self.engine.batch.documents += documents
        self.engine.batch.deleted_documents += deleted
        self.after_commit(future, None)
        return future

    def future(self) -> asyncio.Future[Any]:
        """A future that gets an error if the engine stops before. Raises RPCError (UNAVAILABLE) if it has already."""
        if self.engine.failed.done():
            raise RPCError("the engine has stopped", RPCStatusCode.UNAVAILABLE)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        return future

    def refuse_waiters(self, error: BaseException) -> None:
        """The engine has stopped: nobody gets an answer any more."""
        for future in list(self._waiting):
            if not future.done():
                future.set_exception(error)
                future.exception()

    def after_commit(self, future: asyncio.Future[T], value: T) -> None:
        """Resolve `future` once all that has happened up to now is on record."""
        batch = self.engine.batch
        batch.effects.append(lambda: None if future.done() else future.set_result(value))
        batch.failed.append(lambda error: None if future.done() else future.set_exception(error))
        self.engine.plan_flush()

    def recorded(self) -> asyncio.Future[None]:
        """Done when all that has happened up to now is on record, so that searches find it."""
        return self.write([])

    def look(self, workflow_id: str, render: Callable[[GraphExecution], T]) -> asyncio.Future[T | None]:
        """What `render` makes of an execution, open or closed; None if there is none. What it shows is on record."""
        future: asyncio.Future[T | None] = self.future()

        def shown(graph: GraphExecution) -> T | None:
            return None if graph.state.archived else render(graph)

        def seen(resident: Resident | None) -> None:
            if resident is None and not self.engine.owns(workflow_id):
                self._reader.read(workflow_id, read)
            elif resident is None or resident.row.task_queue != graph_rows.GRAPHS or resident.removed:
                self.after_commit(future, None)
            elif resident.graph is not None:
                self.after_commit(future, shown(resident.graph))
            else:
                self.engine.closed_runs.read(resident.row, read)

        def read(stored: StoredExecution | None) -> None:
            if future.done():
                return
            try:
                known = stored is not None and stored.graph_events
                future.set_result(shown(restore(stored)) if known else None)  # type: ignore[arg-type]
            except Exception as error:  # noqa: BLE001 - whoever asked is told; nobody else is concerned
                future.set_exception(error)

        self.engine.residents.visit(workflow_id, seen)
        return future

    async def load(self, workflow_ids: list[str]) -> list[GraphExecution | None]:
        """Executions as the store has them, for reading only; without what is archived."""
        refs = [ExecutionRef(workflow_id) for workflow_id in workflow_ids]
        found = await self.engine.store.load(refs, closed_history=True)
        graphs = [None if stored is None or not stored.graph_events else restore(stored) for stored in found]
        return [None if graph is None or graph.state.archived else graph for graph in graphs]

    def reopen(self, resident: Resident, stored: StoredExecution) -> GraphExecution:
        """An execution that has ended is asked to do something: it comes back into memory."""
        if resident.graph is None:
            resident.graph = restore(stored)
            self.engine.residents.put(resident)
        return resident.graph

    # -- watching ----------------------------------------------------------------------------------------------------

    def subscribe(self, workflow_id: str, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed` after every commit of ours that holds something of an execution, when the execution leaves us,
        and, while others own it, whenever runs may have closed. Returns how to stop that."""
        watchers = self._watchers.setdefault(workflow_id, [])
        watchers.append(changed)

        def stop() -> None:
            watchers.remove(changed)
            if not watchers and self._watchers.get(workflow_id) is watchers:
                del self._watchers[workflow_id]

        return stop

    def committed(self, residents: dict[Resident, None]) -> None:
        """These executions have been written."""
        if not self._watchers:
            return
        for resident in residents:
            for changed in list(self._watchers.get(resident.row.workflow_id, ())):
                changed()

    def hinted(self, hint: Hint) -> None:
        """Something may have happened elsewhere."""
        if hint.closed:
            self._look_again(lambda workflow_id: not self.engine.owns(workflow_id))
        if hint.task_queues:
            self.queues.seeker.hinted(hint.task_queues)

    def _look_again(self, concerns: Callable[[str], bool]) -> None:
        """Whoever watches such an execution has to look itself."""
        for workflow_id in [workflow_id for workflow_id in self._watchers if concerns(workflow_id)]:
            for changed in list(self._watchers.get(workflow_id, ())):
                changed()

    # -- partitions come and go --------------------------------------------------------------------------------------

    def left(self, partitions: Set[int]) -> None:
        """These partitions are no longer ours."""
        self.queues.leave_partitions(partitions)
        self.places.leave_partitions(partitions)
        self.work.left(partitions)
        self._look_again(lambda workflow_id: partition_of(workflow_id) in partitions)

    @property
    def shares_limits(self) -> bool:
        """Are there other servers, or were there a moment ago, with which limits are shared?"""
        return self.queues.board.active or asyncio.get_running_loop().time() < self._shares_until

    async def share_limits(self) -> None:
        """Other servers are there, or about to come: what counts for limits goes on record."""
        now = asyncio.get_running_loop().time()
        begins = self._shares_until < now
        self._shares_until = now + COUNTED
        if begins:
            await self.queues.limits.share()
            await self.places.permits.settle()

    def claimed(self, claim: Claim) -> None:
        """Another process is at a task of ours, or has gone that was."""
        if claim.lost:
            self.work.lost(claim.task)
        task_type, _, _ = claim.task.task_queue.partition(SEPARATOR)
        self.queues.board.claimed(claim, runs=self.is_system(task_type))

    def hand_over(self, partitions: Set[int]) -> None:
        """Executions of these partitions are about to move."""
        self.work.hand_over(partitions)

    def gained(self) -> None:
        """There are more partitions, or some that were about to leave have stayed."""
        self.queues.gained()
        self.work.gained()
        for moved in self.moved:
            moved()

    async def keep_up(self) -> None:
        """Follow what other servers do, for ever."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                if self.queues.board.active:
                    await self.share_limits()
                await self.queues.look()
                await self.catalog.look()
            except StoreError as error:
                logger.warning("what other servers do can't be seen, which is tried again: %s", error)

    def start_over(self) -> None:
        """A commit failed, or partitions were lost; everything is read again."""
        self._look_again(lambda workflow_id: True)
        self.queues.clear()
        self.places.clear()
        self.work.start_over()


def restore(stored: StoredExecution) -> GraphExecution:
    """The execution as the store knows it."""
    return GraphExecution.restore(stored.graph_events, stored.history_size)
