"""HUMAN tasks as people see them, and which of them a search means."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct, field

from tenuto.model.json_values import Json
from tenuto.model.search import And, Compare, Condition, In

#: What the input of a task has for people: a display name, assignments, the template of a form.
DEFINITION = "__humanTaskDefinition"

UserType = Literal["EXTERNAL_USER", "EXTERNAL_GROUP", "CONDUCTOR_USER", "CONDUCTOR_GROUP"]


class HumanTaskUser(Struct, rename="camel", frozen=True):
    user: str | None = None
    user_type: UserType | None = None


class Assignment(Struct, rename="camel"):
    assignee: HumanTaskUser = HumanTaskUser()
    sla_minutes: int = 0


class Custody(Struct, kw_only=True):
    """Who has a task. `assignments`: in place of those of the definition."""

    claimant: HumanTaskUser | None = None
    assignments: list[Assignment] | None = None
    updated_by: str = ""
    updated_on: int = 0


class HumanTaskSearch(Struct, rename="camel", kw_only=True):
    """Which tasks; an empty list means any."""

    states: list[str] = field(default_factory=list)
    assignees: list[HumanTaskUser] = field(default_factory=list)
    claimants: list[HumanTaskUser] = field(default_factory=list)
    definition_names: list[str] = field(default_factory=list)
    display_names: list[str] = field(default_factory=list)
    task_ref_names: list[str] = field(default_factory=list)
    workflow_ids: list[str] = field(default_factory=list)
    workflow_names: list[str] = field(default_factory=list)
    full_text_query: str = ""
    task_input_query: str = ""
    task_output_query: str = ""
    update_start_time: int = 0
    update_end_time: int = 0
    start: int = 0
    size: int = 15


def entry_of(task: dict[str, Json], custody: Custody) -> dict[str, Json]:
    """A task, as the API of tasks shows it, as its people see it."""
    given = task["inputData"].get(DEFINITION)
    definition: dict[str, Json] = dict(given) if isinstance(given, dict) else {}
    if custody.assignments is not None:
        definition["assignments"] = msgspec.to_builtins(custody.assignments)
    entry: dict[str, Json] = {
        "taskId": task["taskId"],
        "taskRefName": task["referenceTaskName"],
        "definitionName": task["taskDefName"],
        "displayName": definition.get("displayName") or task["referenceTaskName"],
        "workflowId": task["workflowInstanceId"],
        "workflowName": task["workflowType"],
        "input": task["inputData"],
        "output": task["outputData"],
        "humanTaskDef": definition,
        "createdOn": task["scheduledTime"],
        "updatedOn": max(task["updateTime"], custody.updated_on),
    }
    assignee = _assignee(definition)
    if assignee:
        entry["assignee"] = assignee
    if custody.claimant is not None:
        entry["claimant"] = msgspec.to_builtins(custody.claimant)
    if custody.updated_by:
        entry["updatedBy"] = custody.updated_by
    entry["state"] = _state(task["status"], custody, assignee)
    return entry


def _assignee(definition: dict[str, Json]) -> dict[str, Json] | None:
    """Whom the task is for first."""
    assignments = definition.get("assignments")
    first = assignments[0] if isinstance(assignments, list) and assignments else definition
    assignee = first.get("assignee") if isinstance(first, dict) else None
    return assignee if isinstance(assignee, dict) and assignee.get("user") else None


def _state(status: str, custody: Custody, assignee: dict[str, Json] | None) -> str:
    match status:
        case "SCHEDULED" | "IN_PROGRESS":
            return "IN_PROGRESS" if custody.claimant is not None else "ASSIGNED" if assignee else "PENDING"
        case "TIMED_OUT":
            return "TIMED_OUT"
        case "COMPLETED" | "COMPLETED_WITH_ERRORS" | "SKIPPED":
            return "COMPLETED"
    return "DELETED"


_OPEN, _DONE = ("SCHEDULED", "IN_PROGRESS"), ("COMPLETED", "COMPLETED_WITH_ERRORS", "SKIPPED")
_STATUSES = {
    "PENDING": _OPEN,
    "ASSIGNED": _OPEN,
    "IN_PROGRESS": _OPEN,
    "COMPLETED": _DONE,
    "TIMED_OUT": ("TIMED_OUT",),
    "DELETED": ("CANCELED", "FAILED", "FAILED_WITH_TERMINAL_ERROR"),
}


def condition_of(query: HumanTaskSearch) -> Condition:
    """What the index of tasks can tell."""
    conditions: list[Condition] = [Compare("task_type", "=", "HUMAN")]
    statuses = {status for state in query.states for status in _STATUSES.get(state, ())}
    if query.states:
        conditions.append(In("status", tuple(sorted(statuses))))
    for name, values in (
        ("task_def_name", query.definition_names),
        ("reference_name", query.task_ref_names),
        ("workflow_id", query.workflow_ids),
        ("workflow_type", query.workflow_names),
    ):
        if values:
            conditions.append(In(name, tuple(values)))
    return And(tuple(conditions))


def fits(entry: dict[str, Json], query: HumanTaskSearch) -> bool:
    """Is the task one that the search means, as far as the index could not tell?"""
    return (
        (not query.states or entry["state"] in query.states)
        and (not query.display_names or entry["displayName"] in query.display_names)
        and (not query.assignees or any(_same(entry.get("assignee"), user) for user in query.assignees))
        and (not query.claimants or any(_same(entry.get("claimant"), user) for user in query.claimants))
        and entry["updatedOn"] >= query.update_start_time
        and (not query.update_end_time or entry["updatedOn"] <= query.update_end_time)
    )


def may_claim(assignee: dict[str, Json], user: HumanTaskUser) -> bool:
    """May the user claim what is assigned so? Who belongs to a group is not known here, so that everybody does."""
    return _same(assignee, user) or str(assignee.get("userType", "")).endswith("_GROUP")


def _same(holder: dict[str, Json] | None, user: HumanTaskUser) -> bool:
    if not holder or holder.get("user") != user.user:
        return False
    return user.user_type is None or holder.get("userType") in (None, user.user_type)
