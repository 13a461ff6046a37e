"""What a graph execution can be asked, and the answers only it gives. Durations are seconds, times nanoseconds."""

from __future__ import annotations

from msgspec import Struct

from tenuto.model.events import ParentRef
from tenuto.model.graph import TaskStatus
from tenuto.model.json_values import Json
from tenuto.model.system_tasks import SystemTaskResult


class GraphStart(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_start"):
    """Begin a graph. `definition` is an encoded snapshot. The target's id must be new, except that with
    `existing_is_fine` a running or finished execution of that id is the answer."""

    workflow_type: str
    version: int
    definition: bytes
    input: dict[str, Json] = {}
    correlation_id: str = ""
    priority: int = 0
    task_to_domain: dict[str, str] = {}
    created_by: str = ""
    caused_by: str = ""
    idempotency_key: str = ""
    existing_is_fine: bool = False
    parent: ParentRef | None = None
    parent_task_id: str = ""
    depth: int = 0
    """How many executions it is inside of."""


class TaskUpdate(Struct, array_like=True, gc=False, tag_field="kind", tag="task_update"):
    """What a worker (or a person) says of a task, found by its id, or by its reference name among the open ones."""

    status: TaskStatus
    task_id: str = ""
    reference: str = ""
    output: dict[str, Json] = {}
    merge_output: bool = False
    """Add to the output there is instead of replacing it."""
    reason: str = ""
    worker_id: str = ""
    callback_after: float = 0.0
    extend_lease: bool = False
    sub_workflow_id: str = ""
    variables: dict[str, Json] = {}
    """Merged into the workflow's variables first."""


class GraphPause(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_pause"):
    reason: str = ""


class GraphResume(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_resume"):
    pass


class GraphTerminate(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_terminate"):
    reason: str = ""
    trigger_failure_workflow: bool = False
    parent: ParentRef | None = None
    """The execution that started this one, if that is who terminates it."""


class GraphRetry(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_retry"):
    """With `parent`, the execution whose task waits for this one asks: it learns if there is nothing to be retried."""

    resume_sub_workflows: bool = False
    parent: ParentRef | None = None


class GraphRestart(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_restart"):
    """Start over; with `definition`, an encoded snapshot, by that one."""

    definition: bytes | None = None


class GraphUpgrade(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_upgrade"):
    """Go on by another definition, an encoded snapshot. `task_output` is that of tasks which need not run any more, by
    reference name; `input` is merged into the workflow's."""

    definition: bytes
    task_output: dict[str, dict[str, Json]] = {}
    input: dict[str, Json] = {}


class GraphRerun(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_rerun"):
    task_id: str = ""
    workflow_input: dict[str, Json] | None = None
    task_input: dict[str, Json] | None = None
    correlation_id: str = ""


class GraphSkip(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_skip"):
    reference: str
    task_input: dict[str, Json] = {}
    task_output: dict[str, Json] = {}


class GraphSetVariables(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_variables"):
    variables: dict[str, Json]
    append_lists: bool = False
    """A list is put behind the one that is there."""


class GraphResetCallbacks(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_reset_callbacks"):
    pass


class GraphDecide(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_decide"):
    pass


class GraphPush(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_push"):
    """A message for PULL_WORKFLOW_MESSAGES."""

    message_id: str
    payload: dict[str, Json]


class GraphJump(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_jump"):
    reference: str
    input: dict[str, Json] = {}


class GraphRemove(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_remove"):
    """Forget the execution, terminating it first if need be. `archive` keeps its search entry."""

    reason: str = ""
    archive: bool = False


class ChildRevived(Struct, array_like=True, gc=False, tag_field="kind", tag="child_revived"):
    """A closed child goes on: the parent's task `number` is open again, and so is the parent."""

    number: int
    child_id: str
    cause: str


class GraphTake(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_take"):
    """A worker that polls another server takes this task. Not `wanted`: it was claimed, but nobody waits for it now."""

    number: int
    worker_id: str
    wanted: bool = True


class GraphQueueing(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_queueing"):
    """Put a task that waits for a worker into its queue, should it be missing there; or take it out."""

    task_id: str
    withdraw: bool = False


class GraphWorkDone(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_work_done"):
    """A system task has run in a process that does not own the execution (any more)."""

    number: int
    result: SystemTaskResult


class GraphTaken(Struct, array_like=True, gc=False, tag_field="kind", tag="graph_taken"):
    """A task that was handed out. Its secrets are put in where the worker is."""

    task_id: str
    view: bytes
    """As the API shows it, in JSON."""
    template: dict[str, Json] = {}
    """What its input was made from, if that names secrets."""
    metadata: list[str] = []
    """The secrets that its definition wants beside the input."""


class TaskUpdated(Struct, array_like=True, frozen=True, gc=False, tag_field="kind", tag="task_updated"):
    """The update was taken (or came too late, `ignored`). `ended`: the task is over."""

    task_id: str
    task_type: str
    domain: str = ""
    ended: bool = False
    ignored: bool = False


GraphBody = (
    GraphStart
    | TaskUpdate
    | GraphPause
    | GraphResume
    | GraphTerminate
    | GraphRetry
    | GraphRestart
    | GraphUpgrade
    | GraphRerun
    | GraphSkip
    | GraphSetVariables
    | GraphResetCallbacks
    | GraphDecide
    | GraphPush
    | GraphJump
    | GraphRemove
    | GraphTake
    | GraphQueueing
    | GraphWorkDone
    | ChildRevived
)
