"""Rerun: an execution that has ended begins again, from its beginning or from one of its tasks."""

from __future__ import annotations

from tenuto.graph.context import Context
from tenuto.graph.decision import Decision
from tenuto.graph.execution import GraphExecution
from tenuto.graph.operations.pause import refuse_open
from tenuto.graph.operations.revive import WAITING_KINDS, reopen, reschedule_task, resume_task
from tenuto.graph.refusal import Refusal
from tenuto.model.errors import RPCStatusCode
from tenuto.model.graph import Task
from tenuto.model.graph_messages import GraphRerun
from tenuto.model.json_values import Json

FAILED = frozenset(("FAILED", "FAILED_WITH_TERMINAL_ERROR", "TIMED_OUT", "CANCELED"))


def rerun(execution: GraphExecution, context: Context, request: GraphRerun) -> None:
    """Hide what came after the task (everything, without one) and do it again. The task keeps its id."""
    state = execution.state
    refuse_open(execution, "rerun")
    target = _target(execution, request.task_id) if request.task_id else None
    decision = Decision(execution, context)
    changes: dict[str, Json] = {}
    if request.workflow_input is not None:
        changes["input"] = request.workflow_input
    if request.correlation_id:
        changes["correlation_id"] = request.correlation_id
    if target is None:
        execution.hide("rerun", list(state.tasks.values()))
        reopen(decision, "rerun")
    else:
        execution.hide("rerun", [task for task in state.tasks.values() if task.seq > target.seq])
        reopen(decision, "rerun")
        _do_again(decision, target, request.task_input)
        _revive_others(decision, target)
    if changes:
        execution.change("rerun", **changes)


def _target(execution: GraphExecution, task_id: str) -> Task:
    for task in execution.state.tasks.values():
        if task.task_id == task_id:
            return task
    raise Refusal(
        f"workflow {execution.workflow_id} has no task {task_id} to rerun from", RPCStatusCode.INVALID_ARGUMENT
    )


def _do_again(decision: Decision, task: Task, task_input: dict[str, Json] | None) -> None:
    changes: dict[str, Json] = {} if task_input is None else {"input": task_input}
    if task.kind in WAITING_KINDS:
        resume_task(decision, task, "rerun", output={}, memory={}, **changes)
    elif task.kind == "FORK_JOIN":
        decision.execution.change_task(task, "rerun", status="COMPLETED", executed=False, **changes)
    else:
        reschedule_task(decision, task, "rerun", **changes)


def _revive_others(decision: Decision, target: Task) -> None:
    """What remains goes on: failed and cancelled tasks are done again, joins and loops around the target wait again,
    and whatever comes after the others is scheduled where it was hidden."""
    state = decision.state
    for task in list(state.by_reference.values()):
        if task is target:
            continue
        if task.kind == "DO_WHILE" and _holds(decision, task, target):
            _iterate_again(decision, task, target)
        elif task.status in FAILED:
            if task.kind in WAITING_KINDS:
                resume_task(decision, task, "rerun")
            elif not task.retried:
                reschedule_task(decision, task, "rerun")
        elif task.kind in WAITING_KINDS and not task.open and _waits_again(decision, task, target):
            resume_task(decision, task, "rerun")
        elif not task.open and task.status != "SKIPPED":
            decision.execution.change_task(task, "rerun", executed=False)


def _holds(decision: Decision, loop: Task, target: Task) -> bool:
    """Is `target` in an iteration of this very loop?"""
    depth = len(loop.scope)
    return (
        len(target.scope) > depth
        and target.scope[:depth] == loop.scope
        and decision.state.plan.inside(target.base, loop.base)
    )


def _iterate_again(decision: Decision, loop: Task, target: Task) -> None:
    """The loop is in the iteration of `target` again."""
    iteration = target.scope[len(loop.scope)]
    output = {name: value for name, value in loop.output.items() if not name.isdigit() or int(name) < iteration}
    output["iteration"] = iteration
    items = loop.memory.get("items")
    if items is not None:
        output |= {"loopIndex": iteration - 1, "loopItem": items[iteration - 1]}
    memory = loop.memory | {"iteration": iteration}
    resume_task(decision, loop, "rerun", output=output, memory=memory)


def _waits_again(decision: Decision, task: Task, target: Task) -> bool:
    for name in task.input.get("joinOn", []):
        branch = decision.state.by_reference.get(name)
        if branch is None or branch.open or branch is target:
            return True
    return False
