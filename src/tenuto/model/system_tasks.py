"""Tasks of graphs that the engine's own process runs: what is handed out, and what it came to."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct, field

from tenuto.model.json_values import Json

SystemTaskStatus: TypeAlias = Literal["COMPLETED", "FAILED", "FAILED_WITH_TERMINAL_ERROR", "IN_PROGRESS"]


class SystemTask(Struct, frozen=True, kw_only=True):
    """One task to run, with all that its kind may need of the workflow around it."""

    task_type: str
    task_id: str
    """Stays the same when the task is run again after a crash; a retry has its own."""
    workflow_id: str
    workflow_type: str
    workflow_version: int
    reference_name: str
    correlation_id: str | None = None
    input: dict[str, Json]
    """Evaluated, and with the secrets put in: must not be stored, shown or logged."""
    node: dict[str, Json] = field(default_factory=dict)
    """What the definition says beyond the input, evaluated too: `sink`, `asyncComplete`."""
    task_to_domain: dict[str, str] = field(default_factory=dict)
    poll_count: int = 1
    """Which run of this task it is: 1 is the first."""
    output: dict[str, Json] = field(default_factory=dict)
    """What an earlier run left."""
    secrets: frozenset[str] = frozenset()
    """The values that were put in; none may appear in a result."""


class SystemTaskResult(Struct, frozen=True):
    """What a run came to."""

    status: SystemTaskStatus
    output: dict[str, Json] = field(default_factory=dict)
    reason: str | None = None
    """Why it failed."""
    callback_after: float = 0.0
    """Seconds, only with IN_PROGRESS: run it again after so long. Zero: somebody outside will complete it."""
