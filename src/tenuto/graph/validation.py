"""What is wrong with definitions, told when they are registered, and not when they run.

Refused is what can't run. What the input of an execution decides is not looked at, and types of tasks that are not
known are fine: workers may poll for them. Scripts are checked by whoever can run them (`scripts_of`).
"""

from __future__ import annotations

from collections.abc import Iterator

from tenuto.graph.checks.joins import check_joins
from tenuto.graph.checks.names import check_name, check_references
from tenuto.graph.checks.problem import Problem as Problem
from tenuto.graph.checks.problem import under
from tenuto.graph.checks.recursion import Find, check_recursion
from tenuto.graph.checks.scripts import Script as Script
from tenuto.graph.checks.scripts import scripts_of as scripts_of
from tenuto.graph.checks.task_definition import check_task_definition
from tenuto.graph.checks.task_types import check_task_type
from tenuto.graph.checks.templates import check_template
from tenuto.graph.checks.tree import Site, sites
from tenuto.graph.definitions import TaskDef, WorkflowDef

#: Problems that are told of one definition.
LIMIT = 100


def validate_workflow(definition: WorkflowDef, find: Find = lambda name, version: None) -> list[Problem]:
    """What is wrong with a workflow definition. `find` gives other definitions that are registered, to see circles of
    sub-workflows."""
    found: list[Problem] = []
    for problem in _workflow(definition, find):
        if len(found) == LIMIT:
            found.append(Problem("", f"there are more than {LIMIT} problems; only the first are told"))
            break
        found.append(problem)
    return found


def validate_task_def(definition: TaskDef) -> list[Problem]:
    """What is wrong with a task definition."""
    return [*check_name(definition.name, "name"), *check_task_definition(definition, "")]


def _workflow(definition: WorkflowDef, find: Find) -> Iterator[Problem]:
    yield from check_name(definition.name, "name")
    if ":" in definition.name:
        yield Problem("name", "the name of a workflow can't have a colon", definition.name)
    if definition.schema_version != 2:
        yield Problem("schemaVersion", "schemaVersion must be 2", definition.schema_version)
    if not definition.tasks:
        yield Problem("tasks", "a workflow needs at least one task", [])
    limit = definition.rate_limit_config
    if limit is not None:
        if limit.concurrent_exec_limit < 0:
            path = "rateLimitConfig.concurrentExecLimit"
            yield Problem(path, "concurrentExecLimit can't be negative", limit.concurrent_exec_limit)
        yield from check_template(limit.rate_limit_key, "rateLimitConfig.rateLimitKey")
    yield from check_template(definition.output_parameters, "outputParameters")
    yield from check_template(definition.failure_workflow, "failureWorkflow")
    found = list(sites(definition))
    yield from check_references(found)
    for site in found:
        yield from _task(site, find)
    yield from check_joins(definition, found)
    yield from check_recursion(definition, found, find)


def _task(site: Site, find: Find) -> Iterator[Problem]:
    node, path = site.node, site.path
    yield from check_name(node.name, f"{path}.name")
    if not node.type.strip():
        yield Problem(f"{path}.type", "the type is empty; leave it out, or write SIMPLE", node.type)
    yield from check_task_type(site)
    yield from check_template(node.input_parameters, f"{path}.inputParameters")
    yield from check_template(node.sink, f"{path}.sink")
    yield from check_template(node.items, f"{path}.items")
    if node.input_expression is not None:
        text = "${" + node.input_expression.expression + "}"
        yield from check_template(text, f"{path}.inputExpression.expression")
    for event, actions in node.on_state_change.items():
        for index, action in enumerate(actions):
            yield from check_template(action.payload, f"{under(f'{path}.onStateChange', event)}[{index}].payload")
    if node.task_definition is not None:
        yield from check_task_definition(node.task_definition, f"{path}.taskDefinition")
    yield from _sub_workflow(site, find)


def _sub_workflow(site: Site, find: Find) -> Iterator[Problem]:
    given, path = site.node.sub_workflow_param, f"{site.path}.subWorkflowParam"
    if given is None:
        return
    inner = given.workflow_definition
    templates = {
        "name": given.name,
        "version": given.version,
        "taskToDomain": given.task_to_domain,
        "idempotencyKey": given.idempotency_key,
        "idempotencyStrategy": given.idempotency_strategy,
        "priority": given.priority,
        "workflowDefinition": inner if isinstance(inner, str) else None,
    }
    yield from check_template(templates, path)
    if isinstance(inner, WorkflowDef):
        for problem in _workflow(inner, find):
            place = f"{path}.workflowDefinition.{problem.path}"
            yield Problem(place, problem.message, problem.invalid_value)
