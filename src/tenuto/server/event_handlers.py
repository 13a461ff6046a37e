"""Event handlers: what is to be done when a message comes, as it is stored and shown."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from tenuto.cage.cage import Cage
from tenuto.cage.checking import check_javascript
from tenuto.cage.errors import ScriptError
from tenuto.engine.clock import Clock
from tenuto.model.json_values import Json
from tenuto.server.collection import Collection, checked_name
from tenuto.server.errors import ApiError, bad_request, fault
from tenuto.server.tags import Tag
from tenuto.store.protocol import Store
from tenuto.system_tasks.buses.buses import EXTRAS

#: Actions of one handler.
MOST_ACTIONS = 100

SCRIPTS = ("", "javascript", "graaljs")


class StartWorkflowAction(Struct, rename="camel", kw_only=True):
    name: str
    version: Json = None
    """A number, or an expression that comes to one."""
    correlation_id: str | None = None
    input: dict[str, Json] = {}
    task_to_domain: dict[str, str] | None = None
    idempotency_key: str | None = None
    idempotency_strategy: Literal["FAIL", "RETURN_EXISTING", "FAIL_ON_RUNNING"] | None = None
    priority: Json = None
    created_by: str | None = None


class TaskAction(Struct, rename="camel", kw_only=True):
    """Of complete_task and fail_task: the task is named by its id, or by its workflow and reference name."""

    workflow_id: str | None = None
    task_ref_name: str | None = None
    task_id: str | None = None
    output: dict[str, Json] = {}
    reason_for_incompletion: str | None = None


class TerminateAction(Struct, rename="camel", kw_only=True):
    workflow_id: str
    termination_reason: str | None = None


class VariablesAction(Struct, rename="camel", kw_only=True):
    workflow_id: str
    variables: dict[str, Json] = {}
    append_array: bool | None = None


ActionName = Literal[
    "start_workflow", "complete_task", "fail_task", "terminate_workflow", "update_workflow_variables", "start_agent"
]


class Action(Struct, rename={"expand_inline_json": "expandInlineJSON"}, kw_only=True):
    """One thing to do. Texts in it may hold `${path}` into the message."""

    action: ActionName
    start_workflow: StartWorkflowAction | None = None
    complete_task: TaskAction | None = None
    fail_task: TaskAction | None = None
    terminate_workflow: TerminateAction | None = None
    update_workflow_variables: VariablesAction | None = None
    start_agent: dict[str, Any] | None = None
    expand_inline_json: bool = False


class EventHandler(Struct, rename="camel", kw_only=True):
    """For each message of the queue `event` that fulfils `condition`, all actions are run."""

    name: str
    event: Annotated[str, Meta(min_length=1)]
    condition: str | None = None
    evaluator_type: str | None = None
    actions: list[Action] = []
    active: bool = False
    description: str | None = None
    created_by: str | None = None
    tags: list[Tag] | None = None
    """Of a request: what the handler's tags are to be. Not stored with it."""


class EventHandlers(Collection[EventHandler]):
    """The event handlers, by name."""

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store, clock, "event_handlers", EventHandler)

    def active(self, event: str) -> list[EventHandler]:
        """The handlers that take the messages of a queue."""
        return [handler for handler in self.all() if handler.active and handler.event == event]

    def sources(self) -> set[str]:
        """The queues outside of the engine from which messages are wanted."""
        return {handler.event for handler in self.all() if handler.active and is_outside(handler.event)}


def is_outside(event: str) -> bool:
    """Is the queue one of a bus, rather than the engine's own?"""
    return event.partition(":")[0] in EXTRAS


async def check_handler(cage: Cage, handler: EventHandler) -> None:
    """Raises ApiError (400) that names what is wrong with a handler."""
    checked_name(handler.name, "an event handler")
    if not handler.event.strip():
        raise _wrong("event", "is missing: of which queue are the messages?")
    if len(handler.actions) > MOST_ACTIONS:
        raise _wrong("actions", f"at most {MOST_ACTIONS} actions are possible")
    for number, action in enumerate(handler.actions):
        _check_action(f"actions[{number}]", action)
    await _check_condition(cage, handler)


def _check_action(path: str, action: Action) -> None:
    if action.action == "start_agent":
        raise _wrong(f"{path}.action", "start_agent is not supported: this server runs no agents")
    parameters = getattr(action, action.action)
    if parameters is None:
        raise _wrong(f"{path}.{action.action}", f"is missing: it says what {action.action} is to do")
    if isinstance(parameters, TaskAction) and not (
        parameters.task_id or (parameters.workflow_id and parameters.task_ref_name)
    ):
        raise _wrong(f"{path}.{action.action}", "names no task: give taskId, or workflowId and taskRefName")
    if isinstance(parameters, StartWorkflowAction) and not parameters.name.strip():
        raise _wrong(f"{path}.start_workflow.name", "is missing")


async def _check_condition(cage: Cage, handler: EventHandler) -> None:
    kind = (handler.evaluator_type or "").lower()
    if not (handler.condition or "").strip() or kind == "value-param":
        return
    if kind not in SCRIPTS:
        raise _wrong("evaluatorType", f"{handler.evaluator_type!r} is unknown; use javascript or value-param")
    try:
        await check_javascript(cage, handler.condition or "")
    except ScriptError as error:
        raise _wrong("condition", str(error)) from None


def _wrong(path: str, message: str) -> ApiError:
    error = bad_request(f"the event handler is not valid: {path}: {message}")
    error.faults = [fault(path, message)]
    return error
