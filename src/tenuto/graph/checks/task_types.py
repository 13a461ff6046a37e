"""What each type of task needs to be able to run. Types that are not known are tasks for workers, and need nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tenuto.graph.checks.problem import Problem
from tenuto.graph.checks.tree import Site
from tenuto.model.json_values import Json

EVALUATORS = ("value-param", "javascript", "graaljs")
_STRATEGIES = ("FAIL", "RETURN_EXISTING", "FAIL_ON_RUNNING")


def check_task_type(site: Site) -> Iterator[Problem]:
    """The fields that the type of a task asks for."""
    rule = _RULES.get(site.node.type)
    if rule is not None:
        yield from rule(site)


def _missing(site: Site, field: str, what: str) -> Problem:
    return Problem(f"{site.path}.{field}", f"{site.node.type} {site.node.task_reference_name} needs {what}")


def _switch(site: Site) -> Iterator[Problem]:
    node = site.node
    if not node.expression:
        yield _missing(site, "expression", "an expression")
    if not node.evaluator_type:
        yield _missing(site, "evaluatorType", f"an evaluatorType: {', '.join(EVALUATORS)}")
    elif node.evaluator_type.lower() not in EVALUATORS:
        message = f"{node.evaluator_type!r} is no known evaluatorType; use {', '.join(EVALUATORS)}"
        yield Problem(f"{site.path}.evaluatorType", message, node.evaluator_type)
    if not node.decision_cases and not node.default_case:
        yield _missing(site, "decisionCases", "decisionCases or a defaultCase")


def _decision(site: Site) -> Iterator[Problem]:
    node = site.node
    if not node.case_value_param and not node.case_expression:
        yield _missing(site, "caseValueParam", "a caseValueParam or a caseExpression")
    if not node.decision_cases and not node.default_case:
        yield _missing(site, "decisionCases", "decisionCases or a defaultCase")


def _fork(site: Site) -> Iterator[Problem]:
    if not site.node.fork_tasks:
        yield _missing(site, "forkTasks", "forkTasks")
    yield from _followed_by_join(site)


def _dynamic_fork(site: Site) -> Iterator[Problem]:
    node = site.node
    tasks, inputs = node.dynamic_fork_tasks_param, node.dynamic_fork_tasks_input_param_name
    if tasks and not inputs:
        yield _missing(site, "dynamicForkTasksInputParamName", "dynamicForkTasksInputParamName beside its twin")
    elif inputs and not tasks:
        yield _missing(site, "dynamicForkTasksParam", "dynamicForkTasksParam beside its twin")
    yield from _followed_by_join(site)


def _followed_by_join(site: Site) -> Iterator[Problem]:
    if site.next is None or site.next.type != "JOIN":
        message = f"{site.node.type} {site.node.task_reference_name} must be followed by a JOIN"
        yield Problem(site.path, message, None if site.next is None else site.next.type)


def _loop(site: Site) -> Iterator[Problem]:
    node = site.node
    if not node.loop_over:
        yield _missing(site, "loopOver", "tasks in loopOver")
    if not node.loop_condition and node.items is None and "_items" not in node.input_parameters:
        yield _missing(site, "loopCondition", "a loopCondition or items")
    if node.items is not None and not isinstance(node.items, str | list):
        yield Problem(f"{site.path}.items", "items must be a list, or an expression that gives one", node.items)


def _dynamic(site: Site) -> Iterator[Problem]:
    if not site.node.dynamic_task_name_param:
        yield _missing(site, "dynamicTaskNameParam", "dynamicTaskNameParam, the input that holds the task's name")


def _sub_workflow(site: Site) -> Iterator[Problem]:
    given, path = site.node.sub_workflow_param, f"{site.path}.subWorkflowParam"
    if given is None:
        yield _missing(site, "subWorkflowParam", "subWorkflowParam")
        return
    if not given.name and not given.workflow_definition:
        yield _missing(site, "subWorkflowParam.name", "the name of a workflow")
    if not _is_number(given.version, 1, 2**31 - 1):
        yield Problem(f"{path}.version", "version must be a number, or an expression that gives one", given.version)
    if not _is_number(given.priority, 0, 99):
        yield Problem(f"{path}.priority", "priority must be from 0 to 99, or an expression", given.priority)
    strategy = given.idempotency_strategy
    if strategy and "${" not in strategy and strategy not in _STRATEGIES:
        yield Problem(f"{path}.idempotencyStrategy", f"must be one of {', '.join(_STRATEGIES)}", strategy)
    if isinstance(given.workflow_definition, str) and "${" not in given.workflow_definition:
        message = "workflowDefinition must be a definition, or an expression that gives one"
        yield Problem(f"{path}.workflowDefinition", message, given.workflow_definition[:200])


def _is_number(value: Json, smallest: int, largest: int) -> bool:
    if value is None or value == "" or (isinstance(value, str) and "${" in value):
        return True
    text = str(value)
    return text.isascii() and text.isdigit() and len(text) < 12 and smallest <= int(text) <= largest


def _event(site: Site) -> Iterator[Problem]:
    if not site.node.sink:
        yield _missing(site, "sink", "a sink to publish to")


_RULES: dict[str, Callable[[Site], Iterator[Problem]]] = {
    "SWITCH": _switch,
    "DECISION": _decision,
    "FORK_JOIN": _fork,
    "FORK_JOIN_DYNAMIC": _dynamic_fork,
    "DO_WHILE": _loop,
    "DYNAMIC": _dynamic,
    "SUB_WORKFLOW": _sub_workflow,
    "EVENT": _event,
}
