"""Requests: what clients and other executions ask of an execution, one function a kind.

Each returns its answer, or None when the answer comes later (an update that is not accepted yet, a query that has to
wait for the code).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_args

from tenuto.engine import parking
from tenuto.engine.graph_rows import GRAPHS
from tenuto.engine.graph_starts import is_name_settled, start_by_name
from tenuto.engine.origin import FROM_EXECUTION, Origin
from tenuto.engine.refusals import no_worker
from tenuto.engine.resident import Resident
from tenuto.engine.rows import close_row
from tenuto.history import activities, closing, inbound, pausing
from tenuto.history.execution import Execution
from tenuto.history.state import nanoseconds
from tenuto.model import events as ev
from tenuto.model import messages as msg
from tenuto.model.errors import RPCStatusCode
from tenuto.model.graph_messages import GraphBody
from tenuto.model.payloads import Payload, size_of
from tenuto.model.policies import ExecutionStatus, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from tenuto.model.task_messages import AttemptAlive, AttemptEnded, DecisionMade, TaskReturned
from tenuto.store.protocol import PAUSED, ExecutionRow, partition_of

if TYPE_CHECKING:
    from tenuto.engine.engine import Engine

CHILD_EXISTS = "WORKFLOW_ALREADY_EXISTS"
NOT_FOUND = "EXTERNAL_WORKFLOW_EXECUTION_NOT_FOUND"


def handle(engine: Engine, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer | None:
    """Do what `message` asks for."""
    body = message.body
    is_graph = resident is not None and resident.row.task_queue == GRAPHS
    if type(body) in _GRAPH_BODIES or (is_graph and not isinstance(body, msg.Start)):
        return engine.graphs.handle(resident, message, origin)
    if isinstance(body, msg.Start):
        if not is_name_settled(engine, body):
            _start_once_settled(engine, message, origin)
            return None
        as_graph = start_by_name(engine, body)
        if isinstance(as_graph, msg.Refused):
            return as_graph
        if as_graph is not None:
            return engine.graphs.handle(resident, msg.Message(message.target, as_graph, message.reply_to), origin)
    return _HANDLERS[type(message.body)](engine, resident, message, origin)


def _start_once_settled(engine: Engine, message: msg.Message, origin: Origin) -> None:
    """See first whether another server has a graph of that name. Other messages to the execution wait meanwhile."""
    if origin == FROM_EXECUTION:
        engine.inbox.send(message)  # on record with what sends it, for it has to outlive this process now
        engine.plan_flush()
        return
    workflow_id, generation = message.target.workflow_id, engine.inbox.generation

    def again(resident: Resident | None) -> None:
        if origin.inbox is not None and generation != engine.inbox.generation:
            return  # it has been read again since
        engine.arrive(resident, message, origin)

    async def look_up() -> None:
        await engine.graphs.catalog.look_up(message.body.workflow_type)  # type: ignore[union-attr]
        engine.residents.interrupt(workflow_id, again)

    engine.residents.hold(workflow_id)
    engine.spawn(look_up(), "look for a definition")


def cause_of(refused: msg.Refused | None) -> str:
    """What an execution is told of the refusal of its message; nothing if it was carried out."""
    if refused is None:
        return ""
    return NOT_FOUND if refused.status is RPCStatusCode.NOT_FOUND else refused.message


def _start(engine: Engine, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer:
    body: msg.Start = message.body  # type: ignore[assignment]
    refusal = _check_start(engine, message.target.workflow_id, body)
    if refusal is not None:
        return refusal
    if resident is not None:
        _see_whether_closed(resident)
        if body.request_id == resident.row.request_id:
            # Runs that continued or retried the first one carry its request id on.
            return msg.Started(resident.row.first_run_id, resident.row.first_run_id)
        if resident.closed:
            refusal = _check_reuse(resident, body)
            if refusal is not None:
                return refusal
        else:
            answer = _meet_running(engine, resident, body)
            if answer is not None:
                return answer
    return _begin(engine, message.target.workflow_id, body)


def _meet_running(engine: Engine, resident: Resident, body: msg.Start) -> msg.Answer | None:
    """The workflow id is in use. None if the start goes ahead after all."""
    execution = _open(resident)
    running = msg.Started(resident.row.run_id, resident.row.first_run_id)
    if (
        body.conflict_policy is WorkflowIDConflictPolicy.TERMINATE_EXISTING
        or body.reuse_policy is WorkflowIDReusePolicy.TERMINATE_IF_RUNNING
    ):
        reason = "a new run of this workflow id was started in its place"
        closing.terminate(execution, reason, [], body.identity, engine.clock.now())
        engine.settle(resident)
        return None
    if body.signal is not None:
        refused = inbound.signal(execution, body.signal, engine.clock.now())
        engine.touch(resident)
        return refused or running
    if body.conflict_policy is WorkflowIDConflictPolicy.USE_EXISTING:
        return running
    return msg.Refused(
        RPCStatusCode.ALREADY_EXISTS,
        f"workflow {resident.row.workflow_id!r} is running (run {resident.row.run_id})",
        resident.row.run_id,
        "already_started",
    )


def _check_reuse(resident: Resident, body: msg.Start) -> msg.Refused | None:
    row = resident.row
    policy = body.reuse_policy
    if policy is WorkflowIDReusePolicy.REJECT_DUPLICATE:
        why = "the reuse policy REJECT_DUPLICATE allows no second run"
    elif policy is WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY and row.status is ExecutionStatus.COMPLETED:
        why = "the reuse policy ALLOW_DUPLICATE_FAILED_ONLY allows no second run after a success"
    else:
        return None
    return msg.Refused(
        RPCStatusCode.ALREADY_EXISTS,
        f"workflow {row.workflow_id!r} was run before (run {row.run_id}, {row.status.name}), and {why}",
        row.run_id,
        "already_started",
    )


def _check_start(engine: Engine, workflow_id: str, body: msg.Start) -> msg.Refused | None:
    limit = engine.limits.name_length
    for name, value in (
        ("workflow id", workflow_id),
        ("workflow type", body.workflow_type),
        ("task queue", body.task_queue),
    ):
        if not value or len(value) > limit:
            return _invalid(f"a {name} must have 1 to {limit} characters, not {len(value)}")
    return _too_large(engine, body.input, "the arguments") or _too_large(engine, list(body.memo.values()), "the memo")


def _too_large(engine: Engine, payloads: list[Payload], what: str) -> msg.Refused | None:
    size, limit = size_of(payloads), engine.limits.payload_size
    if size <= limit:
        return None
    return _invalid(
        f"{what} take {size:,} bytes; at most {limit:,} are kept. Store large values elsewhere and pass a reference"
    )


def _invalid(message: str) -> msg.Refused:
    return msg.Refused(RPCStatusCode.INVALID_ARGUMENT, message)


def _begin(engine: Engine, workflow_id: str, body: msg.Start) -> msg.Answer:
    now, run_id = engine.clock.now(), engine.new_run_id()
    expiration = None
    if body.execution_timeout is not None:
        expiration = now + nanoseconds(body.execution_timeout)
    started = ev.WorkflowExecutionStarted(
        1,
        now,
        workflow_id,
        run_id,
        body.workflow_type,
        body.task_queue,
        body.input,
        execution_timeout=body.execution_timeout,
        run_timeout=body.run_timeout,
        task_timeout=body.task_timeout,
        execution_expiration_time=expiration,
        retry=body.retry,
        first_execution_run_id=run_id,
        original_run_id=run_id,
        parent=body.parent,
        root=body.root,
        memo=body.memo,
        first_workflow_task_backoff=body.start_delay,
        identity=body.identity,
        request_id=body.request_id,
        concurrency=body.concurrency,
    )
    begin_run(engine, started, body.signal)
    return msg.Started(run_id, run_id)


def begin_run(engine: Engine, started: ev.WorkflowExecutionStarted, signal: msg.Signal | None = None) -> None:
    """Bring a new run into being; it is recorded with the current batch."""
    execution = Execution(engine.limits, engine.new_run_id)
    row = ExecutionRow(
        partition=partition_of(started.workflow_id),
        workflow_id=started.workflow_id,
        run_id=started.run_id,
        first_run_id=started.first_execution_run_id,
        workflow_type=started.workflow_type,
        task_queue=started.task_queue,
        start_time=started.time,
        parent_workflow_id=started.parent.workflow_id if started.parent else None,
        parent_run_id=started.parent.run_id if started.parent else None,
        memo=ev.encode_memo(started.memo) if started.memo else b"",
        request_id=started.request_id,
    )
    resident = Resident(row, execution)
    resident.is_new = True
    engine.residents.put(resident)
    inbound.begin(execution, started, signal)
    engine.touch(resident)


def _signal(engine: Engine, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer:
    body: msg.Signal = message.body  # type: ignore[assignment]
    refusal = _find(resident, message) or _check_child(resident, body.external if body.child_workflow_only else None)
    refusal = refusal or _too_large(engine, body.input, "the signal's arguments")
    if refusal is not None:
        return refusal
    assert resident is not None
    refused = inbound.signal(_open(resident), body, engine.clock.now())
    engine.touch(resident)
    return refused or msg.Done(resident.row.run_id)


def _cancel(engine: Engine, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer:
    body: msg.Cancel = message.body  # type: ignore[assignment]
    refusal = _find(resident, message, body.first_execution_run_id)
    refusal = refusal or _check_child(resident, body.external if body.child_workflow_only else None)
    if refusal is not None:
        return refusal
    assert resident is not None
    inbound.request_cancel(_open(resident), body, engine.clock.now())
    engine.touch(resident)
    return msg.Done(resident.row.run_id)


def _terminate(engine: Engine, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer:
    body: msg.Terminate = message.body  # type: ignore[assignment]
    refusal = _find(resident, message, body.first_execution_run_id) or _check_child(resident, body.child_of)
    if refusal is not None:
        return refusal
    assert resident is not None
    closing.terminate(_open(resident), body.reason, body.details, body.identity, engine.clock.now())
    engine.touch(resident)
    return msg.Done(resident.row.run_id)


def _pause(engine: Engine, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer:
    body: msg.Pause = message.body  # type: ignore[assignment]
    refusal = _find(resident, message)
    if refusal is not None:
        return refusal
    assert resident is not None
    execution, row = _open(resident), resident.row
    pausing.pause(execution, body, engine.clock.now())
    for scheduled_event_id, activity in execution.state.activities.items():
        if activity.note.started_time is not None:
            # Who looks at a paused run wants to know whether something of it still runs.
            engine.dispatch.settle(resident, scheduled_event_id)
    row.problem = f"{PAUSED}: {body.reason}" if body.reason else PAUSED
    resident.row_changed = True
    engine.touch(resident)
    return msg.Done(row.run_id)


def _unpause(engine: Engine, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer:
    body: msg.Unpause = message.body  # type: ignore[assignment]
    refusal = _find(resident, message)
    if refusal is not None:
        return refusal
    assert resident is not None
    if _open(resident).state.paused:
        pausing.unpause(_open(resident), body, engine.clock.now())
        resident.row.problem = None
        resident.row_changed = True
        engine.touch(resident)
    return msg.Done(resident.row.run_id)


def _delete(engine: Engine, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer | None:
    run_id = message.target.run_id
    if resident is None or run_id is None or resident.removed:
        return _gone(message)
    if run_id != resident.row.run_id:  # an older run of the id, which has ended
        engine.batch.removed.append((resident.row.partition, run_id))
        return msg.Done(run_id)
    _see_whether_closed(resident)
    if not resident.closed:
        return msg.Refused(
            RPCStatusCode.FAILED_PRECONDITION,
            f"workflow {resident.row.workflow_id!r} has not ended and can't be deleted; terminate it first",
        )
    if resident.execution is not None or not resident.clean:
        engine.eviction.when_clean(resident, lambda again: engine.arrive(again, message, origin), origin)
        return None
    resident.removed = True
    engine.batch.removed.append((resident.row.partition, run_id))
    engine.batch.effects.append(lambda: engine.residents.evict(resident))
    return msg.Done(run_id)


def _update(engine: Engine, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer | None:
    body: msg.Update = message.body  # type: ignore[assignment]
    if resident is not None and resident.closed:
        # A closed run still answers for the updates that it accepted.
        engine.closed_runs.consult(resident.row, lambda closed: _repeat(engine, closed, message, origin))
        return None
    refusal = _find(resident, message) or _too_large(engine, body.input, "the update's arguments")
    if refusal is not None:
        return refusal
    assert resident is not None
    answer = inbound.admit_update(_open(resident), body)
    if answer is None:
        if not engine.turns.serves(resident.row.task_queue):
            if not engine.store.shared:
                _open(resident).updates_admitted.pop(body.update_id, None)
                return no_worker(resident.row)
            engine.updates.expect_worker(resident.row, body.update_id)
        engine.updates.wait_accepted(resident.row, body.update_id, origin)
        engine.touch(resident)
    return answer


def _repeat(engine: Engine, closed: Execution | None, message: msg.Message, origin: Origin) -> None:
    body: msg.Update = message.body  # type: ignore[assignment]
    if closed is not None and body.update_id in closed.state.updates:
        engine.answer(origin, message, msg.Accepted(closed.run_id))
    else:
        engine.answer(origin, message, _gone(message))


def _poll_update(engine: Engine, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer | None:
    body: msg.PollUpdate = message.body  # type: ignore[assignment]
    if resident is None:
        return _gone(message)
    if resident.execution is None or message.target.run_id not in (None, resident.row.run_id):
        row = engine.closed_runs.row_of(resident, message.target.run_id)

        def tell(closed: Execution | None) -> None:
            answer = None if closed is None else inbound.update_outcome(closed, body.update_id)
            engine.answer(origin, message, answer or _gone(message))

        engine.closed_runs.consult(row, tell)
        return None
    answer = inbound.update_outcome(resident.execution, body.update_id)
    if answer is None:
        engine.updates.wait_completed(resident.row, body.update_id, origin)
        return None
    # The outcome may belong to the batch that is being gathered; the answer is then released with it.
    engine.touch(resident)
    return answer


def _query(engine: Engine, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer | None:
    if resident is None:
        return msg.Refused(RPCStatusCode.NOT_FOUND, f"there is no workflow {message.target.workflow_id!r}")
    return engine.queries.ask(resident, message, origin)


def _answer_of_other(engine: Engine, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer:
    run_id = message.target.run_id
    if resident is not None and resident.execution is not None and resident.row.run_id == run_id:
        inbound.take_answer(resident.execution, message.body, engine.clock.now())  # type: ignore[arg-type]
        engine.touch(resident)
    return msg.Done()


def _attempt_alive(engine: Engine, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer:
    body: AttemptAlive = message.body  # type: ignore[assignment]
    execution = _run_of(resident, message)
    if resident is not None and execution is not None:
        key, now = body.scheduled_event_id, engine.clock.now()
        if activities.note_start(execution, key, body.attempt, min(body.started_time, now)):
            activities.record_heartbeat(execution, key, body.attempt, body.details, now)
            engine.dispatch.settle(resident, key)
    return msg.Done()


def _attempt_ended(engine: Engine, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer:
    """Of an attempt that ran in another process. One that isn't the current one is late and changes nothing."""
    body: AttemptEnded = message.body  # type: ignore[assignment]
    execution = _run_of(resident, message)
    if resident is not None and execution is not None:
        key, now = body.scheduled_event_id, engine.clock.now()
        if activities.note_start(execution, key, body.attempt, min(body.started_time, now)):
            if body.details is not None:
                activities.record_heartbeat(execution, key, body.attempt, body.details, now)
            activities.finish_attempt(execution, key, body.attempt, body.outcome, now, body.identity)
            engine.touch(resident)
    return msg.Done()


