"""FORK_JOIN_DYNAMIC: branches that are known only when the fork is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tenuto.graph import kinds
from tenuto.graph.checks.names import check_name
from tenuto.graph.definitions import (
    DefinitionError,
    SubWorkflowParams,
    WorkflowTask,
    compact,
    decode_workflow_task,
    to_json,
)
from tenuto.graph.kinds.kind import Kind
from tenuto.graph.naming import with_scope
from tenuto.graph.plan import inner_lists
from tenuto.graph.templates import escaped
from tenuto.model.graph import Task
from tenuto.model.json_values import Json

if TYPE_CHECKING:
    from tenuto.graph.decision import Decision

#: Branches of one fork.
LIMIT = 5_000


class BadFork(Exception):
    """The input does not say which branches there are."""


class ForkJoinDynamic(Kind):
    retriable = False

    def schedule(self, decision: Decision, node: WorkflowTask, scope: tuple[int, ...]) -> None:
        decision.create(node, scope, task_type="FORK", def_name="FORK")

    def begin(self, decision: Decision, task: Task) -> None:
        node = decision.execution.node(task)
        try:
            branches, simple = read_branches(decision, node, task)
            self._check(decision, task, branches)
        except (BadFork, DefinitionError) as error:
            reason = f"the branches of {task.reference} can't be made: {error}"
            decision.end(task, "FAILED_WITH_TERMINAL_ERROR", reason=reason)
            return
        names = [branch.task_reference_name for branch, _ in branches]
        input = task.input | {"forkedTasks": names, "forkedTaskDefs": [to_json(branch) for branch, _ in branches]}
        memory: dict[str, Json] = {
            "branches": [[compact(branch), given] for branch, given in branches],
            "simple": simple,
        }
        decision.end(task, "COMPLETED", input=input, memory=memory)

    def ended(self, decision: Decision, task: Task) -> None:
        names: list[str] = []
        for definition, given in task.memory.get("branches", []):
            branch = decode_workflow_task(definition)
            names.append(branch.task_reference_name)
            _schedule_branch(decision, branch, given, task)
        join = decision.state.plan.after(task.base)
        if join is not None:
            existing = decision.state.by_reference.get(with_scope(join.task_reference_name, task.scope))
            if existing is None:
                kinds.JOIN.schedule_on(decision, join, task.scope, names)
            elif existing.open:
                join_on = [with_scope(name, task.scope) for name in names]
                decision.execution.change_task(existing, "forked_again", input={"joinOn": join_on})

    def _check(self, decision: Decision, task: Task, branches: list[tuple[WorkflowTask, dict[str, Json]]]) -> None:
        if len(branches) > LIMIT:
            raise BadFork(f"there are {len(branches)} branches; at most {LIMIT} are allowed")
        seen: set[str] = set()
        for branch, _ in branches:
            name = branch.task_reference_name
            if not name:
                raise BadFork(f"branch {len(seen)} ({branch.name or 'without a name'}) has no taskReferenceName")
            if name in seen or name in decision.state.plan.places:
                raise BadFork(f"the reference name {name!r} is used twice")
            _check_texts(branch)
            seen.add(name)
        join = decision.state.plan.after(task.base)
        if join is None or join.type != "JOIN":
            raise BadFork("it is not followed by a JOIN")


def _check_texts(node: WorkflowTask) -> None:
    """Names come from data here. Raises BadFork if one of this task, or of one inside of it, can't be one."""
    name = node.task_reference_name
    for problem in check_name(name, "taskReferenceName"):
        raise BadFork(f"{problem.message} ({name[:60]!r})")
    if not node.type.strip():
        raise BadFork(f"the type of {name} is empty; leave it out, or write SIMPLE")
    for inner in inner_lists(node):
        for each in inner:
            _check_texts(each)


def _schedule_branch(decision: Decision, branch: WorkflowTask, given: dict[str, Json], fork: Task) -> None:
    reference = with_scope(branch.task_reference_name, fork.scope)
    if reference in decision.state.by_reference:
        return
    # What the fork was given is a value already: nothing in it is to be expanded again.
    branch.input_parameters = branch.input_parameters | escaped(given)
    decision.schedule(branch, fork.scope)


