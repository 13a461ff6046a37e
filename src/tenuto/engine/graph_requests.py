"""Requests to graph executions: who handles which, and what they are answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tenuto.engine import graph_rows
from tenuto.engine.graph_rows import GRAPHS
from tenuto.engine.origin import Origin
from tenuto.engine.resident import Resident
from tenuto.graph.context import Context
from tenuto.graph.execution import GraphExecution
from tenuto.graph.limits import Place
from tenuto.graph.operations import (
    children,
    follow,
    jump,
    messages,
    pause,
    remove,
    rerun,
    reset_callbacks,
    restart,
    retry,
    revive,
    skip,
    start,
    terminate,
    update,
    upgrade,
    variables,
)
from tenuto.graph.refusal import Refusal
from tenuto.model import graph_messages as gm
from tenuto.model import messages as msg
from tenuto.model.errors import RPCStatusCode, StoreError
from tenuto.store.protocol import StoredExecution

if TYPE_CHECKING:
    from tenuto.engine.graphs import Graphs


#: Seconds between attempts to get a place from other servers: one that is free is perhaps just being given back.
PAUSES = (0.0, 0.02, 0.1)


def handle(graphs: Graphs, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer | None:
    """Do what `message` asks for. None if the answer comes later, because the execution has to be read first."""
    if isinstance(message.body, gm.GraphStart) and not _joins_existing(resident, message.body):
        return _start(graphs, resident, message, origin)
    if resident is None or resident.row.task_queue != GRAPHS or resident.removed:
        return _unknown(message)
    if resident.graph is not None:
        if isinstance(message.body, gm.GraphTake | gm.GraphQueueing):
            return _see_to_queue(graphs, resident, message)
        if isinstance(message.body, gm.GraphWorkDone):
            graphs.work.finished(message.body.number, message.body.result, resident)
            return msg.Done()
        return _operate(graphs, resident, resident.graph, message)

    def go_on(stored: StoredExecution | None) -> None:
        if stored is None or not stored.graph_events:
            graphs.engine.answer(origin, message, _unknown(message))
            return
        graph = graphs.reopen(resident, stored)
        graphs.engine.answer(origin, message, _operate(graphs, resident, graph, message))
        if graph.state.closed and not graph.unwritten and not resident.removed:
            resident.graph = None

    graphs.engine.closed_runs.read(resident.row, go_on)
    return None


def _joins_existing(resident: Resident | None, body: gm.GraphStart) -> bool:
    """Does a task want to wait for an execution that is there already?"""
    there = resident is not None and not resident.removed and resident.row.task_queue == GRAPHS
    return there and body.existing_is_fine and body.parent is not None


def _unknown(message: msg.Message) -> msg.Refused:
    return msg.Refused(RPCStatusCode.NOT_FOUND, f"there is no workflow with the id {message.target.workflow_id!r}")


def _start(
    graphs: Graphs, resident: Resident | None, message: msg.Message, origin: Origin, *, asked: bool = False
) -> msg.Answer | None:
    """`asked`: other servers have no place left for it."""
    body: gm.GraphStart = message.body  # type: ignore[assignment]
    workflow_id = message.target.workflow_id
    if resident is not None and not resident.removed:
        if body.existing_is_fine:
            return msg.Started(resident.row.run_id, resident.row.first_run_id)
        return msg.Refused(
            RPCStatusCode.ALREADY_EXISTS,
            f"there is a workflow with the id {workflow_id!r} already ({resident.row.status.name})",
            resident.row.run_id,
            "already_ended" if graph_rows.is_closed(resident.row) else "already_started",
        )
    graph = GraphExecution()
    start.start(graph, workflow_id, body, graphs.context(), queued=False)
    place = graphs.places.of(graph)
    if place is not None and not graphs.places.enter(place, workflow_id):
        if place.rejects:
            return _refuse(graphs, place, message, origin, asked)
        graph.change("queued", queued=True)
        graphs.places.wait(place, workflow_id)
    graphs.begin(graph)
    return msg.Started(workflow_id, workflow_id)


def _refuse(graphs: Graphs, place: Place, message: msg.Message, origin: Origin, asked: bool) -> msg.Answer | None:
    """There is no place here. If other servers may have some, that is found out first."""
    if asked or not graphs.shares_limits:
        return msg.Refused(
            RPCStatusCode.RESOURCE_EXHAUSTED,
            f"{place.limit} executions of {message.body.workflow_type} run already, "  # type: ignore[union-attr]
            "which is its limit (rateLimitConfig)",
        )
    engine = graphs.engine

    async def ask_others() -> None:
        with contextlib.suppress(StoreError):
            for pause in PAUSES:
                await asyncio.sleep(pause)
                if await graphs.places.permits.ask(place.key, place.limit):
                    break
        engine.residents.visit(message.target.workflow_id, start_again)

    def start_again(resident: Resident | None) -> None:
        if not engine.owns(message.target.workflow_id):
            if origin.inbox is None:
                engine.ask_owner(message, origin)
            return
        answer = _start(graphs, resident, message, origin, asked=True)
        if answer is not None:
            engine.answer(origin, message, answer)

    engine.spawn(ask_others(), "look for a free place")
    return None


def _operate(graphs: Graphs, resident: Resident, graph: GraphExecution, message: msg.Message) -> msg.Answer:
    if graph.state.archived:
        return _unknown(message)
    if _meant_for_another(graph, message):
        return _unknown(message)
    operation = _OPERATIONS.get(type(message.body))
    if operation is None:
        name = type(message.body).__name__.lower()
        return msg.Refused(
            RPCStatusCode.FAILED_PRECONDITION, f"workflow {resident.row.workflow_id} is a graph, which knows no {name}"
        )
    context = graphs.context()
    graph.now = context.now
    was_open = not graph.state.closed
    try:
        answer = operation(graph, context, message.body)
    except Refusal as refusal:
        return msg.Refused(refusal.status, str(refusal), reason=refusal.reason)
    if not was_open and not graph.state.closed:
        graphs.adopt(resident, graph)
    graphs.engine.ready.pop(resident, None)
    graphs.advance(resident, graph, context)
    return answer or msg.Done(resident.row.run_id)


def _see_to_queue(graphs: Graphs, resident: Resident, message: msg.Message) -> msg.Answer:
    """Requests that concern only who gets a task."""
    if resident in graphs.engine.ready:
        graphs.engine.settle(resident)  # it was just read, and its tasks are perhaps not in their queues yet
    graph, body = resident.graph, message.body
    if graph is None:
        return _unknown(message)
    if isinstance(body, gm.GraphQueueing):
        graphs.queue_or_withdraw(resident, graph, body)
        return msg.Done()
    assert isinstance(body, gm.GraphTake)
    if not body.wanted:
        graphs.queues.board.put_up_anew(graph.workflow_id, body.number)
        return msg.Done()
    taken = graphs.queues.take(resident, graph, body.number, body.worker_id)
    return taken or msg.Refused(RPCStatusCode.NOT_FOUND, f"task {body.number} is not to be had", reason="no_task")


def _meant_for_another(graph: GraphExecution, message: msg.Message) -> bool:
    """Is it for another run of this id, or for a child of somebody whose child this is not?"""
    body, run_id, parent = message.body, message.target.run_id, None
    if run_id not in (None, graph.state.started.run_id):
        return True
    if isinstance(body, msg.Terminate):
        parent = body.child_of
    elif isinstance(body, msg.Cancel | msg.Signal) and body.child_workflow_only:
        parent = body.external
    actual = graph.state.started.parent
    return parent is not None and (
        actual is None or (actual.workflow_id, actual.run_id) != (parent.workflow_id, parent.run_id)
    )


def _delete(execution: GraphExecution, context: Context, request: msg.Delete) -> None:
    pause.refuse_open(execution, "deleted")
    remove.remove(execution, context, gm.GraphRemove())


Operation = Callable[[GraphExecution, Context, Any], msg.Answer | None]
_OPERATIONS: dict[type[Any], Operation] = {
    gm.GraphStart: follow.follow,
    gm.TaskUpdate: update.update,
    gm.GraphPause: pause.pause,
    gm.GraphResume: pause.resume,
    gm.GraphTerminate: terminate.terminate,
    msg.Terminate: terminate.terminate_code,
    msg.Cancel: terminate.cancel_code,
    msg.Pause: pause.pause,
    msg.Unpause: pause.resume,
    msg.Delete: _delete,
    gm.GraphRetry: retry.retry,
    gm.GraphRestart: restart.restart,
    gm.GraphUpgrade: upgrade.upgrade,
    gm.GraphRerun: rerun.rerun,
    gm.GraphSkip: skip.skip,
    gm.GraphSetVariables: variables.set_variables,
    gm.GraphResetCallbacks: reset_callbacks.reset_callbacks,
    gm.GraphDecide: lambda execution, context, request: None,
    gm.GraphPush: messages.push,
    gm.GraphJump: jump.jump,
    gm.GraphRemove: remove.remove,
    gm.ChildRevived: revive.child_revived,
    msg.ChildStarted: children.child_started,
    msg.ChildStartFailed: children.child_not_started,
    msg.ChildClosed: children.child_closed,
}