def _task_returned(engine: Engine, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer:
    body: TaskReturned = message.body  # type: ignore[assignment]
    execution = _run_of(resident, message)
    if body.key < 0:
        engine.queries.elsewhere.returned(message.target.run_id or "", body.key)
    if resident is None or execution is None or not parking.wanted(engine, resident, body.key, body.attempt):
        return msg.Done()
    parking.unpark(engine, resident, body.key)
    if body.key > 0:
        activities.return_attempt(execution, body.key)
    engine.touch(resident)
    return msg.Done()


def _decision_made(engine: Engine, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer:
    execution = _run_of(resident, message)
    if resident is not None and execution is not None and not execution.state.closed:
        engine.turns.decided(resident, execution, message.body)  # type: ignore[arg-type]
        engine.touch(resident)
    return msg.Done()


def _query_answered(engine: Engine, resident: Resident | None, message: msg.Message, origin: Origin) -> msg.Answer:
    engine.queries.elsewhere.answered(message)
    return msg.Done()


def _run_of(resident: Resident | None, message: msg.Message) -> Execution | None:
    """The open run that the message is for; None if it has closed."""
    if resident is None or resident.row.run_id != message.target.run_id:
        return None
    return resident.execution


def _open(resident: Resident) -> Execution:
    assert resident.execution is not None
    return resident.execution


def _see_whether_closed(resident: Resident) -> None:
    """What came just before, in the same turn of the loop, may have closed it."""
    if resident.execution is not None:
        close_row(resident, resident.execution)


def _find(resident: Resident | None, message: msg.Message, first_run_id: str | None = None) -> msg.Refused | None:
    """None if the message's target is the open run in `resident`."""
    target = message.target
    if resident is None:
        return _gone(message)
    _see_whether_closed(resident)
    row = resident.row
    if target.run_id is not None and target.run_id != row.run_id:
        return _gone(message)
    if first_run_id is not None and first_run_id != row.first_run_id:
        return msg.Refused(
            RPCStatusCode.NOT_FOUND,
            f"the latest run of workflow {row.workflow_id!r} is not of the chain that began with {first_run_id}",
        )
    if resident.closed:
        return msg.Refused(
            RPCStatusCode.NOT_FOUND,
            f"workflow {row.workflow_id!r} has already closed ({row.status.name}, run {row.run_id})",
            row.run_id,
            "closed",
        )
    return None


def _gone(message: msg.Message) -> msg.Refused:
    run = f" with run {message.target.run_id}" if message.target.run_id else ""
    return msg.Refused(RPCStatusCode.NOT_FOUND, f"there is no open workflow {message.target.workflow_id!r}{run}")


def _check_child(resident: Resident | None, parent: ev.ParentRef | None) -> msg.Refused | None:
    """A message that is meant for a child must not hit somebody else who took over the workflow id."""
    if parent is None or resident is None or resident.execution is None:
        return None
    actual = resident.execution.state.started.parent
    if actual is not None and (actual.workflow_id, actual.run_id) == (parent.workflow_id, parent.run_id):
        return None
    return msg.Refused(
        RPCStatusCode.NOT_FOUND,
        f"workflow {resident.row.workflow_id!r} is not a child of {parent.workflow_id!r}",
    )


_GRAPH_BODIES = frozenset(get_args(GraphBody))
Handler = Callable[["Engine", Resident | None, msg.Message, Origin], msg.Answer | None]
_HANDLERS: dict[type[Any], Handler] = {
    msg.Start: _start,
    msg.Signal: _signal,
    msg.Cancel: _cancel,
    msg.Terminate: _terminate,
    msg.Pause: _pause,
    msg.Unpause: _unpause,
    msg.Delete: _delete,
    msg.Update: _update,
    msg.PollUpdate: _poll_update,
    msg.Query: _query,
    msg.ChildStarted: _answer_of_other,
    msg.ChildStartFailed: _answer_of_other,
    msg.ChildClosed: _answer_of_other,
    msg.SignalAnswered: _answer_of_other,
    msg.CancelAnswered: _answer_of_other,
    msg.QueryAnswered: _query_answered,
    DecisionMade: _decision_made,
    AttemptAlive: _attempt_alive,
    AttemptEnded: _attempt_ended,
    TaskReturned: _task_returned,
}
