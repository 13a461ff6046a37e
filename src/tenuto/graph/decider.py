"""The decider: what a graph execution does next.

`decide` is called whenever something happened: a task was updated, a deadline came, a script answered, somebody resumed
the workflow. It goes on until nothing changes any more, so a chain of tasks that need nobody is done in one call:

    workflow timeout -> paused? -> first task
    -> for every open task: timeouts, begin what is due, let operators look again; of what has ended: retry, tolerate,
       fail the workflow, or schedule what comes after
    -> nothing open any more: the workflow is over
"""

from __future__ import annotations

from msgspec import Struct

from tenuto.graph import completion, failing, kinds, timeouts
from tenuto.graph.context import Context
from tenuto.graph.decision import Decision
from tenuto.graph.execution import GraphExecution
from tenuto.graph.state import GraphState
from tenuto.graph.templates import ExpressionError
from tenuto.model.graph import Task
from tenuto.model.json_values import Json

#: These wait for other tasks of the execution.
WAITING_KINDS = frozenset(("JOIN", "EXCLUSIVE_JOIN", "DO_WHILE"))
#: What one decision may do: so many steps that change something, and so many bytes that it adds. A workflow that needs
#: more goes on after the next commit, so that others have their turn.
STEPS = 300
GROWTH = 2 * 1024 * 1024


class Evaluated(Struct, frozen=True):
    """What a script came to: a value, or an error (`fatal` unless trying again may help)."""

    value: Json = None
    error: str = ""
    fatal: bool = True


def decide(execution: GraphExecution, context: Context) -> None:
    """Do all that can be done now."""
    decision = Decision(execution, context)
    state = execution.state
    execution.unfinished = False
    if state.closed or timeouts.check_workflow(decision) or state.status == "PAUSED" or state.queued:
        return
    if all(task.seq == 0 for task in state.tasks.values()):
        _begin(decision)
    execution.unfinished = not _rounds(decision)
    if _nothing_left(state):
        completion.complete(decision)


def _rounds(decision: Decision) -> bool:
    """Go on until nothing changes any more. False if that would take too long for now."""
    execution, steps = decision.execution, STEPS
    while steps > 0 and execution.growth < GROWTH:
        done = _round(decision, steps)
        if not done and not _unblock(decision):
            return True
        steps -= max(1, done)
    return False


def _round(decision: Decision, steps: int) -> int:
    """Look at every open task once, until `steps` have changed something or much was added. Returns how many did."""
    execution, state = decision.execution, decision.state
    quiet_until, done = execution.quiet_until, 0
    for task in list(state.open.values()):
        if quiet_until.get(task.number, 0) > decision.now:
            continue
        if state.closed or done >= steps or (done and execution.growth >= GROWTH):
            break
        if task.number in state.open:
            before = execution.version
            _step(decision, task)
            done += execution.version != before
    return done


def _unblock(decision: Decision) -> bool:
    """If nothing is open but what waits for others: have the innermost give up waiting. False if nothing came of it."""
    execution, state = decision.execution, decision.state
    if state.closed or not state.open or execution.evaluating:
        return False
    waiting = list(state.open.values())
    if any(task.kind not in WAITING_KINDS for task in waiting):
        return False
    before = execution.version
    for task in reversed(waiting):
        kinds.of(task).stalled(decision, task)
        if execution.version != before:
            return True
    return False


def _nothing_left(state: GraphState) -> bool:
    return not state.closed and not state.open


def _begin(decision: Decision) -> None:
    first = decision.state.plan.first
    if first is not None:
        decision.schedule(first, ())


def _step(decision: Decision, task: Task) -> None:
    if task.open:
        timeouts.check(decision, task)
    if task.open and not decision.state.closed and task.available_at <= decision.now:
        kind = kinds.of(task)
        try:
            if task.status == "SCHEDULED":
                kind.begin(decision, task)
            else:
                kind.advance(decision, task)
        except ExpressionError as error:
            _fail(decision, task, error)
    if not task.open and not task.executed and not decision.state.closed:
        _settle(decision, task)
    _note_quiet(decision, task)


def _fail(decision: Decision, task: Task, error: ExpressionError) -> None:
    decision.end(task, "FAILED_WITH_TERMINAL_ERROR", reason=f"an expression of {task.reference}: {error}")


def _note_quiet(decision: Decision, task: Task) -> None:
    """If nothing is to be done about the task by itself for a while, it need not be looked at at every decision."""
    execution = decision.execution
    taken_up = task.status == "IN_PROGRESS" or task.number in execution.offered or task.available_at > decision.now
    if task.open and taken_up and kinds.of(task).quiet:
        execution.quiet_until[task.number] = timeouts.next_moment(execution, task, decision.now)


def _settle(decision: Decision, task: Task) -> None:
    """Deal with the end of a task."""
    if not task.successful and not failing.tolerate(decision, task):
        return
    decision.execution.change_task(task, "settled", executed=True)
    kinds.of(task).ended(decision, task)


def evaluated(execution: GraphExecution, context: Context, number: int, result: Evaluated) -> None:
    """A script has answered. Answers for tasks that have ended meanwhile change nothing."""
    execution.evaluating.discard(number)
    task = execution.state.tasks.get(number)
    if task is None or not task.open or execution.state.closed:
        return
    decision = Decision(execution, context)
    try:
        kinds.of(task).evaluated(decision, task, result.value, result.error, result.fatal)
    except ExpressionError as error:
        _fail(decision, task, error)