def read_branches(
    decision: Decision, node: WorkflowTask, task: Task
) -> tuple[list[tuple[WorkflowTask, dict[str, Json]]], bool]:
    """The branches with their inputs, and whether they came as a plain list of inputs. Raises BadFork."""
    if task.input.get("forkTaskName") or task.input.get("forkTaskType") or task.input.get("forkTaskWorkflow"):
        return _from_inputs(decision, node, task), True
    if node.dynamic_fork_tasks_param:
        return _from_tasks(node, task), False
    if node.dynamic_fork_join_tasks_param:
        return _from_old_form(node, task), False
    raise BadFork("it needs forkTaskInputs with forkTaskName, or dynamicForkTasksParam")


def _from_inputs(decision: Decision, node: WorkflowTask, task: Task) -> list[tuple[WorkflowTask, dict[str, Json]]]:
    items = task.input.get("forkTaskInputs")
    if not isinstance(items, list):
        raise BadFork(f"forkTaskInputs must be a list, not {type(items).__name__}")
    workflow = task.input.get("forkTaskWorkflow")
    name = workflow or task.input.get("forkTaskName") or task.input.get("forkTaskType")
    kind = "SUB_WORKFLOW" if workflow else task.input.get("forkTaskType") or "SIMPLE"
    forked_before = any(
        other.kind == "FORK_JOIN_DYNAMIC" and other.base != task.base for other in decision.state.tasks.values()
    )
    prefix = f"_{task.base}_{name}_" if forked_before else f"_{name}_"
    branches: list[tuple[WorkflowTask, dict[str, Json]]] = []
    for index, item in enumerate(items):
        given: dict[str, Json] = dict(item) if isinstance(item, dict) else {"input": item}
        given["__index"] = index
        branch = WorkflowTask(
            name=str(name), task_reference_name=f"{prefix}{index}", type=str(kind), optional=node.optional
        )
        if workflow:
            version = task.input.get("forkTaskWorkflowVersion")
            branch.sub_workflow_param = SubWorkflowParams(name=str(workflow), version=_version(version))
        branches.append((branch, given))
    return branches


def _version(value: Json) -> int | None:
    if value in (None, ""):
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        raise BadFork(f"forkTaskWorkflowVersion must be a number, not {value!r}") from None


def _from_tasks(node: WorkflowTask, task: Task) -> list[tuple[WorkflowTask, dict[str, Json]]]:
    given = task.input.get(node.dynamic_fork_tasks_param or "")
    inputs = task.input.get(node.dynamic_fork_tasks_input_param_name or "") or {}
    if not isinstance(given, list):
        raise BadFork(f"{node.dynamic_fork_tasks_param} must be a list of tasks, not {type(given).__name__}")
    if not isinstance(inputs, dict):
        raise BadFork(f"{node.dynamic_fork_tasks_input_param_name} must be an object by reference name")
    branches: list[tuple[WorkflowTask, dict[str, Json]]] = []
    for item in given:
        branch = decode_workflow_task(item)
        own = inputs.get(branch.task_reference_name)
        if own is not None and not isinstance(own, dict):
            raise BadFork(f"the input of {branch.task_reference_name} must be an object, not {type(own).__name__}")
        branches.append((branch, own or {}))
    return branches


def _from_old_form(node: WorkflowTask, task: Task) -> list[tuple[WorkflowTask, dict[str, Json]]]:
    value = task.input.get(node.dynamic_fork_join_tasks_param or "")
    items = value.get("dynamicTasks") if isinstance(value, dict) else value
    if not isinstance(items, list):
        raise BadFork(f"{node.dynamic_fork_join_tasks_param} must hold a list `dynamicTasks`")
    branches: list[tuple[WorkflowTask, dict[str, Json]]] = []
    for item in items:
        if not isinstance(item, dict):
            raise BadFork("every entry of dynamicTasks must be an object")
        name = item.get("taskName") or item.get("workflowName") or ""
        branch = WorkflowTask(
            name=str(name),
            task_reference_name=str(item.get("referenceName") or name),
            type=str(item.get("type") or ("SUB_WORKFLOW" if item.get("workflowName") else "SIMPLE")),
        )
        if item.get("workflowName"):
            branch.sub_workflow_param = SubWorkflowParams(name=str(item["workflowName"]))
        given = item.get("input") or {}
        if not isinstance(given, dict):
            raise BadFork(f"the input of {branch.task_reference_name} must be an object")
        branches.append((branch, given))
    return branches
